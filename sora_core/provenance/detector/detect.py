"""Was this video made here? Ask the credentials, then the watermark, then a classifier, and say which one speaks.

The credentials are signed and say what was done. The watermark survives re-encoding and has a p-value that is a bound.
The classifier only recognises how a decoder paints, with error rates that tests/benchmarks/safety.py measures; its
probability is meant for even numbers of clips that are ours and that are not. So the first that has an answer speaks,
and the others are reported beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...about import GENERATOR
from ...errors import SoraError, expect
from ...files import PICTURES, is_file
from ..watermark.reading import Accumulator, WatermarkReport, read
from . import traces
from .classifier import WEIGHTS, load_classifier

# Probability from which the classifier's answer is yes. Not 0.5: most videos are not ours, so a yes that is wrong one
# time in ten among even numbers of both would mostly be wrong.
MARKED = 0.9


@dataclass(frozen=True)
class Detection:
    """What was found out about a video."""

    evidence: str  # which one speaks: "credentials", "watermark" or "classifier"
    made_here: bool
    # That the video was made here: 1 for credentials of a trusted signer, 1 minus the bound on a false positive for a
    # mark, else the classifier's.
    probability: float
    credentials: tuple[str, ...]  # lines, none when the file has no credentials
    watermark: WatermarkReport
    classifier: float  # probability of the whole video
    frames: tuple[float, ...]  # the classifier's probability of each frame
    notes: tuple[str, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)  # of the classifier: what it was trained on, and its figures

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)

    def text(self) -> str:
        """Return the report in lines, for a person."""
        mark = self.watermark
        says = "say so" if self.evidence == "credentials" else "says so"
        lines = [
            f"{'Made here' if self.made_here else 'No sign that it was made here'}: the {self.evidence} "
            f"{says if self.made_here else 'found nothing'} (probability {self.probability:.4g})."
        ]
        lines.append("Credentials: " + ("; ".join(self.credentials) or "none") + ".")
        if mark.found:
            placed = "" if mark.scale == 1 and mark.shift == (0, 0) else f", the picture cut to 1/{mark.scale:.2f}"
            lines.append(
                f"Watermark: payload {mark.payload:08x}, p <= {mark.p_value:.1e}{placed}"
                f"{', mirrored' if mark.mirrored else ''}; least certain bit {min(mark.bit_confidence):.4f}."
            )
        else:
            lines.append(f"Watermark: none with this key (p <= {mark.p_value:.2g}).")
        where = self.info.get("decoder", "its decoder")
        lines.append(
            f"Classifier: {self.classifier:.3f} that {where} painted it, frames {min(self.frames):.2f} to "
            f"{max(self.frames):.2f}."
        )
        return "\n".join([*lines, *self.notes])


def detect_frames(
    frames: Iterable[Any],
    *,
    key: bytes | str | None = None,
    credentials: tuple[str, ...] = (),
    claimed: bool = False,
    trusted: bool = False,
    notes: tuple[str, ...] = (),
    classifier: Path = WEIGHTS,
) -> Detection:
    """Examine frames `[H,W,3]` (uint8 or float 0..1), one after the other. Memory does not grow with their number.

    key: of the watermark; None is the public one.
    credentials: lines of what the file's credentials say.
    claimed: whether whole credentials name this software.
    trusted: whether their signer is trusted.

    Raises SoraError when there are no frames, or they are smaller than 32 pixels a side.
    """
    network, summed, rows = load_classifier(classifier), Accumulator(), []
    for frame in frames:
        summed.add(frame)
        rows.append(traces.frame_traces(frame))
    expect(bool(rows), "There are no frames to examine: the video is empty.")
    mark = read(summed, key)
    logits = network.frame_logits(np.stack(rows))
    guess = float(network.probability(logits.mean()))
    if len(rows) == 1:
        notes = (*notes, "One frame only: the classifier is less sure than its figures say.")
    if mark.found:
        evidence, made, probability = "watermark", True, 1 - mark.p_value
    else:
        evidence, made, probability = "classifier", guess >= MARKED, guess
    if claimed:
        # Anybody can write a claim that nobody vouches for: then the probability is what the other evidence gives.
        evidence, made, probability = "credentials", True, 1.0 if trusted else probability
    return Detection(
        evidence,
        made,
        probability,
        credentials,
        mark,
        guess,
        tuple(network.probability(logits).round(4).tolist()),
        notes,
        network.info,
    )


def detect_file(
    path: str | Path, *, key: bytes | str | None = None, trust: str | Path | None = None, classifier: Path = WEIGHTS
) -> Detection:
    """Examine a video or a picture. Raises SoraError for what is neither, is empty or damaged.

    key: of the watermark; None is the public one.
    trust: PEM file of the signers' certificates to trust.
    """
    from ...media.stills import read_still
    from ...media.video import iter_frames

    path = Path(path)
    expect(is_file(path), f"There is no file {str(path)!r}: check the name.")
    expect(path.stat().st_size > 0, f"{path.name} is empty (0 bytes): give the whole file.")
    lines, claimed, trusted, notes = _credentials(path, trust)
    frames: Iterable[Any] = read_still(path) if path.suffix.lower() in PICTURES else iter_frames(path)
    return detect_frames(
        frames, key=key, credentials=lines, claimed=claimed, trusted=trusted, notes=notes, classifier=classifier
    )


def _credentials(path: Path, trust: str | Path | None) -> tuple[tuple[str, ...], bool, bool, tuple[str, ...]]:
    """Read the credentials: what they say, whether they are whole and name this software, whether trusted, notes."""
    from ..credentials.verify import verify

    try:
        report = verify(path, trust)
    except SoraError as error:  # the library that reads them is missing, or the file is of a kind that has none
        return (), False, False, (f"Credentials were not checked: {error}",)
    lines = tuple(line.strip() for line in report.lines())[1:]
    if report.state == "none":
        return lines, False, False, ()
    if report.state != "intact" or report.manifest is None:
        return (report.state, *lines), False, False, ("The credentials do not hold, so they do not count here.",)
    claimed = (report.manifest.generator or "").startswith(GENERATOR)
    notes = () if report.trusted else ("The signer of the credentials is not trusted: anybody can make such ones.",)
    return (report.state, *lines), claimed, report.trusted, notes
