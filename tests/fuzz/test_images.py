"""Hypothesis looks for files on which the image reader does anything but read them or refuse them in one line."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adain_lit.errors import InputError
from adain_lit.io.images import ImageReadError, opacity, read_image_and_metadata
from adain_lit.io.inputs import as_image, as_mask
from support.mutations import KINDS, mutate, require_one_line, sound

pytestmark = pytest.mark.fuzz
many = settings(
    max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=12)


def read_or_refuse(data: bytes) -> None:
    """Every way to read the bytes gives upright RGB, or one line."""
    try:
        image, metadata = read_image_and_metadata(data, max_pixels=4_000_000, keep_alpha=True)
    except ImageReadError as error:
        require_one_line(error)
        return
    assert image.mode == "RGB"
    assert min(image.size) > 0
    assert metadata.frames >= 1
    if metadata.alpha is not None:
        assert (metadata.alpha.mode, metadata.alpha.size) == ("L", image.size)
    assert opacity(image) is None
    assert as_image(data).size == image.size
    assert as_image(image).tobytes() == image.tobytes()
    try:
        mask = as_mask(data)
    except InputError:  # of the bytes 0 and 1
        return
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1


@many
@given(kind=st.sampled_from(KINDS), changes=edits, length=st.none() | st.integers(0, 1 << 16))
@example(kind="png", changes=[(24, 16)], length=None)
def test_edited_files(kind: str, changes: list[tuple[int, int]], length: int | None) -> None:
    data = bytearray(sound(kind)[:length])
    for at, value in changes if data else []:
        data[at % len(data)] = value
    read_or_refuse(bytes(data))


@many
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 1 << 62))
def test_mutated_files(kind: str, seed: int) -> None:
    read_or_refuse(mutate(sound(kind), np.random.default_rng(seed)))


@many
@given(kind=st.sampled_from(KINDS), head=st.integers(2, 40), tail=st.binary(max_size=400))
def test_noise_behind_a_sound_beginning(kind: str, head: int, tail: bytes) -> None:
    read_or_refuse(sound(kind)[:head] + tail)


@many
@given(
    values=st.lists(st.floats(width=32), min_size=3, max_size=48).map(lambda v: np.array(v[: len(v) // 3 * 3])),
    shape=st.sampled_from([(-1,), (1, -1), (-1, 3), (1, -1, 3), (3, 1, -1)]),
)
def test_arrays(values: "np.ndarray[tuple[int], np.dtype[np.float32]]", shape: tuple[int, ...]) -> None:
    try:
        image = as_image(values.reshape(shape))
    except InputError as error:
        require_one_line(error)
    else:
        assert image.mode == "RGB"
        assert values.min() >= -0.2
        assert values.max() <= 1.2
