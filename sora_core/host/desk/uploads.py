"""Files that come in from elsewhere: which are taken, and under what name."""

from __future__ import annotations

import filecmp
import itertools
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from ...errors import expect
from ...files import PHONE_PICTURE_TYPES, PICTURES, SOUNDS, VIDEOS, claim, ensure_writable, release, written_beside

TAKEN = (*PICTURES, *VIDEOS, *SOUNDS, *PHONE_PICTURE_TYPES)


async def take_in(pieces: AsyncIterator[bytes], folder: Path, most: int) -> Path:
    """Write `pieces` to a new hidden file in `folder`, and return where it is.

    Raises SoraError for nothing, and for more than `most` bytes.
    """
    ensure_writable(folder)
    whole = folder / f".{uuid.uuid4().hex}"
    with written_beside(whole) as part, open(part, "wb") as file:
        size = 0
        async for piece in pieces:
            size += len(piece)
            expect(size <= most, f"The file is larger than {most >> 20} MB: send a smaller one.")
            file.write(piece)
        expect(size > 0, "The file is empty: choose another.")
    return whole


def put(received: Path, target: Path, overwrite: bool = False) -> Path:
    """Copy a file to `target`, or beside it where another file has that name. The same file again stays one.

    Returns where it is. Raises SoraError for a kind of file that no node reads.
    """
    check_kind(target)
    ensure_writable(target.parent)
    # Hidden until it is whole: a list of inputs must not show half a file.
    whole = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    chosen = target
    try:
        with written_beside(whole) as part:
            shutil.copyfile(received, part)
        chosen = target if overwrite else free_name(target, whole)
        os.replace(whole, chosen)
    finally:
        whole.unlink(missing_ok=True)
        release(chosen)
    return chosen


def check_kind(target: Path) -> None:
    """Raise SoraError unless a node reads files of this ending."""
    kind = target.suffix.lower()
    expect(kind in TAKEN, f"A file {kind or 'without an ending'} is not taken: send one of {', '.join(TAKEN)}.")


def free_name(target: Path, new: Path) -> Path:
    """Claim `target` for the file `new`, or else `name (1)` and so on; where `new` is there already, that name."""
    for number in itertools.count():
        path = target.with_name(f"{target.stem} ({number}){target.suffix}") if number else target
        if claim(path) or (path.is_file() and filecmp.cmp(path, new, shallow=False)):
            return path
    raise AssertionError
