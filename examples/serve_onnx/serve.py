"""An HTTP service that stylises, without torch: ``python serve.py network.onnx --styles FOLDER --port 8000``.

``curl -F content=@photo.jpg -F style=@painting.jpg -F alpha=0.8 -F size=512 localhost:8000/stylize -o made.jpg``;
``style`` may also be the name of a file in the folder of styles, see ``GET /styles``. ``GET /health`` answers "ok".
"""

import argparse
import io
import json
import signal
import sys
import threading
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image
from stylize_onnx import SUFFIXES, Network, read

MAX_BYTES = 20_000_000
"""Largest request."""
SIZES = range(64, 2049)
"""Shorter sides of results, in pixels."""
STYLE_SIZE = 512
SECONDS = 30
"""After which a client that sends nothing is left."""


class RequestError(Exception):
    """A request that cannot be answered, with the status to answer it with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Service(ThreadingHTTPServer):
    """Stylises one image at a time; the others wait, so that memory stays bounded."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], network: Network, styles: Path | None) -> None:
        super().__init__(address, Handler)
        self.network = network
        self.styles = (
            {path.stem: path for path in sorted(styles.iterdir()) if path.suffix.lower() in SUFFIXES} if styles else {}
        )
        self.turn = threading.Lock()

    def stylize(self, fields: dict[str, bytes]) -> bytes:
        """A JPEG of the content in the style.

        Raises:
            RequestError: for a field that is missing or unusable.
        """
        try:
            alpha, size = float(fields.get("alpha", b"1")), int(fields.get("size", b"512"))
        except ValueError:
            raise RequestError(400, "alpha and size must be numbers") from None
        if not 0 <= alpha <= 2 or size not in SIZES:
            raise RequestError(
                400, f"alpha must be from 0 to 2, and size from {SIZES.start} to {SIZES.stop - 1} pixels"
            )
        with self.turn:
            content = self._image(fields, "content", size)
            made = self.network(content, self._image(fields, "style", STYLE_SIZE), alpha)
        file = io.BytesIO()
        made.save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue()

    def _image(self, fields: dict[str, bytes], name: str, size: int) -> Image.Image:
        if name not in fields:
            raise RequestError(400, f"the field {name} is missing")
        known = self.styles.get(fields[name].decode("utf-8", "replace")) if name == "style" else None
        try:
            return read(known or io.BytesIO(fields[name]), size)
        except ValueError as error:
            raise RequestError(400, f"{name}: {error}") from error


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Service
    timeout = SECONDS

    def do_GET(self) -> None:
        """Answer /health and /styles."""
        if self.path == "/health":
            return self._answer(200, b"ok\n", "text/plain")
        if self.path == "/styles":
            return self._answer(200, json.dumps(list(self.server.styles)).encode(), "application/json")
        return self._refuse(404, "there are /stylize (POST), /styles and /health")

    def do_POST(self) -> None:
        """Answer /stylize."""
        try:
            if self.path != "/stylize":
                raise RequestError(404, "there is /stylize")
            made = self.server.stylize(self._fields())
        except RequestError as error:
            return self._refuse(error.status, str(error))
        return self._answer(200, made, "image/jpeg")

    def _fields(self) -> dict[str, bytes]:
        """The fields of a form (multipart/form-data)."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise RequestError(411, "a Content-Length is needed")
        if int(length) > MAX_BYTES:
            raise RequestError(413, f"a request may have {MAX_BYTES} bytes")
        kind = f"Content-Type: {self.headers.get('Content-Type', '')}\r\n\r\n".encode("latin-1")
        form = BytesParser(policy=HTTP).parsebytes(kind + self.rfile.read(int(length)))
        assert isinstance(form, EmailMessage)
        if form.get_content_type() != "multipart/form-data":
            raise RequestError(400, "a form (multipart/form-data) is needed, as curl -F sends it")
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        return {str(name): part.get_payload(decode=True) for name, part in parts.items()}  # type: ignore[misc]

    def _refuse(self, status: int, reason: str) -> None:
        self.close_connection = True  # the rest of the request was not read
        self._answer(status, json.dumps({"error": reason}).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve an exported network over HTTP.")
    parser.add_argument("network", type=Path, help="a file written by adain_lit.export")
    parser.add_argument("--styles", type=Path, help="a folder of styles that requests may name")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 admits other computers")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0 is one for each core")
    arguments = parser.parse_args()
    service = Service((arguments.host, arguments.port), Network(arguments.network, arguments.threads), arguments.styles)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=service.serve_forever, daemon=True).start()
    sys.stdout.write(f"serving {service.network.card.get('name', '')} on {arguments.host}:{service.server_port}\n")
    sys.stdout.flush()
    stop.wait()
    service.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
