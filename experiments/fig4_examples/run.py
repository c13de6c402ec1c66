"""``python experiments/fig4_examples/run.py scale=SCALE``: all methods on the same pairs, as in Fig. 4."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from adain_evidence import Check, Claim, Job, Setting, run_claim
from adain_evidence.baselines import held_out, network_for, single_styles, squares
from adain_evidence.composition import composed
from adain_evidence.figures import save_grid
from adain_evidence.jobs import DONE
from adain_evidence.outcomes import by_seed, evaluated, selected
from adain_evidence.systems import paper_system
from adain_lit.config.overrides import quoted
from adain_lit.data.demo import demo_content_images, demo_style_images
from adain_lit.devices import choose_device
from adain_lit.io.images import to_image, write_image
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.fixed_styles import load_fixed_styles
from adain_lit.methods.gatys import Gatys
from adain_lit.reports.image_grid import image_grid
from adain_lit.weights.encoders import load_loss_network
from adain_lit.weights.files import bundled_file
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "All methods on the same pairs",
    "Without having seen the test styles, the proposed network gives images of a quality competitive with Ulyanov et "
    "al. and Gatys et al., and transfers the style more faithfully than Chen & Schmidt for most of the images",
    "Fig. 4, Sec. 7.1",
)
BUNDLED, OURS = "bundled network", "Enc-AdaIN-Dec"
METHODS = {
    BUNDLED: "stylised",
    OURS: "enc_adain_dec",
    "Chen & Schmidt": "style_swap",
    "Ulyanov et al.": "fixed_style",
    "Dumoulin et al.": "dumoulin",
    "Gatys et al.": "gatys",
    "content image": "content image",
    "style image": "style image",
}
"""Names in the evaluation."""
STYLES = ("de_stijl", "impasto")
"""Test styles at either scale, from the demo's held-out style images: no other image is shown."""
QUANTITIES = {
    "loss": "total loss",
    "content_loss": "content loss",
    "style_loss": "style loss",
    "ssim": "SSIM to content",
}


def size(setting: Setting) -> int:
    """Side of the test images in pixels."""
    return setting.pick(small=128, medium=256, paper=512)


def contents(setting: Setting) -> int:
    """Number of held-out content images that are measured."""
    return setting.pick(small=5, medium=10, paper=50)


def styles() -> list[str]:
    """Files of the test styles."""
    return [str(path.absolute()) for path in demo_style_images(held_out=True) if path.stem.rpartition("-")[0] in STYLES]


def ulyanov(setting: Setting) -> Job:
    """A network for each test style."""
    return single_styles(setting, styles(), setting.seeds[0], *steps(setting, 200, 1000, 40000))


def dumoulin(setting: Setting) -> Job:
    """One network for the demo's first held-out style images, the test styles among them; at paper scale 32."""
    own = ("model.styles=demo", f"model.style_count={8 if setting.small else 32}", *steps(setting, 400, 3000, 40000))
    settings = ("experiment=baseline_dumoulin", *setting.training(setting.seeds[0], *own))
    return Job("train", "dumoulin", settings, setting.folder)


def style_swap(setting: Setting) -> Job:
    """Chen & Schmidt's inverse network."""
    settings = (
        "experiment=baseline_style_swap",
        *setting.training(setting.seeds[0], *steps(setting, 250, 5000, 80000)),
    )
    return Job("train", "style_swap", settings, setting.folder)


def steps(setting: Setting, small: int, medium: int, paper: int) -> tuple[str, str]:
    """Number of steps, with validation halfway and at the end."""
    count = setting.pick(small=small, medium=medium, paper=paper)
    return f"trainer.max_steps={count}", f"trainer.val_check_interval={count // 2}"


def networks(setting: Setting) -> dict[str, Path]:
    """Checkpoints of the arbitrary networks beside the one that is judged; Enc-AdaIN-Dec where it has been trained."""
    job, path = paper_system(setting, setting.seeds[0])
    return {OURS: path} if not setting.small or (job.folder / DONE).is_file() else {}


def comparison(setting: Setting) -> Job:
    """All methods on held-out content images with the test styles, as one table of the public command."""
    single = [network_for(ulyanov(setting), style) for style in styles()]
    fixed = ",".join(quoted(str(path)) for path in single)
    others = [f"+compare.enc_adain_dec={quoted(str(path))}" for path in networks(setting).values()]
    settings = (
        "ckpt_path=compact",
        f"loss_encoder={encoder(setting)}",
        f"unit_mean_images={unit_mean_images(setting)}",
        "method=[gatys,style_swap,fixed_style]",
        "method.gatys.progress=false",
        f"method.style_swap.source={quoted(str(style_swap(setting).checkpoint))}",
        f"method.fixed_style.source=[{fixed}]",
        f"+compare.dumoulin={quoted(str(dumoulin(setting).checkpoint))}",
        *others,
        *setting.images(),
        f"contents={contents(setting)}",
        "batch_size=1",
        f"size={size(setting)}",
    )
    # in the name, so that another bundled network is measured anew
    network = hashlib.sha256(bundled_file("compact").read_bytes()).hexdigest()[:6]
    return Job("evaluate", f"all-{network}", settings, setting.folder)


def encoder(setting: Setting) -> str:
    """Weights of the loss network, which is that of the trainings."""
    return str(composed("train", ["experiment=enc_adain_dec", *setting.training(0)]).model.encoder)


def unit_mean_images(setting: Setting) -> int:
    """Number of content images to scale it on; the bundled encoder is already scaled."""
    return 0 if setting.small else 24


def jobs(setting: Setting) -> list[Job]:
    """Every training, then the evaluation."""
    systems = [] if setting.small else [paper_system(setting, setting.seeds[0])[0]]
    return [*systems, ulyanov(setting), dumoulin(setting), style_swap(setting), comparison(setting)]


def conclude(setting: Setting) -> dict[str, Any]:
    """Read the table, judge, and draw the grid."""
    rows = by_seed({setting.seeds[0]: evaluated(comparison(setting))})
    known = {name: key for name, key in METHODS.items() if key in rows}
    values = {name: selected(rows, QUANTITIES, [key])[key] for name, key in known.items()}
    loss = {name: next(iter(row["total loss"].values())) for name, row in values.items()}
    style = {name: next(iter(row["style loss"].values())) for name, row in values.items()}
    judged = BUNDLED if setting.small else OURS
    methods = {name: value for name, value in loss.items() if not name.endswith("image")}
    checks = [
        Check("Gatys et al.'s total loss after 500 iterations is the lowest of all methods",
              min(methods, key=lambda name: methods[name]) == "Gatys et al.",
              ", ".join(f"{name} {value:.4g}" for name, value in sorted(methods.items(), key=lambda item: item[1]))),
        *(Check(f"the {judged}'s total loss is at most twice that of {other}", loss[judged] <= 2 * loss[other],
                f"{loss[judged]:.4g} | {loss[other]:.4g}: {loss[judged] / loss[other]:.2f} times")
          for other in ("Ulyanov et al.", "Gatys et al.")),
        Check(f"the {judged}'s style loss is below that of Chen & Schmidt", style[judged] < style["Chen & Schmidt"],
              f"{style[judged]:.4g} | {style['Chen & Schmidt']:.4g}"),
    ]  # fmt: skip
    notes = [
        f"{contents(setting)} held-out photographs with each of {len(STYLES)} rendered paintings that only "
        f"Ulyanov et al. and Dumoulin et al. were trained on; {size(setting)} px; lambda 10, losses against AdaIN's t.",
    ]
    if OURS not in values:
        notes.append("Enc-AdaIN-Dec is missing: the trainings of fig5_6_ablations on the same images were not there.")
    show(setting)
    return {"values": values, "checks": checks, "notes": notes, "seeds": [setting.seeds[0]]}


def show(setting: Setting) -> None:
    """Write the grid of the demo's held-out content images in the test styles."""
    device = choose_device(None)
    side = size(setting)
    content_images = squares([str(path) for path in demo_content_images(held_out=True)], side)
    style_images = squares(styles(), side)
    methods: dict[str, Any] = {BUNDLED: load_network("compact")}
    methods |= {name: load_network(path) for name, path in networks(setting).items()}
    methods["Chen & Schmidt"] = load_network(style_swap(setting).checkpoint)
    methods["Ulyanov et al."] = load_fixed_styles([network_for(ulyanov(setting), style) for style in styles()])
    methods["Dumoulin et al."] = load_fixed_styles(dumoulin(setting).checkpoint)
    methods = {name: method.eval().to(device) for name, method in methods.items()}
    optimised = gatys(setting)
    rows = []
    for i, content in enumerate(x.to(device) for x in content_images):
        for j, style in enumerate(x.to(device) for x in style_images):
            with torch.inference_mode():
                made = [method(content, style)[0].float().clamp(0, 1).cpu() for method in methods.values()]
            images = [to_image(x) for x in (content[0].cpu(), style[0].cpu(), *made)]
            rows.append([*images, optimised[i, j]])
    names = ["content", "style", *methods, "Gatys et al."]
    save_grid(image_grid(rows, columns=names, side=128), CLAIM.folder / setting.named("sheet.jpg"))


def gatys(setting: Setting) -> dict[tuple[int, int], Image.Image]:
    """The demo's held-out content images in the test styles, each pair optimised alone; kept in the run data."""
    device = choose_device(None)
    side = size(setting)
    criterion = PerceptualLoss()
    loss_network = load_loss_network(encoder(setting), layers=criterion.layers).requires_grad_(False).to(device)
    content_images = [x.to(device) for x in squares([str(path) for path in demo_content_images(held_out=True)], side)]
    count = unit_mean_images(setting)
    if count:
        loss_network.normalize(x.to(device) for x in squares(held_out(setting)[0][:count], side))
    digest = hashlib.sha256("\n".join([encoder(setting), str(count), *setting.images()]).encode()).hexdigest()[:6]
    made = {}
    pairs = [(i, j) for i in range(len(content_images)) for j in range(len(STYLES))]
    for i, j in tqdm(pairs, desc="Gatys et al.", unit="pair"):
        kept = setting.folder / f"gatys-{side}-{digest}" / f"{i}-{STYLES[j]}.png"
        if not kept.is_file():
            style = squares([styles()[j]], side)[0].to(device)
            image = Gatys(loss_network, criterion, progress=False)(content_images[i], style)
            write_image(to_image(image[0].cpu()), kept)
        made[i, j] = Image.open(kept).convert("RGB")
    return made


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
