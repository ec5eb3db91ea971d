"""Whether a mark is that of the pictures that carry it.

Let q_srp be how likely the region r of the pictures of scene s has the look p, by what is seen of them, y_si the
projections on the region's waves, and b_irp the key's signs (`.clipcode`). The tie's score is T = sum_irp b_irp w_irp
with w_irp = sum_s y_si q_srp, over the deviation that fair coins b would give it, the root of the sum of w^2. w is a
function of the video alone, so T has the same bound as the score of the number, and both can be added up to one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .clipcode import TIED, ClipCode
from .content import LOOKS, REGIONS, contrasts_at, likely_looks
from .places import BOXED, UNMOVED, Place
from .projecting import Reader, turned
from .summing import Accumulator

# A tie that is there by chance passes for one that holds at most one time in a thousand.
CHANCE = 1e-3
ENOUGH = 0.5  # of what the number's strength lets expect
MISSED = 5.0  # standard deviations below that, from which the pictures are others

HOLDS, OTHER, NOT_SHOWN = "holds", "other pictures", "not shown"


@dataclass(frozen=True)
class Seen:
    """What pictures give for a tie at one place."""

    weights: np.ndarray  # [16,16,10], what each sign of the key would add to the score
    values: np.ndarray  # [scenes,2n], projections times the key's signs
    certain: np.ndarray  # [scenes], how many of the tie's signs the looks settle, times the scene's share of the frames

    @property
    def spread(self) -> float:
        """The variance of the score of fair coins."""
        return float((self.weights**2).sum())

    def score(self, signs: np.ndarray) -> float:
        """Return the score, not yet over its deviation, of the signs `[16,16,10]` of a number."""
        return float((self.weights * signs).sum())


class Ties:
    """The scenes of a video, looked at where a mark lies."""

    def __init__(self, summed: Accumulator, code: ClipCode) -> None:
        self.code, self.box = code, summed.box()
        self._scenes = summed.scenes
        self._pictures = summed.pictures()
        self._shares = np.asarray([scene.frames / summed.frames for scene in summed.scenes])

    def seen(self, place: Place) -> Seen:
        """Look at the scenes at a place."""
        inner = self.box if place != UNMOVED else None
        weights, values, certain = np.zeros((REGIONS, LOOKS, TIED)), [], []
        for picture, scene, share in zip(self._pictures, self._scenes, self._shares, strict=True):
            given = picture if inner is None else np.ascontiguousarray(picture[inner])
            given = turned(given, -place.angle) if place.angle else given
            reader = Reader(given, self.code.carrier)
            waves = reader.project(place.scale, place.mirrored, place.stretch, centred=bool(place.angle))
            values.append(reader.moved(waves, place.shift) * self.code.signs)
            looks = likely_looks(contrasts_at(scene.luma, place, inner))
            # Scenes of one clip share the key's signs, so that they are added up before anything is squared.
            weights += share * looks[:, :, None] * values[-1][self.code.tied][:, None]
            certain.append(share * TIED * float((looks**2).sum()))
        return Seen(weights, np.stack(values), np.asarray(certain))


def judge(seen: Seen, code: ClipCode, number: int, place: Place) -> tuple[str, float]:
    """Judge the tie of a number at a place; returns that, and the bound on its p-value."""
    deviation = math.sqrt(max(seen.spread, 1e-24))
    found = seen.score(code.tie_signs(number)) / deviation
    # Each scene's own waves of the number say how strong its tie would be: few frames show little of either.
    signs = np.concatenate((np.ones(len(code.pilot)), code.number_signs(number)))
    strengths = (seen.values[:, np.concatenate((code.pilot, code.coded))] * signs).mean(1)
    expected = float((strengths * seen.certain).sum()) / deviation
    chance = math.exp(-(max(found, 0.0) ** 2) / 2)
    if chance <= CHANCE and found >= ENOUGH * expected:
        return HOLDS, chance
    # Elsewhere the pictures' own frame is not known for certain: they may have been cut out of it in any way.
    if place in (UNMOVED, BOXED) and found <= ENOUGH * expected and expected - found >= MISSED:
        return OTHER, chance
    return NOT_SHOWN, chance
