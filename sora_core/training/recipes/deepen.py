"""A deeper transformer that begins as one that is trained: more blocks, and at first nothing that they change.

Net2DeeperNet (Chen et al., arXiv 1511.05641), with copies of trained blocks in place of identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...errors import expect
from ...loading.checkpoint import load_parts, save
from ...loading.lora import BLOCK
from ...model.dit import DiT
from ..checkpoints import part_of
from ..network import blocks_of, zero_branches


def deepened_name(name: str, after: Sequence[int]) -> str:
    """Return what a layer of a transformer, or a LoRA of it, is called once that is `deepened`."""
    return BLOCK.sub(lambda m: f"blocks.{(n := int(m[1])) + sum(i < n for i in after)}.", name)


def deepened(dit: DiT, after: Sequence[int]) -> DiT:
    """Copy `dit` with one block more after each of the blocks `after`, from 0; one may be named again.

    A new block is a copy of the one before it, whose branches' last layers are zero. Raises SoraError where there is no
    such block.
    """
    count = len(dit.blocks)
    expect(
        len(after) > 0 and all(0 <= i < count for i in after),
        f"A block more after {list(after)} cannot be: name one or more of the blocks 0 to {count - 1}.",
    )
    deeper = DiT(replace(dit.config, num_layers=count + len(after)))
    kept = {deepened_name(k, after): v for k, v in dit.state_dict().items()}
    deeper.load_state_dict(deeper.state_dict() | kept)  # strictly: nothing of the old one gets lost
    new = blocks_of(deeper)
    for i, block in enumerate(dit.blocks):
        next(new)  # the block itself, which has its weights already
        for _ in range(list(after).count(i)):
            copy = next(new)
            copy.load_state_dict(block.state_dict())
            zero_branches(copy)
    return deeper


def deepen(model: str | Path, after: Sequence[int], out: Path) -> Path:
    """Write `model` with its transformer `deepened` to `out`, and return it. Raises SoraError for what has none."""
    parts, info = load_parts(model)
    deeper = deepened(part_of(parts, DiT, model), after)
    whole = {key: value for key, value in info.items() if key != "file"}
    save(out, {**parts, "dit": deeper}, whole, torch.float32)
    return out
