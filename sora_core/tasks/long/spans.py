"""Which latents of an earlier render are kept when some of its shots have changed, and which are made anew.

    earlier     shot 1 | shot 2 | shot 3         | shot 4 | shot 5
    now         shot 1 | shot 2 | another shot 3 | shot 4 | shot 5
    kept        =========------                    -----==========
                     join: the overlap on both sides of what is new

A shot is kept where the same prompt lasts as long as before; it may have moved in time. Its latents come back bit by
bit, but for those of a join: where another latent comes before or after than did, the overlap is finished again with
what is new. A shot that follows another one than before gets at least one such latent, because a causal decoder has
the latents before in mind when it reads the first of a shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SOURCE = "source"  # the key of a user's video that is gone on from


@dataclass(frozen=True)
class Span:
    """A shot, and where it lies."""

    key: str  # names its prompt and how long it lasts
    begin: int  # its first latent
    end: int  # one past its last latent


@dataclass(frozen=True)
class Gap:
    """Latents that are made, between some that are kept."""

    begin: int
    end: int
    before: int  # how many at its start are an overlap: they are finished again from what they were
    after: int  # and how many at its end


@dataclass(frozen=True)
class Reuse:
    """What an earlier render leaves to be made."""

    latents: Tensor  # [1,C,total,h,w]: the earlier render's in their new places, 0 where it has none
    kept: Tensor  # bool [total]: these come back bit by bit
    known: Tensor  # bool [total]: these the earlier render has, joins included
    spans: tuple[Span, ...]  # of the shots now

    def gaps(self) -> list[Gap]:
        """List what is made, in order."""
        found, kept, known = [], self.kept.tolist(), self.known.tolist()
        total, begin = len(kept), 0
        while begin < total:
            if kept[begin]:
                begin += 1
                continue
            end = next((i for i in range(begin, total) if kept[i]), total)
            cut = next((span.begin for span in self.spans if span.begin > begin), total)
            before = next((i for i in range(begin, min(end, cut)) if not known[i]), min(end, cut)) - begin
            after = next((i for i in range(end, begin + before, -1) if not known[i - 1]), begin + before)
            found.append(Gap(begin, end, before, end - after if end < total else 0))
            begin = end
        return found

    def has(self, span: Span) -> bool:
        """Say whether some of a shot is kept."""
        return bool(self.kept[span.begin : span.end].any())

    def note(self) -> str:
        """Say in a sentence which shots are kept and what is made."""
        shots = [span for span in self.spans if span.key != SOURCE]
        kept = [i for i, span in enumerate(shots, 1) if self.kept[span.begin : span.end].any()]
        made = [i for i in range(1, len(shots) + 1) if i not in kept]
        gaps = self.gaps()
        joins = sum(self._joins(gap) for gap in gaps)
        parts = [named(made)] if made else []
        parts += [f"{joins} join{'s' * (joins != 1)}"] if joins else []
        # What becomes the first shot begins with a single frame, which it had not.
        parts += ["the video's start"] if gaps and not parts else []
        text = f"{named(kept).capitalize()} kept from the earlier render"
        return f"{text}; {' and '.join(parts)} made." if parts else f"{text}; nothing had to be made."

    def _joins(self, gap: Gap) -> int:
        """Count the cuts in a gap where a shot that is kept meets something else."""
        pairs = zip(self.spans, self.spans[1:], strict=False)
        cuts = [(a, b) for a, b in pairs if gap.begin <= b.begin <= gap.end]
        return sum(1 for pair in cuts if any(bool(self.kept[span.begin : span.end].any()) for span in pair))


def named(numbers: Sequence[int]) -> str:
    """Write "shot 3", "shots 1, 2, 4", or of many "shots 1 to 9, 11"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1 and len(numbers) > 8:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"shot{'s' * (len(numbers) != 1)} {', '.join(texts)}"


def lost(reuse: Reuse | None, spans: Sequence[Span], locked: Sequence[int]) -> str:
    """Say which of the locked spans no earlier render has; "" where all are kept."""
    shots = [span for span in spans if span.key != SOURCE]
    gone = [shots.index(spans[i]) + 1 for i in locked if reuse is None or not reuse.has(spans[i])]
    return f"To be kept, but in no earlier render that is still known: {named(gone)}. Made anew." if gone else ""


def keep(
    latents: Tensor, earlier: Sequence[Span], now: Sequence[Span], overlap: int, only: Sequence[int] | None = None
) -> Reuse | None:
    """Find what of an earlier render `latents` `[1,C,n,h,w]` can be kept; None where that is too little.

    overlap: latents at a border that belong to the join. Too little is less than half of the shots: that is another
    video, not the same one with some shots changed. only: the numbers of spans that may be kept, however few.
    """
    if only is not None:
        now = [span if i in only else replace(span, key=f"new {i}") for i, span in enumerate(now)]
    pairs = _same(earlier, now)
    shots = sum(1 for span in now if span.key != SOURCE)
    same = [new for _, new in pairs if new.key != SOURCE]
    if not same or (only is None and 2 * len(same) < shots):
        return None
    place = torch.full((now[-1].end,), -1)  # where each latent was
    for old, new in pairs:
        count = min(old.end - old.begin, new.end - new.begin)
        # A shot that a video begins with has a latent more at its start, a single frame.
        late = (old.begin == 0) != (new.begin == 0)
        here, there = (new.end - count, old.end - count) if late else (new.begin, old.begin)
        place[here : here + count] = torch.arange(there, there + count)
    kept = _without_joins(place, now, overlap)
    if not any(bool(kept[span.begin : span.end].any()) for span in same):
        return None
    # A video's first latent is a single frame: in another place it is of no use, and no other can be the first.
    known = (place >= 0) & ((place == 0) == (torch.arange(len(place)) == 0))
    moved = latents.new_zeros(*latents.shape[:2], len(place), *latents.shape[3:])
    moved[:, :, known] = latents[:, :, place[known]]
    return Reuse(moved, kept, known, tuple(now))


def _without_joins(place: Tensor, now: Sequence[Span], overlap: int) -> Tensor:
    """Mark what is kept: all that was there, less what belongs to a join. Bool `[total]`."""
    kept, total = place >= 0, len(place)
    source = now[0].end if now[0].key == SOURCE else 0  # the user's own latents are never made again
    for i in range(total + 1):
        before = int(place[i - 1]) if i else -1
        after = int(place[i]) if i < total else before + 1
        if (before < 0 and after < 0) or (before + 1 == after and (before >= 0 or i == 0)):
            continue
        # Between them lies a border that was not there.
        if before >= 0:
            kept[max(i - overlap, source) : i] = False
        if after >= 0:
            kept[i : i + max(1, overlap)] = False
    return kept


def _same(earlier: Sequence[Span], now: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Pair the shots that are the same, in order, so that as many latents as can be are kept."""
    best: list[list[int]] = [[0] * (len(now) + 1) for _ in range(len(earlier) + 1)]
    for i in range(len(earlier) - 1, -1, -1):
        for j in range(len(now) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], _gain(earlier[i], now[j]) + best[i + 1][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(earlier) and j < len(now):
        gain = _gain(earlier[i], now[j])
        if gain and best[i][j] == gain + best[i + 1][j + 1]:
            pairs.append((earlier[i], now[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _gain(old: Span, new: Span) -> int:
    return min(old.end - old.begin, new.end - new.begin) if old.key == new.key else 0
