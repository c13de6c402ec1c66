"""The page's own command in a process of its own, and a client that sends what a browser sends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.ranks import free_port

WATCHED = """
import sys
def watch(event, arguments, log=open(sys.argv.pop(1), "a", buffering=1)):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[1] if event == "socket.connect" else arguments
        log.write(f"{where[0] if isinstance(where, tuple) else where}\\n")
sys.addaudithook(watch)
from adain_lit.app import main
main()
"""
"""The command, with a list of every host that it asks for or connects to."""


@dataclass(frozen=True)
class Server:
    """A running page.

    Attributes:
        client: an HTTP client for it.
        folder: where it keeps files.
        hosts: file with the hosts that it asked for.
        process: the command.
    """

    client: httpx.Client
    folder: Path
    hosts: Path
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    def upload(self, path: str) -> dict[str, Any]:
        file = {"files": (Path(path).name, Path(path).read_bytes())}
        (stored,) = self.client.post("/gradio_api/upload", files=file).json()
        return file_of(stored)

    def join(self, content: Any, styles: Sequence[Any], session: str, size: int = 256) -> httpx.Response:
        """Press the button."""
        (click,) = (d for d in self.client.get("/config").json()["dependencies"] if d["targets"][0][1] == "click")
        places = [*styles, *[None] * (4 - len(styles)), 1, 1, 1, 1]
        data = [None, content, None, 1, 512, "none", size, *places]
        body = {"data": data, "fn_index": click["id"], "session_hash": session}
        return self.client.post("/gradio_api/queue/join", json=body)

    def messages(self, session: str) -> Iterator[dict[str, Any]]:
        """What the page hears until nothing is under way."""
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] == "close_stream":
                        return
                    yield message

    def press(self, content: Any, styles: Sequence[Any], session: str) -> list[dict[str, Any]]:
        assert self.join(content, styles, session).status_code == 200
        return list(self.messages(session))


def file_of(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@contextmanager
def serving(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[Server]:
    """Start the command with its temporary files in `folder`, and kill it at the end if it still runs."""
    port = port or free_port()
    before = set(folder.glob("adain_app_*"))
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(folder / "hosts.txt"), "--device", "cpu", "--port", str(port), *options],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)} | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith(f"the page is at http://127.0.0.1:{port}/"), process.communicate(timeout=60)
        (files,) = set(folder.glob("adain_app_*")) - before
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False) as client:
            yield Server(client, files, folder / "hosts.txt", process)
    finally:
        process.kill()
        process.communicate()
