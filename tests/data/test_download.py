"""Downloads against a real HTTP server that misbehaves in the ways servers do, and unpacking of hostile archives."""

import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adain_lit.data.download import download, unpack_flat
from adain_lit.errors import InputError

BODY = random.Random(0).randbytes(600_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Server:
    """One file and how it is served; what was asked is kept."""

    url: str = ""
    body: bytes = BODY
    etag: str | None = '"one"'
    break_after: list[int] = field(default_factory=list)  # bytes to send before hanging up, one for each request
    status: list[int] = field(default_factory=list)  # errors to answer with first
    ranges: bool = True
    stall: bool = False  # send what break_after says, then stay silent
    honour_if_range: bool = True
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    stalled: threading.Event = field(default_factory=threading.Event)

    @property
    def asked_ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        state = self.state
        state.requests.append(dict(self.headers))
        if state.status:
            self.send_error(state.status.pop(0))
            return
        start = self.wanted_start()
        if start >= len(state.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(state.body) - 1}/{len(state.body)}")
        if state.etag:
            self.send_header("ETag", state.etag)
        self.send_header("Content-Length", str(len(state.body) - start))
        self.end_headers()
        limit = state.break_after.pop(0) if state.break_after else len(state.body)
        piece = state.body[start : start + limit]
        state.sent += len(piece)  # before the client can have it and the test goes on
        with contextlib.suppress(ConnectionError):  # the client may have hung up
            self.wfile.write(piece)
        if state.stall:
            state.stalled.wait(10)

    def wanted_start(self) -> int:
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        if not wanted or not self.state.ranges:
            return 0
        if self.state.honour_if_range and condition and condition != self.state.etag:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"state": state}))
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}/train2017.zip"
    yield state
    state.stalled.set()
    http.shutdown()
    http.server_close()


def fetch(server: Server, target: Path, *, retries: int = 2, sha256: str | None = None) -> str:
    return download(server.url, target, sha256=sha256, retries=retries, wait=0.01, progress=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_arrives_with_its_checksum_on_record(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "new" / "a.zip", sha256=SHA256.upper()) == SHA256
    assert (tmp_path / "new" / "a.zip").read_bytes() == BODY
    assert (tmp_path / "new" / "a.zip.sha256").read_text() == f"{SHA256}  a.zip\n"
    assert names(tmp_path / "new") == ["a.zip", "a.zip.sha256"]


def test_existing_file_is_not_asked_for_but_checked(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "a.zip")
    assert fetch(server, tmp_path / "a.zip", sha256=SHA256) == SHA256
    with pytest.raises(InputError, match=SHA256):
        fetch(server, tmp_path / "a.zip", sha256="0" * 64)
    assert len(server.requests) == 1


def test_broken_connection_is_retried_from_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000, 200_000]
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert server.asked_ranges == [None, "bytes=100000-", "bytes=300000-"]
    assert [headers.get("If-Range") for headers in server.requests] == [None, '"one"', '"one"']
    assert server.sent == len(BODY)  # not one byte twice


def test_new_bytes_renew_the_retries(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000] * 5
    assert fetch(server, tmp_path / "a.zip", retries=1) == SHA256


def test_later_call_resumes_the_part_file(server: Server, tmp_path: Path) -> None:
    server.break_after = [150_000]
    with pytest.raises(InputError, match=r"150000 of 600000 bytes; .* continue from byte 150000"):
        fetch(server, tmp_path / "a.zip", retries=0)
    assert names(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert server.asked_ranges == [None, "bytes=150000-"]
    assert server.sent == len(BODY)
    assert names(tmp_path) == ["a.zip", "a.zip.sha256"]


def test_killed_download_resumes(server: Server, tmp_path: Path) -> None:
    server.stall, server.break_after = True, [300_000]
    call = f"from adain_lit.data.download import download; download({server.url!r}, {str(tmp_path / 'a.zip')!r})"
    process = subprocess.Popen([sys.executable, "-c", call], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    part, until = tmp_path / "a.zip.part", time.monotonic() + 10
    while (part.stat().st_size if part.exists() else 0) < 200_000 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = part.stat().st_size
    server.stall = False
    assert held >= 200_000
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert server.asked_ranges == [None, f"bytes={held}-"]
    assert server.sent == 300_000 + len(BODY) - held


def test_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, [100_000]
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert server.asked_ranges == [None, "bytes=100000-"]
    assert server.sent == 100_000 + len(BODY)


def test_server_that_ignores_ranges_and_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, [100_000] * 50
    with pytest.raises(InputError, match="gave up after 2 retries"):
        fetch(server, tmp_path / "a.zip")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("etag", "honour_if_range", "length"),
    [
        ('"two"', True, 600_000),  # the server says so itself
        ('"two"', False, 600_000),  # it sends a piece of the new file: the ETag tells
        (None, False, 550_000),  # no ETag: the size tells
        (None, False, 90_000),  # shorter than what is there: the server answers 416
    ],
)
def test_changed_file_is_never_glued_together(
    server: Server, tmp_path: Path, etag: str | None, honour_if_range: bool, length: int
) -> None:
    server.break_after, server.etag = [100_000], etag and '"one"'
    with pytest.raises(InputError):
        fetch(server, tmp_path / "a.zip", retries=0)
    server.body, server.etag, server.honour_if_range = random.Random(1).randbytes(length), etag, honour_if_range
    fetch(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == server.body
    assert server.asked_ranges[1] == "bytes=100000-"


def test_part_of_another_address_is_not_continued(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000]
    with pytest.raises(InputError):
        fetch(server, tmp_path / "a.zip", retries=0)
    server.url += "?mirror"
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert server.asked_ranges == [None, None]


def test_wrong_checksum_is_refused_and_the_download_kept_for_a_corrected_one(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"has the SHA-256 {SHA256}, needed is {'0' * 64}"):
        fetch(server, tmp_path / "a.zip", sha256="0" * 64)
    assert names(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    assert fetch(server, tmp_path / "a.zip", sha256=SHA256) == SHA256
    assert len(server.requests) == 1


def test_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = [503, 500]
    assert fetch(server, tmp_path / "a.zip") == SHA256
    assert len(server.requests) == 3


def test_missing_file_is_an_error_at_once(server: Server, tmp_path: Path) -> None:
    server.status = [404]
    with pytest.raises(InputError, match="answered 404") as raised:
        fetch(server, tmp_path / "a.zip")
    assert server.url in str(raised.value)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("url", ["ftp://host/a.zip", "train2017.zip", "http://[broken/a.zip"])
def test_addresses_that_cannot_be_asked_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an"):
        download(url, tmp_path / "a.zip", retries=0)


def test_too_small_a_disk_is_noticed_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=len(BODY) + 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="needs"):
        download(server.url, tmp_path / "a.zip", room=2, progress=False)
    assert not (tmp_path / "a.zip.part").exists()
    assert download(server.url, tmp_path / "a.zip", progress=False) == SHA256


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return path


PICTURES = {f"train2017/{i:012d}.jpg": random.Random(i).randbytes(5000) for i in range(5)}


def test_flat_archive_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "train2017.zip", {"train2017/": b"", **PICTURES})
    assert unpack_flat(archive, tmp_path / "train2017", progress=False) == 5
    assert {f"train2017/{p.name}": p.read_bytes() for p in (tmp_path / "train2017").iterdir()} == PICTURES


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
    archive = make_zip(tmp_path / "train2017.zip", {**PICTURES, name: b"evil"})
    with pytest.raises(InputError, match="nothing was unpacked"):
        unpack_flat(archive, tmp_path / "train2017", progress=False)
    assert names(tmp_path) == ["train2017.zip"]


def test_interrupted_unpacking_leaves_whole_files_and_does_the_rest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, folder = make_zip(tmp_path / "train2017.zip", PICTURES), tmp_path / "train2017"

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
    assert {f"train2017/{p.name}": p.read_bytes() for p in folder.iterdir()} == PICTURES
    assert (folder / "000000000000.jpg").stat().st_ino == before  # not written again


def test_corrupt_member_is_refused_by_its_crc_and_leaves_no_file(tmp_path: Path) -> None:
    archive, folder = make_zip(tmp_path / "train2017.zip", PICTURES), tmp_path / "train2017"
    data = archive.read_bytes()
    middle = data.index(PICTURES["train2017/000000000002.jpg"]) + 2500
    archive.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(InputError, match=r"is damaged .*000000000002\.jpg.*; delete it"):
        unpack_flat(archive, folder, progress=False)
    assert names(folder) == ["000000000000.jpg", "000000000001.jpg"]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_what_is_not_a_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train2017.zip").write_bytes(content)
    with pytest.raises(InputError, match="not a plain zip"):
        unpack_flat(tmp_path / "train2017.zip", tmp_path / "train2017", progress=False)


def test_too_small_a_disk_is_noticed_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "train2017.zip", PICTURES)
    usage = shutil.disk_usage(tmp_path)._replace(free=24_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GB free"):
        unpack_flat(archive, tmp_path / "train2017", progress=False)
    assert names(tmp_path / "train2017") == []
