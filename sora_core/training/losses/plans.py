"""Rectified flow (arXiv 2209.03003) over the figures of a layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...model.layout import FIGURES, SLOTS, LayoutPlanner, mixed_noise, write_figures
from ..data.plans import PlanBatch
from ..loop.trainer import Autocast

_THERE = FIGURES - 1
_SELDOM = 20  # steps from one measurement of places to the next


class PlanLoss:
    """The error of the planner's velocity; of a subject that is not there, only that counts."""

    def __init__(self, planner: nn.Module, text: nn.Module, autocast: Autocast) -> None:
        """Learn `planner`, a `LayoutPlanner` as DDP may have wrapped it; text: the encoder of its prompts, frozen."""
        self.planner, self.text, self.autocast = planner, text, autocast

    def __call__(self, step: int, b: PlanBatch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and, now and then, "place": how far off the mean plan is, as part of the frame."""
        with torch.no_grad(), self.autocast():
            context = self.text(b.ids).float()
        # Behind the longest prompt there is nothing to read.
        context = context[:, : max(1, int((context != 0).any(-1).sum(1).max()))]
        end, noise, level = write_figures(b.layout), mixed_noise(b.noise), b.level.view(-1, 1, 1)
        with self.autocast():
            v = self.planner((1 - level) * end + level * noise, b.level, context, b.aspect).float()
        there = b.layout[..., _THERE:]
        counts = torch.cat((there.expand(*there.shape[:-1], _THERE), torch.ones_like(there)), -1).flatten(2)
        error = (v - (noise - end)).square() * counts
        told = {} if step % _SELDOM else {"place": self._place_error(b, noise, context)}
        return error.sum() / counts.sum(), told

    @torch.no_grad()
    def _place_error(self, b: PlanBatch, noise: Tensor, context: Tensor) -> float:
        """Return how far from the truth subjects are in the mean plan, in parts of the frame."""
        planner = self.planner.module if hasattr(self.planner, "module") else self.planner
        assert isinstance(planner, LayoutPlanner)
        with self.autocast():
            v = planner(noise, torch.ones_like(b.level), context, b.aspect).float()
        off = (noise - v - write_figures(b.layout)).unflatten(-1, (SLOTS, FIGURES))[..., :2].abs().sum(-1) / 4
        there = b.layout[..., _THERE]
        return float((off * there).sum() / there.sum().clamp_min(1))
