"""``python experiments/beyond_paper/vgg19_encoder/measure.py``: how well encoders agree, channel by channel.

Two rows of correlations over all positions of held-out images: the teacher against the real VGG-19, where that is at
hand, and the trained encoder against the teacher's deepest layer. A channel that is 0 everywhere is dead.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adain_evidence.baselines import squares
from adain_evidence.record import hash_of
from adain_lit.data.lists import find_source_images
from adain_lit.io.files import write_json
from adain_lit.nets import LossNetwork
from adain_lit.weights.encoders import load_loss_network

FOLDER = Path(__file__).parent
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


@torch.no_grad()
def features(network: LossNetwork, images: Sequence[Tensor], layer: str) -> Tensor:
    """Features of a layer over all positions of all images: (C, positions)."""
    return torch.cat([network(image, (layer,))[layer][0].flatten(1) for image in images], 1)


def agreement(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Correlation of each channel, over those that are active in `wanted`; and the share that is dead in `found`.

    Example:
        >>> x = torch.rand(4, 100)
        >>> {name: round(value, 3) for name, value in agreement(2 * x + 1, x).items()}
        {'median': 1.0, 'lowest tenth': 1.0, 'dead': 0.0}
    """
    a, b = (x.double() - x.double().mean(1, keepdim=True) for x in (found, wanted))
    scale = (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-12)
    each = ((a * b).sum(1) / scale)[wanted.amax(1) > 0]
    dead = (found.amax(1) <= 0).double().mean()
    return {"median": float(each.median()), "lowest tenth": float(each.quantile(0.1)), "dead": float(dead)}


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="checkpoint of experiment=distill_vgg19, or any weights to relu4_1")
    parser.add_argument("--teacher", required=True, help="weights that it followed")
    parser.add_argument("--real", help="weights of VGG-19, as deep as they go")
    parser.add_argument("--images", nargs="+", type=Path, required=True, help="folders of held-out images")
    parser.add_argument("--count", type=int, default=40, help="images of each folder (default: 40)")
    parser.add_argument("--size", type=int, default=176, help="side of the middle squares in pixels (default: 176)")
    parser.add_argument("--name", default="distill_vgg19", help="of the encoder, in the record")
    arguments = parser.parse_args()

    files = [path for folder in arguments.images for path in find_source_images(folder)[0][: arguments.count]]
    images = squares([str(path) for path in files], arguments.size)
    teacher = load_loss_network(arguments.teacher, layers=LAYERS)
    rows: dict[str, Any] = {}
    if arguments.real:
        depth = [layer for layer in LAYERS if layer != "relu4_1"]
        real, own = (load_loss_network(source, layers=depth) for source in (arguments.real, arguments.encoder))
        for layer in depth:
            wanted = features(real, images, layer)
            rows[f"teacher against VGG-19, {layer}"] = agreement(features(teacher, images, layer), wanted)
            rows[f"{arguments.name} against VGG-19, {layer}"] = agreement(features(own, images, layer), wanted)
    encoder = load_loss_network(arguments.encoder, layers=["relu4_1"])
    wanted = features(teacher, images, "relu4_1")
    rows[f"{arguments.name} against the teacher, relu4_1"] = agreement(features(encoder, images, "relu4_1"), wanted)

    path = FOLDER / "results.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    record = {"images": {"count": len(files), "sha256": hash_of(files)}, "side": arguments.size}
    write_json({**known, **record, "rows": known.get("rows", {}) | rows}, path)
    for name, row in rows.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in row.items()))  # noqa: T201


if __name__ == "__main__":
    main()
