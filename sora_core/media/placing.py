"""Decoded sound put in its place in time, in blocks, so that memory holds what is kept and little more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..memory import expect_memory
from .stamps import BACK

if TYPE_CHECKING:
    from av import AudioFrame

GAP = 0.05  # seconds without a packet of sound that are a hole, and no rounding of its time stamps
BLOCK = 1 << 19  # samples that are held together: eleven seconds at 48000
AHEAD = 16  # blocks for which it is asked whether memory suffices
STRAY = 100  # chunks in a row that lie beyond the picture before the rest is given up


@dataclass
class Blocks:
    """Samples `[channels,n]` that come piece by piece."""

    channels: int
    count: int = 0  # samples
    _blocks: list[np.ndarray] = field(default_factory=list)

    def add(self, piece: np.ndarray) -> None:
        """Add `[channels,n]`. Raises SoraError when memory does not suffice for what has come."""
        done = 0
        while done < piece.shape[1]:
            at = self.count % BLOCK
            if at == 0:
                if len(self._blocks) % AHEAD == 0:
                    more = f"Sound of more than {self.count:,} samples in {self.channels} channels"
                    expect_memory(AHEAD * BLOCK * self.channels * 4, more, "cut it, or use less of it.")
                self._blocks.append(np.zeros((self.channels, BLOCK), np.float32))
            part = piece[:, done : done + BLOCK - at]
            self._blocks[-1][:, at : at + part.shape[1]] = part
            self.count += part.shape[1]
            done += part.shape[1]

    def silence(self, count: int) -> None:
        """Add so many samples of silence."""
        while count > 0:
            part = min(count, BLOCK)
            self.add(np.zeros((self.channels, part), np.float32))
            count -= part

    def cut(self, count: int) -> None:
        """Keep the first `count` samples."""
        self.count = min(self.count, max(count, 0))
        del self._blocks[-(-self.count // BLOCK) :]

    def whole(self) -> np.ndarray:
        """Return all as one `[channels,n]`, and hold nothing any more."""
        made = np.empty((self.channels, self.count), np.float32)
        for begin in range(0, self.count, BLOCK):
            block = self._blocks.pop(0)
            made[:, begin : begin + BLOCK] = block[:, : self.count - begin]
        self.count = 0
        return made


def placed(
    chunks: Iterable[AudioFrame], rate: int, start: float, seconds: float, joins: tuple[float, ...] = ()
) -> np.ndarray | None:
    """Join decoded chunks `[channels,n]` at their times, less `start`; None where there is none.

    What begins after the picture's `seconds` is left out. A stamp is believed where the next one agrees, and a chunk
    whose stamp makes no sense follows the one before it. joins: see `timing.Timing`.
    """
    made: Blocks | None = None
    add, left, stray = 0, list(joins), 0
    end, gap = (seconds + 1) * rate, GAP * rate
    for chunk, after in _with_next(chunks):
        piece = chunk.to_ndarray().reshape(-1, chunk.layout.nb_channels).T
        made = made or Blocks(chunk.layout.nb_channels)
        at, stamp, follows = made.count, _at(chunk, rate, start), _at(after, rate, start)
        # Samples between the end of this chunk and the next one, by their stamps.
        apart = None if stamp is None or follows is None else follows - stamp - piece.shape[1]
        agreed = apart is not None and abs(apart) <= gap
        if stamp is not None and agreed and left and at and stamp + add - at < -float(BACK) * rate:
            add = round(left.pop(0) * rate)
            made.cut(stamp + add)  # what the clip before has too much
            at = made.count
        where = at if stamp is None else stamp + add
        beyond = where > end and where - at > gap
        if beyond and agreed:  # nothing that is heard with the picture
            stray += 1
            if stray > STRAY:
                break
            continue
        stray = 0
        if abs(where - at) > (gap if at else 0) and (agreed or (not beyond and (apart is None or apart >= -gap))):
            pass
        elif at or follows is None:
            where = at
        else:  # the first of all is placed by the second
            where = follows - piece.shape[1]
            if where > end:
                continue
        made.silence(where - at)
        made.add(piece if at else piece[:, max(-where, 0) :])
    return None if made is None else made.whole()


def _at(chunk: AudioFrame | None, rate: int, start: float) -> int | None:
    """Return the sample at which a chunk begins by its stamp."""
    return None if chunk is None or chunk.time is None else round((chunk.time - start) * rate)


def _with_next(chunks: Iterable[AudioFrame]) -> Iterator[tuple[AudioFrame, AudioFrame | None]]:
    before = None
    for chunk in chunks:
        if before is not None:
            yield before, chunk
        before = chunk
    if before is not None:
        yield before, None
