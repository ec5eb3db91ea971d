"""Kandinsky 5 I2V: the first latents are put in place of the noised ones at every step, and a mask says which."""

from __future__ import annotations

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model the latents that are kept from the first on."""
    kept = known.kept().all(0)
    count = int(kept.long().cumprod(0).sum())
    options = {"concat_mask": known.mask.float()}
    if count:
        options["time_dim_replace"] = known.samples[:, :, :count]
    return Told(known.samples, known.mask, options)
