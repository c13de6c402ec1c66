"""``python -m adain_lit.evaluate``: losses of a trained network on held-out pictures, beside two reference rows."""

import io
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.functional.image import structural_similarity_index_measure
from tqdm import tqdm

from adain_lit.config import instantiate, run_command
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.pairs import PairBatch, collate
from adain_lit.functional import adaptive_instance_norm
from adain_lit.losses import PerceptualLoss
from adain_lit.nets import VGGEncoder
from adain_lit.run_record import environment, write_json
from adain_lit.tasks import StyleTransferModule
from adain_lit.weights import read_checkpoint

log = logging.getLogger(__name__)

Method = Callable[[Tensor, Tensor], Tensor]
"""Stylises: content (N, 3, H, W) and style (N, 3, H', W') to (N, 3, H, W), RGB in [0, 1]."""

REFERENCES: dict[str, Method] = {
    "content image": lambda content, style: content,
    "style image": lambda content, style: style,
}
"""What no stylising at all measures: the photograph untouched, and the painting in its place."""


def main() -> None:
    """Command line entry point."""
    run_command(evaluate, "evaluate")


def evaluate(cfg: DictConfig) -> None:
    """Measure the checkpoint that `cfg` names, print a table and write JSON."""
    checkpoint = read_checkpoint(cfg.ckpt_path)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if cfg.device == "auto" else cfg.device)
    module = StyleTransferModule.load_from_checkpoint(cfg.ckpt_path, map_location=device, weights_only=True).eval()
    if cfg.get("data") is None:
        data = PairedDataModule(**checkpoint["datamodule_hyper_parameters"])
    else:
        data = instantiate(cfg.data, "data")
    data.prepare_data()
    data.setup("validate")
    pairs = data.held_out_pairs(contents=cfg.contents, styles=cfg.styles, size=cfg.size)
    loader = DataLoader(pairs, batch_size=cfg.batch_size, collate_fn=collate)
    methods: dict[str, Method] = {"stylised": module, **REFERENCES}
    values = measure(methods, tqdm(loader, desc="measuring", unit="batch"), module.net.encoder, module.criterion)
    results = {
        "checkpoint": str(cfg.ckpt_path),
        "step": checkpoint["global_step"],
        "model": dict(checkpoint["hyper_parameters"]),
        "data": dict(data.hparams),
        "contents": len(pairs.contents),
        "styles": len(pairs.styles),
        "pairs": len(pairs),
        "size": pairs.contents.shape[-1],
        "skipped": [skipped._asdict() for skipped in data.skipped],
        "results": summarise(values),
        "environment": environment(),
    }
    output = Path(cfg.output)
    write_json(results, output)
    for skipped in data.skipped:
        log.warning("skipped %s: %s", *skipped)
    title = (
        f"{len(pairs)} pairs: {len(pairs.contents)} photographs x {len(pairs.styles)} paintings, {results['size']} px"
    )
    log.info("mean +- standard deviation over the pairs\n%s", table(results["results"], title))
    log.info("written to %s (log and configuration in %s)", output, HydraConfig.get().runtime.output_dir)


@torch.no_grad()
def measure(
    methods: dict[str, Method], batches: Iterable[PairBatch], encoder: VGGEncoder, criterion: PerceptualLoss
) -> dict[str, dict[str, Tensor]]:
    """Losses and similarity of methods on the same pairs.

    The content target is AdaIN's (Eq. 12) for every method, whatever it was trained on, so that rows compare.

    Args:
        methods: by name.
        batches: pairs of pictures in ``uint8``.
        encoder: the network that measures.
        criterion: which layers and which form of the losses.

    Returns:
        For each method and each value, one number for each pair: ``content_loss``, ``style_loss``,
        ``style_loss/<layer>`` and ``ssim`` (structural similarity to the content, 1 is equal).
    """
    device = next(encoder.parameters()).device
    parts: dict[str, dict[str, list[Tensor]]] = {name: {} for name in methods}
    for batch in batches:
        content, style = (x.to(device).float() / 255 for x in (batch.content, batch.style))
        style_features = encoder(style, criterion.layers)
        content_features = encoder(content, (criterion.content_layer,))[criterion.content_layer]
        target = adaptive_instance_norm(content_features, style_features[criterion.content_layer])
        for name, method in methods.items():
            stylized = method(content, style)
            losses = criterion(encoder(stylized, criterion.layers), target, style_features)
            del losses["loss"]
            losses["ssim"] = similarity(stylized.float(), content)
            for key, value in losses.items():
                parts[name].setdefault(key, []).append(value.cpu())
    return {name: {key: torch.cat(values) for key, values in rows.items()} for name, rows in parts.items()}


def similarity(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5), (N, 3, H, W) to (N,).

    The mean over the windows that lie wholly inside the picture; torchmetrics' own mean takes in mirrored borders.
    """
    _, windows = structural_similarity_index_measure(
        image, reference, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return windows[..., 5:-5, 5:-5].flatten(1).mean(1)


def summarise(values: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and (population) standard deviation over the pairs."""
    return {
        name: {key: {"mean": float(x.mean()), "std": float(x.std(correction=0))} for key, x in rows.items()}
        for name, rows in values.items()
    }


def table(results: dict[str, dict[str, dict[str, float]]], title: str) -> str:
    """The results as a table for people: a column for each method."""
    sheet = Table(title=title)
    sheet.add_column("")
    for name in results:
        sheet.add_column(name, justify="right")
    for key in next(iter(results.values())):
        cells = [f"{rows[key]['mean']:.4f} +- {rows[key]['std']:.4f}" for rows in results.values()]
        sheet.add_row(key, *cells)
    text = io.StringIO()
    Console(file=text, width=120).print(sheet)
    return text.getvalue()


if __name__ == "__main__":
    main()
