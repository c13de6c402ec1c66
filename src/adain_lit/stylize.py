"""``python -m adain_lit.stylize``: stylise images, animations, folders and videos."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from adain_lit.cli import run
from adain_lit.errors import InputError, counted
from adain_lit.inference.plan import (
    GRID_SUFFIXES,
    IMAGE_SUFFIXES,
    MOVING_SUFFIXES,
    Output,
    find_inputs,
    image_suffix,
    is_video,
    missing,
    plan_grid,
    plan_outputs,
)
from adain_lit.io.files import require_writable

GRIDS = ("grid", "trade_off", "interpolate")
"""Options that make a grid of several images."""


def main() -> int:
    """Command line entry point; the exit status."""
    return run(parser(), stylize, resumable=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.stylize",
        description="Give images the style of other images. Existing outputs are skipped.",
        epilog="Several styles give one result each; --mix, --weights, --mask and --interpolate use them together.",
    )
    add = command.add_argument
    add(
        "content",
        nargs="+",
        metavar="CONTENT",
        help="images, animations, videos, folders or patterns; noise for a texture",
    )
    add("--style", "-s", nargs="+", required=True, metavar="STYLE", help="one or more images, folders or patterns")
    add("--output", "-o", type=Path, metavar="PATH", help="file or folder; default: the current folder")
    add(
        "--format",
        metavar="EXT",
        help="jpg, png, webp or tiff, grids also pdf, what moves also gif or mp4; default: as it is",
    )
    add("--keep-alpha", action="store_true", help="keep the content's transparency, in png, webp, tiff and gif")
    control = command.add_argument_group("controls (Sec. 7.3 of the paper)")
    add = control.add_argument
    add("--alpha", type=float, default=1.0, help="0 is the content, 1 the style, above 1 exaggerates (default 1)")
    add("--weights", type=float, nargs="+", metavar="W", help="mix the styles with these weights")
    add("--mask", nargs="+", metavar="MASK", help="an image for each style: white where it applies")
    add(
        "--preserve-color",
        nargs="?",
        const="coral",
        choices=("coral", "luminance"),
        help="keep the content's colours: coral (as in the paper; the default if the option is given) or luminance",
    )
    sizes = command.add_argument_group("sizes in pixels")
    add = sizes.add_argument
    add("--size", type=int, default=0, help="shorter side of the content and its results, 0 keeps it (default)")
    add("--style-size", type=int, default=512, help="shorter side of the styles, 0 keeps it (default 512)")
    add("--crop", action="store_true", help="crop the content to its central square first")
    add("--tile", type=int, help="side of the tiles of large images; 0 never tiles; default: as --memory allows")
    add(
        "--memory",
        type=int,
        metavar="MB",
        help="megabytes for the features of an image, beside the image itself; what needs more is made in tiles "
        "(default: a quarter of what is free, at most 805 on a CPU)",
    )
    what = command.add_argument_group("what to make")
    add = what.add_mutually_exclusive_group().add_argument
    add("--every-pair", action="store_true", help="each content with each style, below a folder for each style")
    add("--mix", action="store_true", help="one result of all styles, mixed equally or as --weights says")
    add("--grid", action="store_true", help="one grid of all contents x all styles; with --mask a row for each content")
    add("--trade-off", action="store_true", help="for each content a strip with alpha from 0 to 1 (Fig. 7)")
    add("--interpolate", action="store_true", help="for each content a grid between four styles (Fig. 8)")
    add = what.add_argument
    add("--no-labels", dest="labels", action="store_false", help="grids without names and values of alpha")
    running = command.add_argument_group("running")
    add = running.add_argument
    add(
        "--checkpoint",
        default="compact",
        metavar="NET",
        help="compact (comes with the package), the folder of a run, .ckpt, .safetensors or decoder.pth",
    )
    add("--encoder", metavar="FILE", help="encoder weights, if the checkpoint has none")
    add(
        "--backend",
        default="torch",
        choices=("torch", "onnx"),
        help="onnx starts at once and needs no torch: ONNX Runtime on the CPU, for compact or a file of "
        "adain_lit.export; one style and --alpha, no other controls",
    )
    add("--device", help="cpu, cuda, cuda:1 or mps; default: the best there is")
    add(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="precision of the network; 16 bits save memory and time, and differ by 1 to 2 of 255 on average",
    )
    add(
        "--batch-size",
        type=int,
        default=1,
        help="contents of one size to process together (default 1)",
    )
    add("--jobs", type=int, default=2, help="threads that read and write files (default 2)")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add(
        "--smooth",
        type=float,
        default=0.0,
        metavar="S",
        help="videos and animations: 0 to 0.99, how much of the frame before stays where nothing has changed but the "
        "camera's position; reduces flicker (try 0.8)",
    )
    return command


def stylize(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for; the exit status."""
    _check(arguments)
    kind = next((name for name in GRIDS if getattr(arguments, name)), None)
    contents = find_inputs(arguments.content, "content", video=kind is None)
    styles = find_inputs(arguments.style, "style")
    each = arguments.every_pair or (len(styles) > 1 and not _together(arguments))
    _check_found(arguments, [file.path for file in contents], len(styles))
    suffixes = GRID_SUFFIXES if kind else IMAGE_SUFFIXES
    suffix = (
        image_suffix(arguments.format, suffixes if kind else (*suffixes, *MOVING_SUFFIXES))
        if arguments.format
        else None
    )
    if arguments.grid:
        outputs = [plan_grid(contents, styles, arguments.output, suffix=suffix)]
    else:
        outputs = plan_outputs(
            contents,
            styles,
            arguments.output,
            every_pair=each,
            suffix=suffix or (".png" if kind else None),
            label=(kind or "stylized").replace("_", "-"),
            suffixes=suffixes,
        )
    todo = outputs if arguments.overwrite else missing(outputs)
    if len(todo) < len(outputs):
        sys.stderr.write(f"{len(outputs) - len(todo)} of {len(outputs)} exist already (--overwrite replaces them)\n")
    if not todo:
        return 0
    if each and not arguments.every_pair:
        sys.stderr.write(f"{counted(len(styles), 'style')}, one result each (--mix mixes them)\n")
    for folder in {output.path.parent for output in todo}:
        require_writable(folder)
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit; what is read is limited by the memory that there is
    if arguments.backend == "onnx":
        from adain_lit.inference.onnx import OnnxBatch

        onnx = OnnxBatch(arguments, outputs)
        onnx.make(todo)
        return _status(onnx.failures.lines, todo, arguments)
    # imports torch, which takes seconds: after everything that can be refused without it
    from adain_lit.inference.batch import BatchStylizer

    separate = arguments.grid and not arguments.mask
    batch = BatchStylizer(arguments, 1 if separate else len(outputs[0].styles))
    if arguments.alpha > 1:
        sys.stderr.write(f"alpha {arguments.alpha} is above 1: the style is exaggerated\n")
    if arguments.grid:
        batch.make_grid([file.path for file in contents], [file.path for file in styles], todo[0].path)
    else:
        batch.make(todo, kind)
    return _status(batch.failures.lines, todo, arguments)


def _status(failed: Sequence[str], todo: Sequence[Output], arguments: argparse.Namespace) -> int:
    """Print what failed, or where the results are; the exit status."""
    if failed and len(todo) == 1 and not arguments.grid:
        raise InputError(failed[0])
    for line in failed:
        sys.stderr.write(f"adain_lit.stylize: {line}\n")
    if failed:
        sys.stderr.write(f"{len(failed)} failed; run the same command again to make what is missing\n")
    elif len(todo) == 1 or arguments.grid:
        sys.stdout.write(f"{todo[0].path}\n")
    else:
        folder, here = Path(os.path.commonpath([output.path.parent.absolute() for output in todo])), Path.cwd()
        shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
        sys.stdout.write(f"{counted(len(todo), 'result')} in {shown}{os.sep}\n")
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (("size", 0), ("style_size", 0), ("batch_size", 1), ("jobs", 1), ("memory", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}")
    if not 0 <= arguments.smooth < 1:
        raise InputError(f"--smooth is {arguments.smooth}; it must be at least 0 and below 1")
    if arguments.keep_alpha and arguments.format and arguments.format.lower().removeprefix(".") in ("jpg", "jpeg"):
        raise InputError("--format jpg cannot hold transparency; give --format png, or leave out --keep-alpha")
    if arguments.mask and arguments.every_pair:
        raise InputError("--mask is for styles that are used together; leave out --every-pair")
    if arguments.interpolate and (arguments.mask or arguments.weights):
        raise InputError("--interpolate sets the weights of the styles itself; leave out --mask and --weights")


def _together(arguments: argparse.Namespace) -> bool:
    """Whether several styles go into one result."""
    return bool(arguments.mix or arguments.weights or arguments.mask or arguments.interpolate or arguments.grid)


def _check_found(arguments: argparse.Namespace, contents: Sequence[Path], styles: int) -> None:
    videos = [path for path in contents if is_video(path)]
    if videos and (arguments.grid or arguments.trade_off or arguments.interpolate):
        raise InputError(f"{videos[0]} is a video; grids are made of images")
    if arguments.interpolate and styles != 4:
        raise InputError(f"{counted(styles, 'style')} for the four corners of --interpolate; give four")


if __name__ == "__main__":
    sys.exit(main())
