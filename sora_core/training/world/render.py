"""Pixels of one shot: parallax layers under a camera, sprites placed with subpixel accuracy, labels."""

from __future__ import annotations

import cv2
import numpy as np

from sora_core.training.world.paint import MARGIN_X, MARGIN_Y, Layer, Stage
from sora_core.training.world.plan import Shot
from sora_core.training.world.scenes import SCENES
from sora_core.training.world.sprites import SpriteBank
from sora_core.training.world.subjects import BY_NAME

FOCUS_Y = 0.58  # zooms hold this height of the frame still


def over(back: np.ndarray, front: np.ndarray) -> None:
    """Premultiplied uint8 RGBA `front` over RGB `back` [H,W,3], in place."""
    keep = 255 - front[..., 3:].astype(np.uint16)
    back[...] = front[..., :3] + ((back * keep + 127) // 255).astype(np.uint8)


def _merge(layers: list[Layer], static: bool) -> list[Layer]:
    """Flatten neighbours that always move together."""
    out: list[Layer] = []
    for layer in layers:
        last = out[-1] if out else None
        if last is not None and last.drift == layer.drift and (static or last.parallax == layer.parallax):
            keep = 255 - layer.image[..., 3:].astype(np.uint16)
            last.image = layer.image + ((last.image * keep + 127) // 255).astype(np.uint8)
        else:
            out.append(Layer(layer.image, layer.parallax, layer.drift))
    return out


def _view(layer: Layer, cam: np.ndarray, frame: int, h: int, w: int, q: float) -> np.ndarray:
    """The layer as the camera sees it: [h,w,4]."""
    side = min(h, w)
    zoom = cam[2] ** (0.4 + 0.6 * layer.parallax)
    dx = layer.drift[0] * frame * side - layer.parallax * cam[0] * w
    dy = layer.drift[1] * frame * side - layer.parallax * cam[1] * h
    a = zoom / q
    # canvas point -> frame point: scale about the focus after the shift
    m = np.array(
        [
            [a, 0, (-MARGIN_X * w + dx - 0.5 * w) * zoom + 0.5 * w],
            [0, a, (-MARGIN_Y * h + dy - FOCUS_Y * h) * zoom + FOCUS_Y * h],
        ],
        np.float32,
    )
    if a == 1.0 and float(m[0, 2]).is_integer() and float(m[1, 2]).is_integer():
        x, y = int(-m[0, 2]), int(-m[1, 2])
        return layer.image[y : y + h, x : x + w]
    flags = cv2.INTER_LINEAR
    return cv2.warpAffine(layer.image, m, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def background(shot: Shot, h: int, w: int) -> np.ndarray:
    """[T,h,w,3] uint8 of the scene alone."""
    frames = shot.end - shot.start
    q = 1.35 if shot.cam[:, 2].max() > 1.05 else 1.0
    stage = Stage(h, w, np.random.default_rng(shot.paint_seed), q)
    SCENES[shot.scene].paint(stage)
    static = bool(np.ptp(shot.cam, axis=0).max() == 0)
    layers = _merge(stage.layers, static)
    out = np.empty((frames, h, w, 3), np.uint8)
    still = out[0]
    for i in range(frames):
        cam = shot.cam[i]
        for n, layer in enumerate(layers):
            if n == 0 and static and layer.drift == (0.0, 0.0) and i > 0:
                out[i] = still
                continue
            seen = _view(layer, cam, i, h, w, q)
            if n == 0:
                still = seen[..., :3]
                out[i] = still
            else:
                rows = np.flatnonzero(seen[..., 3].any(axis=1))
                if len(rows):
                    part = slice(rows[0], rows[-1] + 1)
                    over(out[i][part], seen[part])
    return out


def place(
    name: str,
    bank: SpriteBank,
    variant: str,
    cx: float,
    cy: float,
    size: float,
    angle: float,
    stretch: float,
    facing: int,
    h: int,
    w: int,
) -> tuple[slice, slice, np.ndarray] | None:
    """The sprite on the frame: row slice, column slice, premultiplied float32 RGBA; None if outside."""
    picture = bank.get(name, size, variant)
    m = picture.shape[0]
    native = BY_NAME[name].facing
    mirror = -1.0 if native != 0 and facing != 0 and facing != native else 1.0
    k = size / m
    sx, sy = k / np.sqrt(stretch), k * np.sqrt(stretch)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    linear = np.array([[c * sx * mirror, -s * sy], [s * sx * mirror, c * sy]])
    reach = np.abs(linear) @ np.array([m / 2, m / 2]) + 1
    x0, y0 = max(0, int(cx - reach[0])), max(0, int(cy - reach[1]))
    x1, y1 = min(w, int(cx + reach[0]) + 2), min(h, int(cy + reach[1]) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
    # pixel centres are at +0.5 in both pictures
    offset = np.array([cx - x0 - 0.5, cy - y0 - 0.5]) - linear @ np.array([m / 2 - 0.5, m / 2 - 0.5])
    matrix = np.hstack([linear, offset[:, None]]).astype(np.float32)
    patch = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderValue=0)
    return slice(y0, y1), slice(x0, x1), patch


def screen_path(shot: Shot, index: int, h: int, w: int) -> np.ndarray:
    """[T,3]: centre x, centre y and size in pixels of an actor as the camera sees it."""
    t, cam = shot.actors[index].track, shot.cam
    side = min(h, w)
    x = (t.x - cam[:, 0] - 0.5) * w * cam[:, 2] + 0.5 * w
    y = (t.y - cam[:, 1] - FOCUS_Y) * h * cam[:, 2] + FOCUS_Y * h
    return np.stack([x, y, t.size * side * cam[:, 2]], axis=1)


def draw_actors(
    shot: Shot,
    bank: SpriteBank,
    labels_of: dict[str, int],
    frames: np.ndarray,
    alpha: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Composite the actors onto `frames` [T,h,w,3], far to near, and fill alpha and labels [T,h,w]."""
    count, h, w, _ = frames.shape
    order = sorted(range(len(shot.actors)), key=lambda i: shot.actors[i].depth)
    paths = {i: screen_path(shot, i, h, w) for i in order}
    for n in order:
        actor, label = shot.actors[n], labels_of[shot.actors[n].name]
        for i in range(count):
            if actor.state[i] == "gone":
                continue
            cx, cy, size = paths[n][i]
            t = actor.track
            put = place(
                actor.name, bank, actor.state[i], cx, cy, size, t.angle[i], t.stretch[i], t.facing, h, w
            )
            if put is None:
                continue
            rows, cols, patch = put
            a = patch[..., 3:]
            roi = frames[i, rows, cols]
            roi[...] = np.clip(patch[..., :3] * 255 + roi * (1 - a) + 0.5, 0, 255).astype(np.uint8)
            seen = (a[..., 0] * 255 + 0.5).astype(np.uint8)
            alpha[i, rows, cols] = np.maximum(seen, alpha[i, rows, cols])
            labels[i, rows, cols][seen >= 128] = label
