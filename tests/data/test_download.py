"""Checksums of archives, and unpacking of hostile ones; `tests/test_prepare.py` downloads from a server."""

import hashlib
import io
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from adain_lit.data.download import download, unpack_flat
from adain_lit.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_existing_file_is_not_downloaded_but_its_checksum_is_verified_and_recorded(tmp_path: Path) -> None:
    body = random.Random(0).randbytes(600_000)
    sha256 = hashlib.sha256(body).hexdigest()
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(InputError, match=f"has the SHA-256 {sha256}, needed is {'0' * 64}; correct the checksum"):
        download("http://nowhere.invalid/a.zip", tmp_path / "a.zip", sha256="0" * 64)
    assert names(tmp_path) == ["a.zip"]
    assert download("http://nowhere.invalid/a.zip", tmp_path / "a.zip", sha256=sha256.upper()) == sha256
    assert (tmp_path / "a.zip.sha256").read_text() == f"{sha256}  a.zip\n"


@pytest.mark.parametrize("url", ["ftp://host/a.zip", "train2017.zip", "http://[broken/a.zip"])
def test_an_address_that_cannot_be_asked_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*the download failed[^\n]*curl -C -[^\n]*$"):
        download(url, tmp_path / "a.zip")
    assert names(tmp_path) == []


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return path


IMAGES = {f"train2017/{i:012d}.jpg": random.Random(i).randbytes(5000) for i in range(5)}


def test_flat_archive_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "train2017.zip", {"train2017/": b"", **IMAGES})
    assert unpack_flat(archive, tmp_path / "train2017", progress=False) == 5
    assert {f"train2017/{p.name}": p.read_bytes() for p in (tmp_path / "train2017").iterdir()} == IMAGES


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "train2017/../../evil.jpg",
        "/tmp/evil.jpg",
        "train2017/..",
        "train2017/a\\..\\evil.jpg",
        "train2017/C:evil.jpg",
        "evil.jpg",
        "train2017/sub/evil.jpg",
        "val2017/evil.jpg",
    ],
)
def test_archive_that_reaches_out_of_its_folder_is_refused_whole(tmp_path: Path, name: str) -> None:
    archive = make_zip(tmp_path / "train2017.zip", {**IMAGES, name: b"evil"})
    with pytest.raises(InputError, match="nothing was unpacked"):
        unpack_flat(archive, tmp_path / "train2017", progress=False)
    assert names(tmp_path) == ["train2017.zip"]


def test_interrupted_unpacking_leaves_whole_files_and_does_the_rest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, folder = make_zip(tmp_path / "train2017.zip", IMAGES), tmp_path / "train2017"

    def interrupted_at_the_third(source: io.BufferedIOBase, target: io.BufferedIOBase) -> None:
        target.write(source.read(1000 if len(names(folder)) == 3 else -1))  # two files and the one being written
        if len(names(folder)) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", interrupted_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            unpack_flat(archive, folder, progress=False)
    assert names(folder) == ["000000000000.jpg", "000000000001.jpg"]
    before = (folder / "000000000000.jpg").stat().st_ino
    (folder / "000000000001.jpg").write_bytes(bytes(5000))  # right size, wrong content
    unpack_flat(archive, folder, progress=False)
    assert {f"train2017/{p.name}": p.read_bytes() for p in folder.iterdir()} == IMAGES
    assert (folder / "000000000000.jpg").stat().st_ino == before  # not written again


def test_corrupt_member_is_refused_by_its_crc_and_leaves_no_file(tmp_path: Path) -> None:
    archive, folder = make_zip(tmp_path / "train2017.zip", IMAGES), tmp_path / "train2017"
    data = archive.read_bytes()
    middle = data.index(IMAGES["train2017/000000000002.jpg"]) + 2500
    archive.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(InputError, match=r"is damaged, .*000000000002\.jpg.*, or delete it"):
        unpack_flat(archive, folder, progress=False)
    assert names(folder) == ["000000000000.jpg", "000000000001.jpg"]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_what_is_not_a_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train2017.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"not a plain zip .*; complete it with `curl -C -`"):
        unpack_flat(tmp_path / "train2017.zip", tmp_path / "train2017", progress=False)


def test_too_small_a_disk_is_noticed_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "train2017.zip", IMAGES)
    usage = shutil.disk_usage(tmp_path)._replace(free=24_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GB free"):
        unpack_flat(archive, tmp_path / "train2017", progress=False)
    assert names(tmp_path / "train2017") == []
