"""What reaches the server of the web page, and everything in Gradio that is used here without being documented."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

C = TypeVar("C")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ROUTES = (
    "/",
    "/assets/{path:path}",
    "/config",
    "/config/",
    "/favicon.ico",
    "/manifest.json",
    "/static/{path:path}",
    "/svelte/{path:path}",
    "/theme.css",
    "/gradio_api/app_id",
    "/gradio_api/cancel",
    "/gradio_api/file={path_or_url:path}",
    "/gradio_api/heartbeat/{session_hash}",
    "/gradio_api/info",
    "/gradio_api/info/",
    "/gradio_api/queue/data",
    "/gradio_api/queue/join",
    "/gradio_api/reset",
    "/gradio_api/reset/",
    "/gradio_api/startup-events",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
)
"""The routes of Gradio that the page itself uses."""


class Gate:
    """ASGI middleware that passes on requests to `ROUTES` only, of limited size.

    Gradio has more routes, among them some that fetch addresses named in the request.

    Args:
        app: the application behind it.
        files: the folder of uploads and results, the only one whose files are served.
        max_bytes: largest body of a request.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], *, files: str, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        parameters = {"path:path": ".*", "path_or_url:path": f"{re.escape(files)}/.*", "session_hash": r"\w+"}
        # splitting at braces leaves literal text at even places and names of parameters at odd ones
        patterns = [
            "".join(parameters[x] if i % 2 else re.escape(x) for i, x in enumerate(re.split("[{}]", route)))
            for route in ROUTES
        ]
        self.allowed = re.compile("|".join(patterns), re.DOTALL)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 404, 411 or 413, or pass the request on. A client that disconnects is not an error."""
        from starlette.requests import ClientDisconnect  # installed with Gradio, which is optional

        status = self._refusal(scope) if scope["type"] == "http" else None
        if status is None:
            with suppress(ClientDisconnect):
                await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"not available"})

    def _refusal(self, scope: Message) -> int | None:
        path: str = scope["path"]
        if ".." in path.split("/") or not self.allowed.fullmatch(path):
            return 404
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = dict(scope["headers"]).get(b"content-length")
        if length is None:
            return 411
        return 413 if int(length) > self.max_bytes else None


def uploads_only(component: C, preprocess: Callable[[Any], Any]) -> C:
    """Make a component take uploaded files only and pass its value through `preprocess`.

    Gradio would download a file from any address that a request names, and would open the file itself and show only
    "Error" if that fails. Its methods are replaced on the object because Gradio writes a .pyi file beside every module
    that subclasses a component.
    """
    changed: Any = component
    move = changed.async_move_resource_to_block_cache

    async def move_upload(path: str | Path | None) -> str | None:
        if urlsplit(str(path)).scheme in ("http", "https"):
            from gradio import Error

            raise Error("Give a file, not an address.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    changed.preprocess = preprocess
    changed.async_move_resource_to_block_cache = move_upload
    return component
