"""The command and its server: what can be reached, what is refused, and the page in a browser."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageChops

from adain_lit import app
from adain_lit.io.images import read_image
from support.commands import run_here
from support.images import small
from support.ranks import free_port
from support.uploads import write_uploads
from support.web import Server, file_of, serving

pytest.importorskip("gradio", reason="gradio is not installed")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_uploads(tmp_path_factory.mktemp("files"))


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


def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_here(app.main, ["--port", str(port)], monkeypatch) == 2
    line = f"cannot listen on port {port} of 127.0.0.1: Address already in use; give another --port"
    assert capsys.readouterr().err == f"adain_lit.app: error: {line}\n"


def test_missing_gradio_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert run_here(app.main, [], monkeypatch) == 2
    assert capsys.readouterr().err.endswith("pip install 'adain_lit[app]'\n")


def test_page_needs_no_trainer_and_help_needs_no_torch() -> None:
    code = (
        "import sys, adain_lit.app; assert not {'torch', 'gradio'} & set(sys.modules); "
        "import adain_lit.web.page; assert not {'lightning', 'hydra', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command itself, with limits of 2 megabytes and 1 waiting request."""
    # opened up as far as Gradio's settings allow, which must not matter
    environment = {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True"}
    options = ["--max-megabytes", "2", "--queue", "1"]
    with serving(tmp_path_factory.mktemp("server"), *options, environment=environment) as server:
        yield server
        server.process.send_signal(signal.SIGTERM)
        _, errors = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
        assert not server.folder.exists(), "uploads are left behind"
        assert "Traceback" not in errors, errors


def test_button_makes_an_image_that_can_be_downloaded(server: Server, files: dict[str, str]) -> None:
    *_, done = server.press(server.upload(files["astronaut"]), [server.upload(files["coffee"])], "good")
    assert done["success"], done
    result, download, earlier, _ = done["output"]["data"]
    assert download["value"]["orig_name"] == "astronaut_coffee_strength-1_style-512_256px.png"
    assert [entry["image"]["path"] for entry in earlier["value"]] == [result["value"][1]["path"]]
    assert [entry["caption"] for entry in earlier["value"]] == ["coffee, strength 1, style 512, 256 px"]
    response = server.client.get(f"/gradio_api/file={download['value']['path']}")
    with Image.open(io.BytesIO(response.content)) as image:
        assert (image.format, image.size) == ("PNG", (341, 256))
        assert np.asarray(image).std() > 1


def test_page_says_what_is_wrong(server: Server, files: dict[str, str]) -> None:
    heard = server.press(server.upload(files["text"]), [server.upload(files["coffee"])], "broken")
    (log,) = (message for message in heard if message["msg"] == "log")
    assert log["log"] == "Your image (text.jpg) cannot be used: no image in a format that is read."
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
    assert heard[-1]["output"]["error"] is None, "the server's folders are not revealed"


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


def test_no_more_requests_wait_than_allowed(server: Server, files: dict[str, str]) -> None:
    content, style = server.upload(files["astronaut"]), server.upload(files["coffee"])
    replies = [server.join(content, [style], f"crowd{i}", size=512) for i in range(6)]
    codes = [reply.status_code for reply in replies]
    assert codes[0] == 200
    assert 503 in codes
    for i, code in enumerate(codes):
        if code == 200:
            *_, done = server.messages(f"crowd{i}")
            assert done["success"]


def test_server_connects_to_itself_alone(server: Server, files: dict[str, str]) -> None:
    server.press(file_of("https://huggingface.co/a.png"), [server.upload(files["coffee"])], "outside")
    asked = set(server.hosts.read_text().split())
    assert asked  # it does ask itself whether it is there
    assert asked <= {"127.0.0.1", "localhost", "None"}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def tab(server: Server) -> Iterator[Any]:
    """A tab of a real browser with a camera of its own; it may ask this server alone."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new", *camera])
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(server.url)
        tab.locator("#ready img").nth(16).wait_for()
        yield tab
        browser.close()
    assert not [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]


@pytest.fixture
def photograph(tmp_path: Path) -> str:
    small("astronaut.png", (480, 360)).save(tmp_path / "astronaut.jpg", quality=95)
    return str(tmp_path / "astronaut.jpg")


def shot(tab: Any, name: str) -> None:
    """A screenshot, if ADAIN_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("ADAIN_SCREENSHOTS"):
        tab.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def add(tab: Any, place: str, path: str) -> None:
    tab.set_input_files(f"#{place} input[type=file]", path)


def after_change(tab: Any, act: Any) -> None:
    """Do something and wait until the result shows another image."""
    source = "[...document.querySelectorAll('#result img')].map(e => e.src).join()"
    old = tab.evaluate(source)
    act()
    tab.wait_for_function(f"old => {source} && {source} !== old", arg=old)


def wait_for_preview(tab: Any, act: Any) -> None:
    after_change(tab, act)
    tab.locator("#result").get_by_text("Preview").wait_for()
    assert tab.locator("#download").is_disabled()


@pytest.mark.browser
def test_each_control_of_the_page_is_used(tab: Any, photograph: str, tmp_path: Path) -> None:
    """Oracle: a preview for each change, and downloads that differ."""
    tab.click("#make")
    tab.get_by_text("Add your image first.").wait_for()
    add(tab, "content", photograph)
    # from the keyboard: the fourth style
    tab.locator("#ready button").nth(3).focus()
    wait_for_preview(tab, lambda: tab.keyboard.press("Enter"))
    wait_for_preview(tab, lambda: tab.locator("#ready button").nth(4).click())
    # a style that is dragged onto the first joins it
    wait_for_preview(tab, lambda: tab.drag_and_drop("#ready button >> nth=2", "#style1 img"))
    assert tab.locator("#style2 img").count() == 1
    tab.locator("#weight2").wait_for()
    tab.locator("#style3 input[type=file]").wait_for(state="attached")
    slider = tab.locator("#alpha input[type=range]")
    slider.focus()
    wait_for_preview(tab, lambda: tab.keyboard.press("ArrowLeft"))
    assert slider.input_value() == "0.95"
    for name, value in (("style-size", "256"), ("weight2", "0.25"), ("alpha", "0.8")):
        wait_for_preview(tab, lambda name=name, value=value: tab.fill(f"#{name} input[type=number]", value))
    wait_for_preview(tab, lambda: tab.locator("#color").get_by_text("From my image").click())
    tab.locator("#size").get_by_text("256").click()

    tab.click("#make")
    tab.locator("#earlier img").wait_for()
    first = download(
        tab, tmp_path / "first.png", "astronaut_de_stijl+colour_field_strength-0.8_style-256_coral_256px.png"
    )
    assert first.size == (341, 256)
    assert np.asarray(first).std() > 1
    assert tab.locator("#earlier").get_by_text("strength 0.8, style 256, colours from the image, 256 px").count() == 1
    # a change that comes to its turn after the result, which was made with it, does not replace it with a preview
    tab.locator("#alpha input[type=number]").dispatch_event("input")
    tab.wait_for_timeout(3000)
    assert tab.locator("#download").is_enabled()
    compare(tab)
    shot(tab, "wide")

    tab.click("#paint button")
    tab.wait_for_timeout(2000)  # the canvas is drawn
    canvas = tab.locator("#editor canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    tab.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=10)
    tab.mouse.up()
    tab.wait_for_timeout(2000)  # what was painted is sent
    tab.fill("#alpha input[type=number]", "1")
    tab.keyboard.press("Control+Enter")
    tab.locator("#earlier img").nth(1).wait_for()
    painted = download(
        tab, tmp_path / "painted.png", "astronaut_de_stijl+colour_field_strength-1_style-256_coral_256px.png"
    )
    assert ImageChops.difference(first, painted).getbbox() is not None

    # an earlier result comes back with its settings
    after_change(tab, lambda: tab.locator("#earlier button").nth(1).click())
    again = download(
        tab, tmp_path / "again.png", "astronaut_de_stijl+colour_field_strength-0.8_style-256_coral_256px.png"
    )
    assert ImageChops.difference(first, again).getbbox() is None
    assert tab.locator("#alpha input[type=number]").input_value() == "0.8"


def compare(tab: Any) -> None:
    """Drag the line between before and after to the left: more of the result is seen."""
    box = tab.locator("#result img").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    shown = (
        "[...document.querySelectorAll('#result img')].map(e => getComputedStyle(e).clipPath + e.style.cssText).join()"
    )
    before = tab.evaluate(shown)
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    tab.mouse.up()
    tab.wait_for_function(f"old => {shown} !== old", arg=before)


@pytest.mark.browser
def test_a_file_that_is_no_image_gets_a_word_and_leaves_its_place(tab: Any, photograph: str, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    for place, name in (("content", "Your image"), ("style1", "Style 1")):
        add(tab, place, str(tmp_path / "text.jpg"))
        tab.get_by_text(f"{name} (text.jpg) cannot be used").wait_for()
        tab.locator(f"#{place} input[type=file]").wait_for(state="attached")
        assert tab.locator(f"#{place} img").count() == 0


@pytest.mark.browser
def test_a_file_that_is_dropped_on_a_style_joins_it(tab: Any, photograph: str) -> None:
    add(tab, "style1", photograph)
    tab.locator("#style1 img").wait_for()
    tab.locator("#style2 input[type=file]").wait_for(state="attached")
    tab.evaluate("""async () => {
        const data = new DataTransfer()
        const blob = await (await fetch(document.querySelector('#ready img').src)).blob()
        data.items.add(new File([blob], 'mine.webp', {type: 'image/webp'}))
        const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
        document.querySelector('#style1 img').dispatchEvent(drop)
    }""")
    tab.locator("#style2 img").wait_for()


@pytest.mark.browser
def test_the_camera_gives_an_image(tab: Any) -> None:
    tab.click("#content button[aria-label='Capture from camera']")
    tab.locator("#content").get_by_text("Click to Access Webcam").click()
    tab.locator("#content video").wait_for()
    tab.wait_for_timeout(1500)  # the first frames
    tab.click("#content button[aria-label='capture photo']")
    tab.locator("#ready button").nth(3).click()
    tab.locator("#result img").first.wait_for()


@pytest.mark.browser
def test_the_page_fits_a_phone(tab: Any, photograph: str) -> None:
    """390 pixels: no growth in width, the button in sight, and no empty box for a result."""
    size = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(500)

    def in_sight(name: str) -> bool:
        box = tab.locator(name).bounding_box()
        return bool(box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and 0 <= box["y"] <= 844 - box["height"])

    width, height = tab.evaluate(size)
    assert width == 390
    assert height < 2 * 844
    assert in_sight("#make")
    assert not tab.locator("#result").is_visible()
    assert not tab.locator("#style2").is_visible()
    shot(tab, "phone_empty")
    add(tab, "content", photograph)
    tab.locator("#ready button").nth(3).click()
    tab.locator("#result img").first.wait_for()
    tab.click("#make")
    tab.locator("#earlier img").wait_for()
    tab.wait_for_timeout(1500)  # it scrolls to the result
    assert tab.evaluate(size)[0] == 390
    assert in_sight("#make")
    assert in_sight("#result")
    shot(tab, "phone")


@pytest.mark.browser
def test_the_page_is_dark_where_the_system_is(tab: Any, server: Server) -> None:
    colours = """[getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('#title h1')).color]"""
    bright = {}
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.goto(server.url)
        tab.locator("#ready img").nth(16).wait_for()
        bright[scheme] = [sum(int(x) for x in re.findall(r"\d+", colour)[:3]) for colour in tab.evaluate(colours)]
        shot(tab, scheme)
    assert bright["light"][0] > 600 > 300 > bright["light"][1]
    assert bright["dark"][0] < 200 < 500 < bright["dark"][1]


def download(tab: Any, path: Path, name: str) -> Image.Image:
    tab.wait_for_function("!document.querySelector('#download').disabled")
    with tab.expect_download() as waiting:
        tab.click("#download")
    assert waiting.value.suggested_filename == name
    waiting.value.save_as(path)
    return read_image(path)
