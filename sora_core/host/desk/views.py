"""Pictures as a page asks for them: smaller to send, without transparency, or transparency alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ...errors import SoraError
from ...files import PICTURES

SHOWABLE = (*PICTURES, ".gif")


def rendition(path: Path, preview: str | None, channel: str | None) -> tuple[bytes, str] | None:
    """Return a picture's bytes and MIME type as `preview` ("webp;90") and `channel` ("rgb", "a") want it.

    None where the file as it is will do. Raises SoraError for a file that is no picture.
    """
    if path.suffix.lower() not in SHOWABLE or (preview is None and channel not in ("rgb", "a")):
        return None
    from PIL import Image

    kind, _, quality = (preview or "png").partition(";")
    kind = kind if kind in ("webp", "jpeg") and channel != "a" else "webp" if preview else "png"
    try:
        with Image.open(path) as picture:
            _check_size(picture)
            if getattr(picture, "is_animated", False) and preview:
                return None  # it would stand still
            if channel == "a":
                alpha = picture.convert("RGBA").getchannel("A")
                made = Image.merge("RGBA", [Image.new("L", picture.size)] * 3 + [alpha])
            else:
                made = picture.convert("RGB" if channel == "rgb" or kind == "jpeg" else "RGBA")
        file = io.BytesIO()
        made.save(file, kind.upper(), quality=min(100, int(quality)) if quality.isdecimal() else 90)
    except Exception as wrong:  # whatever a broken file does to Pillow
        raise SoraError(f"{path.name} cannot be read as a picture: open the file itself.") from wrong
    return file.getvalue(), f"image/{kind}"


def masked(original: Path, mask: Path, target: Path) -> None:
    """Write the picture `original` with the transparency of `mask` to `target`, as PNG. Raises SoraError."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    try:
        with Image.open(original) as picture, Image.open(mask) as painted:
            _check_size(picture)
            _check_size(painted)
            info = PngInfo()
            for key, text in getattr(picture, "text", {}).items():
                info.add_text(key, text)
            made = picture.convert("RGBA")
            made.putalpha(painted.convert("RGBA").getchannel("A").resize(made.size))
        made.save(target, "PNG", pnginfo=info, compress_level=4)
    except Exception as wrong:  # whatever a broken file does to Pillow
        raise SoraError(f"{original.name} and its mask cannot be read as pictures: paint the mask anew.") from wrong


def _check_size(picture: Any) -> None:
    """Refuse what Pillow only warns of: a small file whose pixels take gigabytes."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
        raise ValueError("too many pixels")
