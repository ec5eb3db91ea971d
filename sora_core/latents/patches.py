"""What a SORA_PATCHES socket holds: clips as spacetime patches in one sequence, with what each patch is for.

Clips of different durations and shapes stand side by side (`model.patch.PackedPatches`); a patch is
generated or kept as a whole. Taking the patches apart gives back the latents bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..model.patch import Grid, PackedPatches, pack, unpack
from .masks import to_latent_grid, token_mask
from .streams import is_nested

KEPT = torch.tensor([0.15, 0.35, 0.85])  # colour of the tint, (r, g, b)
LINE = 0.85  # how much of white a grid line is, and of what is below it the rest


@dataclass(frozen=True)
class Patches:
    """LATENTs as patches in one sequence."""

    packed: PackedPatches  # all clips, each LATENT's after the one before
    generate: Tensor  # bool `[N]`, whether a patch is made anew or kept
    latents: tuple[dict[str, Any], ...]  # the other entries of each LATENT that went in, its noise mask among them
    clips: tuple[int, ...]  # how many clips each was

    def __len__(self) -> int:
        """Count the tokens."""
        return self.packed.tokens.shape[1]


def patchify_latents(latents: Sequence[dict[str, Any]], patch: Grid = (1, 2, 2), temporal_ratio: int = 4) -> Patches:
    """Cut LATENTs, with samples `[B,C,T,H,W]` and perhaps a noise mask, into patches.

    Raises SoraError for sizes that do not divide into patches, and for latents with different channels.
    """
    singles, masks, rests, counts = [], [], [], []
    for latent in latents:
        samples = latent["samples"]
        expect(not is_nested(samples), "Sound and picture in one latent have no patches. Sample it as it is.")
        expect(samples.ndim == 5, f"A latent has shape {list(samples.shape)}: video latents are [B,C,T,H,W].")
        mask = latent.get("noise_mask")
        if mask is None:
            generate = torch.ones(samples.shape[0], 1, *samples.shape[2:], dtype=torch.bool)
        else:
            generate = to_latent_grid(mask, samples.shape, temporal_ratio)
        singles += list(samples.split(1))
        masks.append(token_mask(generate, patch).flatten())
        rests.append({k: v for k, v in latent.items() if k != "samples"})
        counts.append(samples.shape[0])
    return Patches(pack(singles, patch), torch.cat(masks), tuple(rests), tuple(counts))


def unpatchify_latents(patches: Patches) -> list[dict[str, Any]]:
    """Put the LATENTs that went in together again, with the patches' present values."""
    clips = unpack(patches.packed)
    made, start = [], 0
    for rest, count in zip(patches.latents, patches.clips, strict=True):
        made.append({**rest, "samples": torch.cat(clips[start : start + count])})
        start += count
    return made


def map_latents(patches: Patches, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Patches:
    """Replace each LATENT by `change(latent)`, whose length may be another, with its mask on the grid of its latents.

    Each clip is worked on alone. In one sequence with a mask it would get the same result, to rounding, and
    without a kernel for sequences of different lengths pay attention for every pair of clips.
    """
    given = unpatchify_latents(patches)
    latents = [change(latent) for latent in given]
    if all(a["samples"].shape == b["samples"].shape for a, b in zip(given, latents, strict=True)):
        clips = [clip for latent in latents for clip in latent["samples"].split(1)]
        rests = tuple({k: v for k, v in latent.items() if k != "samples"} for latent in latents)
        return Patches(pack(clips, patches.packed.patch), patches.generate, rests, patches.clips)
    # Some latents more were sampled along, or were taken off: the mask has gone with them, on their own grid.
    return patchify_latents(latents, patches.packed.patch)


def forward_flops(tokens: int, parameters: int, dim: int, layers: int) -> float:
    """Count the floating-point operations of one model call on one clip.

    Two for each weight and token, plus attention's 4 N^2 dim a layer.
    """
    return 2.0 * parameters * tokens + 4.0 * layers * dim * tokens**2


def describe(patches: Patches, temporal_ratio: int, spatial_ratio: int, flops: Callable[[int], float] | None) -> str:
    """Write tokens, grid, share that is generated and cost, in a few lines of text.

    flops: of a model call, by the number of tokens of a clip; without, the cost is told in pairs of tokens.
    """
    pt, ph, pw = patches.packed.patch
    sizes = [t * h * w for t, h, w in patches.packed.grids]
    lines = [f"{len(patches)} tokens in {len(sizes)} clip{'s' * (len(sizes) != 1)}"]
    lines += [
        f"clip {i + 1}: {t} x {h} x {w} patches (time x rows x columns) = {size} tokens"
        for i, ((t, h, w), size) in enumerate(zip(patches.packed.grids, sizes, strict=True))
    ][:8]
    lines.append(
        f"a patch: {pt * temporal_ratio} frames of {ph * spatial_ratio} x {pw * spatial_ratio} pixels "
        "(the first frame has its own)"
    )
    share = float(patches.generate.float().mean())
    lines.append(f"{share:.0%} to generate, {1 - share:.0%} kept")
    if flops is not None:
        lines.append(f"cost: {sum(map(flops, sizes)) / 1e9:.2f} GFLOP per model call")
    else:
        lines.append(f"cost: attention over {sum(s * s for s in sizes):,} pairs of tokens per layer")
    return "\n".join(lines)


def kept_patches(patches: Patches) -> Tensor:
    """Tell which patches of the first clip are kept: bool `[t,h,w]`."""
    t, h, w = patches.packed.grids[0]
    return ~patches.generate[: t * h * w].view(t, h, w).cpu()


def fit_to_grid(patches: Patches, frames: Tensor, index: Tensor, spatial_ratio: int) -> Tensor:
    """Scale those of `frames` `[T,H,W,3]` that `index` numbers to the first clip; the last one repeats."""
    (_, h, w), (_, ph, pw) = patches.packed.grids[0], patches.packed.patch
    picture = frames[index.clamp_max(frames.shape[0] - 1), ..., :3].float().movedim(-1, 1)
    size = (h * ph * spatial_ratio, w * pw * spatial_ratio)
    picture = torch.nn.functional.interpolate(picture, size, mode="bilinear", antialias=True)
    return picture.movedim(1, -1).clamp(0, 1).contiguous()


def grid_facts(patches: Patches, temporal_ratio: int) -> dict[str, Any]:
    """Tell the grid of the first clip as JSON: `grid` (t,h,w), how many `frames` each t has, which patches are `kept`.

    kept: a text of 0 and 1, in the order of the tokens.
    """
    kept = "".join(map(str, kept_patches(patches).int().flatten().tolist()))
    frames = patches.packed.patch[0] * temporal_ratio
    return {"grid": list(patches.packed.grids[0]), "frames": frames, "kept": kept, "tokens": len(patches)}


def draw_grid(patches: Patches, frames: Tensor | None, temporal_ratio: int, spatial_ratio: int) -> Tensor:
    """Draw the grid of the first clip over its frames, `[T,H,W,3]` float 0..1; kept patches are tinted blue.

    frames: IMAGE `[T,H,W,3]`, scaled to the clip; the last one repeats when there are too few. None draws on grey.
    """
    (t, h, w), (pt, ph, pw) = patches.packed.grids[0], patches.packed.patch
    length, cell_h, cell_w = 1 + temporal_ratio * (t * pt - 1), ph * spatial_ratio, pw * spatial_ratio
    if frames is None:
        picture = torch.full((length, h * cell_h, w * cell_w, 3), 0.35)
    else:
        picture = fit_to_grid(patches, frames, torch.arange(length), spatial_ratio)
    kept = kept_patches(patches)
    # Frame 0 is latent 0; after it, each latent covers `temporal_ratio` frames.
    latent_of = (torch.arange(length) + temporal_ratio - 1) // temporal_ratio
    cover = kept[latent_of // pt].repeat_interleave(cell_h, 1).repeat_interleave(cell_w, 2)[..., None]
    picture = torch.where(cover, picture * 0.5 + KEPT * 0.5, picture)
    picture[:, ::cell_h] = picture[:, ::cell_h] * (1 - LINE) + LINE
    picture[:, :, ::cell_w] = picture[:, :, ::cell_w] * (1 - LINE) + LINE
    return picture
