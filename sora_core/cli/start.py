"""What makes the start of a command quick: imports without collections of garbage, and imports ahead of their use."""

from __future__ import annotations

import contextlib
import gc
import importlib
import threading
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage within the block, nor ever among what it made.

    torch alone makes a million objects that stay. Python looks through all of them again and again while it imports
    them, and once more later on, a third of a second in all, for next to no garbage.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def ahead(names: Sequence[str]) -> threading.Thread:
    """Import modules of this package or others in a thread, which is returned, while the processor waits for torch's.

    What cannot be imported is told by who needs it.
    """

    def work() -> None:
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    thread = threading.Thread(target=work, name="imports ahead", daemon=True)
    thread.start()
    return thread
