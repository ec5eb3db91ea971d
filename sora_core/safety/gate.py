"""Where the policy is enforced: what passes here on its way to an encoder, a file or a screen has been checked.

The writers of files (`video.write_video`, the host's pictures), the executor of graphs and the live previews call these
functions. They do nothing unless a policy is enforced: a locked one that is in force, or one that `enforcing` names.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import SoraError
from .policy import Policy, policy_in_force

if TYPE_CHECKING:
    from ..previews import Preview

log = logging.getLogger(__name__)
_named: Policy | None = None


@contextmanager
def enforcing(policy: Policy | None) -> Iterator[None]:
    """Enforce `policy`, locked or not, within the block. None changes nothing."""
    global _named
    before, _named = _named, policy or _named
    try:
        yield
    finally:
        _named = before


def enforced() -> Policy | None:
    """The policy that everything must pass, if any."""
    if _named is not None:
        return _named
    policy = policy_in_force()
    return policy if policy is not None and policy.locked else None


def prepare() -> None:
    """Load what the enforced policy needs. Raises SoraError now, before any work, for a check that cannot run."""
    policy = enforced()
    if policy is None:
        return
    if policy.frames.action != "off":
        from .frames import checker_for

        checker_for(policy)
    check_text("")


def check_text(text: str) -> None:
    """Raise SoraError when the enforced policy blocks `text`; where it only warns, log that."""
    policy = enforced()
    if policy is None or policy.prompt.action == "off":
        return
    from .prompts import check_prompt

    report = check_prompt(text, policy)
    if not report.allowed:
        if policy.prompt.action == "block":
            raise SoraError(report.message())
        log.warning(report.message())


def check_frames(frames: Any) -> Any:
    """What may be shown of `frames`: a tensor or an array for one, an iterator of pieces for any other iterable.

    Raises FramesBlocked, for an iterable when the piece comes. The same object checked again costs nothing.
    """
    policy = enforced()
    if policy is None or policy.frames.action == "off":
        return frames
    from .frames import checker_for

    checker = checker_for(policy)
    if not hasattr(frames, "ndim"):
        return checker.stream(frames)
    if not _passed.holds(frames, policy):
        frames = checker.enforce(frames)
        _passed.add(frames, policy)
    return frames


def check_pieces(pieces: Iterable) -> None:
    """Raise FramesBlocked when the enforced policy blocks one of `pieces`. For what is kept in another form."""
    policy = enforced()
    if policy is not None and policy.frames.action == "block":
        for _ in check_frames(pieces):
            pass


def check_preview(preview: Preview | None) -> Preview | None:
    """`preview` as it may be shown, by the policy in force, locked or not: None in place of one that is blocked.

    A blocked preview stops nothing: it shows a guess at half-made frames. The finished ones are checked again.
    """
    policy = enforced() or policy_in_force()
    if preview is None or policy is None or policy.frames.action == "off":
        return preview
    from .frames import checker_for

    report = checker_for(policy).review(preview.frames)
    return replace(preview, frames=report.frames) if report.allowed else None


class _Passed:
    """Tensors that have passed, for as long as they live and nobody writes into them."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[weakref.ref, int, Policy]] = {}

    def holds(self, frames: Any, policy: Policy) -> bool:
        found = self.known.get(id(frames))
        return found is not None and found[0]() is frames and found[1:] == (frames._version, policy)

    def add(self, frames: Any, policy: Policy) -> None:
        """Arrays are not remembered: nobody counts the writes into them."""
        if hasattr(frames, "_version"):
            number, known = id(frames), self.known
            gone = weakref.ref(frames, lambda _: known.pop(number, None))
            known[number] = gone, frames._version, policy


_passed = _Passed()
