"""What the server of the web page lets through."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Gate:
    """Lets through what the page itself asks for; Gradio has more, among it addresses that it would fetch.

    Args:
        app: the application behind it.
        files: folder of uploads and results, the only one whose files are served.
        most: bytes of a request.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], *, files: str, most: int) -> None:
        self.app = app
        self.most = most
        calls = "|".join(
            (
                "queue/(join|data)",
                "upload(_progress)?",
                r"heartbeat/\w+",
                "(info|reset|cancel)/?",
                "startup-events|app_id|theme\\.css",
                f"file={re.escape(files)}/.*",
            )
        )
        own = r"((assets|static|svelte)/.*|theme\.css|favicon\.ico|manifest\.json|config/?)?"
        self.open = re.compile(f"/({own}|gradio_api/({calls}))", re.DOTALL)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 404, 411 or 413, or hand the request on. People who leave in the middle of one are no error."""
        from starlette.requests import ClientDisconnect  # not at the top, for it comes with Gradio

        status = self._refusal(scope) if scope["type"] == "http" else None
        if status is None:
            with suppress(ClientDisconnect):
                await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"not available"})

    def _refusal(self, scope: Message) -> int | None:
        path: str = scope["path"]
        if ".." in path.split("/") or not self.open.fullmatch(path):
            return 404
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = dict(scope["headers"]).get(b"content-length")
        if length is None:
            return 411
        return 413 if int(length) > self.most else None
