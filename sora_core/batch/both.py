"""Two policies at once: a worker's own, and that of whoever sent the job. Neither can be got round by the other.

One of them is in force while a job is made: the worker's where that is locked, or else the sender's. By the other one
the words are judged too, wherever they stand (in a workflow, a negative prompt, a wording), and the files after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import expect
from ..files import PICTURES
from ..media.stills import read_still
from ..media.video import iter_frames
from ..safety import gate
from ..safety.frames import FrameReport, FramesBlocked, checker_for
from ..safety.policy import Policy, configured_policy

_C2PA = ("off", "on", "required")


@dataclass(frozen=True)
class Policies:
    """The policies that a job is made under."""

    ruling: Policy | None  # in force
    other: Policy | None = None  # judged by besides

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Enforce the one within the block, and judge every text that is read there by the other one too."""
        with gate.enforcing(self.ruling), gate.judging_besides(self.other):
            yield

    def judge_files(self, files: Iterable[Path]) -> None:
        """Raise FramesBlocked where the other policy would not have shown a file as it is."""
        if self.other is None or self.other.frames.action == "off":
            return
        checker = checker_for(self.other)
        for path in files:
            report = FrameReport(self.other.frames.action)
            frames = read_still(path) if path.suffix.lower() in PICTURES else iter_frames(path)
            for _ in checker.stream(frames, report):
                pass
            if report.findings:
                told = f"{report.message()} So says the sender's policy {self.other.name!r}."
                raise FramesBlocked(told, tuple(report.findings))


def join(sent: Policy | None) -> Policies:
    """Join the policy of whoever sent a job with the one of this machine.

    Raises SoraError for a policy here that cannot be read, and where it marks files less than the sender asks for.
    """
    own = configured_policy()
    if own is None or sent is None or own == sent:
        return Policies(sent if own is None else own)
    if not own.locked:
        return Policies(sent)
    mine, asked = own.provenance, sent.provenance
    weaker = [
        name
        for name, lacks in (
            ("c2pa", _C2PA.index(mine.c2pa) < _C2PA.index(asked.c2pa)),
            ("watermark", asked.watermark and not mine.watermark),
            ("label", not set(asked.label) <= set(mine.label)),
            ("visible_label", asked.visible_label and not mine.visible_label),
        )
        if lacks
    ]
    expect(
        not weaker,
        f"its locked policy {own.name!r} marks files less than yours, {sent.name!r}, asks for "
        f"({', '.join('provenance.' + name for name in weaker)}): leave this worker out, or bring the two together.",
    )
    return Policies(own, sent)
