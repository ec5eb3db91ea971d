"""Cosmos Predict 2: a timestep for every latent, and a picture at the end is a still of its own, as at the start."""

from __future__ import annotations

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model nothing beside the mask; a latent of which one frame is known becomes that frame's still."""
    if known.frames is None or known.shown is None or known.shown.shape[2] > 1:
        return Told(known.samples, known.mask)
    whole, ratio, samples = known.shown.flatten(2).all(2), known.kind.space.temporal_ratio, known.samples.clone()
    for item, latent in (known.kept() & ~known.known_latents()).nonzero().tolist():
        group = range(max(0, ratio * (latent - 1) + 1), ratio * latent + 1)
        shown = [frame for frame in group if bool(whole[item, frame])]
        if len(shown) == 1:
            samples[item, :, latent] = encode(known.frames[item, shown])[0, :, 0].to(samples)
    return Told(samples, known.mask)
