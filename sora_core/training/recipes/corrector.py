"""Training of the corrector of a VAE's latents (`model.vae.corrector`); the VAE itself stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import expect
from ...latents.refining import corrections, noticed
from ...loading.checkpoint import load_parts, save
from ...model.vae.mini import VideoVAE
from ..checkpoints import part_of
from ..data.crops import CropConfig
from ..losses.correction import Correction, CorrectionLoss
from .autoencoder import AutoencoderTrainer
from .vae import with_corrector


@dataclass(frozen=True)
class CorrectorTraining(CropConfig):
    """Settings of `sora train corrector`.

    `init` is the model whose VAE learns to correct. A corrector that it has goes on learning if its sizes are the same.
    """

    corrections: int = 3  # how many, one after the other
    width: tuple[int, int] = (96, 192)  # channels of the network at 1/4 and at 1/8 of the resolution
    blocks: tuple[int, int] = (1, 2)  # its blocks at either
    subject_weight: float = 2.0  # of the decibels on a subject beside those of the whole


class CorrectorTrainer(AutoencoderTrainer[Correction]):
    """Trains a corrector. Raises SoraError for settings that cannot be and a model without a VAE."""

    config: CorrectorTraining

    def __init__(self, config: CorrectorTraining) -> None:
        super().__init__(config)
        self.objective = CorrectionLoss(self.wrapped, config.subject_weight, self.autocast)

    def build(self) -> Correction:
        """Make the VAE of `init` with a corrector, of which only that learns."""
        cfg = self.config
        expect(bool(cfg.init), "A corrector needs init: the model whose VAE it is for.")
        expect(1 <= cfg.corrections <= 8, f"corrections is {cfg.corrections}: use 1 to 8.")
        self.parts, self.info = load_parts(cfg.init)
        base = part_of(self.parts, VideoVAE, cfg.init)
        vae = with_corrector(base, cfg.corrections, cfg.width, cfg.blocks).requires_grad_(False)
        vae.corrector.requires_grad_(True)
        return Correction(vae)

    def reconstruct(self, vae: VideoVAE, video: Tensor) -> Tensor:
        """Encode a video `[B,3,T,H,W]` in -1..1, correct its latents and decode them."""
        with torch.enable_grad(), self.autocast():
            latent = vae.encode(video).float()
            caches = [None] * vae.config.corrections
            *_, (_, out) = corrections(vae, video, noticed(video), latent, vae.decode, caches)
        return out.detach().float()

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """Write the model of `init` with the moving average of its corrector."""
        vae = self.averaged().cpu()
        save(path, self.parts | {"vae": vae}, {k: v for k, v in self.info.items() if k != "file"})
