"""Was this video made here? Ask the credentials, the watermark and a classifier, and say of each what it proves.

Credentials prove it if their signer is trusted, or has this machine's own key: nobody else can sign so. All else can be
forged. Anybody can write credentials that nobody vouches for, and they count for nothing, either way. The watermark has
a p-value that is a bound, so that it is hardly ever there by chance; but with the public key anybody can write it. One
of a secret key that was copied from another clip is not tied to the pictures: where that is seen, it counts for
nothing, and where it cannot be seen, because they were cut or spoilt, that is said. The classifier recognises how a
decoder paints, with error rates that tests/benchmarks/safety.py measures; its probability is meant for even numbers of
clips that are ours and are not. So there are three verdicts, and no forgery makes, or undoes, the first.
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
from ..credentials.binding import Stated
from ..watermark.payloads import known_payloads
from ..watermark.reading import FALSE_POSITIVE_RATE, WatermarkReport, read
from ..watermark.summing import Accumulator
from ..watermark.tie import HOLDS, OTHER
from . import traces
from .classifier import WEIGHTS, load_classifier

# Probability from which the classifier's answer is yes. Not 0.5: most videos are not ours, so a yes that is wrong one
# time in ten among even numbers of both would mostly be wrong.
MARKED = 0.9
VERDICTS = {
    "made here": "Made here, and that is proven",
    "signs": "Not proven, but there are signs that it was made here",
    "no sign": "No sign that it was made here",
}


@dataclass(frozen=True)
class Evidence:
    """One witness."""

    name: str  # "credentials", "watermark" or "classifier"
    speaks: bool  # whether it says that the video was made here
    proves: bool  # whether nobody could have forged that
    text: str  # what it says, and what that proves


@dataclass(frozen=True)
class Claim:
    """What the credentials of a file claim of it."""

    lines: tuple[str, ...] = ()  # what they say, none when the file has none
    state: str = "none"  # as of `credentials.verify.Report`
    ours: bool = False  # whether they say that this software made it
    trusted: bool = False  # whether their signer is trusted
    own: bool = False  # whether this machine's own key signed them
    notes: tuple[str, ...] = ()
    mark: Stated | None = None  # the mark that their soft binding states

    def evidence(self) -> Evidence:
        """Say what it is worth."""
        proves = self.ours and (self.trusted or self.own)
        if proves:
            who = "this machine's own key" if self.own else "a signer whom you trust"
            text = f"signed by {who}, and unchanged. That proves it."
        elif self.state in ("tampered", "broken"):
            text = "they do not hold, so they count for nothing, either way."
        elif self.ours:
            text = "they say so, by the word of a signer who is not trusted. Anybody can write that: it proves nothing."
        elif self.state in ("intact", "expired"):
            text = "they do not say that this software made it."
        else:
            text = "none. They are easily removed: that proves nothing."
        return Evidence("credentials", proves, proves, text)


@dataclass(frozen=True)
class Detection:
    """What was found out about a video."""

    evidence: str  # which one speaks: "credentials" (only where they prove it), "watermark" or "classifier"
    made_here: bool  # whether that is proven
    # That the video was made here: 1 where it is proven; where nobody has forged anything, 1 minus the bound on a false
    # positive for a mark, else the classifier's.
    probability: float
    credentials: tuple[str, ...]  # lines, none when the file has no credentials
    watermark: WatermarkReport
    classifier: float  # probability of the whole video
    frames: tuple[float, ...]  # the classifier's probability of each frame
    notes: tuple[str, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)  # of the classifier: what it was trained on, and its figures
    verdict: str = "no sign"  # one of VERDICTS
    witnesses: tuple[Evidence, ...] = ()  # all three

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)

    def text(self) -> str:
        """Return the report in lines, for a person."""
        mark, credentials, seen, painted = self.watermark, *self.witnesses
        signs = " and the ".join(each.name for each in self.witnesses if each.speaks)
        lines = [f"{VERDICTS[self.verdict]}{f': the {signs}' if signs else ''} (probability {self.probability:.4g})."]
        lines.append(f"Credentials: {credentials.text}")
        lines += [f"  {line}" for line in self.credentials]
        if mark.found:
            placed = "" if mark.scale == 1 and mark.shift == (0, 0) else f", the picture cut to 1/{mark.scale:.2f}"
            placed += ", mirrored" if mark.mirrored else ""
            placed += ", between black bars" if mark.boxed else ""
            placed += f", stretched by {mark.stretch:.2f} across" if mark.stretch != 1 else ""
            placed += f", turned by {abs(mark.angle):.1f} degrees" if mark.angle else ""
            carries = f"clip {mark.name}" if mark.kind == "clip" else f"payload {mark.name}, of before"
            lines.append(
                f"Watermark: {carries}, p <= {mark.p_value:.1e}{placed}; least certain bit "
                f"{min(mark.bit_confidence):.4f}. {seen.text}"
            )
        else:
            lines.append(f"Watermark: none with this key (p <= {mark.p_value:.2g}). {seen.text}")
        where = self.info.get("decoder", "its decoder")
        lines.append(
            f"Classifier: {self.classifier:.3f} that {where} painted it, frames {min(self.frames):.2f} to "
            f"{max(self.frames):.2f}. {painted.text}"
        )
        return "\n".join([*lines, *self.notes])


def detect_frames(
    frames: Iterable[Any],
    *,
    key: bytes | str | None = None,
    claim: Claim = Claim(),  # noqa: B008 (it cannot be changed)
    classifier: Path = WEIGHTS,
) -> Detection:
    """Examine frames `[H,W,3]` (uint8 or float 0..1), one after the other. Memory does not grow with their number.

    key: of the watermark; None is the public one. claim: what the credentials of their file claim.

    Raises SoraError when there are no frames, or they are smaller than 32 pixels a side.
    """
    network, summed, rows = load_classifier(classifier), Accumulator(), []
    for frame in frames:
        summed.add(frame)
        rows.append(traces.frame_traces(frame))
    expect(bool(rows), "There are no frames to examine: the video is empty.")
    mark, key = _read_mark(summed, key)
    logits = network.frame_logits(np.stack(rows))
    guess = float(network.probability(logits.mean()))
    notes = claim.notes
    if len(rows) == 1:
        notes = (*notes, "One frame only: the classifier is less sure than its figures say.")
    witnesses = claim.evidence(), _of_mark(mark, key, claim.mark), _of_look(guess)
    if witnesses[0].proves:
        evidence, probability = "credentials", 1.0
    elif witnesses[1].speaks:
        evidence, probability = "watermark", 1 - mark.p_value
    else:
        evidence, probability = "classifier", guess
    proven, signs = any(each.proves for each in witnesses), any(each.speaks for each in witnesses)
    return Detection(
        evidence,
        proven,
        probability,
        claim.lines,
        mark,
        guess,
        tuple(network.probability(logits).round(4).tolist()),
        notes,
        network.info,
        "made here" if proven else "signs" if signs else "no sign",
        witnesses,
    )


def _read_mark(summed: Accumulator, key: bytes | str | None) -> tuple[WatermarkReport, bytes | str | None]:
    """Look for the mark of a key, or else for the public one's, of before there was another. Returns the key, too."""
    known = known_payloads()
    if key is None:
        return read(summed, known=known), None
    # Two looks, and the bound on a false alarm is for both together.
    rate = FALSE_POSITIVE_RATE / 2
    mark = read(summed, key, false_positive_rate=rate, known=known)
    public = mark if mark.found else read(summed, false_positive_rate=rate, known=known)
    return (public, None) if public.found and not mark.found else (mark, key)


def _of_mark(mark: WatermarkReport, key: bytes | str | None, stated: Stated | None) -> Evidence:
    """Say what a mark is worth. stated: what credentials state, which anybody may have written: told, and no more."""
    told = _compared(mark, stated)
    if not mark.found:
        return Evidence("watermark", False, False, f"It can be lost: that proves nothing.{told}")
    if mark.kind == "clip" and mark.tie == OTHER:
        text = "It is the mark of other pictures: copied or cut from another clip. It counts for nothing."
        return Evidence("watermark", False, False, text + told)
    if key is None:
        text = "This key is public: anybody can write its mark. It is a sign, and proves nothing."
    elif mark.kind == "model":
        text = "Who wrote it had the key, or copied it from a clip that has it. It is a sign, and proves nothing."
    elif mark.tie == HOLDS:
        text = "Who wrote it had the key, for these pictures or such as look alike. It is a sign, and proves nothing."
    else:
        text = "Who wrote it had the key, or copied it from a clip that has it. It is a sign, and proves nothing."
    if mark.kind == "clip":
        shown = f"holds (p <= {mark.tie_p:.1e})" if mark.tie == HOLDS else "is not shown, as they were cut or spoilt"
        text = f"Its tie to these pictures {shown}. {text}"
    return Evidence("watermark", True, False, text + told)


def _compared(mark: WatermarkReport, stated: Stated | None) -> str:
    """Say whether a mark is the one that the credentials state."""
    if stated is None:
        return ""
    if stated.problem:
        return f" Of the credentials, {stated.problem}."
    if not mark.found:
        return f" The credentials state {stated.name}."
    if mark.kind == "clip" and mark.name == stated.name:
        return " The credentials state the same."
    return f" The credentials state {stated.name}, another one: they are not of this clip, or it was made of others."


def _of_look(guess: float) -> Evidence:
    """Say what the classifier's probability is worth."""
    text = "It is right for most clips and no proof for any: read it as a hint."
    return Evidence("classifier", guess >= MARKED, False, text)


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
    claim = _claim(path, trust)
    frames: Iterable[Any] = read_still(path) if path.suffix.lower() in PICTURES else iter_frames(path)
    return detect_frames(frames, key=key, claim=claim, classifier=classifier)


def _claim(path: Path, trust: str | Path | None) -> Claim:
    """Read the credentials of a file, and ask whose word they are."""
    from ..credentials.verify import signed_here, verify

    try:
        report = verify(path, trust, marks=False)
    except SoraError as error:  # the library that reads them is missing, or the file is of a kind that has none
        return Claim(notes=(f"Credentials were not checked: {error}",))
    lines = tuple(line.strip() for line in report.lines())[1:]
    if report.state not in ("none", "elsewhere"):
        lines = (report.state, *lines)
    manifest = report.manifest
    ours = (
        report.state in ("intact", "expired")
        and manifest is not None
        and (manifest.generator or "").startswith(GENERATOR)
        and manifest.generated
    )
    own = ours and report.state == "intact" and signed_here(path)
    return Claim(lines, report.state, ours, report.trusted, own, mark=None if manifest is None else manifest.mark)
