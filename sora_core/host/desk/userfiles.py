"""A user's own files: saved workflows, settings, whatever else a frontend keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...files import ensure_writable, write_error, written_beside
from .folders import contained

SETTINGS = "comfy.settings.json"
BOOKMARKS = "workflows/.index.json"  # the frontend's list of them, the one hidden file that it reads and writes
# Notes on ComfyUI's releases would be fetched from its makers' server.
USUAL: dict[str, Any] = {
    "Comfy.Notification.ShowVersionUpdates": False,
    # Tours of the frontend, which stand before the first graph and lead to what is not here.
    "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"],
}


class UserFiles:
    """Reads and writes below one folder. Hidden files are nobody's business."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def settings(self) -> dict[str, Any]:
        """Read all settings."""
        return USUAL | self._kept()

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads((self.root / SETTINGS).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def keep(self, changed: dict[str, Any]) -> None:
        """Change some settings."""
        path = self.root / SETTINGS
        if not self._kept() and path.is_file() and path.stat().st_size > 2:
            # Damaged, or mistyped by hand: what its owner can still read must not be written over.
            path.replace(path.with_suffix(".broken.json"))
        text = json.dumps(self.settings() | changed, indent=2)
        self.put(path, lambda part: part.write_text(text, encoding="utf-8"))

    def path(self, name: str) -> Path:
        """Return the path of a file or folder. Raises SoraError for one that is elsewhere, or hidden."""
        path = contained(self.root, name)
        hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
        hidden &= path != self.root / BOOKMARKS
        expect(path != self.root and not hidden, "Name a file or folder that is not hidden.")
        return path

    def below(self, name: str, deep: bool) -> dict[str, Path]:
        """List the files of a folder by their path in it, those of its folders too if `deep`."""
        folder = self.path(name)
        found = (folder.rglob if deep else folder.glob)("*")
        return {
            path.relative_to(folder).as_posix(): path
            for path in sorted(found)
            if not path.name.startswith(".") and path.is_file()
        }

    def rename(self, source: Path, path: Path) -> None:
        """Give a file another name, in one step: a crash leaves it under one of the two."""
        self._ready(path)
        try:
            source.replace(path)
        except OSError as error:
            raise write_error(path, error) from error

    def put(self, path: Path, write: Callable[[Path], Any]) -> None:
        """Put a file there, whole or not at all: `write` gets the path to write it to."""
        self._ready(path)
        with written_beside(path) as part:
            write(part)

    def _ready(self, path: Path) -> None:
        if path.is_dir():
            raise SoraError(f"{path.name!r} is a folder: give the file another name.")
        ensure_writable(path.parent)


def info(path: Path, name: str) -> dict[str, Any]:
    """Describe a file as the frontend reads it, times in milliseconds."""
    stat = path.stat()
    times = {"modified": int(stat.st_mtime * 1000), "created": int(stat.st_ctime * 1000)}
    return {"path": name, "size": stat.st_size, **times}
