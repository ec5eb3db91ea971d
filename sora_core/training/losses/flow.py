"""Rectified flow (arXiv 2209.03003), with the losses of the heads that the world's truth supervises.

Tokens that show a subject count more: the background is most of a frame, and least of what a prompt asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.patch import patchify
from ..data.batch import Batch
from ..data.latent_batches import PLACES
from ..loop.trainer import Autocast
from ..network import PARTS

# Most tokens show no subject: weigh that class down, or naming nothing is a good guess.
_NO_SUBJECT = 0.2
# About the mean weight of a token. A constant, as the divisor of the weighted mean would differ between ranks.
_MEAN_WEIGHT = 0.4
_PATCH = (1, 2, 2)  # latents of a token
_PART_WEIGHT = 5.0  # of a part's place and size beside a subject's name


@dataclass(frozen=True)
class FlowSettings:
    """What counts how much in the loss of a transformer."""

    subject_weight: float = 2.0  # of tokens that show a subject, beside the 1 of all
    # How much what a subject covers at another time counts, of what itself does: a bite is a change of the little that
    # is gone.
    left_behind: float = 0.0
    label_weight: float = 0.1  # of the subject and the part that each token shows
    place_weight: float = 1.0  # of where a subject is, told at its word


def box_positions(labels: Tensor) -> Tensor:
    """Return where in the box of its subject each token lies, and how large that box is: `[B,T,h,w,PARTS]` in 0..1.

    labels: subject class per token `[B,T,h,w]`, 0 = none. Figures: x, y in the box of the token's class in its frame;
    width, height of the box, as parts of the frame's.
    """
    h, w = labels.shape[2:]
    flat = labels.flatten(2)
    same = flat[..., None] == flat[..., None, :]
    out = []
    for place, size in ((torch.arange(w).repeat(h), w), (torch.arange(h).repeat_interleave(w), h)):
        place = place.to(labels.device).float()
        first = torch.where(same, place, size).amin(-1)
        last = torch.where(same, place, -1).amax(-1)
        out.append(((place - first + 0.5) / (last - first + 1), (last - first + 1) / size))
    (x, width), (y, height) = out
    return torch.stack((x, y, width, height), -1).unflatten(2, (h, w))


def importance(labels: Tensor, frames: int, left_behind: float) -> Tensor:
    """Return how much each token of `frames` latents counts beside the background: 0..1, `[B,N]`.

    Tokens that show a subject (labels `[B,N]` > 0) count wholly, those where one is at another time by `left_behind`.
    """
    shows = (labels > 0).float().unflatten(1, (frames, -1))
    return torch.maximum(shows, left_behind * shows.amax(1, keepdim=True)).flatten(1)


class FlowLoss:
    """The weighted error of the velocity, and those of the heads."""

    def __init__(
        self,
        network: nn.Module,  # a DiTWithHeads, as DDP may have wrapped it
        settings: FlowSettings,
        classes: int,  # that tokens can be named, beside that of none
        autocast: Autocast,
    ) -> None:
        self.network, self.settings, self.classes, self.autocast = network, settings, classes, autocast

    def __call__(self, step: int, b: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures: "flow", "naming", "part", "place"."""
        cfg = self.settings
        sigma = b.sigma[:, None] * b.generate  # [B,T]: kept frames are at noise level 0
        # ... or all but there.
        s = torch.where(b.generate, sigma, b.context[:, None])[:, None, :, None, None]
        noised, wanted = (1 - s) * b.latents + s * b.noise, b.noise - b.latents
        with self.autocast():
            v, logits, places = self.network(noised, 1000 * sigma, b.ids, b.shot, b.layout, b.focus)
        if b.focus.shape[1]:
            error = (v.float() - b.seen(patchify(wanted, _PATCH))).pow(2).mean(-1)
        else:
            error = patchify((v.float() - wanted).pow(2), _PATCH).mean(-1)  # [B,N]
        generated = b.seen(b.generated_tokens)
        shows = b.seen(importance(b.labels, b.latents.shape[2], cfg.left_behind))
        weight = (1 + cfg.subject_weight * shows) * generated
        flow = (error * weight).mean()
        naming, part = self._label_losses(logits, b)
        # A mean over the clips of all ranks, as the flow is: not over the words, of which a rank may have none.
        place = (places.float()[b.words[:, 0], b.words[:, 1]] - b.places).abs().sum() / (PLACES * len(b.ids))
        metrics = {
            "flow": float((error * generated).sum().detach() / generated.sum()),
            "naming": float(naming.detach()),
            "part": float(part.detach()),
            "place": float(place.detach()),
        }
        return flow + cfg.label_weight * (naming + _PART_WEIGHT * part) + cfg.place_weight * place, metrics

    def _label_losses(self, logits: Tensor, b: Batch) -> tuple[Tensor, Tensor]:
        """Return the losses of the tokens' subjects and of their parts; logits `[B,K,classes+1+PARTS]`."""
        t, h, w = b.latents.shape[2:]
        weights = torch.ones(self.classes + 1, device=logits.device)
        weights[0] = _NO_SUBJECT
        names, where = logits.float().split((self.classes + 1, PARTS), -1)
        labels = b.seen(b.labels)
        naming = F.cross_entropy(names.flatten(0, 1), labels.flatten(), weights, reduction="none")
        shown = (labels > 0).unsqueeze(-1)
        wanted = b.seen(box_positions(b.labels.view(len(b.labels), t, h // 2, w // 2)).flatten(1, 3))
        part = ((where - wanted).abs() * shown).mean()
        return naming.mean() / _MEAN_WEIGHT, part / _MEAN_WEIGHT
