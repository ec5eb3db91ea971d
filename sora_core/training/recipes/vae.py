"""Training of the video VAE on crops of rendered clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import expect
from ...loading.checkpoint import save_part
from ...model.vae.mini import VAEConfig, VideoVAE
from ..checkpoints import load_part
from ..data.crops import CropConfig
from ..data.latents import with_latent_statistics
from ..losses.reconstruction import Reconstruction, ReconstructionLoss, ReconstructionSettings
from .autoencoder import AutoencoderTrainer

HALVES = ("encoder", "decoder")


@dataclass(frozen=True)
class VAETraining(ReconstructionSettings, CropConfig):
    """Settings of `sora train vae`."""

    # The half that is trained, of the VAE of `init`. "decoder" leaves its latents what they are, and what was learned
    # on them holds; "encoder" leaves what every latent looks like, so that what was made with it stays as it was.
    only: str = ""
    model: VAEConfig = VAEConfig()  # of a new VAE


class VAETrainer(AutoencoderTrainer[Reconstruction]):
    """Trains a VAE, or one half of it. Raises SoraError for settings that cannot be and a model without a VAE."""

    config: VAETraining

    def __init__(self, config: VAETraining) -> None:
        expect(config.only in ("", *HALVES), f"only={config.only}: give encoder or decoder, or leave it out.")
        super().__init__(config)
        vae = self.model.vae.config
        self.objective = ReconstructionLoss(self.wrapped, vae, config, config.seed, self.ranks, self.autocast)

    def build(self) -> Reconstruction:
        """Make the VAE as it is before the first step."""
        vae = self._start()
        for name in HALVES:
            half = getattr(vae, name)
            half.requires_grad_(self.config.only in ("", name))
            if self.config.compile:
                half.compile(dynamic=False)
        return Reconstruction(vae)

    def _start(self) -> VideoVAE:
        """Return a new VAE, or that of `init` without a corrector: that is for the decoder it was trained with."""
        if not self.config.init:
            expect(not self.config.only, f"only={self.config.only} needs init: the model whose other half to keep.")
            return VideoVAE(self.config.model)
        return with_corrector(load_part(self.config.init, VideoVAE), 0).train().requires_grad_(True)

    def reconstruct(self, vae: VideoVAE, video: Tensor) -> Tensor:
        """Encode a video `[B,3,T,H,W]` in -1..1 and decode it."""
        with self.autocast():
            return vae.decode(vae.encode(video)).float()

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """Write the moving average as a checkpoint of a VAE alone, with measured latent statistics.

        Where half of it is that of `init`, they are those it began with.
        """
        vae = self.averaged()
        if not self.config.only:
            vae = with_latent_statistics(vae, self.crops.buckets[0], self.device)
        save_part(path, "vae", vae)


def with_corrector(vae: VideoVAE, corrections: int, width: Sequence[int] = (), blocks: Sequence[int] = ()) -> VideoVAE:
    """Copy `vae` with a corrector of these sizes, or with none for 0 corrections.

    A corrector of the same sizes is kept; another is a new one that changes nothing yet.
    """
    sizes: dict[str, Any] = {}
    if corrections:
        sizes = {"corrector_width": tuple(width), "corrector_blocks": tuple(blocks)}
    other = VideoVAE(dataclasses.replace(vae.config, corrections=corrections, **sizes))
    keeps = corrections and vae.config.corrections and all(getattr(vae.config, k) == v for k, v in sizes.items())
    kept = {k: v for k, v in vae.state_dict().items() if keeps or not k.startswith("corrector.")}
    other.load_state_dict(other.state_dict() | kept)
    return other
