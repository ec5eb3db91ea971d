"""Low-rank changes of linear layers while they are trained, as parametrisations of the weights.

Each weight is seen through a parametrisation `W + scale * up @ down`, so that training computes with exactly the
weights that merging makes (`loading.lora.apply_lora`). A new word is read as UNKNOWN; its embedding gets a change of
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...loading.lora import PREFIXES, Change
from ...model.text.concepts import UNKNOWN

_CHANGE = ".parametrizations.weight.0."  # what torch puts between a layer's name and its parametrisation's


class LowRank(nn.Module):
    """`W + scale * up @ down`; up starts at zero, so the model starts as it was."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        with torch.autocast(weight.device.type, enabled=False):  # as merging does it, in float32
            return weight + self.scale * self.up @ self.down


class UnknownRow(nn.Module):
    """An embedding whose row of UNKNOWN moves."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.zeros(weight.shape[1]))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed embedding."""
        return weight.index_add(0, torch.tensor([UNKNOWN], device=weight.device), self.row[None])


def add_low_rank(modules: Mapping[str, nn.Module], rank: int, scale: float) -> None:
    """Give every linear layer among `modules` a change, in their order."""
    for layer in modules.values():
        if type(layer) is nn.Linear:
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank, scale))


def add_unknown_row(embedding: nn.Embedding) -> None:
    """Return an embedding a change of its row of UNKNOWN."""
    parametrize.register_parametrization(embedding, "weight", UnknownRow(embedding.weight))


def low_rank_of(layer: nn.Module | None) -> LowRank | None:
    """Return the change of a layer's weight, None where it has none."""
    if layer is None or not parametrize.is_parametrized(layer, "weight"):
        return None
    change = layer.parametrizations["weight"][0]  # type: ignore[index]  # torch adds it to the layer
    return change if isinstance(change, LowRank) else None


@contextmanager
def without_changes(model: nn.Module) -> Iterator[None]:
    """Let a model compute as it would without its low-rank changes."""
    changes = [module for module in model.modules() if isinstance(module, LowRank)]
    scales = [change.scale for change in changes]
    for change in changes:
        change.scale = 0.0
    try:
        yield
    finally:
        for change, scale in zip(changes, scales, strict=True):
            change.scale = scale


def learned_changes(state: Mapping[str, Tensor], scale: float, words: int) -> dict[str, Change]:
    """Return the changes in a model's state under the names of a LoRA file; words: rows of the embedding.

    Those of networks that only help to train it are left out.
    """
    found = {}
    for key, value in state.items():
        layer, _, kind = key.partition(_CHANGE)
        part, _, path = layer.partition(".")
        if part not in PREFIXES:
            continue
        if kind == "up":
            found[PREFIXES[part] + path] = Change(value, state[f"{layer}{_CHANGE}down"], scale)
        elif kind == "row":
            one = torch.zeros(words, 1, device=value.device)
            one[UNKNOWN] = 1
            found[PREFIXES[part] + path] = Change(one, value[None])
    return found
