"""Would a viewer who sees only the picture name its subject right? Fitted to blind naming: `tests/benchmarks/blind.py`.

A logistic regression over the clues of `clues.py`: few numbers, in `viewer.json`, with the labels they come from in
`tests/data/blind.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...errors import SoraError
from ...observer.network import ObserverConfig
from .cases import Case, Draw
from .clues import Pictures, Watch, clues

FILE = Path(__file__).with_name("viewer.json")


@dataclass(frozen=True)
class Viewer:
    """The fitted model."""

    names: tuple[str, ...]  # of the clues it reads
    mean: tuple[float, ...]  # of each, over the clips it was fitted to
    spread: tuple[float, ...]
    weights: tuple[float, ...]  # of each, in spreads
    bias: float

    def chance(self, clues: dict[str, float]) -> float:
        """Return the probability that a viewer names the subject of a clip with these clues."""
        x = (np.array([clues[name] for name in self.names]) - self.mean) / self.spread
        return float(1 / (1 + np.exp(-np.clip(x @ np.array(self.weights) + self.bias, -30, 30))))

    def names_it(self, clues: dict[str, float]) -> bool:
        """Tell whether a viewer would rather name the subject than not."""
        return self.chance(clues) >= 0.5


def fit(rows: Sequence[dict[str, float]], named: Sequence[bool], names: Sequence[str], ridge: float = 1.0) -> Viewer:
    """Fit a viewer to clues and to what viewers named, by Newton's method; ridge: the penalty on squared weights."""
    x = np.array([[row[name] for name in names] for row in rows], float)
    y = np.asarray(named, float)
    mean, spread = x.mean(0), x.std(0) + 1e-9
    x = np.c_[(x - mean) / spread, np.ones(len(x))]
    penalty = np.diag([ridge] * len(names) + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, x.T @ (y - p) - penalty @ weights)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    rounded = [tuple(round(float(v), 5) for v in values) for values in (mean, spread, weights[:-1])]
    return Viewer(tuple(names), rounded[0], rounded[1], rounded[2], round(float(weights[-1]), 5))


def save(viewer: Viewer, path: Path = FILE) -> None:
    """Write a viewer as JSON."""
    path.write_text(json.dumps(asdict(viewer), indent=1) + "\n", encoding="utf-8")


def load_viewer(path: Path = FILE) -> Viewer:
    """Load the fitted viewer. Raises SoraError for a file that holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(data[key]) for key in ("names", "mean", "spread", "weights")}
        return Viewer(**lists, bias=float(data["bias"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SoraError(f"{path} is no fitted viewer ({error}). Fit one: tests/benchmarks/blind.py fit.") from error


class Eyes:
    """Judges clips of a draw's subjects as viewers would. The draw needs the pictures that the model learned."""

    def __init__(self, draw: Draw, watch: Watch, config: ObserverConfig) -> None:
        bank = draw.worlds[draw.preset].bank
        self.pictures = Pictures(bank, [name for name in config.subjects if bank.available(name)])
        self.watch, self.config = watch, config

    def clues(self, asked: Sequence[tuple[str, str]], videos: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """Gather the clues of videos float `[T,H,W,3]`; asked: the subject and the motion of each."""
        return clues(videos, asked, self.watch, self.config, self.pictures) if asked else []

    def named(self, cases: Sequence[Case], videos: Sequence[np.ndarray]) -> list[bool | None]:
        """Tell of each video float `[T,H,W,3]` whether viewers would name its subject; None where they were not asked.

        They were asked about single subjects that move before a camera that stands still.
        """
        asked = [lone(case) for case in cases]
        part = [i for i, one in enumerate(asked) if one is not None]
        found, viewer = self.clues([a for a in asked if a], [videos[i] for i in part]), load_viewer()
        out: list[bool | None] = [None] * len(cases)
        for i, row in zip(part, found, strict=True):
            out[i] = viewer.names_it(row)
        return out


def lone(case: Case) -> tuple[str, str] | None:
    """Return subject and motion of a case of one subject, one shot, no event and a camera that stands; else None."""
    facts = case.facts
    if len(case.prompts) > 1 or len(facts["subjects"]) > 1 or facts["events"] or facts["camera"] != "static":
        return None
    (subject,) = facts["subjects"]
    # Prompts that are written by hand may name no subject, or leave it open.
    if case.free and case.must.get("subject") != subject["name"]:
        return None
    return subject["name"], subject["motion"]
