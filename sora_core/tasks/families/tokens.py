"""Wan 2.2 TI2V 5B, sora-mini: the noise mask is their language, a timestep for every token.

Kept tokens enter clean, at timestep 0, so the model sees what is kept as it is.
"""

from __future__ import annotations

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model nothing beside the mask."""
    return Told(known.samples, known.mask)
