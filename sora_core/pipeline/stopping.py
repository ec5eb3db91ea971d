"""Stopping within torch: work that never asks whether it should go on is asked for it, between its operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from .progress import check_interrupted

EVERY = 0.1  # seconds between two questions: to ask may take a lock


class Stoppable(TorchFunctionMode):
    """Within the block every operation of torch's may stop the work, a backward pass too. No number changes.

    Leave it in the thread that entered it, and before anything else runs there: it belongs neither around an `await`
    nor around a `yield`.
    """

    def __init__(self, check: Callable[[], None] = check_interrupted) -> None:
        """Call `check` ten times a second at most; what it raises ends the work."""
        super().__init__()
        self.check, self.next = check, 0.0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.ask()
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.grad_fn is not None:
            made.register_hook(lambda _: self.ask())
        return made

    def ask(self) -> None:
        """Ask whether to go on, unless that was asked just now."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + EVERY
            self.check()
