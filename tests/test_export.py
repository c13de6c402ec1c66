"""Exported networks give the network's images at every size; what does not is refused and leaves nothing."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import adain_lit
from adain_lit import export
from adain_lit.inference import network_files
from adain_lit.inference.graphs import SIZES as SIZES_OF_GRAPHS
from adain_lit.inference.graphs import Graph
from adain_lit.inference.onnx import OnnxStylizer
from adain_lit.io.images import to_tensor
from adain_lit.nets import StyleTransferNet
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.networks import save_network
from support.commands import run_here
from support.images import small
from support.networks import each_network, small_network

SIZES = (((88, 120), (77, 50)), ((41, 33), (31, 200)), ((16, 17), (17, 16)), ((96, 64), (96, 64)))
"""Widths and heights of contents and styles; the exporter's own example is 96x64 and 64x96."""
ALPHA = 0.7
Run = Callable[..., Tensor]


def saved(net: StyleTransferNet, path: Path) -> str:
    save_network(net, path, card={}, half=False)
    return str(path)


RESIDUAL, SKIPS = ((), True, 0.0), (("relu1_1",), False, 0.1)
"""Skip layers, shortcuts and slope of a decoder."""


@pytest.fixture(scope="module", params=[RESIDUAL, SKIPS], ids=["residual", "skips"])
def net(request: pytest.FixtureRequest) -> StyleTransferNet:
    """Shallow, for the exporter takes its time for every layer."""
    skip_layers, residual, slope = request.param
    return small_network(last="relu2_1", skip_layers=skip_layers, residual=residual, decoder_slope=slope)


def run_onnx(path: Path, **inputs: Tensor) -> dict[str, Tensor]:
    """The outputs of a graph by their names."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {name: x.numpy() for name, x in inputs.items()})
    return {name: torch.from_numpy(x) for name, x in zip(names, values, strict=True)}


def onnx_graph(path: Path) -> Run:
    return lambda **inputs: run_onnx(path, **inputs)["stylized"]


def program(path: Path) -> Run:
    graph: Run = torch.export.load(path).module()
    return graph


def onnx_parts(folder: Path) -> Run:
    def graph(content: Tensor, style: Tensor, alpha: Tensor) -> Tensor:
        features, of_style = (run_onnx(folder / "encoder.onnx", image=image) for image in (content, style))
        given = {name: (of_style if name.endswith(("_mean", "_std")) else features)[name] for name in features}
        fused = run_onnx(folder / "adain.onnx", **given, alpha=alpha)
        image = run_onnx(folder / "decoder.onnx", **fused)["stylized"]
        return image[..., : content.shape[2], : content.shape[3]]

    return graph


def assert_same_images(graph: Run, net: StyleTransferNet) -> None:
    """Oracle: the network itself on photographs, at sizes that are not the exporter's."""
    for content_size, style_size in SIZES:
        content, style = (
            to_tensor(small(name, size))[None] / 255
            for name, size in (("coffee.png", content_size), ("chelsea.png", style_size))
        )
        with torch.inference_mode():
            expected = net(content, [style], alpha=ALPHA).clamp(0, 1)
            actual = graph(content=content, style=style, alpha=torch.tensor(ALPHA))
        assert expected.std() > 0.05
        torch.testing.assert_close(actual, expected, atol=1e-3, rtol=0)


def refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that leaves no file and no folder."""
    before = sorted(Path().rglob("*"))
    capfd.readouterr()
    assert run_here(export.main, arguments, monkeypatch) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert sorted(Path().rglob("*")) == before
    return line.removeprefix("adain_lit.export: error: ")


def test_safetensors_gives_the_same_image_and_carries_its_card(
    tmp_path: Path, net: StyleTransferNet, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the network before it was written; exact in float32, within rounding to 11 bits in float16."""
    network = saved(net, tmp_path / "network.safetensors")
    before = adain_lit.load(network, device="cpu").tensor(small("coffee.png"), small("chelsea.png"))
    card = ["--card", "trained on=six photographs", "formula=a=b"]
    for name, options, tolerance in (("half", [], 5e-3), ("full", ["--full-precision"], 0)):
        path = tmp_path / "new folder" / f"{name}.safetensors"
        assert run_here(export.main, [network, str(path), *options, *card], monkeypatch) == 0
        assert capfd.readouterr().out.startswith(f"{path}: ")
        after = adain_lit.load(path, device="cpu").tensor(small("coffee.png"), small("chelsea.png"))
        assert (float((after - before).abs().max()) > 0) == (name == "half")
        assert float((after - before).abs().max()) <= tolerance
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            dtypes = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
        assert (metadata["trained on"], metadata["formula"]) == ("six photographs", "a=b")
        assert dtypes == {torch.float16 if name == "half" else torch.float32}


@pytest.mark.slow
def test_int8_decoder_is_close_smaller_and_says_how_close(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The bundled network; oracle for the printed similarity: the images of both files."""
    monkeypatch.chdir(tmp_path)
    assert run_here(export.main, ["compact", "int8.onnx", "--int8"], monkeypatch) == 0
    out = capfd.readouterr().out
    (found,) = re.findall(r"SSIM to float32 ([\d.]+), [\d.]+ s in place of [\d.]+ s an image \(of 256x192\)\n$", out)
    assert float(found) > 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]
    assert Path("int8.onnx").stat().st_size < 2e6
    content, style = small("coffee.png"), small("chelsea.png")
    made, expected = (np.asarray(OnnxStylizer(x)(content, style), float) for x in ("int8.onnx", "compact"))
    assert 0 < np.abs(made - expected).mean() < 8
    assert OnnxStylizer("int8.onnx").metadata["precision"] == "decoder in int8"


def test_card_cannot_make_a_file_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the file loads; its own keys say how."""
    path = tmp_path / "own.safetensors"
    assert run_here(export.main, ["compact", str(path), "--card", "fusion=nonsense", "format=mine"], monkeypatch) == 0
    assert adain_lit.load(path, device="cpu").net.config.fusion == "adain"


def test_step_counts_of_batch_normalisation_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: 160 000 steps of training; float16 ends at 65 504."""
    net = small_network(norm="batch", last="relu2_1")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.fill_(160_000)
    path = tmp_path / "own.safetensors"
    assert run_here(export.main, [saved(net, tmp_path / "net.safetensors"), str(path)], monkeypatch) == 0
    counts = [x for key, x in adain_lit.load(path).net.state_dict().items() if key.endswith("num_batches_tracked")]
    assert len(counts) == 2
    assert all(int(count) == 160_000 for count in counts)


@pytest.mark.parametrize(
    ("net", "name", "read"),
    [
        pytest.param(RESIDUAL, "whole.onnx", onnx_graph, id="onnx"),
        pytest.param(SKIPS, "whole.onnx", onnx_graph, id="onnx-skips"),
        pytest.param(RESIDUAL, "whole.pt2", program, id="pt2"),
        pytest.param(SKIPS, "whole.pt2", program, id="pt2-skips", marks=pytest.mark.slow),
    ],
    indirect=["net"],
)
def test_whole_graph_gives_the_network_s_images_at_other_sizes(
    tmp_path: Path, net: StyleTransferNet, name: str, read: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = saved(net, tmp_path / "network.safetensors")
    card = ["--card", "name=small", "opset=mine"]
    assert run_here(export.main, [network, str(tmp_path / name), *card], monkeypatch) == 0
    assert_same_images(read(tmp_path / name), net)
    if name.endswith(".onnx"):
        assert_described(tmp_path / name, net)


def assert_described(path: Path, net: StyleTransferNet) -> None:
    """Names and dimensions that a reader expects, and the card; nothing of the machine that made the file."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {x.name: x.shape for x in (*session.get_inputs(), *session.get_outputs())} == {
        "content": [1, 3, "height", "width"],
        "style": [1, 3, "style_height", "style_width"],
        "alpha": [],
        "stylized": [1, 3, "height", "width"],
    }
    model = session.get_modelmeta()
    metadata = model.custom_metadata_map
    assert model.producer_name == "adain_lit"
    assert (metadata["name"], metadata["fusion"], metadata["opset"]) == ("small", "adain", "20")
    assert metadata["min_size"] == str(net.encoder.min_size)
    assert str(Path(adain_lit.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.slow
def test_parts_together_give_the_network_s_images(
    tmp_path: Path, net: StyleTransferNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = saved(net, tmp_path / "network.safetensors")
    assert run_here(export.main, [network, str(tmp_path / "parts"), "--parts"], monkeypatch) == 0
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"encoder.onnx", "adain.onnx", "decoder.onnx"}
    image = to_tensor(small("chelsea.png"))[None] / 255
    found = run_onnx(tmp_path / "parts" / "encoder.onnx", image=image)
    assert len(found) == 3 * len(net.fused_layers)
    for layer, features in zip(net.fused_layers, net.encode(image), strict=True):
        torch.testing.assert_close(found[layer], features, atol=1e-4, rtol=1e-4)
        cells = features.flatten(2).double().numpy()
        np.testing.assert_allclose(found[f"{layer}_mean"].flatten(1), cells.mean(2), atol=1e-5, rtol=1e-4)
        std = np.sqrt(cells.var(2) + 1e-5)
        np.testing.assert_allclose(found[f"{layer}_std"].flatten(1), std, atol=1e-5, rtol=1e-4)
    assert_same_images(onnx_parts(tmp_path / "parts"), net)


@pytest.mark.slow
@each_network
@pytest.mark.parametrize("fusion", ["adain", "concat"])
@pytest.mark.parametrize(
    ("name", "options", "read"),
    [("whole.onnx", [], onnx_graph), ("whole.pt2", [], program), ("parts", ["--parts"], onnx_parts)],
)
def test_deep_networks_of_both_fusions(
    tmp_path: Path,
    fusion: str,
    skip_layers: tuple[str, ...],
    name: str,
    options: list[str],
    read: Callable[[Path], Run],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    net = small_network(fusion=fusion, skip_layers=skip_layers)
    arguments = [saved(net, tmp_path / "network.safetensors"), name, *options]
    if fusion == "concat" and options:
        expected = "parts are for fusion=adain; this network has concat; leave out --parts"
        assert refused(arguments, monkeypatch, capfd) == expected
    else:
        assert run_here(export.main, arguments, monkeypatch) == 0
        assert_same_images(read(tmp_path / name), net)


def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("no folder")
    Path("text.ckpt").write_text("no checkpoint")
    suffixes = "its suffix must be one of .safetensors, .onnx, .pt2"
    swap = saved(small_network(fusion="style_swap", last="relu2_1"), tmp_path / "swap.safetensors")
    for arguments, start in (
        (["compact", "made/net.pth"], f"cannot write made/net.pth; {suffixes}"),
        (["compact", "made"], f"cannot write made; {suffixes}"),
        (["nowhere.ckpt", "made/net.onnx"], "no network 'nowhere.ckpt': neither a file nor compact, the bundled one; "),
        (["text.ckpt", "made/net.onnx"], "cannot read the checkpoint text.ckpt: "),
        (["text.txt", "made/net.onnx"], "cannot read weights from text.txt: "),
        (["compact", "text.txt/net.safetensors"], "cannot write to the folder text.txt: "),
        (["compact", "text.txt", "--parts"], "cannot write to the folder text.txt: "),
        (
            [swap, "made/net.onnx"],
            "fusion style_swap cannot be exported as a graph; give an output in .safetensors",
        ),
        (["compact", "net.safetensors", "--int8"], "--int8 is for one graph; give an output in .onnx, without --parts"),
        (["compact", "net.onnx", "--calibrate", "."], "--calibrate is for --int8; add it, or leave both out"),
        (["compact", "net.safetensors", "--card", "anonymous"], "--card got 'anonymous'; give KEY=VALUE"),
    ):
        assert refused(arguments, monkeypatch, capfd).startswith(start)


def test_onnx_without_its_packages_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    message = "ONNX needs onnxscript and onnxruntime; install adain_lit[export]"
    assert refused(["compact", "net.onnx"], monkeypatch, capfd) == message


@pytest.mark.parametrize(("wrong", "shown"), [(0.04, "4.0e-02"), (float("nan"), None)])
def test_file_that_differs_from_the_network_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], wrong: float, shown: str | None
) -> None:
    """Oracle: a writer that adds `wrong` to the images; the file that was there before stays."""
    monkeypatch.chdir(tmp_path)
    network = saved(small_network(last="relu2_1"), tmp_path / "network.safetensors")

    def spoil(net: StyleTransferNet, path: Path, **options: object) -> None:
        other = small_network(last="relu2_1")
        other.decoder.conv1_1.bias += wrong  # type: ignore[operator]
        save_network(other, path, card={}, half=False)

    monkeypatch.setattr(network_files, "save_network", spoil)
    Path("made.safetensors").write_bytes(b"made before")
    for options, tolerance in (([], "0.03"), (["--full-precision"], "0.002")):
        line = refused([network, "made.safetensors", *options], monkeypatch, capfd)
        differs = (
            f"made.safetensors would differ from the network by {shown}, more than {tolerance}; it was not written"
        )
        assert line == differs if shown else "made.safetensors has values that are not finite" in line
    assert Path("made.safetensors").read_bytes() == b"made before"


def test_parts_are_written_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the second of the three differs; of the first there is nothing, and what was there before stays."""
    monkeypatch.chdir(tmp_path)
    network = saved(small_network(last="relu1_2"), tmp_path / "network.safetensors")
    differences = iter((0.0, 0.5))
    monkeypatch.setattr(Graph, "onnx", lambda graph, metadata: FakeOnnx())
    monkeypatch.setattr(Graph, "difference_of_onnx", lambda graph, path: next(differences))
    line = "adain.onnx would differ from the network by 5.0e-01, more than 0.002; it was not written"
    assert refused([network, "parts", "--parts"], monkeypatch, capfd) == line
    differences = iter((0.0, 0.5))
    Path("parts").mkdir()
    (Path("parts") / "encoder.onnx").write_bytes(b"made before")
    assert refused([network, "parts", "--parts"], monkeypatch, capfd) == line
    assert (Path("parts") / "encoder.onnx").read_bytes() == b"made before"


class FakeOnnx:
    """In place of a graph that takes seconds to make."""

    def save(self, path: Path) -> None:
        path.write_bytes(b"graph")


def test_encoder_alone_is_the_encoder_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the features of the network's encoder, exact in float32; the bundled one has a file of its own."""
    monkeypatch.chdir(tmp_path)
    net = small_network(last="relu3_1")
    network = saved(net, tmp_path / "network.safetensors")
    options = ["--encoder-only", "--full-precision", "--card", "what=small"]
    assert run_here(export.main, [network, "encoder.safetensors", *options], monkeypatch) == 0
    image = to_tensor(small("coffee.png"))[None] / 255
    encoder = load_encoder("encoder.safetensors", last="relu3_1")
    assert torch.equal(encoder(image)["relu3_1"], net.encode(image)[0])
    with safe_open("encoder.safetensors", "pt") as file:
        assert file.metadata() == {"format": "adain_lit-encoder", "what": "small"}
        assert all(key.startswith("encoder.") for key in file.keys())  # noqa: SIM118
    assert run_here(export.main, ["distilled", "again.safetensors", "--encoder-only"], monkeypatch) == 0
    ours, theirs = (load_encoder(source)(image)["relu4_1"] for source in ("again.safetensors", "distilled"))
    assert torch.equal(ours, theirs)
    capfd.readouterr()
    assert refused(["compact", "encoder.onnx", "--encoder-only"], monkeypatch, capfd) == (
        "cannot write encoder.onnx; its suffix must be one of .safetensors"
    )


def test_comparison_finds_the_worst_pixel_of_any_size() -> None:
    """Oracle: a graph that is wrong in one pixel, at one of the sizes."""

    class Same(nn.Module):
        def forward(self, content: Tensor) -> Tensor:
            return content

    graph = Graph(Same(), {"content": "image"}, ["made"], small_network(last="relu2_1"))
    for height, width in SIZES_OF_GRAPHS:

        def wrong(content: Tensor, at: tuple[int, int] = (height, width)) -> Tensor:
            made = content.clone()
            if content.shape[2:] == at:
                made[0, 1, 5, 3] += 0.5
            return made

        assert graph.difference(wrong) == pytest.approx(0.5)
    assert graph.difference(lambda content: content) == 0
