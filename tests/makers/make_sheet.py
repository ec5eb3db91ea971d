"""Makes docs/pictures/sheet.jpg: what the embedded model makes of a few prompts, at one seed, unpicked."""

from __future__ import annotations

import argparse
from pathlib import Path

import sora_core
from sora_core.training.loop.sheets import contact_sheet

PROMPTS = (
    "a cat moving right on a beach",
    "a red car drives left through the desert",
    "an elephant walks right in the forest",
    "a rocket flies up in outer space",
    "a fish swims left underwater",
    "a balloon rises over a meadow",
    "a penguin walks left in the snowy mountains",
    "a star spins above a volcano",
    "a pig stands still in the meadow, the camera pans right, then zooms in",
    "a dog on the left of a koala on the beach",
    "一只熊猫在森林里向左走",
    "a soccer ball bounces in the city at night",
    "a butterfly flies right at sunset",
    "an apple to the right of a penguin in the snowy mountains",
    "a bite is taken out of a cookie in the meadow",
    "a robot falls to the ground in the desert",
)


PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=PICTURES / "sheet.jpg")
    args = parser.parse_args()
    pipeline = sora_core.load()
    clips = []
    for prompt in PROMPTS:
        video = pipeline.generate(prompt, seed=args.seed)
        clips.append((video.frames * 255).round().byte().numpy())
    labels = [p.replace("一只熊猫在森林里向左走", "(Chinese) a panda walks left in the forest") for p in PROMPTS]
    contact_sheet(clips, columns=5, labels=labels, rows_across=2).save(args.out, quality=85)


if __name__ == "__main__":
    main()
