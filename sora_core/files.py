"""Files: where the embedded weights lie, which suffixes are media, and writing that leaves nothing half-written.

What a process has begun carries its number, so that what a killed one left is known and removed by a later one: parts
when somebody writes into their folder next, temp folders when a host starts.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import hashlib
import itertools
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import tempfile
import time
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
# Not Python's own table: Windows changes that by its registry.
PAGE_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}


def user_cache() -> Path:
    """Return the user's folder for what can be made again: XDG_CACHE_HOME/sora, on Windows LOCALAPPDATA/Sora."""
    if sys.platform == "win32" and "XDG_CACHE_HOME" not in os.environ:
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "Sora"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sora"


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder `path`, see `exists`."""
    return exists(path) and path.is_dir()


def ensure_writable(folder: Path) -> None:
    """Make `folder`, and remove what dead processes left in it. Raises SoraError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error) from error
    _tidy(folder)


def exists(path: Path) -> bool:
    """Tell whether there is anything at `path`, which a user named. What is too long to be a name is nobody's."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Tell whether there is a file `path`, see `exists`."""
    return exists(path) and path.is_file()


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Return all of the file `path` and what it is, both of the one file that was opened: a name may be given another.

    Raises OSError for what cannot be read, is no plain file (a pipe would keep who reads it waiting), or has more than
    `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return data, about


def ensure_mp4(path: Path) -> None:
    """Raise SoraError unless `path` names an mp4, which is what videos are written as, and is no folder."""
    try:
        path.exists()
    except OSError as error:
        raise write_error(path, error) from error
    expect(path.suffix.lower() == ".mp4", f"The output {str(path)!r} is not an mp4: end its name in .mp4.")
    expect(not path.is_dir(), f"The output {str(path)!r} is a folder: give the name of a file.")


DISK_ERRORS = tuple(
    getattr(errno, name)
    for name in ["ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EIO", "ENAMETOOLONG"]
    if hasattr(errno, name)
)


class DiskFullError(SoraError):
    """There was no room for a file: what comes after it has none either."""


def write_error(path: Path, error: OSError) -> SoraError:
    """Return the error to raise for a failed write to `path`, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFullError(
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


# Names that this process has claimed and not written yet, with the process: a fork has not claimed what its parent did.
_claims: dict[Path, int] = {}


def claim(path: Path) -> bool:
    """Claim the name `path` for a file that is still to be made, against all other threads and processes.

    A hidden file `.NAME.claim` says so, until `written_beside` has put the file there, or `release` gives the name
    up. Returns False where there is such a file already, or somebody has claimed it.
    """
    try:
        file = open(_mark(path), "x", encoding="utf-8")  # noqa: SIM115  # what fails from here on leaves a claim behind
    except FileExistsError:
        return False
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with file:
            file.write(owner())
    except BaseException as error:  # A full disk takes the name and not what stands in it.
        _mark(path).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise
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


def taken_by(path: Path) -> str | None:
    """Name the process that has claimed `path`, as `owner` does; None where nobody has. Those of dead ones go."""
    mark = _mark(path)
    try:
        entry = next((entry for entry in os.scandir(mark.parent) if entry.name == mark.name), None)
        if entry is None or _is_dead_claim(entry):
            mark.unlink(missing_ok=True)
            return None
        return mark.read_text("ascii", "replace").strip()
    except OSError:
        return None


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
    _tidy(path.parent)
    # A hidden name with the same ending, which writers go by; who writes keeps two of them apart. Names are limited in
    # bytes, of which a character may take four.
    stem = os.fsencode(path.stem)[:100].decode(errors="ignore")
    part = path.with_name(f".{stem}.{_machine()}.{os.getpid()}.{next(_count)}.part{path.suffix}")
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


# -- what processes leave ------------------------------------------------------------------------------------
_count = itertools.count()
_PART = re.compile(r"\..*\.([0-9a-f]{8})\.(\d+)\.\d+\.part(\.[^.]*)?")
_OLD_PART = re.compile(r"\..*\.(\d+)\.part(\.[^.]*)?")  # of versions that did not name the machine
_TEMP = re.compile(r"sora-([0-9a-f]{8})-(\d+)-[0-9a-f]{32}")
NAMELESS, ELSEWHERE = 86_400, 7 * 86_400  # seconds, see `_is_dead`
_OLD_TEMP = re.compile(r"sora-(\d+)")
_tidied: set[tuple[int, Path]] = set()  # by the process: a child of it begins anew


@functools.cache
def _machine() -> str:
    """Name where process numbers mean something: this machine since it was started, or this container."""
    known = [socket.gethostname()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            known.append(os.readlink(source) if source.endswith("pid") else Path(source).read_text())
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    """Return whether a process of this machine is there; True where that cannot be told."""
    if sys.platform == "win32":
        # There os.kill would end it.
        try:
            import psutil
        except ImportError:
            return True
        return bool(psutil.pid_exists(process))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _tidy(folder: Path) -> None:
    """Remove parts of dead processes from `folder`, once a process."""
    key = (os.getpid(), folder.absolute())
    if key in _tidied:
        return
    _tidied.add(key)
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and (_is_dead_part(entry) or _is_dead_claim(entry)):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _is_dead_part(entry: os.DirEntry[str]) -> bool:
    if ".part" not in entry.name or not entry.is_file(follow_symlinks=False):
        return False
    if match := _PART.fullmatch(entry.name):
        return _is_dead(match[1], int(match[2]), entry)
    match = _OLD_PART.fullmatch(entry.name)
    return match is not None and _is_dead("", int(match[1]), entry)


def _is_dead(machine: str, process: int | None, entry: os.DirEntry[str]) -> bool:
    """Return whether what a process left is of no use any more: a process of this machine by its number.

    machine: "" where it is not named. Another one may share the folder, or be this one before it was started again, and
    its processes cannot be asked: nobody writes to one file for as long as NAMELESS or ELSEWHERE, in seconds.
    """
    if machine == _machine():
        return process is not None and not _alive(process)
    return time.time() - entry.stat().st_mtime > (ELSEWHERE if machine else NAMELESS)


def owner() -> str:
    """Name this process, for a hidden file that says whose something is."""
    return f"{_machine()} {os.getpid()}"


def _is_dead_claim(entry: os.DirEntry[str]) -> bool:
    """Return whether a hidden file `.NAME.claim` is of a process that is dead, by what `owner` wrote into it."""
    if not entry.name.endswith(CLAIM) or not entry.is_file(follow_symlinks=False) or entry.stat().st_size > 64:
        return False
    machine, _, process = Path(entry.path).read_text("ascii", "replace").strip().rpartition(" ")
    # Where nothing stands in it somebody may be about to write.
    if process and not (process.isascii() and process.isdigit()):
        return False
    return _is_dead(machine, int(process) if process else None, entry)


@functools.cache
def _temp_of(process: int) -> Path:
    return Path(tempfile.gettempdir()) / f"sora-{_machine()}-{process}-{secrets.token_hex(16)}"


def own_temp() -> Path:
    """Name this process's own temp folder, which nobody can guess. It is not made yet, see `make_private`."""
    return _temp_of(os.getpid())


def make_private(folder: Path) -> None:
    """Make a folder that only this user can read, and remove it when the process ends; nothing if it is there.

    Raises SoraError when somebody else's is there, or it cannot be made.
    """
    process = os.getpid()
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = folder.lstat()
        mine = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
        expect(stat.S_ISDIR(found.st_mode) and mine, f"{folder} is somebody else's: set TMPDIR to another folder.")
        return
    except OSError as error:
        raise write_error(folder, error) from error
    # A child that was forked off must leave it to its parent.
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == process else None)


def remove_dead_temps() -> None:
    """Remove the temp folders of this user's dead processes."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(tempfile.gettempdir()):
            match = _TEMP.fullmatch(entry.name)
            old = None if match else _OLD_TEMP.fullmatch(entry.name)
            if not (match or old) or (match and match[1] != _machine()):
                continue
            process = int(match[2] if match else old[1])  # type: ignore[index]  # one of them is there
            with contextlib.suppress(OSError):
                mine = not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
                if mine and entry.is_dir(follow_symlinks=False) and not _alive(process):
                    shutil.rmtree(entry.path, ignore_errors=True)
