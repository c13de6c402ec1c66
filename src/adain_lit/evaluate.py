"""``python -m adain_lit.evaluate``: losses of a trained network on held-out images, with reference rows."""

import adain_lit.cli  # noqa: F401  # before torch

# isort: split
import logging
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader
from tqdm import tqdm

from adain_lit.config.hydra import run_command
from adain_lit.config.instantiate import instantiate
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.pairs import HeldOutPairs, collate
from adain_lit.devices import choose_device
from adain_lit.distributed import processes
from adain_lit.distributed.launch import launch
from adain_lit.errors import InputError
from adain_lit.evaluation.metrics import (
    REFERENCES,
    Method,
    Values,
    in_order,
    measure,
    perceptual_distance,
    reconstruction,
    summarise,
    table,
)
from adain_lit.evaluation.reference_curves import verdict
from adain_lit.io.files import write_json
from adain_lit.losses import LossConfig, PerceptualLoss
from adain_lit.methods.build import Losses, build_method
from adain_lit.methods.fixed_styles import FixedStyles, load_method, style_images
from adain_lit.nets import LossNetwork, StyleTransferNet, VGGEncoder
from adain_lit.nets.config import select
from adain_lit.runs.record import environment
from adain_lit.weights.encoders import checksum, load_loss_network, require_checksum
from adain_lit.weights.files import read_checkpoint, weights_file

log = logging.getLogger(__name__)

Methods = dict[str, Method]


def main() -> None:
    """Command line entry point."""
    run_command(evaluate, "evaluate")


def evaluate(cfg: DictConfig) -> None:
    """Measure the network of the configuration and those it is compared with, print a table and write JSON.

    With ``devices=N`` the pairs are divided among N processes; the result is the same.
    """
    if not isinstance(cfg.devices, int) or cfg.devices < 1:
        raise InputError(f"devices is {cfg.devices}; give the number of processes, at least 1")
    if cfg.devices > 1 and processes.world_size() == 1:
        launch(cfg.devices, Path(HydraConfig.get().runtime.output_dir))
        return
    with processes.connected():
        _evaluate(cfg)


@torch.no_grad()
def _evaluate(cfg: DictConfig) -> None:
    checkpoint = _checkpoint(cfg.ckpt_path)
    device = _device(cfg.device)
    net = load_method(cfg.ckpt_path, encoder=cfg.encoder).to(device)
    data = _data(cfg, checkpoint)
    criterion = _criterion(checkpoint)
    loss_network = _loss_network(cfg, checkpoint, net, criterion).to(device)
    _normalize(loss_network, cfg, data, device)
    methods = _methods(cfg, net, (loss_network, criterion), device)
    pairs, style_files = _pairs(cfg, data, methods)
    values = _measure(cfg, methods | REFERENCES, pairs, (loss_network, criterion), device)
    if processes.rank():
        return
    results = summarise(values)
    words = verdict(results, step=checkpoint.get("global_step"), settings=_settings(checkpoint))
    record = _record(cfg, checkpoint, data, pairs) | {"fixed_styles": style_files, "results": results, "verdict": words}
    write_json(record | {"environment": environment()}, Path(cfg.output))
    for skipped in data.skipped:
        log.warning("skipped %s: %s", *skipped)
    size = pairs.contents.shape[-1]
    title = f"{len(pairs)} pairs: {len(pairs.contents)} content x {len(pairs.styles)} style images, {size} px"
    log.info("mean +- standard deviation over the pairs\n%s", table(results, title))
    log.info("%s", words)
    log.info("written to %s (log and configuration in %s)", cfg.output, HydraConfig.get().runtime.output_dir)


def _methods(cfg: DictConfig, net: StyleTransferNet | FixedStyles, losses: Losses, device: torch.device) -> Methods:
    """The network, the networks of ``compare`` and the methods of ``method``, by name."""
    methods: Methods = {"stylised": net}
    for name, source in cfg.compare.items():
        methods[str(name)] = load_method(source).to(device)
    for name, node in (cfg.get("method") or {}).items():
        methods[str(name)] = build_method(node, str(name), losses=lambda: losses, device=device)
    return methods


def _measure(cfg: DictConfig, methods: Methods, pairs: HeldOutPairs, losses: Losses, device: torch.device) -> Values:
    """What is measured of every method, one value for each pair, gathered from all processes."""
    lpips = perceptual_distance(device) if cfg.lpips else None
    own = _own_batches(len(pairs), cfg.batch_size)
    batches = DataLoader(pairs, batch_sampler=own, collate_fn=collate)
    bar = tqdm(batches, desc="measuring", unit="batch", disable=processes.rank() > 0)
    values = in_order(processes.gather((own, measure(methods, bar, *losses, device=device, lpips=lpips))))
    # networks for fixed styles cannot take a content image as style
    of_any_style = {name: method for name, method in methods.items() if not isinstance(method, FixedStyles)}
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
    cfg: DictConfig, data: PairedDataModule, methods: dict[str, Method]
) -> tuple[HeldOutPairs, list[str] | None]:
    """Every held-out content with every held-out style, or with the styles that all methods for fixed styles share.

    Returns:
        The pairs, and the files of the shared styles; None without methods for fixed styles.

    Raises:
        InputError: if methods for fixed styles share none.
    """
    fixed = {name: method for name, method in methods.items() if isinstance(method, FixedStyles)}
    if not fixed:
        return data.held_out_pairs(contents=cfg.contents, styles=cfg.styles, size=cfg.size), None
    first, *others = fixed.values()
    files = [file for file in first.files if all(file in other.files for other in others)][: cfg.styles]
    if not files:
        raise InputError(f"{' and '.join(fixed)} were trained on different styles; compare them one by one")
    contents = data.held_out_pairs(contents=cfg.contents, styles=1, size=cfg.size).contents
    return HeldOutPairs(contents, style_images(files, contents.shape[-1])), files


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
) -> VGGEncoder | LossNetwork:
    """The network that the losses are measured with: the requested one, that of the training, or the encoder."""
    settings = _settings(checkpoint)
    fixed = isinstance(net, FixedStyles)
    asked: Any = _asked(cfg)
    trained: Any = settings.get("encoder" if fixed else "loss_encoder")
    if asked is None and trained is None and isinstance(net, StyleTransferNet):
        return net.encoder
    if asked is not None and asked != trained:
        return load_loss_network(asked, layers=criterion.layers)
    own = {"widths": settings["encoder_widths"], "preprocessing": settings["encoder_preprocessing"]} if fixed else {}
    loss_network = load_loss_network(trained, layers=criterion.layers, **own)
    saved = checkpoint["encoder" if fixed else "loss_network"]
    require_checksum(checksum(loss_network), saved["sha256"], f"the network of the losses, {trained}")
    loss_network.scales = saved["mean_activations"]
    return loss_network


def _normalize(
    loss_network: VGGEncoder | LossNetwork, cfg: DictConfig, data: PairedDataModule, device: torch.device
) -> None:
    """Scale a loss network to unit mean activation on content images, unless its checkpoint has the scales."""
    if isinstance(loss_network, LossNetwork) and not loss_network.scales and cfg.unit_mean_images:
        contents = data.held_out_pairs(contents=cfg.unit_mean_images, styles=1, size=cfg.size).contents
        loss_network.normalize(image.unsqueeze(0).to(device) / 255 for image in contents)


def _asked(cfg: DictConfig) -> Any:
    """The value of ``loss_encoder``: a string, a list of strings, or None."""
    return OmegaConf.to_container(cfg.loss_encoder) if OmegaConf.is_list(cfg.loss_encoder) else cfg.loss_encoder


if __name__ == "__main__":
    main()
