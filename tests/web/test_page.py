"""The page's own parts: the painted region, and how mistakes are shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from adain_lit.errors import InputError
from adain_lit.web.service import CANVAS

page = pytest.importorskip("adain_lit.web.page", reason="gradio is not installed")


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


def test_region_refuses_layers_that_no_page_sends(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for path in (layer(tmp_path / "large.png", (3 * CANVAS, 10), (0, 0, 5, 5), 255), str(tmp_path / "text.png")):
        with pytest.raises(page.gr.Error, match="cannot be read; reload the page"):
            page.region([path])


def test_page_shows_a_mistake_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of an uploaded file must not become part of the page's HTML."""
    shown: list[str] = []
    monkeypatch.setattr(page.gr, "Warning", lambda message, title: shown.append(message))

    def fail() -> None:
        raise InputError("<img src=x> cannot be used")

    assert page._warning(fail, "as before")() == "as before"
    assert shown == ["&lt;img src=x&gt; cannot be used"]
