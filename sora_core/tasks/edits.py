"""Image to video, extension, infill, connection, loop and restyling: frames in, a LATENT for any sampler out.

Durations are in frames of the video that is worked on; what has to be rounded to whole latents is rounded up.
Where a video is longer than the model's window, the model sees the frames next to what is to be made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import SoraError, expect
from .finish.splice import SPLICE, Splice
from .layout import VAECodec, Window, check_even, encode_kept, places_up_to, to_latent, with_last_held

MAX_NEW = 480  # frames: a minute at 8 frames per second
# Of the spread of a shot's colours, see `Splice.hold`. Without it, ten extensions of two seconds drift by 54/255; with
# it, by 1/255.
HOLD = 0.3
DIRECTIONS = ("forwards", "backwards", "both")


def _check_frames(frames: Tensor, what: str) -> None:
    expect(
        isinstance(frames, Tensor) and frames.ndim == 4 and frames.shape[-1] == 3,
        f"{what}: frames have the shape [T,H,W,3], not {list(getattr(frames, 'shape', ()))}.",
    )
    expect(frames.shape[0] > 0, f"{what} has no frames.")
    expect(bool(torch.isfinite(frames).all()), f"{what} holds NaN or infinite values.")


def _check_new(codec: VAECodec, count: int) -> int:
    """Count the latents of `count` new frames. Raises SoraError for too many or none."""
    expect(1 <= count <= MAX_NEW, f"{count} new frames: use 1 to {MAX_NEW}.")
    return codec.new_latents(count)


def context_latents(codec: VAECodec, new: int, sides: int = 1) -> int:
    """Count the latents of the user's video that a window shows on each side of `new` ones."""
    return max(1, (codec.window - new) // sides)


def _tail(codec: VAECodec, frames: Tensor, latents: int) -> Tensor:
    """Take the end of a video as a stream of its own, of `latents` latents or as many as there are."""
    return frames[-codec.whole_within(frames.shape[0], latents) :]


def _head(codec: VAECodec, frames: Tensor, latents: int) -> Tensor:
    """Take the start of a video in whole groups of frames, `latents` of them or as many as there are."""
    if codec.space.pattern:
        return frames[: codec.whole_within(frames.shape[0], latents)]
    count = codec.ratio * max(1, min(latents, frames.shape[0] // codec.ratio))
    return frames[:count]


def _bridge(codec: VAECodec, before: Tensor | None, new: int, after: Tensor | None) -> tuple[Tensor, Tensor]:
    """Lay out a window: `before` (a stream), `new` latents, `after` (whole groups), of which one may be missing.

    Returns its frames, zeros where they are made, and which latents are kept, bool.
    """
    given = next(part for part in (before, after) if part is not None)
    # Without what is before, latent 0 is made too.
    made = codec.space.video_frames(new) if before is None else codec.new_frames(new)
    parts, keep = [], []
    if before is not None:
        parts.append(before)
        keep += [True] * codec.latents(before.shape[0])
    parts.append(given.new_zeros(made, *given.shape[1:]))
    keep += [False] * new
    if after is not None and codec.space.pattern:
        parts.append(after)
        keep += [True] * codec.latents(after.shape[0])
    elif after is not None:
        groups = max(1, after.shape[0] // codec.ratio)
        parts.append(with_last_held(after[: groups * codec.ratio], groups * codec.ratio))
        keep += [True] * groups
    return torch.cat(parts), torch.tensor(keep)


def _places(*runs: tuple[int, int, int]) -> Tensor:
    """Return the places of a window's frames, run by run: (first place, how many are shown, how many there are)."""
    parts = [
        torch.cat((torch.arange(first, first + shown), torch.full((count - shown,), -1)))
        for first, shown, count in runs
    ]
    return torch.cat(parts).long()


def animate(codec: VAECodec, images: Mapping[int, Tensor], frames: int, fps: float = 8.0) -> dict[str, Any]:
    """Make a video of `frames` (1 + ratio * k) frames in which frame i is `images[i]`, `[H,W,3]` float 0..1.

    Number -1 is the last frame. A picture other than the first frame holds its whole latent: the group of frames that
    it stands in is encoded from it alone, and made to move by `finish`. Raises SoraError for pictures of different
    sizes, out of range, or two that share a latent.
    """
    base, step = codec.space.lengths
    least = base if base > 1 else base + step
    expect(bool(images), "There is no picture to animate.")
    expect(
        frames >= least and (frames - base) % step == 0,
        f"{frames} frames cannot be made from a picture. Use {base} + {step}k of them, at least {least}.",
    )
    first = next(iter(images.values()))
    video = first.new_zeros(frames, *first.shape)
    # Of frames only the pictures themselves are kept; of latents, all that they stand in.
    keep, kept = torch.zeros(frames, dtype=torch.bool), torch.zeros(codec.latents(frames), dtype=torch.bool)
    for index, image in images.items():
        at = index if index >= 0 else frames + index
        expect(0 <= at < frames, f"Frame {index} is outside the video of {frames} frames: use 0 to {frames - 1}.")
        _check_frames(image[None], f"The picture at frame {index}")
        expect(image.shape == first.shape, "The pictures have different sizes. Fit them to one.")
        group = codec.space.latent_of(at)
        expect(not kept[group], f"Two pictures are within {codec.ratio} frames of frame {at}. Put them further apart.")
        kept[group] = keep[at] = True
        shown = codec.space.frames_of(group)
        video[shown.start : shown.stop] = image
    held = torch.zeros(frames, dtype=torch.bool)
    for group in kept.nonzero().flatten().tolist():
        shown = codec.space.frames_of(group)
        held[shown.start : shown.stop] = True
    held &= ~keep
    window = Window(video, kept, torch.arange(frames))
    return to_latent(codec, [window], video, keep, fps, held=held if bool(held.any()) else None)


def extend(
    codec: VAECodec,
    frames: Tensor,
    new: int,
    direction: str = "forwards",
    fps: float = 8.0,
    hold: float = HOLD,
    latent: Tensor | None = None,
) -> dict[str, Any]:
    """Add `new` frames after `frames` `[T,H,W,3]`, before them, or on both sides (then a batch of two windows).

    direction: one of DIRECTIONS. hold: see `Splice`. latent: what the frames were decoded from, `[1,C,1+k,h,w]` for
    1 + ratio * k of them; forwards its end is handed over, not encoded again. Raises SoraError for values out of range.
    """
    _check_frames(frames, "The video")
    expect(direction in DIRECTIONS, f"direction is {direction!r}: use one of {', '.join(DIRECTIONS)}.")
    expect(0 <= hold <= 1, f"hold is {hold}: use 0 to 1.")
    length = frames.shape[0]
    count = _check_new(codec, new)
    _check_extended(codec, length, direction)
    forwards, backwards = direction != "backwards", direction != "forwards"
    # The first latent of a clip is one frame, so going back may take one latent more.
    first = count if codec.space.pattern else codec.latents(new)
    back = first if backwards else 0
    lead = codec.space.video_frames(back) if backwards else 0
    groups = context_latents(codec, max(count, back))
    head = _head(codec, frames, groups)
    # One batch has one length: in both directions the tail shows as many latents as the head, and a latent that
    # is too many is made and not shown.
    tail = _tail(codec, frames, max(1, head.shape[0] // codec.ratio) if backwards else groups)
    after = codec.new_frames(count) if forwards else 0
    total = lead + length + after
    video = frames.new_zeros(total, *frames.shape[1:])
    video[lead : lead + length] = frames
    keep = torch.zeros(total, dtype=torch.bool)
    keep[lead : lead + length] = True
    windows = []
    if forwards:
        inner, kept = _bridge(codec, tail, max(count, back), None)
        place = torch.arange(inner.shape[0]) + lead + length - tail.shape[0]
        given = None if latent is None or backwards else latent[:, :, -codec.latents(tail.shape[0]) :]
        windows.append(Window(inner, kept, places_up_to(place, total), given))
    if backwards:
        inner, kept = _bridge(codec, None, back, head)
        shown = min(head.shape[0], length)
        windows.append(Window(inner, kept, _places((0, lead + shown, inner.shape[0]))))
    return to_latent(codec, windows, video, keep, fps, hold)


def _check_extended(codec: VAECodec, length: int, direction: str) -> None:
    """Raise SoraError where latents follow a pattern, and the video or the direction does not fit it."""
    space, (least, _) = codec.space, codec.space.lengths
    if not space.pattern:
        return
    expect(
        length >= least,
        f"The video has {length} frames, {space.name} goes on from {least} at least. Use Sora Image to Video.",
    )
    expect(
        direction != "both",
        f"direction is both: {space.name} goes with a model that is told of one clip. Extend forwards, then backwards.",
    )


def connect(codec: VAECodec, first: Tensor, second: Tensor, new: int, fps: float = 8.0) -> dict[str, Any]:
    """Join two videos `[T,H,W,3]` by `new` frames that lead from the first to the second.

    Raises SoraError for videos of different sizes, and for a number of frames out of range.
    """
    _check_frames(first, "The first video")
    _check_frames(second, "The second video")
    expect(
        first.shape[1:] == second.shape[1:],
        f"The first video is {first.shape[2]}x{first.shape[1]}, the second {second.shape[2]}x{second.shape[1]}. "
        "Fit them to one size.",
    )
    check_even(codec, "connecting videos")
    count = _check_new(codec, new)
    gap = first.new_zeros(codec.ratio * count, *first.shape[1:])
    video = torch.cat((first, gap, second))
    keep = torch.ones(video.shape[0], dtype=torch.bool)
    keep[first.shape[0] : first.shape[0] + gap.shape[0]] = False
    return _between(codec, first, gap.shape[0], second, video, keep, fps)


def _between(
    codec: VAECodec,
    first: Tensor,
    gap: int,
    second: Tensor,
    video: Tensor,
    keep: Tensor,
    fps: float,
    wrap: bool = False,
) -> dict[str, Any]:
    """Make the LATENT of `gap` frames between `first` and `second`, within the finished `video` (see `Splice`).

    wrap: `second` is the start of `video` and not its end.
    """
    count = gap // codec.ratio
    sides = context_latents(codec, count, 2)
    # An odd latent of context goes to the end of the first video.
    tail, head = _tail(codec, first, max(sides, codec.window - count - sides)), _head(codec, second, sides)
    inner, kept = _bridge(codec, tail, count, head)
    start = first.shape[0] - tail.shape[0]
    shown = min(head.shape[0], second.shape[0])
    resume = 0 if wrap else first.shape[0] + gap
    lead = tail.shape[0] + gap
    place = _places((start, lead, lead), (resume, shown, inner.shape[0] - lead))
    return to_latent(codec, [Window(inner, kept, place)], video, keep, fps)


def loop(codec: VAECodec, frames: Tensor, new: int, fps: float = 8.0) -> dict[str, Any]:
    """Add `new` frames that lead from the end of `frames` `[T,H,W,3]` back to their start, to play round and round."""
    _check_frames(frames, "The video")
    check_even(codec, "a loop")
    count = _check_new(codec, new)
    gap = frames.new_zeros(codec.ratio * count, *frames.shape[1:])
    video = torch.cat((frames, gap))
    keep = torch.ones(video.shape[0], dtype=torch.bool)
    keep[frames.shape[0] :] = False
    return _between(codec, frames, gap.shape[0], frames, video, keep, fps, wrap=True)


def parse_frames(text: str) -> list[int]:
    """Read frame numbers such as "5-12, 20"; a range includes both ends. Raises SoraError for anything else."""
    numbers: set[int] = set()
    for part in re.split(r"[,;，、\s]+", text.strip()):
        match = re.fullmatch(r"(\d{1,6})(?:\s*[-–:]\s*(\d{1,6}))?", part)
        if match is None:
            raise SoraError(f"frames: {part!r} is no number and no range. Write, for example, 5-12, 20.")
        first, last = int(match[1]), int(match[2] or match[1])
        expect(first <= last, f"frames: the range {part} runs backwards. Write the smaller number first.")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def infill(
    codec: VAECodec, frames: Tensor, hidden: Sequence[int] | None = None, region: Tensor | None = None, fps: float = 8.0
) -> dict[str, Any]:
    """Make the frames `hidden` (their numbers), or what `region` covers, anew.

    region: `[T,H,W]` or `[1,H,W]`, above 0.5 is made anew. Exactly one of the two must be given.
    Raises SoraError for frames out of range, a region of another length, and when nothing is hidden or kept.
    """
    _check_frames(frames, "The video")
    check_even(codec, "an infill")
    if hidden is not None and region is None:
        return _infill_frames(codec, frames, hidden, fps)
    if region is not None and hidden is None:
        return _infill_region(codec, frames, region, fps)
    raise SoraError("Give either the frames to make anew or a region, not both.")


def _infill_frames(codec: VAECodec, frames: Tensor, hidden: Sequence[int], fps: float) -> dict[str, Any]:
    length, ratio = frames.shape[0], codec.ratio
    wrong = [i for i in hidden if not 0 <= i < length]
    expect(not wrong, f"Frame {wrong[0] if wrong else 0} is outside the video: it has frames 0 to {length - 1}.")
    keep = torch.ones(length, dtype=torch.bool)
    keep[torch.tensor(sorted(set(hidden)), dtype=torch.long)] = False
    expect(not bool(keep.all()), "No frame is to be made anew: name at least one.")
    expect(bool(keep.any()), "All frames are to be made anew: use text to video.")
    new = (~keep).nonzero().flatten()
    first, last = int(new[0]), int(new[-1])
    if bool(keep[first : last + 1].any()):
        return _infill_scattered(codec, frames, keep, fps)
    if first == 0:
        count = 1 + -(-last // ratio)  # latents of the gap, whose first is a single frame
        rest = frames[last + 1 :]
        # What is made ends with a whole group: frames that it covers beyond the gap are not shown to the model.
        skip = ratio * (count - 1) + 1 - (last + 1)
        head = _head(codec, rest[min(skip, rest.shape[0] - 1) :], context_latents(codec, count))
        inner, kept = _bridge(codec, None, count, head)
        start = 0
    else:
        count = -(-(last + 1 - first) // ratio)
        rest = frames[first + ratio * count :]
        sides = context_latents(codec, count, 2 if rest.shape[0] else 1)
        tail = _tail(codec, frames[:first], codec.window - count - (sides if rest.shape[0] else 0))
        inner, kept = _bridge(codec, tail, count, _head(codec, rest, sides) if rest.shape[0] else None)
        start = first - tail.shape[0]
    place = places_up_to(torch.arange(inner.shape[0]) + start, length)
    return to_latent(codec, [Window(inner, kept, place)], frames * keep[:, None, None, None], keep, fps)


def _infill_scattered(codec: VAECodec, frames: Tensor, keep: Tensor, fps: float) -> dict[str, Any]:
    """Fill several gaps in one window over the whole clip; a group of which any frame is hidden is made anew."""
    total = codec.whole(frames.shape[0])
    padded = with_last_held(frames, total)
    groups = torch.cat((keep, keep[-1:].expand(total - len(keep))))
    kept = torch.cat((groups[:1], groups[1:].unflatten(0, (-1, codec.ratio)).all(1)))
    expect(
        bool(kept.any()),
        f"Every group of {codec.ratio} frames has one to make anew. Keep some whole groups, or use image to video.",
    )
    place = places_up_to(torch.arange(total), frames.shape[0])
    return to_latent(codec, [Window(padded, kept, place)], frames * keep[:, None, None, None], keep, fps)


def _infill_region(codec: VAECodec, frames: Tensor, region: Tensor, fps: float) -> dict[str, Any]:
    length, height, width = frames.shape[:3]
    region = region.unsqueeze(0) if region.ndim == 2 else region
    expect(region.ndim == 3, f"The mask has the shape {list(region.shape)}: use [T,H,W] or [1,H,W].")
    expect(
        region.shape[0] in (1, length),
        f"The mask covers {region.shape[0]} frames, the video has {length}. Use one mask, or one for each frame.",
    )
    expect(
        region.shape[1:] == (height, width),
        f"The mask is {region.shape[2]}x{region.shape[1]}, the video {width}x{height}. Make it as large.",
    )
    hidden = (region > 0.5).expand(length, -1, -1)
    expect(bool(hidden.any()), "The mask is empty: paint what is to be made anew.")
    expect(not bool(hidden.all()), "The mask covers everything: use text to video.")
    total = codec.whole(length)
    inner = with_last_held(fill_hidden(frames, hidden), total)
    cover = with_last_held(hidden[..., None].float(), total)[..., 0]
    samples = encode_kept(codec, inner, torch.ones(codec.latents(length), dtype=torch.bool))
    # A latent's neighbours have seen the region while encoding, and what replaces it there: made anew as well.
    rest = F.adaptive_max_pool2d(cover[:, None], samples.shape[3:])
    rest = F.max_pool2d(rest, 3, 1, 1)[:, 0]
    mask = torch.cat((rest[:1], rest[1:].unflatten(0, (-1, codec.ratio)).amax(1)))[None, None]
    place = places_up_to(torch.arange(total), length)
    video = frames * ~hidden[..., None]
    return {"samples": samples, "noise_mask": mask, SPLICE: Splice(video, ~hidden, (place,), fps)}


def fill_hidden(frames: Tensor, hidden: Tensor) -> Tensor:
    """Fill the hidden pixels (bool `[T,H,W]`) of frames `[T,H,W,3]` from those around them.

    The VAE sees this in place of what is to go, so that nothing of it is left in the latents. It is push-pull
    interpolation: means over ever larger blocks of what is known, then back, coarse to fine.
    """
    weight = (~hidden)[:, None].float()
    value = frames.movedim(-1, 1) * weight
    size, sums = frames.shape[1:3], []
    while True:
        sums.append((value, weight))
        if bool((weight > 0).all()) or min(value.shape[-2:]) <= 1:
            break
        value, weight = (F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False) for x in (value, weight))
    filled = sums[-1][0] / sums[-1][1].clamp_min(1e-6)
    for value, weight in reversed(sums[:-1]):
        filled = F.interpolate(filled, size=value.shape[-2:], mode="bilinear")
        filled = torch.where(weight > 0, value / weight.clamp_min(1e-6), filled)
    filled = F.interpolate(filled, size=size, mode="bilinear") if filled.shape[-2:] != size else filled
    return torch.where(hidden[..., None], filled.movedim(1, -1), frames)


def remix(codec: VAECodec, frames: Tensor, fps: float = 8.0) -> dict[str, Any]:
    """Encode the whole video, to be sampled with denoise = strength (SDEdit, arXiv 2108.01073).

    The video keeps its length: frames that complete the last group are made and not shown.
    """
    _check_frames(frames, "The video")
    length = frames.shape[0]
    total = codec.whole(length)
    place = places_up_to(torch.arange(total), length)
    splice = Splice(torch.zeros_like(frames), torch.zeros(length, dtype=torch.bool), (place,), fps)
    return {"samples": codec.encode(with_last_held(frames, total)), SPLICE: splice}
