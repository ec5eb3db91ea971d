"""Pixels of one shot: parallax layers under a camera, sprites placed with subpixel accuracy, labels."""

from __future__ import annotations

import cv2
import numpy as np

from . import effects
from .paint import MARGIN_X, MARGIN_Y, Layer, Stage
from .plan import Actor, Shot
from .scenes import SCENES
from .sprites import SpriteBank
from .subjects import BY_NAME

FOCUS_Y = 0.58  # zooms hold this height of the frame still


def over(back: np.ndarray, front: np.ndarray) -> None:
    """Lay premultiplied uint8 RGBA `front` over RGB `back` [H,W,3], in place."""
    keep = cv2.cvtColor(255 - front[..., 3], cv2.COLOR_GRAY2RGB)
    cv2.add(cv2.cvtColor(front, cv2.COLOR_RGBA2RGB), cv2.multiply(back, keep, scale=1 / 255), dst=back)


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
    """Return the layer as the camera sees it: [h,w,4]; q: canvas pixels per pixel of the frame."""
    side = min(h, w)
    zoom = cam[2] ** (0.4 + 0.6 * layer.parallax)
    dx = layer.drift[0] * frame * side - layer.parallax * cam[0] * w
    dy = layer.drift[1] * frame * side - layer.parallax * cam[1] * h
    a = zoom / q
    # Canvas point -> frame point: scale about the focus after the shift.
    m = np.array(
        [
            [a, 0, (-MARGIN_X * w + dx - 0.5 * w) * zoom + 0.5 * w],
            [0, a, (-MARGIN_Y * h + dy - FOCUS_Y * h) * zoom + FOCUS_Y * h],
        ],
        np.float32,
    )
    # Most cameras stand still: then the view is a part of the canvas.
    if a == 1.0 and float(m[0, 2]).is_integer() and float(m[1, 2]).is_integer():
        x, y = int(-m[0, 2]), int(-m[1, 2])
        return layer.image[y : y + h, x : x + w]
    flags = cv2.INTER_LINEAR
    return cv2.warpAffine(layer.image, m, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def background(shot: Shot, h: int, w: int) -> np.ndarray:
    """Render the scene alone: [T,h,w,3] uint8."""
    frames = shot.end - shot.start
    # A camera that zooms in needs more pixels than it shows at first.
    q = 1.35 if shot.cam[:, 2].max() > 1.05 else 1.0
    stage = Stage(h, w, np.random.default_rng(shot.paint_seed), q)
    SCENES[shot.scene].paint(stage)
    if shot.weather == "cloudy":
        near = next((n for n, layer in enumerate(stage.layers) if layer.parallax >= 0.4), len(stage.layers))
        stage.layers.insert(near, effects.overcast(stage))
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
                still = cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB)
                out[i] = still
            else:
                rows = np.flatnonzero(seen[..., 3].any(axis=1))
                if len(rows):
                    part = slice(rows[0], rows[-1] + 1)
                    over(out[i][part], seen[part])
    effects.multiply(out, _light(shot))
    if shot.weather == "fog":
        effects.fog(out, 0.5)
    return out


def _light(shot: Shot) -> np.ndarray:
    """Return the RGB gain [3] of a shot's light."""
    return effects.light_of(shot.time, shot.weather, SCENES[shot.scene].times[0])


def finish(shot: Shot, video: np.ndarray, alpha: np.ndarray, labels: np.ndarray) -> None:
    """Add what is nearer than the actors, on a shot's frames in place: a tree, weather, the light going out."""
    frames, h, w, _ = video.shape
    if shot.tree is not None:
        front = effects.tree(h, w, shot.tree).copy()
        front[..., :3] = np.clip(front[..., :3] * np.sqrt(_light(shot)), 0, 255).astype(np.uint8)
        keep = (255 - front[..., 3]).astype(np.uint16)
        for i in range(frames):
            over(video[i], front)
        alpha[...] = ((alpha * keep + 127) // 255).astype(np.uint8)
        labels[:, front[..., 3] >= 128] = 0
    if shot.weather == "fog":
        effects.fog(video, 0.15)
    elif shot.weather in ("rain", "snow"):
        effects.falling(video, shot.weather, np.random.default_rng(shot.paint_seed + 1))
    if shot.light is not None:
        for i in range(frames):
            effects.multiply(video[i], np.full(3, shot.light[i], np.float32))


def place(
    actor: Actor, i: int, bank: SpriteBank, where: np.ndarray, h: int, w: int
) -> tuple[slice, slice, np.ndarray] | None:
    """Render an actor's sprite in its shot's frame `i`, at where = (cx, cy, size) in pixels.

    Returns row slice, column slice and premultiplied float32 RGBA; None if outside the frame.
    """
    t, (cx, cy, size) = actor.track, where
    picture = bank.get(actor.name, size, actor.state[i])
    if t.swim is not None:
        picture = _bend(picture, t.swim[i])
    m = picture.shape[0]
    native = BY_NAME[actor.name].facing
    mirror = -1.0 if native != 0 and t.facing != 0 and t.facing != native else 1.0
    k, tall = size / m, np.sqrt(t.stretch[i])
    sx, sy = k / tall * (1.0 if t.flap is None else t.flap[i]), k * tall
    c, s = np.cos(np.radians(t.angle[i])), np.sin(np.radians(t.angle[i]))
    linear = np.array([[c * sx * mirror, -s * sy], [s * sx * mirror, c * sy]])
    reach = np.abs(linear) @ np.array([m / 2, m / 2]) + 1
    x0, y0 = max(0, int(cx - reach[0])), max(0, int(cy - reach[1]))
    x1, y1 = min(w, int(cx + reach[0]) + 2), min(h, int(cy + reach[1]) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
    # Pixel centres are at +0.5 in both pictures.
    offset = np.array([cx - x0 - 0.5, cy - y0 - 0.5]) - linear @ np.array([m / 2 - 0.5, m / 2 - 0.5])
    matrix = np.hstack([linear, offset[:, None]]).astype(np.float32)
    patch = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderValue=0)
    return slice(y0, y1), slice(x0, x1), patch


def _bend(picture: np.ndarray, phase: float) -> np.ndarray:
    """Send a wave through the body from head (left, still) to tail: each column shifts up or down."""
    m = picture.shape[0]
    x = np.arange(m, dtype=np.float32)
    shift = 0.07 * m * (0.25 + x / m) * np.sin(2 * np.pi * 0.7 * x / m - phase)
    yy, xx = np.mgrid[0:m, 0:m].astype(np.float32)
    return cv2.remap(picture, xx, yy + shift[None].astype(np.float32), cv2.INTER_LINEAR, borderValue=0)


def screen_path(shot: Shot, index: int, h: int, w: int) -> np.ndarray:
    """Return the path [T,3] of an actor as the camera sees it: centre x, centre y and size in pixels."""
    t, cam = shot.actors[index].track, shot.cam
    side = min(h, w)
    x = (t.x - cam[:, 0] - 0.5) * w * cam[:, 2] + 0.5 * w
    y = (t.y - cam[:, 1] - FOCUS_Y) * h * cam[:, 2] + FOCUS_Y * h
    return np.stack([x, y, t.size * side * cam[:, 2]], axis=1)


def draw_actors(
    shot: Shot, bank: SpriteBank, labels_of: dict[str, int], frames: np.ndarray, alpha: np.ndarray, labels: np.ndarray
) -> None:
    """Composite the actors onto `frames` [T,h,w,3], far to near, and fill alpha and labels [T,h,w].

    labels_of: the number of each subject.
    """
    count, h, w, _ = frames.shape
    order = sorted(range(len(shot.actors)), key=lambda i: shot.actors[i].depth)
    paths = {i: screen_path(shot, i, h, w) for i in order}
    lit = np.minimum(np.sqrt(_light(shot)), 1) * 255  # subjects keep more of their own colour than the scene does
    for n in order:
        actor, label = shot.actors[n], labels_of[shot.actors[n].name]
        for i in range(count):
            if actor.state[i] == "gone":
                continue
            put = place(actor, i, bank, paths[n][i], h, w)
            if put is None:
                continue
            rows, cols, patch = put
            a = patch[..., 3:]
            roi = frames[i, rows, cols]
            # Premultiplied colour plus what it lets through never passes 255, but for rounding.
            roi[...] = np.minimum(patch[..., :3] * lit + roi * (1 - a) + 0.5, 255)
            seen = (a[..., 0] * 255 + 0.5).astype(np.uint8)
            alpha[i, rows, cols] = np.maximum(seen, alpha[i, rows, cols])
            labels[i, rows, cols][seen >= 128] = label
