"""How running code talks to whoever runs it: progress within a node, and the wish to stop.

Code that takes long calls `report(...)` once per step. Outside an execution it does nothing, so the same code
runs in plain Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..interrupt import Interrupted, asking, check_interrupted

__all__ = ["Interrupted", "Running", "Steps", "check_interrupted", "current_part", "listening", "part", "report"]
__all__ += ["running", "say", "wants_previews"]

Steps = Callable[[int, int], None]  # (steps done, steps in all)


@dataclass
class Running:
    """The node, or the call, that is running now."""

    on_progress: Callable[[int, int, Any], None]  # (steps done, steps in all, preview or None)
    interrupted: Callable[[], bool]
    on_text: Callable[[str], None] = lambda text: None
    previews: bool = True  # whether it looks at them: to make one is work
    on_picture: Callable[[Any], None] = lambda picture: None

    def check(self) -> None:
        """Raise `Interrupted` if the user asked to stop."""
        if self.interrupted():
            raise Interrupted()


_running: ContextVar[Running | None] = ContextVar("running", default=None)
_part: ContextVar[tuple[int, int]] = ContextVar("part", default=(0, 1))


@contextlib.contextmanager
def running(node: Running | None) -> Iterator[None]:
    """Tell `node` all that is reported within the block; None: nobody listens."""
    token = _running.set(node)
    try:
        with asking(None if node is None else node.check):
            yield
    finally:
        _running.reset(token)


@contextlib.contextmanager
def listening(steps: Steps | None) -> Iterator[None]:
    """Call `steps(done, total)` with all that is reported within the block; None leaves the listener as it is."""
    if steps is None:
        yield
        return
    with running(Running(lambda done, total, preview: steps(done, total), lambda: False, previews=False)):
        yield


@contextlib.contextmanager
def part(index: int, count: int) -> Iterator[None]:
    """Count what is reported within the block as part `index` (from 0) of `count` parts of the node's work."""
    token = _part.set((index, count))
    try:
        yield
    finally:
        _part.reset(token)


def current_part() -> tuple[int, int]:
    """Return (i, n): what runs now is part i of n."""
    return _part.get()


def wants_previews() -> bool:
    """Return whether anybody looks at what `report` is handed as a preview."""
    node = _running.get()
    return node is not None and node.previews


def say(text: str) -> None:
    """Tell what the running node has to say, for the host to show beside it."""
    node = _running.get()
    if node is not None:
        node.on_text(text)


def hand_over(picture: Any) -> None:
    """Give a finished picture to whoever runs the node, in place of a file."""
    node = _running.get()
    if node is not None:
        node.on_picture(picture)


def report(value: int, total: int, preview: Any = None) -> None:
    """Tell that `value` of `total` steps are done, with an optional preview for the host to show.

    Raises `Interrupted` if the user asked to stop.
    """
    node = _running.get()
    if node is not None:
        node.on_progress(value, total, preview)
    check_interrupted()
