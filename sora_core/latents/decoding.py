"""Latents to pictures and back: as a stream, in spatial tiles when memory is short, and never with NaN in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import SoraError, expect, is_out_of_memory
from ..interrupt import check_interrupted
from ..model.vae.causal import FeatureCache
from ..model.vae.mini import VideoVAE
from .refining import MAX_STEPS, Refiner, made, regions
from .space import check_channels, check_finite, check_rank
from .tiling import scaled, tiles

Report = Callable[[int, int], None]  # (done, total)

CHUNK = 4  # latents decoded at a time
SMALLEST_TILE = 8  # latents a side: below, most of the work is what lies around a tile


def decoder_reach(vae: VideoVAE) -> int:
    """Count the latents to each side that a decoded pixel depends on: one a 3x3 convolution at 1/8, half at 1/4."""
    at_quarter, at_eighth = vae.config.decoder_blocks
    return 1 + at_eighth + -(-(at_quarter + 1) // 2)


def decode_stream(vae: VideoVAE, latent: Tensor, tile: int | None = None) -> Iterator[Tensor]:
    """Decode `[B,C,T,h,w]` piece by piece: yields `[B,t,H,W,3]` float32 0..1 on the CPU.

    tile: side of a spatial tile in latents; each is decoded with as much around it as its pixels depend on, so tiles
    meet without a seam and the result is that of the whole. Raises SoraError for NaN.
    """
    if tile is None:
        for part in vae.stream_decode(latent, CHUNK):
            yield to_pixels(part)
        return
    ratio, (rows, columns) = vae.config.spatial_ratio, latent.shape[-2:]
    streams = [
        (scaled(part.keep, ratio), scaled(part.at, ratio), vae.stream_decode(latent[..., *part.read], CHUNK))
        for part in tiles(rows, columns, tile, decoder_reach(vae))
    ]
    # All tiles of a chunk before the next chunk, so that frames come out whole; each stream has its own memory.
    for _ in range(0, latent.shape[2], CHUNK):
        parts = ((at, to_pixels(next(stream)[..., *keep])) for keep, at, stream in streams)
        at, part = next(parts)
        canvas = part.new_empty(*part.shape[:2], rows * ratio, columns * ratio, 3)
        canvas[:, :, *at] = part
        for at, part in parts:
            canvas[:, :, *at] = part
        yield canvas


def to_pixels(video: Tensor) -> Tensor:
    """Turn `[B,3,T,H,W]` in -1..1 into `[B,T,H,W,3]` float32 0..1 on the CPU. Raises SoraError for NaN."""
    check_interrupted()
    pixels = video.detach().movedim(1, -1).float().cpu()
    expect(bool(torch.isfinite(pixels).all()), "The VAE decoded NaN or infinite values. Load the model in fp32.")
    return pixels.mul_(0.5).add_(0.5).clamp_(0, 1)


@torch.no_grad()
def decode(vae: VideoVAE, latent: Tensor, report: Report | None = None) -> Tensor:
    """Decode `[B,C,T,h,w]` to `[B,T,H,W,3]` float32 0..1 on the CPU.

    When memory runs out the latent is kept and decoding starts over in tiles, each time half as wide.
    `report(done, total)` is called in latents. Raises SoraError for a latent of another model, for NaN, and when even
    the smallest tiles do not fit.
    """
    check_latent(vae, latent)
    first = next(vae.parameters())
    latent = latent.to(first.device, first.dtype)
    tile: int | None = None
    while True:
        try:
            return _collect(vae, latent, tile, report)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block, so that the failed attempt's tensors are free.
        side = max(latent.shape[-2:]) if tile is None else tile
        expect(
            side > SMALLEST_TILE,
            f"Not enough memory to decode {list(latent.shape)}, even in tiles of "
            f"{SMALLEST_TILE} latents: close other programs or make the video smaller.",
        )
        tile = max(SMALLEST_TILE, side // 2)
        if latent.device.type == "cuda":
            torch.cuda.empty_cache()


def _collect(vae: VideoVAE, latent: Tensor, tile: int | None, report: Report | None) -> Tensor:
    batch, _, length, h, w = latent.shape
    ratio = vae.config.spatial_ratio
    pixels = torch.empty(batch, vae.video_frames(length), h * ratio, w * ratio, 3)
    done = 0
    for i, part in enumerate(decode_stream(vae, latent, tile)):
        pixels[:, done : done + part.shape[1]] = part
        done += part.shape[1]
        if report is not None:
            report(min((i + 1) * CHUNK, length), length)
    return pixels


def check_latent(vae: VideoVAE, latent: Tensor) -> None:
    """Raise SoraError unless `vae` can decode `latent` `[B,C,T,h,w]`."""
    channels, advice = vae.config.latent_channels, "use the VAE of the model that made the latent."
    check_rank(latent, channels, "this VAE", advice)
    check_channels(latent, channels, "this VAE", advice)
    check_finite(latent, "sample it again, with lower cfg or in fp32.")


@torch.no_grad()
def encode(
    vae: VideoVAE, images: Tensor, refine: int = 0, report: Report | None = None, corrections: int | None = None
) -> Tensor:
    """Encode IMAGE `[T,H,W,3]` float 0..1 as a normalised latent `[1,C,1+k,h,w]`, float32 on the CPU.

    It is corrected by what it decodes to, as the VAE has learned to. corrections: how often, at most as often as the
    VAE has learned; 0 for not at all, None for `USUAL_CORRECTIONS`. Each costs about four times what encoding alone
    does.

    refine: further steps, 0 to 200, that bring each chunk nearer to what decodes to `images`, see `refining`. Each
    costs about three times a decode.
    `report(done, total)` is called after each. Raises SoraError unless T is 1 + 4k and H and W are multiples of the
    VAE's ratio, for another number of steps, and when memory does not suffice to refine.
    """
    expect(images.ndim == 4 and images.shape[-1] >= 3, f"Frames have the shape [T,H,W,3], not {list(images.shape)}.")
    video = images[None, ..., :3].movedim(-1, 1)
    vae.check_video(video)
    return torch.cat(list(encode_stream(vae, video, refine, report, corrections=corrections)), 2).float().cpu()


def encode_stream(
    vae: VideoVAE,
    video: Tensor,
    refine: int = 0,
    report: Report | None = None,
    corrections: int | None = None,
    signed: bool = False,
) -> Iterator[Tensor]:
    """Encode `[B,3,1+4k,H,W]` in 0..1 a chunk at a time, see `encode`; yields latents in the VAE's precision.

    signed: `video` is in -1..1.
    """
    expect(0 <= refine <= MAX_STEPS, f"refine is {refine}: use 0 to {MAX_STEPS} steps.")
    count = made(vae.config, corrections)
    expect(count >= 0, f"corrections is {corrections}: use 0 or more.")
    first, ratio = next(vae.parameters()), vae.config.temporal_ratio
    # The first frame is a latent of its own, so the first chunk is a frame longer.
    head = 1 + CHUNK * ratio
    chunks = [part for part in (video[:, :, :head], *video[:, :, head:].split(CHUNK * ratio, 2)) if part.shape[2]]
    cells = [side // vae.config.spatial_ratio for side in video.shape[-2:]]
    total, done = len(chunks) * refine * len(regions(*cells)), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report(done, total)

    cache = FeatureCache()
    refiner = Refiner(vae, refine, tick, count) if refine or count else None
    for number, part in enumerate(chunks, 1):
        check_interrupted()
        part = part.to(first.device, first.dtype)
        part = part if signed else part * 2 - 1
        with torch.no_grad():
            (latent,) = vae.stream_encode([part], cache)
        if refiner is not None:
            try:
                latent = refiner(part, latent, last=number == len(chunks))
            except (RuntimeError, MemoryError) as error:
                # Without refine ComfyUI goes on in tiles, if the error is as it was.
                if not refine or not is_out_of_memory(error):
                    raise
                raise SoraError(
                    f"Not enough memory to refine {video.shape[-1]}x{video.shape[-2]}: set refine to 0, or make the "
                    "video smaller."
                ) from error
        yield latent
