"""Where the policy is enforced: what passes here on its way to an encoder, a file or a screen has been checked.

The writers of files (`write.write_video`, the host's pictures), the executor of graphs and the live previews call these
functions. They do nothing unless a policy is enforced: a locked one that is in force, or one that `enforcing` names.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import Field, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ..errors import expect
from .policy import Policy, in_force, policy_in_force
from .policy import enforced_policy as enforced
from .unchanged import content_sum

if TYPE_CHECKING:
    from torch import Tensor

    from .frames import FrameChecker, FrameReport

log = logging.getLogger(__name__)


def enforcing(policy: Policy | None) -> AbstractContextManager[None]:
    """Put `policy` in force within the block and enforce it, locked or not. None changes nothing.

    A thread that is started within needs the block's context: see `policy.in_force`.
    """
    return in_force(policy, enforce=True)


def checker() -> FrameChecker | None:
    """Return what checks frames for the enforced policy, if it asks for that. Raises SoraError when it cannot run."""
    policy = enforced()
    if policy is None or policy.frames.action == "off":
        return None
    from .frames import checker_for

    return checker_for(policy)


def prepare() -> None:
    """Load what the enforced policy needs. Raises SoraError now, before any work, for a check that cannot run."""
    checker()
    check_text("")


# -- what is told --------------------------------------------------------------------------------------------
_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


@contextmanager
def noting(notes: list[str] | None) -> Iterator[None]:
    """Add to `notes` what the policy lets through within the block, warned of or concealed, one sentence each.

    None leaves that to the block around. Where there is none, it is logged.
    """
    token = _notes.set(_notes.get() if notes is None else notes)
    try:
        yield
    finally:
        _notes.reset(token)


def tell(message: str) -> None:
    """Tell whoever listens, see `noting`, one sentence; log it where nobody does."""
    notes = _notes.get()
    if notes is None:
        log.warning(message)
    elif message not in notes:
        notes.append(message)


# -- texts ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Negatives:
    """Texts that say what a video should not show."""

    texts: frozenset[str] = frozenset()
    against: str = ""  # the positive prompts that they are said against


_told: ContextVar[Negatives | None] = ContextVar("negatives", default=None)


@contextmanager
def telling(negatives: Negatives) -> Iterator[None]:
    """Have `check_text` judge these texts as negative prompts within the block."""
    token = _told.set(negatives)
    try:
        yield
    finally:
        _told.reset(token)


def same_as(text: str, other: str) -> AbstractContextManager[None]:
    """Have `check_text` judge `other` within the block as it judges `text`: as a negative prompt if that is one."""
    told = _told.get() or Negatives()
    more = {other} if text in told.texts else set()
    return telling(replace(told, texts=told.texts | more))


_besides: ContextVar[Policy | None] = ContextVar("besides", default=None)


@contextmanager
def judging_besides(policy: Policy | None) -> Iterator[None]:
    """Have `check_text` judge by this policy too within the block. None: by the enforced one alone."""
    token = _besides.set(policy)
    try:
        yield
    finally:
        _besides.reset(token)


def check_text(text: str, negatives: Negatives | None = None) -> None:
    """Judge `text` by the enforced policy. Raises SoraError where it blocks; what it warns of is told, see `noting`.

    `negatives`: None takes those that `telling` named. So does what `judging_besides` names.
    """
    for policy in (enforced(), _besides.get()):
        if policy is not None and policy.prompt.action != "off":
            _judge(text, negatives, policy)


def _judge(text: str, negatives: Negatives | None, policy: Policy) -> None:
    from .prompts import check_prompt, check_request, require_allowed

    told = negatives or _told.get() or Negatives()
    if text in told.texts and text.strip():
        reports = [r for r in check_request(told.against, text, policy=policy) if r.text_name == "negative"]
    else:
        reports = [check_prompt(text, policy)]
    for message in require_allowed(reports, policy.prompt.action):
        tell(message)


def check_address(address: str) -> bool:
    """Raise SoraError unless the policy in force, locked or not, lets prompts be sent to the http `address`.

    Returns whether the call must go there directly: under a locked policy a proxy of the user's would be another place.
    """
    policy = policy_in_force()
    if policy is None:
        return False
    hosts = policy.network.hosts
    expect(
        policy.allows_host(address),
        f"The policy {policy.name!r} does not let prompts be sent to {address!r}: network.hosts allows "
        f"{', '.join(hosts) if hosts else 'none'}. Leave the address out, or ask whoever set the policy.",
    )
    return policy.locked


# -- frames --------------------------------------------------------------------------------------------------
def check_frames(frames: Any) -> Any:
    """Return what may be shown of `frames`, by the enforced policy.

    A tensor or an array (`[H,W,C]` or `[T,H,W,C]`) gives one of the same layout, any other iterable an iterator of
    pieces. What was concealed is told, see `noting`. Raises FramesBlocked; for an iterable when the piece comes. The
    same tensor checked again costs nothing.
    """
    found = checker()
    if found is None:
        return frames
    if not hasattr(frames, "ndim"):
        return _checked_pieces(frames, found)
    if not _passed.holds(frames, found):
        report = _new_report(found)
        frames = found.enforce(frames, report=report)
        _tell_concealed(report)
        _passed.add(frames, found)
    return frames


def _checked_pieces(pieces: Iterable, found: FrameChecker) -> Iterator[Tensor]:
    report = _new_report(found)
    yield from found.stream(pieces, report)
    _tell_concealed(report)


def _new_report(found: FrameChecker) -> FrameReport:
    from .frames import FrameReport

    return FrameReport(found.policy.action)


def _tell_concealed(report: FrameReport) -> None:
    if report.findings:
        tell(report.message())


def check_pieces(pieces: Iterable) -> None:
    """Raise FramesBlocked when the enforced policy blocks one of `pieces`. For what is kept in another form."""
    found = checker()
    if found is not None and found.policy.action == "block":
        for _ in found.stream(pieces):
            pass


class _HasFrames(Protocol):
    """A dataclass such as `latents.previews.Preview`, which stands on a higher floor."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def frames(self) -> Tensor: ...


Shown = TypeVar("Shown", bound=_HasFrames)


def check_preview(preview: Shown | None) -> Shown | None:
    """Return `preview` as it may be shown by the policy in force, locked or not; None in place of a blocked one.

    A blocked preview stops nothing: it shows a guess at half-made frames. The finished ones are checked again.
    """
    policy = policy_in_force()
    if preview is None or policy is None or policy.frames.action == "off":
        return preview
    from .frames import FramesBlocked, checker_for

    try:
        return replace(preview, frames=checker_for(policy).enforce(preview.frames))
    except FramesBlocked:
        return None


class _Passed:
    """Tensors that have passed, for as long as they live and nobody writes into them."""

    def __init__(self) -> None:
        # By id: the tensor, what it held, and who let it pass.
        self.known: dict[int, tuple[weakref.ref, int, FrameChecker]] = {}

    def holds(self, frames: Any, checker: FrameChecker) -> bool:
        known, held, by = self.known.get(id(frames), (None, 0, None))
        same = known is not None and known() is frames
        return same and by is checker and held == content_sum(frames)

    def add(self, frames: Any, checker: FrameChecker) -> None:
        """Remember a tensor. Arrays are not remembered."""
        if hasattr(frames, "detach"):
            number, known = id(frames), self.known
            gone = weakref.ref(frames, lambda _: known.pop(number, None))
            known[number] = gone, content_sum(frames), checker


_passed = _Passed()
