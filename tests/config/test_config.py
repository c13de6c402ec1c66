"""Every configuration file composes into objects, says what the code says, and every mistake gets one line."""

import inspect
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import OmegaConf

from adain_lit import benchmark, evaluate, train
from adain_lit.callbacks import Checkpoints, ImageGrid
from adain_lit.config.help import explanations
from adain_lit.config.instantiate import instantiate
from adain_lit.config.messages import one_line
from adain_lit.config.overrides import job_folder, sweep_folder
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers, run_folder
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.fixed_styles import load_fixed_styles
from adain_lit.methods.gatys import Gatys
from adain_lit.methods.reference import PlainAdaIN
from adain_lit.nets import VGGEncoder
from adain_lit.tasks import DistillationModule, FixedStyleModule, InversionModule, StyleTransferModule
from adain_lit.tasks.base import LossModule
from adain_lit.weights.networks import load_network
from support.commands import run_here, tiny
from support.configurations import composed
from support.networks import write_fixed_styles
from support.ranks import free_port, slurm_environment, torchrun_environment

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").rglob("*.yaml"))
FINISH = ["model.encoder=compact", "model.decoder=compact"]  # where compact_finish begins
FOLDERS = ["data.content_dir=photographs", "data.style_dir=paintings"]
MODULES: dict[str, type[L.LightningModule]] = {
    "distill_encoder": DistillationModule,
    "distill_vgg19": DistillationModule,
    "baseline_style_swap": InversionModule,
    **{
        name: FixedStyleModule
        for name in EXPERIMENTS
        if name.startswith(("baseline_ulyanov", "baseline_dumo", "fig1_"))
    },
}
"""Of the experiments that train something else than a style transfer network."""


@pytest.mark.parametrize("scale", ["demo", "medium", "paper"])
def test_a_scale_sets_all_that_its_file_says(scale: str) -> None:
    """No group that comes after it, the trainer's above all, takes anything back."""
    stated: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "scale" / f"{scale}.yaml"))
    stated.pop("defaults", None)
    cfg: Any = OmegaConf.to_container(composed(f"scale={scale}"))
    for group, values in stated.items():
        if isinstance(values, dict):
            assert {key: cfg[group][key] for key in values} == values
        else:
            assert cfg[group] == values


@pytest.mark.parametrize("scale", ["demo", "paper"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_instantiates(experiment: str, scale: str, paintings: Path) -> None:
    teacher = {
        "distill_encoder": "teacher",
        "distill_vgg19": "teacher",
        "compact_adain": "loss_encoder",
        "compact_finish": "loss_encoder",
    }.get(experiment)
    own = [f"model.{teacher}=compact", *FOLDERS] if teacher else []
    own += ["model.fixed_weights=compact"] if experiment == "distill_vgg19" else []
    encoder = ["model.encoder=random", "model.encoder_widths=compact"]
    encoder = [] if experiment == "finetune" else encoder  # that begins with the bundled one
    encoder = FINISH if experiment == "compact_finish" else encoder
    encoder = ["model.encoder=compact"] if experiment == "distill_vgg19" else encoder
    expected = MODULES.get(experiment, StyleTransferModule)
    if expected is FixedStyleModule:
        own = [f"model.styles={sorted(paintings.iterdir())[0]}", f"model.normal_style={paintings}"]
    cfg = composed(f"experiment={experiment}", f"scale={scale}", *encoder, *own)
    module = instantiate(cfg.model, "model")
    assert type(module) is expected
    assert isinstance(instantiate(cfg.data, "data"), PairedDataModule)
    assert cfg.name == experiment
    if not teacher and experiment != "finetune":  # the compact network has steps of its own
        assert cfg.trainer.max_steps == {"demo": 300, "medium": 5000, "paper": 160_000}[scale]


def test_further_training_has_the_losses_that_the_bundled_network_was_trained_with() -> None:
    """Without them it forgets: reconstructions and other styles lose more than the given ones gain."""
    trained: Any = OmegaConf.to_container(composed("experiment=compact_finish", *FINISH, *FOLDERS).model)
    further: Any = OmegaConf.to_container(composed("experiment=finetune").model)
    for option in ("style_weight", "identity_weight", "color_weight", "lr_fan_in", "lr_schedule", "decoder_widths"):
        assert further[option] == trained[option], option
    assert further["lr"] < trained["lr"]


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda p: str(p.relative_to(conf_dir())))
def test_every_file_is_used_by_a_composition_that_builds_its_object(
    path: Path, tmp_path: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by walking the tree, so that no file can be forgotten."""
    relative = path.relative_to(conf_dir())
    if len(relative.parts) == 1:
        needed = [] if path.stem == "benchmark" else ["ckpt_path=x"]
        cfg = composed(*needed, command=path.stem, output=str(tmp_path))
        assert cfg.hydra.help.template
        return
    group, name = relative.parts[0], path.stem
    if group == "method":
        fixed = write_fixed_styles(tmp_path / "fixed.ckpt", sorted(paintings.iterdir())[:1])
        source = {"style_swap": ["method.style_swap.source=compact"], "fixed_style": [f"method.{name}.source={fixed}"]}
        cfg = composed("ckpt_path=x", f"method={name}", *source.get(name, []), command="evaluate", output=str(tmp_path))
        loss = {"loss_network": VGGEncoder("compact"), "criterion": PerceptualLoss()}
        assert callable(instantiate(cfg.method[name], f"method.{name}", **(loss if name == "gatys" else {})))
        return
    overrides = [f"{group}=[{name}]" if group == "logger" else f"{group}={name}"]
    if name == "compact_finish":
        overrides += FINISH
    elif name != "finetune":
        overrides.append("model.encoder=random")
    if (group, name) == ("data", "folders") or name in (
        "distill_encoder",
        "distill_vgg19",
        "compact_adain",
        "compact_finish",
    ):
        overrides += FOLDERS
    if (group, name) == ("model", "distillation"):
        overrides.append("model.teacher=compact")
    if (group, name) == ("model", "fixed_style"):
        overrides.append(f"model.styles={paintings}")
    if name == "multinode":
        for key, value in torchrun_environment(0, 2, 29500).items():
            monkeypatch.setenv(key, value)
    cfg = composed(*overrides, output=str(tmp_path))
    if group in ("logger", "callbacks"):
        for key, node in cfg[group].items():
            assert instantiate(node, f"{group}.{key}") is not None
    elif group in ("launcher", "sweeper"):
        assert isinstance(hydra_instantiate(cfg.hydra[group]), Launcher if group == "launcher" else Sweeper)
    elif group not in ("scale", "experiment"):
        assert instantiate(cfg[group], group) is not None


@pytest.mark.parametrize(
    ("node", "target"),
    [
        ("data", PairedDataModule),
        ("callbacks.checkpoints", Checkpoints),
        ("callbacks.pictures", ImageGrid),
    ],
)
def test_files_state_every_argument_so_that_all_can_be_set(node: str, target: Any) -> None:
    cfg = OmegaConf.select(composed("data=folders", *FOLDERS), node)
    assert {str(k) for k in cfg if k != "_target_"} == set(inspect.signature(target).parameters)


@pytest.mark.parametrize("module", [StyleTransferModule, InversionModule, FixedStyleModule, DistillationModule])
def test_every_option_of_a_module_is_a_documented_key_with_the_default_of_the_class(
    module: type[LossModule], tmp_path: Path
) -> None:
    """Oracle: the dataclass; `scale` and `experiment` change values, so the file is composed by itself."""
    (path,) = (p for p in (conf_dir() / "model").iterdir() if f".{module.__name__}\n" in p.read_text())
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        stated: Any = OmegaConf.to_container(compose(f"model/{path.stem}").model)
    assert stated.pop("_target_") == f"adain_lit.tasks.{module.__name__}"
    assert stated == asdict(module.config_class())
    assert explanations(module.config_class).keys() == stated.keys()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("compact", load_network),
        ("gatys", Gatys),
        ("network", load_network),
        ("style_swap", load_network),
        ("fixed_style", load_fixed_styles),
        ("plain", PlainAdaIN),
    ],
)
def test_method_file_states_every_argument_but_the_loss(name: str, target: Any) -> None:
    stated: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "method" / f"{name}.yaml"))
    arguments = set(inspect.signature(target).parameters) - {"loss_network", "criterion"}
    assert set(stated[name]) - {"_target_"} == arguments


def test_paper_scale_is_the_papers_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: Sec. 6.2, and the authors' code for what the paper leaves open (docs/paper_map.md)."""
    monkeypatch.setenv("ADAIN_DATA", "/images")
    cfg = composed("scale=paper")
    assert (cfg.data.resize, cfg.data.crop, cfg.data.batch_size, cfg.data.flip) == (512, 256, 8, False)
    assert (cfg.data.content_dir, cfg.data.style_dir) == ("/images/coco/train2014", "/images/wikiart")
    assert (cfg.model.encoder, cfg.model.lr, cfg.model.lr_decay) == ("torchvision", 1e-4, 5e-5)
    assert cfg.model.style_layers == ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]


@pytest.mark.parametrize("layout", ["coco/train2017", "coco/images/train2017", "train2014"])
def test_coco_is_found_as_people_lay_it_out(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / layout).mkdir(parents=True)
    monkeypatch.setenv("ADAIN_DATA", str(tmp_path))
    assert composed("data=coco_wikiart").data.content_dir == str(tmp_path / layout)


MISTAKES = [
    ("model.style_weigth=1", "did you mean model.style_weight?"),
    ("modle.fusion=adain", "did you mean model.fusion?"),
    ("modle=adain", "did you mean model?"),
    ("+model.foo=1", "no key model.foo"),
    ("experiment=nope", "no experiment 'nope'; there are ablation_bndec, ablation_concat"),
    ("scale=large", "no scale 'large'; there are demo, medium, paper"),
    ("model.style_weight=-1", "style_weight is -1.0; it must be 0 or more"),
    ("model.fusion=add", "unknown fusion 'add'; known are adain, concat"),
    ("model.style_weight=much", "model.style_weight: Value 'much' of type 'str' could not be converted to Float"),
    ("model.skip_layers=3", "model.skip_layers: Invalid value assigned: int is not a ListConfig, list or tuple."),
    ("data.batch_size=x", "data.batch_size is 'x'; needed is int"),
    ("model.norm=layer", "unknown decoder norm 'layer'; known are none, batch, instance"),
    ("model.encoder=/nowhere/vgg.pth", "no encoder weights '/nowhere/vgg.pth'"),
    ("model.encoder=vgg_normalised", "vgg_normalised.pth is not in"),
    ("data.content_dir=/nowhere", "no folder /nowhere; give a folder of images"),
    ("data.crop=512", "data.crop is 512, more than data.resize 40"),
    ("data.batch_size=0", "data.batch_size is 0; it must be at least 1"),
    ("trainer.devices=3", "data.batch_size is 2, which 3 processes cannot share equally; give data.batch_size=3, or"),
    ("trainer.num_nodes=2", "1 devices on each of 2 machines, but torchrun or srun has started 1 processes"),
    ("trainer.accelerator=abacus", "trainer: You selected an invalid accelerator name: `accelerator='abacus'`"),
    ("resume=last", "resume=last: no run with a checkpoint"),
    ("resume=/nowhere", "resume=/nowhere: no checkpoint in /nowhere/checkpoints"),
    ("ckpt_path=/nowhere.ckpt", "no checkpoint /nowhere.ckpt"),
    ("seed", "'seed' is neither an option nor a setting; give KEY=VALUE"),
    ("name=é", "Hydra's grammar does not take the value of name=é; quote it: "),
    ("--nope", "unrecognized arguments: --nope"),
]


@pytest.mark.parametrize(("mistake", "line"), MISTAKES, ids=[mistake for mistake, _ in MISTAKES])
def test_a_mistake_ends_in_one_line_and_status_2(
    mistake: str,
    line: str,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "model.encoder_widths=compact", mistake]
    assert run_here(train.main, arguments, monkeypatch) == 2
    (printed,) = capfd.readouterr().err.strip().splitlines()
    assert printed.startswith("adain_lit.train: error: ")
    assert line in printed
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("wandb"))


def test_folder_of_files_none_of_which_is_a_picture_is_an_error_that_names_it(
    paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for i in range(3):
        (broken / f"{i}.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, tiny(broken, paintings), monkeypatch) == 2
    assert f"none of the 2 files in {broken} can be read as an image" in capfd.readouterr().err


def test_missing_folder_setting_says_how_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, ["data=folders"], monkeypatch) == 2
    assert "data.content_dir is not set; give data.content_dir=VALUE" in capfd.readouterr().err


def test_evaluation_without_a_checkpoint_says_how_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(evaluate.main, [], monkeypatch) == 2
    assert capfd.readouterr().err == "adain_lit.evaluate: error: ckpt_path is not set; give ckpt_path=VALUE\n"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (
            "data.content_dir",
            "data.content_dir is a key of the group data, from which nothing is chosen; give data=NAME",
        ),
        ("method.gatys.iterations", "nothing is chosen; give method=NAME too (compact, fixed_style, gatys, network"),
    ],
)
def test_key_of_a_group_that_was_not_chosen_says_which(
    key: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(evaluate.main, ["ckpt_path=compact", f"{key}=x"], monkeypatch) == 2
    assert line in capfd.readouterr().err


EXPLAINED = {
    train.main: "model.skip_layers=[] further layers to fuse and pass to the decoder, at most one of each",  # a field
    evaluate.main: "lpips=false perceptual distance to the content; torchvision fetches",  # YAML comments
    benchmark.main: "method.plain.widths=vgg19 vgg19, compact method.plain.seed=0",
}


@pytest.mark.parametrize("main", EXPLAINED)
def test_help_is_written_for_a_person(
    main: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_here(main, ["--help"], monkeypatch) == 0
    text = capfd.readouterr().out
    assert f"python -m {main.__module__}" in text
    words = " ".join(text.split())
    assert EXPLAINED[main] in words
    assert "seed=0" in words
    assert "${" not in text
    assert ("model: adain, distillation, fixed_style, inversion " in words) is (main is train.main)


@pytest.mark.parametrize("main", EXPLAINED)
def test_help_explains_every_key(main: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Oracle: an explanation begins in column 45 of the key's line, or of the next where the key is long."""
    assert run_here(main, ["--help"], monkeypatch) == 0
    lines = capfd.readouterr().out.split("The keys are:")[-1].splitlines()
    keys = [i for i, line in enumerate(lines) if line[:1].isalpha() and "=" in line.split()[0]]
    assert len(keys) > 10
    unexplained = [lines[i] for i in keys if not lines[i][44:].strip() and not lines[i + 1][:44].isspace()]
    assert [line for line in unexplained if not line.startswith("method.vgg19.")] == []


ENTRIES = """
import runpy, sys, time
for command, *arguments in [
    ("train", "modle.fusion=adain"), ("train", "seed"), ("train", "data=folders"), ("train", "--help"),
    ("evaluate",), ("evaluate", "nope=1"), ("benchmark", "nope=1"),
    ("stylize", "--nope"), ("app", "--nope"), ("prepare", "--nope"),
]:
    sys.argv = [command, *arguments]
    try:
        runpy.run_module(f"adain_lit.{command}", run_name="__main__")
    except SystemExit as end:
        print(end.code)
    for heavy in ("torch", "lightning", "matplotlib", "wandb"):
        assert heavy not in sys.modules, (command, arguments, heavy)
"""


def test_command_lines_that_cannot_be_run_end_before_torch_is_imported(tmp_path: Path) -> None:
    """Importing it takes seconds. Oracle: the modules that a new process has imported after each refusal."""
    done = subprocess.run([sys.executable, "-c", ENTRIES], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [code for code in done.stdout.split() if code in ("0", "2", "None")].count("2") == 9


AS_ON_WINDOWS = """
import importlib, signal
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGALRM"):
    delattr(signal, name)
for name in ("train", "evaluate", "benchmark", "stylize", "export", "app", "report", "prepare"):
    importlib.import_module(f"adain_lit.{name}")
for name in ("grid", "search", "launcher", "local"):
    importlib.import_module(f"hydra_plugins.adain_lit_sweeps.{name}")
from adain_lit.data.pairs import ignore_signals
from hydra_plugins.adain_lit_sweeps.launcher import Interruption
with Interruption():
    pass
ignore_signals(0)
"""


def test_commands_start_without_the_signals_that_windows_lacks(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", AS_ON_WINDOWS], cwd=tmp_path, check=True)


def test_wandb_without_a_key_is_one_line() -> None:
    from wandb.errors import UsageError

    line = one_line(UsageError("No API key configured. Use `wandb login` to log in."))
    assert line is not None
    assert line.endswith("run `wandb login`, or leave WANDB_MODE unset to log offline")


def test_experiment_of_a_users_own_folder_trains(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "configs" / "experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\nmodel:\n  style_weight: 3.0\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["--config-dir", str(own.parent), *tiny(photographs, paintings), "experiment=mine"]
    assert run_here(train.main, arguments, monkeypatch) == 0
    (found,) = (tmp_path / "outputs" / "mine").iterdir()
    assert OmegaConf.load(found / "config.yaml").model.style_weight == 3.0


def test_new_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    first = run_folder(None, str(tmp_path), "a", "now")
    Path(first).mkdir(parents=True)
    assert run_folder(None, str(tmp_path), "a", "now") == f"{first}-2"


def test_resume_last_takes_the_newest_run_that_has_a_checkpoint(tmp_path: Path) -> None:
    for name in ("2026-01-01_00-00-00", "2026-01-02_00-00-00"):
        (tmp_path / "a" / name / "checkpoints").mkdir(parents=True)
        (tmp_path / "a" / name / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "a" / "2026-01-03_00-00-00").mkdir()
    assert run_folder("last", str(tmp_path), "a", "now") == str(tmp_path / "a" / "2026-01-02_00-00-00")
    with pytest.raises(InputError, match="no run with a checkpoint in"):
        run_folder("last", str(tmp_path), "b", "now")


def test_job_folder_names_what_was_swept() -> None:
    sweep = Path("sweep")
    name = "ablation_indec"
    assert job_folder(sweep, name, {"experiment": name, "seed": "1"}) == sweep / "ablation_indec_seed-1"
    assert job_folder(sweep, "mine", {"experiment": name}) == sweep / "mine_experiment-ablation_indec"
    swept = {"seed": "1", "data.crop": "64"}
    assert job_folder(sweep, "a", swept) == job_folder(sweep, "a", dict(reversed(swept.items())))
    paths = [job_folder(sweep, "a", {"data.style_dir": path}) for path in ("/b/c", "/b_c", "/" + 300 * "d")]
    assert paths[0].name.startswith("a_data.style_dir-_b_c_")
    assert len(set(paths)) == 3
    assert all(path.parent == sweep and len(path.name) <= 120 for path in paths)


@pytest.mark.parametrize("value", ["1e-4", "[a,b]", "it's", "étude", "(1)", "a b", "~", "{x: 1}", "#"])
def test_job_folder_can_be_typed_as_the_value_of_a_setting(value: str) -> None:
    """Hydra's grammar refused a sweep's own folders, which had ``=`` in their names."""
    folder = job_folder(Path("sweep"), "a", {"model.lr": value})
    assert OverridesParser.create().parse_override(f"resume={folder.as_posix()}").value() == folder.as_posix()


def test_job_of_a_sweep_from_before_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "003_a_seed=1").mkdir()
    assert job_folder(tmp_path, "a", {"seed": "1"}, prefix="003_").name == "003_a_seed=1"
    assert job_folder(tmp_path, "a", {"seed": "2"}, prefix="003_").name == "003_a_seed-2"


def test_sweep_folder_is_found_again_by_the_same_training_only() -> None:
    command = ["experiment=glob(ablation_*)", "model.style_weight=1,10", "seed=0"]
    name = sweep_folder(None, command)
    assert name.startswith("experiment-style_weight_")
    for same in ("logger=csv", "data.num_workers=4", "launcher=local_gpus", "+callbacks.x._target_=y", "output_root=z"):
        assert sweep_folder(None, [same, *reversed(command)]) == name
    for other in ("model.style_weight=1,10,100", "seed=0,1", "data.crop=64", "+trainer.x=1", "~callbacksx"):
        assert sweep_folder(None, [*command, other]) != name
    assert sweep_folder("mine", command) == "mine"
    assert sweep_folder(None, ["experiment=sweep_optuna"]).startswith("sweep_optuna_")


def test_run_folder_is_that_of_the_first_process_of_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes whose clocks disagree."""
    processes._store.cache_clear()
    port = free_port()
    chosen = []
    for rank, now in ((0, "earlier"), (1, "later")):
        for key, value in torchrun_environment(rank, 2, port).items():
            monkeypatch.setenv(key, value)
        chosen.append(run_folder(None, str(tmp_path), "a", now))
    assert chosen == [str(tmp_path / "a" / "earlier")] * 2
    processes._store.cache_clear()


def test_run_under_slurm_is_named_after_the_job_and_found_when_it_is_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in slurm_environment(1, 2).items():
        monkeypatch.setenv(key, value)
    assert run_folder(None, str(tmp_path), "a", "now") == str(tmp_path / "a" / "slurm_4242_0")
    assert (processes.rank(), processes.world_size(), processes.nodes()) == (1, 2, 1)
    assert not processes.queued_again()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert processes.queued_again()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert run_folder(None, str(tmp_path), "a", "now") == str(tmp_path / "a" / "slurm_17_3_0")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(InputError, match="srun starts 2 processes; give --ntasks-per-node"):
        run_folder(None, str(tmp_path), "a", "now")


def test_multinode_without_torchrun_or_srun_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, ["trainer=multinode"], monkeypatch) == 2
    assert "start the command with one of them" in capfd.readouterr().err


def test_trainer_file_takes_further_arguments_of_lightning() -> None:
    trainer = instantiate(composed("+trainer.fast_dev_run=true", "trainer=smoke").trainer, "trainer", logger=False)
    assert isinstance(trainer, L.Trainer)
    assert trainer.max_steps == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_reader_of_the_configuration_that_leaves_is_no_error(tmp_path: Path) -> None:
    """As in ``--cfg job | head``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "adain_lit.evaluate", "ckpt_path=compact", "--cfg", "job"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (141, "")
