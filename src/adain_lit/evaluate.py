"""``python -m adain_lit.evaluate``: losses of a trained network on held-out images, with reference rows."""

from adain_lit import cli  # before torch

if __name__ == "__main__":  # before the imports below, which take seconds: a command line is checked without them
    cli.evaluate()
    raise SystemExit

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from adain_lit.config.instantiate import instantiate
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.fixed_styles import style_files as find_style_files
from adain_lit.data.pairs import HeldOutPairs, collate
from adain_lit.devices import choose_device, keep_freed_memory
from adain_lit.distributed import processes
from adain_lit.distributed.launch import launch
from adain_lit.errors import InputError
from adain_lit.evaluation.metrics import (
    REFERENCES,
    Method,
    Target,
    Values,
    in_order,
    measure,
    perceptual_distance,
    reconstruction,
    summarise,
    table,
    write_tables,
)
from adain_lit.evaluation.reference_curves import changed, verdict
from adain_lit.io.files import write_json
from adain_lit.io.memory import available_memory
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.build import Losses, build_method
from adain_lit.methods.fixed_styles import FixedStyles, load_method, style_images
from adain_lit.nets import LossNetwork, StyleTransferNet, VGGEncoder
from adain_lit.nets.config import LossConfig, select
from adain_lit.runs.record import environment
from adain_lit.runs.rows import read_rows, values_by_step
from adain_lit.tasks.config import FixedStyleConfig
from adain_lit.tasks.fixed_style import content_normalizer
from adain_lit.tasks.start import network_at_start
from adain_lit.weights.encoders import checksum, load_loss_network, require_checksum
from adain_lit.weights.files import read_checkpoint, weights_file

log = logging.getLogger(__name__)

Methods = dict[str, Method]

TRAINED, START = "as in training", "at the start"
"""Rows of the network as its own validation measures it, and as that would have been before the first step."""
VALIDATION = "validation"


def main() -> None:
    """Command line entry point."""
    cli.evaluate()


def evaluate(cfg: DictConfig) -> None:
    """Measure the network of the configuration and those it is compared with, print a table and write JSON.

    With ``devices=N`` the pairs are divided among N processes; the result is the same.
    """
    if not isinstance(cfg.devices, int) or cfg.devices < 1:
        raise InputError(f"devices is {cfg.devices}; give the number of processes, at least 1")
    if cfg.devices > 1 and processes.world_size() == 1:
        launch(cfg.devices, Path(HydraConfig.get().runtime.output_dir))
        return
    keep_freed_memory(min((available_memory() or 2**33) // 4, 2**31 - 1))
    with processes.connected():
        _evaluate(cfg)


@torch.no_grad()
def _evaluate(cfg: DictConfig) -> None:
    checkpoint = _checkpoint(cfg.ckpt_path)
    device = _device(cfg.device)
    net = load_method(cfg.ckpt_path, encoder=cfg.encoder).to(device)
    data = _data(cfg, checkpoint)
    criterion = _criterion(checkpoint)
    loss_network, scale = _loss_network(cfg, checkpoint, net, criterion)
    loss_network = loss_network.to(device)
    scale = scale or _normalize(loss_network, cfg, data, device)
    methods: Methods = {"stylised": net}
    methods |= {name: method.to(device) for name, method in _of_training(cfg, checkpoint, net).items()}
    methods |= _others(cfg, (loss_network, criterion), device)
    pairs, style_files = _pairs(cfg, checkpoint, data, methods)
    _preprocess(pairs, net, checkpoint, cfg.batch_size, device)
    targets = {name: _target(net) for name in (TRAINED, START) if name in methods}
    values = _measure(cfg, methods | REFERENCES, pairs, (loss_network, criterion), device, targets)
    if processes.rank():
        return
    results = summarise(values)
    judged = results | {"stylised": results.get(TRAINED, results["stylised"])}  # curves are of validations in training
    words = {"verdict": verdict(judged, step=checkpoint.get("global_step"), settings=_settings(checkpoint))}
    if START in values:
        losses = {"total": "loss", "content": "content_loss", "style": "style_loss"}
        words["change"] = changed(
            *({word: values[name][key] for word, key in losses.items()} for name in (TRAINED, START))
        )
    own = _own_validation(cfg.ckpt_path, checkpoint)
    record = _record(cfg, checkpoint, data, pairs) | {"scale": scale, "fixed_styles": style_files, "validation": own}
    output = Path(cfg.output)
    write_json(record | {"results": results} | words | {"environment": environment()}, output)
    tables = [output.with_suffix(suffix) for suffix in (".csv", ".tex")]
    write_tables(results, *tables)
    for skipped in data.skipped:
        log.warning("skipped %s: %s", *skipped)
    size = pairs.contents.shape[-1]
    title = f"{len(pairs)} pairs: {len(pairs.contents)} content x {len(pairs.styles)} style images, {size} px"
    log.info("losses on %s, %s", record["measured_with"], scale)
    log.info("mean +- standard deviation over the pairs\n%s", table(results, title))
    if own:
        log.info(
            "the training's own validation at step %d: content %.4f, style %.4f (on its pairs: pairs=validation)",
            *(own[name] for name in ("step", "content_loss", "style_loss")),
        )
    for text in reversed(words.values()):
        log.info("%s", text)
    log.info("written to %s, %s and %s", output, *(path.name for path in tables))
    log.info("log and configuration are in %s", HydraConfig.get().runtime.output_dir)


class _Unclipped(torch.nn.Module):
    """A network whose output is not clipped to [0, 1], as the losses of its training take it."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        fused = self.net.fuse(self.net.encode(content), [self.net.encode(style)])
        return self.net.decode(fused, content.shape[2:])


def _of_training(
    cfg: DictConfig, checkpoint: dict[str, Any], net: StyleTransferNet | FixedStyles
) -> dict[str, torch.nn.Module]:
    """The network as its own validation measures it, and as it was before its training if that is wanted and possible.

    Both are measured against the content target of the training; neither is clipped.
    """
    if not checkpoint:
        return {}
    networks = {TRAINED: net}
    if cfg.start:
        try:
            networks[START] = network_at_start(checkpoint, encoder=cfg.encoder)
        except InputError as error:
            log.warning("not compared with the start of the training, which cannot be built again: %s", error)
    return {
        name: _Unclipped(network) if isinstance(network, StyleTransferNet) else network
        for name, network in networks.items()
    }


def _target(net: StyleTransferNet | FixedStyles) -> Target:
    """The content target of a network's training."""
    if isinstance(net, FixedStyles) or net.fusion.content_target == "content":
        return lambda content, style: content
    return net.fusion.fuse


def _own_validation(source: str, checkpoint: dict[str, Any]) -> dict[str, float] | None:
    """Content and style loss that the training logged at the step of the checkpoint; None if it left no log."""
    rows = values_by_step(read_rows(weights_file(source).absolute().parents[1] / "metrics.csv")[1])
    row = rows.get(checkpoint.get("global_step", -1), {})
    if "val/content_loss" not in row:
        return None
    return {"step": checkpoint["global_step"]} | {name: row[f"val/{name}"] for name in ("content_loss", "style_loss")}


def _preprocess(
    pairs: HeldOutPairs,
    net: StyleTransferNet | FixedStyles,
    checkpoint: dict[str, Any],
    batch_size: int,
    device: torch.device,
) -> None:
    """Give the content images the preprocessing that a network for fixed styles was trained with."""
    settings = _settings(checkpoint)
    if not isinstance(net, FixedStyles) or settings.get("normalize", "none") == "none":
        return
    preprocess = content_normalizer(select(FixedStyleConfig, settings), net.files).eval().to(device)
    batches = (preprocess(part.to(device) / 255) * 255 for part in torch.split(pairs.contents, batch_size))
    pairs.contents = torch.cat([batch.cpu() for batch in batches])


def _others(cfg: DictConfig, losses: Losses, device: torch.device) -> Methods:
    """The networks of ``compare`` and the methods of ``method``, by name."""
    methods: Methods = {}
    for name, source in cfg.compare.items():
        methods[str(name)] = load_method(source).to(device)
    for name, node in (cfg.get("method") or {}).items():
        methods[str(name)] = build_method(node, str(name), losses=lambda: losses, device=device)
    return methods


def _measure(
    cfg: DictConfig,
    methods: Methods,
    pairs: HeldOutPairs,
    losses: Losses,
    device: torch.device,
    targets: dict[str, Target],
) -> Values:
    """What is measured of every method, one value for each pair, gathered from all processes."""
    lpips = perceptual_distance(device) if cfg.lpips else None
    own = _own_batches(len(pairs), cfg.batch_size)
    batches = DataLoader(pairs, batch_sampler=own, collate_fn=collate)
    bar = tqdm(batches, desc="measuring", unit="batch", disable=processes.rank() > 0)
    values = in_order(
        processes.gather((own, measure(methods, bar, *losses, device=device, lpips=lpips, targets=targets)))
    )
    # networks for fixed styles cannot take a content image as style
    of_any_style = {
        name: method
        for name, method in methods.items()
        if name not in (TRAINED, START) and not isinstance(method, FixedStyles)
    }
    own = _own_batches(len(pairs.contents), cfg.batch_size)
    similarities = reconstruction(of_any_style, (pairs.contents[indices].to(device) / 255 for indices in own))
    for name, rows in in_order(processes.gather((own, similarities))).items():
        values[name] |= rows
    return values


def _record(cfg: DictConfig, checkpoint: dict[str, Any], data: PairedDataModule, pairs: HeldOutPairs) -> dict[str, Any]:
    """What the JSON says of the network, of what it was measured with and of the images."""
    settings = _settings(checkpoint)
    return {
        "network": str(cfg.ckpt_path),
        "compared": {**cfg.compare},
        "step": checkpoint.get("global_step"),
        "model": settings,
        "measured_with": _asked(cfg) or settings.get("loss_encoder") or "the encoder",
        "style_weight": _criterion(checkpoint).config.style_weight,
        "data": dict(data.hparams),
        "contents": len(pairs.contents),
        "styles": len(pairs.styles),
        "pairs": len(pairs),
        "size": pairs.contents.shape[-1],
        "skipped": [skipped._asdict() for skipped in data.skipped],
    }


def _device(name: str) -> torch.device:
    """The requested device; with several GPUs the one of this process."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", processes.local_rank() % torch.cuda.device_count())
    return choose_device("cpu" if name == "auto" else name)


def _own_batches(count: int, batch_size: int) -> list[list[int]]:
    """Indices of the pairs that this process measures, in whole batches: some methods optimise a batch as a whole."""
    batches = [[*range(i, min(i + batch_size, count))] for i in range(0, count, batch_size)]
    return batches[processes.rank() :: processes.world_size()]


def _checkpoint(source: str) -> dict[str, Any]:
    """The contents of a Lightning checkpoint; empty for other files, which do not describe their training."""
    path = weights_file(source)
    return read_checkpoint(path) if path.suffix == ".ckpt" else {}


def _data(cfg: DictConfig, checkpoint: dict[str, Any]) -> PairedDataModule:
    """The requested images, or those that the training held out."""
    if cfg.get("data") is not None:
        data = instantiate(cfg.data, "data")
    elif checkpoint:
        data = PairedDataModule(**checkpoint["datamodule_hyper_parameters"])
    else:
        raise InputError(f"{cfg.ckpt_path} does not say which images to measure on; give data=demo or data=folders")
    data.prepare_data()
    data.setup("validate")
    assert isinstance(data, PairedDataModule)
    return data


def _pairs(
    cfg: DictConfig, checkpoint: dict[str, Any], data: PairedDataModule, methods: dict[str, Method]
) -> tuple[HeldOutPairs, list[str] | None]:
    """The requested pairs; with methods for fixed styles, the style images are those that all of them share.

    Returns:
        The pairs, and the files of the shared styles; None without methods for fixed styles.

    Raises:
        InputError: if methods for fixed styles share none, or if `pairs` is unknown or excludes other settings.
    """
    fixed = {name: method for name, method in methods.items() if isinstance(method, FixedStyles)}
    if cfg.pairs not in (None, VALIDATION):
        raise InputError(f"pairs is {cfg.pairs}; give {VALIDATION}, or leave it out for every content with every style")
    if cfg.pairs == VALIDATION:
        given = [name for name in ("contents", "styles", "size") if cfg[name] is not None]
        if given:
            raise InputError(f"pairs={VALIDATION} are the pairs of the training; leave out {' and '.join(given)}")
        pairs = data.held_out_pairs(pairs=data.hparams["val_pairs"])
        if not fixed:
            return pairs, None
        return _validation_of_fixed_styles(pairs, _shared_styles(fixed), _settings(checkpoint))
    if not fixed:
        return data.held_out_pairs(contents=cfg.contents, styles=cfg.styles, size=cfg.size), None
    files = _shared_styles(fixed)[: cfg.styles]
    contents = data.held_out_pairs(contents=cfg.contents, styles=1, size=cfg.size).contents
    return HeldOutPairs(contents, style_images(files, contents.shape[-1])), files


def _validation_of_fixed_styles(
    pairs: HeldOutPairs, files: list[str], settings: dict[str, Any]
) -> tuple[HeldOutPairs, list[str]]:
    """The validation pairs of a training for fixed styles: content of each pair k, and style k modulo their number."""
    if settings.get("add_to"):  # only the styles that it added were trained
        added = {str(path) for path in find_style_files(settings["styles"], settings["style_count"])}
        files = [file for file in files if file in added]
    images = style_images(files, settings.get("style_size") or pairs.contents.shape[-1])
    fixed = HeldOutPairs(pairs.contents, images)
    fixed.pairs = [(content, k % len(files)) for k, (content, _) in enumerate(pairs.pairs)]
    return fixed, files


def _shared_styles(fixed: dict[str, FixedStyles]) -> list[str]:
    first, *others = fixed.values()
    files = [file for file in first.files if all(file in other.files for other in others)]
    if not files:
        raise InputError(f"{' and '.join(fixed)} were trained on different styles; compare them one by one")
    return files


def _settings(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters of the training; empty if they are not known."""
    return dict(checkpoint.get("hyper_parameters", {}))


def _criterion(checkpoint: dict[str, Any]) -> PerceptualLoss:
    """The loss of the training, or the paper's."""
    return PerceptualLoss(select(LossConfig, _settings(checkpoint)))


def _loss_network(
    cfg: DictConfig,
    checkpoint: dict[str, Any],
    net: StyleTransferNet | FixedStyles,
    criterion: PerceptualLoss,
) -> tuple[VGGEncoder | LossNetwork, str | None]:
    """The network that the losses are measured with: the requested one, that of the training, or the encoder.

    Returns:
        The network, and how it is scaled; None if that is still to be decided, see `_normalize`.
    """
    settings = _settings(checkpoint)
    fixed = isinstance(net, FixedStyles)
    asked: Any = _asked(cfg)
    trained: Any = settings.get("encoder" if fixed else "loss_encoder")
    if asked is None and trained is None and isinstance(net, StyleTransferNet):
        return net.encoder, "scaled as in the network"
    if asked is not None and asked != trained:
        return load_loss_network(asked, layers=criterion.layers), None
    own = {"widths": settings["encoder_widths"], "preprocessing": settings["encoder_preprocessing"]} if fixed else {}
    loss_network = load_loss_network(trained, layers=criterion.layers, **own)
    saved = checkpoint["encoder" if fixed else "loss_network"]
    require_checksum(checksum(loss_network), saved["sha256"], f"the network of the losses, {trained}")
    loss_network.scales = saved["mean_activations"]
    return loss_network, "with the scale of the training" if loss_network.scales else "unscaled, as in the training"


def _normalize(
    loss_network: VGGEncoder | LossNetwork, cfg: DictConfig, data: PairedDataModule, device: torch.device
) -> str:
    """Scale those layers of a loss network to unit mean activation that never were; in words, what was done."""
    if not isinstance(loss_network, LossNetwork) or not cfg.unit_mean_images:
        return "its weights left as they are"
    if loss_network.scaled_layers >= loss_network.sources.keys():
        return "whose weights are scaled already"
    contents = data.held_out_pairs(contents=cfg.unit_mean_images, styles=1, size=cfg.size).contents
    images = (image.unsqueeze(0).to(device) / 255 for image in contents)
    loss_network.normalize(images)
    return f"scaled on {len(contents)} held-out content images"


def _asked(cfg: DictConfig) -> Any:
    """The value of ``loss_encoder``: a string, a list of strings, or None."""
    return OmegaConf.to_container(cfg.loss_encoder) if OmegaConf.is_list(cfg.loss_encoder) else cfg.loss_encoder
