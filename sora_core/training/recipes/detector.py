"""Training of the detector's classifier: clips of a VAE's decoder against the pictures that they were made from.

Made here: rendered clips that went through the VAE, with some noise on the latents, as sampling leaves it. Not made
here: the same rendered clips as they are and blurred (a soft edge alone proves nothing), and pictures with the
statistics of photographs: overlapping discs of all sizes (the dead leaves model of Lee, Mumford and Huang, Int. J.
Comput. Vision 41, 2001) with texture and sensor noise. No photograph is seen in training. Each clip is seen as it is or
after mild H.264, and after strong H.264.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from ...loading.checkpoint import load_parts
from ...media.video import iter_frames
from ...media.write import write_video
from ...model.vae.mini import VideoVAE
from ...provenance.detector.classifier import WEIGHTS, TraceClassifier
from ...provenance.detector.traces import frame_traces
from ..checkpoints import part_of
from ..data.latents import to_video

FRAMES = 5  # of a clip
SIDES = (96, 128)  # pixels, by turns
HELD_OUT = 4  # every fourth scene is for calibration
HIDDEN = 12  # units of the network
LATENT_NOISE = 0.15  # the most, as a standard deviation
PRESETS_USED = ("starter", "full")  # of the world
MILD, STRONG = (18, 25), (25, 31)  # crf of H.264
CODINGS = 2  # how often a clip is seen: as it is or after mild H.264, and after strong H.264


def through_codec(frames: np.ndarray, crf: float) -> np.ndarray:
    """Send frames uint8 `[T,H,W,3]` through H.264 at `crf`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, 8, crf=crf)
        return np.stack(list(iter_frames(path)))


@torch.no_grad()
def through_vae(vae: VideoVAE, frames: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Encode frames uint8 `[T,H,W,3]` and decode their latents, with Gaussian noise of that deviation on them."""
    latent = vae.encode(to_video(frames))
    generator = torch.Generator().manual_seed(seed)
    video = vae.decode(latent + noise * torch.randn(latent.shape, generator=generator))
    return ((video[0].movedim(0, -1).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Blur each frame of uint8 `[T,H,W,3]` with a Gaussian of `sigma` pixels."""
    reach = np.arange(-3, 4)
    kernel = np.exp(-(reach**2) / (2 * sigma**2))
    weight = torch.tensor(kernel / kernel.sum(), dtype=torch.float32).expand(3, 1, 1, 7)
    video = torch.from_numpy(np.array(frames)).movedim(-1, 1).float()
    video = F.conv2d(F.pad(video, (3, 3, 0, 0), mode="replicate"), weight, groups=3)
    video = F.conv2d(F.pad(video, (0, 0, 3, 3), mode="replicate"), weight.mT, groups=3)
    return video.round().byte().movedim(1, -1).numpy()


def dead_leaves(rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
    """Draw uint8 `[T,S,S,3]`: a pan over overlapping textured discs, radii with density r^-3, with sensor noise."""
    wide = side + 3 * frames
    y, x = np.mgrid[:wide, :wide]
    scene = np.full((wide, wide, 3), rng.uniform(40, 200, 3), np.float32)
    smallest = rng.uniform(1.5, 4)
    for _ in range(220):
        radius = min(smallest / np.sqrt(max(rng.random(), 1e-4)), wide / 2)
        inside = np.hypot(x - rng.integers(wide), y - rng.integers(wide)) < radius
        shade = rng.uniform(0, 255, 3) * 0.5 + rng.uniform(0, 127)
        scene[inside] = shade + rng.normal(0, rng.uniform(0, 20), (inside.sum(), 1))
    scene = blurred(scene.clip(0, 255).astype(np.uint8)[None], rng.uniform(0.4, 1.2))[0].astype(np.float32)
    dy, dx = rng.integers(0, 4, 2)
    video = np.stack([scene[i * dy : i * dy + side, i * dx : i * dx + side] for i in range(frames)])
    return (video + rng.normal(0, rng.uniform(0.5, 6), video.shape)).clip(0, 255).astype(np.uint8)


def clips(vae: VideoVAE, count: int, sprites: Path | None = None, seed: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (1 for made by the decoder, frames): four for each of `count` scenes. Pure in (count, seed, VAE)."""
    from ..world import PRESETS, World

    worlds = [World(PRESETS[name], sprites) for name in PRESETS_USED]
    rng = np.random.default_rng(seed)
    for i in range(count):
        side = SIDES[i % 2]
        truth = worlds[i // 2 % 2].sample(seed * 1_000_003 + i, height=side, width=side, frames=FRAMES).frames
        other = truth
        if i % 4 == 1:
            other = dead_leaves(rng, FRAMES, side)
        elif i % 4 == 3:
            other = blurred(truth, rng.uniform(0.4, 1.2))
        made = through_vae(vae, truth, rng.uniform(0, LATENT_NOISE), i)
        for label, frames in ((1, made), (0, other)):
            yield label, frames if rng.random() < 0.5 else through_codec(frames, rng.uniform(*MILD))
            yield label, through_codec(frames, rng.uniform(*STRONG))


def fit(traces: Tensor, labels: Tensor, seed: int = 0, steps: int = 400) -> dict[str, np.ndarray]:
    """Train the network on traces `[N,F]` and labels `[N]` (0 or 1); returns its tensors."""
    torch.manual_seed(seed)
    mean, std = traces.mean(0), traces.std(0) + 1e-3
    x = ((traces - mean) / std).clamp(-4, 4)
    w1 = (torch.randn(x.shape[1], HIDDEN) * x.shape[1] ** -0.5).requires_grad_()
    w2 = (torch.randn(HIDDEN) * HIDDEN**-0.5).requires_grad_()
    b1, b2 = torch.zeros(HIDDEN, requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.AdamW([w1, b1, w2, b2], lr=0.01, weight_decay=0.1)
    for _ in range(steps):
        # Clips are few: with noise on their traces, the network cannot learn them by heart.
        noisy = x + 0.2 * torch.randn_like(x)
        loss = F.binary_cross_entropy_with_logits(torch.tanh(noisy @ w1 + b1) @ w2 + b2, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    parts = {"mean": mean, "std": std, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
    return {name: value.detach().numpy() for name, value in parts.items()}


def calibrate(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit (scale, bias) of a logit's probability, with smoothed targets.

    Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    ones, zeros = labels.sum(), (1 - labels).sum()
    target = torch.tensor(np.where(labels == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2)))
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor(logits, dtype=torch.float64)
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(line[0] * x + line[1], target)
        loss.backward()
        return loss

    optimiser.step(closure)
    return line.detach().numpy()


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of pairs (made, not made) in which the first scores higher; ties count half."""
    made, other = scores[labels == 1][:, None], scores[labels == 0]
    return float(((made > other) + 0.5 * (made == other)).mean())


def train_detector(
    vae_file: str | Path = "sora-mini",
    out: Path = WEIGHTS,
    *,
    count: int = 160,
    sprites: Path | None = None,
    name: str | None = None,
    seed: int = 0,
    report: Callable[..., None] = print,
) -> TraceClassifier:
    """Train on `count` scenes through the VAE in `vae_file` and write `out`.

    name: what reports call the decoder; by default the model's own name, or the file's. Raises SoraError for a file
    without a VAE, and for too few scenes.
    """
    parts, info = load_parts(vae_file)
    vae = part_of(parts, VideoVAE, vae_file)
    expect(count >= 2 * HELD_OUT, f"{count} scenes are too few to train on: use at least {2 * HELD_OUT}.")
    rows, labels = [], []
    total = 2 * CODINGS * count
    for i, (label, frames) in enumerate(clips(vae, count, sprites, seed)):
        rows.append(np.stack([frame_traces(frame) for frame in frames]))
        labels.append(label)
        if (i + 1) % 20 == 0:
            report(f"{i + 1} of {total} clips", flush=True)
    # All clips of a scene are held out together: they show the same.
    held = np.arange(total) // (2 * CODINGS) % HELD_OUT == 0
    truth = np.asarray(labels, np.float32)
    seen = [i for i in range(total) if not held[i]]
    x = torch.from_numpy(np.concatenate([rows[i] for i in seen]))
    y = torch.from_numpy(np.repeat(truth[seen], FRAMES))
    network = TraceClassifier({**fit(x, y, seed), "calibration": np.asarray([1.0, 0.0])}, {})
    logits = np.asarray([network.frame_logits(row).mean() for row in rows])
    figures = {
        "decoder": f"the decoder of {name or info.get('name', Path(info['file']).stem)}",
        "clips": total,
        "auc_seen": round(auc(logits[~held], truth[~held]), 4),
        "auc_held_out": round(auc(logits[held], truth[held]), 4),
    }
    network.tensors["calibration"] = calibrate(logits[held], truth[held])
    network = TraceClassifier(network.tensors, figures)
    network.save(Path(out))
    report(figures, flush=True)
    return network
