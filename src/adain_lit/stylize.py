"""``python -m adain_lit.stylize``: give images the style of other images."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from adain_lit.cli import run
from adain_lit.errors import InputError
from adain_lit.inference.plan import find, is_video, missing, plan, plan_grid, suffix_of
from adain_lit.io.files import require_writable

SHEETS = ("grid", "trade_off", "interpolate")
"""Options that make a sheet of several images."""


def main() -> int:
    """Command line entry point; the exit status."""
    return run(parser(), stylize, resumable=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.stylize",
        description="Give images the style of other images. What is there already is not made again.",
        epilog="Several styles are mixed, unless --every-pair, --grid or --mask says otherwise.",
    )
    add = command.add_argument
    add("content", nargs="+", metavar="CONTENT", help="images, videos, folders or patterns; noise makes a texture")
    add("--style", "-s", nargs="+", required=True, metavar="STYLE", help="one or more images, folders or patterns")
    add("--output", "-o", type=Path, metavar="PATH", help="file, or folder; the folder of the command by default")
    add("--format", metavar="EXT", help="jpg, png, webp or tiff; the content's by default")
    control = command.add_argument_group("controls (Sec. 7.3 of the paper)")
    add = control.add_argument
    add("--alpha", type=float, default=1.0, help="0 is the content, 1 the style, more exaggerates (default 1)")
    add("--weights", type=float, nargs="+", metavar="W", help="shares of the styles that are mixed")
    add("--mask", nargs="+", metavar="MASK", help="one for each style: white takes it, black does not")
    add(
        "--preserve-color",
        nargs="?",
        const="coral",
        choices=("coral", "luminance"),
        help="keep the content's colours: coral (as the paper; the default of the option) or luminance",
    )
    sizes = command.add_argument_group("sizes in pixels")
    add = sizes.add_argument
    add("--size", type=int, default=0, help="shorter side of the content, 0 keeps it (default)")
    add("--style-size", type=int, default=512, help="shorter side of the styles, 0 keeps it (default 512)")
    add("--crop", action="store_true", help="cut out the middle square of the content first")
    add("--tile", type=int, help="side of the tiles of large images; 0 takes them in one piece")
    sheets = command.add_argument_group("what to make")
    add = sheets.add_mutually_exclusive_group().add_argument
    add("--every-pair", action="store_true", help="each content with each style")
    add("--grid", action="store_true", help="one contact sheet of all contents x all styles")
    add("--trade-off", action="store_true", help="for each content a strip of rising alpha (Fig. 7)")
    add("--interpolate", action="store_true", help="for each content the grid between four styles (Fig. 8)")
    running = command.add_argument_group("running")
    add = running.add_argument
    add(
        "--checkpoint",
        default="compact",
        metavar="NET",
        help="compact (comes with the package), .ckpt, .safetensors or decoder.pth",
    )
    add("--encoder", metavar="FILE", help="encoder weights, where the checkpoint has none")
    add("--device", help="cpu, cuda, cuda:1, mps; the best there is by default")
    add(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="precision of the network; half of it saves memory and time, and costs 1 to 2 of 255 on average",
    )
    add(
        "--batch-size",
        type=int,
        default=1,
        help="contents of one size that go through the network together (default 1)",
    )
    add("--jobs", type=int, default=2, help="threads that read and write files (default 2)")
    add("--overwrite", action="store_true", help="make again what is there already")
    add(
        "--smooth",
        type=float,
        default=0.0,
        metavar="S",
        help="video: 0 to 0.99, how far statistics follow earlier frames; calms flicker, keeps changes of light",
    )
    return command


def stylize(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    _check(arguments)
    sheet = next((name for name in SHEETS if getattr(arguments, name)), None)
    contents = find(arguments.content, "content", video=sheet is None)
    styles = find(arguments.style, "style")
    _check_found(arguments, [found.path for found in contents], len(styles))
    ending = suffix_of(arguments.format) if arguments.format else None
    if arguments.grid:
        jobs = [plan_grid(contents, styles, arguments.output, suffix=ending)]
    else:
        jobs = plan(
            contents,
            styles,
            arguments.output,
            every_pair=arguments.every_pair,
            suffix=".png" if sheet and ending is None else ending,
            manner=(sheet or "stylized").replace("_", "-"),
        )
    todo = jobs if arguments.overwrite else missing(jobs)
    if len(todo) < len(jobs):
        sys.stderr.write(f"{len(jobs) - len(todo)} of {len(jobs)} are there already (--overwrite makes them again)\n")
    if not todo:
        return 0
    for folder in {job.output.parent for job in todo}:
        require_writable(folder)
    from adain_lit.inference.batch import Run  # and torch: it takes seconds, which a mistake above need not wait for

    run = Run(arguments, 1 if arguments.grid else len(jobs[0].styles))
    if arguments.alpha > 1:
        sys.stderr.write(f"alpha {arguments.alpha} is beyond 1: the style is exaggerated\n")
    if arguments.grid:
        failed = run.grid([found.path for found in contents], [found.path for found in styles], todo[0].output)
    else:
        failed = run.make(todo, sheet)
        if failed and len(todo) == 1:
            raise InputError(failed[0])
    for line in failed:
        sys.stderr.write(f"adain_lit.stylize: {line}\n")
    if failed:
        sys.stderr.write(f"{len(failed)} failed; the same command goes on with what is missing\n")
    elif len(todo) == 1:
        sys.stdout.write(f"{todo[0].output}\n")
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing."""
    for name, least in (("size", 0), ("style_size", 0), ("batch_size", 1), ("jobs", 1)):
        value = getattr(arguments, name)
        if value < least:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}")
    if not 0 <= arguments.smooth < 1:
        raise InputError(f"--smooth is {arguments.smooth}; it must be at least 0 and below 1")
    if arguments.mask and arguments.every_pair:
        raise InputError("--mask goes with styles that are used together; leave out --every-pair")
    if arguments.interpolate and (arguments.mask or arguments.weights):
        raise InputError("--interpolate sets the shares of the styles itself; leave out --mask and --weights")


def _check_found(arguments: argparse.Namespace, contents: Sequence[Path], styles: int) -> None:
    """Refuse a sheet of what it cannot be made of."""
    videos = [path for path in contents if is_video(path)]
    if videos and (arguments.grid or arguments.trade_off or arguments.interpolate):
        raise InputError(f"{videos[0]} is a video; sheets are made of images")
    if arguments.interpolate and styles != 4:
        raise InputError(f"{styles} styles for the four corners of --interpolate; give four")


if __name__ == "__main__":
    sys.exit(main())
