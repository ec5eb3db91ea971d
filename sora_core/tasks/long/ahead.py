"""Segments that are made ahead: a thread waits for those who sample, while this one decodes what is there."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from ...interrupt import Interrupted, asking, check_interrupted

Made = TypeVar("Made")
PATIENCE = 0.1  # seconds between two questions whether to go on


class _Ahead(Generic[Made]):
    """A thread that makes what `made` yields, at most one piece ahead of who takes them."""

    def __init__(self, made: Callable[[], Iterable[Made]]) -> None:
        self.pieces: queue.Queue[tuple[Made | None, BaseException | None]] = queue.Queue(1)
        self.stopped = threading.Event()
        # The policy in force, and who is asked whether to go on, are those of who takes the pieces.
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._make, made), daemon=True)

    @torch.no_grad()
    def _make(self, made: Callable[[], Iterable[Made]]) -> None:
        def check() -> None:
            if self.stopped.is_set():
                raise Interrupted

        end: BaseException | None = None
        try:
            with asking(check):
                for piece in made():
                    self._put(piece, None)
        except BaseException as error:  # to be raised where the pieces are taken
            end = error
        self._put(None, end or StopIteration())

    def _put(self, piece: Made | None, end: BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                return self.pieces.put((piece, end), timeout=PATIENCE)
            except queue.Full:
                continue
        return None

    def take(self) -> Iterator[Made]:
        """Yield the pieces in order. Raises what making one raised."""
        while True:
            try:
                piece, end = self.pieces.get(timeout=PATIENCE)
            except queue.Empty:
                check_interrupted()
                continue
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            assert piece is not None
            yield piece


@contextmanager
def made_ahead(made: Callable[[], Iterable[Made]]) -> Iterator[Iterator[Made]]:
    """Make what `made()` yields in a thread of its own, which ends with the block; gives the pieces, in order."""
    ahead = _Ahead(made)
    ahead.thread.start()
    try:
        yield ahead.take()
    finally:
        ahead.stopped.set()
        ahead.thread.join()
