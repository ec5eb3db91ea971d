"""What the corrections of an encoding win and cost: PSNR and seconds by their number.

python tests/benchmarks/corrections.py [--clips 10] [--sprites FOLDER]

The clips are those of `sora eval --only vae`, and so is the measure: decibels of the whole, of the subject (alpha over
one half) and of the first frame. Times are medians, with as many threads as torch takes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _paths  # noqa: F401 (finds the packages)
import numpy as np
import torch

from sora_core.latents.decoding import decode, encode
from sora_core.loading.checkpoint import load_model
from sora_core.training.evaluate.run import FIRST_SEED, Draw


def main() -> None:
    parser = argparse.ArgumentParser(description="What the corrections of an encoding win and cost.")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--sprites", type=Path, help="folder of the subjects' pictures; without it they are drawn")
    args = parser.parse_args()
    vae, world = load_model().vae, Draw(args.sprites, "cast").worlds["cast"]
    encode(vae, torch.rand(1, 32, 32, 3))  # what is loaded once
    for count in range(vae.config.corrections + 1):
        rows, seconds = [], []
        for i in range(args.clips):
            clip = world.sample(FIRST_SEED - 1 - i)
            frames, subject = torch.from_numpy(clip.frames / np.float32(255)), torch.from_numpy(clip.alpha > 127)
            start = time.perf_counter()
            latent = encode(vae, frames, corrections=count)
            seconds.append(time.perf_counter() - start)
            error = (decode(vae, latent)[0] - frames).square()
            of_subject = error[subject].mean() if subject.any() else torch.tensor(torch.nan)
            rows.append([float(-10 * torch.log10(part)) for part in (error.mean(), of_subject, error[0].mean())])
        whole, of_subject, first = np.nanmean(rows, 0)
        print(f"{count}: whole {whole:.2f} dB, subject {of_subject:.2f}, first frame {first:.2f}", end="; ")
        print(f"{np.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
