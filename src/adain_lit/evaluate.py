"""``python -m adain_lit.evaluate``: losses of a trained network on held-out images, beside reference rows."""

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
from adain_lit.methods.build import build_method
from adain_lit.methods.fixed_styles import FixedStyles, load_method, style_images
from adain_lit.nets import LossNetwork, StyleTransferNet, VGGEncoder
from adain_lit.nets.config import select
from adain_lit.runs.record import environment
from adain_lit.weights.encoders import checksum, load_loss_network, require_checksum
from adain_lit.weights.files import read_checkpoint, weights_file

log = logging.getLogger(__name__)


def main() -> None:
    """Command line entry point."""
    run_command(evaluate, "evaluate")


def evaluate(cfg: DictConfig) -> None:
    """Measure the network that `cfg` names and the methods beside it, print a table and write JSON.

    In several processes if so asked.
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
    settings: dict[str, Any] = dict(checkpoint.get("hyper_parameters", {}))
    device = _device(cfg.device)
    net = load_method(cfg.ckpt_path, encoder=cfg.encoder).to(device)
    data = _data(cfg, checkpoint)
    criterion = _criterion(settings)
    phi = _phi(cfg, checkpoint, net, criterion).to(device)
    if isinstance(phi, LossNetwork) and not phi.scales and cfg.unit_mean_images:
        photographs = data.held_out_pairs(contents=cfg.unit_mean_images, styles=1, size=cfg.size).contents
        phi.normalize(image.unsqueeze(0).to(device) / 255 for image in photographs)
    methods: dict[str, Method] = {"stylised": net}
    for name, source in cfg.compare.items():
        methods[str(name)] = load_method(source).to(device)
    for name, node in (cfg.get("method") or {}).items():
        methods[str(name)] = build_method(node, str(name), losses=lambda: (phi, criterion), device=device)
    pairs, files = _pairs(cfg, data, methods)
    methods |= REFERENCES
    lpips = perceptual_distance(device) if cfg.lpips else None
    own = _own_batches(len(pairs), cfg.batch_size)
    batches = DataLoader(pairs, batch_sampler=own, collate_fn=collate)
    bar = tqdm(batches, desc="measuring", unit="batch", disable=processes.rank() > 0)
    values = in_order(processes.gather((own, measure(methods, bar, phi, criterion, device=device, lpips=lpips))))
    own = _own_batches(len(pairs.contents), cfg.batch_size)
    of_any_style = {name: method for name, method in methods.items() if not isinstance(method, FixedStyles)}
    similarities = reconstruction(of_any_style, (pairs.contents[numbers].to(device) / 255 for numbers in own))
    for name, rows in in_order(processes.gather((own, similarities))).items():
        values[name] |= rows
    if processes.rank():
        return
    results = summarise(values)
    words = verdict(results, step=checkpoint.get("global_step"), settings=settings)
    output = Path(cfg.output)
    write_json(
        {
            "network": str(cfg.ckpt_path),
            "compared": {**cfg.compare},
            "step": checkpoint.get("global_step"),
            "model": settings,
            "measured_with": _asked(cfg) or settings.get("loss_encoder") or "the encoder",
            "style_weight": criterion.config.style_weight,
            "data": dict(data.hparams),
            "contents": len(pairs.contents),
            "styles": len(pairs.styles),
            "fixed_styles": files,
            "pairs": len(pairs),
            "size": pairs.contents.shape[-1],
            "skipped": [skipped._asdict() for skipped in data.skipped],
            "results": results,
            "verdict": words,
            "environment": environment(),
        },
        output,
    )
    for skipped in data.skipped:
        log.warning("skipped %s: %s", *skipped)
    size = pairs.contents.shape[-1]
    title = f"{len(pairs)} pairs: {len(pairs.contents)} photographs x {len(pairs.styles)} paintings, {size} px"
    log.info("mean +- standard deviation over the pairs\n%s", table(results, title))
    log.info("%s", words)
    log.info("written to %s (log and configuration in %s)", output, HydraConfig.get().runtime.output_dir)


def _device(name: str) -> torch.device:
    """The device that was asked for; of several GPUs that of this process."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", processes.local_rank() % torch.cuda.device_count())
    return choose_device("cpu" if name == "auto" else name)


def _own_batches(count: int, batch_size: int) -> list[list[int]]:
    """Numbers of the images that this process measures: whole batches, since some methods work on one as a whole."""
    batches = [[*range(i, min(i + batch_size, count))] for i in range(0, count, batch_size)]
    return batches[processes.rank() :: processes.world_size()]


def _checkpoint(source: str) -> dict[str, Any]:
    """What a checkpoint tells of its training; nothing for other files."""
    path = weights_file(source)
    return read_checkpoint(path) if path.suffix == ".ckpt" else {}


def _data(cfg: DictConfig, checkpoint: dict[str, Any]) -> PairedDataModule:
    """The images that were asked for, or those that the training held out."""
    if cfg.get("data") is not None:
        data = instantiate(cfg.data, "data")
    elif checkpoint:
        data = PairedDataModule(**checkpoint["datamodule_hyper_parameters"])
    else:
        raise InputError(f"{cfg.ckpt_path} does not tell what images to measure on; give data=demo or data=folders")
    data.prepare_data()
    data.setup("validate")
    assert isinstance(data, PairedDataModule)
    return data


def _pairs(
    cfg: DictConfig, data: PairedDataModule, methods: dict[str, Method]
) -> tuple[HeldOutPairs, list[str] | None]:
    """Every held-out photograph with every held-out painting; or with the styles that methods for fixed styles share.

    Raises:
        InputError: if they share none.
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


def _criterion(settings: dict[str, Any]) -> PerceptualLoss:
    """The loss of the training, or the paper's."""
    return PerceptualLoss(select(LossConfig, settings))


def _phi(
    cfg: DictConfig,
    checkpoint: dict[str, Any],
    net: StyleTransferNet | FixedStyles,
    criterion: PerceptualLoss,
) -> VGGEncoder | LossNetwork:
    """The network that measures: the one that was asked for, that of the training, or the encoder."""
    settings = checkpoint.get("hyper_parameters", {})
    fixed = isinstance(net, FixedStyles)
    asked, trained = _asked(cfg), settings.get("encoder" if fixed else "loss_encoder")
    if asked is None and trained is None and isinstance(net, StyleTransferNet):
        return net.encoder
    if asked is not None and asked != trained:
        return load_loss_network(asked, layers=criterion.layers)
    own = {"widths": settings["encoder_widths"], "preprocessing": settings["encoder_preprocessing"]} if fixed else {}
    phi = load_loss_network(trained, layers=criterion.layers, **own)
    saved = checkpoint["encoder" if fixed else "loss_network"]
    require_checksum(checksum(phi), saved["sha256"], f"the network of the losses, {trained}")
    phi.scales = saved["mean_activations"]
    return phi


def _asked(cfg: DictConfig) -> Any:
    """The weights to measure with that the command line names: a string, a list of them, or None."""
    return OmegaConf.to_container(cfg.loss_encoder) if OmegaConf.is_list(cfg.loss_encoder) else cfg.loss_encoder


if __name__ == "__main__":
    main()
