"""Files that users of the web page upload."""

from pathlib import Path

from PIL import Image

from support.images import small


def write_uploads(folder: Path) -> dict[str, str]:
    """Content and style images, and files that are refused, by their stem."""
    for name in ("astronaut", "coffee", "chelsea"):
        small(f"{name}.png").save(folder / f"{name}.png")
    small("rocket.jpg", (72, 96)).save(folder / "rocket.jpg", quality=95)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.jpg").write_bytes((folder / "rocket.jpg").read_bytes()[:900])
    Image.new("RGB", (400, 300)).save(folder / "large.png")
    Image.new("RGB", (4000, 8)).save(folder / "strip.png")
    return {path.stem: str(path) for path in folder.iterdir()}
