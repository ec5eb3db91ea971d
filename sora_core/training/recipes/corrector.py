"""Training of the corrector of a VAE's latents (`model.corrector`); the VAE itself stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import expect
from ...latents.refining import corrections
from ...loading.checkpoint import load_parts, save
from ...model.vae.mini import VideoVAE
from .vae import VAETrainer, VAETraining, psnr, with_corrector

# Most videos have many frames, but what a still is animated from has one.
LENGTHS = (17, 17, 1, 17, 9, 17)
_FLOOR = 1e-5  # of a squared error: 56 dB
_FEWEST = 64  # pixels of a subject that say something


@dataclass(frozen=True)
class CorrectorTraining(VAETraining):
    """init: the model whose VAE learns to correct; a corrector that it has goes on learning if its sizes are the same.
    corrections: how many; width, blocks: of the network, at 1/4 and at 1/8 of the resolution. subject_weight: of the
    decibels on a subject beside those of the whole.
    """

    corrections: int = 3
    width: tuple[int, int] = (96, 192)
    blocks: tuple[int, int] = (1, 2)


class Corrected(nn.Module):
    """Encode and correct, in one forward, so that DDP sees one module."""

    def __init__(self, vae: VideoVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, video: Tensor) -> list[Tensor]:
        """What is decoded after each correction."""
        with torch.no_grad():
            latent = self.vae.encode(video).float()
        steps = corrections(self.vae, video, latent, self.vae.decode, [None] * self.vae.config.corrections)
        return [out.float() for _, out in steps][1:]


class CorrectorTrainer(VAETrainer):
    adam_names = ("stem", "head")
    config: CorrectorTraining

    def build(self) -> nn.Module:
        cfg = self.config
        expect(cfg.init, "A corrector needs init: the model whose VAE it is for.")
        expect(1 <= cfg.corrections <= 8, f"corrections is {cfg.corrections}: use 1 to 8.")
        self.parts, self.info = load_parts(cfg.init)
        expect("vae" in self.parts, f"{cfg.init} holds no VAE. Give a model, or model.safetensors of a VAE run.")
        vae = with_corrector(self.parts["vae"], cfg.corrections, cfg.width, cfg.blocks).requires_grad_(False)
        vae.corrector.requires_grad_(True)
        return Corrected(vae)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Mean of the logarithms of squared errors, as decibels are, after every correction alike."""
        video, weight = self.batch(step)
        frames = min(LENGTHS[step % len(LENGTHS)], video.shape[2])
        video, subject = video[:, :, :frames].contiguous(), (weight[:, :, :frames] > 0.5).float()
        with self.autocast():
            outs = self.wrapped(video)
        area = subject.sum((1, 2, 3, 4))
        shown = (area >= _FEWEST).float()
        terms = []
        for out in outs:
            error = (out - video).square().mean(1, keepdim=True)
            whole = (error.mean((1, 2, 3, 4)) + _FLOOR).log().mean()
            on_it = ((error * subject).sum((1, 2, 3, 4)) / area.clamp_min(1) + _FLOOR).log()
            terms.append(whole + self.config.subject_weight * (on_it * shown).sum() / shown.sum().clamp_min(1))
        with torch.no_grad():
            metrics = {f"loss_{k}": float(term) for k, term in enumerate(terms, 1)}
            metrics |= {"psnr": psnr(outs[-1], video), "psnr_subject": psnr(outs[-1], video, subject)}
        return torch.stack(terms).mean(), metrics

    # -- evaluation ----------------------------------------------------------------------------------------
    def averaged(self) -> VideoVAE:
        return super().averaged().requires_grad_(False)

    def given_back(self, vae: VideoVAE, video: Tensor) -> Tensor:
        with torch.enable_grad(), self.autocast():
            latent = vae.encode(video).float()
            *_, (_, out) = corrections(vae, video, latent, vae.decode, [None] * vae.config.corrections)
        return out.detach().float()

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """The model of `init` with the moving average of its corrector."""
        vae = self.averaged().cpu()
        save(path, self.parts | {"vae": vae}, {k: v for k, v in self.info.items() if k != "file"})
