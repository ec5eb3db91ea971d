"""The machine's policy: where it lies, and whether it can be read. One that is there and cannot be stops everything."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ..errors import SoraError, expect

NAME = "policy.toml"


def folder() -> Path:
    """Return the folder where an administrator puts the machine's policy."""
    if sys.platform == "win32":
        return _program_data() / "Sora"
    return Path("/Library/Application Support/Sora" if sys.platform == "darwin" else "/etc/sora")


def _program_data() -> Path:
    """Return Windows's folder for all users' data as its registry has it: PROGRAMDATA is anybody's to set."""
    key = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\Shell Folders"
    try:
        import winreg  # Windows alone has it

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as found:  # type: ignore[attr-defined]  # see above
            return Path(winreg.QueryValueEx(found, "Common AppData")[0])  # type: ignore[attr-defined]  # see above
    except (ImportError, OSError):
        return Path(r"C:\ProgramData")


def find(place: Path) -> Path | None:
    """Return the policy in the folder `place`, None where there is none.

    Raises SoraError where one is there and is no file that can be read, and where nobody can tell: a link whose target
    is away, a loop of links, a folder, a folder that may not be looked into.
    """
    file = place / NAME
    try:
        place.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(file, error) from error
    try:
        expect(place.is_dir(), f"{place} is no folder that can be read")
        try:
            file.lstat()
        except FileNotFoundError:
            return None
        expect(stat.S_ISREG(file.stat().st_mode), f"{file} is no file")
        expect(os.access(file, os.R_OK), "reading it is not permitted")
    except (OSError, RuntimeError, SoraError) as error:
        raise _unreadable(file, error) from error
    return file


def _unreadable(file: Path, why: Exception) -> SoraError:
    return SoraError(
        f"The machine's policy {str(file)!r} is there and cannot be read ({why}). Nothing is made without it: ask "
        "whoever set it up."
    )
