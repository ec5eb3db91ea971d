"""Draws that depend on the step alone: generators, slices for ranks, and processes that draw ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Ranks(NamedTuple):
    """This process among those of a run (`torchrun`)."""

    rank: int  # from 0
    world_size: int

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read what torchrun sets; one process without it."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    def slice(self, draw: Tensor) -> Tensor:
        """Take this rank's part of a draw `[N * world_size, ...]` that was made for the batches of all ranks."""
        n = draw.shape[0] // self.world_size
        return draw[self.rank * n : (self.rank + 1) * n]


def step_generator(seed: int, step: int, device: str = "cpu") -> torch.Generator:
    """Return the generator of one step's draws."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) % 2**63)


def to_device(drawn: Any, device: torch.device) -> Any:
    """Move a tensor, what has `to` as tensors have it, or a sequence or dict of them to `device`."""
    if isinstance(drawn, (tuple, list)):
        return tuple(to_device(part, device) for part in drawn)
    if isinstance(drawn, dict):
        return {key: to_device(part, device) for key, part in drawn.items()}
    return drawn.to(device, non_blocking=True)


class _StepDraws(Dataset):
    """Batches by their step, for the processes that draw them ahead."""

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self.draw = draw

    def __getitem__(self, step: int) -> tuple[int, Any]:
        return step, self.draw(step)


def draw_ahead(draw: Callable[[int], Any], steps: range, workers: int, pin: bool) -> Iterator[tuple[int, Any]]:
    """Yield (step, `draw(step)`) for `steps` in order, drawn by `workers` processes; pin: into page-locked memory."""
    loader: DataLoader = DataLoader(
        _StepDraws(draw),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=4,
        pin_memory=pin,
        # A draw reads maps of the data and the tokenizer, and touches no device: that survives a fork.
        multiprocessing_context="fork",
    )
    return iter(loader)
