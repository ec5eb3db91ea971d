"""The secret of the user's own watermarks.

It is what the environment has in SORA_WATERMARK_KEY, or else the file `watermark.key` in the folder of the user's keys,
which `sora key` makes. Without either, the key is the one that everybody knows, whose marks anybody can write.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ...errors import SoraError, expect
from ...files import read_regular
from ..credentials.keys import config_folder, is_exposed, write_secret

WATERMARK_KEY = "SORA_WATERMARK_KEY"
_MOST_BYTES = 1 << 16  # of a key file


def key_file() -> Path:
    """Return where the user's key lies, if there is one."""
    return config_folder() / "watermark.key"


def watermark_key() -> str | None:
    """Return the secret of the user's own watermarks; None for the key that all know.

    Raises SoraError for a file that is there and cannot be read, or is empty.
    """
    given = os.environ.get(WATERMARK_KEY)
    if given:
        return given
    path = key_file()
    if not os.path.lexists(path):
        return None
    try:
        secret = read_regular(path, _MOST_BYTES)[0].decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SoraError(f"The watermark key {path} cannot be read ({error}): check its rights.") from error
    expect(bool(secret), f"The watermark key {path} is empty: delete it, and make one with `sora key`.")
    return secret


def make_key() -> Path:
    """Write a new key for the user; returns its file. Raises SoraError where there is one: its marks would be lost."""
    path = key_file()
    expect(
        not os.path.lexists(path),
        f"There is a watermark key already, {path}: without it nobody reads the marks that it made. Move it first.",
    )
    write_secret(path, secrets.token_urlsafe(32).encode() + b"\n")
    return path


def about_key() -> str | None:
    """Return what a person should know of the key in use, None for nothing."""
    if watermark_key() is None:
        return "Marked with the key that everybody knows, so anybody can write such marks: `sora key` makes your own."
    path = key_file()
    if not os.environ.get(WATERMARK_KEY) and is_exposed(path):
        return f"Others on this machine can read the watermark key {path}: take their rights from it (chmod 600)."
    return None
