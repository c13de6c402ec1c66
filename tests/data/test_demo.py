"""Demo images: photographs of the installed scikit-image, paintings that are files of the package."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from adain_lit.data import demo
from adain_lit.errors import InputError
from adain_lit.io.images import read_image


def test_the_photographs_are_in_the_installed_wheel_and_can_be_read() -> None:
    for path in demo.demo_content_images(held_out=False) + demo.demo_content_images(held_out=True):
        assert path.parent == Path(skimage.data.__file__).parent
        assert min(read_image(path).size) >= 256


@pytest.mark.parametrize("images", [demo.demo_content_images, demo.demo_style_images])
def test_no_held_out_image_is_trained_on(images) -> None:
    train, held_out = images(held_out=False), images(held_out=True)
    assert len(train) >= 10
    assert len(held_out) >= 2
    pixels = {np.asarray(read_image(path)).tobytes() for path in train + held_out}
    assert len(pixels) == len(train) + len(held_out)


def test_a_photograph_that_the_wheel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "HELD_OUT_PHOTOGRAPHS", ("chelsea.png", "gone.png"))
    with pytest.raises(InputError, match=r"^scikit-image's wheel holds no gone\.png; install scikit-image 0"):
        demo.demo_content_images(held_out=True)


def test_every_style_has_three_paintings_to_train_on_and_one_held_out() -> None:
    """Oracle: the styles, by their names in the files; the size and the mode that the files must read as."""
    train, held_out = demo.demo_style_images(held_out=False), demo.demo_style_images(held_out=True)
    styles = [path.stem.removesuffix("-1000") for path in held_out]
    assert len(styles) == 17
    assert {"pointillism", "de_stijl", "ukiyo_e", "woodcut"} < set(styles)
    assert [path.stem for path in train] == [f"{style}-{seed}" for style in styles for seed in range(3)]
    for path in train + held_out:
        image = read_image(path)
        assert (image.mode, image.size) == ("RGB", (480, 384))
    assert sum(path.stat().st_size for path in train + held_out) < 4e6  # of a wheel that must stay below 8 MB


def test_noise_is_the_same_in_every_process_and_leaves_no_file() -> None:
    code = "from adain_lit.data import demo; print(demo.noise_image())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    other = Path(done.stdout.strip())
    own = demo.noise_image()
    assert own == demo.noise_image()
    assert own.name == other.name == "noise.png"
    assert not other.parent.exists()
    assert own.is_file()
    assert np.asarray(read_image(own))[0, 0].tolist() == [169, 47, 184]
