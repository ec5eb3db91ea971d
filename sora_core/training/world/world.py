"""The procedural captioned video world: every clip comes with the truth about itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import expect
from .config import WorldConfig
from .effects import stylise
from .facts import cut_facts, describe
from .motion import CUT_SPEEDS
from .plan import Frame, Plan
from .render import background, draw_actors, finish
from .sprites import SpriteBank
from .staging import make_plan

MAX_FRAMES = 33


@dataclass
class RenderedClip:
    """A clip of the world and the truth about it."""

    frames: np.ndarray  # uint8 [T,H,W,3] RGB
    alpha: np.ndarray  # uint8 [T,H,W], how much of any subject is seen
    labels: np.ndarray  # uint8 [T,H,W], 1 + index into config.subjects of the subject seen there, 0 for none
    facts: dict[str, Any]  # JSON-able, see `facts.describe`


class World:
    """Clips drawn from a config. A seed is a clip: the same for the same config, pictures, size and frames."""

    def __init__(
        self,
        config: WorldConfig | None = None,
        sprites: Path | None = None,  # folder of emoji pictures, None for drawn stand-ins
    ) -> None:
        self.config = config or WorldConfig()
        self.bank = SpriteBank(sprites)
        self._labels = {name: i + 1 for i, name in enumerate(self.config.subjects)}
        cv2.setNumThreads(1)  # clips are small; parallelism belongs to the data loader

    def plan(
        self, seed: int, height: int = 128, width: int = 128, frames: int = 17, fixed: dict[str, Any] | None = None
    ) -> Plan:
        """Decide what clip `seed` shows, without drawing it. Raises SoraError for sizes out of range."""
        expect(1 <= frames <= MAX_FRAMES, f"frames must be 1 to {MAX_FRAMES}, not {frames}.")
        expect(min(height, width) >= 32, f"a clip of {width}x{height} is too small: 32 pixels a side at least.")
        return make_plan(self.config, Frame(self.bank, height, width, frames), seed, fixed)

    def facts(
        self, seed: int, height: int = 128, width: int = 128, frames: int = 17, fixed: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the facts of clip `seed` without its pixels (and so without `visible`): quick, for text alone."""
        plan = self.plan(seed, height, width, frames, fixed)
        return describe(plan, self.config, height, width, None, self._labels)

    def sample(
        self, seed: int, height: int = 128, width: int = 128, frames: int = 17, fixed: dict[str, Any] | None = None
    ) -> RenderedClip:
        """Render clip `seed`, of 1 to 33 frames.

        fixed: choices to force, for balanced or held-out sets, by key: subject, scene, motion, camera, style, time,
        weather, n_subjects, relation, event, shots; for example {"subject": "cat", "motion": "left"}. Raises SoraError
        for sizes out of range.
        """
        return self._draw(self.plan(seed, height, width, frames, fixed), height, width)

    def excerpt(self, seed: int, height: int = 128, width: int = 128, frames: int = 17) -> RenderedClip:
        """Render `frames` (2 to 17) frames out of the middle of a longer clip: one shot without an event.

        The motion began before the first frame and goes on after the last. A subject may leave the picture. Raises
        SoraError for sizes out of range.
        """
        expect(2 <= frames <= MAX_FRAMES // 2 + 1, f"an excerpt has 2 to {MAX_FRAMES // 2 + 1} frames, not {frames}.")
        rng = np.random.default_rng([seed, 13])
        # A clip of two moves in a row would leave the caption with one that is not seen.
        single = tuple((name, weight) for name, weight in self.config.cameras if "," not in name)
        config = replace(self.config, cameras=single, shots=(("1", 1.0),), events=(("none", 1.0),))
        whole = 2 * frames - 1
        plan = make_plan(config, Frame(self.bank, height, width, whole), seed, None, float(rng.uniform(*CUT_SPEEDS)))
        clip = self._draw(plan, height, width)
        start = int(rng.integers(1, whole - frames + 1))
        part = slice(start, start + frames)
        facts = cut_facts(clip.facts, start, start + frames)
        return RenderedClip(clip.frames[part], clip.alpha[part], clip.labels[part], facts)

    def _draw(self, plan: Plan, height: int, width: int) -> RenderedClip:
        """Render a plan, shot by shot."""
        frames = plan.shots[-1].end
        video = np.empty((frames, height, width, 3), np.uint8)
        alpha = np.zeros((frames, height, width), np.uint8)
        labels = np.zeros((frames, height, width), np.uint8)
        for shot in plan.shots:
            part = slice(shot.start, shot.end)
            video[part] = background(shot, height, width)
            draw_actors(shot, self.bank, self._labels, video[part], alpha[part], labels[part])
            finish(shot, video[part], alpha[part], labels[part])
        stylise(video, plan.style)
        return RenderedClip(video, alpha, labels, describe(plan, self.config, height, width, labels, self._labels))
