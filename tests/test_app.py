"""The web page: what its button makes, what people are told, and what its server gives away."""

import asyncio
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from adain_lit import app
from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Stylizer, load
from adain_lit.io.images import read_image
from adain_lit.web.service import CANVAS, Studio
from support.commands import run_here
from support.images import small

page = pytest.importorskip("adain_lit.web.page", reason="gradio is not installed")

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


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return load("compact", device="cpu")


@pytest.fixture
def studio(stylizer: Stylizer, tmp_path: Path) -> Studio:
    return Studio(stylizer, tmp_path / "results", max_pixels=100_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A content, three styles, and files that are no images."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("astronaut", "coffee", "chelsea"):
        small(f"{name}.png").save(folder / f"{name}.png")
    small("rocket.jpg", (72, 96)).save(folder / "rocket.jpg", quality=95)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.jpg").write_bytes((folder / "rocket.jpg").read_bytes()[:900])
    Image.new("RGB", (400, 300)).save(folder / "large.png")
    Image.new("RGB", (4000, 8)).save(folder / "strip.png")
    return {path.stem: str(path) for path in folder.iterdir()}


def same(path: Path, image: Image.Image) -> bool:
    """Bit for bit, read back from a PNG file."""
    with Image.open(path) as made:
        return made.format == "PNG" and ImageChops.difference(made, image).getbbox() is None


def disc(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((10, 10, size[0] // 2, size[1] // 2), fill=255)
    return mask


@pytest.mark.parametrize(
    ("page_controls", "controls"),
    [
        ({}, {}),
        ({"alpha": 0.4}, {"alpha": 0.4}),
        ({"color": "coral"}, {"preserve_color": "coral"}),
        ({"color": "luminance"}, {"preserve_color": "luminance"}),
        ({"size": 0}, {"size": None}),
    ],
    ids=str,
)
def test_result_is_the_stylizers(
    page_controls: dict[str, Any], controls: dict[str, Any], studio: Studio, files: dict[str, str]
) -> None:
    path = studio.make(files["astronaut"], [files["coffee"]], [1], **{"size": 48, **page_controls})
    assert same(path, studio.stylizer(files["astronaut"], files["coffee"], **{"size": 48, **controls}))


def test_shares_stay_with_their_styles_where_places_are_empty(studio: Studio, files: dict[str, str]) -> None:
    coffee, chelsea = files["coffee"], files["chelsea"]
    path = studio.make(files["astronaut"], [None, coffee, None, chelsea], [0.9, 0.25, 0.6, 0.75], size=48)
    assert same(path, studio.stylizer(files["astronaut"], [coffee, chelsea], weights=[0.25, 0.75], size=48))


def test_share_of_a_single_style_does_not_matter(studio: Studio, files: dict[str, str]) -> None:
    """Its slider is hidden."""
    path = studio.make(files["astronaut"], [files["coffee"], None], [0, 0], size=48)
    assert same(path, studio.stylizer(files["astronaut"], files["coffee"], size=48))


@pytest.mark.parametrize("names", [("coffee",), ("coffee", "chelsea"), ("coffee", "chelsea", "rocket")], ids=str)
def test_painted_part_takes_the_first_style_and_the_rest_the_others(
    names: Sequence[str], studio: Studio, files: dict[str, str]
) -> None:
    styles = [files[name] for name in names]
    painted = disc((96, 72))
    path = studio.make(files["astronaut"], styles, [1] * len(styles), painted=painted, size=72)
    masks = [painted, *[ImageChops.invert(painted)] * (len(styles) - 1)]
    assert same(path, studio.stylizer(files["astronaut"], styles, weights=[1] * len(styles), masks=masks, size=72))


def test_canvas_is_a_small_upright_copy(studio: Studio, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    small("astronaut.png", (300, 200)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (CANVAS + 10, 100)).save(tmp_path / "wide.png")
    for name, size in (("turned.jpg", (200, 300)), ("wide.png", (CANVAS, round(100 * CANVAS / (CANVAS + 10))))):
        canvas = studio.canvas(str(tmp_path / name))
        assert canvas is not None
        assert canvas.size == size
    assert studio.canvas(None) is None


@pytest.mark.parametrize(
    ("content", "styles", "weights", "size", "message"),
    [
        (None, ["coffee"], [1], 48, "Add your image first."),
        ("astronaut", [None, None], [1, 1], 48, "Add at least one style image."),
        (
            "astronaut",
            ["coffee", "chelsea"],
            [0, 0],
            48,
            "All styles have the share 0; give at least one of them more.",
        ),
        ("empty", ["coffee"], [1], 48, "Your image (empty.jpg) cannot be used: the file is empty."),
        ("text", ["coffee"], [1], 48, "Your image (text.jpg) cannot be used: no image format that Pillow knows."),
        ("astronaut", [None, "cut"], [1, 1], 48, "Style 2 (cut.jpg) cannot be used: image file is truncated"),
        ("large", ["coffee"], [1], 48, "400x300 pixels, more than the limit of 100000 pixels."),
        ("astronaut", ["large"], [1], 48, "Style 1 (large.png) cannot be used: 400x300 pixels, more than the limit"),
        ("astronaut", ["coffee"], [1], 768, "The result would have 1024x768 pixels, too many; choose a smaller size."),
        ("astronaut", ["strip"], [1], 48, "Style 1 (strip.png) has 4000x8 pixels, too narrow; cut a part out of it."),
    ],
)
def test_mistakes_are_told_in_one_line(
    content: str | None,
    styles: list[str | None],
    weights: list[float],
    size: int,
    message: str,
    studio: Studio,
    files: dict[str, str],
) -> None:
    with pytest.raises(InputError) as caught:
        studio.make(content and files[content], [name and files[name] for name in styles], weights, size=size)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value), "no path of the server"


def test_a_style_is_encoded_once(studio: Studio, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = studio.stylizer.encode_style
    monkeypatch.setattr(studio.stylizer, "encode_style", lambda x, **o: encoded.append(x.size) or encode(x, **o))
    for alpha in (1, 0.5):
        studio.make(files["astronaut"], [files["coffee"]], [1], alpha=alpha, size=48)
    assert encoded == [(96, 72)]


def layer(path: Path, size: tuple[int, int], box: tuple[int, int, int, int], alpha: int) -> str:
    image = Image.new("RGBA", size)
    ImageDraw.Draw(image).rectangle(box, fill=(225, 29, 72, alpha))
    image.save(path)
    return str(path)


def test_region_is_what_was_painted_on_any_layer(tmp_path: Path) -> None:
    size = (40, 30)
    first = layer(tmp_path / "first.png", size, (0, 0, 9, 9), 140)
    second = layer(tmp_path / "second.webp", size, (20, 20, 29, 29), 255)
    expected = np.zeros((30, 40), np.uint8)
    expected[:10, :10] = expected[20:, 20:30] = 255
    assert np.array_equal(np.asarray(page.region([first, second])), expected)
    assert page.region([layer(tmp_path / "clear.png", size, (0, 0, 9, 9), 0)]) is None
    assert page.region([]) is None


def test_region_refuses_layers_that_no_page_sends(tmp_path: Path, files: dict[str, str]) -> None:
    for path in (layer(tmp_path / "large.png", (3 * CANVAS, 10), (0, 0, 5, 5), 255), files["text"]):
        with pytest.raises(page.gr.Error, match="cannot be read; reload the page"):
            page.region([path])


def test_page_shows_a_mistake_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's name is the person's; it must not become part of the page."""
    shown: list[str] = []
    monkeypatch.setattr(page.gr, "Warning", lambda message, title: shown.append(message))

    def fail() -> None:
        raise InputError("<img src=x> cannot be used")

    assert page._told(fail, "as before")() == "as before"
    assert shown == ["&lt;img src=x&gt; cannot be used"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "nothing"], "no network 'nothing'"),
        (["--device", "abacus"], "abacus"),
        (["--host", "192.0.2.1"], "cannot listen on port"),
        (["--port", "0"], "--port is 0; it must be from 1 to 65535"),
        (["--max-pixels", "0"], "--max-pixels is 0; it must be at least 1"),
        (["--queue", "-1"], "--queue is -1; it must be at least 1"),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    assert run_here(app.main, ["--port", str(free_port()), *arguments], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("adain_lit.app: error: ")
    assert message in line


def test_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_here(app.main, ["--port", str(port)], monkeypatch) == 2
    line = f"cannot listen on port {port} of 127.0.0.1: Address already in use; give another --port"
    assert capsys.readouterr().err == f"adain_lit.app: error: {line}\n"


def test_missing_gradio_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert run_here(app.main, [], monkeypatch) == 2
    assert capsys.readouterr().err.endswith("pip install 'adain_lit[app]'\n")


def test_page_needs_no_trainer_and_help_needs_no_torch() -> None:
    code = (
        "import sys, adain_lit.app; assert not {'torch', 'gradio'} & set(sys.modules); "
        "import adain_lit.web.page; assert not {'lightning', 'hydra', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_person_who_leaves_is_no_error_and_a_defect_is_one() -> None:
    from starlette.requests import ClientDisconnect

    def gate(error: Exception) -> app.Gate:
        async def broken(*_: Any) -> None:
            raise error

        return app.Gate(broken, files="/files", most=1000)

    scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
    asyncio.run(gate(ClientDisconnect())(scope, None, None))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="defect"):
        asyncio.run(gate(ValueError("defect"))(scope, None, None))  # type: ignore[arg-type]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A running page.

    Attributes:
        client: speaks to it.
        folder: where it keeps files.
        hosts: file with the hosts that it asked for.
    """

    client: httpx.Client
    folder: Path
    hosts: Path

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
        data = [content, None, 1, "none", size, None, *places]
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command itself, with limits of 2 megabytes and 1 person waiting."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    options = ["--device", "cpu", "--port", str(port), "--max-megabytes", "2", "--queue", "1"]
    # opened up as far as Gradio's settings allow, which must not matter
    environment = os.environ | {"TMPDIR": str(folder), "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True"}
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(folder / "hosts.txt"), *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith(f"the page is at http://127.0.0.1:{port}/"), process.communicate(timeout=60)
        (files,) = folder.glob("adain_app_*")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            yield Server(client, files, folder / "hosts.txt")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not files.exists(), "people's images are left behind"
        assert errors.count("Traceback") == errors.count("it was not uploaded by a user"), errors
    finally:
        process.kill()


def test_button_makes_a_image_that_can_be_downloaded(server: Server, files: dict[str, str]) -> None:
    *_, done = server.press(server.upload(files["astronaut"]), [server.upload(files["coffee"])], "good")
    assert done["success"], done
    result, download, earlier, _ = done["output"]["data"]
    assert download["value"]["orig_name"] == "astronaut_stylized.png"
    assert [entry["image"]["path"] for entry in earlier["value"]] == [result["path"]]
    response = server.client.get(f"/gradio_api/file={download['value']['path']}")
    with Image.open(io.BytesIO(response.content)) as image:
        assert (image.format, image.size) == ("PNG", (341, 256))
        assert np.asarray(image).std() > 1


def test_page_tells_what_is_wrong(server: Server, files: dict[str, str]) -> None:
    heard = server.press(server.upload(files["text"]), [server.upload(files["coffee"])], "broken")
    (log,) = (message for message in heard if message["msg"] == "log")
    assert log["log"] == "Your image (text.jpg) cannot be used: no image format that Pillow knows."
    assert heard[-1]["success"], "the earlier result stays where it is"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file={folder}/../hosts.txt",
        "/gradio_api/file={folder}/%2e%2e/hosts.txt",
        "/gradio_api/file={folder}",
        "/gradio_api/file=http://127.0.0.1/",
        "/gradio_api/file=https://example.com/",
        "/gradio_api/proxy=https://example.com/",
        "/static/../../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/svelte//etc/passwd",
        "/monitoring",
        "/gradio_api/component_server",
        "/gradio_api/runs",
        "/gradio_api/run-history/buckets",
    ],
)
def test_nothing_of_the_server_is_reachable(path: str, server: Server) -> None:
    address = httpx.URL(server.url).copy_with(raw_path=path.format(folder=server.folder).encode())
    response = server.client.get(address)
    assert response.status_code in (403, 404)
    assert "root:" not in response.text


def test_button_takes_no_file_that_was_not_uploaded(server: Server, files: dict[str, str]) -> None:
    """The same files that work when they are uploaded."""
    style = server.upload(files["coffee"])
    heard = server.press(file_of(files["astronaut"]), [style], "own")
    assert not heard[-1]["success"]
    assert heard[-1]["output"]["error"] is None, "nothing is said of the server's folders"


def test_button_fetches_no_address(server: Server, files: dict[str, str]) -> None:
    *_, done = server.press(file_of("https://example.com/a.png"), [server.upload(files["coffee"])], "address")
    assert not done["success"]
    assert done["output"]["error"] == "Give a file, not an address."


def test_large_uploads_are_refused(server: Server) -> None:
    large = {"files": ("large.bin", b"\0" * (2 * 1024**2 + 1))}
    assert server.client.post("/gradio_api/upload", files=large).status_code == 413
    huge = b'{"data": "' + b"x" * 3 * 1024**2 + b'"}'
    assert server.client.post("/gradio_api/queue/join", content=huge).status_code == 413
    endless = iter([b"x" * 1024])
    assert server.client.post("/gradio_api/queue/join", content=endless).status_code == 411


def test_no_more_people_wait_than_was_said(server: Server, files: dict[str, str]) -> None:
    content, style = server.upload(files["astronaut"]), server.upload(files["coffee"])
    replies = [server.join(content, [style], f"crowd{i}", size=512) for i in range(6)]
    codes = [reply.status_code for reply in replies]
    assert codes[0] == 200
    assert 503 in codes
    for i, code in enumerate(codes):
        if code == 200:
            *_, done = server.messages(f"crowd{i}")
            assert done["success"]


def test_server_speaks_to_itself_alone(server: Server, files: dict[str, str]) -> None:
    server.press(file_of("https://huggingface.co/a.png"), [server.upload(files["coffee"])], "outside")
    asked = set(server.hosts.read_text().split())
    assert asked  # it does ask itself whether it is there
    assert asked <= {"127.0.0.1", "localhost", "None"}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_person_makes_a_image(server: Server, tmp_path: Path) -> None:
    """With a real browser; ADAIN_SCREENSHOT names a file for what it sees in the end."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from adain_lit.data.demo import demo_style_images

    small("astronaut.png", (480, 360)).save(tmp_path / "astronaut.jpg", quality=95)
    for place, path in enumerate(demo_style_images(held_out=True)[:2], 1):
        Image.open(path).resize((320, 240)).save(tmp_path / f"{place}.png")
    (tmp_path / "text.jpg").write_text("no image")
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new"])
        tab = browser.new_page(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
        tab.set_default_timeout(120_000)
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(server.url)

        tab.click("#make")
        tab.get_by_text("Add your image first.").wait_for()
        tab.set_input_files("#content input[type=file]", str(tmp_path / "text.jpg"))
        tab.get_by_text("Your image (text.jpg) cannot be used").wait_for()
        tab.click("#content button[aria-label='Remove Image']")

        tab.set_input_files("#content input[type=file]", str(tmp_path / "astronaut.jpg"))
        for place in (1, 2):
            tab.set_input_files(f"#style{place} input[type=file]", str(tmp_path / f"{place}.png"))
        tab.locator("#share2").wait_for()
        tab.locator("#alpha input[type=number]").fill("0.8")
        tab.locator("#size").get_by_text("256").click()
        tab.click("#make")
        tab.locator("#result img").wait_for()
        first = download(tab, tmp_path / "first.png")
        assert first.size == (341, 256)
        assert np.asarray(first).std() > 1

        tab.click("#paint button")
        tab.wait_for_timeout(2000)  # the canvas is drawn
        canvas = tab.locator("#editor canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        tab.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=10)
        tab.mouse.up()
        tab.wait_for_timeout(2000)  # what was painted is sent
        tab.click("#make")
        tab.locator("#earlier img").nth(1).wait_for()
        painted = download(tab, tmp_path / "painted.png")
        assert ImageChops.difference(first, painted).getbbox() is not None

        source = tab.locator("#result img").get_attribute("src")
        tab.locator("#earlier img").nth(1).click()
        tab.wait_for_function("old => document.querySelector('#result img').src !== old", arg=source)
        again = download(tab, tmp_path / "again.png")
        assert ImageChops.difference(first, again).getbbox() is None
        tab.evaluate("window.scrollTo(0, 0)")
        tab.screenshot(path=os.environ.get("ADAIN_SCREENSHOT", tmp_path / "page.png"))
        browser.close()
    outside = [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    assert not outside


def download(tab: Any, path: Path) -> Image.Image:
    with tab.expect_download() as waiting:
        tab.click("#download")
    assert waiting.value.suggested_filename == "astronaut_stylized.png"
    waiting.value.save_as(path)
    return read_image(path)
