"""The watermark: how visible, what it survives, who can copy it, and whether it is ever seen where it is not.

The clips are rendered by the training world and, every other one, painted by the embedded VAE; half are of the starter
preset, half of the full one with its styles and weather. They are kept in a folder (`--clips`), so that a second run
need not make them. Every clip is marked twice: as marks were before (32 bits that any payload may be, the same pattern
in all clips of a model and key), and as they are now (a number of the clip, tied to its pictures).

survives: clips whose mark is found at a false-positive rate of 1e-6. before named: the same for a payload that is
looked for by name, as those of the package's own models were. tie: clips whose tie holds then, and those of which it is
said, wrongly, that the mark is of other pictures. copied: a mark that was taken from clips and put onto another;
counted is where it passes for a mark of those pictures: found, and not said to be of others. unmarked: clips that have
no mark, as they are and after H.264 at crf 28.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch
import torch.nn.functional as F
from old_marks import embed_old
from video_attacks import ATTACKS, SAVED_CRF, WITHIN, h264, psnr, ssim

from sora_core.provenance.watermark.carrier import LUMA

SIZES = ((128, 128), (96, 160), (160, 96))
OLD_PAYLOAD = 0x1FBC5C2F  # the same in all clips, as that of a model was
KEY = "a secret of the benchmark"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--marked", type=int, default=60, help="clips to mark and attack (watermark)")
    parser.add_argument("--start", type=int, default=0, help="number of the first of them (watermark)")
    parser.add_argument("--copied", type=int, default=60, help="clips whose mark is copied onto another (watermark)")
    parser.add_argument("--unmarked", type=int, default=2000, help="clips without a mark (watermark)")
    parser.add_argument("--first", type=int, default=11_000_000, help="seed of the first marked clip (watermark)")
    parser.add_argument("--attacks", default="", metavar="WORDS", help="only those with one of these words: a,b")
    folder = Path(tempfile.gettempdir()) / "sora-watermark-clips"
    parser.add_argument("--clips", type=Path, default=folder, help="where clips are kept (watermark)")


def rendered(count: int, first: int, frames: int = 17) -> Iterator[np.ndarray]:
    """Clips uint8 `[T,H,W,3]` of the world."""
    from sora_core.training.world import PRESETS, World

    worlds = [World(PRESETS[name]) for name in ("starter", "full")]
    for i in range(count):
        height, width = SIZES[i % 3]
        yield worlds[i // 2 % 2].sample(first + i, height=height, width=width, frames=frames).frames


def clips_of(args: argparse.Namespace, count: int, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield numbers and clips, every other one painted by the VAE; from the folder, if they are there."""
    from sora_core.loading.checkpoint import load_parts
    from sora_core.training.recipes.detector import through_vae
    from sora_core.training.world import PRESETS, World

    args.clips.mkdir(parents=True, exist_ok=True)
    vae = None
    worlds = [World(PRESETS[name]) for name in ("starter", "full")]
    for i in range(start, start + count):
        file = args.clips / f"{args.first + i}.npy"
        if not file.is_file():
            height, width = SIZES[i % 3]
            clip = worlds[i // 2 % 2].sample(args.first + i, height=height, width=width, frames=17).frames
            if i % 2:
                vae = vae or load_parts("sora-mini")[0]["vae"]
                clip = through_vae(vae, clip)
            np.save(file, clip)
        yield i, np.load(file)


def measure(args: argparse.Namespace) -> dict:
    marked = survival(args) if args.marked else {}
    stolen = copied(args) if args.copied else {}
    none = {"unmarked": unmarked(args.unmarked)} if args.unmarked else {}
    return {"clips": args.marked, **marked, **stolen, **none}


def share(hits: int, count: int) -> str:
    """Say a share with its interval, in per cent."""
    from sora_core.training.evaluate.measures import interval

    low, high = interval(hits, count)
    return f"{hits} of {count} ({max(low, 0):.0f} to {high:.0f}%)"


def as_bytes(frames: torch.Tensor) -> np.ndarray:
    return (frames * 255).round().byte().numpy()


def as_floats(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames.copy()).float() / 255


def survival(args: argparse.Namespace) -> dict:
    from sora_core.provenance.watermark.embedding import detect, embed

    words = args.attacks.split(",")
    chosen = {name: attack for name, attack in ATTACKS.items() if any(word in name for word in words)}
    counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in chosen}
    seen: dict[str, list[tuple[float, ...]]] = {"before": [], "now": []}
    rng, done = np.random.default_rng(1), 0
    payloads = rng.integers(2**32, size=args.start + args.marked).tolist()
    for i, clip in clips_of(args, args.marked, args.start):
        made = {"before": as_bytes(embed_old(as_floats(clip), payloads[i])), "now": as_bytes(embed(as_floats(clip)))}
        for kind, frames in made.items():
            greys = grey(clip), grey(frames)
            seen[kind].append((psnr(clip, frames), ssim(clip, frames), psnr(*greys), ssim(*greys), flicker(*greys)))
        for name, attack in chosen.items():
            row, then = counts[name], attack(made["before"])
            any_payload = detect(then, known=()).found
            row["before"] += any_payload
            row["before named"] += any_payload or detect(then, known=(payloads[i],)).found
            report = detect(attack(made["now"]))
            row["now"] += report.found
            row["tie holds"] += report.found and report.tie == "holds"
            row["said to be of other pictures"] += report.tie == "other pictures"
        done += 1
        print(f"clip {i}:", {name: list(row.values()) for name, row in counts.items()}, file=sys.stderr, flush=True)
    rows = {name: {column: share(hits, done) for column, hits in row.items()} for name, row in counts.items()}
    return {
        "how it is seen, before": quality(seen["before"]),
        "how it is seen, now": quality(seen["now"]),
        "survives": {name: row for name, row in rows.items() if name in WITHIN},
        "beyond": {name: row for name, row in rows.items() if name not in WITHIN},
    }


def quality(seen: list[tuple[float, ...]]) -> dict:
    """PSNR and SSIM in colours and luminance; flicker: by how much the mark changes from frame to frame."""
    values = np.asarray(seen)
    return {
        "psnr_min": round(float(values[:, 0].min()), 2),
        "psnr_mean": round(float(values[:, 0].mean()), 2),
        "ssim_min": round(float(values[:, 1].min()), 4),
        "ssim_mean": round(float(values[:, 1].mean()), 4),
        "luminance_psnr_min": round(float(values[:, 2].min()), 2),
        "luminance_ssim_min": round(float(values[:, 3].min()), 4),
        "flicker_mean": round(float(values[:, 4].mean()), 3),
        "flicker_max": round(float(values[:, 4].max()), 3),
    }


def grey(frames: np.ndarray) -> np.ndarray:
    """Luminance `[T,H,W,1]`, in 8-bit units, not rounded."""
    return frames.astype(np.float32) @ np.asarray(LUMA, np.float32)[:, None]


def flicker(before: np.ndarray, after: np.ndarray) -> float:
    """Root of the mean square by which what was added changes from a frame to the next, in 8-bit units."""
    return float(np.sqrt(np.mean(np.diff(after - before, axis=0) ** 2)))


# -- copying -------------------------------------------------------------------------------------------------
def residue(frames: np.ndarray) -> np.ndarray:
    """What a blur takes from the luminance, averaged over the frames: all that shows of a mark in one clip."""
    luma = torch.from_numpy(grey(frames)[..., 0])[:, None]
    fine = luma - F.avg_pool2d(luma, 9, 1, 4, count_include_pad=False)
    return (fine / (fine.abs() + 3)).mean((0, 1)).numpy()  # edges are cut


def put(pattern: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Add a pattern `[H,W]` to frames, as strong as marks are, and save them."""
    pattern = pattern / np.sqrt(np.mean(pattern**2)) * 2
    return h264(SAVED_CRF)((frames + pattern[None, :, :, None]).clip(0, 255).round().astype(np.uint8))


def copied(args: argparse.Namespace) -> dict:
    from sora_core.provenance.watermark.embedding import detect, embed

    clips = [clip for _, clip in clips_of(args, args.copied)]
    passed: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    tried: dict[str, int] = defaultdict(int)
    for kind in ("before", "now"):
        mark = (lambda f: embed_old(f, OLD_PAYLOAD, KEY)) if kind == "before" else (lambda f: embed(f, KEY))
        saved = [h264(SAVED_CRF)(as_bytes(mark(as_floats(clip)))) for clip in clips]
        for i, target in enumerate(clips):
            same = [j for j in range(len(clips)) if j % 3 == i % 3 and j != i]  # of the same size
            if not same:
                continue
            j = next((j for j in same if j > i), same[0])
            plain = h264(SAVED_CRF)(clips[j])
            attacks = {
                "subtraction": (grey(saved[j]) - grey(plain)).mean((0, 3)),
                "subtraction, averaged over all clips": np.mean(
                    [(grey(saved[k]) - grey(clips[k])).mean((0, 3)) for k in same], 0
                ),
                "one marked clip, smoothed": residue(saved[j]),
                "average of all marked clips": np.mean([residue(saved[k]) for k in same], 0),
            }
            for name, pattern in attacks.items():
                report = detect(put(pattern, target), KEY)
                found[name][kind] += report.found
                passed[name][kind] += report.found and report.tie != "other pictures"
                tried[name] += kind == "now"
            print(f"copied {kind} {i}:", {n: dict(r) for n, r in passed.items()}, file=sys.stderr, flush=True)
    return {
        "copied": {
            name: {
                column: share(rows[name][kind], tried[name])
                for kind in ("before", "now")
                for column, rows in ((f"passes, {kind}", passed), (f"seen at all, {kind}", found))
            }
            for name in tried
        }
    }


# -- false alarms --------------------------------------------------------------------------------------------
def unmarked(count: int) -> dict:
    from sora_core.provenance.watermark.embedding import detect

    lowest, detected, clock = 1.0, 0, 0.0
    for i, clip in enumerate(rendered(count, 3_000_000, frames=5)):
        frames = h264(28)(clip) if i % 2 else clip
        start = time.process_time()
        report = detect(frames)
        clock += time.process_time() - start
        lowest, detected = min(lowest, report.p_value), detected + report.found
        if i % 20 == 19:
            print(f"unmarked {i + 1}: {detected} seen, lowest p {lowest:.3g}", file=sys.stderr, flush=True)
    return {
        "clips": count,
        "detected": detected,
        "lowest_p": float(f"{lowest:.3g}"),
        "detect_cpu_ms_per_clip": round(1000 * clock / max(count, 1), 1),
    }
