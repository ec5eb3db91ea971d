"""The loss of few-step distillation: from a state on the teacher's path, name in one call where the path ends.

A consistency model (Song et al. 2023, arXiv 2303.01469) on the noise levels that are used, with guidance folded in
(Meng et al. 2023, arXiv 2210.03142) and the path's true end as the target in place of the student's own next guess.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..data.batch import TensorFields
from ..loop.trainer import Autocast
from ..network import DiTWithHeads


@dataclass
class PathState(TensorFields):
    """A state on the teacher's paths, and where they end."""

    state: Tensor  # [B,C,T,H,W]
    end: Tensor  # [B,C,T,H,W]
    ids: Tensor  # [B,S,L] text tokens, as in `Batch`
    shot: Tensor  # [B,T]
    generate: Tensor  # [B,T] bool
    level: float  # noise level of the state


class DistillationLoss:
    """The squared error of the clean latents that the student names, where they are generated."""

    def __init__(self, student: DiTWithHeads, autocast: Autocast) -> None:
        self.student, self.autocast = student, autocast

    def __call__(self, step: int, b: PathState) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of states of one noise level, which its figure's name says."""
        state = b.state.float()
        with self.autocast():
            v = self.student(state, 1000 * b.level * b.generate, b.ids, b.shot)[0].float()
        error = (state - b.level * v - b.end.float()).pow(2).mean(1, keepdim=True)
        share = b.generate[:, None, :, None, None].expand_as(error).float()
        loss = (error * share).sum() / share.sum()
        return loss, {f"from_{b.level:.2f}": float(loss.detach())}
