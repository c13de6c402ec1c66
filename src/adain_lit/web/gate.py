"""What reaches the server of the web page, and everything in Gradio that is used here without being documented."""

import re
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
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
    """ASGI middleware that passes on requests to `ROUTES` only, of limited size, from the page itself.

    Gradio has more routes, among them some that fetch addresses named in the request. A request has to name this
    server by an IP address or by one of `hosts`: a foreign page can give its own name this machine's address (DNS
    rebinding), but can neither change the name that the browser sends nor claim another origin.

    Args:
        app: the application behind it.
        files: the folder of uploads and results, the only one whose files are served.
        max_bytes: largest body of a request.
        max_total: bytes that all uploads and results may take; None for no limit.
        hosts: names by which the page is reached, beside IP addresses.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        files: str,
        max_bytes: int,
        max_total: int | None = None,
        hosts: Sequence[str] = ("localhost",),
    ) -> None:
        self.app = app
        self.files = Path(files)
        self.max_bytes = max_bytes
        self.max_total = max_total
        self.hosts = {host.lower() for host in hosts}
        self.arriving = 0
        """Bytes of the uploads that are being received."""
        parameters = {"path:path": ".*", "path_or_url:path": f"{re.escape(files)}/.*", "session_hash": r"\w+"}
        # splitting at braces leaves literal text at even places and names of parameters at odd ones
        patterns = [
            "".join(parameters[x] if i % 2 else re.escape(x) for i, x in enumerate(re.split("[{}]", route)))
            for route in ROUTES
        ]
        self.allowed = re.compile("|".join(patterns), re.DOTALL)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 400, 403, 404, 411, 413 or 507, or pass the request on. A client that disconnects is not an error."""
        from starlette.requests import ClientDisconnect  # installed with Gradio, which is optional

        status = self._refusal(scope) if scope["type"] == "http" else None
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if status is None:
            own = _length(scope) or 0
            self.arriving += own
            try:
                with suppress(ClientDisconnect):
                    await self.app(scope, receive, send)
            finally:
                self.arriving -= own
            return
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"not available"})

    def _refusal(self, scope: Message) -> int | None:
        path: str = scope["path"]
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        host = headers.get(b"host", "")
        if host and not self._is_here(host):
            return 403
        origin = headers.get(b"origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and origin.partition("://")[2] != host:
            return 403
        if ".." in path.split("/") or not self.allowed.fullmatch(path):
            return 404
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = _length(scope)
        if length is None:
            return 411 if b"content-length" not in headers else 400
        if length > self.max_bytes:
            return 413
        if path.endswith("/upload") and self.max_total is not None and self._taken() + length > self.max_total:
            return 507
        return None

    def _is_here(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:  # brackets that hold no address
            return False
        if name in self.hosts:
            return True
        with suppress(ValueError):
            ip_address(name)
            return True
        return False

    def _taken(self) -> int:
        """Bytes of all uploads and results, and of the uploads that are being received."""
        sizes = 0
        for path in self.files.rglob("*"):
            with suppress(OSError):  # removed meanwhile
                sizes += path.stat().st_size if path.is_file() else 0
        return sizes + self.arriving


def _length(scope: Message) -> int | None:
    """Length of a request's body in bytes; None if it is not stated as a number."""
    text = dict(scope.get("headers", ())).get(b"content-length", b"")
    return int(text) if text.isdigit() else None


def print_errors_in_one_line() -> None:
    """Let Gradio print one line for an error of a request, where it prints a traceback.

    Whoever sends a request by hand can cause one with any value, and could fill the log. The line says where it was.
    """
    from gradio import queueing, routes

    for module in (queueing, routes):
        vars(module)["traceback"] = _OneLine()


class _OneLine:
    """Takes the place of the module ``traceback`` in Gradio's."""

    def print_exc(self) -> None:
        """Print the current error."""
        kind, error, trace = sys.exc_info()
        name = kind.__name__ if kind else ""
        where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-1:]]
        text = " ".join(f"{name}: {error}".split())
        sys.stderr.write(f"adain_lit.app: a request failed: {text:.300} ({''.join(where)})\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)


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
