"""Rectified flow (arXiv 2209.03003) over the figures of a layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...model.layout import FIGURES, SLOTS, LayoutPlanner, mixed_noise, write_figures
from ..data.plans import PlanBatch
from ..loop.trainer import Autocast

_THERE = FIGURES - 1
_COUNTS = 8.0  # how much that counts: nobody is missed more than one who is not asked for
_SELDOM = 20  # steps from one measurement of places to the next


class PlanLoss:
    """The error of the planner's velocity; of a subject that is not there, only that counts."""

    def __init__(self, planner: nn.Module, text: nn.Module, autocast: Autocast) -> None:
        """Learn `planner`, a `LayoutPlanner` as DDP may have wrapped it; text: the encoder of its prompts, frozen."""
        self.planner, self.text, self.autocast = planner, text, autocast

    def __call__(self, step: int, b: PlanBatch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and, now and then, "place": how far off the mean plan is, as part of the frame."""
        with torch.no_grad(), self.autocast():
            # Behind the longest prompt there is nothing to read.
            context = self.text(b.ids[:, : max(1, int((b.ids != 0).sum(1).max()))]).float()
        draws = len(b.noise) // len(b.layout)
        context, layout = context.repeat(draws, 1, 1), b.layout.repeat(draws, 1, 1, 1)
        end, noise, level = write_figures(layout), mixed_noise(b.noise), b.level.view(-1, 1, 1)
        with self.autocast():
            v = self.planner((1 - level) * end + level * noise, b.level, context, b.aspect).float()
        there = layout[..., _THERE:]
        counts = torch.cat((there.expand(*there.shape[:-1], _THERE), torch.full_like(there, _COUNTS)), -1).flatten(2)
        error = (v - (noise - end)).square() * counts
        told = {} if step % _SELDOM else {"place": self._place_error(layout, noise, context, b.aspect)}
        return error.sum() / counts.sum(), told

    @torch.no_grad()
    def _place_error(self, layout: Tensor, noise: Tensor, context: Tensor, aspect: float) -> float:
        """Return how far from the truth subjects are in the mean plan, in parts of the frame."""
        planner = self.planner.module if hasattr(self.planner, "module") else self.planner
        assert isinstance(planner, LayoutPlanner)
        with self.autocast():
            v = planner(noise, noise.new_ones(len(noise)), context, aspect).float()
        off = (noise - v - write_figures(layout)).unflatten(-1, (SLOTS, FIGURES))[..., :2].abs().sum(-1) / 4
        there = layout[..., _THERE]
        return float((off * there).sum() / there.sum().clamp_min(1))
