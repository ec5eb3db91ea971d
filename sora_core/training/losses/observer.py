"""The observer's loss: what it says of a clip against the world's truth, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..loop.trainer import Autocast

# Most cells show no subject: weigh that class down, or naming nothing is a good guess.
_NO_SUBJECT = 0.15
_RARE = 4.0  # weight of what is seldom so: a cut, an event
_SUBJECTS, _FACT, _CENTRE = 2.0, 0.5, 5.0  # weights of the map of subjects, a fact of a frame, a subject's centre


class ObserverLoss:
    """Cross-entropy of what has classes, and the distance of a lone subject's centre."""

    def __init__(
        self,
        network: nn.Module,  # an Observer, as DDP may have wrapped it
        heads: Iterable[str],  # names of its outputs that are facts of a frame
        autocast: Autocast,
    ) -> None:
        self.network, self.heads, self.autocast = network, tuple(heads), autocast

    def __call__(self, step: int, batch: tuple[Tensor, dict[str, Tensor]]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of pixels `[B,T,3,64,64]` in -1..1 and their `Targets`, and its parts by name."""
        video, target = batch
        with self.autocast():
            out = self.network(video)
        classes = torch.ones(out["subjects"].shape[2], device=video.device)
        classes[0] = _NO_SUBJECT
        parts = {
            "subjects": _SUBJECTS * entropy(out["subjects"].movedim(2, -1), target["subjects"], classes),
            "motions": entropy(out["motions"].movedim(2, -1), target["motions"]),
        }
        for name in ("cut", "states"):
            rare = torch.tensor(_RARE, device=video.device)
            parts[name] = F.binary_cross_entropy_with_logits(out[name], target[name], pos_weight=rare)
        for name in self.heads:
            parts[name] = _FACT * entropy(out[name], target[name])
        known = torch.isfinite(target["centre"])
        off = F.smooth_l1_loss(out["centre"][known], target["centre"][known], beta=0.01, reduction="sum")
        parts["centre"] = _CENTRE * off / known.sum().clamp_min(1)
        first, *others = parts.values()
        return sum(others, first), {name: float(value.detach()) for name, value in parts.items()}


def entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the cross-entropy over all that has a target (-1 = none); zero where nothing has."""
    kept = target >= 0
    if not bool(kept.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[kept].float(), target[kept], weight)
