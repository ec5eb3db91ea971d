"""Finds the graph inside pictures and videos, by what the file is and not by its suffix."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...media.structure import MATROSKA, is_boxes
from ...media.tags import GRAPH_TAGS, graph_in_comment

PNG = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 64 << 20  # bytes of one text, unpacked
# EXIF tags that ComfyUI and packs write "workflow:{...}" and "prompt:{...}" into are any that hold text.
EXIF_SUBFOLDER, EXIF_COMMENT = 0x8769, 0x9286


def kind_of(head: bytes) -> str:
    """Return what a file is by its first bytes: "png", "picture" or "video", and "" for none of these."""
    if head[:4] == PNG[:4]:
        return "png"
    if head[4:8] == b"ftyp":
        return "picture" if head[8:12] in (b"avif", b"avis", b"heic", b"mif1") else "video"
    if head[:4] == MATROSKA or is_boxes(head):  # of QuickTime, which need not begin with its kind
        return "video"
    if head[:4] == b"RIFF":
        return "picture" if head[8:12] == b"WEBP" else "video"
    return "picture" if head[:3] == b"\xff\xd8\xff" or head[:4] == b"GIF8" else ""


def read_embedded(path: Path, kind: str) -> Any:
    """Return the graph inside a file as parsed JSON; kind: see `kind_of`. Raises SoraError when it carries none."""
    tags = {"png": _png_texts, "picture": _exif_texts, "video": _video_tags}[kind](path)
    broken = ""
    for name in GRAPH_TAGS:
        value = tags.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            broken = broken or f"{path}: its {name} is not JSON ({_reason(error)}). Save it again."
    expect(not broken, broken)
    raise SoraError(f"{path} carries no workflow: it was saved without metadata, or by another program.")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it holds a number that is too long"


def _png_texts(path: Path) -> dict[str, Any]:
    """Read the texts of a PNG. Where a text is damaged or the file is cut, those that came before count.

    Checksums are not looked at: a picture that another program has touched still says how it was made.
    """
    texts: dict[str, Any] = {}
    for kind, body in _png_chunks(path):
        name, _, rest = body.partition(b"\0")
        key = name.decode("latin-1").lower()
        if key not in GRAPH_TAGS or key in texts:
            continue
        if kind == b"tEXt":
            texts[key] = _text(rest)
        elif kind == b"zTXt":
            texts[key] = _text(_unpacked(path, rest[1:]))
        else:
            packed, rest = rest[:1] == b"\1", rest[2:]
            # A language and a translated name stand before the text.
            rest = rest.partition(b"\0")[2].partition(b"\0")[2]
            texts[key] = _text(_unpacked(path, rest) if packed else rest)
    return texts


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield the text chunks of a PNG, kind and body, wherever they stand. What lies between is not read."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(len(PNG))
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if file.tell() + length > size:
                return
            if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= MAX_TEXT:
                yield kind, file.read(length)
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)


def _unpacked(path: Path, packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, MAX_TEXT)
    except zlib.error:
        return b""
    expect(
        not unpacker.unconsumed_tail, f"{path}: its workflow is over {MAX_TEXT >> 20} MB. Save it without its pictures."
    )
    return text


def _text(data: bytes) -> str:
    """Read a text that should be Latin-1, and is UTF-8 where a program did not care."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _exif_texts(path: Path) -> dict[str, Any]:
    """Read the graphs in the EXIF data of a WebP, JPEG or AVIF."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            exif = picture.getexif()
            values = [*exif.values(), *exif.get_ifd(EXIF_SUBFOLDER).values()]
            comment = picture.info.get("comment", "")
    except Exception as error:  # noqa: BLE001  # Pillow's parsers raise anything on damaged files
        raise SoraError(f"{path} cannot be read as a picture ({error}): save the workflow again.") from error
    texts: dict[str, Any] = dict(graph_in_comment(_plain(comment)))
    for value in values:
        text = _plain(value)
        name, _, graph = text.partition(":")
        if name.strip().lower() in GRAPH_TAGS:
            texts.setdefault(name.strip().lower(), graph.rstrip("\0"))
        for key, found in graph_in_comment(text).items():
            texts.setdefault(key, found)
    return texts


def _plain(value: Any) -> str:
    """Read an EXIF value as text. A comment names its character set first."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    if value[:8] == b"UNICODE\0":
        body = value[8:]
        order = "utf-16-be" if body[:1] == b"\0" else "utf-16-le"
        return body.decode(order, "replace")
    return _text(value.removeprefix(b"ASCII\0\0\0"))


def _video_tags(path: Path) -> Mapping[str, Any]:
    """Read the graphs in the tags of a video. Matroska writes names in capitals."""
    from ...media.video import probe

    tags = {name.lower(): text for name, text in probe(path).metadata.items()}
    comment = graph_in_comment(tags.get("comment", ""))
    return {**comment, **{name: tags[name] for name in GRAPH_TAGS if tags.get(name)}}
