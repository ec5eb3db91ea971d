"""Make what an earlier render leaves to be made: changed shots and their joins, between latents that are kept.

A gap is rolled forward from what is kept before it, as any segment is, and its last segment sees what is kept on both
sides:

    window of the last one:   context | overlap | new        | overlap | context
                              kept    | again   | from noise | again   | kept

After a cut that was not there, a shot's overlap is finished with the new latents and not made from noise, so that it
goes on looking as its shot does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import SoraError
from ..finish.holding import compare
from .rolling import Ahead, Roller, Rolling, Segment
from .spans import Gap, Reuse


@dataclass(frozen=True)
class Step:
    """One segment of a gap."""

    gap: Gap
    fresh: int  # new latents
    first: bool  # of its gap
    leads: bool  # to what is kept behind the gap


def _steps_of(gap: Gap, total: int, rolling: Rolling, known: int) -> list[Step]:
    """Plan the segments that fill a gap. known: latents of the context before it."""
    window, context, overlap = rolling.window, rolling.context, rolling.overlap
    left = gap.end - gap.begin - gap.before - gap.after
    leads = gap.end < total
    tail, found = gap.before, list[Step]()
    while True:
        most = max(1, window - known - tail)
        room = max(1, most - gap.after - context) if leads else most
        if left <= room:
            return [*found, Step(gap, left, not found, leads)]
        # As much as leaves the last segment full: a short one in the end knows little of where it comes from.
        after = max(1, window - context - overlap - (gap.after + context if leads else 0))
        take = min(most, max(1, left - after))
        found.append(Step(gap, take, not found, False))
        left, known, tail = left - take, context, min(overlap, tail + take)


class Filling:
    """The latents of a video whose gaps are being filled."""

    def __init__(self, reuse: Reuse, roller: Roller, source: Segment | None = None) -> None:
        """Start with what is kept. source: the segment of the user's own video, where there is one."""
        self.reuse, self.roller, self.source = reuse, roller, source
        self.latents, total = reuse.latents.clone(), reuse.kept.shape[0]
        # Where no overlap is finished again, what follows a new cut is made from noise: it came after another shot.
        gaps = [gap if roller.split is not None else replace(gap, after=0) for gap in reuse.gaps()]
        self.steps = [step for gap in gaps for step in _steps_of(gap, total, roller.rolling, self._known(gap))]

    def put(self, step: Step, segment: Segment) -> None:
        """Take over a segment that is made. What belongs to no gap stays as it was."""
        made = torch.cat((segment.final, segment.tail), 2)
        begin = segment.made - segment.final.shape[2]
        end = min(begin + made.shape[2], step.gap.end)
        self.latents[:, :, begin:end] = made[:, :, : end - begin].to(self.latents)

    def make(self, done: int, read: Callable[[int], Segment | None]) -> Iterator[Segment]:
        """Make the segments that are missing, `done` of which can be read by their number."""
        before: Segment | None = None
        for index, step in enumerate(self.steps):
            if index < done:
                before = read(index)
                if before is None:
                    raise SoraError("A finished segment has disappeared. Start the render again.")
            else:
                # Below 0, so that its noise is no other segment's.
                begin = self._start(step.gap) if step.first or before is None else before
                before = self.roller.next(begin, -1 - index, step.fresh, self._ahead(step) if step.leads else None)
                yield before
            self.put(step, before)

    def pieces(self) -> Iterator[Tensor]:
        """Return the latents of the whole video in pieces as long as those of segments."""
        yield from self.latents.split(self.roller.rolling.new, 2)

    def _known(self, gap: Gap) -> int:
        """Count the latents of the context before a gap."""
        if self.source is not None and gap.begin == self.source.made:
            return self.source.context.shape[2]
        return min(gap.begin, self.roller.rolling.context)

    def _start(self, gap: Gap) -> Segment:
        """Make a segment of what is kept before a gap, as if it had just been made."""
        roller, begin = self.roller, gap.begin
        tail = self.latents[:, :, begin : begin + gap.before]
        if self.source is not None and begin == self.source.made:
            return replace(self.source, tail=tail)
        context = self.latents[:, :, max(0, begin - roller.rolling.context) : begin]
        if not begin:
            nothing = self.latents.new_zeros(1, self.latents.shape[1], 1, 1, 1)
            return Segment(context, context, tail, nothing, nothing, nothing, 0, -1)
        shot = roller.shot_of(begin + gap.before - 1)
        first = next((i for i in range(1, begin) if roller.shot_of(i) == shot), begin - 1)
        own = self.latents[:, :, first:begin]
        own, last = own[:, :, : roller.rolling.window], own[:, :, -roller.rolling.window :]
        return Segment(context, context, tail, *compare(own, last), begin, shot)

    def _ahead(self, step: Step) -> Ahead:
        """Cut out what is kept behind a gap: as much as the window has room for, and no less than a context."""
        gap, rolling, kept = step.gap, self.roller.rolling, self.reuse.kept
        known = self._known(gap) if step.first else rolling.context
        tail = gap.before if step.first else rolling.overlap
        room = max(rolling.context, rolling.window - known - tail - step.fresh - gap.after)
        end = gap.end
        while end < kept.shape[0] and kept[end] and end - gap.end < room:
            end += 1
        return Ahead(self.latents[:, :, gap.end - gap.after : gap.end], self.latents[:, :, gap.end : end])
