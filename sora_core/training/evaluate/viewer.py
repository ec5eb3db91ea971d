"""Would a viewer who sees only the picture name its subject right? Fitted to blind naming: `tests/benchmarks/blind.py`.

A logistic regression over the clues of `clues.py`, and over which subject it is and how it moves: few numbers, in
`viewer.json`, with the labels they come from in `tests/data/blind.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SoraError
from ...observer.network import ObserverConfig
from .cases import Case, Draw
from .clues import NAMES, Pictures, Watch, clues

FILE = Path(__file__).with_name("viewer.json")


Asked = tuple[str, str]  # the subject and the motion of a clip


@dataclass(frozen=True)
class Viewer:
    """The fitted model. It knows how hard each subject and motion is to name while shapes are as they are."""

    names: tuple[str, ...]  # of the clues it reads
    mean: tuple[float, ...]  # of each, over the clips it was fitted to
    spread: tuple[float, ...]
    weights: tuple[float, ...]  # of each, in spreads
    bias: float
    subjects: dict[str, float]  # what is added for a subject, 0 for those that are not there
    motions: dict[str, float]  # and for a motion

    def chance(self, clues: dict[str, float], asked: Asked) -> float:
        """Return the probability that a viewer names the subject of a clip with these clues."""
        x = (np.array([clues[name] for name in self.names]) - self.mean) / self.spread
        known = self.bias + self.subjects.get(asked[0], 0.0) + self.motions.get(asked[1], 0.0)
        return float(_logistic(x @ np.array(self.weights) + known))

    def names_it(self, clues: dict[str, float], asked: Asked) -> bool:
        """Tell whether a viewer would rather name the subject than not."""
        return self.chance(clues, asked) >= 0.5


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def fit(
    rows: Sequence[dict[str, float]],
    asked: Sequence[Asked],
    named: Sequence[bool],
    names: Sequence[str] = NAMES,
    ridge: float = 0.5,
) -> Viewer:
    """Fit a viewer to clues and to what viewers named, by Newton's method; ridge: the penalty on squared weights."""
    x = np.array([[row[name] for name in names] for row in rows], float)
    y = np.asarray(named, float)
    mean, spread = x.mean(0), x.std(0) + 1e-9
    kinds = [sorted({pair[k] for pair in asked}) for k in (0, 1)]
    known = [[float(pair[k] == name) for k in (0, 1) for name in kinds[k]] for pair in asked]
    x = np.c_[(x - mean) / spread, known, np.ones(len(x))]
    penalty = np.diag([ridge] * (x.shape[1] - 1) + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = _logistic(x @ weights)
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, x.T @ (y - p) - penalty @ weights)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    n, kept = len(names), [round(float(value), 4) for value in weights]
    last = n + len(kinds[0])
    return Viewer(
        names=tuple(names),
        mean=tuple(round(float(v), 4) for v in mean),
        spread=tuple(round(float(v), 4) for v in spread),
        weights=tuple(kept[:n]),
        bias=kept[-1],
        subjects=dict(zip(kinds[0], kept[n:last], strict=True)),
        motions=dict(zip(kinds[1], kept[last:-1], strict=True)),
    )


def save(viewer: Viewer, path: Path = FILE) -> None:
    """Write a viewer as JSON."""
    path.write_text(json.dumps(asdict(viewer), indent=1) + "\n", encoding="utf-8")


def load_viewer(path: Path = FILE) -> Viewer:
    """Load the fitted viewer. Raises SoraError for a file that holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(data[key]) for key in ("names", "mean", "spread", "weights")}
        given: dict[str, Any] = lists | {key: data[key] for key in ("bias", "subjects", "motions")}
        return Viewer(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SoraError(f"{path} is no fitted viewer ({error}). Fit one: tests/benchmarks/blind.py fit.") from error


class Eyes:
    """Judges clips of a draw's subjects as viewers would. The draw needs the pictures that the model learned."""

    def __init__(self, draw: Draw, watch: Watch, config: ObserverConfig) -> None:
        bank = draw.worlds[draw.preset].bank
        self.pictures = Pictures(bank, [name for name in config.subjects if bank.available(name)])
        self.watch = watch

    def clues(self, asked: Sequence[Asked], videos: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """Gather the clues of videos float `[T,H,W,3]`; asked: the subject and the motion of each."""
        return clues(videos, asked, self.watch, self.pictures) if asked else []

    def named(self, cases: Sequence[Case], videos: Sequence[np.ndarray]) -> list[bool | None]:
        """Tell of each video float `[T,H,W,3]` whether viewers would name its subject; None where they were not asked.

        They were asked about single subjects that move before a camera that stands still.
        """
        part = [(i, one) for i, one in enumerate(map(lone, cases)) if one is not None]
        found, viewer = self.clues([one for _, one in part], [videos[i] for i, _ in part]), load_viewer()
        out: list[bool | None] = [None] * len(cases)
        for (i, one), row in zip(part, found, strict=True):
            out[i] = viewer.names_it(row, one)
        return out


def lone(case: Case) -> Asked | None:
    """Return subject and motion of a case of one subject, one shot, no event and a camera that stands; else None."""
    facts = case.facts
    if len(case.prompts) > 1 or len(facts["subjects"]) > 1 or facts["events"] or facts["camera"] != "static":
        return None
    (subject,) = facts["subjects"]
    # Prompts that are written by hand may name no subject, or leave it open.
    if case.free and case.must.get("subject") != subject["name"]:
        return None
    return subject["name"], subject["motion"]
