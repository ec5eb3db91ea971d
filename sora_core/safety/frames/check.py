"""Frames against the policy: what was found where, and what may be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SoraError, expect
from ..policy import FramePolicy, Policy, load_policy
from .classifiers import Classifier, nsfw_classifier, own_classifier
from .pixels import as_batch, as_bytes, conceal, in_batches

# Frames that are looked at together: more is hardly faster and takes more memory.
BATCH = 16


class FramesBlocked(SoraError):
    """The policy does not let these frames through. `findings` says which, why."""

    def __init__(self, message: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(message)
        self.findings = findings


@dataclass(frozen=True)
class Finding:
    """Frames `first` to `last` that are over the threshold. score: the highest; who: whom a face is like."""

    category: str
    first: int
    last: int
    score: float
    threshold: float
    who: str = ""

    def __str__(self) -> str:
        where = f"frame {self.first}" if self.first == self.last else f"frames {self.first} to {self.last}"
        who = f" of {self.who}" if self.who else ""
        return f"{where}: {self.category}{who} {self.score:.2f} (allowed below {self.threshold:.2f})"


@dataclass
class FrameReport:
    """What a check found. frames: `[T,H,W,C]`, what may be shown, None where they were streamed.

    checked: frames that were looked at; highest: the highest score by category.
    """

    action: str
    findings: tuple[Finding, ...] = ()
    checked: int = 0
    highest: dict[str, float] = field(default_factory=dict)
    frames: Tensor | None = None

    @property
    def allowed(self) -> bool:
        """Whether the work may go on: nothing was found, or what was found is concealed."""
        return not self.findings or self.action != "block"

    @property
    def flagged(self) -> int:
        """How many frames are over a threshold."""
        return len({n for f in self.findings for n in range(f.first, f.last + 1)})

    def message(self) -> str:
        """One line for a person."""
        if not self.findings:
            scores = ", ".join(f"{name} at most {score:.2f}" for name, score in self.highest.items())
            return f"All {self.checked} frames are within the policy" + (f" ({scores})." if scores else ".")
        done = {"block": "is not allowed", "blur": "was blurred", "black": "was blacked out"}[self.action]
        shown = "; ".join(str(f) for f in self.findings[:5])
        more = f"; and {len(self.findings) - 5} more places" if len(self.findings) > 5 else ""
        return f"What the policy forbids {done}: {self.flagged} of {self.checked} frames, {shown}{more}."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
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

    def review(self, frames: Tensor | np.ndarray, first: int = 0) -> FrameReport:
        """Check `[T,H,W,C]` (C 1, 3 or 4; float 0..1 or uint8), whose first frame is number `first` of its video."""
        tally = _Tally(self.policy)
        whole = as_batch(frames)
        made = whole
        for start in range(0, len(whole), BATCH):
            piece = whole[start : start + BATCH]
            flagged = self._flagged(piece, first + start, tally)
            if flagged.any() and self.policy.action != "block":
                made = made.clone() if made is whole else made
                made[start : start + BATCH][flagged] = conceal(piece[flagged], self.policy.action)
        return tally.report(made)

    def enforce(self, frames: Tensor | np.ndarray, first: int = 0) -> Tensor:
        """What may be shown of `frames`, in their layout. Raises FramesBlocked."""
        report = self.review(frames, first)
        if not report.allowed:
            raise FramesBlocked(report.message(), report.findings)
        return report.frames[0] if frames.ndim == 3 else report.frames

    def stream(self, frames: Tensor | np.ndarray | Iterable, report: FrameReport | None = None) -> Iterator[Tensor]:
        """What may be shown of frames that come one by one or in pieces, as pieces `[t,H,W,C]`; memory holds one.

        Raises FramesBlocked at the first piece that is not allowed. `report`, if given, is kept up to date.
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
        """Which frames of `piece` `[t,H,W,C]` are over a threshold: `[t]` bool. Notes them in `tally`."""
        pixels, flagged = as_bytes(piece), np.zeros(len(piece), bool)
        for category, check in self.checks.items():
            scores = np.asarray(check(pixels), np.float64)
            good = scores.shape == (len(piece),) and np.isfinite(scores).all() and (np.abs(scores - 0.5) <= 0.501).all()
            expect(
                bool(good),
                f"The classifier for {category} gave no scores from 0 to 1, so the frames are not "
                "checked: mend or replace it.",
            )
            over = scores >= self.policy.thresholds[category]
            tally.add(category, first, scores, over, getattr(check, "who", None))
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
        self.highest[category] = round(max(self.highest.get(category, 0.0), float(scores.max())), 4)
        for i in np.flatnonzero(over):
            number, score, name = first + int(i), round(float(scores[i]), 4), who[i] if who else ""
            at = next((n for n in range(len(self.findings) - 1, -1, -1) if self.findings[n].category == category), None)
            last = self.findings[at] if at is not None else None
            if last is not None and last.last == number - 1 and last.who == name:
                begin, score = last.first, max(last.score, score)
                self.findings[at] = Finding(category, begin, number, score, last.threshold, name)
            else:
                threshold = self.policy.thresholds[category]
                self.findings.append(Finding(category, number, number, score, threshold, name))

    def report(self, frames: Tensor | None) -> FrameReport:
        return FrameReport(self.policy.action, tuple(self.findings), self.checked, dict(self.highest), frames)


def _checks(policy: FramePolicy) -> dict[str, Classifier]:
    """The checks that the policy asks for, ready to run."""
    checks: dict[str, Classifier] = {}
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


_last: tuple[Any, FrameChecker] | None = None


def checker_for(policy: Policy) -> FrameChecker:
    """A `FrameChecker`, the last one again while neither the policy nor the files that it names have changed."""
    global _last
    key = policy.frames, _stamps(policy.frames)
    if _last is None or _last[0] != key:
        _last = key, FrameChecker(policy)
    return _last[1]


def _stamps(policy: FramePolicy) -> list[tuple[str, int]]:
    """The files that the policy names, with the time of their last change."""
    places = [Path(p) for p in (policy.faces, policy.face_model, *policy.classifiers.values()) if p]
    files = [f for p in places for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]
    return [(str(f), f.stat().st_mtime_ns) for f in files]
