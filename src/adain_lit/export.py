"""``python -m adain_lit.export``: write a trained network as safetensors, ONNX or an exported torch program."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from adain_lit.cli import run
from adain_lit.errors import InputError
from adain_lit.io.files import require_writable

SUFFIXES = (".safetensors", ".onnx", ".pt2")


def main() -> int:
    """Command line entry point; the exit status."""
    return run(parser(), export)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.export",
        description="Write a trained network as a .safetensors file, as ONNX, or as an exported torch program.",
    )
    add = command.add_argument
    add("network", help="compact, the folder of a run, .ckpt, .safetensors or decoder.pth")
    add("output", type=Path, help="FILE.safetensors, FILE.onnx or FILE.pt2; with --parts, a folder")
    add("--encoder", metavar="FILE", help="encoder weights, if the network's file has none")
    what = command.add_mutually_exclusive_group().add_argument
    what(
        "--parts",
        action="store_true",
        help="ONNX in three files, encoder, adain and decoder, to store the statistics of styles",
    )
    what("--encoder-only", action="store_true", help="only the encoder, as a .safetensors file for model.encoder")
    add("--int8", action="store_true", help="ONNX with the decoder in 8-bit integers: smaller, not the same image")
    add(
        "--calibrate", type=Path, metavar="FOLDER", help="images for --int8 to calibrate on; default: the demo's styles"
    )
    add("--full-precision", action="store_true", help="safetensors in float32 instead of float16")
    add("--card", nargs="+", default=[], metavar="KEY=VALUE", help="metadata to store in a .safetensors or ONNX file")
    return command


def export(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    output: Path = arguments.output
    suffixes = SUFFIXES[:1] if arguments.encoder_only else SUFFIXES
    if not arguments.parts and output.suffix not in suffixes:
        raise InputError(f"cannot write {output}; its suffix must be one of {', '.join(suffixes)}")
    if arguments.int8 and (arguments.parts or output.suffix != ".onnx"):
        raise InputError("--int8 is for one graph; give an output in .onnx, without --parts")
    if arguments.calibrate and not arguments.int8:
        raise InputError("--calibrate is for --int8; add it, or leave both out")
    card = _card(arguments.card)
    half = not arguments.full_precision
    # imports torch, which takes seconds: after everything that can be refused without it
    from adain_lit.inference import network_files as files
    from adain_lit.weights.networks import load_network, read_card

    if arguments.encoder_only:
        planned = [files.encoder_file(arguments.network, output, card, half=half)]
    else:
        net = load_network(arguments.network, encoder=arguments.encoder)
        if arguments.int8:
            from adain_lit.evaluation.metrics import similarity  # of the extra train

            labelled = read_card(arguments.network) | card
            planned = [files.int8_file(net, output, labelled, arguments.calibrate, similarity)]
        elif arguments.parts or output.suffix != ".safetensors":
            planned = files.graph_files(net, output, read_card(arguments.network) | card, parts=arguments.parts)
        else:
            planned = [files.network_file(net, output, card, half=half)]
    require_writable(planned[0].path.parent)
    sys.stdout.write("".join(f"{line}\n" for line in files.write_all(planned)))


def _card(texts: Sequence[str]) -> dict[str, str]:
    card = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError(f"--card got {text!r}; give KEY=VALUE")
        card[key] = value
    return card


if __name__ == "__main__":
    sys.exit(main())
