"""Files: where the embedded weights lie, which suffixes are media, and writing that leaves nothing half-written."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import SoraError, expect

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


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder `path`, see `exists`."""
    return exists(path) and path.is_dir()


def ensure_writable(folder: Path) -> None:
    """Make `folder`; raise SoraError if that fails or nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error) from error


def exists(path: Path) -> bool:
    """Tell whether there is anything at `path`, which a user named. What is too long to be a name is nobody's."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Tell whether there is a file `path`, see `exists`."""
    return exists(path) and path.is_file()


def ensure_mp4(path: Path) -> None:
    """Raise SoraError unless `path` names an mp4, which is what videos are written as, and is no folder."""
    try:
        path.exists()
    except OSError as error:
        raise write_error(path, error) from error
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
    if error.errno == errno.ENAMETOOLONG:
        longest = max(path.parts, key=len)
        return SoraError(f"The name {longest[:40]!r}... is too long ({len(os.fsencode(longest))} bytes): shorten it.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return SoraError(f"{path} is not a folder: use another one.")
    return SoraError(f"Writing {path} failed ({error.strerror or error}): use another folder.")


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
