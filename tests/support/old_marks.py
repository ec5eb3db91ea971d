"""Marks as they were before they were tied to a clip: 32 bits, the same pattern in all clips of a key and payload."""

from __future__ import annotations

import torch

from sora_core.provenance.watermark import ecc
from sora_core.provenance.watermark.carrier import carrier_of, key_bytes
from sora_core.provenance.watermark.painting import Painter


def embed_old(frames: torch.Tensor, payload: int, key: bytes | str | None = None) -> torch.Tensor:
    """Mark frames `[T,H,W,3]` float 0..1."""
    carrier = carrier_of(key_bytes(key))
    painter = Painter(carrier)
    painter.signs = carrier.with_code(ecc.encode(payload))
    return torch.stack([painter(frame) for frame in frames])
