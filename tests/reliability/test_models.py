"""Models: strangers' weights, damaged and made to harm; a line, and nothing is executed."""

import pickle
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from adain_lit.errors import InputError
from adain_lit.nets import Decoder
from adain_lit.weights import load_encoder, load_network
from adain_lit.weights.files import bundled_file

Record = Callable[[int, str], None]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed in one of five ways: flipped, cut short, left out, repeated, or overwritten, often in front."""
    out, kind = bytearray(data), chance.randrange(5)
    at = chance.randrange(min(len(out), chance.choice([64, 2000, len(out)])))
    length = chance.choice([1, 4, 100])
    if kind == 0:
        for _ in range(chance.choice([1, 1, 8])):
            out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del out[at:]
    elif kind == 2:
        del out[at : at + length]
    elif kind == 3:
        out[at:at] = out[at : at + length] * 3
    else:
        out[at : at + length] = chance.randbytes(length)
    return bytes(out)


def outcome(load: Callable[[], object]) -> str:
    """``loaded`` or ``refused``; any other error is the test's."""
    try:
        load()
    except InputError as error:
        return "refused" if "\n" not in str(error) else "refused in several lines"
    return "loaded"


@pytest.mark.slow
@pytest.mark.promise(
    fault="a file of weights is damaged anywhere",
    cause="bytes of a safetensors file, a state dict, a checkpoint flipped, cut, left out, repeated, overwritten",
    promise="it loads or is refused in one line; no traceback, no hang, less than 2 GB",
)
@pytest.mark.parametrize("name", ["net.safetensors", "decoder.pth", "last.ckpt"])
def test_mutated_weights(name: str, tmp_path: Path, record: Record) -> None:
    path, tries = tmp_path / name, 340
    if name == "net.safetensors":
        path.write_bytes(bundled_file("compact").read_bytes())
    elif name == "decoder.pth":
        torch.save(Decoder("compact").state_dict(), path)
    else:
        state = {f"net.{key}": x.float() for key, x in load_file(bundled_file("compact")).items()}
        settings = {"fusion": "adain", "train_encoder": True, "loss_encoder": None, "encoder": "compact"}
        torch.save({"hyper_parameters": settings, "encoder": {}, "state_dict": state}, path)
    whole, chance = path.read_bytes(), random.Random(name)
    found = {"loaded": 0, "refused": 0}
    for _ in range(tries):
        path.write_bytes(mutated(whole, chance))
        found[outcome(lambda: load_network(path, encoder="compact"))] += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # KiB
    record(tries, f"{name}: {found['refused']} refused, {found['loaded']} loaded")


class Executes:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.promise(
    fault="a file of weights holds code",
    cause="pickles that create a file when they are read, alone and in a state dict, by every loader",
    promise="refused in one line; nothing is executed",
)
@pytest.mark.parametrize("name", ["net.pth", "net.ckpt", "net.safetensors", "net"])
def test_code_in_weights_is_not_executed(name: str, tmp_path: Path, record: Record) -> None:
    path, executed = tmp_path / name, tmp_path / "executed"
    for save in (lambda x: path.write_bytes(pickle.dumps(x)), lambda x: torch.save(x, path)):
        for content in (Executes(executed), {"0.weight": Executes(executed)}):
            save(content)
            for load in (load_network, load_encoder):
                assert outcome(lambda load=load: load(path)) == "refused"  # type: ignore[misc]
    assert not executed.exists()
    record(8, "refused, nothing executed")
