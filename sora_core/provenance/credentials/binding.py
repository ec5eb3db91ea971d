"""The soft binding (C2PA 2.2, "Soft bindings"): the credentials state which mark a file carries, and it is compared.

A mark of a clip is stated twice: by the action c2pa.watermarked.bound, and by the assertion c2pa.soft-binding with the
algorithm and the number that was read back from the file. Marks of before, which name a model, are stated by the action
c2pa.watermarked.unbound alone. The algorithm is our own and in no registry.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SoraError
from .checks import one_line

OURS = "org.sora-nodes."
LABEL = "c2pa.soft-binding"
ALGORITHM = OURS + "watermark.2"
DIGITS = 4  # of a number, in hexadecimal
MOST_RUNS = 64  # of frames that are listed; of more it is only said that the file has the mark
_RUNS = re.compile(r"\d{1,9}-\d{1,9}(,\d{1,9}-\d{1,9}){0,63}")


@dataclass(frozen=True)
class Stated:
    """A mark as credentials state it."""

    kind: str = "clip"  # or "model", of before
    name: str = ""  # the number, or the payload, in hexadecimal
    runs: str = ""  # frames that have it, as "0-8,17-25"; "" for all
    problem: str = ""  # what is wrong with the statement, "" for nothing; then it counts for nothing

    @property
    def bound(self) -> bool:
        """Whether it is stated which clip it is."""
        return self.kind == "clip"

    def action(self) -> dict[str, Any]:
        """Return the action that put the mark there."""
        runs = {OURS + "frames": self.runs} if self.runs else {}
        word = "c2pa.watermarked.bound" if self.bound else "c2pa.watermarked.unbound"
        return {"action": word, "parameters": {OURS + "watermark": self.name, **runs}}

    def assertion(self) -> dict[str, Any]:
        """Return the soft binding."""
        data = {"alg": ALGORITHM, "blocks": [{"scope": {}, "value": self.name}], "name": "watermark of the clip"}
        return {"label": LABEL, "created": True, "data": data}


def runs_of(marked: list[bool]) -> str:
    """Write down which frames are marked; "" for all of them, and for more runs than are listed."""
    if all(marked):
        return ""
    runs, at = [], 0
    for is_marked, group in itertools.groupby(marked):
        count = len(list(group))
        runs += [f"{at}-{at + count - 1}"] if is_marked else []
        at += count
    return ",".join(runs) if len(runs) <= MOST_RUNS else ""


def _chosen(runs: str) -> Iterator[bool]:
    """Yield of each frame, first to last, whether it is in one of the runs."""
    parts = [tuple(map(int, run.split("-"))) for run in runs.split(",")]
    last = max(end for _, end in parts)
    for at in itertools.count():
        if at > last:
            return
        yield any(start <= at <= end for start, end in parts)


def stated(assertions: list[Any], actions: list[Any]) -> Stated | None:
    """Read the soft binding of a manifest, whoever wrote it; None where there is none.

    A statement that is broken, or of another algorithm, comes with its problem.
    """
    found = [each for each in assertions if isinstance(each, dict) and _is_binding(str(each.get("label")))]
    if not found:
        return None
    if len(found) > 1:
        return Stated(problem=f"there are {len(found)} soft bindings, and nothing says which one counts")
    data = found[0].get("data")
    if not isinstance(data, dict) or not isinstance(data.get("blocks"), list) or not data["blocks"]:
        return Stated(problem="the soft binding states no value")
    if data.get("alg") != ALGORITHM:
        return Stated(
            problem=f"the soft binding is of an algorithm that is not known here: {one_line(data.get('alg'))}"
        )
    values = {one_line(each.get("value")) if isinstance(each, dict) else "" for each in data["blocks"]}
    value = values.pop()
    if values or not re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", value):
        return Stated(problem=f"the soft binding states no number of a clip: {value or 'nothing'}")
    return Stated(name=value, runs=_runs_in(actions))


def _is_binding(label: str) -> bool:
    # A second assertion of a kind has a number behind its label.
    return label == LABEL or label.startswith(LABEL + "__")


def _runs_in(actions: list[Any]) -> str:
    """Return the frames that the action names; "" where it names none, or nothing that can be read."""
    for each in actions:
        if isinstance(each, dict) and each.get("action") == "c2pa.watermarked.bound":
            parameters = each.get("parameters")
            runs = parameters.get(OURS + "frames") if isinstance(parameters, dict) else None
            return runs if isinstance(runs, str) and _RUNS.fullmatch(runs) else ""
    return ""


def compare(path: Path, mark: Stated) -> str:
    """Compare what is stated with the mark that the file carries, with the user's key and then the public one: a line.

    It begins with "! " where they disagree, and where nothing can be compared because the statement is broken.
    """
    if mark.problem:
        return f"! {mark.problem}"
    from ..watermark.secret import watermark_key

    try:
        own = watermark_key()
        keys: list[str | None] = [None] if own is None else [own, None]
        return _compared(path, mark, keys)
    except SoraError as error:
        return f"mark {mark.name} is stated, and was not compared: {one_line(error)}"


def _compared(path: Path, mark: Stated, keys: list[str | None]) -> str:
    from ..watermark.files import frames_of
    from ..watermark.reading import FALSE_POSITIVE_RATE, MOST_READ, read_at_rest
    from ..watermark.summing import Accumulator
    from ..watermark.tie import HOLDS, OTHER

    frames, summed = frames_of(path), Accumulator()
    if mark.runs:
        frames = itertools.compress(frames, _chosen(mark.runs))
    for frame in itertools.islice(frames, MOST_READ):
        summed.add(frame)
    if not summed.frames:
        return f"! mark {mark.name} is stated of frames that the file does not have"
    number, rate = int(mark.name, 16), FALSE_POSITIVE_RATE / (2 * len(keys))
    for key in keys:
        # By its name first: what was made of a clip with a mark of its own may carry both.
        report = read_at_rest(summed, key, false_positive_rate=rate, only=number)
        if report.found and report.tie == OTHER:
            return f"! mark {mark.name} is there, but it is of other pictures: copied or cut from another clip"
        if report.found:
            tied = "tied to these pictures" if report.tie == HOLDS else "but its tie to these pictures is not shown"
            return f"mark {mark.name} is stated and there, {tied}"
    for key in keys:
        report = read_at_rest(summed, key, false_positive_rate=rate)
        if report.found:
            whose = "of another clip" if report.kind == "clip" else "of before, which names a model and no clip"
            return f"! mark {mark.name} is stated, and the file carries {report.name}, {whose}: they disagree"
    return f"mark {mark.name} is stated, and cannot be read here: it was made with another key, or is gone"
