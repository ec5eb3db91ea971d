"""The VAE's loss: errors of pixels and of edges, subjects weighed more, with noise on the latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...model.vae.mini import VAEConfig, VideoVAE
from ..data.crops import crop_tensors
from ..loop.draws import Ranks, step_generator
from ..loop.trainer import Autocast


@dataclass(frozen=True)
class ReconstructionSettings:
    """What counts how much in the loss of a VAE."""

    latent_noise: float = 0.2  # standard deviation of the noise on latents
    latent_penalty: float = 1e-3  # of squared latents
    square_weight: float = 2.0  # of squared errors beside absolute ones
    edge_weight: float = 0.5  # of errors in the differences of neighbouring pixels
    subject_weight: float = 2.0  # of pixels that show a subject, beside the 1 of all


class Reconstruction(nn.Module):
    """Encode, add noise, decode, in one forward, so that DDP and the compiler see one module."""

    def __init__(self, vae: VideoVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return what videos `[B,3,T,H,W]` decode to, and their latents; noise: in the latents' shape."""
        z = self.vae.encode(video)
        # A fixed noise on the latents in place of a learned variance: the decoder becomes tolerant of the small
        # errors that a diffusion model makes, and the penalty on |z| keeps the encoder from outgrowing it.
        return self.vae.decode(z + noise.to(z.dtype)), z


class ReconstructionLoss:
    """The loss of a `Reconstruction` on `Crops`."""

    def __init__(
        self,
        network: nn.Module,  # a Reconstruction, as DDP may have wrapped it
        vae: VAEConfig,  # of the network's VAE
        settings: ReconstructionSettings,
        seed: int,
        ranks: Ranks,
        autocast: Autocast,
    ) -> None:
        self.network, self.vae, self.settings = network, vae, settings
        self.seed, self.ranks, self.autocast = seed, ranks, autocast

    def __call__(self, step: int, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a draw of `Crops` and figures: "psnr", "psnr_subject", "latent_std"."""
        cfg = self.settings
        video, weight = crop_tensors(batch)
        noise = self._noise(step, video)
        with self.autocast():
            out, z = self.network(video, noise)
        out = out.float()
        error = out - video
        w = 1 + cfg.subject_weight * weight
        pixel = (w * (error.abs() + cfg.square_weight * error.pow(2))).mean()
        edge = sum((a - b).abs().mean() for a, b in zip(edges(out), edges(video), strict=True))
        # The last group alone would hide drift along the causal chain, so all frames count alike.
        loss = pixel + cfg.edge_weight * edge + cfg.latent_penalty * z.float().pow(2).mean()
        with torch.no_grad():
            metrics = {
                "psnr": psnr(out, video),
                "psnr_subject": psnr(out, video, (weight > 0.5).float()),
                "latent_std": float(z.float().std()),
            }
        return loss, metrics

    def _noise(self, step: int, video: Tensor) -> Tensor:
        """Draw the noise of a step, in the shape of this rank's latents."""
        batch, _, frames, height, width = video.shape
        cells = (self.vae.latent_channels, 1 + (frames - 1) // 4, height // 8, width // 8)
        # Drawn where it is used: the processor that feeds a GPU has enough to do.
        generator = step_generator(self.seed, step, str(video.device))
        noise = torch.randn((batch * self.ranks.world_size, *cells), generator=generator, device=video.device)
        return self.ranks.slice(noise * self.settings.latent_noise)


def edges(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the differences of neighbouring pixels in x, y and t."""
    return x.diff(dim=-1), x.diff(dim=-2), x.diff(dim=-3)


def psnr(a: Tensor, b: Tensor, weight: Tensor | None = None) -> float:
    """Return the PSNR in dB of videos in -1..1, over the pixels of `weight` if given."""
    error = ((a.float().clamp(-1, 1) - b.float()) / 2).pow(2)
    if weight is not None:
        weight = weight.expand_as(error)
        error = (error * weight).sum() / weight.sum().clamp_min(1e-6)
    return float(-10 * torch.log10(error.mean()))
