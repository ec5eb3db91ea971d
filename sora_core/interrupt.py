"""Whether work should go on: every loop that may take long asks, and whoever runs it answers by raising.

Outside a host nobody is asked, and the question costs next to nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Check = Callable[[], None]  # raises if the work is to stop
EVERY = 0.05  # seconds between two questions to a host: to answer may take a lock


class Interrupted(BaseException):  # noqa: N818 (an order of the user's, no error)
    """The user asked to stop. Not an Exception, so that a node's `except Exception` cannot swallow it."""


_check: ContextVar[Check | None] = ContextVar("check", default=None)
_host: Check | None = None
_next = 0.0  # when the host is asked next
_signal: BaseException | None = None


def check_interrupted() -> None:
    """Raise what the signal, the runner or the host of this work has to say, if it is to stop."""
    global _next, _signal
    # Signals are the main thread's: elsewhere they would end another's work.
    if _signal is not None and threading.current_thread() is threading.main_thread():
        stop, _signal = _signal, None
        raise stop
    check = _check.get()
    if check is not None:
        check()
    if _host is not None and (now := time.monotonic()) >= _next:
        _next = now + EVERY
        _host()


@contextlib.contextmanager
def asking(check: Check | None) -> Iterator[None]:
    """Ask `check` within the block, in place of whoever is asked around it; None: nobody but the host."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def ask_host(check: Check | None) -> None:
    """Ask `check` from now on, in the whole process: a host that runs our code as a part of its own work."""
    global _host
    _host = check


def remember(stop: BaseException | None) -> None:
    """Keep what a signal's handler is about to raise, or forget it (None).

    Code in C that was calling back when the signal came swallows the exception. Then the next question raises it.
    """
    global _signal
    _signal = stop
