"""Keep what moves moving into a given picture.

A picture that is given for one frame holds its whole latent, so the frames that share it are encoded as a picture that
stands: the motion would run up to them in one leap and stop. They are made from both sides instead, from the last frame
that moves and from the picture, and the pace is evened over as many frames again.
"""

from __future__ import annotations

import statistics

import torch
import torch.nn.functional as F
from torch import Tensor

from .flow import match, smooth, warp

# The frames beside a picture stand if they change by less than this part of the clip's median. Models that are told of
# the picture itself make them move; those are left as they are.
STANDS = 0.5
MOVES = 1.0  # pixels: a displacement from which a place counts as moving
BLOCK = 7  # side of a block that is compared


def keep_moving(video: Tensor, given: Tensor, held: Tensor) -> Tensor:
    """Make the frames `held` (bool `[t]`) of decoded frames `[t,H,W,3]` float 0..1 move into the pictures beside them.

    given: bool `[t]`, the frames that are pictures.
    """
    changes = [float((b - a).abs().mean()) for a, b in zip(video, video[1:], strict=False)]
    free = [change for i, change in enumerate(changes) if not (held[i] or held[i + 1])]
    if not free or not bool(held.any()):
        return video
    stands = STANDS * statistics.median(free)
    out = video.clone()
    for at in given.nonzero().flatten().tolist():
        for way in (-1, 1):
            run = at + way
            while 0 <= run < len(video) and held[run]:
                run += way
            count = abs(run - at) - 1
            # Beyond the clip's end nothing moves that could go on.
            if count == 0 or not 0 <= run < len(video):
                continue
            first, last = min(at, run + 1 if way < 0 else at), max(at, run - 1 if way > 0 else at)
            if statistics.fmean(changes[first:last]) < stands:
                _even(out, at, run, way, given)
    return out


def _even(video: Tensor, at: int, run: int, way: int, given: Tensor) -> None:
    """Even the pace, in place, from before frame `run`, the nearest that moves, to the picture `at`.

    way: -1 where the picture follows, 1 where it precedes.
    """
    keys = [run]
    while len(keys) < abs(run - at) and 0 <= keys[-1] + way < len(video) and not given[keys[-1]]:
        keys.append(keys[-1] + way)
    frames = [video[key].clone() for key in reversed(keys)] + [video[at].clone()]
    path = [0.0]
    for a, b in zip(frames, frames[1:], strict=False):
        path.append(path[-1] + float((b - a).abs().mean()))
    places = range(keys[-1], at, -way)
    if path[-1] == 0:
        return
    for number, place in enumerate(places):
        wanted = path[-1] * number / len(places)
        key = max(i for i in range(len(path) - 1) if path[i] <= wanted)
        share = (wanted - path[key]) / max(path[key + 1] - path[key], 1e-9)
        video[place] = between(frames[key], frames[key + 1], share)


def between(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Make the frame at `share` (0..1) of the way from `a` to `b`, both `[H,W,3]`: what moves is moved, not dissolved.

    Each place takes the displacement by which the two agree best there: none, its own as seen from either side, or that
    of what moves on the whole.
    """
    if share <= 1e-3:
        return a
    forth, back = smooth(match(a, b)), -smooth(match(b, a))
    ways = [torch.zeros_like(forth), forth, back]
    for flow in (forth, back):
        moving = flow[flow.norm(dim=-1) > MOVES]
        if len(moving):
            ways.append(moving.median(0).values.expand_as(flow))
    best, found = None, None
    for flow in ways:
        early, late = warp(a, -share * flow), warp(b, (1 - share) * flow)
        cost = F.avg_pool2d((early - late).abs().mean(-1)[None], BLOCK, 1, BLOCK // 2, count_include_pad=False)[0]
        made = torch.lerp(early, late, share)
        if best is None or found is None:
            best, found = cost, made
            continue
        better = cost < best
        best = torch.where(better, cost, best)
        found = torch.where(better[..., None], made, found)
    return a if found is None else found
