"""``python -m adain_lit.benchmark``: compare the time and memory of methods (Table 1)."""

from adain_lit import cli  # before torch

if __name__ == "__main__":  # before the imports below, which take seconds: a command line is checked without them
    cli.benchmark()
    raise SystemExit

import logging
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

from adain_lit.devices import choose_device
from adain_lit.errors import InputError
from adain_lit.evaluation.metrics import Method
from adain_lit.evaluation.speed_table import TABLE_1, published, speed_table
from adain_lit.evaluation.timing import Action, peak_memory, spread, time_interleaved
from adain_lit.io.files import write_json
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.build import EncodesStyle, Losses, build_method
from adain_lit.methods.gatys import Gatys
from adain_lit.nets import StyleTransferNet
from adain_lit.runs.record import cpu_name, environment
from adain_lit.weights.encoders import load_encoder

log = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
LEAST = {"images": 1, "warmup": 0, "iterations": 1, "max_seconds": 1, "threads": 1}
"""Lower bounds of integer settings."""
LEAST_SIZE = 32
VARIABLES = ("MALLOC_", "MKL_", "OMP_", "CUDA_", "TORCH")
"""Prefixes of environment variables that affect times, for the record."""


class Case(NamedTuple):
    """What is timed: a method at a size in pixels, with the style encoded in advance (False) or in that time (True)."""

    method: str
    size: int
    style_encoding: bool


def main() -> None:
    """Command line entry point."""
    cli.benchmark()


@torch.no_grad()
def benchmark(cfg: DictConfig) -> None:
    """Time the methods of the configuration, measure their memory, print a table and write JSON."""
    _check(cfg)
    device = _device(cfg)
    seconds = _time(cfg, device)
    memory = _memory(cfg) if cfg.memory else {}
    cases = _results(cfg, seconds, memory)
    write_json(_record(cfg, device, cases), Path(cfg.output))
    log.info("seconds for one image, median (quartiles), on %s", _hardware(device))
    log.info("\n%s", speed_table(cases, reference=cfg.reference))
    log.info("written to %s (log and configuration in %s)", cfg.output, HydraConfig.get().runtime.output_dir)


def _check(cfg: DictConfig) -> None:
    """Check the settings before anything is built."""
    for name, least in LEAST.items():
        value = cfg[name]
        if (name, value) != ("threads", None) and not (isinstance(value, int) and value >= least):
            raise InputError(f"{name} is {value!r}; give an integer of at least {least}")
    sizes = cfg.sizes if OmegaConf.is_list(cfg.sizes) else ()
    if not sizes or not all(isinstance(size, int) and size >= LEAST_SIZE for size in sizes):
        raise InputError(f"sizes is {cfg.sizes}; give sides of at least {LEAST_SIZE} pixels, as in sizes=[256,512]")
    if not cfg.get("method"):
        raise InputError("no method to time; give method=[plain,compact] or others of conf/method")
    if cfg.reference not in cfg.method:
        known = ", ".join(map(str, cfg.method))
        raise InputError(f"the reference {cfg.reference!r} is not one of the methods ({known}); give reference=NAME")
    if cfg.dtype not in DTYPES:
        raise InputError(f"unknown dtype {cfg.dtype!r}; known are {', '.join(DTYPES)}")


def _device(cfg: DictConfig) -> torch.device:
    """The requested device, once torch has the requested number of threads."""
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    return choose_device(None if cfg.device == "auto" else cfg.device)


def _time(cfg: DictConfig, device: torch.device) -> dict[Case, list[float]]:
    """Seconds for one image by case, with memory and compiler errors explained."""
    try:
        return _time_cases(cfg, device)
    except torch.OutOfMemoryError as error:
        raise InputError(f"{device} has not enough memory; give fewer methods, or smaller sizes") from error
    except RuntimeError as error:  # whatever the many stages of a compiler raise
        if not cfg.compile:
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"compile=true failed ({reason}); leave it out, or install a working compiler") from error


def _time_cases(cfg: DictConfig, device: torch.device) -> dict[Case, list[float]]:
    actions: dict[Case, Action] = {}
    for name in map(str, cfg.method):
        method = _build(cfg, name, device)
        for size in cfg.sizes:
            images = _images(cfg, method, name, size, device)
            for style_encoding, action in _actions(cfg, method, *images).items():
                actions[Case(name, size, style_encoding)] = action
    limits = {"images": cfg.images, "max_seconds": cfg.max_seconds, "warmup": cfg.warmup}
    with tqdm(total=cfg.images * len(actions), desc="timing", unit="image") as bar:
        return time_interleaved(actions, **limits, device=device, tick=bar.update)


def _build(cfg: DictConfig, name: str, device: torch.device) -> Method:
    """A method as it is used: our networks in channels-last memory, as in the `Stylizer`; others unchanged."""

    def losses() -> Losses:
        encoder = load_encoder(cfg.loss_encoder, widths=cfg.loss_encoder_widths).requires_grad_(False)
        return encoder.to(device), PerceptualLoss()

    method = build_method(cfg.method[name], name, losses=losses, device=device)
    if not isinstance(method, nn.Module):
        return method
    method.eval().to(_dtype(cfg, name)).to(memory_format=_memory_format(method))
    if cfg.compile and name != cfg.reference:
        parts = (method.encoder, method.decoder) if isinstance(method, StyleTransferNet) else (method,)
        for part in parts:
            part.compile()
    return method


def _actions(cfg: DictConfig, method: Method, content: Tensor, style: Tensor) -> dict[bool, Action]:
    """What is timed of a method: with style encoding (True), and if it can be done in advance, without (False)."""
    if isinstance(method, Gatys):
        part = copy(method)
        part.iterations, part.progress = min(cfg.iterations, method.iterations), False

        def optimise() -> float:
            part(content, style)
            return len(part.history["content_loss"]) / method.iterations if part.iterations < method.iterations else 1.0

        return {True: optimise}

    def whole() -> float:
        method(content, style)
        return 1.0

    if not isinstance(method, EncodesStyle):
        return {True: whole}
    encoded = method.encode(style)

    def prepared() -> float:
        method.decode(method.fuse(method.encode(content), [encoded]), content.shape[2:]).clamp(0, 1)
        return 1.0

    return {False: prepared, True: whole}


def _images(cfg: DictConfig, method: Method, name: str, size: int, device: torch.device) -> list[Tensor]:
    """Content and style, noise (1, 3, size, size), in the dtype and memory format that the method works in."""
    generator = torch.Generator().manual_seed(cfg.seed)
    images = [torch.rand(1, 3, size, size, generator=generator) for _ in range(2)]
    dtype = _dtype(cfg, name) if isinstance(method, nn.Module) else torch.float32
    return [image.to(device, dtype, memory_format=_memory_format(method)) for image in images]


def _dtype(cfg: DictConfig, name: str) -> torch.dtype:
    """Dtype of a network: the reference stays in float32."""
    dtype: torch.dtype = getattr(torch, DTYPES[0] if name == cfg.reference else cfg.dtype)
    return dtype


def _memory_format(method: Method) -> torch.memory_format:
    """Memory format of images and weights: that of the `Stylizer` for our networks, otherwise PyTorch's default."""
    return torch.channels_last if isinstance(method, StyleTransferNet) else torch.contiguous_format


def _memory(cfg: DictConfig) -> dict[tuple[str, int], dict[str, float] | None]:
    """Peak memory by method and size, each measured in its own process; None if that was killed."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    found: dict[tuple[str, int], dict[str, float] | None] = {}
    for name, size in tqdm(list(product(map(str, cfg.method), cfg.sizes)), desc="memory", unit="case"):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            try:
                found[name, size] = process.submit(_memory_of, settings, name, size).result()
            except BrokenProcessPool:
                log.warning("%s at %d px was killed, probably for lack of memory; its memory is not known", name, size)
                found[name, size] = None
    return found


@torch.no_grad()
def _memory_of(settings: dict[str, Any], name: str, size: int) -> dict[str, float]:
    """MiB that building a method and stylising one image take; to be called in a fresh process."""
    cfg = OmegaConf.create(settings)
    device = _device(cfg)

    def action() -> None:
        method = _build(cfg, name, device)
        _actions(cfg, method, *_images(cfg, method, name, size, device))[True]()

    return peak_memory(action, device)


def _results(
    cfg: DictConfig,
    seconds: Mapping[Case, list[float]],
    memory: Mapping[tuple[str, int], dict[str, float] | None],
) -> list[dict[str, Any]]:
    """The cases of the JSON; ``ratio`` is the median of the reference divided by that of the case."""
    cases = []
    for case, times in seconds.items():
        own = spread(times)
        compared = seconds.get(case._replace(method=cfg.reference))
        total = cfg.method[case.method].get("iterations")
        cases.append(
            case._asdict()
            | own
            | {
                "ratio": spread(compared)["median"] / own["median"] if compared else None,
                "extrapolated": None if total is None or total <= cfg.iterations else [cfg.iterations, total],
                "seconds": times,
                "memory": memory.get((case.method, case.size)),
                "paper": published(case.method, case.size, style_encoding=case.style_encoding),
            }
        )
    return cases


def _record(cfg: DictConfig, device: torch.device, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON: settings, cases, Table 1 and the environment."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return {
        "settings": settings | {"device": str(device)},
        "cases": cases,
        "paper": {"hardware": "Pascal Titan X", "images": 100, "seconds": TABLE_1},
        "environment": environment() | {"variables": variables},
    }


def _hardware(device: torch.device) -> str:
    """Name of the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type
