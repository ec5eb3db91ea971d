"""A video of any length, segment by segment, each made from the latents of the one before.

    window of a segment:   context | overlap | new
                           kept    | again   | from noise

Latents are handed over, never decoded and encoded again. Context latents are kept bit by bit. The overlap is the end of
the segment before, which was made without knowing what follows: once the new latents have taken shape, it is noised to
`renoise` and finished together with them.

Small errors add up from segment to segment, first of all in colour. So what is still there is pulled back to what it
was in the shot's first segment, place by place (`hold_places`), and the mean and spread of each channel to what they
were (`hold_statistics`), by no more than `hold`. What changes by much at once is meant, and stays changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...diffusion.sampling import prepare_noise
from ...errors import SoraError, expect
from ..finish.holding import compare, hold_places, hold_statistics, settled, statistics

Conditioning = list[Any]
# (LATENT, CONDITIONING, sigmas, seed) -> samples: an engine's sampling, with everything else bound.
SampleFn = Callable[[dict[str, Any], Conditioning, Tensor, int], Tensor]


@dataclass(frozen=True)
class Rolling:
    """How segments follow each other, in latents. Raises SoraError for values that leave no room for new ones."""

    window: int = 5  # the length of the clips that the model was trained on
    context: int = 1  # latents of the segment before that a segment sees and keeps
    overlap: int = 1  # latents at its end that are finished together with the next segment
    renoise: float = 0.6  # sigma at which the overlap joins in; 0 keeps it as it is
    # The most that a segment is changed to stay as its shot began, as a part of the reference spread. More than Sora
    # Extend's 0.3, because here shapes are held as well, latent by latent.
    hold: float = 0.8

    def __post_init__(self) -> None:
        expect(self.context >= 1, f"context is {self.context}: a segment needs at least 1 latent to go on from.")
        expect(self.overlap >= 0, f"overlap is {self.overlap}: use 0 or more.")
        expect(
            self.new >= 1,
            f"A window of {self.window} latents has no room beside a context of {self.context} and an overlap of "
            f"{self.overlap}. Lower them.",
        )
        expect(0 <= self.renoise <= 0.95, f"renoise is {self.renoise}: use 0 to 0.95.")
        expect(0 <= self.hold <= 1, f"hold is {self.hold}: use 0 to 1.")

    @property
    def new(self) -> int:
        """New latents of a segment."""
        return self.window - self.context - self.overlap


@dataclass(frozen=True)
class Segment:
    """A finished segment, and all that the next one needs of it."""

    final: Tensor  # [1,C,n,h,w]: latents that are finished
    context: Tensor  # [1,C,m,h,w]: what the next segment goes on from
    tail: Tensor  # [1,C,overlap,h,w]: the overlap, for now
    mean: Tensor  # [1,C,1,1,1] of the shot
    std: Tensor  # [1,C,1,1,1] of the shot
    places: Tensor  # [1,C,1,h,w]: what the shot shows where, see `settled`
    made: int  # latents of the video that are finished so far
    shot: int = 0  # number of the shot
    stream: bool = False  # whether the context begins with a single frame, as a clip does


@dataclass(frozen=True)
class Ahead:
    """What a segment leads to, where that is finished already."""

    overlap: Tensor  # [1,C,n,h,w]: latents that are finished together with the segment
    context: Tensor  # [1,C,m,h,w]: latents after them, which it sees and keeps


def segment_seed(seed: int, index: int, phase: int = 0) -> int:
    """Derive the seed of a segment, unrelated to those of its neighbours and of neighbouring seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}/{phase}".encode()).digest()[:8], "big")


class Roller:
    """Makes one `Segment` after the other."""

    def __init__(
        self,
        sample: SampleFn,
        conditioning: Callable[[int, int], Conditioning],
        sigmas: Tensor,
        shape: tuple[int, int, int],
        seed: int,
        rolling: Rolling,
        shot_of: Callable[[int], int] = lambda latent: 0,
    ) -> None:
        """Take what all segments have in common.

        conditioning: (first latent, length) of a window -> CONDITIONING. shape: `(C, h, w)` of a latent. shot_of: the
        number of the shot that a latent belongs to.
        """
        self.sample, self.conditioning, self.sigmas = sample, conditioning, sigmas
        self.shape, self.seed, self.rolling, self.shot_of = shape, seed, rolling, shot_of

    def first(self) -> Segment:
        """Make the segment that starts from nothing."""
        length, overlap = self.rolling.window, self.rolling.overlap
        channels, *sides = self.shape
        empty = torch.zeros(1, channels, length, *sides)
        made = self.sample({"samples": empty}, self.conditioning(0, length), self.sigmas, segment_seed(self.seed, 0))
        final, tail = made.split((length - overlap, overlap), 2)
        shot = self.shot_of(length - 1)
        own = self._of_shot(made, 0, shot) if length > 1 else made
        context = final[:, :, -self.rolling.context :]
        return Segment(
            final,
            context,
            tail,
            *statistics(own),
            settled(own),
            final.shape[2],
            shot,
            context.shape[2] == final.shape[2],
        )

    def start(self, final: Tensor, context: Tensor, reference: Tensor | None = None) -> Segment:
        """Make a segment of what the user has: its latents `final`, and its end as a stream of its own, `context`.

        reference: latents of how its last shot begins, `final` without one. What has changed little since then has
        drifted, as in a video that was made by extending it again and again; what has changed by much stays so.
        Raises SoraError for a context that leaves a window no room.
        """
        limit = self.rolling.window - self.rolling.new
        if context.shape[2] > limit:
            raise SoraError(f"The context has {context.shape[2]} latents, a window takes {limit}.")
        # The first latent is a single frame and has statistics of its own.
        first = final if reference is None else reference
        first = first[:, :, 1:] if first.shape[2] > 1 else first
        last = final[:, :, -first.shape[2] :]
        made, tail = final.shape[2], final[:, :, :0]
        return Segment(final, context, tail, *compare(first, last), made, self.shot_of(made), True)

    def next(self, before: Segment, index: int, fresh: int | None = None, ahead: Ahead | None = None) -> Segment:
        """Make segment `index`, after `before`.

        fresh: how many latents are new, `rolling.new` of them where it is not said. ahead: what the segment leads to;
        then it ends with that overlap, and has no tail.
        """
        context, tail = before.context, before.tail
        known, overlap, fresh = context.shape[2], tail.shape[2], self.rolling.new if fresh is None else fresh
        first = before.made - known
        new = tail.new_zeros(*tail.shape[:2], fresh, *tail.shape[3:])
        parts = [context, tail, new, *(() if ahead is None else (ahead.overlap, ahead.context))]
        samples = torch.cat(parts, 2)
        prompt = self.conditioning(first, samples.shape[2])
        after = (0, 0) if ahead is None else (ahead.overlap.shape[2], ahead.context.shape[2])
        made = self.sample_window(samples, known, overlap, prompt, index, after)
        # The overlap is held too: it was when it was new, and has been made again since.
        ready = made[:, :, known : known + overlap + fresh]
        begin = before.made + overlap
        shot, mean, std, places = self.shot_of(begin + fresh - 1), before.mean, before.std, before.places
        if shot == before.shot:
            ready, places = hold_places(ready, places, std, self.rolling.hold)
            ready = hold_statistics(ready, mean, std, self.rolling.hold)
        else:
            own = self._of_shot(ready[:, :, overlap:], begin, shot)
            (mean, std), places = statistics(own), settled(own)
        if ahead is None:
            left = min(self.rolling.overlap, ready.shape[2])
            final, tail = ready.split((ready.shape[2] - left, left), 2)
        else:
            # What was there before belongs to another shot, and is not held to this one's looks.
            end = samples.shape[2] - after[1]
            final, tail = torch.cat((ready, made[:, :, end - after[0] : end]), 2), made[:, :, :0]
        history = torch.cat((before.context, final), 2)
        return Segment(
            final, history[:, :, -self.rolling.context :], tail, mean, std, places, before.made + final.shape[2], shot
        )

    @property
    def split(self) -> int | None:
        """The step at which an overlap joins in; None where it stays as it is: few steps have none so late."""
        split = int((self.sigmas > self.rolling.renoise).sum())
        return None if split >= len(self.sigmas) - 1 or self.rolling.renoise == 0 else split

    def sample_window(
        self,
        samples: Tensor,
        known: int,
        overlap: int,
        prompt: Conditioning,
        index: int,
        after: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Sample the window `[1,C,known+overlap+new,h,w]` of segment `index`: new latents alone, then with the overlap.

        The first run stops at `renoise` with the overlap kept; the second goes on from there and makes it again.
        after: latents of an overlap and of a context behind the new ones.
        """
        seed, sigmas, split = segment_seed(self.seed, index), self.sigmas, self.split
        begin, end = known + overlap, samples.shape[2] - sum(after)
        if overlap + after[0] == 0 or split is None:
            return self._keeping(samples, begin, end, prompt, sigmas, seed)
        if split > 0 and begin < end:
            rough = self._keeping(samples, begin, end, prompt, sigmas[: split + 1], seed)
            # Where a run stops at sigma it gives x / (1 - sigma), and where one starts it makes
            # (1 - sigma) samples + sigma noise: without that noise, the new latents go on where they were.
            sigma = float(sigmas[split])
            seed = segment_seed(self.seed, index, 1)
            carried = rough - sigma / (1 - sigma) * prepare_noise(samples, seed).to(rough)
            samples = torch.cat((samples[:, :, :begin], carried[:, :, begin:end], samples[:, :, end:]), 2)
        return self._keeping(samples, known, samples.shape[2] - after[1], prompt, sigmas[split:], seed)

    def _keeping(
        self, samples: Tensor, begin: int, end: int, prompt: Conditioning, sigmas: Tensor, seed: int
    ) -> Tensor:
        """Sample the latents from `begin` up to `end`; the others come back bit by bit."""
        if begin >= end:
            return samples
        mask = samples.new_ones(samples.shape[0], 1, *samples.shape[2:])
        mask[:, :, :begin] = 0
        mask[:, :, end:] = 0
        made = self.sample({"samples": samples, "noise_mask": mask}, prompt, sigmas, seed).to(samples)
        if made.shape != samples.shape:
            raise SoraError(f"The sampler returned {list(made.shape)} for {list(samples.shape)}.")
        return torch.cat((samples[:, :, :begin], made[:, :, begin:end], samples[:, :, end:]), 2)

    def _of_shot(self, latents: Tensor, begin: int, shot: int) -> Tensor:
        """Pick those of `latents`, the first of which is number `begin`, that belong to `shot`.

        Without latent 0 of the video: it is a single frame and has statistics of its own.
        """
        own = [i for i in range(latents.shape[2]) if self.shot_of(begin + i) == shot and begin + i > 0]
        return latents[:, :, own] if own else latents


def segments_needed(total: int, rolling: Rolling, given: int = 0) -> int:
    """Count the segments that `total` latents take; `given` latents of the user's, if any, are the first."""
    made, tail = (given, 0) if given else (rolling.window - rolling.overlap, rolling.overlap)
    count = 1
    while made + tail < total:
        made, tail = made + tail + rolling.new - rolling.overlap, rolling.overlap
        count += 1
    return count


def roll(roller: Roller, total: int, start: Segment | None = None, index: int = 0) -> Iterator[Segment]:
    """Make segments until there are `total` latents, tails included. start: segment `index`, after which they come."""
    segment = start
    if segment is None:
        segment = roller.first()
        yield segment
    while segment.made + segment.tail.shape[2] < total:
        index += 1
        segment = roller.next(segment, index)
        yield segment


def join(segments: list[Segment], total: int) -> Tensor:
    """Join the latents of a video in memory, `[1,C,total,h,w]`."""
    parts = [segment.final for segment in segments] + [segments[-1].tail]
    return torch.cat(parts, 2)[:, :, :total]
