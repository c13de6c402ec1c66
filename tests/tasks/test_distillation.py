"""A small encoder learns to follow a large one, and stands for it afterwards."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from adain_lit import train
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.nets import VGGEncoder
from adain_lit.nets.vgg import initialise_randomly
from adain_lit.tasks import DistillationModule
from adain_lit.weights.encoders import load_encoder, load_loss_network
from support.commands import run_here, tiny
from support.images import small
from support.runs import assert_same, last, log_of, only_run

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
STEPS = 30


def write_teacher(path: Path, seed: int = 0, last: str = "relu4_1") -> Path:
    """A file as of the authors' models: VGG names, and input that begins with blue. No channel is always off."""
    encoder = VGGEncoder((6, 8, 10, 12, 12), last)
    initialise_randomly(encoder, seed)
    state = {key: value.contiguous() for key, value in encoder.state_dict().items()}
    state |= {key: value + 3 for key, value in state.items() if key.endswith("bias")}
    state["conv1_1.weight"] = state["conv1_1.weight"] / 64  # for values up to 255
    save_file(state, path, {"input": "BGR"})
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "teacher.safetensors")


def arguments(photographs: Path, paintings: Path, teacher: Path, *more: str) -> list[str]:
    steps = [f"trainer.max_steps={STEPS}", "trainer.val_check_interval=5", "trainer.log_every_n_steps=1"]
    schedule = [
        f"model.lr_steps={STEPS}",
        "model.lr_warmup=4",
        "model.unit_mean_images=8",
        "callbacks.checkpoints.every_n_steps=10",
    ]
    given = ["experiment=distill_encoder", f"model.teacher={teacher}", *steps, *schedule]
    return [*tiny(photographs, paintings), *given, *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path, teacher: Path) -> Path:
    """Folder of a run of `STEPS` steps in one go."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here(train.main, arguments(photographs, paintings, teacher), patch) == 0
    return only_run(folder, "distill_encoder")


@pytest.fixture
def images() -> Tensor:
    return torch.stack([to_tensor(small(name, (40, 33))) for name in ("coffee.png", "chelsea.png")]) / 255


def module_of(run: Path) -> DistillationModule:
    path = run / "checkpoints" / "last.ckpt"
    return DistillationModule.load_from_checkpoint(path, weights_only=True).eval()


def logged(run: Path, name: str) -> dict[int, float]:
    with (run / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row[name]}


def test_loss_on_held_out_pictures_falls(finished: Path) -> None:
    losses = logged(finished, "val/loss")
    assert list(losses) == list(range(5, STEPS + 1, 5))
    assert losses[STEPS] < 0.95 * losses[5]
    assert list(logged(finished, "train/loss")) == list(range(1, STEPS + 1))


def test_learning_rate_warms_up_and_falls_in_a_cosine(finished: Path) -> None:
    """Oracle: the encoder's rate of the experiment, 1e-3, times (t + 1) / 4 and the half cosine."""
    rates = torch.tensor(list(logged(finished, "train/lr").values()))
    steps = torch.arange(STEPS)
    expected = 1e-3 * ((steps + 1) / 4).clamp(max=1) * 0.5 * (1 + torch.cos(torch.pi * steps / STEPS))
    torch.testing.assert_close(rates, expected, rtol=1e-4, atol=1e-9)


def test_losses_equal_formulas_written_out(finished: Path, teacher: Path, images: Tensor) -> None:
    """Oracle: features of the teacher's file over its means on the training photographs, mean squares by hand."""
    module = module_of(finished)
    with torch.no_grad():
        theirs = load_encoder(teacher)(images, LAYERS)
        losses = module.losses(images)
        own = module.student.encoder(images, LAYERS)
    means = last(finished)["teacher"]["mean_activations"]
    total = torch.zeros(2)
    for layer in LAYERS:
        wanted = theirs[layer] / means[layer].view(1, -1, 1, 1)
        assert 0.1 < wanted.mean() < 10
        head = module.student.heads[layer]
        found = F.relu(F.conv2d(own[layer], head.weight, head.bias))
        feature = ((found - wanted) ** 2).mean((1, 2, 3))
        (m, s), (wanted_m, wanted_s) = (
            (x.mean((2, 3)), (x.var((2, 3), correction=0) + 1e-5).sqrt()) for x in (found, wanted)
        )
        style = ((m - wanted_m) ** 2).mean(1) + ((s - wanted_s) ** 2).mean(1)
        torch.testing.assert_close(losses[f"feature_loss/{layer}"], feature, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(losses[f"style_loss/{layer}"], style, rtol=1e-3, atol=1e-5)
        total += feature + style  # style_weight 1
    torch.testing.assert_close(losses["loss"], total, rtol=1e-3, atol=1e-5)


def test_style_weight_weighs_the_statistics(teacher: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    module = DistillationModule(teacher=str(teacher), style_weight=3.0)
    losses = {name: value.detach() for name, value in module.losses(images).items()}
    features, styles = (sum(losses[f"{kind}_loss/{layer}"] for layer in LAYERS) for kind in ("feature", "style"))
    torch.testing.assert_close(losses["loss"], features + 3 * styles)


def test_student_and_heads_are_trained_and_the_teacher_is_not(finished: Path, teacher: Path) -> None:
    """Oracle: the teacher's file, and the student's first weights."""
    module = module_of(finished)
    theirs, own = load_encoder(teacher).state_dict(), module.teacher.encoders[0].state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in theirs)
    first = load_encoder("random", widths="compact", preprocessing="imagenet").state_dict()
    for key, value in module.student.encoder.state_dict().items():
        assert not torch.equal(value, first[key]), key
    trained = {id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]}
    assert trained == {id(p) for p in module.student.parameters()}
    assert not any(p.requires_grad for p in module.teacher.parameters())


def test_checkpoint_holds_the_student_alone_and_says_who_taught_it(finished: Path) -> None:
    checkpoint = last(finished)  # weights_only=True
    assert all(key.startswith("student.") for key in checkpoint["state_dict"])
    assert sum("heads" in key for key in checkpoint["state_dict"]) == 2 * len(LAYERS)
    assert len(checkpoint["teacher"]["sha256"]) == 64
    assert set(checkpoint["teacher"]["mean_activations"]) == set(LAYERS)


def test_checkpoint_is_an_encoder_and_a_loss_network(finished: Path, images: Tensor) -> None:
    """Oracle: the student of the module; in a loss network its features go through the heads."""
    path, module = finished / "checkpoints" / "last.ckpt", module_of(finished)
    encoder = load_encoder(path)
    assert encoder.widths[:4] == (16, 32, 64, 128)
    for key, value in module.student.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[key], value)
    with torch.no_grad():
        expected, found = module.student(images), load_loss_network(str(path), layers=LAYERS)(images)
    assert {layer: x.shape[1] for layer, x in found.items()} == dict(zip(LAYERS, (6, 8, 10, 12), strict=True))
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer])


def test_resumed_run_equals_unbroken_run(
    finished: Path,
    teacher: Path,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracle: the run in one go, to the bit; another teacher is refused, under its name and under the old one."""
    monkeypatch.chdir(tmp_path)
    given = arguments(photographs, paintings, teacher)
    assert run_here(train.main, [*given, f"trainer.max_steps={STEPS // 2}"], monkeypatch) == 0
    run = only_run(tmp_path, "distill_encoder")
    other = write_teacher(tmp_path / "other.safetensors", seed=1)
    capfd.readouterr()
    assert run_here(train.main, [*given, "resume=last", f"model.teacher={other}"], monkeypatch) == 2
    assert (
        f"was trained with model.teacher={teacher}; this run asks for model.teacher={other}; " in capfd.readouterr().err
    )
    kept = teacher.read_bytes()
    try:
        teacher.write_bytes(other.read_bytes())
        assert run_here(train.main, [*given, "resume=last"], monkeypatch) == 2
        assert "the checkpoint was trained with other weights (SHA-256 " in capfd.readouterr().err
    finally:
        teacher.write_bytes(kept)
    assert last(run)["global_step"] == STEPS // 2
    assert run_here(train.main, [*given, "resume=last", f"trainer.max_steps={STEPS}"], monkeypatch) == 0
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "teacher", "global_step"):
        assert_same(last(finished)[key], last(run)[key])
    assert log_of(finished) == log_of(run)


def test_several_teachers_give_a_layer_each(tmp_path: Path, teacher: Path, images: Tensor) -> None:
    """Oracle: the widths and features of the first file that reaches a layer."""
    short = write_teacher(tmp_path / "short.safetensors", seed=1, last="relu2_2")
    module = DistillationModule(teacher=[str(short), str(teacher)])
    assert module.hparams["teacher"] == [str(short), str(teacher)]
    wanted = module.teacher(images)
    for layer, source in zip(LAYERS, (short, short, teacher, teacher), strict=True):
        expected = load_encoder(source, last="relu2_2" if source == short else "relu4_1")(images, (layer,))[layer]
        torch.testing.assert_close(wanted[layer], expected)


def test_checkpoint_of_another_kind_is_refused(teacher: Path) -> None:
    module, checkpoint = DistillationModule(teacher=str(teacher)), dict[str, Any](encoder={}, state_dict={})
    with pytest.raises(InputError, match=r"^the checkpoint was not written by DistillationModule; give one of its"):
        module.on_load_checkpoint(checkpoint)


def write_base(path: Path) -> Path:
    """The first layers of a network of the teacher's widths, with other weights than the teacher's."""
    return write_teacher(path, seed=7, last="relu2_1")


def full_width(base: Path, teacher: Path, **more: Any) -> DistillationModule:
    """A student of the teacher's widths that keeps the layers of `base` and has no heads."""
    options = {"layers": ["relu4_1"], "heads": False, "unit_mean_images": 0} | more
    return DistillationModule(
        encoder=str(teacher), teacher=str(teacher), fixed_weights=str(base), fixed_layer="relu2_1", **options
    )


def test_fixed_layers_are_the_files_and_are_not_trained(tmp_path: Path, teacher: Path) -> None:
    """Oracle: the files; what is above the fixed layers is the student's own."""
    base = write_base(tmp_path / "base.safetensors")
    module = full_width(base, teacher)
    kept, own = dict(load_encoder(base, last="relu2_1").convs()), dict(load_encoder(teacher).convs())
    groups = module.configure_optimizers()["optimizer"].param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    for name, conv in module.student.encoder.convs():
        expected = kept.get(name, own[name])
        assert torch.equal(conv.weight, expected.weight)
        assert torch.equal(conv.bias, expected.bias)
        assert {id(p) in trained for p in conv.parameters()} == {name not in kept}
    assert len(trained) == 2 * (len(own) - len(kept))


def test_without_heads_the_features_are_compared_themselves(tmp_path: Path, teacher: Path, images: Tensor) -> None:
    """Oracle: the mean square, written out; the teacher itself as the student has none."""
    module = full_width(write_base(tmp_path / "base.safetensors"), teacher)
    with torch.no_grad():
        wanted, found = (
            net(images, ("relu4_1",))["relu4_1"] for net in (load_encoder(teacher), module.student.encoder)
        )
        losses = module.losses(images)
        torch.testing.assert_close(losses["feature_loss/relu4_1"], ((found - wanted) ** 2).mean((1, 2, 3)))
        assert losses["loss"].min() > 0
        same = DistillationModule(encoder=str(teacher), teacher=str(teacher), heads=False).losses(images)
    assert same["loss"].abs().max() < 1e-9


def test_fixed_layers_are_scaled_once_and_kept_by_the_checkpoint(
    tmp_path: Path, teacher: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: every channel has a factor, and a resumed run leaves the weights as they are."""
    base = write_base(tmp_path / "base.safetensors")
    monkeypatch.chdir(tmp_path)
    given = [
        *tiny(photographs, paintings),
        "experiment=distill_vgg19",
        f"model.fixed_weights={base}",
        "model.fixed_layer=relu2_1",
        f"model.encoder={teacher}",
        f"model.teacher={teacher}",
        "model.unit_mean_images=8",
        "model.lr_steps=9",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
    ]
    assert run_here(train.main, given, monkeypatch) == 0
    run = only_run(tmp_path, "distill_vgg19")
    module, fixed = module_of(run), load_encoder(base, last="relu2_1")
    for (name, conv), (_, scaled) in zip(fixed.convs(), module.student.encoder.convs(), strict=False):
        ratio = (conv.bias / scaled.bias).detach()  # the scale of each channel; biases of the file are 3
        assert not torch.allclose(ratio, torch.ones_like(ratio)), name
    before = last(run)["state_dict"]
    assert run_here(train.main, [*given, "resume=last", "trainer.max_steps=3"], monkeypatch) == 0
    after = last(run)["state_dict"]
    for name, _ in fixed.convs():
        assert torch.equal(after[f"student.encoder.{name}.weight"], before[f"student.encoder.{name}.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "random"}, "the fixed weights do not fit the student at conv1_1; set model.encoder_widths"),
        ({"fixed_weights": None, "encoder": "random"}, "without heads the student needs the teacher's 12 channels at"),
    ],
)
def test_student_that_cannot_follow_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path, teacher: Path
) -> None:
    base = write_base(tmp_path / "base.safetensors")
    given: dict[str, Any] = {"encoder": str(teacher), "fixed_weights": str(base)} | options
    with pytest.raises(InputError, match=f"^{message}"):
        DistillationModule(teacher=str(teacher), layers=["relu4_1"], heads=False, fixed_layer="relu2_1", **given)
