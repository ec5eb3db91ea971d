"""From decoded windows to the finished video, with the user's own pixels wherever they are kept.

A VAE does not give back what it was given. Where a kept frame meets a made one, the difference between the two would
show as a seam. It is the kept frame's residual: its own pixels less its decoding. The made frames take it over:

- its mean, which is colour, as it is;
- its detail, along with what moves, as far as the picture there still is what it was in the kept frame.

Both fade with the distance. What was made differently than it was kept is dissolved into over the first few frames, and
its light comes as slowly. Where the picture would still change faster into a made frame than it does elsewhere, that
change is spread over a few frames too.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from ...media.frames import cuts
from ...media.origin import NONE, Digests, passed_on
from .flow import follow, match, smooth, warp
from .holding import hold_end
from .pace import keep_moving

SPLICE = "sora_splice"  # the key of a LATENT
REACH = 16  # frames over which the residual fades where there is a kept frame on one side only
TOLERANCE = 0.12  # difference (0..1) at which the weight of the kept frame's detail falls to 1/e

# A made frame that differs from what it goes on from would jump. So right after a kept frame more of it is taken over,
# and EASED frames later no more than its likeness says: the difference comes by degrees.
EASED = 6
EASE = 4.0  # the tolerance is up to 1 + EASE times as large
FLOOR = 0.9  # minimum weight of that detail right after a kept frame
SLOWEST = 0.25  # pixels a frame: a pace that is always allowed, however still the kept frames are

STRANGE = 0.12  # difference (0..1) of a place from its best match, from which it shows another thing
LIGHT = 32  # pixels: a change that is broader than this is one of light
SHOWS = 16  # frames that show what a shot looks like

# Joins are levelled. On the edits that were measured (docs/FIGURES.md) the picture then changes there by 0.8 to 0.9 of
# the clip's median, and by 1.8 to 3.4 of it as decoded.
EVEN = 1.05  # change from a kept frame to a made one, over the video's median change, from which it is spread
LEVELLED = 4  # frames that it is spread over
STILL = 0.001  # change (0..1) from frame to frame that nobody sees


@dataclass(frozen=True)
class Splice:
    """The finished video as far as it is the user's, and how a sampled LATENT fills in the rest."""

    frames: Tensor  # [T,H,W,3] float 0..1, anything where it is made
    keep: Tensor  # bool [T], or [T,H,W] where parts of a frame are kept
    places: tuple[Tensor, ...]  # per clip of the batch, long [t]: where each decoded frame goes, -1 for nowhere
    fps: float
    # The most that the broad colours of what is made before the first and after the last kept frame are moved back to
    # the shot's, as a part of their spread.
    hold: float = 0.0
    held: Tensor | None = None  # bool [T]: made frames that share the latent of a given picture, and stand
    own: Digests = NONE  # of the user's frames among those that were given; an edit may keep others, too

    @property
    def whole(self) -> bool:
        """Tell whether the LATENT stands for the finished video, frame by frame: one clip, in order, and all of it."""
        (place, *others), length = self.places, self.frames.shape[0]
        return not others and torch.equal(place, torch.arange(length))


def finish(latent: dict[str, Any], decoded: Tensor) -> Tensor:
    """Put the decoded frames `[B*t,H,W,3]` of a sampled LATENT where they belong in the finished video `[T,H,W,3]`.

    A LATENT without a `Splice` (text to video) is finished as decoded. Kept pixels are the user's, bit by bit.
    Raises SoraError for frames of another length or size than the edit's.
    """
    splice: Splice | None = latent.get(SPLICE)
    if splice is None:
        return decoded
    one = len(splice.places) * len(splice.places[0])  # frames that make one finished video
    if len(decoded) > one and len(decoded) % one == 0:
        # A LATENT that was repeated: as many finished videos, one after the other.
        return passed_on(torch.cat([finish(latent, part) for part in decoded.split(one)]), splice.own)
    windows = decoded.unflatten(0, (len(splice.places), -1))
    expect(
        windows.shape[1] == len(splice.places[0]) and windows.shape[2:] == splice.frames.shape[1:],
        f"The decoded video is {list(windows.shape[1:])}, the edit was made for {len(splice.places[0])} frames of "
        f"{splice.frames.shape[2]}x{splice.frames.shape[1]}. Sample and decode the edit's own latent.",
    )
    out = splice.frames.clone()
    for video, place in zip(windows, splice.places, strict=True):
        shown = place >= 0
        index = place.clamp_min(0)
        keep, known = splice.keep[index], splice.frames[index]
        if keep.ndim == 1:
            made = shown & ~keep
            if splice.held is not None:
                video = keep_moving(video, keep & shown, splice.held[index] & made)
            out[index[made]] = carry_in_time(video, known, keep & shown)[made]
        else:
            video = carry_in_space(video, known, keep)
            out[index[shown]] = torch.where(keep[..., None], known, video)[shown]
    return passed_on(out if splice.keep.ndim > 1 else _joined(out, splice), splice.own)


def _joined(out: Tensor, splice: Splice) -> Tensor:
    """Lead the frames that are kept whole of `out` `[T,H,W,3]` into those that are made."""
    if splice.hold > 0:
        out = hold_ends(out, splice.keep, splice.hold)
    last = len(out) - 1
    wraps = any(bool(((place[:-1] == last) & (place[1:] == 0)).any()) for place in splice.places)
    return level_joins(out, splice.keep, wraps)


def level_joins(video: Tensor, keep: Tensor, wraps: bool = False) -> Tensor:
    """Let `video` `[T,H,W,3]` change no faster from a kept frame (bool `[T]`) to a made one than it does elsewhere.

    What is too much there is spread over LEVELLED frames. wraps: the first frame follows the last.
    """
    levelled: dict[int, Tensor] = {}
    length = len(video)
    changes = [float((b - a).abs().mean()) for a, b in itertools.pairwise(video)]
    usual = EVEN * max(statistics.median(changes or [0.0]), STILL)
    for kept, direction in itertools.product(keep.nonzero().flatten().tolist(), (1, -1)):
        next_ones = range(kept + direction, kept + direction * (LEVELLED + 1), direction)
        inside = [at % length for at in next_ones if wraps or 0 <= at < length]
        made = list(itertools.takewhile(lambda at: not keep[at], inside))
        step = float((video[made[0]] - video[kept]).abs().mean()) if made else 0.0
        for i, at in enumerate(made if step > usual else ()):
            share = (1 - usual / step) * (1 - i / len(made))
            levelled[at] = torch.lerp(levelled.get(at, video[at]), video[kept], share)
    out = video.clone() if levelled else video
    for at, frame in levelled.items():
        out[at] = frame
    return out


def hold_ends(video: Tensor, keep: Tensor, bound: float) -> Tensor:
    """Hold what was made before and after all kept frames (bool `[T]`) of `video` `[T,H,W,3]` to its shot's colours.

    Its broad colours become those of how the shot began, as far as the made end has drifted from them, see `holding`.
    """
    for backwards in (False, True):
        frames, kept = (x.flip(0) if backwards else x for x in (video, keep))
        end = int(kept.nonzero()[-1]) + 1
        if end == len(kept):
            continue
        known = frames[:end][kept[:end]]
        shot = known[max(cuts(known), default=0) :]
        first, last, made = (x.movedim(-1, 0)[None] for x in (shot[:SHOWS], shot[-SHOWS:], frames[end:]))
        held = hold_end(first, last, made, bound, LIGHT)[0].movedim(0, -1).clamp(0, 1)
        frames = torch.cat((frames[:end], held))
        video = frames.flip(0) if backwards else frames
    return video


class Trail:
    """What decoded frames take over of a kept frame as they go away from it.

    What moves takes its detail along: the displacement back to the kept frame is followed from frame to frame. The kept
    frame on the far side, if there is one, tells how fast things move and light changes there. The first made frames
    keep to that: a subject that was made too far away gets there by degrees, and so does light that was made too
    different.
    """

    def __init__(self, anchor: Tensor, known: Tensor, next_kept: Tensor | None = None, reach: float = REACH) -> None:
        """Start at the kept frame `known`, decoded as `anchor`; both `[H,W,3]` float 0..1.

        next_kept: the kept frame beyond `known`, seen from the made ones. reach: frames over which all of it fades.
        """
        self.anchor, self.known, self.reach = anchor, known, reach
        self.before = anchor  # the frame that was asked for last
        self.displacement: Tensor | None = None  # [H,W,2] pixels, from that frame back to the kept one
        self.steps = 0  # frames since the kept one
        self.pace = torch.inf  # pixels that things move in a step
        self.light_step = known.new_zeros(known.shape[-1])  # change of light in a step, by colour
        if next_kept is not None:
            self.light_step = (known - next_kept).flatten(0, -2).median(0).values.abs()
            speeds = smooth(match(known, next_kept)).norm(dim=-1).flatten()
            # Nearly the fastest: a subject may be a small part of the picture, and a few pixels always match by chance.
            self.pace = max(SLOWEST, float(speeds.quantile(0.97)))

    def __call__(self, frame: Tensor) -> Tensor:
        """Return the next frame `[H,W,3]`, away from the kept one, with what it takes over; not clamped."""
        weight = 1 - self.steps / self.reach
        if weight <= 0:
            return frame
        step = match(frame, self.before)
        # Where nothing matches, the best match is a chance likeness: nothing has moved there, it is another picture.
        step = smooth(torch.where(unlike(frame, warp(self.before, step)) > STRANGE, 0.0, step))
        self.displacement = step if self.displacement is None else follow(step, self.displacement)
        ease = max(0.0, 1 - self.steps / EASED)
        self.before, self.steps = frame, self.steps + 1
        displacement = self.displacement
        if ease > 0:
            longest = self.steps * self.pace
            length = displacement.norm(dim=-1, keepdim=True).clamp_min(1e-6)
            displacement = displacement * (longest / length).clamp_max(1)
        anchor, known = warp(self.anchor, displacement), warp(self.known, displacement)
        return frame + weight * taken_over(frame, anchor, known, ease, self.steps * self.light_step)


def unlike(a: Tensor, b: Tensor) -> Tensor:
    """Measure how much two pictures `[H,W,3]` differ around each pixel, `[H,W,1]`.

    Around it, because a lone pixel that happens to match is no proof that the picture is the same.
    """
    change = (a - b).abs().amax(-1)[None]
    return F.avg_pool2d(change, 5, 1, 2, count_include_pad=False)[0][..., None]


def taken_over(current: Tensor, anchor: Tensor, known: Tensor, ease: float, light_step: Tensor) -> Tensor:
    """Find what is added to `current` (decoded) for the sake of a kept frame `known`, decoded as `anchor`.

    That is all of the kept frame's mean residual; and where the pictures match, what makes `current` the kept frame's
    own pixels, less what has changed broadly since, which is light. All are `[H,W,3]`.

    ease: 1 right after the kept frame, down to 0 where it counts no more than its likeness says. light_step `[3]`: the
    change of light that is taken for granted; of what exceeds it, 1 - ease.
    """
    colour = (known - anchor).mean((-3, -2), keepdim=True)
    change = (current - anchor).movedim(-1, 0)[None]
    same = torch.exp(-((unlike(current, anchor) / (TOLERANCE * (1 + EASE * ease))) ** 2))
    same = same.clamp_min(FLOOR * ease)
    light = F.avg_pool2d(change, min(LIGHT, *current.shape[:2]), ceil_mode=True, count_include_pad=False)
    light = F.interpolate(light, current.shape[:2], mode="bilinear")[0].movedim(0, -1)
    # Light that is not that of the whole picture may as well be something that was made in another place.
    whole = change[0].flatten(1).median(1).values
    light = torch.lerp(light, whole, ease)
    # Nor does it come all at once, or where two unlike clips meet the one's would be seen on the other.
    light = torch.lerp(light, light.clamp(-light_step, light_step), ease)
    return colour + (known - current + light - colour) * same


def carry_in_time(video: Tensor, known: Tensor, keep: Tensor) -> Tensor:
    """Let decoded frames `[t,H,W,3]` take over of the nearest kept ones on both sides (keep bool `[t]`).

    known `[t,H,W,3]`: the user's own pixels where frames are kept.
    """
    out, length = video.clone(), len(keep)
    edges = (keep[1:] != keep[:-1]).nonzero().flatten().add(1).tolist()
    for first, end in zip([0, *edges], [*edges, length], strict=True):
        if keep[first]:
            continue
        sides = []
        # Between two kept frames each counts less, the nearer the other is; that is fading enough.
        reach = torch.inf if first > 0 and end < length else REACH
        if first > 0:
            next_kept = known[first - 2] if first > 1 and keep[first - 2] else None
            trail = Trail(video[first - 1], known[first - 1], next_kept, reach)
            sides.append([trail(frame) for frame in video[first:end]])
        if end < length:
            next_kept = known[end + 1] if end + 1 < length and keep[end + 1] else None
            trail = Trail(video[end], known[end], next_kept, reach)
            sides.append([trail(frame) for frame in video[first:end].flip(0)][::-1])
        if len(sides) == 2:
            # From all of the one right after it, to all of the other right before it.
            share = torch.linspace(0, 1, end - first) if end - first > 1 else torch.tensor([0.5])
            sides = [[torch.lerp(a, b, s) for a, b, s in zip(*sides, share, strict=True)]]
        if sides:
            out[first:end] = torch.stack(sides[0])
    return out.clamp_(0, 1)


def carry_in_space(video: Tensor, known: Tensor, keep: Tensor, side: int = 9) -> Tensor:
    """Spread the residual of the kept pixels (keep bool `[t,H,W]`) over the made ones around them.

    video, known: decoded frames `[t,H,W,3]`, and the user's own pixels where they are kept. side: of the box that
    spreads it, in pixels.
    """
    weight = keep[:, None].to(video.dtype)
    residual = (known - video).movedim(-1, 1) * weight

    def blur(x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
        return x

    reach = blur(weight)
    spread = blur(residual) / reach.clamp_min(1e-4) * reach.sqrt()
    return (video + spread.movedim(1, -1)).clamp_(0, 1)
