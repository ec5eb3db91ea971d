"""What of this machine's folders others than its user may read in messages: their names, not where they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What is left of absolute paths: only the file's name says something to a visitor.
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[^\s/'\":]+/)+")


class Places:
    """Knows the folders of a server, and what to call them."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        """places: the folders, by what visitors see in place of them."""
        # The longest first: one may lie in another.
        self.places = sorted(((str(path), name) for name, path in places.items()), key=lambda place: -len(place[0]))

    def hide(self, told: Any) -> Any:
        """Return a text, or JSON, without these folders and without other absolute paths."""
        if isinstance(told, dict):
            return {name: self.hide(value) for name, value in told.items()}
        if isinstance(told, list):
            return [self.hide(value) for value in told]
        if not isinstance(told, str):
            return told
        for folder, name in self.places:
            told = told.replace(folder, name)
        return _ABSOLUTE.sub("", told)
