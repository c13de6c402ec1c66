"""The command ``adain_lit.prepare`` from end to end, against a local mirror with a small archive like COCO's."""

import functools
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from adain_lit import prepare
from adain_lit.data.lists import read_list

SIZES = {"000000000009.jpg": (64, 48), "000000000025.jpg": (48, 64), "000000000030.jpg": (33, 31)}
BROKEN = "000000000034.jpg"


@dataclass
class Mirror:
    """A folder served over HTTP, and the paths that were asked for."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


class Handler(SimpleHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        self.mirror.asked.append(self.path)
        if self.path.startswith("/silent/"):
            self.mirror.released.wait(20)
            return
        if self.path.startswith("/broken/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half of it")
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Mirror(tmp_path / "mirror")
    state.folder.mkdir()
    make_archive(state.folder / "val2017.zip")
    handler = functools.partial(type("BoundHandler", (Handler,), {"mirror": state}), directory=str(state.folder))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    state.released.set()
    http.shutdown()
    http.server_close()


def make_archive(path: Path) -> None:
    """Write a zip like COCO's: a flat folder of JPEGs, one of them cut off."""
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(f"{path.stem}/", b"")
        for name, size in {**SIZES, BROKEN: (100, 100)}.items():
            jpeg = io.BytesIO()
            Image.linear_gradient("L").resize(size).convert("RGB").save(jpeg, "JPEG")
            zipped.writestr(f"{path.stem}/{name}", jpeg.getvalue()[: 400 if name == BROKEN else None])


@pytest.fixture
def wikiart(tmp_path: Path) -> Path:
    """WikiArt's layout: one folder for each genre."""
    folder = tmp_path / "data" / "wikiart"
    for genre in ("Art Nouveau", "Cubism"):
        (folder / genre).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (20 + i, 20), "teal").save(folder / genre / f"künstler_{i}.jpg")
    (folder / "Cubism" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "Cubism" / "up").symlink_to(folder)
    return folder


def coco(mirror: Mirror, root: Path, *options: str) -> int:
    arguments = ["coco", "--year", "2017", "--split", "val", "--root", str(root), "--base-url", mirror.url]
    return prepare.main([*arguments, *options])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, which must be one line and not a traceback."""
    text = capsys.readouterr().err
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1, text
    return text


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


READY = [
    "coco/val2017.broken.txt",
    "coco/val2017.txt",
    "coco/val2017.zip.sha256",
    *(f"coco/val2017/{name}" for name in sorted([*SIZES, BROKEN])),
]


def test_coco_is_downloaded_unpacked_and_listed(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coco(mirror, tmp_path / "data") == 0
    assert tree(tmp_path / "data") == READY
    images = read_list(tmp_path / "data" / "coco" / "val2017.txt")
    assert {entry.path: (entry.width, entry.height) for entry in images.entries} == SIZES
    assert (tmp_path / "data" / "coco" / "val2017.broken.txt").read_text().startswith(f"{BROKEN}\t")
    said = capsys.readouterr()
    assert "3 images listed" in said.out
    assert "the official val2017 has 5000 images, these are 3" in said.out
    assert said.err == ""


def test_second_call_asks_for_nothing_and_changes_nothing(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco(mirror, tmp_path)
    times = {path: (tmp_path / path).stat().st_mtime_ns for path in READY}
    mirror.asked.clear()
    capsys.readouterr()
    assert coco(mirror, tmp_path) == 0
    assert mirror.asked == []
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in READY} == times
    assert (
        capsys.readouterr().out == f"{tmp_path}/coco/val2017 is ready: 3 images listed in {tmp_path}/coco/val2017.txt\n"
    )


def test_archive_is_kept_on_wish_and_missing_pictures_come_from_it(mirror: Mirror, tmp_path: Path) -> None:
    coco(mirror, tmp_path, "--keep-archive")
    assert (tmp_path / "coco" / "val2017.zip").read_bytes() == (mirror.folder / "val2017.zip").read_bytes()
    (tmp_path / "coco" / "val2017" / "000000000009.jpg").unlink()
    assert coco(mirror, tmp_path) == 0
    assert tree(tmp_path) == [name for name in READY + tree(tmp_path / "mirror") if name != "val2017.zip"] + [
        "mirror/val2017.zip"
    ]
    assert mirror.asked == ["/val2017.zip"]


def test_interrupted_unpacking_is_finished_by_the_next_call(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", interrupt)
        assert coco(mirror, tmp_path / "data") == 130
    assert "interrupted" in one_line(capsys)
    assert tree(tmp_path / "data") == ["coco/val2017.zip", "coco/val2017.zip.sha256"]
    assert coco(mirror, tmp_path / "data") == 0
    assert tree(tmp_path / "data") == READY
    assert mirror.asked == ["/val2017.zip"]


def test_folder_unpacked_by_hand_is_only_listed(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(prepare.COCO_IMAGES, "val2017", 4)
    with zipfile.ZipFile(mirror.folder / "val2017.zip") as zipped:
        zipped.extractall(tmp_path / "coco")
    assert coco(mirror, tmp_path) == 0
    assert mirror.asked == []
    assert len(read_list(tmp_path / "coco" / "val2017.txt")) == 3


def test_kept_archive_repairs_a_full_folder(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(prepare.COCO_IMAGES, "val2017", 4)
    coco(mirror, tmp_path, "--keep-archive")
    (tmp_path / "coco" / "val2017.txt").unlink()
    (tmp_path / "coco" / "val2017" / "000000000009.jpg").write_bytes(b"")
    assert coco(mirror, tmp_path) == 0
    assert len(read_list(tmp_path / "coco" / "val2017.txt")) == 3


def test_wanted_checksum_is_enforced_before_and_after(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coco(mirror, tmp_path / "data", "--sha256", "0" * 64) == 2
    assert f"needed is {'0' * 64}" in one_line(capsys)
    assert tree(tmp_path / "data") == ["coco/val2017.zip"]  # what took hours is kept
    assert mirror.asked == ["/val2017.zip"]
    assert coco(mirror, tmp_path / "data") == 0
    right = (tmp_path / "data" / "coco" / "val2017.zip.sha256").read_text().split()[0]
    assert coco(mirror, tmp_path / "data", "--sha256", right.upper()) == 0
    capsys.readouterr()
    assert coco(mirror, tmp_path / "data", "--sha256", "0" * 64) == 2
    assert right in one_line(capsys)


@pytest.mark.parametrize("content", [b"this is no archive", None])
def test_bad_archive_or_none_ends_in_one_line(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    archive = mirror.folder / "val2017.zip"
    archive.unlink() if content is None else archive.write_bytes(content)
    assert coco(mirror, tmp_path / "data") == 2
    said = "the server answered 404" if content is None else "is damaged, incomplete or not a plain zip"
    assert said in one_line(capsys)
    assert tree(tmp_path / "data") == ([] if content is None else ["coco/val2017.zip", "coco/val2017.zip.sha256"])


def test_a_broken_transfer_leaves_no_archive_and_says_how_to_continue(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["coco", "--year", "2017", "--split", "val", "--root", str(tmp_path / "data")]
    assert prepare.main([*arguments, "--base-url", f"{mirror.url}/broken"]) == 2
    url, archive = f"{mirror.url}/broken/val2017.zip", tmp_path / "data" / "coco" / "val2017.zip"
    assert f"{url}: the download failed" in (line := one_line(capsys))
    assert f"`curl -C - -o {archive} {url}`" in line
    assert tree(tmp_path / "data") == []


def test_unreachable_host_ends_in_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert coco(Mirror(tmp_path, url="http://127.0.0.1:9"), tmp_path) == 2
    assert "http://127.0.0.1:9/val2017.zip: the download failed (ConnectionError)" in one_line(capsys)
    assert tree(tmp_path) == []


def test_full_disk_ends_in_one_line(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert coco(mirror, tmp_path) == 2
    assert "free" in one_line(capsys)


def test_ctrl_c_ends_the_process_with_130_and_one_line(mirror: Mirror, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "adain_lit.prepare",
        "coco",
        "--root",
        str(tmp_path),
        "--base-url",
        f"{mirror.url}/silent",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not mirror.asked and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert mirror.asked == ["/silent/train2014.zip"]
    assert (process.returncode, errors) == (
        130,
        "adain_lit.prepare: interrupted; run the same command again to continue\n",
    )


def test_start_needs_neither_torch_nor_lightning_nor_hydra() -> None:
    code = "import sys, adain_lit.prepare; print({'torch', 'lightning', 'hydra', 'wandb'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_verify_lists_genre_folders_beside_them(wikiart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["verify", str(wikiart), "--jobs", "2"]) == 1
    images = read_list(wikiart.with_name("wikiart.txt"))
    assert len(images) == 40
    assert images.entries[0].path == "Art Nouveau/künstler_0.jpg"
    broken = wikiart.with_name("wikiart.broken.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in broken] == ["Cubism/broken.jpg"]
    printed = capsys.readouterr().out
    assert "40 images listed in" in printed
    assert "1 broken file in" in printed
    (wikiart / "Cubism" / "broken.jpg").unlink()
    assert prepare.main(["verify", str(wikiart), "--jobs", "2"]) == 0
    assert "0 broken files in" in capsys.readouterr().out


def test_verify_says_what_has_several_frames_and_reads_no_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (0, 255)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "in" / "b.gif")
    os.mkfifo(tmp_path / "in" / "c.jpg")
    assert prepare.main(["verify", str(tmp_path / "in")]) == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("2 images listed in ")
    assert second == f"1 image with several frames, of which the first is used, such as {tmp_path}/in/a.gif"
    broken = (tmp_path / "in.broken.txt").read_text()
    assert broken == "c.jpg\tit is a named pipe, not a regular file\n"
    os.mkfifo(tmp_path / "list.txt")
    assert prepare.main(["split", str(tmp_path / "list.txt"), "--val", "0.5"]) == 2
    assert "list.txt: it is a named pipe" in capsys.readouterr().err


def test_verify_is_the_same_whatever_the_number_of_jobs(wikiart: Path, tmp_path: Path) -> None:
    for jobs in ("1", "4"):
        prepare.main(["verify", str(wikiart), "--jobs", jobs, "--list", str(tmp_path / f"{jobs}.txt")])
    assert (tmp_path / "1.txt").read_bytes() == (tmp_path / "4.txt").read_bytes()


def test_verify_of_the_current_folder_takes_its_name(wikiart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(wikiart)
    assert prepare.main(["verify", "."]) == 1
    assert len(read_list(wikiart.with_name("wikiart.txt"))) == 40


def test_split_of_a_folder_and_of_its_list_agree(wikiart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = [wikiart.with_name(f"wikiart.{part}.txt") for part in ("train", "val", "test")]
    assert prepare.main(["split", str(wikiart), "--val", "0.3", "--test", "0.2"]) == 0
    first = [path.read_bytes() for path in lists]
    assert prepare.main(["split", f"{wikiart}.txt", "--val", "0.3", "--test", "0.2"]) == 0
    assert [path.read_bytes() for path in lists] == first
    paths = [path for part in lists for path in read_list(part).paths]
    assert len(set(paths)) == len(paths) == 40
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "nowhere"], "nowhere"),
        (["split", "nowhere.txt", "--val", "0.1"], "cannot read the image list nowhere.txt"),
        (["split", "nowhere.txt"], "--val"),
        (["verify", "/"], "no name"),
        (["verify", "x", "--jobs", "0"], "not 1 or more"),
        (["coco", "--sha256", "0" * 64], "select it with --split"),
        (["coco", "--sha256", "abc"], "64 hexadecimal digits"),
        (["coco", "--year", "2015"], "2014"),
        ([], "COMMAND"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare.main(arguments) == 2
    assert said in one_line(capsys)
    assert tree(tmp_path) == []


def test_list_that_cannot_be_written_ends_in_one_line(wikiart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (wikiart.parent / "file").touch()
    assert prepare.main(["verify", str(wikiart), "--list", str(wikiart.parent / "file" / "list.txt")]) == 2
    assert "file" in one_line(capsys)


@pytest.mark.parametrize(("given", "expected"), [("/mnt/images", "/mnt/images"), ("", "data")])
def test_root_is_the_environments(given: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAIN_DATA", given)
    roots: list[Path] = []
    monkeypatch.setattr(prepare, "prepare_coco", lambda arguments: roots.append(arguments.root))
    assert prepare.main(["coco"]) == 0
    assert roots == [Path(expected)]
