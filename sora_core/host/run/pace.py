"""How long a node still takes."""

from __future__ import annotations

import time


class Pace:
    """Guesses the seconds that are left, by the steps since the first: that one is often slow."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None  # when, and how many steps were done then

    def left(self, done: float, total: float) -> float | None:
        """Return the seconds that are left now, None while nothing tells."""
        now = time.monotonic()
        if self._first is None or done <= self._first[1]:
            self._first = (now, done)
            return None
        return (now - self._first[0]) / (done - self._first[1]) * (total - done)


def duration(seconds: float) -> str:
    """Write a time in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
