"""What a node that saves puts into its file: read from the graph that is being run, in ComfyUI and in our own host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SoraError
from ..pipeline.engine import in_comfyui
from .desk.folders import current
from ..provenance.credentials.history import History, Model, read_graph
from ..provenance.saving import Saving, plan
from .desk.folders import Folders
from .desk.folders import current as own_folders


def history_of(hidden: Any) -> History:
    """How the node with these hidden values (`prompt`, `unique_id`) came by what it saves."""
    prompt, node = getattr(hidden, "prompt", None), getattr(hidden, "unique_id", None)
    if not prompt or node is None:
        return History()
    return read_graph(prompt, node, find_input, find_model)


def saving_of(hidden: Any, **choices: bool | None) -> Saving:
    """The `Saving` of that node; choices are `plan`'s."""
    return plan(history_of(hidden), **choices)


def find_input(name: str) -> Path | None:
    """The file that a loader's widget names, None where there is none in the host's folders."""
    try:
        path = _folders().resolve(name)
        return path if path.is_file() else None
    except (SoraError, OSError):  # out of the folder, or a text that is no name at all
        return None


def find_model(name: str) -> Model | None:
    """The model or LoRA that a loader's widget names, among ours or the host's."""
    host = current()
    path = host.model_files().get(name) or host.lora_files().get(name)
    if path is None and in_comfyui():
        from .comfy.desk import weights

        path = weights(name)
    return None if path is None else Model(Path(name).stem, path)


def _folders() -> Folders:
    if in_comfyui():
        from .comfy.desk import folders

        return folders()
    return own_folders()
