"""What a node needs of its host besides the engine: files, metadata, and a place to say something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from ...errors import SoraError, expect
from ...words import no_such
from .folders import Folders


class Desk(Protocol):
    """One host's files and folders, and the text that it shows on a node."""

    def model_files(self) -> dict[str, Path]:
        """List the models to choose from, by the name that a workflow stores."""

    def lora_files(self) -> dict[str, Path]:
        """List the LoRAs to choose from, by name."""

    def weights(self, name: str) -> Path | None:
        """Find the file that a loader of the host's own means by `name`; None where there is none."""

    def folders(self) -> Folders:
        """Return the folders that the host reads its inputs from and writes its outputs to."""

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        """Choose a free file in the output folder; returns it and its subfolder."""

    def metadata(self, hidden: Any) -> dict[str, str]:
        """Make the tags that let a saved file restore its workflow, of a node's hidden values."""

    def shows_files(self, hidden: Any, name: str) -> bool:
        """Tell whether all that a node with these hidden values gets as `name` is of a user's files, by its graph.

        For a host whose own nodes do not say it of the frames themselves (`sora_core.media.origin`).
        """

    def show_text(self, node_id: str | None, text: str) -> None:
        """Show `text` on a node, where the host can beyond `ui.PreviewText`."""


def metadata_of(hidden: Any) -> dict[str, str]:
    """Make the tags that let a saved file restore its workflow: `prompt` and `workflow`, as JSON."""
    tags = {}
    # Absent where a node is called without a graph.
    if getattr(hidden, "prompt", None):
        tags["prompt"] = json.dumps(hidden.prompt)
    for key, value in (getattr(hidden, "extra_pnginfo", None) or {}).items():
        tags[key] = json.dumps(value)
    return tags


def resolve_model(name: str, files: dict[str, Path]) -> Path:
    """Find the file of a model that a workflow names. Raises SoraError that lists those there are."""
    path = _named("model", name, files)
    # An embedded model is always listed, so that its workflows stay valid where a pack came without its weights.
    expect(path.is_file(), f"The model {name!r} has no file {path.name}: install the pack with its weights again.")
    return path


def lora_file(name: str, files: dict[str, Path]) -> Path:
    """Find the file of a LoRA that a workflow names. Raises SoraError that lists those there are."""
    return _named("LoRA", name, files)


def _named(what: str, name: str, files: dict[str, Path]) -> Path:
    path = files.get(name)
    if path is None:
        raise SoraError(no_such(what, name, files))
    return path
