"""Where the policy is enforced: what passes here on its way to an encoder, a file or a screen has been checked.

The writers of files (`write.write_video`, the host's pictures), the executor of graphs and the live previews call these
functions. They do nothing unless a policy is enforced: a locked one that is in force, or one that `enforcing` names.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .policy import Policy, policy_in_force

if TYPE_CHECKING:
    from ..latents.previews import Preview
    from .frames import FrameChecker

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


def checker() -> FrameChecker | None:
    """What checks frames for the enforced policy, if it asks for that. Raises SoraError when it cannot run."""
    policy = enforced()
    if policy is None or policy.frames.action == "off":
        return None
    from .frames import checker_for

    return checker_for(policy)


def prepare() -> None:
    """Load what the enforced policy needs. Raises SoraError now, before any work, for a check that cannot run."""
    checker()
    check_text("")


@dataclass(frozen=True)
class Negatives:
    """Texts that say what a video should not show, and the positive prompts that they are said against."""

    texts: frozenset[str] = frozenset()
    against: str = ""


_told: ContextVar[Negatives | None] = ContextVar("negatives", default=None)


@contextmanager
def telling(negatives: Negatives) -> Iterator[None]:
    """Within the block `check_text` judges these texts as negative prompts."""
    token = _told.set(negatives)
    try:
        yield
    finally:
        _told.reset(token)


def check_text(text: str, negatives: Negatives | None = None) -> None:
    """Raise SoraError when the enforced policy blocks `text`; where it only warns, log that."""
    policy = enforced()
    if policy is None or policy.prompt.action == "off":
        return
    from .prompts import check_prompt, check_request, require_allowed

    told = negatives or _told.get() or Negatives()
    if text in told.texts and text.strip():
        reports = [r for r in check_request(told.against, text, policy=policy) if r.text_name == "negative"]
    else:
        reports = [check_prompt(text, policy)]
    for message in require_allowed(reports, policy.prompt.action):
        log.warning(message)


def check_frames(frames: Any) -> Any:
    """What may be shown of `frames`: a tensor or an array for one, an iterator of pieces for any other iterable.

    Raises FramesBlocked, for an iterable when the piece comes. The same tensor checked again costs nothing.
    """
    found = checker()
    if found is None:
        return frames
    if not hasattr(frames, "ndim"):
        return found.stream(frames)
    if not _passed.holds(frames, found):
        frames = found.enforce(frames)
        _passed.add(frames, found)
    return frames


def check_pieces(pieces: Iterable) -> None:
    """Raise FramesBlocked when the enforced policy blocks one of `pieces`. For what is kept in another form."""
    found = checker()
    if found is not None and found.policy.action == "block":
        for _ in found.stream(pieces):
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
        self.known: dict[int, tuple[weakref.ref, int, FrameChecker]] = {}

    def holds(self, frames: Any, checker: FrameChecker) -> bool:
        found = self.known.get(id(frames))
        return found is not None and found[0]() is frames and found[1:] == (frames._version, checker)

    def add(self, frames: Any, checker: FrameChecker) -> None:
        """Arrays are not remembered: nobody counts the writes into them."""
        if hasattr(frames, "_version"):
            number, known = id(frames), self.known
            gone = weakref.ref(frames, lambda _: known.pop(number, None))
            known[number] = gone, frames._version, checker


_passed = _Passed()
