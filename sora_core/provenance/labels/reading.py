"""Reads the labels that a file carries, ours and others'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...media.structure import names_others
from ...words import printable
from . import aigc


def read_aigc(path: Path) -> aigc.Aigc | None:
    """Read the AIGC label of a picture, video or sound; None where it has none, or cannot be read as any of these."""
    import av
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load() if picture.format == "PNG" else None  # a png may have its texts behind its pixels
            packets = [picture.info.get(name) for name in ("XML:com.adobe.xmp", "xmp")]
        return next((found for packet in packets if packet and (found := aigc.read_xmp(packet))), None)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    if names_others(path):  # what it names is not this file, and may be anybody's
        return None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            streams = [stream.metadata for stream in container.streams]
            tags = [container.metadata, *streams]
    except (av.FFmpegError, OSError, ValueError):
        return None
    return next((found for each in tags if (found := aigc.read_tags(each))), None)


def lines(label: aigc.Aigc | None, stated: Mapping[str, Any] | None, *, intact: bool, stamped: bool) -> Iterator[str]:
    """Yield what is known of a file's labels, a line each.

    stated: what its credentials say of them (`laws.ASSERTION`). intact: whether the credentials hold.
    stamped: whether an authority signed their time.
    """
    if label is not None:
        yield printable(f"China, GB 45438-2025: {label}").replace("\n", " ")
    if not stated:
        return
    known = [str(law) for law in stated.get("laws") or []]
    if "cn" in known and label is None:
        yield "China, GB 45438-2025: its credentials state AIGC metadata, which the file no longer has"
    if "eu" in known:
        state, time = "intact" if intact else "BROKEN", "" if stamped else "not "
        yield (
            f"EU, AI Act, Article 50: signed metadata {state}, {time}time-stamped by an authority; the watermark that "
            "stands beside it is read by sora detect"
        )
    if "ca" in known:
        parts = [str(stated.get(name, "?")) for name in ("kind", "provider", "system", "version", "time", "id")]
        kind, provider, system, version, time, number = (printable(part).replace("\n", " ") for part in parts)
        yield f"California, SB 942: {kind} by {provider} with {system} {version} at {time}, number {number}"
