"""Fig. 1: networks for fixed styles are trained on content images of one contrast or one style."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from adain_evidence.normalization import equalize_contrast
from adain_lit.data.fixed_styles import read_styles
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.tasks import FixedStyleModule
from adain_lit.weights.networks import load_network, save_network
from support.images import small
from support.networks import small_network

SMALL: dict[str, Any] = {"encoder": "random", "encoder_widths": "compact", "width": 4, "blocks": 1, "style_size": 40}
STYLE = "adain_evidence.normalization.style"


@pytest.fixture(scope="module")
def files(paintings: Path) -> list[Path]:
    return sorted(paintings.iterdir())


@pytest.fixture(scope="module")
def content() -> Tensor:
    names = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png")
    return torch.stack([to_tensor(small(name, (40, 40))) for name in names]) / 255


def module_for(files: list[Path], **settings: Any) -> FixedStyleModule:
    torch.manual_seed(2)
    return FixedStyleModule(styles=[str(path) for path in files], **SMALL | settings).eval()


def read_small(name: str) -> Tensor:
    return to_tensor(small(name))[None] / 255


def test_equalised_luminance_is_spread_evenly() -> None:
    """Oracle: ranks by SciPy, equal values sharing their mean rank; a grey image, so that nothing is clipped."""
    grey = read_small("chelsea.png").mean(1, keepdim=True).mul(255).round().div(255).expand(2, 3, -1, -1).clone()
    grey[1] = grey[1] ** 2 * 0.3  # darker and of less contrast
    equalised = equalize_contrast(grey)
    for before, after in zip(grey, equalised, strict=True):
        expected = (rankdata(before[0].numpy()) - 0.5) / before[0].numel()
        assert np.abs(after[0].numpy().ravel() - expected).max() < 1e-5
    assert torch.allclose(equalised[0], equalised[1], atol=1e-5)


def test_equalising_contrast_keeps_the_chroma() -> None:
    """Oracle: the distances of R, G and B to the luma, where nothing is clipped."""
    image = read_small("coffee.png")
    equalised = equalize_contrast(image)
    inside = ((equalised > 0) & (equalised < 1)).all(1)[0].numpy()
    assert inside.mean() > 0.5
    chroma = [x[0].numpy() - np.einsum("c,cij->ij", [0.299, 0.587, 0.114], x[0].numpy()) for x in (image, equalised)]
    assert np.abs(chroma[0] - chroma[1])[:, inside].max() < 1e-5
    assert (equalised - image).abs().max() > 0.1


def test_photographs_are_brought_to_one_contrast_or_one_style(
    files: list[Path], content: Tensor, tmp_path: Path
) -> None:
    """Oracle: the function, and the network with that style, whose batch normalisation must not go into training."""
    save_network(small_network(norm="batch"), tmp_path / "net.safetensors", card={}, half=False)
    given = {"normal_style": str(files[4]), "normal_network": str(tmp_path / "net.safetensors")}
    batch = PairBatch(content, torch.zeros_like(content), torch.arange(4), [])
    style = read_styles([files[4]], 256) / 255
    with torch.no_grad():
        expected = load_network(tmp_path / "net.safetensors")(content, style.expand(4, -1, -1, -1))
    as_it_is = module_for(files[:1])
    contrast = module_for(files[:1], normalize="adain_evidence.normalization.contrast")
    stylized = module_for(files[:1], normalize="adain_evidence.normalization.style", **given).train()
    assert torch.equal(as_it_is.preprocessed(batch).content, content)
    assert torch.equal(contrast.preprocessed(batch).content, equalize_contrast(content))
    torch.testing.assert_close(stylized.preprocessed(batch).content, expected, rtol=1e-4, atol=1e-5)
    assert (expected - content).abs().max() > 0.1
    for module, photographs in ((contrast, equalize_contrast(content)), (stylized, expected)):
        seen = module.losses(photographs, torch.zeros(4, dtype=torch.long))
        torch.testing.assert_close(module.batch_losses(batch)["loss"], seen["loss"], rtol=1e-3, atol=1e-5)
        checkpoint: dict[str, Any] = {"state_dict": dict(module.state_dict())}
        module.on_save_checkpoint(checkpoint)
        assert all(name.startswith("net.") for name in checkpoint["state_dict"])


def test_a_style_to_train_is_refused_as_the_style_of_all_images(files: list[Path]) -> None:
    with pytest.raises(InputError, match=r"normal_style .* is among the styles to train; give another"):
        module_for(files[:1], normalize=STYLE, normal_style=str(files[0]))


def test_without_the_checkout_the_experiment_ends_in_one_line(
    tmp_path: Path, photographs: Path, files: list[Path]
) -> None:
    """The package of a wheel has no adain_evidence: here an import of it fails."""
    code = "import sys; sys.modules['adain_evidence'] = None; from adain_lit import train; train.main()"
    data = [f"data.content_dir={photographs}", f"data.style_dir={files[0].parent}", f"model.styles={files[0]}"]
    arguments = ["experiment=fig1_in_contrast", "data=folders", *data, "logger=csv", "model.encoder=random"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot import normalize 'adain_evidence.normalization.contrast'" in done.stderr.splitlines()[-1]
    assert "is in a checkout of the repository only" in done.stderr.splitlines()[-1]
