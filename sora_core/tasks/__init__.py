"""Every way to make and change a video, as known latents, a mask, and what the finished video keeps of the user's.

A task is a function from frames to a LATENT: "samples", "noise_mask" (1 = generate) and a `Splice` that puts the
user's own pixels back after decoding. Any sampler that respects the mask can run it.
"""

from .edits import animate, connect, extend, infill, loop, parse_frames, remix
from .finish.splice import SPLICE, Splice, finish
from .layout import VAECodec, Window, encode_kept
from .shots import shots_conditioning
from .storyboard import Shot, parse_storyboard, plan_shots

__all__ = [
    "SPLICE",
    "Shot",
    "Splice",
    "VAECodec",
    "Window",
    "animate",
    "connect",
    "encode_kept",
    "extend",
    "finish",
    "infill",
    "loop",
    "parse_frames",
    "parse_storyboard",
    "plan_shots",
    "remix",
    "shots_conditioning",
]
