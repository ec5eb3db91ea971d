"""Contact sheets of a transformer in training: what it makes of prompts that stay the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ...model.dit import DiT
from ...model.text.concepts import TextEncoder
from ...model.vae.mini import VideoVAE
from ..checkpoints import load_part
from ..data.latent_batches import shift_noise
from ..loop.draws import step_generator
from ..loop.sheets import save_sheet
from ..loop.trainer import Autocast

PROMPTS = (
    "a cat moving right on a beach",
    "a red car drives left through the desert",
    "an elephant in a forest",
    "a rocket flies up in outer space",
    "a fish swims right underwater",
    "a balloon rises over a meadow",
    "一只企鹅在雪山向左走",
    "a star spins above a volcano",
)
_SHIFT = 3.0
_SHAPE = (16, 5, 16, 16)  # of the latents of 17 frames of 128 x 128


@dataclass(frozen=True)
class SheetSettings:
    """How contact sheets are sampled."""

    vae: str = ""  # a checkpoint, which decodes; without it there are no sheets
    sheet_steps: int = 20
    sheet_cfg: float = 4.0  # guidance


class PromptSheet:
    """Samples PROMPTS by Euler, from noise that stays the same, and writes them as a picture."""

    def __init__(self, settings: SheetSettings, seed: int, device: torch.device, autocast: Autocast) -> None:
        self.settings, self.seed, self.device, self.autocast = settings, seed, device, autocast
        self.vae: VideoVAE | None = None  # read when it is needed

    @torch.no_grad()
    def write(self, path: Path, dit: DiT, text: TextEncoder) -> None:
        """Write a sheet to `path`. Raises SoraError for a checkpoint without a VAE."""
        if self.vae is None:
            self.vae = load_part(self.settings.vae, VideoVAE, str(self.device))
        x = torch.randn(len(PROMPTS), *_SHAPE, generator=step_generator(self.seed, 0)).to(self.device)
        sigmas = shift_noise(torch.linspace(1, 0, self.settings.sheet_steps + 1), _SHIFT)
        with self.autocast():
            keys = dit.text_keys(torch.cat((text.encode(PROMPTS), text.encode([""] * len(PROMPTS)))))
            for now, after in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
                t = torch.full((2 * len(x),), 1000 * now, device=self.device)
                cond, uncond = dit(torch.cat((x, x)), t, text=keys).float().chunk(2)
                x = x + (after - now) * (uncond + self.settings.sheet_cfg * (cond - uncond))
            video = self.vae.decode(x).float().clamp(-1, 1)
        clips = ((video + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
        save_sheet(path, list(clips), columns=5, labels=list(PROMPTS), rows_across=2)
