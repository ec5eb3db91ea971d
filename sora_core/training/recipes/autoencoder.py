"""What the trainers of a VAE and of its corrector share: crops to learn from, and scores of held-out clips."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...model.vae.mini import VideoVAE
from ..data.crops import CropConfig, Crops
from ..data.latents import to_video
from ..data.shards import Bucket
from ..loop.draws import Ranks
from ..loop.sheets import save_sheet
from ..loop.trainer import Trainer
from ..losses.correction import Correction
from ..losses.reconstruction import Reconstruction, psnr

Network = TypeVar("Network", Reconstruction, Correction)
_CLIPS, _SHOWN = 16, 6  # held-out clips that are scored, and shown


class AutoencoderTrainer(Trainer[Network]):
    """A trainer on crops whose network holds a VAE."""

    adam_names = ("stem", "head")
    config: CropConfig

    def __init__(self, config: CropConfig) -> None:
        self.crops = Crops(config, Ranks.from_environment())
        super().__init__(config)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw a step's crops, see `Crops`."""
        return self.crops.draw(step)

    def averaged(self) -> VideoVAE:
        """Return the VAE with the weights of the moving average, frozen."""
        vae = VideoVAE(self.model.vae.config)
        vae.load_state_dict({k.removeprefix("vae."): v for k, v in self.ema.state.items()})
        return vae.to(self.device).eval().requires_grad_(False)

    def reconstruct(self, vae: VideoVAE, video: Tensor) -> Tensor:
        """Return what a video `[B,3,T,H,W]` in -1..1 decodes to after this trainer's VAE has encoded it."""
        raise NotImplementedError

    @torch.no_grad()
    def evaluate(self, vae: VideoVAE) -> tuple[dict[str, float], list[np.ndarray]]:
        """Score held-out clips, and pair each with its reconstruction to look at.

        Scores: PSNR in dB, "held_psnr" of the whole, "held_subject" and "held_first" of subjects and first frames.
        Pictures: uint8 `[T,2H,W,3]`, the truth above.
        """
        bucket = self.crops.buckets[0]
        count = min(_CLIPS, self.config.holdout // len(self.crops.buckets))
        scores, pictures = [], []
        for i in range(len(bucket) - count, len(bucket)):
            video, mask = self._held_out(bucket, i)
            out = self.reconstruct(vae, video)
            on_subject = psnr(out, video, mask) if mask.any() else np.nan
            scores.append((psnr(out, video), on_subject, psnr(out[:, :, :1], video[:, :, :1])))
            both = torch.cat((video, out.clamp(-1, 1)), -2)[0].permute(1, 2, 3, 0)
            pictures.append(((both + 1) * 127.5).round().byte().cpu().numpy())
        means = np.nanmean(np.asarray(scores), 0)
        return dict(zip(("held_psnr", "held_subject", "held_first"), means.tolist(), strict=True)), pictures

    def _held_out(self, bucket: Bucket, i: int) -> tuple[Tensor, Tensor]:
        """Return clip `i` as a video `[1,3,T,H,W]` in -1..1, and where a subject is `[1,1,T,H,W]`, 0 or 1."""
        video = to_video(bucket.array("frames")[i], self.device)
        alpha = torch.from_numpy(np.array(bucket.array("alpha")[i])).to(self.device)[None].float() / 255
        return video, (F.interpolate(alpha, scale_factor=4.0)[None] > 0.5).float()

    def sheet(self, step: int) -> None:
        """Print the scores, add them to held_out.csv and write a contact sheet of the first pairs."""
        scores, pictures = self.evaluate(self.averaged())
        print(f"step {step}  " + "  ".join(f"{k} {v:.2f}" for k, v in scores.items()), flush=True)
        with (self.out / "held_out.csv").open("a") as f:
            f.write(f"{step},{self.seconds:.0f}," + ",".join(f"{v:.3f}" for v in scores.values()) + "\n")
        save_sheet(self._sheet_file(step), pictures[:_SHOWN], columns=6)

    def _sheet_file(self, step: int) -> Path:
        return self.out / f"sheet_{step:06d}.png"
