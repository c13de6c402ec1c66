"""The gate, and a test named after each undocumented thing in Gradio that the page relies on."""

import asyncio
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from adain_lit.web.gate import ROUTES, Gate

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


def test_gradio_moves_uploads_by_the_method_that_is_replaced() -> None:
    move = gr.components.Component.async_move_resource_to_block_cache
    assert inspect.iscoroutinefunction(move)
    assert list(inspect.signature(move).parameters) == ["self", "url_or_file_path"]


def test_gradio_hands_preprocess_the_paths_of_uploads() -> None:
    assert "path" in gr.Image.data_model.model_fields
    assert "layers" in gr.ImageEditor.data_model.model_fields
