"""What lies over the picture: time of day, weather, a tree in front, styles."""

from __future__ import annotations

import cv2
import numpy as np

from .incidents import TREE_WIDTH
from .paint import Layer, Stage, dot

# Colour gains of the light; the natural light of a scene is 1.
LIGHT = {"dawn": (1.06, 0.8, 0.84), "dusk": (1.0, 0.64, 0.46), "night": (0.3, 0.38, 0.68), "day": (1.0, 1.0, 1.0)}
WEATHER_LIGHT = {"rain": (0.66, 0.7, 0.76), "cloudy": (0.82, 0.83, 0.86), "snow": (0.9, 0.92, 0.95)}


def light_of(time: str, weather: str, natural: str) -> np.ndarray:
    """Return the RGB gain [3] of the scene's light; natural: the time of day at which that is 1."""
    gain = np.array(LIGHT[time] if time != natural else (1, 1, 1), np.float32)
    return gain * np.array(WEATHER_LIGHT.get(weather, (1, 1, 1)), np.float32)


def multiply(video: np.ndarray, gain: np.ndarray) -> None:
    """Scale RGB video [..,3] uint8 by gain [3] in place."""
    for c in range(3):
        if gain[c] != 1:
            table = np.clip(np.arange(256) * gain[c], 0, 255).astype(np.uint8)
            video[..., c] = table[video[..., c]]


def overcast(stage: Stage) -> Layer:
    """Paint heavy grey clouds for the upper part of the sky."""
    stage.layer(0.28)
    for i in range(7):
        x, tone = -0.3 + 1.6 * i / 6 + stage.rng.uniform(-0.05, 0.05), stage.rng.uniform(132, 168)
        stage.cloud(x, stage.rng.uniform(0.0, 0.2), stage.rng.uniform(0.15, 0.2), (tone, tone + 2, tone + 10))
    return stage.layers.pop()


def fog(video: np.ndarray, strength: float) -> None:
    """Blend [T,h,w,3] towards pale grey in place."""
    pale = np.array((206, 212, 218), np.float32) * strength
    for c in range(3):
        table = np.clip(np.arange(256) * (1 - strength) + pale[c], 0, 255).astype(np.uint8)
        video[..., c] = table[video[..., c]]


def falling(video: np.ndarray, kind: str, rng: np.random.Generator) -> None:
    """Let rain or snow fall over [T,h,w,3] in place: large drops and flakes that wrap around."""
    frames, h, w, _ = video.shape
    side = min(h, w)
    mask = np.zeros((h, w, 1), np.uint8)
    plane = mask[..., 0]
    count = round((22 if kind == "rain" else 24) * h * w / side**2)
    for _ in range(count):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        for ox in (-w, 0, w):
            for oy in (-h, 0, h):
                if kind == "snow":
                    dot(mask, x + ox, y + oy, side * 0.02, (255,))
                    continue
                p = (int((x + ox) * 16), int((y + oy) * 16))
                q = (p[0] - int(0.03 * side * 16), p[1] + int(0.11 * side * 16))
                cv2.line(plane, p, q, 255, max(1, round(side * 0.013)), cv2.LINE_AA, 4)
    dy, dx, colour, strength = (
        (0.115, -0.031, (205, 220, 240), 0.62) if kind == "rain" else (0.03, 0.008, (255, 255, 255), 0.95)
    )
    for i in range(frames):
        moved = np.roll(plane, (round(i * dy * side), round(i * dx * side)), (0, 1))
        a = moved[..., None].astype(np.float32) * (strength / 255)
        video[i] = (video[i] * (1 - a) + np.array(colour, np.float32) * a).astype(np.uint8)


def tree(h: int, w: int, x: float) -> np.ndarray:
    """Paint a tree in front of everything: premultiplied RGBA uint8 [h,w,4], its trunk TREE_WIDTH wide at `x`."""
    stage = Stage(h, w, np.random.default_rng(3))
    stage.layer(1.0)
    r = TREE_WIDTH / 2
    stage.shape(x, 1.0, [(-r, -2.0), (r, -2.0), (r * 1.04, 0.2), (-r * 1.04, 0.2)], (116, 78, 46))
    stage.shape(x, 1.0, [(-r * 0.5, -2.0), (-r * 0.2, -2.0), (-r * 0.2, 0.2), (-r * 0.5, 0.2)], (96, 62, 38))
    for dx, y, k in ((-0.22, 0.06, 0.17), (0.22, 0.06, 0.17), (-0.1, 0.16, 0.14), (0.1, 0.16, 0.14), (0, 0.02, 0.2)):
        stage.disc(x + dx * stage.side / w, y, k, (52, 132, 58))
    x0, y0 = round(stage.px(0)), round(stage.py(0))
    return stage.top[y0 : y0 + h, x0 : x0 + w]


def stylise(video: np.ndarray, style: str) -> None:
    """Redraw [T,h,w,3] uint8 in a style, in place."""
    if style == "plain":
        return
    h, w = video.shape[1:3]
    side = min(h, w)
    yy, xx = np.mgrid[0:h, 0:w]
    away = (2 * xx / w - 1) ** 2 + (2 * yy / h - 1) ** 2
    for frame in video:
        if style == "pixel art":
            small = cv2.resize(frame, (max(8, w * 32 // side), max(8, h * 32 // side)), interpolation=cv2.INTER_AREA)
            small = (small // 43 * 51).astype(np.uint8)
            frame[...] = cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST)
        elif style == "watercolor":
            soft = cv2.medianBlur(cv2.medianBlur(frame, 5), 5).astype(np.float32)
            grey = soft.mean(axis=2, keepdims=True)
            wash = np.clip(grey + (soft - grey) * 1.15, 0, 255) * 0.72 + 74
            paper = np.clip(away - 0.85, 0, 1)[..., None]
            frame[...] = np.clip(wash * (1 - paper) + 250 * paper, 0, 255).astype(np.uint8)
        else:
            frame[...] = _toned(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), style, side, away)


def _toned(grey: np.ndarray, style: str, side: int, away: np.ndarray) -> np.ndarray:
    """Redraw one frame's luminance [h,w] as RGB in a style of one tone; away: squared distance from the middle."""
    if style == "pencil":
        # Colour dodge of the picture with its blurred negative: edges stay dark, areas go white.
        blurred = cv2.GaussianBlur(grey, (0, 0), 0.028 * side)
        line = 252 * np.clip(grey / np.maximum(blurred, 8), 0, 1) ** 4
        shade = line * (0.6 + 0.4 * grey / 255)
        return np.clip(shade[..., None] * np.array((1.0, 0.985, 0.95)), 0, 255)
    if style == "night vision":
        bright = 255 * (grey / 255) ** 0.7 * np.clip(1.08 - 0.3 * away, 0.12, 1)
        return np.clip(bright[..., None] * np.array((0.22, 1.0, 0.34)), 0, 255)
    tone = (1.0, 1.0, 1.0) if style == "black and white" else (1.06, 0.86, 0.6)
    return np.clip(grey[..., None] * np.array(tone), 0, 255)
