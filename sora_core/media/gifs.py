"""GIF pictures without times: FFmpeg splits a file where those stand, and takes one without for a single frame."""

from __future__ import annotations

from pathlib import Path

IMAGE, EXTENSION, CONTROL = 0x2C, 0x21, 0xF9
# What stands before an image: no transparency, and a tenth of a second, as browsers show those that say nothing.
TIMED = bytes((EXTENSION, CONTROL, 4, 0, 10, 0, 0, 0))
MOST_BYTES = 64 << 20  # of a file that is looked through
MOST_IMAGES = 20_000


def with_times(path: Path) -> bytes | None:
    """Return a GIF in which every image has a time, where one has none; None for every other file."""
    with open(path, "rb") as file:
        if file.read(4) != b"GIF8" or path.stat().st_size > MOST_BYTES:
            return None
        data = b"GIF8" + file.read()
    at, copied, timed, made = 13 + _table(data, 10), 0, False, list[bytes]()
    try:
        while data[at] in (IMAGE, EXTENSION):
            if data[at] == EXTENSION:
                timed |= data[at + 1] == CONTROL
                at = _past_blocks(data, at + 2)
                continue
            if not timed:
                if len(made) > 2 * MOST_IMAGES:
                    return None
                made += [data[copied:at], TIMED]
                copied = at
            timed = False
            at = _past_blocks(data, at + 11 + _table(data, at + 9))
    except IndexError:
        pass  # cut short: what is left is left as it is
    if not made:
        return None
    # Times came with GIF89a.
    return b"GIF89a" + b"".join([*made, data[copied:]])[6:]


def _table(data: bytes, at: int) -> int:
    """Return the bytes of a table of colours, by the flags that stand at a place."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _past_blocks(data: bytes, at: int) -> int:
    """Return where a chain of blocks that begins at a place ends. Raises IndexError where the file ends before."""
    while data[at]:
        at += data[at] + 1
    return at + 1
