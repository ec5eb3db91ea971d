"""The state of a run as one file: weights, their moving average, the optimisers' moments, and how far it is.

model/NAME       the weights
ema/NAME         their moving average
opt0/3/momentum  what optimiser 0 keeps of its parameter 3
metadata "loop"  {"step", "seconds"}
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ...errors import SoraError
from .optim import EMA


def write_state(
    path: Path, model: nn.Module, ema: EMA, optimizers: Sequence[torch.optim.Optimizer], progress: dict[str, float]
) -> None:
    """Write the state beside the old one and rename it: a kill leaves one of the two."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.state.items()}
    for i, optimizer in enumerate(optimizers):
        for j, state in optimizer.state_dict()["state"].items():
            tensors |= {f"opt{i}/{j}/{k}": torch.as_tensor(v) for k, v in state.items()}
    part = path.with_suffix(".part")
    save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, part, {"loop": json.dumps(progress)}
    )
    os.replace(part, path)


def read_state(
    path: Path, model: nn.Module, ema: EMA, optimizers: Sequence[torch.optim.Optimizer], device: torch.device
) -> dict[str, float]:
    """Load a state into its parts and return its progress. Raises SoraError for the state of another model."""
    with safe_open(path, "pt", device=str(device)) as file:
        progress = json.loads((file.metadata() or {}).get("loop", "{}"))
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    try:
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model/")})
    except RuntimeError as error:
        raise SoraError(f"{path} is of another model ({error}). Use another `out` folder.") from None
    ema.state = {k[4:]: v.float() for k, v in tensors.items() if k.startswith("ema/")}
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict] = {}
        for key, value in tensors.items():
            if key.startswith(f"opt{i}/"):
                _, j, name = key.split("/")
                state.setdefault(int(j), {})[name] = value
        whole = optimizer.state_dict()
        whole["state"] = state
        optimizer.load_state_dict(whole)
    return progress
