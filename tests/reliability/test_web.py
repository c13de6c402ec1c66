"""Web page: requests that no page of ours sends."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adain_lit.web.gate import ROUTES, Gate
from support.images import small
from support.ranks import free_port
from support.web import serving

Record = Callable[[int, str], None]
HOSTS = [
    "127.0.0.1:7860",
    "localhost",
    "[::1]",
    "evil.example",
    "[",
    "[x]",
    "",
    ":",
    "a" * 3000,
    "\xff",
    "127.0.0.1@evil.example",
]
LENGTHS = ["0", "10", "-1", "1e9", "9" * 400, "", "\xb2", " 5", "0x10"]


@pytest.mark.promise(
    fault="requests with hand-made headers, paths and lengths",
    cause="random combinations of routes, hosts, origins, lengths and methods through the gate; seeded",
    promise="passed on only for the page's own routes, names and sizes; anything else a status, never an error",
)
def test_random_requests(tmp_path: Path, record: Record) -> None:
    chance, tries, statuses = random.Random(0), 1000, dict[int, int]()
    passed: list[Any] = []

    async def application(scope: Any, *_: Any) -> None:
        passed.append(scope)

    gate = Gate(application, files=str(tmp_path), max_bytes=1000, max_total=5000)

    async def send(message: Any) -> None:
        if "status" in message:
            statuses[message["status"]] = statuses.get(message["status"], 0) + 1

    for _ in range(tries):
        pairs = [("host", chance.choice(HOSTS)), ("content-length", chance.choice(LENGTHS))]
        pairs += [("origin", f"http://{chance.choice(HOSTS)}")] if chance.random() < 0.5 else []
        headers = [(name.encode(), value.encode("latin-1")) for name, value in pairs if chance.random() < 0.9]
        path = chance.choice([*ROUTES, "/gradio_api/proxy=http://x", "/../etc", "//", "/gradio_api/file=/etc/passwd"])
        scope = {"type": "http", "path": path, "method": chance.choice(["GET", "POST", "PUT"]), "headers": headers}
        asyncio.run(gate(scope, None, send))  # type: ignore[arg-type]
    assert len(passed) + sum(statuses.values()) == tries
    assert set(statuses) <= {400, 403, 404, 411, 413, 507}
    for scope in passed:
        assert dict(scope["headers"]).get(b"host", b"") in (b"127.0.0.1:7860", b"localhost", b"[::1]", b"")
    record(tries, f"{len(passed)} passed on, the others answered {', '.join(map(str, sorted(statuses)))}")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A photograph, and paintings of one colour each, by name."""
    folder = tmp_path_factory.mktemp("images")
    small("astronaut.png").save(folder / "astronaut.png")
    for i in range(10):
        Image.effect_noise((64, 64), 20 + 8 * i).convert("RGB").save(folder / f"noise{i}.png")
    return {path.stem: str(path) for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.promise(
    fault="the page's command ends while it makes an image, and is started again",
    cause="SIGTERM, SIGHUP or SIGKILL while one image is made and others wait; then the command again on the same port",
    promise="it ends within ten seconds and works again; no upload stays on the disk",
)
def test_restart_of_the_page_amid_an_image(tmp_path: Path, images: dict[str, str], record: Record) -> None:
    port, ignored = free_port(), signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # under nohup
    numbers = [signal.SIGTERM, *([] if ignored else [signal.SIGHUP]), signal.SIGKILL]
    for number in numbers:
        with serving(tmp_path, port=port) as server:
            content, style = server.upload(images["astronaut"]), server.upload(images["noise0"])
            for k in range(4):
                assert server.join(content, [style], f"before{k}", size=768).status_code == 200
            next(message for message in server.messages("before0") if message["msg"] == "process_starts")
            begin = time.monotonic()
            server.process.send_signal(number)
            _, errors = server.process.communicate(timeout=60)
            assert time.monotonic() - begin < 10
            assert server.process.returncode == (-number if number == signal.SIGKILL else 0)
            assert "Traceback" not in errors, errors
            assert server.folder.exists() == (number == signal.SIGKILL)
    with serving(tmp_path, port=port) as server:
        assert list(tmp_path.glob("adain_app_*")) == [server.folder]
        heard = server.press(server.upload(images["astronaut"]), [server.upload(images["noise0"])], "after")
        assert heard[-1]["success"]
    record(len(numbers), "ended, worked again; what SIGKILL left was removed at the next start")
