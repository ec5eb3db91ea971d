"""A model on paper: what its file says of itself without its weights, to hold settings to before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ..errors import expect
from ..loading.checkpoint import ROLES, ModelBundle, read_header
from ..loading.lora import read_lora
from ..loading.parts import PARTS, build
from ..pipeline.pipeline import Pipeline
from .jobs import Weights


@dataclass(frozen=True)
class Paper:
    """A model without weights."""

    pipe: Pipeline  # whose settings can be checked; its networks are empty
    info: dict[str, Any]  # what the file says of itself, with the habits of LoRAs
    values: int  # numbers of weights


def on_paper(models: tuple[Weights, ...]) -> Paper:
    """Read the header of a model, and the habits of its LoRAs. Raises SoraError for a file that is no model."""
    model, *loras = models
    header = read_header(model.path)
    parts = {}
    for name, data in header.parts.items():
        expect(name in PARTS, f"{model.path.name} holds {name}: that is no part of a model that makes video.")
        parts[PARTS[name].role] = build(name, data, header.values.get(name, 0), model.path.name)
    lacking = sorted(set(ROLES) - set(parts))
    expect(
        not lacking, f"{model.path.name} lacks {', '.join(lacking)}: it is part of a model, not one that makes video."
    )
    info = {**header.info, "file": model.path.name}
    for lora in loras:
        if lora.strength:
            info |= read_lora(lora.path).habits
    dit, vae, text = (cast(Any, parts[role]) for role in ROLES)
    pipe = Pipeline(ModelBundle(dit, vae, text, info=info, file=model.path))
    return Paper(pipe, info, sum(header.values.values()))
