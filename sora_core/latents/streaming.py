"""Decode latents that come in pieces as one video, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ..errors import is_out_of_memory
from ..model.vae.causal import FeatureCache
from ..model.vae.mini import VideoVAE
from .decoding import CHUNK, decode, to_pixels

REMEMBERED = 12  # latents: two per residual block is all that a decoder of sora-mini's depth remembers


def decode_pieces(vae: VideoVAE, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Decode latents in pieces `[1,C,n,h,w]` to frames in pieces `[t,H,W,3]`, float 0..1, as one stream.

    The decoder keeps what it needs of the pieces before. When memory runs out, the rest is decoded in tiles, each chunk
    behind the latents that the decoder would remember. Raises SoraError for NaN, and when not even tiles fit.
    """
    weight = next(vae.parameters())
    cache: FeatureCache | None = FeatureCache()
    past: Tensor | None = None
    for part in (part for whole in pieces for part in whole.split(CHUNK, 2)):
        if cache is not None:
            try:
                with torch.no_grad():
                    made = vae.stream_decode([part.to(weight.device, weight.dtype)], cache=cache)
                    frames = to_pixels(next(iter(made)))[0]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                cache = None  # it may be half renewed
        if cache is None:
            frames = _behind(lambda latent: decode(vae, latent)[0], past, part, vae.config.temporal_ratio)
        past = _with_history(past, part, REMEMBERED)
        yield frames
        del frames  # or they would take memory while those after them are made


def decode_with_history(
    decode: Callable[[Tensor], Tensor],
    pieces: Iterable[Tensor],
    ratio: int = 4,
    history: int = REMEMBERED,
    chunk: int = 12,
) -> Iterator[Tensor]:
    """Decode latents in pieces by any causal VAE that decodes whole clips: `decode(latent) -> IMAGE [t,H,W,3]`.

    ratio: frames of one latent. Each chunk is decoded behind the `history` latents before it. With as many as the
    decoder remembers the frames are those of decoding it all at once; REMEMBERED is enough for sora-mini's, and a
    deeper decoder may differ a little where a chunk begins.
    """
    past: Tensor | None = None
    for part in (part for whole in pieces for part in whole.split(chunk, 2)):
        yield _behind(decode, past, part, ratio)
        past = _with_history(past, part, history)


def _behind(decode: Callable[[Tensor], Tensor], past: Tensor | None, part: Tensor, ratio: int) -> Tensor:
    """Decode `part` behind `past`, and give the frames of `part` alone."""
    if past is None:
        return decode(part)
    return decode(torch.cat((past, part), 2))[-ratio * part.shape[2] :]


def _with_history(past: Tensor | None, part: Tensor, history: int) -> Tensor:
    return (part if past is None else torch.cat((past, part), 2))[:, :, -history:]
