"""What a node that saves puts into its file: read from the graph that is being run, in ComfyUI and in our own host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SoraError
from ..provenance.credentials.history import History, Model, read_graph
from ..provenance.saving import Saving, plan
from ..safety import gate
from .current import desk


def history_of(hidden: Any) -> History:
    """Find out how the node with these hidden values (`prompt`, `unique_id`) came by what it saves."""
    prompt, node = getattr(hidden, "prompt", None), getattr(hidden, "unique_id", None)
    if not prompt or node is None:
        return History()
    return read_graph(prompt, node, find_input, find_model)


def saving_of(hidden: Any, **choices: bool | None) -> Saving:
    """Plan what that node puts into its file; choices are those of `provenance.plan`."""
    return plan(history_of(hidden), **choices)


def tell_saved(hidden: Any, saving: Saving) -> None:
    """Say on that node what was done about signing and marks, where it shows no text of its own."""
    if saving.notes:
        desk().show_text(getattr(hidden, "unique_id", None), "\n".join(dict.fromkeys(saving.notes)))


def badges_of(saving: Saving) -> list[dict[str, str]]:
    """List what was done to a finished file, as a node's badges tell it: `state` "checked" or "signed", and `why`."""
    made, policy = [], gate.enforced()
    if policy is not None and policy.frames.action != "off":
        made.append({"state": "checked", "why": f"Every frame was checked by the policy {policy.name!r}."})
    if saving.sealed:
        made.append({"state": "signed", "why": "\n".join(note for note in saving.notes if note.startswith("Signed"))})
    return made


def find_input(name: str) -> Path | None:
    """Find the file that a loader's widget names, None where there is none in the host's folders."""
    try:
        path = desk().folders().resolve(name)
        return path if path.is_file() else None
    except (SoraError, OSError):  # out of the folder, or a text that is no name at all
        return None


def find_model(name: str) -> Model | None:
    """Find the model or LoRA that a loader's widget names, among ours or the host's."""
    host = desk()
    path = host.model_files().get(name) or host.lora_files().get(name) or host.weights(name)
    return None if path is None else Model(Path(name).stem, path)
