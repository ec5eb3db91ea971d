"""Find where the parts of one frame were in another: block matching, from coarse to fine.

It is good enough to carry detail along with what moves, and needs no weights. Displacements are in pixels, `[...,0]` in
x and `[...,1]` in y: what is at (x, y) now was at (x + dx, y + dy).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]  # (height, width)
SIDE = 64  # pixels: short side of the picture that is searched exhaustively
RADIUS = 5  # of that search, in its pixels: 8% of the short side
BLOCK = 5  # side of a block, at every size
# Many displacements match about as well where a picture is smooth. These keep to the shorter and the coarser one.
STAY = 0.002  # by how much (0..1) a displaced block must match better, per pixel that it moved
MARGIN = 0.004  # by how much a finer displacement must match better
AGREE = 9  # side of the neighbourhood that a displacement is the median of
BAND = 64  # rows whose medians are taken at once: those of a large picture would take gigabytes


def match(current: Tensor, before: Tensor) -> Tensor:
    """Find the displacements `[H,W,2]` from `current` back to `before` (both `[H,W,3]` float 0..1), to half a pixel."""
    height, width = current.shape[:2]
    # A picture that grows lighter or darker has not moved.
    before = before + (current - before).mean((0, 1))
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SIDE:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    pyramid = [(_fit(current, size), _fit(before, size)) for size in reversed(sizes)]
    flow = _search(*pyramid[0])
    for now, then in pyramid:
        flow = _resize(flow, (now.shape[0], now.shape[1]))
        for step in (1.0, 0.5):
            flow = _refine(now, then, flow, step)
    return flow


def _search(now: Tensor, then: Tensor) -> Tensor:
    """Try all displacements within RADIUS; returns the best of each pixel, `[H,W,2]`."""
    h, w = now.shape[:2]
    # The border is repeated: what comes into the picture has no match, and the best of the bad ones is near.
    padded = F.pad(then.movedim(-1, 0)[None], (RADIUS,) * 4, mode="replicate")[0].movedim(0, -1)
    best, flow = torch.full((h, w), torch.inf), torch.zeros(h, w, 2)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            shifted = padded[RADIUS + dy : RADIUS + dy + h, RADIUS + dx : RADIUS + dx + w]
            cost = _cost(now, shifted) + STAY * (dx * dx + dy * dy) ** 0.5
            better = cost < best
            best = torch.where(better, cost, best)
            flow[better] = torch.tensor((float(dx), float(dy)))
    return flow


def _refine(now: Tensor, then: Tensor, flow: Tensor, step: float) -> Tensor:
    """Try each displacement's eight neighbours, `step` away; returns the best of the nine."""
    best, found = _cost(now, warp(then, flow)), flow
    for dy in (-step, 0.0, step):
        for dx in (-step, 0.0, step):
            if dx or dy:
                near = flow + torch.tensor((dx, dy))
                cost = _cost(now, warp(then, near)) + MARGIN
                better = cost < best
                best = torch.where(better, cost, best)
                found = torch.where(better[..., None], near, found)
    return found


def _cost(a: Tensor, b: Tensor) -> Tensor:
    """Average the absolute difference of the blocks around each pixel, `[H,W]`."""
    return F.avg_pool2d((a - b).abs().mean(-1)[None], BLOCK, 1, BLOCK // 2, count_include_pad=False)[0]


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample `image` `[H,W,C]` where `flow` `[H,W,2]` points to, bilinear; the border is repeated."""
    height, width = image.shape[:2]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack((x, y), -1) + flow
    grid = 2 * at / torch.tensor((max(width - 1, 1), max(height - 1, 1))) - 1
    warped = F.grid_sample(
        image.movedim(-1, 0)[None], grid[None].to(image.dtype), padding_mode="border", align_corners=True
    )
    return warped[0].movedim(0, -1)


def follow(step: Tensor, before: Tensor) -> Tensor:
    """Add up two displacements `[H,W,2]`: `step` from now to a frame, then `before` from there."""
    return step + warp(before, step)


def smooth(flow: Tensor) -> Tensor:
    """Make displacements `[H,W,2]` that neighbours agree on: the median of AGREE x AGREE, then a mean of those.

    Without this every pixel may come from elsewhere, and the warped picture is dust.
    """
    edge = AGREE // 2
    padded = F.pad(flow.movedim(-1, 0)[:, None], (edge,) * 4, mode="replicate")
    bands = []
    for top in range(0, flow.shape[0], BAND):
        windows = F.unfold(padded[:, :, top : top + BAND + 2 * edge], AGREE)
        bands.append(windows.median(1).values.unflatten(1, (-1, flow.shape[1])))
    return F.avg_pool2d(torch.cat(bands, 1)[None], 5, 1, 2, count_include_pad=False)[0].movedim(0, -1)


def _fit(image: Tensor, size: Size) -> Tensor:
    """Shrink a picture `[H,W,3]` to `size`, by the mean of what each pixel covers."""
    image = image.float()
    if image.shape[:2] == size:
        return image
    return F.interpolate(image.movedim(-1, 0)[None], size, mode="area")[0].movedim(0, -1)


def _resize(flow: Tensor, size: Size) -> Tensor:
    """Scale displacements to another size of the picture."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    grown = F.interpolate(flow.movedim(-1, 0)[None], size, mode="nearest")[0].movedim(0, -1)
    return grown * torch.tensor((size[1] / width, size[0] / height))
