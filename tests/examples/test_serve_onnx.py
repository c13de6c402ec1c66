"""The example that serves with ONNX Runtime works where torch cannot be imported, and answers what it cannot do."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from adain_lit.inference.onnx import BUNDLED_FOLDER, OnnxStylizer
from support.commands import run_without
from support.documents import DOCS, ROOT, code_blocks
from support.images import small

EXAMPLE = ROOT / "examples" / "serve_onnx"
BLOCKED = ["torch", "torchvision", "adain_lit"]
NETWORK = BUNDLED_FOLDER / "compact.onnx"
RUN = "import runpy; sys.path.insert(0, sys.argv.pop(1)); runpy.run_path(f'{sys.path[0]}/%s.py', run_name='__main__')"


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styles")
    small("chelsea.png").save(folder / "cat.png")
    return folder


@pytest.fixture(scope="module")
def url(styles: Path) -> Iterator[str]:
    """Address of the running service, in a process without torch and without this package."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n" + RUN % "serve"
    arguments = [EXAMPLE, NETWORK, "--styles", styles, "--port", "0", "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-c", blocked, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving compact on 127.0.0.1:"), line
    yield "http://" + line.split()[-1]
    process.terminate()
    assert process.wait(60) == 0
    process.stdout.close()


def form(**fields: bytes) -> Request:
    """A request as ``curl -F`` sends it."""
    parts = [
        b'--boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    return Request("http://host", b"".join(parts) + b"--boundary--\r\n", headers)


def answer(request: Request | str, url: str, path: str = "/stylize") -> tuple[int, Any]:
    if isinstance(request, str):
        request = Request(url)
    request.full_url = url + path
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["error"]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_service_stylises_uploaded_and_named_styles(url: str) -> None:
    """Oracle: the same network in this process, up to JPEG."""
    content, style = small("coffee.png"), small("chelsea.png")
    fields = {"content": png(content), "alpha": b"0.8", "size": b"64"}
    expected = OnnxStylizer()(content, style, alpha=0.8, size=64, style_size=512)
    for given in (png(style), b"cat"):
        status, made = answer(form(**fields, style=given), url)
        assert status == 200
        with Image.open(io.BytesIO(made)) as image:
            assert image.size == expected.size
            assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).mean() < 3
    assert json.loads(answer("", url, "/styles")[1]) == ["cat"]
    assert answer("", url, "/health") == (200, b"ok\n")


def test_service_says_what_is_wrong_and_goes_on(url: str) -> None:
    image = png(small("coffee.png"))
    for fields, status, line in (
        ({"content": image}, 400, "the field style is missing"),
        ({"content": b"text", "style": b"cat"}, 400, "content: no image that Pillow can read"),
        ({"content": image, "style": b"dog"}, 400, "style: no image that Pillow can read"),
        ({"content": image, "style": b"cat", "alpha": b"nan"}, 400, "alpha must be from 0 to 2, and size from 64 to"),
        ({"content": png(Image.new("L", (9, 4000))), "style": b"cat"}, 400, "content: 9x4000 pixels are too many"),
        ({"content": bytes(20_000_001)}, 413, "a request may have 20000000 bytes"),
    ):
        if status == 413:
            request = Request("http://host", b"", {"Content-Length": "20000001"}, method="POST")
        else:
            request = form(**fields)
        found = answer(request, url)
        assert (found[0], found[1][: len(line)]) == (status, line)
    assert answer(Request("http://host", b"{}"), url) == (
        400,
        "a form (multipart/form-data) is needed, as curl -F sends it",
    )
    assert answer("", url, "/nothing")[0] == 404
    assert answer("", url, "/health")[0] == 200


def test_folder_is_stylised_without_torch(styles: Path, tmp_path: Path) -> None:
    """Oracle: the network in this process, within 1 of 255; a broken file is named and stops nothing."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_text("no image")
    turned = small("coffee.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    turned.save(tmp_path / "photos" / "coffee.png", exif=exif)
    arguments = [EXAMPLE, NETWORK, tmp_path / "photos", styles / "cat.png", tmp_path / "made"]
    options = ["--size", "48", "--style-size", "64"]
    done = run_without(BLOCKED, RUN % "stylize_onnx", *arguments, *options)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'photos' / 'broken.jpg'}: no image that Pillow can read\n"
    expected = OnnxStylizer()(tmp_path / "photos" / "coffee.png", styles / "cat.png", size=48, style_size=64)
    with Image.open(tmp_path / "made" / "coffee.png") as made:
        assert made.size == expected.size
        assert made.width < made.height
        assert np.abs(np.asarray(made, int) - np.asarray(expected, int)).max() <= 1


def test_numpy_example_of_the_guide_runs(
    styles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Word for word, on the bundled network."""
    monkeypatch.chdir(tmp_path)
    small("coffee.png").save("photo.jpg")
    small("chelsea.png").save("painting.jpg")
    for path in BUNDLED_FOLDER.glob("compact.*"):
        shutil.copy(path, tmp_path / path.name)
    Path("compact.onnx").rename("network.onnx")
    (code,) = code_blocks((DOCS / "serve.md").read_text("utf-8"), "python")
    variables: dict[str, Any] = {}
    exec(code, variables)
    assert variables["image"].size == (256, 192)
    assert capsys.readouterr().out == "20\n"


def test_dockerfile_copies_what_the_service_needs() -> None:
    lines = (EXAMPLE / "Dockerfile").read_text("utf-8").splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    needed = {path.name for path in EXAMPLE.glob("*.py")} | {"requirements.txt"}
    assert needed <= copied
