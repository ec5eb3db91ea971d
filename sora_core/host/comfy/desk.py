"""ComfyUI's folders, as ours."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..desk.folders import Folders


def folders() -> Folders:
    """Where ComfyUI reads its inputs and writes its outputs and previews."""
    kinds = ("input", "output", "temp")
    return Folders(*(Path(getattr(folder_paths, f"get_{kind}_directory")()) for kind in kinds))


def weights(name: str) -> Path | None:
    """The file that a loader of ComfyUI means by `name`."""
    for kind in ("diffusion_models", "checkpoints", "loras"):
        path = folder_paths.get_full_path(kind, name)
        if path is not None:
            return Path(path)
    return None
