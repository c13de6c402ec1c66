"""The web page of ``python -m adain_lit.app``: its layout, and how it calls the service behind it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageChops

from adain_lit.data.demo import demo_style_images
from adain_lit.errors import InputError
from adain_lit.web.gate import uploads_only
from adain_lit.web.service import CANVAS, KEPT, STYLE_SIZE, Controls, Result, StylizeService, inputs

UNCHANGED = gr.skip()
STYLES = 4
OPAQUE = 16
"""Pixels with at least this alpha (of 255) count as painted."""

SIZES = [("256", 256), ("512", 512), ("768", 768), ("As it is", 0)]
COLORS = [("From the styles", "none"), ("From my image", "coral"), ("Kept exactly", "luminance")]
COMPARE = "Before and after: drag the line"
PREVIEW = "Preview, small: press the button for the full size"

CSS = """
.gradio-container {max-width: 1440px !important; margin: 0 auto !important; padding: 0 !important}
.main.fillable {padding: 24px clamp(10px, 4vw, 48px) 32px !important}
.gradio-container .column, .gradio-container .row > * {min-width: 0 !important}
#title h1 {font-size: 1.9rem; margin: 0 0 2px; letter-spacing: -0.01em}
#title p {margin: 0; opacity: .75}
#right {position: sticky; top: 16px; align-self: flex-start}
#make {font-size: 1.05rem}
#hint p {margin: 0 0 6px}
#ready .grid-wrap, #earlier .grid-wrap {min-height: 0 !important; height: auto !important; max-height: none !important}
#ready .grid-wrap, #earlier .grid-wrap {padding-top: 34px; overflow-x: auto; contain: inline-size}
#ready .grid-container, #earlier .grid-container {
  display: flex !important; flex-flow: row nowrap; gap: 6px; width: max-content; padding-bottom: 6px}
#ready .grid-container > *, #earlier .grid-container > * {flex: none; width: 84px !important; height: 84px !important}
#earlier .grid-container > * {width: 150px !important; height: 120px !important}
#ready .caption-label, #earlier .caption-label {font-size: 10px; padding: 1px 4px; max-width: 100%; left: auto}
#earlier .caption-label {white-space: normal; text-align: left}
#result img {object-fit: contain}
.over {outline: 3px dashed var(--primary-600); outline-offset: -3px}
footer {display: none !important}
@media (min-width: 700px) {#styles {flex-wrap: nowrap}}
@media (max-width: 700px) {
  .main.fillable {padding: 10px 10px 84px !important}
  #title h1 {font-size: 1.25rem}
  #title p {font-size: .8rem}
  #columns {flex-flow: column; gap: 10px}
  #left, #right {display: contents}
  /* one column, the result below the styles */
  #left > * {order: 3; width: 100%}
  #right > * {order: 2; width: 100%}
  #left > :is(#content, #ready, #styles, :has(#content, #ready, #styles)) {order: 0}
  #right > :is(#result, :has(#result)) {order: 1}
  #right > :is(#earlier, :has(#earlier)) {order: 4}
  #content {height: 180px !important}
  #sliders {flex-flow: column; align-items: stretch}
  #sliders > * {width: 100%}
  #styles {flex-flow: row wrap}
  #styles > .column {flex: 0 0 calc(50% - 8px) !important}
  #result:not(:has(img)) {display: none}
  #actions {position: fixed; left: 0; right: 0; bottom: 0; z-index: 50; padding: 8px 10px; gap: 8px;
    flex-wrap: nowrap !important; background: var(--background-fill-primary);
    border-top: 1px solid var(--border-color-primary)}
}
"""
DRAG = """() => {
  // A ready style or a file that is dropped on a style that is there already joins it
  const shown = place => {const e = document.getElementById('style' + place); return e && e.offsetParent !== null && e}
  const target = event => {
    const image = [1, 2, 3, 4].find(place => shown(place) && shown(place).contains(event.target))
    return image && shown(image)}
  let dragged = null
  document.addEventListener('dragstart', event => {
    const thumbnail = event.target.closest && event.target.closest('#ready button')
    dragged = thumbnail && thumbnail.querySelector('img').src
  }, true)
  document.addEventListener('dragend', () => {dragged = null}, true)
  document.addEventListener('dragover', event => {
    document.querySelectorAll('.over').forEach(e => e.classList.remove('over'))
    const place = target(event)
    if (!place) return
    event.preventDefault()
    place.classList.add('over')
  }, true)
  document.addEventListener('drop', async event => {
    document.querySelectorAll('.over').forEach(e => e.classList.remove('over'))
    const place = target(event)
    const ready = dragged
    if (!place || !(ready || place.querySelector('img'))) return
    event.preventDefault()
    event.stopPropagation()
    const data = new DataTransfer()
    if (ready) {
      const blob = await (await fetch(ready)).blob()
      data.items.add(new File([blob], ready.split('/').pop(), {type: blob.type}))
    }
    const free = [1, 2, 3, 4].map(shown).find(e => e && !e.querySelector('img') && e.querySelector('input[type=file]'))
    const files = ready ? data.files : event.dataTransfer.files
    if (!free || !files.length) return
    const input = free.querySelector('input[type=file]')
    input.files = files
    input.dispatchEvent(new Event('change', {bubbles: true}))
  }, true)
  document.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) document.getElementById('make').click()
  })
}"""
"""Dragging styles, and Ctrl+Enter for the button."""
TO_RESULT = "() => {if (innerWidth < 700) document.getElementById('result').scrollIntoView({block: 'center'})}"
TITLE = """# Give an image the style of another
Add your image and choose a style, or several that are mixed. Images are sent to the computer that runs this page, and
nowhere else."""
HINT = (
    "Paint over the part that should take **style 1**. The rest takes the other styles, or stays as it is if there is "
    "only one. If you paint nothing, the styles are mixed everywhere."
)


def build(service: StylizeService) -> gr.Blocks:
    """Build the page."""
    ready = _ready_styles(service.folder / "styles")
    page = gr.Blocks(title="Style transfer", analytics_enabled=False, delete_cache=(3600, 24 * 3600))
    with page:
        gr.Markdown(TITLE, elem_id="title")
        history: gr.State = gr.State([])
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=5, min_width=320, elem_id="left"):
                content = _upload("Your image", 230, "content", "Drop an image here, or click to choose one", CAMERA)
                thumbnails = gr.Gallery(
                    [(str(path), _title(path)) for path in ready],
                    label="Styles: click, or drag one onto another",
                    elem_id="ready",
                    **STRIP,
                )
                styles, weights = _styles()
                color = gr.Radio(COLORS, value="none", label="Colours", elem_id="color")
                with gr.Accordion("Use style 1 for a part only", open=False, elem_id="paint"):
                    gr.Markdown(HINT, elem_id="hint")
                    editor = _editor()
            with gr.Column(scale=7, min_width=320, elem_id="right"):
                result = gr.ImageSlider(
                    label=COMPARE, interactive=False, buttons=["fullscreen"], max_height=560, elem_id="result"
                )
                with gr.Row(elem_id="sliders"):
                    alpha = gr.Slider(
                        0, 1, 1, step=0.05, label="Strength", info="0 is your image, 1 the full style", elem_id="alpha"
                    )
                    style_size = gr.Slider(
                        128,
                        1024,
                        STYLE_SIZE,
                        step=64,
                        label="Size of the style",
                        info="larger: coarser strokes",
                        elem_id="style-size",
                    )
                size = gr.Radio(SIZES, value=512, label="Shorter side of the result, in pixels", elem_id="size")
                with gr.Row(elem_id="actions"):
                    button = gr.Button("Make the image", variant="primary", scale=2, min_width=120, elem_id="make")
                    download = gr.DownloadButton("Download", interactive=False, min_width=120, elem_id="download")
                earlier = gr.Gallery(
                    label="Earlier results and their settings",
                    visible=False,
                    elem_id="earlier",
                    **STRIP,
                )

        def arguments(values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            content, painted, alpha, style_size, color, size, *places = values
            controls = Controls(alpha, style_size, color, size)
            return (content, places[:STYLES], places[STYLES:]), {"painted": painted, "controls": controls}

        def make(history: list[Result], *values: Any) -> tuple[Any, ...]:
            given, controls = arguments(values)
            made = service.make(*given, **controls)
            kept = [made, *(old for old in history if Path(old.path).exists())][:KEPT]
            shown = gr.update(value=[(old.path, old.caption) for old in kept], visible=True)
            return *_show(made), shown, kept

        def preview(history: list[Result], *values: Any) -> tuple[Any, ...]:
            given, controls = arguments(values)
            # A change just before the button is pressed may come to its turn after the result: that stays then
            wanted = inputs(*given, **controls)
            for made in history:
                if made.inputs == wanted and Path(made.path).exists():
                    return _show(made)
            try:
                images = service.preview(*given, **controls)
            except InputError:  # said where it was uploaded, or when the button is pressed
                images = None
            if images is None:
                return UNCHANGED, UNCHANGED
            return gr.update(value=images, label=PREVIEW), gr.update(interactive=False)

        def see(history: list[Result], chosen: gr.SelectData) -> tuple[Any, ...]:
            if not (0 <= chosen.index < len(history) and Path(history[chosen.index].path).exists()):
                raise InputError("This image is no longer available.")
            return *_show(history[chosen.index]), *history[chosen.index].controls

        def choose(chosen: gr.SelectData, *places: str | None) -> list[Any]:
            """A click replaces the style that was added last."""
            last = max((i for i, path in enumerate(places) if path), default=0)
            return [gr.update(value=str(ready[chosen.index])) if i == last else UNCHANGED for i in range(STYLES)]

        def added(*places: str | None) -> list[Any]:
            """Remove what is no image, with a word, and show a place for one more style."""
            values = []
            for place, path in enumerate(places, 1):
                try:
                    service.check_style(path, f"Style {place}")
                    values.append(path)
                except InputError as error:
                    _warn(error)
                    values.append(None)
            given = [bool(path) for path in values]
            shown = [i == 0 or own or given[i - 1] for i, own in enumerate(given)]
            places_now = [
                gr.update(visible=see) if value == old else gr.update(value=None, visible=see)
                for value, old, see in zip(values, places, shown, strict=True)
            ]
            return [*places_now, *(gr.update(visible=sum(given) > 1 and own) for own in given)]

        def canvas(content: str | None) -> tuple[Any, ...]:
            try:
                return UNCHANGED, service.canvas(content)
            except InputError as error:
                _warn(error)
                return None, None

        controls = [alpha, style_size, color, size]
        values = [content, editor, *controls, *styles, *weights]
        # one after the other, on the one network
        network: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "network", "api_visibility": "private"}
        at_once: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        shown = [result, download]
        made = button.click(_warning(make), [history, *values], [*shown, earlier, history], **network)
        made.success(None, js=TO_RESULT, api_visibility="private")
        gr.on(
            [*(slider.input for slider in (alpha, style_size, *weights)), color.input, content.change]
            + [style.change for style in styles],
            preview,
            [history, *values],
            shown,
            trigger_mode="always_last",
            show_progress="hidden",
            **network,
        )
        content.change(canvas, content, [content, editor], **at_once)
        gr.on([style.change for style in styles], added, styles, [*styles, *weights], **at_once)
        thumbnails.select(choose, styles, styles, **at_once)
        earlier.select(_warning(see), history, [*shown, *controls], **at_once)
        page.load(None, js=DRAG, api_visibility="private")
    return page


STRIP: dict[str, Any] = {
    "columns": 24,
    "height": "auto",
    "object_fit": "cover",
    "allow_preview": False,
    "interactive": False,
    "buttons": [],
}
"""A gallery of one line, which scrolls sideways."""
CAMERA = ("upload", "webcam", "clipboard")


def _ready_styles(folder: Path) -> list[Path]:
    """Copies of the package's own styles below the folder of uploads, the only one whose files are served."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(path, folder / f"{_name(path)}.webp")) for path in demo_style_images(held_out=True)]


def _name(path: Path) -> str:
    return path.stem.rpartition("-")[0]


def _title(path: Path) -> str:
    return path.stem.replace("_", " ").capitalize()


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


def _show(result: Result) -> tuple[Any, ...]:
    """Updates that show a result beside its content and offer it for download."""
    compared = gr.update(value=(result.before, result.path), label=COMPARE)
    return compared, gr.update(value=result.path, interactive=True)


def _styles() -> tuple[list[gr.Image], list[gr.Slider]]:
    """Places for the styles, each with a weight. A place appears when those before it are taken."""
    styles, weights = [], []
    with gr.Row(equal_height=False, elem_id="styles"):
        for place in range(1, STYLES + 1):
            with gr.Column(min_width=80):
                styles.append(_upload(f"Style {place}", 130, f"style{place}", "Add one", visible=place == 1))
                weights.append(gr.Slider(0, 1, 1, step=0.05, label="Weight", visible=False, elem_id=f"weight{place}"))
    return styles, weights


def _upload(
    label: str, height: int, name: str, hint: str, sources: Sequence[str] = ("upload",), *, visible: bool = True
) -> gr.Image:
    """A place for an image, whose value is the path of the uploaded file."""
    kinds: Any = list(sources)
    image = gr.Image(
        label=label,
        type="filepath",
        sources=kinds,
        height=height,
        buttons=[],
        elem_id=name,
        placeholder=hint,
        visible=visible,
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


def _warn(error: InputError) -> None:
    gr.Warning(escape(str(error)), title="Please check")  # escaped: it may contain the name of an upload


def _warning(function: Callable[..., Any], otherwise: Any = UNCHANGED) -> Callable[..., Any]:
    """Show an `InputError` of the function as a warning on the page, and return `otherwise` then."""

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except InputError as error:
            _warn(error)
            return otherwise

    return call
