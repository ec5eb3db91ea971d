"""Watching a video: what the observer sees in it as facts, as the world has them, and how sure it is.

A video of any size, length and rate is resampled to 8 frames a second and seen in windows of 17 frames that overlap
by half; what the windows say of a frame is averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import expect
from ..language.captions import caption
from ..language.looks import LOOKS, USUAL_TIMES
from ..media.clips import read_clip
from ..media.frames import resample_frames
from .network import FPS, SIZE, WINDOW, Observer, ObserverConfig, cell_centres, groups, load_observer, shrink

HOP = 8  # frames between windows
MOST_SHOTS = 3  # that a caption tells
LEAST_SHOT = 3  # frames; what is shorter is no shot but a flash
LEAST_SECOND = 0.12  # how much of the first subject's evidence a second one needs


@dataclass(frozen=True)
class Sight:
    """What was seen. facts: as `sora_core.training.world` has them, enough for `caption`. confidence: 0..1 of each
    fact, and "overall". tracks, at 8 frames a second: centre `[T,2]` of a lone subject (fractions of the frame),
    cut `[T]` and states `[T,E]` (probabilities), subjects `[1+k,S]` (share of the frame that shows each) and places
    `[1+k,S,2]` (where), scenes `[T,n]` (probabilities).
    """

    facts: dict[str, Any]
    confidence: dict[str, float]
    tracks: dict[str, np.ndarray]

    def say(self, language: str = "en", length: str = "medium", seed: int = 0) -> str:
        """A caption; `seed` draws the wording."""
        return caption(self.facts, np.random.default_rng(seed), language, length)


def watch_file(path: str | Path, observer: Observer | None = None) -> Sight:
    """Watch a video file. Raises SoraError for what is no video or too long."""
    from ..media.video import probe

    info = probe(path)
    scale = 2 * SIZE / min(info.width, info.height)
    size = tuple(max(2, round(side * min(scale, 1) / 2) * 2) for side in (info.width, info.height))
    clip = read_clip(path, fps=FPS, size=size, multiple=2, sound=False)
    return watch(clip.frames, FPS, observer)


def watch(frames: Tensor, fps: float = FPS, observer: Observer | None = None) -> Sight:
    """Watch frames `[T,H,W,3]` float 0..1 that run at `fps`. A picture is a clip of one frame."""
    expect(
        frames.ndim == 4 and frames.shape[0] > 0 and frames.shape[-1] == 3,
        f"Frames have the shape [T,H,W,3], not {list(frames.shape)}.",
    )
    expect(0 < fps <= 240, f"{fps} frames per second: use a value above 0, at most 240.")
    return watch_pixels(shrink(resample_frames(frames, fps, FPS)), observer or load_observer())


@torch.no_grad()
def watch_pixels(pixels: Tensor, observer: Observer) -> Sight:
    """Watch what `shrink` gives, `[T,3,64,64]` at 8 frames a second."""
    (sight,) = watch_batch(pixels[None], observer)
    return sight


@torch.no_grad()
def watch_batch(pixels: Tensor, observer: Observer) -> list[Sight]:
    """The same for clips of one length, `[B,T,3,64,64]`."""
    total = pixels.shape[1]
    device = next(observer.parameters()).device
    length = min(WINDOW, 1 + 4 * -(-(total - 1) // 4))
    starts = range(0, max(1, total - length + HOP), HOP)
    padded = starts[-1] + length - total
    if padded > 0:
        pixels = torch.cat((pixels, pixels[:, -1:].expand(-1, padded, -1, -1, -1)), 1)
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for start in starts:
        out = observer(pixels[:, start : start + length].to(device))
        for name, value in out.items():
            at = start // 4 if name in ("subjects", "motions") else start
            whole = groups(total + padded) if name in ("subjects", "motions") else total + padded
            if name not in sums:
                sums[name] = value.new_zeros(len(value), whole, *value.shape[2:])
                counts[name] = value.new_zeros(whole)
            # The first frame of a later window lacks what came before it.
            weight = torch.ones(value.shape[1], device=device)
            weight[0] = 0.1 if start else 1.0
            sums[name][:, at : at + value.shape[1]] += value * weight.view(-1, *[1] * (value.ndim - 2))
            counts[name][at : at + value.shape[1]] += weight
    means = {n: (v / counts[n].view(-1, *[1] * (v.ndim - 2))).cpu() for n, v in sums.items()}
    means = {n: v[:, : groups_of(total) if n in ("subjects", "motions") else total] for n, v in means.items()}
    return [_read({n: v[i] for n, v in means.items()}, observer.config) for i in range(len(pixels))]


def groups_of(frames: int) -> int:
    """Maps that show anything of the first `frames` frames."""
    return 1 + -(-(frames - 1) // 4)


def shots_of(cut: np.ndarray, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Probabilities `[T]` that a shot begins -> (start, end) of each: peaks that are LEAST_SHOT frames apart."""
    starts = [0]
    for i in sorted(np.flatnonzero(cut > threshold), key=lambda i: -cut[i]):
        if all(abs(i - s) >= LEAST_SHOT for s in starts) and len(cut) - i >= LEAST_SHOT:
            starts.append(int(i))
    starts.sort()
    return list(zip(starts, [*starts[1:], len(cut)], strict=True))


def _read(out: dict[str, Tensor], v: ObserverConfig) -> Sight:
    """Logits of one clip -> facts that a caption can be made of."""
    total = len(out["cut"])
    shots = shots_of(out["cut"].sigmoid().numpy())
    area = out["subjects"].softmax(1)[:, 1:].flatten(2)  # [G,S,64]
    evidence = area.sum((0, 2))
    tracks = {
        "centre": out["centre"].numpy(),
        "cut": out["cut"].sigmoid().numpy(),
        "states": out["states"].sigmoid().numpy(),
        "scenes": out["scene"].softmax(-1).numpy(),
        "subjects": area.mean(-1).numpy(),
        "places": (area @ cell_centres() / area.sum(-1, keepdim=True).clamp_min(1e-6)).numpy(),
    }
    sure: dict[str, float] = {}

    def said(name: str, names: tuple[str, ...], part: slice, mask: list[str] | None = None) -> str:
        mean = out[name][part].log_softmax(-1).mean(0)
        if mask is not None:
            mean = torch.where(torch.tensor([n in mask for n in names]), mean, -torch.inf)
        chances = mean.softmax(-1)
        best = int(chances.argmax())
        sure[name] = min(sure.get(name, 1.0), float(chances[best]))
        return names[best]

    whole = slice(0, total)
    style = said("style", v.styles, whole)
    number = int(said("number", tuple(str(n + 1) for n in range(v.most_subjects)), whole)) if len(shots) == 1 else 1
    order = evidence.argsort(descending=True).tolist()
    cast = order[:number]
    while len(cast) > 1 and evidence[cast[-1]] < LEAST_SECOND * evidence[cast[0]]:
        cast.pop()
    rest = float(evidence[order[len(cast)]]) if len(order) > len(cast) else 0.0
    sure["subject"] = float(evidence[cast[-1]]) / max(float(evidence[cast[-1]]) + rest, 1e-9)
    relation = said("relation", v.relations, whole, list(v.relations[1:])) if len(cast) > 1 else "none"
    if relation != "none":
        cast = _ordered(cast, relation, tracks, evidence)
    shown = sorted(sorted(shots, key=lambda s: s[0] - s[1])[:MOST_SHOTS])
    facts_of_shots = []
    for start, end in shown:
        part = slice(start, end)
        scene = said("scene", v.scenes, part)
        motions = _motions(out, area, cast, (start, end), relation, v, sure)
        facts_of_shots.append(
            {
                "start": start,
                "end": end,
                "scene": scene,
                "time_of_day": said("time", v.times, part),
                "weather": said("weather", v.weathers, part),
                "usual_time": USUAL_TIMES.get(scene, "day"),
                "camera": said("camera", v.cameras, part),
                "motions": [m.partition(" ")[0] for m in motions],
                "turns": [m.partition(" ")[2] for m in motions],
                "relations": _relations(cast, relation),
            }
        )
    first = facts_of_shots[0]
    events = _events(tracks["states"], v, sure) if len(shots) == 1 and len(cast) == 1 else []
    facts = {
        **{key: first[key] for key in ("scene", "time_of_day", "weather", "camera", "relations")},
        "style": style,
        "shots": facts_of_shots,
        "subjects": [
            {
                "name": v.subjects[s],
                "kind": LOOKS[v.subjects[s]].kind,
                "colours": list(LOOKS[v.subjects[s]].colours),
                "motion": first["motions"][n],
                "turn": first["turns"][n],
            }
            for n, s in enumerate(cast)
        ],
        "events": events,
        "fps": FPS,
        "frames": total,
    }
    sure["overall"] = float(np.prod([sure[name] for name in ("subject", "scene", "motion", "camera")]))
    return Sight(facts, {name: round(value, 3) for name, value in sure.items()}, tracks)


def _motions(
    out: dict[str, Tensor],
    area: Tensor,
    cast: list[int],
    shot: tuple[int, int],
    relation: str,
    v: ObserverConfig,
    sure: dict[str, float],
) -> list[str]:
    """Each subject's motion in a shot: what its cells say, weighted by how surely they are its."""
    if shot[1] - shot[0] == 1:  # a picture does not move
        sure["motion"] = 1.0
        return ["still"] * len(cast)
    span = slice(groups_of(shot[0] + 1) if shot[0] else 0, groups_of(shot[1]))
    logits = out["motions"][span].log_softmax(1).flatten(2)  # [G,M,64]
    allowed = {"orbit"} if relation == "orbit" else {"left", "right"} if relation == "follow" else None
    found = []
    for n, s in enumerate(cast):
        weight = area[span, s] + 1e-6
        mean = (logits * weight[:, None]).sum((0, 2)) / weight.sum()
        if relation == "orbit" and n == 1:
            allowed = {"still"}
        ok = [(m in allowed) if allowed is not None else m != "orbit" for m in v.motions]
        chances = torch.where(torch.tensor(ok), mean, -torch.inf).softmax(-1)
        best = int(chances.argmax())
        sure["motion"] = min(sure.get("motion", 1.0), float(chances[best]))
        found.append(v.motions[best])
    return [found[0]] * len(cast) if relation == "follow" else found


def _ordered(cast: list[int], relation: str, tracks: dict[str, np.ndarray], evidence: Tensor) -> list[int]:
    """The subjects in the order in which a caption names them."""
    share = tracks["subjects"][:, :, None]
    place = (tracks["places"] * share).sum(0) / np.maximum(share.sum(0), 1e-9)
    if relation in ("above", "behind"):  # who stands behind shows higher up
        return sorted(cast, key=lambda s: place[s, 1])
    if relation == "orbit":
        return sorted(cast, key=lambda s: float(evidence[s]))
    if relation == "follow":
        drift = sum(tracks["places"][-1, s, 0] - tracks["places"][0, s, 0] for s in cast)
        return sorted(cast, key=lambda s: place[s, 0], reverse=bool(drift < 0))
    return sorted(cast, key=lambda s: place[s, 0])


def _relations(cast: list[int], relation: str) -> list[list]:
    kind = "left" if relation == "side" else relation
    return [] if relation == "none" else [[n, kind, n + 1] for n in range(len(cast) - 1)]


def _events(states: np.ndarray, v: ObserverConfig, sure: dict[str, float]) -> list[dict[str, Any]]:
    """The one event whose effect is seen for at least two frames, if any."""
    seen = [(float(np.sort(p)[-2:].min()), n) for n, p in enumerate(states.T)] if len(states) > 1 else []
    best, n = max(seen, default=(0.0, 0))
    sure["event"] = max(best, 1 - best)
    if best <= 0.5:
        return []
    frames = np.flatnonzero(states[:, n] > 0.5)
    event = {"kind": v.events[n], "subject": 0, "frame": int(frames[0])}
    return [event | {"end": int(frames[-1]) + 1}] if v.events[n] == "occlusion" else [event]
