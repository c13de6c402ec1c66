"""The web page of ``python -m adain_lit.app``: its layout, and how it calls the service behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageChops

from adain_lit.errors import InputError
from adain_lit.web.gate import uploads_only
from adain_lit.web.service import CANVAS, KEPT, StylizeService

UNCHANGED = gr.skip()
STYLES = 4
OPAQUE = 16
"""Pixels with at least this alpha (of 255) count as painted."""

SIZES = [("256", 256), ("512", 512), ("768", 768), ("As it is", 0)]
COLORS = [("From the styles", "none"), ("From my image", "coral"), ("Kept exactly", "luminance")]

CSS = """
.gradio-container {max-width: 1440px !important; margin: 0 auto !important; padding: 20px 24px 32px !important}
#title h1 {font-size: 1.9rem; margin: 0 0 2px; letter-spacing: -0.01em}
#title p {margin: 0; opacity: .75}
#right {position: sticky; top: 16px; align-self: flex-start}
#make {font-size: 1.05rem}
#hint p {margin: 0 0 6px}
#earlier, #earlier .grid-wrap {min-height: 0 !important; height: auto !important}
#earlier .grid-wrap {padding-top: 34px}
#result img {width: 100%; height: 100%; object-fit: contain}
footer {display: none !important}
"""
TITLE = """# Give an image the style of another
Add your image and one to four images whose style you like. The result has the content of your image and their
colours and brushwork. Images are sent to the computer that runs this page, and nowhere else."""
HINT = (
    "Paint over the part that should take **style 1**. The rest takes the other styles, or stays as it is if there is "
    "only one. If you paint nothing, the styles are mixed everywhere."
)


def build(service: StylizeService) -> gr.Blocks:
    """Build the page."""
    page = gr.Blocks(title="Style transfer", analytics_enabled=False, delete_cache=(3600, 24 * 3600))
    with page:
        gr.Markdown(TITLE, elem_id="title")
        history = gr.State([])
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=360):
                content = _upload("Your image", 230, "content", "Drop an image here, or click to choose one")
                styles, weights = _styles()
                alpha = gr.Slider(
                    0, 1, 1, step=0.05, label="Strength", info="0 is your image, 1 the full style", elem_id="alpha"
                )
                color = gr.Radio(COLORS, value="none", label="Colours", elem_id="color")
                size = gr.Radio(SIZES, value=512, label="Shorter side of the result, in pixels", elem_id="size")
                with gr.Accordion("Use style 1 for a part only", open=False, elem_id="paint"):
                    gr.Markdown(HINT, elem_id="hint")
                    editor = _editor()
            with gr.Column(scale=7, min_width=360, elem_id="right"):
                result = gr.Image(
                    label="Result", interactive=False, height="62vh", buttons=["fullscreen"], elem_id="result"
                )
                with gr.Row():
                    button = gr.Button("Make the image", variant="primary", scale=2, elem_id="make")
                    download = gr.DownloadButton("Download as PNG", interactive=False, elem_id="download")
                earlier = gr.Gallery(
                    label="Earlier results: click one to see it again",
                    visible=False,
                    columns=6,
                    fit_columns=False,
                    height="auto",
                    object_fit="cover",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="earlier",
                )

        def make(
            content: str | None,
            painted: Image.Image | None,
            alpha: float,
            color: str,
            size: int,
            history: list[str],
            *places: Any,
        ) -> tuple[Any, ...]:
            path = service.make(
                content, places[:STYLES], places[STYLES:], painted=painted, alpha=alpha, color=color, size=size
            )
            kept = [str(path), *(old for old in history if Path(old).exists())][:KEPT]
            return *_show(kept[0]), gr.update(value=kept, visible=True), kept

        def see(history: list[str], chosen: gr.SelectData) -> tuple[Any, ...]:
            if not (0 <= chosen.index < len(history) and Path(history[chosen.index]).exists()):
                raise InputError("This image is no longer available.")
            return _show(history[chosen.index])

        shown = [result, download]
        inputs = [content, editor, alpha, color, size, history, *styles, *weights]
        button.click(_warning(make), inputs, [*shown, earlier, history], concurrency_limit=1, api_visibility="private")
        at_once: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        content.change(_warning(service.canvas, None), content, editor, **at_once)
        for style in styles:
            style.change(_weights, styles, weights, **at_once)
        earlier.select(_warning(see), history, shown, **at_once)
    return page


def theme() -> gr.Theme:
    """Colours and fonts, none of which is downloaded."""
    font = ("Segoe UI", "Roboto", "Helvetica Neue", "Liberation Sans", "Arial", "sans-serif")
    chosen: dict[str, Any] = {"primary_hue": "teal", "secondary_hue": "teal", "neutral_hue": "stone"}
    return gr.themes.Soft(**chosen, font=font, font_mono=("Consolas", "monospace")).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        block_border_width="1px",
        block_label_background_fill="*background_fill_primary",
        block_label_text_color="*body_text_color",
        block_label_text_weight="500",
        block_label_text_size="*text_sm",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_weight="600",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_background_color_selected="*primary_700",
        slider_color="*primary_700",
    )


def _show(path: str) -> tuple[Any, ...]:
    """Updates that show a result and offer it for download."""
    return path, gr.update(value=path, interactive=True)


def _weights(*paths: str | None) -> list[Any]:
    """Updates that show the weight of each style, if there are several."""
    several = sum(map(bool, paths)) > 1
    return [gr.update(visible=several and bool(path)) for path in paths]


def _styles() -> tuple[list[gr.Image], list[gr.Slider]]:
    """Places for the styles, two in a row, each with a weight."""
    styles, weights = [], []
    for row in range(0, STYLES, 2):
        with gr.Row(equal_height=False):
            for place in (row + 1, row + 2):
                with gr.Column(min_width=150):
                    styles.append(_upload(f"Style {place}", 140, f"style{place}", "Add a style"))
                    weights.append(
                        gr.Slider(0, 1, 1, step=0.05, label="Weight", visible=False, elem_id=f"weight{place}")
                    )
    return styles, weights


def _upload(label: str, height: int, name: str, hint: str) -> gr.Image:
    """A place for an image, whose value is the path of the uploaded file."""
    image = gr.Image(
        label=label, type="filepath", sources=["upload"], height=height, buttons=[], elem_id=name, placeholder=hint
    )
    return uploads_only(image, lambda payload: payload and payload.path)


def _editor() -> gr.ImageEditor:
    """A canvas with a copy of the content, whose value is the painted region as a mask."""
    editor = gr.ImageEditor(
        label="Paint here",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(default_size=40, colors=[("#e11d48", 0.55)], color_mode="fixed"),
        canvas_size=(CANVAS, CANVAS * 2 // 3),
        height=480,
        buttons=[],
        elem_id="editor",
    )
    return uploads_only(editor, lambda payload: payload and region([layer.path for layer in payload.layers[:STYLES]]))


def region(layers: Sequence[str]) -> Image.Image | None:
    """The union of painted layers (image files with transparency, of one size), white on black.

    Returns:
        A greyscale image; None if nothing is painted.

    Raises:
        gradio.Error: if a layer is unreadable or larger than the canvas can make it.
    """
    union: Image.Image | None = None
    for layer in layers:
        try:
            with Image.open(layer) as image:
                if max(image.size) > 2 * CANVAS:
                    raise ValueError(f"{image.width}x{image.height} pixels are more than the canvas has")
                alpha = image.convert("RGBA").getchannel("A").point(lambda value: 255 if value >= OPAQUE else 0)
                union = ImageChops.lighter(union, alpha) if union else alpha
        except Exception as error:  # Pillow's plug-ins raise nearly every type on a damaged file
            message = "The painted region cannot be read; reload the page and paint again."
            raise gr.Error(message, print_exception=False) from error
    return union if union and union.getbbox() else None


def _warning(function: Callable[..., Any], otherwise: Any = UNCHANGED) -> Callable[..., Any]:
    """Show an `InputError` of the function as a warning on the page, and return `otherwise` then."""

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except InputError as error:
            gr.Warning(escape(str(error)), title="Please check")  # escaped: it may contain the name of an upload
            return otherwise

    return call
