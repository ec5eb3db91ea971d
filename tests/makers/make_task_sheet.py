"""Makes docs/pictures/tasks.jpg: every way to change a video, on clips of the world, at one seed, unpicked.

Under each frame a bar says where it is from: grey is the user's own, green is made. Needs the `train` extra and the
sprites that sora-mini was trained on (see sora_core/training/README.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sora_core
from sora_core import tasks
from sora_core.training.loop.sheets import contact_sheet
from sora_core.training.world import PRESETS, World

BAR, GIVEN, MADE = 5, (150, 150, 150), (40, 170, 80)
SHOTS = (
    ("a panda moving right in a meadow", 1.5),
    ("a panda moving right on a beach", 1.5),
    ("a panda moving right in the snowy mountains", 1.5),
)


PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="the unpacked sprite package")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=PICTURES / "tasks.jpg")
    args = parser.parse_args()
    pipe, world = sora_core.load(), World(PRESETS["stage"], args.sprites)

    def clip(seed: int, **fixed: str) -> Tensor:
        choices = {"camera": "static", "event": "none", "n_subjects": "1", "style": "plain", **fixed}
        return torch.from_numpy(world.sample(seed, fixed=choices).frames).float() / 255

    cat = clip(1, subject="cat", scene="beach", motion="right")
    ball = clip(2, subject="soccer ball", scene="meadow", motion="bounce")
    rocket = clip(3, subject="rocket", scene="outer space", motion="up")
    car = clip(4, subject="car", scene="desert", motion="left")
    later = clip(5, subject="car", scene="desert", motion="left")
    codec = pipe.codec
    rows = {
        "a still, animated: a cat moving right on a beach": (tasks.animate(codec, {0: cat[0]}, 17), None),
        "extended forwards by a second": (tasks.extend(codec, cat, 8), "a cat moving right on a beach"),
        "extended backwards by a second": (
            tasks.extend(codec, rocket, 8, "backwards"),
            "a rocket flies up in outer space",
        ),
        "frames 5 to 12 filled in": (tasks.infill(codec, cat, range(5, 13)), "a cat moving right on a beach"),
        "frames 5 to 12 filled in, the ends disagree: a ball that bounces in between": (
            tasks.infill(codec, ball, range(5, 13)),
            "a soccer ball bounces in a meadow",
        ),
        "two clips connected by a second": (tasks.connect(codec, car, later, 8), "a car drives left in the desert"),
        "a loop: the last second leads back to the first frame": (
            tasks.loop(codec, cat, 8),
            "a cat moving left on a beach",
        ),
    }
    clips, labels = [], []
    for title, (latent, prompt) in rows.items():
        made = pipe.make(latent, prompt or title.partition(": ")[2], seed=args.seed)
        clips.append(barred(made.frames, latent[tasks.SPLICE].keep))
        labels.append(title)
    made = pipe.remix(cat, "a panda moving right in the snowy mountains", strength=0.8, seed=args.seed)
    clips.append(barred(made.frames, torch.zeros(len(made.frames), dtype=torch.bool)))
    labels.append("the first clip restyled, strength 0.8: a panda moving right in the snowy mountains")
    story = pipe.storyboard(SHOTS, seed=args.seed)
    clips.append(barred(story.frames, torch.zeros(len(story.frames), dtype=torch.bool)))
    labels.append("a storyboard of three shots: a panda in a meadow, on a beach, in the snow")
    contact_sheet(clips, columns=13, labels=labels).save(args.out, quality=85)


def barred(frames: Tensor, keep: Tensor) -> np.ndarray:
    """uint8 frames `[T,H+BAR,W,3]`, each on its bar."""
    pixels = (frames.clamp(0, 1) * 255).round().byte().numpy()
    out = np.empty((*pixels.shape[:1], pixels.shape[1] + BAR, *pixels.shape[2:]), np.uint8)
    out[:, :-BAR] = pixels
    for t, given in enumerate(keep.tolist()):
        out[t, -BAR:] = GIVEN if given else MADE
    return out


if __name__ == "__main__":
    main()
