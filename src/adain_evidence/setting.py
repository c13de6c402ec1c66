"""Settings of a claim's script: ``scale=small|medium|paper``, images, seeds, and any setting of the training."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from adain_lit.config.overrides import quoted
from adain_lit.data.demo import DEMO
from adain_lit.errors import InputError

T = TypeVar("T")
SCALES = ("small", "medium", "paper")
FOLDERS = ("content", "style", "val_content", "val_style")
DEMO_SOURCE = "photographs of scikit-image, rendered paintings of the package"
SMALL = (
    "scale=demo",
    "data.resize=160",
    "data.crop=96",
    "data.batch_size=4",
    "data.val_pairs=16",
    "data.num_workers=1",
    "data.cache=4000",  # decoded images of each side: all that the small scale needs
    "callbacks.checkpoints.every_n_steps=100",
)
"""Settings of a training at small scale."""
MEDIUM = ("scale=medium", "data.num_workers=1", "data.cache=4000", "callbacks.checkpoints.every_n_steps=100")
"""Settings of a training at medium scale."""


@dataclass(frozen=True)
class Setting:
    """How a claim is run.

    Attributes:
        claim: name of the claim's folder.
        scale: ``small``: the bundled encoder and small crops, minutes on two cores; ``medium``: VGG-19 at full width,
            crops of 128 pixels, hours on two cores; ``paper``: the paper's setting.
        content: folder or list of content images; None: the demo's, and at paper scale COCO in $ADAIN_DATA.
        style: style images, likewise (WikiArt).
        val_content: held-out content images; None: a fraction of `content`.
        val_style: held-out style images, likewise.
        source: description of the images, for the record.
        encoder: weights of VGG-19, see `adain_lit.weights.load_encoder`; None: those of the scale.
        seeds: one training for each; by default two, at medium scale one.
        precision: of the training; None: auto, see conf/train.yaml.
        out: folder of run data; None: ``outputs/experiments/<claim>/<scale>``.
        overrides: further settings of every training, such as ``trainer.max_steps=100``.
        given: the arguments as typed.
    """

    claim: str
    scale: str = "small"
    content: str | None = None
    style: str | None = None
    val_content: str | None = None
    val_style: str | None = None
    source: str | None = None
    encoder: str | None = None
    seeds: tuple[int, ...] = (0, 1)
    precision: str | None = None
    out: Path | None = None
    overrides: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @classmethod
    def parse(cls, claim: str, arguments: Sequence[str]) -> "Setting":
        """Read ``key=value`` arguments; a key with a dot is a setting of the trainings.

        Raises:
            InputError: for an argument that is not KEY=VALUE, an unknown key or an invalid value.
        """
        values: dict[str, Any] = {}
        overrides = []
        known = [f.name for f in fields(cls) if f.default is not MISSING and f.name not in ("overrides", "given")]
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if equals and "." in key:
                overrides.append(argument)
            elif not equals or key not in known:
                keys = ", ".join(f"{name}=" for name in known)
                raise InputError(
                    f"{argument!r} is not a setting; give {keys} or any setting of the training with a dot, "
                    "such as trainer.max_steps=100"
                )
            else:
                values[key] = value
        if values.get("scale", "small") not in SCALES:
            raise InputError(f"scale is {values['scale']!r}; known are {', '.join(SCALES)}")
        if "seeds" in values:
            values["seeds"] = _numbers(values["seeds"])
        elif values.get("scale") == "medium":
            values["seeds"] = (0,)
        if "out" in values:
            values["out"] = Path(values["out"])
        setting = cls(claim, **values, overrides=tuple(overrides), given=tuple(arguments))
        if (setting.content is None) != (setting.style is None):
            raise InputError("content and style belong together: give folders for both or for neither")
        return setting

    @property
    def small(self) -> bool:
        """Whether this is the small scale."""
        return self.scale == "small"

    def pick(self, *, small: T, medium: T, paper: T) -> T:
        """The value for this scale."""
        return {"small": small, "medium": medium, "paper": paper}[self.scale]

    def named(self, file: str) -> str:
        """Name of a stored figure: those of the small scale have the plain name."""
        stem, dot, suffix = file.rpartition(".")
        return file if self.small else f"{stem}-{self.scale}{dot}{suffix}"

    @property
    def folder(self) -> Path:
        """Folder of the run data."""
        return self.out or Path("outputs", "experiments", self.claim, self.scale)

    @property
    def trained_precision(self) -> str:
        """Precision of the trainings."""
        return self.precision or "auto"

    @property
    def where_from(self) -> str:
        """Description of the images."""
        if self.source:
            return self.source
        if self.content is None:
            return "COCO photographs, WikiArt paintings" if self.scale == "paper" else DEMO_SOURCE
        return "the user's images"

    def images(self) -> list[str]:
        """Settings that choose the images, of ``adain_lit.train`` and ``adain_lit.evaluate``."""
        if self.content is None:
            return ["data=coco_wikiart" if self.scale == "paper" else "data=demo"]
        given = [(key, getattr(self, key)) for key in FOLDERS if getattr(self, key) is not None]
        return ["data=folders", *(f"data.{key}_dir={quoted(value)}" for key, value in given)]

    def training(self, seed: int | Sequence[int], *more: str) -> tuple[str, ...]:
        """Settings of a training: those of the scale, then `more` of the claim, then those of the command line.

        Args:
            seed: one for a single training, several for a sweep.
            more: of the claim.
        """
        common = self.pick(small=SMALL, medium=MEDIUM, paper=("scale=paper",))
        listed = ",".join(map(str, [seed] if isinstance(seed, int) else seed))
        log = ["logger=csv", f"seed={listed}", f"trainer.precision={self.trained_precision}"]
        encoder = [] if self.encoder is None else [f"model.encoder={quoted(self.encoder)}"]
        return (*common, *self.images(), *log, *encoder, *more, *self.overrides)

    def shown(self) -> str:
        """The command, with placeholders in place of folders."""
        words = {"content": "PHOTOGRAPHS", "style": "PAINTINGS", "encoder": "ENCODER", "out": "FOLDER"}
        words |= {"val_content": "HELD_OUT_PHOTOGRAPHS", "val_style": "HELD_OUT_PAINTINGS"}
        parts = []
        for argument in self.given:
            key, _, value = argument.partition("=")
            value = value if value == DEMO else words.get(key, value)
            parts.append(f'{key}="{value}"' if " " in value else f"{key}={value}")
        return " ".join(["python", f"experiments/{self.claim}/run.py", *parts])


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"seeds is {text!r}; give comma-separated integers, such as seeds=0,1") from error
