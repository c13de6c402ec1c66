"""Web page: requests that no page of ours sends."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adain_lit.web.gate import ROUTES, Gate

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
