"""Measuring methods of style transfer on the same pairs of images."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm
from adain_lit.losses import PerceptualLoss, content_loss
from adain_lit.nets import LossNetwork, VGGEncoder

Method = Callable[[Tensor, Tensor], Tensor]
"""Stylises: content (N, 3, H, W) and style (N, 3, H', W') to (N, 3, H, W), RGB in [0, 1]."""

Values = dict[str, dict[str, Tensor]]
"""For each method and each value, one number for each pair."""

REFERENCES: dict[str, Method] = {
    "content image": lambda content, style: content,
    "style image": lambda content, style: style,
}
"""What no stylising at all measures: the photograph untouched, and the painting in its place."""


@torch.no_grad()
def measure(
    methods: Mapping[str, Method],
    batches: Iterable[PairBatch],
    phi: VGGEncoder | LossNetwork,
    criterion: PerceptualLoss,
    *,
    device: torch.device | None = None,
    lpips: Method | None = None,
) -> Values:
    """Losses and similarity of methods on the same pairs.

    The content target is AdaIN's (Eq. 12) for every method, whatever it was trained on, so that rows compare.

    Args:
        methods: by name.
        batches: pairs of images in ``uint8``.
        phi: the network that measures.
        criterion: which layers and which form of the losses.
        device: where the images go; that of `phi` by default.
        lpips: a distance (N, 3, H, W) x 2 to (N,), see `perceptual_distance`.

    Returns:
        For each method and each value, one number for each pair: ``loss`` (Eq. 11), ``content_loss``, ``style_loss``,
        ``style_loss/<layer>``, ``content_distance`` (the content loss against f(c) itself, as Gatys et al. have it),
        ``ssim`` (structural similarity to the content, 1 is equal) and, where asked for, ``lpips`` (perceptual distance
        to the content, 0 is equal).
    """
    device = device or next(phi.parameters()).device
    parts: dict[str, dict[str, list[Tensor]]] = {name: {} for name in methods}
    for batch in batches:
        content, style = (x.to(device).float() / 255 for x in (batch.content, batch.style))
        style_features = phi(style, criterion.layers)
        content_features = phi(content, (criterion.content_layer,))[criterion.content_layer]
        target = adaptive_instance_norm(content_features, style_features[criterion.content_layer])
        for name, method in methods.items():
            stylized = method(content, style)
            features = phi(stylized, criterion.layers)
            losses = criterion(features, target, style_features)
            losses["content_distance"] = content_loss(features[criterion.content_layer], content_features)
            losses["ssim"] = similarity(stylized.float(), content)
            if lpips is not None:
                losses["lpips"] = lpips(stylized.float(), content)
            for key, value in losses.items():
                parts[name].setdefault(key, []).append(value.cpu())
    return {name: {key: torch.cat(values) for key, values in rows.items()} for name, rows in parts.items()}


@torch.no_grad()
def reconstruction(methods: Mapping[str, Method], batches: Iterable[Tensor]) -> Values:
    """How well each method gives an image back that is its own style, which for AdaIN is alpha 0.

    Args:
        methods: by name.
        batches: images, each (N, 3, H, W), RGB in [0, 1].

    Returns:
        For each method ``reconstruction``, the structural similarity of method(c, c) to c for each image c.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in methods}
    for batch in batches:
        for name, method in methods.items():
            parts[name].append(similarity(method(batch, batch).float(), batch).cpu())
    return {name: {"reconstruction": torch.cat(values)} if values else {} for name, values in parts.items()}


def in_order(parts: Sequence[tuple[Sequence[Sequence[int]], Values]]) -> Values:
    """Put together what several processes have measured, in the order of one.

    Args:
        parts: for each process, the numbers of the pairs in each of its batches, and the values of these pairs.
    """
    order = torch.tensor([number for batches, _ in parts for batch in batches for number in batch]).argsort()
    return {
        name: {key: torch.cat([part[name][key] for _, part in parts if part[name]])[order] for key in rows}
        for name, rows in parts[0][1].items()
    }


def perceptual_distance(device: torch.device) -> Method:
    """LPIPS (Zhang et al. 2018) on AlexNet, whose weights torchvision fetches; a distance of (N, 3, H, W) pairs, (N,).

    Raises:
        InputError: if the weights cannot be had.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True, reduction="none").to(device)
    except Exception as error:  # whatever a fetch without a network raises
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"LPIPS needs torchvision's AlexNet, which could not be had ({reason}); leave out lpips=true"
        ) from error
    return lambda a, b: metric(a.clamp(0, 1), b).flatten()


def similarity(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5), (N, 3, H, W) to (N,).

    The mean over the windows that lie wholly inside the image; torchmetrics' own mean takes in mirrored borders.
    """
    _, windows = structural_similarity_index_measure(
        image, reference, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return windows[..., 5:-5, 5:-5].flatten(1).mean(1)


def summarise(values: Values) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and (population) standard deviation over the pairs."""
    return {
        name: {key: {"mean": float(x.mean()), "std": float(x.std(correction=0))} for key, x in rows.items()}
        for name, rows in values.items()
    }


def table(results: dict[str, dict[str, dict[str, float]]], title: str) -> str:
    """The results as a table for people: a row for each method, a column for each value."""
    sheet = Table(title=title, box=SIMPLE)
    sheet.add_column("")
    columns = list(dict.fromkeys(key for rows in results.values() for key in rows))
    for key in columns:
        sheet.add_column(key.removeprefix("style_loss/"), justify="right")
    for name, rows in results.items():
        sheet.add_row(name, *(_cell(key, rows[key]) if key in rows else "" for key in columns))
    text = io.StringIO()
    Console(file=text, width=40 + 20 * len(columns)).print(sheet)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _cell(key: str, value: dict[str, float]) -> str:
    """Mean and deviation; of the style loss's layers the mean alone."""
    mean = f"{value['mean']:.4f}"
    return mean if key.startswith("style_loss/") else f"{mean} +- {value['std']:.3f}"
