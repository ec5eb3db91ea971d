"""The corrector's loss: how far what is decoded after each correction is from the video, in logarithms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...latents.refining import corrections, noticed
from ...model.vae.mini import VideoVAE
from ..data.crops import crop_tensors
from ..loop.trainer import Autocast
from .reconstruction import psnr

# Frames of a crop, by step. Most videos have many frames, but what a still is animated from has one.
LENGTHS = (17, 17, 1, 17, 9, 17)
_FLOOR = 1e-5  # of a squared error: 56 dB
_FEWEST = 64  # pixels of a subject that say something


class Correction(nn.Module):
    """Encode and correct, in one forward, so that DDP sees one module."""

    def __init__(self, vae: VideoVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, video: Tensor) -> list[Tensor]:
        """Return what videos `[B,3,T,H,W]` decode to after each correction."""
        with torch.no_grad():
            latent = self.vae.encode(video).float()
        caches = [None] * self.vae.config.corrections
        steps = corrections(self.vae, video, noticed(video), latent, self.vae.decode, caches)
        return [out.float() for _, out in steps][1:]


class CorrectionLoss:
    """The mean of the logarithms of squared errors, as decibels are, after every correction alike."""

    def __init__(
        self,
        network: nn.Module,  # a Correction, as DDP may have wrapped it
        subject_weight: float,  # of the error on a subject beside that of the whole picture
        autocast: Autocast,
    ) -> None:
        self.network, self.subject_weight, self.autocast = network, subject_weight, autocast

    def __call__(self, step: int, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a draw of `Crops` and figures: "loss_1" and on, "psnr", "psnr_subject"."""
        video, weight = crop_tensors(batch)
        frames = min(LENGTHS[step % len(LENGTHS)], video.shape[2])
        video, subject = video[:, :, :frames].contiguous(), (weight[:, :, :frames] > 0.5).float()
        with self.autocast():
            outs = self.network(video)
        area = subject.sum((1, 2, 3, 4))
        shown = (area >= _FEWEST).float()
        terms = []
        for out in outs:
            error = (out - video).square().mean(1, keepdim=True)
            whole = (error.mean((1, 2, 3, 4)) + _FLOOR).log().mean()
            on_subject = ((error * subject).sum((1, 2, 3, 4)) / area.clamp_min(1) + _FLOOR).log()
            terms.append(whole + self.subject_weight * (on_subject * shown).sum() / shown.sum().clamp_min(1))
        with torch.no_grad():
            metrics = {f"loss_{k}": float(term) for k, term in enumerate(terms, 1)}
            metrics |= {"psnr": psnr(outs[-1], video), "psnr_subject": psnr(outs[-1], video, subject)}
        return torch.stack(terms).mean(), metrics
