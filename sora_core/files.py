"""Writing files so that nothing half-written is ever seen under its final name."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import SoraError, expect

WEIGHTS = Path(__file__).parent / "weights"  # of all embedded networks


def ensure_writable(folder: Path) -> None:
    """Make `folder`; raise SoraError if that fails or nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error) from error


def write_error(path: Path, error: OSError) -> SoraError:
    """Say in words what a failed write to `path` means, as an error to raise."""
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
