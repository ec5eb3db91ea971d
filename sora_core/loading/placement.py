"""The plan of memory for weights: what a file of them will take, by its header, before any of it is read.

A header is believed only as far as the file is long: safetensors refuses one whose tensors lie beyond its end. What the
metadata says of a network is not believed at all: it may describe one of any size, so what is built of it is counted
against the tensors that the file really holds (`parts.build`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..memory import expect_memory

_ADVICE = "close other programs, or use a smaller model or precision."
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}  # of one number; others have one


@dataclass(frozen=True)
class WeightPlan:
    """What weights take while they are loaded and after."""

    name: str  # how messages call them
    stored: int  # bytes as they lie in the file
    loaded: int  # bytes in the precision that they are brought to
    values: int  # numbers in all
    device: str = "cpu"  # where they go

    @property
    def peak(self) -> int:
        """Bytes at the worst moment: a tensor is kept as it was until all are in the new precision."""
        return self.stored + (self.loaded if self.loaded != self.stored else 0)

    def check(self) -> None:
        """Raise SoraError, with the figures, where the device has less memory free than the plan needs."""
        free = None
        if self.device.startswith("cuda"):
            free = torch.cuda.mem_get_info(torch.device(self.device))[0]
        expect_memory(self.peak, f"{self.name} ({self.values / 1e6:,.0f} million numbers)", _ADVICE, free)


def plan_weights(
    name: str, shapes: Mapping[str, tuple[tuple[int, ...], str]], dtype: torch.dtype | None = None, device: str = "cpu"
) -> WeightPlan:
    """Plan the loading of tensors. shapes: of each the shape and the type, as safetensors writes it ("BF16").

    dtype: what they are brought to; None leaves them as they are.
    """
    counts = {key: math.prod(shape) for key, (shape, _) in shapes.items()}
    stored = sum(counts[key] * _BYTES.get(kind, 1) for key, (_, kind) in shapes.items())
    values = sum(counts.values())
    return WeightPlan(name, stored, stored if dtype is None else values * dtype.itemsize, values, device)


def plan_file(path: Path, dtype: torch.dtype | None = None, device: str = "cpu") -> WeightPlan:
    """Plan the loading of a safetensors file by its header. Raises what `safe_open` does for what is none."""
    with safe_open(path, "pt") as file:
        return plan_weights(path.name, header_of(file), dtype, device)


def header_of(file: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Read the shapes and types of an open safetensors file, by key."""
    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    return {key: (tuple(part.get_shape()), part.get_dtype()) for key, part in slices.items()}
