"""Frames against the policy: what was found where, and what may be shown."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SoraError, expect
from ..policy import FramePolicy, Policy, load_policy
from .classifiers import FrameClassifier, nsfw_classifier, own_classifier
from .pixels import as_batch, as_bytes, conceal, in_batches

# Frames that are looked at together: more is hardly faster and takes more memory.
BATCH = 16
# Checkers that are kept ready: two hosts in one process, or a node with its own settings beside the host's policy,
# would load their classifiers over and over with one. Each holds its own in memory, so there are no more.
_KEPT = 2


class FramesBlocked(SoraError):  # noqa: N818 (says what happened to the frames; nothing went wrong in the program)
    """The policy does not let these frames through. `findings` says which, and why."""

    def __init__(self, message: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(message)
        self.findings = findings


@dataclass(frozen=True)
class Finding:
    """Neighbouring frames that are over the threshold of one category."""

    category: str
    first: int  # number of the first such frame in its video
    last: int  # of the last one
    score: float  # the highest of them, 0..1
    threshold: float
    who: str = ""  # whom a face is like, "" for other categories

    def __str__(self) -> str:
        where = f"frame {self.first}" if self.first == self.last else f"frames {self.first} to {self.last}"
        who = f" of {self.who}" if self.who else ""
        return f"{where}: {self.category}{who} {self.score:.2f} (allowed below {self.threshold:.2f})"


@dataclass
class FrameReport:
    """What a check found."""

    action: str  # the policy's: "block", "blur", "black" or "off"
    findings: tuple[Finding, ...] = ()
    checked: int = 0  # frames that were looked at
    highest: dict[str, float] = field(default_factory=dict)  # category -> highest score
    frames: Tensor | None = None  # what may be shown, [T,H,W,C]; None where frames were streamed

    @property
    def allowed(self) -> bool:
        """Whether the work may go on: nothing was found, or what was found is concealed."""
        return not self.findings or self.action != "block"

    @property
    def flagged(self) -> int:
        """How many frames are over a threshold."""
        return len({n for f in self.findings for n in range(f.first, f.last + 1)})

    def message(self) -> str:
        """Return what was found, in one line for a person."""
        if not self.findings:
            scores = ", ".join(f"{name} at most {score:.2f}" for name, score in self.highest.items())
            return f"All {self.checked} frames are within the policy" + (f" ({scores})." if scores else ".")
        done = {"block": "is not allowed", "blur": "was blurred", "black": "was blacked out"}[self.action]
        shown = "; ".join(str(f) for f in self.findings[:5])
        more = f"; and {len(self.findings) - 5} more places" if len(self.findings) > 5 else ""
        return f"What the policy forbids {done}: {self.flagged} of {self.checked} frames, {shown}{more}."

    def as_dict(self) -> dict[str, Any]:
        """Return the report, without its frames, for JSON."""
        return {
            "allowed": self.allowed,
            "action": self.action,
            "checked": self.checked,
            "flagged": self.flagged,
            "highest": self.highest,
            "findings": [vars(f) for f in self.findings],
        }


class FrameChecker:
    """Looks at frames as a policy says. Making one loads its classifiers.

    Raises SoraError when a check that the policy asks for cannot run: a package or a file is missing, a folder of faces
    has a picture without a face.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = (policy or load_policy()).frames
        self.checks = _checks(self.policy)
        # OpenCV's networks and the likeness check keep state between calls, and two threads may share a checker.
        self._one_at_a_time = threading.Lock()

    def review(self, frames: Tensor | np.ndarray, first: int = 0) -> FrameReport:
        """Check `[T,H,W,C]` (C 1, 3 or 4; float 0..1 or uint8), whose first frame is number `first` of its video."""
        return self._review(as_batch(frames), first)[1]

    def enforce(self, frames: Tensor | np.ndarray, first: int = 0, report: FrameReport | None = None) -> Tensor:
        """Return what may be shown of `frames` (`[H,W,C]` or `[T,H,W,C]`), in their layout.

        `report`, if given, gets what was found. Raises FramesBlocked.
        """
        shown, found = self._review(as_batch(frames), first)
        if report is not None:
            vars(report).update(vars(found))
        if not found.allowed:
            raise FramesBlocked(found.message(), found.findings)
        return shown[0] if frames.ndim == 3 else shown

    def _review(self, frames: Tensor, first: int) -> tuple[Tensor, FrameReport]:
        """Check `[T,H,W,C]`. Returns what may be shown of it, and the report."""
        tally, shown = _Tally(self.policy), frames
        for start in range(0, len(frames), BATCH):
            piece = frames[start : start + BATCH]
            flagged = self._flagged(piece, first + start, tally)
            if flagged.any() and self.policy.action != "block":
                shown = shown.clone() if shown is frames else shown
                shown[start : start + BATCH][flagged] = conceal(piece[flagged], self.policy.action)
        return shown, tally.report(shown)

    def stream(self, frames: Tensor | np.ndarray | Iterable, report: FrameReport | None = None) -> Iterator[Tensor]:
        """Check frames that come one by one or in pieces. Yields what may be shown, as pieces `[t,H,W,C]`.

        Memory holds one piece of at most `BATCH` frames. `report`, if given, is kept up to date. Raises FramesBlocked
        at the first piece that is not allowed.
        """
        tally, count = _Tally(self.policy), 0
        for piece in in_batches(frames, BATCH):
            flagged = self._flagged(piece, count, tally)
            count += len(piece)
            if report is not None:
                vars(report).update(vars(tally.report(None)))
            if flagged.any():
                if self.policy.action == "block":
                    found = tally.report(None)
                    raise FramesBlocked(found.message(), found.findings)
                piece = piece.clone()
                piece[flagged] = conceal(piece[flagged], self.policy.action)
            yield piece

    def _flagged(self, piece: Tensor, first: int, tally: _Tally) -> Tensor:
        """Find the frames of `piece` `[t,H,W,C]` that are over a threshold: `[t]` bool. Notes them in `tally`."""
        pixels, flagged = as_bytes(piece), np.zeros(len(piece), bool)
        for category, check in self.checks.items():
            with self._one_at_a_time:
                scores = np.asarray(check(pixels), np.float64)
                who = getattr(check, "who", None)
            # A score of exactly 0 or 1 may come out of float32 a little beyond.
            good = scores.shape == (len(piece),) and np.isfinite(scores).all() and (np.abs(scores - 0.5) <= 0.501).all()
            expect(
                bool(good),
                f"The classifier for {category} gave no scores from 0 to 1, so the frames are not checked: mend or "
                "replace it.",
            )
            over = scores >= self.policy.thresholds[category]
            tally.add(category, first, scores, over, who)
            flagged |= over
        tally.checked += len(piece)
        return torch.from_numpy(flagged)


class _Tally:
    """Adds up what is found. Neighbouring frames are one finding, so that a long video's fit in memory."""

    def __init__(self, policy: FramePolicy) -> None:
        self.policy, self.checked = policy, 0
        self.highest: dict[str, float] = {}
        self.findings: list[Finding] = []

    def add(self, category: str, first: int, scores: np.ndarray, over: np.ndarray, who: list[str] | None) -> None:
        """Note frames `first` and on: their scores `[t]`, which of them are over the threshold, and whom they show."""
        self.highest[category] = round(max(self.highest.get(category, 0.0), float(scores.max())), 4)
        for i in np.flatnonzero(over):
            number, score, name = first + int(i), round(float(scores[i]), 4), who[i] if who else ""
            places = range(len(self.findings) - 1, -1, -1)
            at = next((n for n in places if self.findings[n].category == category), None)
            if at is not None and (self.findings[at].last, self.findings[at].who) == (number - 1, name):
                before = self.findings[at]
                score = max(before.score, score)
                self.findings[at] = Finding(category, before.first, number, score, before.threshold, name)
            else:
                threshold = self.policy.thresholds[category]
                self.findings.append(Finding(category, number, number, score, threshold, name))

    def report(self, frames: Tensor | None) -> FrameReport:
        return FrameReport(self.policy.action, tuple(self.findings), self.checked, dict(self.highest), frames)


def _checks(policy: FramePolicy) -> dict[str, FrameClassifier]:
    """Load the checks that the policy asks for."""
    checks: dict[str, FrameClassifier] = {}
    if policy.action == "off":
        return checks
    for category in policy.thresholds:
        if category == "likeness":
            from .faces import LikenessCheck

            checks[category] = LikenessCheck(policy.faces, policy.face_model)
        elif category in policy.classifiers:
            checks[category] = own_classifier(category, policy.classifiers[category])
        else:
            checks[category] = nsfw_classifier()
    return checks


_ready: list[tuple[Any, FrameChecker]] = []  # what each was made of, the latest used last
_making = threading.Lock()


def checker_for(policy: Policy) -> FrameChecker:
    """Return a `FrameChecker`, one made before while neither the policy nor the files that it names have changed."""
    made_of = policy.frames, _stamps(policy.frames)
    with _making:
        found = next((entry for entry in _ready if entry[0] == made_of), None)
        if found is None:
            found = made_of, FrameChecker(policy)
        _ready[:] = [*(entry for entry in _ready if entry is not found), found][-_KEPT:]
    return found[1]


def _stamps(policy: FramePolicy) -> list[tuple[str, int]]:
    """List the files that the policy names, with the time of their last change."""
    from .faces import files_below

    places = [Path(p) for p in (policy.faces, policy.face_model, *policy.classifiers.values()) if p]
    cards = [p.with_suffix(".toml") for p in places if p.suffix == ".onnx"]
    files = [f for p in (*places, *cards) for f in (sorted(files_below(p)) if p.is_dir() else [p]) if f.is_file()]
    return [(str(f), f.stat().st_mtime_ns) for f in files]
