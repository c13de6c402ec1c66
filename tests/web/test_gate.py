"""The gate, and a test named after each undocumented thing in Gradio that the page relies on."""

import asyncio
import inspect
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adain_lit.web.gate import ROUTES, Gate, print_errors_in_one_line

gr = pytest.importorskip("gradio", reason="gradio is not installed")


def test_a_client_that_disconnects_is_no_error_and_a_defect_is_one() -> None:
    from starlette.requests import ClientDisconnect

    def gate(error: Exception) -> Gate:
        async def broken(*_: Any) -> None:
            raise error

        return Gate(broken, files="/files", max_bytes=1000)

    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
    asyncio.run(gate(ClientDisconnect())(scope, None, None))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="defect"):
        asyncio.run(gate(ValueError("defect"))(scope, None, None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def routes() -> Iterator[set[str]]:
    """Every route of a Gradio application, nested routers included."""

    def paths(routes: list[Any]) -> set[str]:
        own = {route.path for route in routes if hasattr(route, "path")}
        nested = [paths(route.original_router.routes) for route in routes if hasattr(route, "original_router")]
        return own.union(*nested)

    with gr.Blocks() as blocks:
        gr.Image()
    yield paths(gr.routes.App.create_app(blocks).routes)
    blocks.close()


@pytest.mark.parametrize("route", ROUTES)
def test_gradio_has_the_route(route: str, routes: set[str]) -> None:
    assert route in routes


@pytest.mark.parametrize("route", ROUTES)
def test_the_gate_opens_for_its_routes_alone(route: str) -> None:
    gate = Gate(lambda *_: asyncio.sleep(0), files="/folder.of/files", max_bytes=1000)
    path = re.sub("{path_or_url:path}", "/folder.of/files/a/b.png", route)
    path = re.sub("{.*?}", "x", path)
    assert gate.allowed.fullmatch(path)
    for other in (f"/x{path}", f"{path}/../a"):
        assert gate._refusal({"path": other, "method": "GET"}) == 404


def test_files_are_served_from_their_folder_alone() -> None:
    gate = Gate(lambda *_: asyncio.sleep(0), files="/folder.of/files", max_bytes=1000)
    served = {
        path: gate._refusal({"path": f"/gradio_api/file={path}", "method": "GET"}) is None
        for path in ("/folder.of/files/a.png", "/folderXof/files/a.png", "/folder.of/files", "/etc/passwd")
    }
    assert list(served.values()) == [True, False, False, False]


def refusal(gate: Gate, method: str = "GET", path: str = "/", **headers: str) -> int | None:
    """What the gate answers to a request; None if it lets it pass."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return gate._refusal({"type": "http", "path": path, "method": method, "headers": pairs})


def open_gate(tmp_path: Path, **options: Any) -> Gate:
    return Gate(lambda *_: asyncio.sleep(0), files=str(tmp_path), max_bytes=1000, **options)


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("127.0.0.1:7860", True),
        ("localhost:7860", True),
        ("LOCALHOST", True),
        ("[::1]:7860", True),
        ("192.168.1.7:7860", True),
        ("page.lan", True),
        ("evil.example:7860", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[x]", False),
        ("a@evil.example", False),
    ],
)
def test_only_requests_that_name_this_server_pass(host: str, passes: bool, tmp_path: Path) -> None:
    """A foreign page whose name is given this machine's address (DNS rebinding) sends its own name."""
    gate = open_gate(tmp_path, hosts=["localhost", "page.lan"])
    assert refusal(gate, host=host) == (None if passes else 403)


@pytest.mark.parametrize(
    ("origin", "passes"),
    [("http://127.0.0.1:7860", True), ("https://evil.example", False), ("null", False), ("http://127.0.0.1:1", False)],
)
def test_uploads_of_a_foreign_page_are_refused(origin: str, passes: bool, tmp_path: Path) -> None:
    headers = {"host": "127.0.0.1:7860", "origin": origin, "content_length": "10"}
    answer = refusal(open_gate(tmp_path), "POST", "/gradio_api/upload", **headers)
    assert answer == (None if passes else 403)


def test_uploads_and_results_have_a_limit_in_total(tmp_path: Path) -> None:
    gate = open_gate(tmp_path, max_total=1500)
    upload = ("POST", "/gradio_api/upload")
    assert refusal(gate, *upload, content_length="900") is None
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "image.png").write_bytes(bytes(601))
    assert refusal(gate, *upload, content_length="900") == 507
    assert refusal(gate, *upload, content_length="899") is None
    gate.arriving = 1
    assert refusal(gate, *upload, content_length="899") == 507


@pytest.mark.parametrize(
    ("length", "status"), [("many", 400), ("-1", 400), ("1e3", 400), ("1001", 413), ("9" * 50, 413)]
)
def test_odd_lengths_are_answered(length: str, status: int, tmp_path: Path) -> None:
    assert refusal(open_gate(tmp_path), "POST", "/gradio_api/upload", content_length=length) == status


def test_web_sockets_are_closed(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    gate = open_gate(tmp_path)
    asyncio.run(gate({"type": "websocket", "path": "/", "headers": []}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_errors_of_requests_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Gradio prints the traceback of whatever the values of a hand-made request cause."""
    from gradio import queueing, routes

    for module in (queueing, routes):
        monkeypatch.setattr(module, "traceback", traceback)  # the name by which Gradio prints it
    print_errors_in_one_line()
    try:
        raise TypeError("alpha is\na list")
    except TypeError:
        for module in (queueing, routes):
            module.traceback.print_exc()  # type: ignore[attr-defined]
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2
    assert printed[0].startswith("adain_lit.app: a request failed: TypeError: alpha is a list (test_gate.py:")


def test_gradio_moves_uploads_by_the_method_that_is_replaced() -> None:
    move = gr.components.Component.async_move_resource_to_block_cache
    assert inspect.iscoroutinefunction(move)
    assert list(inspect.signature(move).parameters) == ["self", "url_or_file_path"]


def test_gradio_hands_preprocess_the_paths_of_uploads() -> None:
    assert "path" in gr.Image.data_model.model_fields
    assert "layers" in gr.ImageEditor.data_model.model_fields
