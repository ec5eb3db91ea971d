"""Training of the video VAE on crops of rendered clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import expect
from ...loading.checkpoint import load_parts, save_part
from ...model.vae.mini import VAEConfig, VideoVAE
from ..data.shards import BucketSampler, open_buckets
from ..loop.loop import LoopConfig, Trainer, ranked, step_generator
from ..loop.sheets import save_sheet

PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class VAETraining(LoopConfig):
    """Crops are `crop` pixels square and `frames` long. subject_weight: the extra loss on subjects. square_weight: of
    squared errors beside absolute ones. init: a model whose VAE to go on from. only: "decoder" leaves its latents what
    they are, and what was learned on them holds; "encoder" leaves what every latent looks like, so that what was made
    with the model stays as it was.
    """

    init: str = ""
    batch: int = 16
    crop: int = 64
    frames: int = 9
    holdout: int = 64
    latent_noise: float = 0.2
    latent_penalty: float = 1e-3
    square_weight: float = 2.0
    edge_weight: float = 0.5
    subject_weight: float = 2.0
    only: str = ""
    model: VAEConfig = VAEConfig()


def with_corrector(vae: VideoVAE, corrections: int, width: Sequence[int] = (), blocks: Sequence[int] = ()) -> VideoVAE:
    """`vae` with a corrector of these sizes: a new one that changes nothing yet, unless its own is of the same."""
    sizes = {"corrector_width": tuple(width), "corrector_blocks": tuple(blocks)} if corrections else {}
    other = VideoVAE(dataclasses.replace(vae.config, corrections=corrections, **sizes))
    keeps = corrections and vae.config.corrections and all(getattr(vae.config, k) == v for k, v in sizes.items())
    kept = {k: v for k, v in vae.state_dict().items() if keeps or not k.startswith("corrector.")}
    other.load_state_dict(other.state_dict() | kept)
    return other


def edges(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of neighbouring pixels in x, y and t."""
    return x.diff(dim=-1), x.diff(dim=-2), x.diff(dim=-3)


def psnr(a: Tensor, b: Tensor, weight: Tensor | None = None) -> float:
    """PSNR in dB of videos in -1..1, over the pixels of `weight` if given."""
    error = ((a.float().clamp(-1, 1) - b.float()) / 2).pow(2)
    if weight is not None:
        weight = weight.expand_as(error)
        error = (error * weight).sum() / weight.sum().clamp_min(1e-6)
    return float(-10 * torch.log10(error.mean()))


class Autoencode(nn.Module):
    """Encode, add noise, decode, in one forward, so that DDP and the compiler see one module."""

    def __init__(self, vae: VideoVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.vae.encode(video)
        # A fixed noise on the latents in place of a learned variance: the decoder becomes tolerant of the small
        # errors that a diffusion model makes, and the penalty on |z| keeps the encoder from outgrowing it.
        return self.vae.decode(z + noise.to(z.dtype)), z


class VAETrainer(Trainer):
    adam_names = ("stem", "head")
    config: VAETraining

    def __init__(self, config: VAETraining) -> None:
        expect(config.only in ("", *PARTS), f"only={config.only}: give encoder or decoder, or leave it out.")
        self.buckets = [
            b for b in open_buckets(Path(config.data)) if b.frames is not None and b.frames.shape[1] >= config.frames
        ]
        sizes = [len(b) - config.holdout // len(self.buckets) for b in self.buckets]
        super().__init__(config)
        self.sampler = BucketSampler(sizes, [config.batch] * len(sizes), sizes, config.seed, self.rank, self.world_size)

    def build(self) -> nn.Module:
        vae = self.started()
        for part in PARTS:
            getattr(vae, part).requires_grad_(self.config.only in ("", part))
        if self.config.compile:
            vae.encoder.compile(dynamic=False)
            vae.decoder.compile(dynamic=False)
        return Autoencode(vae)

    def started(self) -> VideoVAE:
        """The VAE as it is before the first step, without a corrector: that is for the decoder it was trained with."""
        if not self.config.init:
            expect(not self.config.only, f"only={self.config.only} needs init: the model whose other half to keep.")
            return VideoVAE(self.config.model)
        parts, _ = load_parts(self.config.init)
        expect("vae" in parts, f"{self.config.init} holds no VAE. Give a model, or model.safetensors of a VAE run.")
        return with_corrector(parts["vae"], 0).train().requires_grad_(True)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops uint8 `[B,T,S,S,3]` and how much of them is a subject's, uint8 `[B,T,S/4,S/4]`."""
        cfg = self.config
        bucket, indices = self.sampler.draw(step)
        data = self.buckets[bucket]
        rng = np.random.default_rng([cfg.seed, step, self.rank, 1])
        _, t, h, w, _ = data.frames.shape
        videos, weights = [], []
        for i in indices:
            # Half of the crops look at a subject: there is the motion, and the detail that people look at.
            y, x = (int(rng.integers(0, (h - cfg.crop) // 4 + 1)), int(rng.integers(0, (w - cfg.crop) // 4 + 1)))
            start = int(rng.integers(0, (t - cfg.frames) + 1))
            if rng.random() < 0.6:
                ys, xs = np.nonzero(data.alpha[i, start + cfg.frames // 2])
                if len(ys):
                    k = int(rng.integers(len(ys)))
                    y = int(np.clip(ys[k] - rng.integers(0, cfg.crop // 4), 0, (h - cfg.crop) // 4))
                    x = int(np.clip(xs[k] - rng.integers(0, cfg.crop // 4), 0, (w - cfg.crop) // 4))
            s, n = cfg.crop, cfg.frames
            video = data.frames[i, start : start + n, 4 * y : 4 * y + s, 4 * x : 4 * x + s]
            weight = data.alpha[i, start : start + n, y : y + s // 4, x : x + s // 4]
            if rng.random() < 0.5:
                video, weight = video[:, :, ::-1], weight[:, :, ::-1]
            videos.append(torch.from_numpy(np.ascontiguousarray(video)))
            weights.append(torch.from_numpy(np.ascontiguousarray(weight)))
        return torch.stack(videos), torch.stack(weights)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops `[B,3,T,S,S]` in -1..1 and subject weights `[B,1,T,S,S]` in 0..1."""
        video, weight = super().batch(step)
        video = video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        weight = weight[:, None].float() / 255
        return video, weight.repeat_interleave(4, -1).repeat_interleave(4, -2)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        cfg = self.config
        video, weight = self.batch(step)
        shape = (
            len(video) * self.world_size,
            self.model.vae.config.latent_channels,
            1 + (cfg.frames - 1) // 4,
            cfg.crop // 8,
            cfg.crop // 8,
        )
        # Drawn where it is used: the processor that feeds a GPU has enough to do.
        generator = step_generator(cfg.seed, step, str(self.device))
        noise = torch.randn(shape, generator=generator, device=self.device) * cfg.latent_noise
        noise = ranked(noise, self.rank, self.world_size)
        with self.autocast():
            out, z = self.wrapped(video, noise)
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

    # -- evaluation ----------------------------------------------------------------------------------------
    def averaged(self) -> VideoVAE:
        vae = VideoVAE(self.model.vae.config)
        vae.load_state_dict({k.removeprefix("vae."): v for k, v in self.ema.state.items()})
        return vae.to(self.device).eval()

    def given_back(self, vae: VideoVAE, video: Tensor) -> Tensor:
        """`[B,3,T,H,W]` in -1..1, through the VAE and back."""
        with self.autocast():
            return vae.decode(vae.encode(video)).float()

    @torch.no_grad()
    def evaluate(self, vae: VideoVAE, clips: int = 16) -> tuple[dict[str, float], list[np.ndarray]]:
        """PSNR on held-out clips, whole and on subjects; and pairs (truth above reconstruction) to look at."""
        data = self.buckets[0]
        n = min(clips, self.config.holdout // len(self.buckets))
        scores, pictures = [], []
        for i in range(len(data) - n, len(data)):
            video = torch.from_numpy(np.array(data.frames[i])).to(self.device)
            video = video.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
            alpha = torch.from_numpy(np.array(data.alpha[i])).to(self.device)[None, None].float() / 255
            alpha = F.interpolate(alpha[0], scale_factor=4.0)[None]
            out = self.given_back(vae, video)
            mask = (alpha > 0.5).float()
            scores.append(
                (
                    psnr(out, video),
                    psnr(out, video, mask) if mask.any() else np.nan,
                    psnr(out[:, :, :1], video[:, :, :1]),
                )
            )
            both = torch.cat((video, out.clamp(-1, 1)), -2)[0].permute(1, 2, 3, 0)
            pictures.append(((both + 1) * 127.5).round().byte().cpu().numpy())
        means = np.nanmean(np.asarray(scores), 0)
        return dict(zip(("held_psnr", "held_subject", "held_first"), means.tolist(), strict=True)), pictures

    def sheet(self, step: int) -> None:
        scores, pictures = self.evaluate(self.averaged())
        print(f"step {step}  " + "  ".join(f"{k} {v:.2f}" for k, v in scores.items()), flush=True)
        with (self.out / "held_out.csv").open("a") as f:
            f.write(f"{step},{self.seconds:.0f}," + ",".join(f"{v:.3f}" for v in scores.values()) + "\n")
        save_sheet(self.out / f"sheet_{step:06d}.png", pictures[:6], columns=6)

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """Weights of the moving average, as a checkpoint of a VAE alone, with measured latent statistics: those it
        began with where half of it is that of `init`.
        """
        from ..data.latents import with_latent_statistics

        vae = self.averaged()
        if not self.config.only:
            vae = with_latent_statistics(vae, self.buckets[0], self.device)
        save_part(path, "vae", vae)
