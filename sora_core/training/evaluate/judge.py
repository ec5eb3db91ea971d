"""Is what must be seen there? One clip, one case; plain measurement where that works, the observer for names.

Every judge is held to the truth: `sora eval` puts its score of the world's own clips, through the VAE, beside that of
the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...media.frames import cuts as cuts_of
from ...observer.network import ObserverConfig, groups
from ...observer.watch import Sight
from ..world.config import CAMERAS
from . import measures
from .camera import named_camera

# Sides of a close look, as parts of the frame's: small subjects fill it as large ones do a frame.
NEAR = (9 / 16, 11 / 16, 13 / 16)
SAME_CUT = 1  # frames that a cut may be off


def closely(must: dict[str, Any]) -> bool:
    """Tell whether a clip of these facts has to be seen in its `corners` too, as its subjects are small."""
    return "subjects" in must or "relation" in must or "passes" in must


def corners(video: np.ndarray, near: float = NEAR[1]) -> list[np.ndarray]:
    """Cut the four corners of `near` of each side out of `[T,H,W,...]`; they overlap.

    In the order left top, left bottom, right top, right bottom.
    """
    h, w = (round(near * side) for side in video.shape[1:3])
    return [video[:, rows, columns] for columns in (slice(w), slice(-w, None)) for rows in (slice(h), slice(-h, None))]


@dataclass(frozen=True)
class Close:
    """The evidence of each subject in the whole frame and in its corners.

    Each is the mean over several looks, as one network is surer of some sizes, and of some ways to face, than of
    others.
    """

    whole: np.ndarray  # [G,S], of each subject in each group of frames
    corners: tuple[np.ndarray, ...]  # [G,S] of the four `corners`

    @property
    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """The evidence in the left corners, and in the right ones."""
        a, b, c, d = self.corners
        return a + b, c + d


def look_closely(video: np.ndarray, watch: Callable[[list[np.ndarray]], list[Sight]]) -> Close:
    """Look at a video float `[T,H,W,3]` as a whole and in corners of each size in NEAR, as it is and mirrored."""
    mirrored = np.ascontiguousarray(video[:, :, ::-1])
    views = [video, mirrored]
    for near in NEAR:
        a, b, c, d = corners(mirrored, near)
        views += [*corners(video, near), c, d, a, b]  # what is left in a mirror is right
    seen = [sight.tracks["subjects"] for sight in watch(views)]
    return Close(np.mean(seen[:2], 0), tuple(np.mean(seen[2 + k :: 4], 0) for k in range(4)))


def judge(
    must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig, near: Close | None = None
) -> dict[str, bool]:
    """Tell which of the facts of `must` are seen in frames float `[T,H,W,3]` 0..1.

    sight: what the observer saw, with the vocabulary `v`. near: what `look_closely` sees, needed where
    `closely(must)`. Keys of `must`, and the verdicts that they give where those have other names:

    - subject, scene, style, time, weather, motion, camera: names, or several that will do.
    - subjects: two names; "both".
    - relation: [a, "left" | "right", b].
    - ground: height at which a fall ends; "parabola", "ground" and "gravity" for both.
    - event: "effect lasts", "nothing before", and "effect" for both on the right subject, also as that of its kind
      ("effect, bite").
    - passes, to: a subject that goes behind something, and where to; "same subject".
    - cuts, cast, scenes: first frames of the later shots, the subject of all, the scene of each; "cuts", "subject
      kept", "scenes", and "shots" for all three.
    """
    facts = sight.facts
    out: dict[str, bool] = {}
    if "event" in must:
        out |= _effect(must, frames, sight, v)
    elif "subject" in must:
        out["subject"] = _one_of(most(sight.tracks["subjects"], v), must["subject"])
    for key, seen in (("style", "style"), ("time", "time_of_day"), ("weather", "weather"), ("scene", "scene")):
        if key in must:
            out[key] = _one_of(facts[seen], must[key])
    if "motion" in must:
        moves = must["motion"] in measures.DIRECTIONS and "camera" not in must
        name = measures.named_direction(frames) if moves else facts["shots"][0]["motions"][0]
        out["motion"] = _one_of(name, must["motion"])
    if "camera" in must:
        out["camera"] = _one_of(named_camera(frames, CAMERAS), must["camera"])
    if "subjects" in must:
        out["both"] = _pair(_given(near), v) == set(must["subjects"])
    if "relation" in must:
        out["relation"] = _relation(must["relation"], _given(near), v)
    if "ground" in must:
        out |= measures.falls(sight.tracks["centre"][:, 1], must["ground"])
        out["gravity"] = out["parabola"] and out["ground"]
    if "passes" in must:
        out["same subject"] = _passes(must["passes"], must["to"], sight, _given(near), v)
    if "cuts" in must:
        out |= _shots(must, frames, sight, v)
    return out


def _given(near: Close | None) -> Close:
    assert near is not None, "these facts need a close look"
    return near


def _one_of(name: str | None, wanted: str | list[str]) -> bool:
    return name == wanted or (isinstance(wanted, list) and name in wanted)


def most(subjects: np.ndarray, v: ObserverConfig) -> str:
    """Return the subject with the most evidence `[G,S]`."""
    return v.subjects[int(subjects.sum(0).argmax())]


def _pair(near: Close, v: ObserverConfig) -> set[str]:
    """Return the two subjects with the most evidence, one on the left and another on the right."""
    left, right = ((near.whole + side).sum(0) for side in near.sides)
    both = left[:, None] + right
    np.fill_diagonal(both, -np.inf)
    return {v.subjects[int(k)] for k in np.unravel_index(both.argmax(), both.shape)}


def _relation(relation: list[str], near: Close, v: ObserverConfig) -> bool:
    """Tell whether each of two subjects is rather on its own side than on the other: more of it is seen from there."""
    a, side, b = relation
    left, right = (seen.sum(0)[[v.subjects.index(a), v.subjects.index(b)]] for seen in near.sides)
    if side == "right":
        left, right = right, left
    return bool(left[0] > right[0] and right[1] > left[1])


def _effect(must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig) -> dict[str, bool]:
    """Judge an event: when the picture changes is measured, what it changes to is the observer's to say."""
    seen = sight.tracks["states"][:, v.events.index(must["event"])]
    subject = _one_of(most(sight.tracks["subjects"][:2], v), must["subject"])
    change = measures.change_for_good(frames)
    before = change is not None and change >= 3
    lasts = change is not None and change <= len(frames) - 3 and bool(seen[-4:].mean() > 0.5)
    right = lasts and before and subject
    return {"effect lasts": lasts, "nothing before": before, "effect": right, f"effect, {must['event']}": right}


def _passes(name: str, to: str, sight: Sight, near: Close, v: ObserverConfig) -> bool:
    """Tell whether the same, right subject is at both ends, gone from one side of the picture to the other.

    It walks on the ground: at either end it is seen from afar and in that lower corner.
    """
    left, right = (2 * near.whole + near.corners[corner] for corner in (1, 3))
    first, last = (left, right) if to == "right" else (right, left)
    if not most(first[:2], v) == most(last[-2:], v) == name:
        return False
    x = sight.tracks["places"][:, v.subjects.index(name), 0]
    gone = x[-1] - x[0]
    return bool((gone if to == "right" else -gone) > 0.25)


def _shots(must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig) -> dict[str, bool]:
    """Judge cuts, and what each shot shows between them."""
    cuts = cuts_of(frames)
    same = len(cuts) == len(must["cuts"]) and all(
        abs(a - b) <= SAME_CUT for a, b in zip(cuts, must["cuts"], strict=True)
    )
    edges = [0, *must["cuts"], len(frames)]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    # A map belongs to the four frames up to its last one; cuts fall between maps.
    maps = [sight.tracks["subjects"][groups(a) if a else 0 : groups(b)] for a, b in spans]
    kept = all(most(part, v) == must["cast"] for part in maps)
    named = [v.scenes[int(sight.tracks["scenes"][a:b].mean(0).argmax())] for a, b in spans]
    right = named == must["scenes"]
    return {"cuts": same, "subject kept": kept, "scenes": right, "shots": same and kept and right}
