"""What a cache knows of a run: the values of its last model calls, and how well the next can be told from them.

This is arithmetic on named tensors, so that one cache serves our model calls and those of ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from torch import Tensor

Keys = tuple[Hashable, ...]  # of prompts: a change of them is another run, as far as a cache knows
SAME = 1e-6  # of sigmas that are the same but for rounding
USUAL = 4.0  # guidance that errors are counted with: a cache stands below guidance, which is not told to it
# How much more an error weighs in a long step of log(SNR). Measured by leaving out single steps of sora-mini's 25: an
# error costs the same in all of them, but for the last ones.
LONG = 2.0


class Track:
    """The values of one thing over the calls of a run, and what they would be where a call is left out.

    They are told by the line through the last two, as far as it held so far: it holds along a plain flow, and not at
    all where a sampler adds fresh noise, by which estimates scatter. What it misses by is seen at every call that is
    made.
    """

    def __init__(
        self,
        tolerance: float,
        most: int,
        counted: Callable[[Tensor], Tensor],
        generate: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        """Follow a run. tolerance: of the errors of calls left out in a row, weighted. most: how many those may be.

        counted: makes of values what errors are counted in: guidance makes them larger. generate: gives what is
        generated, bool `[B,1,T,H,W]`, None for all: what is kept says nothing.
        """
        self.tolerance, self.most, self.counted, self.generate = tolerance, most, counted, generate
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.keys: Keys = ()
        self.known: list[tuple[float, Tensor]] = []  # (sigma, value) of the last calls that were made
        self.error: tuple[float, float] | None = None  # how far the last was missed, and over how much of sigma
        self.trust = 0.0  # in the line, 0..1
        self.left_out, self.spent = 0, 0.0
        self.level = math.inf  # sigma of the last call, made or not

    def expected(self, level: float, keys: Keys) -> Tensor | None:
        """Return the value at sigma `level` where its call can be left out, None where it is to be made.

        A run that goes back up in sigma holds fresh noise, and other prompts are another question: both begin anew. A
        sampler that asks again at the same sigma wants its own error corrected, which is no business of a line.
        """
        again = math.isclose(level, self.level, rel_tol=SAME)
        if keys != self.keys or (level > self.level and not again):
            self.forget()
        step = _way(self.level, level)
        self.keys, self.level = keys, level
        if again or self.error is None or self.left_out >= self.most:
            return None
        missed, over = self.error
        cost = missed * max(1.0, (self.known[-1][0] - level) / over) * (1 + LONG * step**2)
        if not math.hypot(self.spent, cost) < self.tolerance:
            return None
        self.left_out, self.spent = self.left_out + 1, math.hypot(self.spent, cost)
        return self._line(level, self.trust)

    def learn(self, level: float, value: Tensor, whole: Tensor, sure: bool = True) -> None:
        """Take the value of a call that was made at sigma `level`. whole: of whose spread errors are a part.

        sure: all of it was computed. What another cache told in part errs less than what was asked, and so makes
        nothing seem surer than it was.
        """
        known = [(at, was) for at, was in self.known if not math.isclose(at, level, rel_tol=SAME)]
        if known and len(known) == len(self.known):
            missed = self._taken(self.counted(value - self._line(level, self.trust))).square().mean().sqrt()
            spread = self._taken(whole).std(correction=0).clamp_min(1e-12)
            error = float(missed / spread), max(known[-1][0] - level, SAME)
            if sure or self.error is None or error[0] > self.error[0]:
                self.error = error
            if sure and len(known) == 2:
                # How much of the line would have been right, by least squares.
                last = known[-1][1]
                bent, turn = (self._taken(self.counted(v - last)).flatten() for v in (value, self._line(level, 1.0)))
                right = float(bent.dot(turn) / turn.dot(turn).clamp_min(1e-12))
                self.trust = min(max(right, 0.0), 1.0)
        self.known, self.left_out, self.spent = [*known[-1:], (level, value)], 0, 0.0

    def _taken(self, value: Tensor) -> Tensor:
        generate = self.generate()
        return value if generate is None else value[generate.expand_as(value)]

    def _line(self, level: float, trust: float) -> Tensor:
        at, value = self.known[-1]
        if len(self.known) < 2 or not trust:
            return value
        first, earlier = self.known[0]
        return value + (value - earlier) * (trust * (level - at) / (at - first))


def keys_of(prompts: Sequence[object]) -> Keys:
    """Name prompts by what they are: the same objects through a whole run."""
    return tuple(map(id, prompts))


def _way(a: float, b: float) -> float:
    """Measure the way between two sigmas in log(SNR), which has no end towards 1 and towards 0."""
    if not (0 < a < 1 and 0 < b < 1):
        return math.inf
    return abs(math.log(a / (1 - a)) - math.log(b / (1 - b)))


def guided(values: Tensor) -> Tensor:
    """Return what guidance of `USUAL` makes of the prompts' values `[n,...]`: the first's, away from the others'."""
    return values[0] if len(values) == 1 else values[0] + (USUAL - 1) * (values[0] - values[1:].mean(0))
