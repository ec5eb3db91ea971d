"""Files: where the embedded weights lie, which suffixes are media, and writing that leaves nothing half-written."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import SoraError, expect

CLAIM = ".claim"  # ending of the hidden file that claims a name
WEIGHTS = Path(__file__).parent / "weights"  # of all embedded networks

# Suffixes and MIME types of media files. Who takes fewer of them, or some of two kinds, says so where it does.
VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".avi": "video/avi",
    ".gif": "image/gif",
    ".m4v": "video/mp4",
}
PICTURE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
SOUND_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".opus": "audio/opus",
}
VIDEOS, PICTURES, SOUNDS = tuple(VIDEO_TYPES), tuple(PICTURE_TYPES), tuple(SOUND_TYPES)
COMMON_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# What phones make. ComfyUI may read them; Pillow only where it was built so.
PHONE_PICTURE_TYPES = {".avif": "image/avif", ".heic": "image/heic"}


def user_cache() -> Path:
    """Return the user's folder for what can be made again: XDG_CACHE_HOME/sora, on Windows LOCALAPPDATA/Sora."""
    if sys.platform == "win32" and "XDG_CACHE_HOME" not in os.environ:
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "Sora"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sora"


def ensure_writable(folder: Path) -> None:
    """Make `folder`; raise SoraError if that fails or nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error) from error


def ensure_mp4(path: Path) -> None:
    """Raise SoraError unless `path` names an mp4, which is what videos are written as, and is no folder."""
    expect(path.suffix.lower() == ".mp4", f"The output {str(path)!r} is not an mp4: end its name in .mp4.")
    expect(not path.is_dir(), f"The output {str(path)!r} is a folder: give the name of a file.")


def write_error(path: Path, error: OSError) -> SoraError:
    """Return the error to raise for a failed write to `path`, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SoraError(
            f"The disk is full while writing {path}: free some space or use another folder. "
            "Nothing was left under that name."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SoraError(f"{path} cannot be written (read-only): use another folder or change its rights.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return SoraError(f"{path} is not a folder: use another one.")
    return SoraError(f"Writing {path} failed ({error.strerror or error}): use another folder.")


# Names that this process has claimed and not written yet, with the process: a fork has not claimed what its parent did.
_claims: dict[Path, int] = {}


def claim(path: Path) -> bool:
    """Claim the name `path` for a file that is still to be made, against all other threads and processes.

    A hidden file `.NAME.claim` says so, until `written_beside` has put the file there, or `release` gives the name
    up. Returns False where there is such a file already, or somebody has claimed it.
    """
    try:
        with open(_mark(path), "x", encoding="utf-8") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    except OSError as error:
        raise write_error(path, error) from error
    # Whoever had it before may have finished between a look at the folder and now.
    if os.path.lexists(path):
        _mark(path).unlink(missing_ok=True)
        return False
    _claims[path] = os.getpid()
    return True


def release(*paths: Path) -> None:
    """Give claimed names up. Names that this process has not claimed are left alone."""
    for path in paths:
        if _claims.pop(path, None) == os.getpid():
            _mark(path).unlink(missing_ok=True)


@contextmanager
def released(path: Path) -> Iterator[None]:
    """Give up the claim on `path`, if there is one, when the block ends: the file is there, or it failed."""
    try:
        yield
    finally:
        release(path)


@atexit.register
def _release_all() -> None:
    release(*list(_claims))


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}{CLAIM}")


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`. It is renamed to `path` on success, and removed on any failure.

    OSErrors, and what safetensors makes of them, become SoraErrors. Ctrl-C leaves nothing behind either.
    """
    path = Path(path)
    expect(path.parent.is_dir(), f"There is no folder {str(path.parent)!r}: make it first, or use another one.")
    # A hidden name with the same ending, which writers go by; the process's number keeps two of them apart.
    part = path.with_name(f".{path.stem[:100]}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise write_error(path, error) from error
    except SafetensorError as error:
        raise SoraError(f"Writing {path} failed ({error}): free some space or use another folder.") from error
    finally:
        part.unlink(missing_ok=True)
        release(path)
