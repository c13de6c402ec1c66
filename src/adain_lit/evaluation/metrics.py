"""Losses and similarities of style transfer methods on the same pairs of images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm
from adain_lit.io.files import write_atomically
from adain_lit.losses import PerceptualLoss, content_loss
from adain_lit.nets import LossNetwork, VGGEncoder
from adain_lit.reports.tables import csv_table, latex_table, text_table

Method = Callable[[Tensor, Tensor], Tensor]
"""Stylises content (N, 3, H, W) with style (N, 3, H', W'), giving (N, 3, H, W); RGB in [0, 1]."""

Target = Callable[[Tensor, Tensor], Tensor]
"""Content target of a training from the features of content and style, each (N, C, H, W)."""

Values = dict[str, dict[str, Tensor]]
"""By method and metric, one value for each pair."""

REFERENCES: dict[str, Method] = {
    "content image": lambda content, style: content,
    "style image": lambda content, style: style,
}
"""Rows without any stylisation: the content image unchanged, and the style image in its place."""


@torch.no_grad()
def measure(
    methods: Mapping[str, Method],
    batches: Iterable[PairBatch],
    loss_network: VGGEncoder | LossNetwork,
    criterion: PerceptualLoss,
    *,
    device: torch.device | None = None,
    lpips: Method | None = None,
    targets: Mapping[str, Target] | None = None,
) -> Values:
    """Measure losses and similarities of methods on the same pairs.

    The content target is AdaIN's (Eq. 12) for every method, however it was trained, so that rows compare; `targets`
    are the exceptions.

    Args:
        methods: by name.
        batches: pairs of images in ``uint8``.
        loss_network: the network phi that the losses are measured with.
        criterion: the losses: their layers, statistic, reduction and weight.
        device: of the images; that of `loss_network` by default.
        lpips: a distance of two batches (N, 3, H, W), shape (N,), see `perceptual_distance`.
        targets: content targets other than AdaIN's, by the name of the method.

    Returns:
        By method and metric, one value for each pair: ``loss`` (Eq. 11), ``content_loss`` (Eq. 12), ``style_loss``
        (Eq. 13), ``style_loss/<layer>``, ``content_distance`` (content loss against f(c) instead of t, as in Gatys et
        al.), ``ssim`` (structural similarity to the content, 1 if equal) and, with `lpips`, ``lpips`` (perceptual
        distance to the content, 0 if equal).

    Example:
        >>> from adain_lit.data.pairs import HeldOutPairs, collate
        >>> from adain_lit.weights import load_encoder
        >>> images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> pairs = HeldOutPairs(images, images.flip(0))
        >>> batches = [collate([pairs[0], pairs[1]])]
        >>> values = measure(REFERENCES, batches, load_encoder("distilled"), PerceptualLoss())
        >>> values["content image"]["ssim"], values["style image"]["style_loss"]
        (tensor([1., 1.]), tensor([0., 0.]))
    """
    device = device or next(loss_network.parameters()).device
    parts: dict[str, dict[str, list[Tensor]]] = {name: {} for name in methods}
    for batch in batches:
        content, style = (x.to(device).float() / 255 for x in (batch.content, batch.style))
        style_features = loss_network(style, criterion.layers)
        content_features = loss_network(content, (criterion.content_layer,))[criterion.content_layer]
        deepest = content_features, style_features[criterion.content_layer]
        target = adaptive_instance_norm(*deepest)
        own = {name: function(*deepest) for name, function in (targets or {}).items()}
        for name, method in methods.items():
            stylized = method(content, style)
            features = loss_network(stylized, criterion.layers)
            losses = criterion(features, own.get(name, target), style_features)
            losses["content_distance"] = content_loss(features[criterion.content_layer], content_features)
            losses["ssim"] = similarity(stylized.float(), content)
            if lpips is not None:
                losses["lpips"] = lpips(stylized.float(), content)
            for key, value in losses.items():
                parts[name].setdefault(key, []).append(value.cpu())
    return {name: {key: torch.cat(values) for key, values in rows.items()} for name, rows in parts.items()}


@torch.no_grad()
def reconstruction(methods: Mapping[str, Method], batches: Iterable[Tensor]) -> Values:
    """Measure how well each method reconstructs an image that is its own style (for AdaIN the same as alpha = 0).

    Args:
        methods: by name.
        batches: images, each (N, 3, H, W), RGB in [0, 1].

    Returns:
        By method ``reconstruction``: the structural similarity of method(c, c) to c, one value for each image c.

    Example:
        >>> images = [torch.rand(2, 3, 16, 16)]
        >>> reconstruction({"identity": lambda content, style: content}, images)
        {'identity': {'reconstruction': tensor([1., 1.])}}
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in methods}
    for batch in batches:
        for name, method in methods.items():
            parts[name].append(similarity(method(batch, batch).float(), batch).cpu())
    return {name: {"reconstruction": torch.cat(values)} if values else {} for name, values in parts.items()}


def in_order(parts: Sequence[tuple[Sequence[Sequence[int]], Values]]) -> Values:
    """Merge what several processes measured into the order of a single process.

    Args:
        parts: for each process, the indices of the pairs in each of its batches, and the values of these pairs.

    Example:
        >>> parts = [([[0], [2]], {"adain": {"loss": torch.tensor([1.0, 3.0])}})]
        >>> parts += [([[1]], {"adain": {"loss": torch.tensor([2.0])}})]
        >>> in_order(parts)
        {'adain': {'loss': tensor([1., 2., 3.])}}
    """
    # the position of index i among all measured values, process by process and batch by batch
    order = torch.tensor([index for batches, _ in parts for batch in batches for index in batch]).argsort()
    # a process without batches has no metrics and is left out
    return {
        name: {key: torch.cat([part[name][key] for _, part in parts if part[name]])[order] for key in rows}
        for name, rows in parts[0][1].items()
    }


def perceptual_distance(device: torch.device) -> Method:
    """LPIPS (Zhang et al. 2018) on AlexNet, whose weights torchvision downloads.

    Returns:
        A distance of two batches (N, 3, H, W), RGB in [0, 1], of shape (N,).

    Raises:
        InputError: if the weights cannot be downloaded.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True, reduction="none").to(device)
    except Exception as error:  # whatever a download without a network raises
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"LPIPS needs torchvision's AlexNet, which could not be downloaded ({reason}); leave out lpips=true"
        ) from error
    return lambda a, b: metric(a.clamp(0, 1), b).flatten()


def similarity(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5).

    Args:
        image: RGB in [0, 1], shape (N, 3, H, W).
        reference: RGB in [0, 1], shape (N, 3, H, W).

    Returns:
        Mean over the windows that lie entirely inside the image, shape (N,); the mean of torchmetrics includes mirrored
        borders.

    Example:
        >>> image = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
        >>> similarity(image, image), similarity(image, 1 - image) < 0
        (tensor([1.]), tensor([True]))
    """
    _, windows = structural_similarity_index_measure(
        image, reference, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return windows[..., 5:-5, 5:-5].flatten(1).mean(1)


def summarise(values: Values) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and population standard deviation over the pairs, by method and metric.

    Example:
        >>> summarise({"adain": {"loss": torch.tensor([1.0, 3.0])}})
        {'adain': {'loss': {'mean': 2.0, 'std': 1.0}}}
    """
    return {
        name: {key: {"mean": float(x.mean()), "std": float(x.std(correction=0))} for key, x in rows.items()}
        for name, rows in values.items()
    }


def write_tables(results: dict[str, dict[str, dict[str, float]]], csv_file: Path, latex_file: Path) -> None:
    """Write the results of `summarise` as CSV, with all digits, and as a LaTeX table (booktabs)."""
    columns = list(dict.fromkeys(key for rows in results.values() for key in rows))
    head = ["method", *(f"{key} {part}" for key in columns for part in ("mean", "std"))]
    rows = [
        [name, *(repr(of[key][part]) if key in of else "" for key in columns for part in ("mean", "std"))]
        for name, of in results.items()
    ]
    write_atomically(csv_file, partial(Path.write_text, data=csv_table(head, rows), encoding="utf-8"))
    cells = [
        [name, *(f"{of[key]['mean']:.3f} ± {of[key]['std']:.3f}" if key in of else "" for key in columns)]
        for name, of in results.items()
    ]
    text = latex_table(["", *(key.replace("_", " ").replace("/", " ") for key in columns)], cells)
    write_atomically(latex_file, partial(Path.write_text, data=text, encoding="utf-8"))


def table(results: dict[str, dict[str, dict[str, float]]], title: str) -> str:
    """Format the results of `summarise`: one row for each method, one column for each metric.

    Example:
        >>> print(table({"adain": {"loss": {"mean": 2.0, "std": 1.0}}}, title="losses"))
                 losses
        <BLANKLINE>
                            loss
         ───────────────────────
         adain   2.0000 +- 1.000
        <BLANKLINE>
    """
    columns = list(dict.fromkeys(key for rows in results.values() for key in rows))
    rows = [[name, *(_cell(key, of[key]) if key in of else "" for key in columns)] for name, of in results.items()]
    head = ["", *(key.removeprefix("style_loss/") for key in columns)]
    return text_table(head, rows, title=title, width=40 + 20 * len(columns))


def _cell(key: str, value: dict[str, float]) -> str:
    """Mean and standard deviation; only the mean for single layers of the style loss."""
    mean = f"{value['mean']:.4f}"
    return mean if key.startswith("style_loss/") else f"{mean} +- {value['std']:.3f}"
