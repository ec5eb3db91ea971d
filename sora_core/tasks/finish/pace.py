"""Keep what moves moving into a given picture.

A picture that is given for one frame holds its whole latent, so the frames that share it are encoded as a picture that
stands: the motion would run up to them in one leap and stop. They are made from both sides instead, from the last frame
that moves and from the picture, and the pace is evened over as many frames again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .flow import match, smooth, warp

# The frames beside a picture stand if the leap up to them is larger than all that they change, by this factor at least.
# Models that are told of the picture itself make them move; those are left as they are.
STANDS = 0.7
MOVES = 1.0  # pixels: a displacement from which a place counts as moving
BLOCK = 9  # side of a block that is compared
LEAPS = [share / 4 for share in range(3, 21)]  # steps of what moves that a leap is tried as
ALIKE = 0.01  # difference (0..1) of two blocks at which a displacement counts 1/e; hard choices leave specks


def keep_moving(video: Tensor, given: Tensor, held: Tensor) -> Tensor:
    """Make the frames `held` (bool `[t]`) of decoded frames `[t,H,W,3]` float 0..1 move into the pictures beside them.

    given: bool `[t]`, the frames that are pictures.
    """
    out = video.clone()
    for at in given.nonzero().flatten().tolist():
        for way in (-1, 1):
            run = at + way
            while 0 <= run < len(video) and held[run]:
                run += way
            # Beyond the clip's end nothing moves that could go on.
            if abs(run - at) < 2 or not 0 <= run < len(video):
                continue
            farthest = video[run - way]
            leap, rest = (float((farthest - frame).abs().mean()) for frame in (video[run], video[at]))
            if rest < STANDS * leap:
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
    ways: dict[int, list[Tensor]] = {}
    for number, place in enumerate(places):
        wanted = path[-1] * number / len(places)
        key = max(i for i in range(len(path) - 1) if path[i] <= wanted)
        share = (wanted - path[key]) / max(path[key + 1] - path[key], 1e-9)
        a, b = frames[key], frames[key + 1]
        if share > 1e-3 and key not in ways:
            ways[key] = displacements(a, b)
            # The leap is of several steps, more than a search finds: it goes the way of the step before.
            if key == len(frames) - 2 and key > 0:
                ways[key] += leaps(frames[key - 1], a, b)
        video[place] = between(a, b, share, ways[key]) if share > 1e-3 else a


def displacements(a: Tensor, b: Tensor) -> list[Tensor]:
    """List what may take a place of `a` to `b`, both `[H,W,3]`, as `[H,W,2]` in pixels.

    It is none, its own as seen from either side, or that of what moves on the whole.
    """
    forth, back = smooth(match(a, b)), -smooth(match(b, a))
    return [torch.zeros_like(forth), forth, back, *_on_the_whole(forth, back)]


def _on_the_whole(*flows: Tensor) -> list[Tensor]:
    """Return the displacement of what moves in each of `flows` `[H,W,2]`, if anything does, at all places."""
    moving = [flow[flow.norm(dim=-1) > MOVES] for flow in flows]
    shape = flows[0].shape
    return [part.median(0).values.expand(shape) for part in moving if len(part)]


def leaps(before: Tensor, a: Tensor, b: Tensor) -> list[Tensor]:
    """Find how often the step from `before` to `a` takes what moves from `a` to `b`, all `[H,W,3]`.

    Returns the best displacement `[H,W,2]`, as the step is seen from either side.
    """
    found = []
    stands = _unlike(a, b)
    for step in _on_the_whole(smooth(match(before, a)), -smooth(match(a, before))):
        tried = [share * step for share in LEAPS]
        gains = [(stands - _unlike(warp(a, -flow / 2), warp(b, flow / 2))).clamp_min(0).mean() for flow in tried]
        found.append(tried[int(torch.stack(gains).argmax())])
    return found


def _unlike(a: Tensor, b: Tensor) -> Tensor:
    """Average the difference of two pictures `[H,W,3]` around each pixel, `[H,W,1]`."""
    change = (a - b).abs().mean(-1)[None]
    return F.avg_pool2d(change, BLOCK, 1, BLOCK // 2, count_include_pad=False)[0][..., None]


def between(a: Tensor, b: Tensor, share: float, ways: list[Tensor]) -> Tensor:
    """Make the frame at `share` (0..1) of the way from `a` to `b`, both `[H,W,3]`: what moves is moved, not dissolved.

    ways: displacements `[H,W,2]` of which each place takes those by which the two agree best there.
    """
    made, total = torch.zeros_like(a), a.new_zeros(*a.shape[:2], 1)
    for flow in ways:
        early, late = warp(a, -share * flow), warp(b, (1 - share) * flow)
        weight = torch.exp(-_unlike(early, late) / ALIKE)
        made, total = made + weight * torch.lerp(early, late, share), total + weight
    return made / total.clamp_min(1e-9)
