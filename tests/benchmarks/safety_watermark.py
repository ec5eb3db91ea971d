"""The watermark: how visible, what it survives, where it breaks, and whether it is ever seen where it is not.

The clips are rendered by the training world and, every other one, painted by the embedded VAE. bits: share of payload
bits that are right, where half of them count for a clip in which nothing is found. found: share of clips whose mark is
detected at a false-positive rate of 1e-6. named: the same, for a payload that is looked for by name, as those of the
package's own models are. unmarked: clips that have no mark, as they are and after H.264 at crf 28.
Half of the clips are of the starter preset, half of the full one with its styles and weather.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch
from video_attacks import ATTACKS, WITHIN, h264, psnr, ssim

from sora_core.provenance.watermark.carrier import LUMA

SIZES = ((128, 128), (96, 160), (160, 96))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--marked", type=int, default=100, help="clips to mark and attack (watermark)")
    parser.add_argument("--unmarked", type=int, default=2000, help="clips without a mark (watermark)")
    parser.add_argument("--first", type=int, default=11_000_000, help="seed of the first marked clip (watermark)")
    parser.add_argument("--attacks", default="", metavar="WORDS", help="only those with one of these words: a,b")


def rendered(count: int, first: int, frames: int = 17) -> Iterator[np.ndarray]:
    """Clips uint8 `[T,H,W,3]` of the world."""
    from sora_core.training.world import PRESETS, World

    worlds = [World(PRESETS[name]) for name in ("starter", "full")]
    for i in range(count):
        height, width = SIZES[i % 3]
        yield worlds[i // 2 % 2].sample(first + i, height=height, width=width, frames=frames).frames


def measure(args: argparse.Namespace) -> dict:
    marked = survival(args.marked, args.first, args.attacks.split(",")) if args.marked else {}
    return {"clips": args.marked, **marked, **({"unmarked": unmarked(args.unmarked)} if args.unmarked else {})}


def survival(count: int, first: int, words: list[str]) -> dict:
    from sora_core.loading.checkpoint import load_parts
    from sora_core.provenance.watermark.embedding import Embedder, detect
    from sora_core.provenance.watermark.payloads import known_payloads
    from sora_core.training.recipes.detector import through_vae

    vae = load_parts("sora-mini")[0]["vae"]
    chosen = {name: attack for name, attack in ATTACKS.items() if any(word in name for word in words)}
    bits, found, named = ({name: [] for name in chosen} for _ in range(3))
    seen: list[tuple[float, ...]] = []
    rng, clock, painted = np.random.default_rng(1), 0.0, 0
    for i, clip in enumerate(rendered(count, first)):
        frames = through_vae(vae, clip) if i % 2 else clip
        payload = int(rng.integers(2**32))
        embedder = Embedder(payload)
        embedder(torch.zeros(*frames.shape[1:]))  # the pattern of a size is drawn once for a video
        video = torch.from_numpy(frames.copy()).float() / 255
        start = time.process_time()
        marked = embedder(video)
        clock, painted = clock + time.process_time() - start, painted + len(frames)
        made = (marked * 255).round().byte().numpy()
        greys = grey(frames), grey(made)
        seen.append((psnr(frames, made), ssim(frames, made), psnr(*greys), ssim(*greys)))
        for name, attack in chosen.items():
            seen_then = attack(made)
            report = detect(seen_then)
            named[name].append(report.found or detect(seen_then, known=(payload, *known_payloads())).found)
            wrong = 16 if report.payload is None else (report.payload ^ payload).bit_count()
            bits[name].append(1 - wrong / 32)
            found[name].append(report.found)
    rows = {
        name: {
            "found": round(float(np.mean(found[name])), 4),
            "named": round(float(np.mean(named[name])), 4),
            "bits": round(float(np.mean(bits[name])), 4),
        }
        for name in chosen
    }
    quality = np.asarray(seen)
    return {
        "psnr_min": round(float(quality[:, 0].min()), 2),
        "psnr_mean": round(float(quality[:, 0].mean()), 2),
        "ssim_min": round(float(quality[:, 1].min()), 4),
        "ssim_mean": round(float(quality[:, 1].mean()), 4),
        "luminance_psnr_min": round(float(quality[:, 2].min()), 2),
        "luminance_ssim_min": round(float(quality[:, 3].min()), 4),
        "embed_cpu_ms_per_frame": round(1000 * clock / painted, 2),
        "survives": {name: row for name, row in rows.items() if name in WITHIN},
        "beyond": {name: row for name, row in rows.items() if name not in WITHIN},
    }


def grey(frames: np.ndarray) -> np.ndarray:
    """Luminance `[T,H,W,1]`, in 8-bit units, not rounded."""
    return frames.astype(np.float32) @ np.asarray(LUMA, np.float32)[:, None]


def unmarked(count: int) -> dict:
    from sora_core.provenance.watermark.embedding import detect

    lowest, detected, clock = 1.0, 0, 0.0
    for i, clip in enumerate(rendered(count, 3_000_000, frames=5)):
        frames = h264(28)(clip) if i % 2 else clip
        start = time.process_time()
        report = detect(frames)
        clock += time.process_time() - start
        lowest, detected = min(lowest, report.p_value), detected + report.found
    return {
        "clips": count,
        "detected": detected,
        "lowest_p": float(f"{lowest:.3g}"),
        "detect_cpu_ms_per_clip": round(1000 * clock / max(count, 1), 1),
    }
