"""Images: damaged, odd and hostile files; each is one line, nothing is started, and the memory is bounded."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from adain_lit.data.lists import read_list
from support import images
from support.images import small
from support.mutations import write_mutations

Record = Callable[[int, str], None]
GB = 10**9


class Ended(NamedTuple):
    """A command that ended: its status, what it printed, and the most memory that it held, in bytes."""

    status: int
    output: str
    peak: int


MEASURE = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024], file)
"""
"""A small process between: what is started inherits, as its peak, the memory of the process that started it."""


def measured(module: str, arguments: list[str], folder: Path, **environment: str) -> Ended:
    """Run a command to its end; a test that hangs is ended by the timeout of ten minutes."""
    command = ["timeout", "600", sys.executable, "-m", module, *arguments]
    with (folder / "output.txt").open("w+") as output:
        subprocess.run(
            [sys.executable, "-c", MEASURE, "ended.json", *command],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "2"} | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
        output.seek(0)
        status, peak = json.loads((folder / "ended.json").read_text())
        return Ended(status, output.read(), peak)


@pytest.mark.slow
@pytest.mark.promise(
    fault="damaged image files",
    cause="1000 small files of twelve kinds, bytes set, parts moved, or cut short: `prepare verify` and `stylize`",
    promise="each is read or is one line; no traceback, no hang, below 2 GB",
)
@pytest.mark.parametrize("module", ["adain_lit.prepare", "adain_lit.stylize"])
def test_mutated_images_end_no_command(module: str, tmp_path: Path, record: Record) -> None:
    write_mutations(tmp_path / "in", 1000)
    small("chelsea.png").save(tmp_path / "style.png")
    if module == "adain_lit.prepare":
        done = measured(module, ["verify", "in", "--jobs", "2"], tmp_path)
        good = len(read_list(tmp_path / "in.txt"))
        broken = len((tmp_path / "in.broken.txt").read_text().splitlines())
        assert (done.status, good + broken) == (1, 1000), done.output[-2000:]
    else:
        arguments = ["in", "-s", "style.png", "--size", "32", "--style-size", "64", "--format", "png", "-o", "out"]
        done = measured(module, [*arguments, "--device", "cpu"], tmp_path)
        good = len(list((tmp_path / "out").glob("*.png")))
        broken = sum(line.startswith("adain_lit.stylize: ") for line in done.output.splitlines())
        assert (done.status, good + broken) == (1, 1000), done.output[-2000:]
    assert "Traceback" not in done.output
    assert done.peak < 2 * GB
    record(1000, f"{module.split('.')[1]}: {good} read, {broken} in one line each, {done.peak / GB:.1f} GB at most")


@pytest.mark.promise(
    fault="PostScript with an image's name",
    cause="`prepare verify` with a Ghostscript in the PATH that writes down that it was called",
    promise="refused, nothing is started",
)
def test_postscript_starts_nothing(tmp_path: Path, record: Record) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text('#!/bin/sh\necho "$@" >> "$GS_LOG"\necho 10.0\n')
    (tmp_path / "bin" / "gs").chmod(0o755)
    (tmp_path / "in").mkdir()
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"
    for suffix in (".jpg", ".png", ".tif"):
        (tmp_path / "in" / f"eps{suffix}").write_bytes(eps)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = measured("adain_lit.prepare", ["verify", "in"], tmp_path, PATH=path, GS_LOG=str(tmp_path / "called.txt"))
    assert done.status == 1
    assert "0 images listed" in done.output
    assert not (tmp_path / "called.txt").exists()
    record(3, "refused, Ghostscript was not called")


@pytest.mark.promise(
    fault="named pipes and devices with an image's name",
    cause="a FIFO and links to /dev/zero and /dev/random among images, `prepare verify`",
    promise="one line each, without opening them; the others are read",
)
def test_pipes_and_devices_are_not_opened(tmp_path: Path, record: Record) -> None:
    (tmp_path / "in").mkdir()
    small("coffee.png").save(tmp_path / "in" / "good.png")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    for device in ("zero", "random"):
        (tmp_path / "in" / f"{device}.jpg").symlink_to(f"/dev/{device}")
    done = measured("adain_lit.prepare", ["verify", "in"], tmp_path)
    assert done.status == 1
    assert len(read_list(tmp_path / "in.txt")) == 1
    lines = (tmp_path / "in.broken.txt").read_text().splitlines()
    assert lines == [
        "pipe.jpg\tit is a named pipe, not a regular file",
        "random.jpg\tit is a device, not a regular file",
        "zero.jpg\tit is a device, not a regular file",
    ]
    record(3, "one line each")


@pytest.mark.promise(
    fault="damaged or odd camera data",
    cause="EXIF cut short, garbage, orientation as text, GPS as text, a misnumbered ICC profile; `prepare verify`",
    promise="the pixels are read, the camera data are left out",
)
def test_damaged_camera_data_are_left_out(tmp_path: Path, record: Record) -> None:
    good = images.write_good(tmp_path / "all")
    names = [name for name in good if name.startswith(("exif_", "icc_", "damaged_exif", "orientation_"))]
    (tmp_path / "in").mkdir()
    for name in names:
        good[name].rename(tmp_path / "in" / good[name].name)
    done = measured("adain_lit.prepare", ["verify", "in"], tmp_path)
    assert f"{len(names)} images listed" in done.output
    assert not (tmp_path / "in.broken.txt").read_text()
    record(len(names), "all read")


@pytest.mark.slow
@pytest.mark.promise(
    fault="images that are small as files and large in memory",
    cause="four PNG files of 13000 x 13000 pixels with transparency, `prepare verify --jobs 4`",
    promise="decoded within 2 GiB, the process below 3 GB",
)
def test_large_images_share_a_budget(tmp_path: Path, record: Record) -> None:
    side = 13_000
    packer = zlib.compressobj(1)
    row = b"\0" + b"\x50\x80\xa0\x40" * side
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    png = images.png_file(side, side, pixels=pixels, color=6)
    (tmp_path / "in").mkdir()
    for k in range(4):
        (tmp_path / "in" / f"{k}.png").write_bytes(png)
    done = measured("adain_lit.prepare", ["verify", "in", "--jobs", "4"], tmp_path)
    assert "4 images listed" in done.output, done.output
    assert done.peak < 3 * GB
    record(4, f"all read, {done.peak / GB:.1f} GB at most")


@pytest.mark.promise(
    fault="an image too narrow to be scaled",
    cause="100000 x 1 pixels as a style among others, `stylize --every-pair`",
    promise="one line for it, the others are made",
)
def test_narrow_style_fails_alone(tmp_path: Path, record: Record) -> None:
    Image.new("RGB", (100_000, 1)).save(tmp_path / "narrow.png")
    for name in ("coffee", "chelsea"):
        small(f"{name}.png").save(tmp_path / f"{name}.png")
    arguments = ["coffee.png", "-s", "narrow.png", "chelsea.png", "--every-pair", "--device", "cpu", "-o", "out"]
    done = measured("adain_lit.stylize", arguments, tmp_path)
    assert done.status == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["coffee_stylized_chelsea.png"]
    assert "the style narrow.png has 100000x1 pixels" in done.output
    assert done.peak < 2 * GB
    record(1, f"one line, the other was made, {done.peak / GB:.1f} GB at most")
