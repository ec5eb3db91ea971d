"""The classifier of the detector on videos without any mark: ours against rendered truth and against photographs.

ours: rendered clips through the embedded VAE, and (--generated) clips that the model makes of prompts. truth: the same
rendered clips. photographs: pans and zooms over the pictures inside scikit-learn and scikit-image (found as files; the
packages are not imported). Training saw none of these clips and no photograph. Each as it is, and after H.264 at crf 23
and 28. called_ours: at the probability from which `sora detect` says so. calibration: of the painted and rendered clips
whose probability lies in a range, how many there are, their mean probability, and the share that is painted.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
from video_attacks import h264, resized

FRAMES = 9
CRFS = 23, 28
BINS = 0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.01
# Package, folder inside it, pictures of a camera. Drawings, scans and micrographs are left out.
PHOTOGRAPHS = (
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
    (
        "skimage",
        "data",
        (
            "astronaut.png",
            "chelsea.png",
            "coffee.png",
            "rocket.jpg",
            "motorcycle_left.png",
            "motorcycle_right.png",
            "camera.png",
            "brick.png",
            "grass.png",
            "gravel.png",
            "coins.png",
            "hubble_deep_field.jpg",
            "moon.png",
            "retina.jpg",
        ),
    ),
)
PROMPTS = (
    "a cat moving right on a beach",
    "a rocket flies up in outer space",
    "a fish swims left underwater",
    "a red car drives left in the desert",
    "a penguin bounces on snowy mountains",
    "a star spins at sunset",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--truths", type=int, default=100, help="rendered clips, each with the VAE's (detector)")
    parser.add_argument("--first-truth", type=int, default=5_000_000, help="seed of the first of them (detector)")
    parser.add_argument("--photo-clips", type=int, default=6, help="clips of each photograph (detector)")
    parser.add_argument("--generated", type=int, default=12, help="clips made of prompts (detector)")
    parser.add_argument("--classifier", type=Path, help="weights of `sora train detector` (detector)")


def measure(args: argparse.Namespace) -> dict:
    from safety_watermark import rendered

    from sora_core.loading.checkpoint import load_parts
    from sora_core.provenance.detector.classifier import WEIGHTS, load_classifier
    from sora_core.provenance.detector.detect import MARKED
    from sora_core.provenance.detector.traces import frame_traces
    from sora_core.training.recipes.detector import auc, through_vae

    network = load_classifier(args.classifier or WEIGHTS)
    vae = load_parts("sora-mini")[0]["vae"]
    scores: dict[tuple[str, str], list[float]] = {}

    def add(kind: str, frames: np.ndarray) -> None:
        for coding, clip in (("as it is", frames), *((f"crf {crf}", h264(crf)(frames)) for crf in CRFS)):
            logits = network.frame_logits(np.stack([frame_traces(frame) for frame in clip]))
            scores.setdefault((kind, coding), []).append(float(logits.mean()))

    for clip in rendered(args.truths, args.first_truth, FRAMES):
        add("truth", clip)
        add("painted", through_vae(vae, clip))
    for clip in photographs(args.photo_clips):
        add("photograph", clip)
    for clip in generated(args.generated):
        add("generated", clip)
    rows = {}
    for ours in ("painted", "generated"):
        for other in ("truth", "photograph"):
            for coding in ("as it is", *(f"crf {crf}" for crf in CRFS)):
                made, not_made = (np.asarray(scores.get((kind, coding), [])) for kind in (ours, other))
                if len(made) and len(not_made):
                    labels = np.repeat([1, 0], [len(made), len(not_made)])
                    rows[f"{ours} against {other}, {coding}"] = round(auc(np.append(made, not_made), labels), 4)
    shares = {
        f"{kind}, {coding}": round(float((network.probability(np.asarray(values)) >= MARKED).mean()), 3)
        for (kind, coding), values in scores.items()
    }
    both = {
        label: np.concatenate([values for (kind, _), values in scores.items() if kind == name])
        for label, name in ((1, "painted"), (0, "truth"))
    }
    chance = network.probability(np.concatenate([both[1], both[0]]))
    painted = np.repeat([1, 0], [len(both[1]), len(both[0])])
    calibration = {}
    for low, high in pairwise(BINS):
        inside = (chance >= low) & (chance < high)
        if inside.any():
            calibration[f"{low} to {min(high, 1)}"] = [
                int(inside.sum()),
                round(float(chance[inside].mean()), 3),
                round(float(painted[inside].mean()), 3),
            ]
    counts = {kind: len(values) for (kind, coding), values in scores.items() if coding == "crf 28"}
    return {"clips": counts, "auc": rows, "called_ours": shares, "calibration": calibration, "trained": network.info}


def photographs(each: int) -> Iterator[np.ndarray]:
    """Clips uint8 `[T,128,128,3]`: a window that moves and grows over the pictures that are installed."""
    from sora_core.media.stills import read_still

    rng = np.random.default_rng(3)
    for package, folder, names in PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        if spec is None:
            continue
        for name in names:
            path = Path(spec.origin).parent / folder / name
            if not path.is_file():
                continue
            picture = (read_still(path)[0] * 255).round().byte().numpy()
            for _ in range(each):
                yield window(picture, rng)


def window(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    side = int(rng.uniform(0.45, 0.85) * min(height, width))
    grow = rng.uniform(-0.01, 0.01)
    y, x = rng.integers(0, height - side), rng.integers(0, width - side)
    dy, dx = rng.uniform(-3, 3, 2)
    frames = []
    for i in range(FRAMES):
        now = int(np.clip(side * (1 + grow * i), 64, min(height, width)))
        top = int(np.clip(y + dy * i, 0, height - now))
        left = int(np.clip(x + dx * i, 0, width - now))
        frames.append(resized(picture[None, top : top + now, left : left + now].copy(), 128, 128)[0])
    return np.stack(frames)


def generated(count: int) -> Iterator[np.ndarray]:
    import sora_core

    if count:
        model = sora_core.load()
        for i in range(count):
            video = model.generate(PROMPTS[i % len(PROMPTS)], seed=100 + i)
            yield (video.frames * 255).round().byte().numpy()
