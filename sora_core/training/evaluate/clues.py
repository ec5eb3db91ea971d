"""What tells whether a viewer can name the subject of a clip: how well its picture fits what is seen.

The world draws each subject from one picture, moved, mirrored, turned and resized. So a shape that is right fits that
picture somewhere near the place where the observer's tracker sees it, and fits it better than any other subject's. The
observer alone flatters: it names torn shapes by their colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ...observer.watch import Sight
from ..world.sprites import SpriteBank

CELLS = 32  # pixels a side of a window, whatever its size in the frame
RIM = 0.15  # of a picture's side that a window shows around it, on each side
SIZES = (0.25, 0.32, 0.4, 0.5, 0.62, 0.76)  # a picture's side over the frame's that are tried
SHIFTS = (-0.09, -0.06, -0.03, 0.0, 0.03, 0.06, 0.09)  # around the tracker's place, parts of the frame
FRAMES = (1, 4, 8, 11, 15)  # that are looked at, of 17
TURNS = (0, 45, 90, 135, 180, 225, 270, 315)  # degrees, of what spins
FLOOR = 0.03  # error of a pixel that is noise
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue in luminance

Watch = Callable[[list[np.ndarray]], list[Sight]]
NAMES = ("fit", "lead", "detail", "sharpness")


class Pictures:
    """The pictures of all subjects in windows: colour times alpha, and alpha, by subject, mirrored or not."""

    def __init__(self, bank: SpriteBank, subjects: Sequence[str]) -> None:
        self.subjects = tuple(subjects)
        rgba = np.stack([_framed(bank.get(name, 80)) for name in subjects])
        self.plain = np.stack((rgba, rgba[:, :, ::-1]), 1)  # [S,2,32,32,4]

    def of(self, name: str, turns: Sequence[int] = (0,)) -> np.ndarray:
        """Return the windows `[V,32,32,4]` of one subject, mirrored and turned."""
        found, middle = [], (CELLS / 2 - 0.5, CELLS / 2 - 0.5)
        for picture in self.plain[self.subjects.index(name)]:
            for turn in turns:
                matrix = cv2.getRotationMatrix2D(middle, turn, 1.0)
                found.append(cv2.warpAffine(np.ascontiguousarray(picture), matrix, (CELLS, CELLS)))
        return np.stack(found)


def _framed(rgba: np.ndarray) -> np.ndarray:
    """Return a premultiplied picture `[m,m,4]` within its rim, as a window, a little soft as the VAE makes it."""
    pad = round(RIM * len(rgba))
    rimmed = cv2.copyMakeBorder(rgba, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    return cv2.GaussianBlur(cv2.resize(rimmed, (CELLS, CELLS), interpolation=cv2.INTER_AREA), (0, 0), 0.6)


def _windows(frame: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Cut windows `[N,32,32,3]` around a place (x, y as fractions) out of a frame float `[H,W,3]`, of every size."""
    h, w, _ = frame.shape
    found = []
    for size in SIZES:
        side = size * (1 + 2 * RIM) * min(h, w)
        k = side / CELLS
        soft = cv2.GaussianBlur(frame, (0, 0), 0.4 * k) if k > 1.2 else frame
        for dy in SHIFTS:
            for dx in SHIFTS:
                x, y = (centre[0] + dx) * w, (centre[1] + dy) * h
                matrix = np.array([[k, 0, x - side / 2], [0, k, y - side / 2]], np.float32)
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                found.append(cv2.warpAffine(soft, matrix, (CELLS, CELLS), flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(found)


def _behind(windows: np.ndarray) -> np.ndarray:
    """Guess what is behind the subject in windows `[N,32,32,3]`: each row's ends, as scenes lie in layers."""
    ends = np.concatenate((windows[:, :, :2], windows[:, :, -2:]), 2)
    rows = ends.mean(2)
    rows = (np.concatenate((rows[:, :1], rows[:, :-1]), 1) + rows + np.concatenate((rows[:, 1:], rows[:, -1:]), 1)) / 3
    return np.repeat(rows[:, :, None], CELLS, 2)


def _alike(windows: np.ndarray, behind: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Compare windows `[N,32,32,3]` with pictures `[V,32,32,4]` laid over the same ground: cosines `[N,V]`.

    Of what each differs from the ground behind. So the outline counts as much as the colours inside.
    """
    seen = (windows - behind).reshape(len(windows), -1)
    colour, alpha = pictures[..., :3].reshape(len(pictures), -1), np.repeat(pictures[..., 3:], 3, -1)
    alpha = alpha.reshape(len(pictures), -1)
    ground = behind.reshape(len(windows), -1)
    # <s, c - a g>, and |c - a g|^2, without an array [N,V,...].
    dot = seen @ colour.T - (seen * ground) @ alpha.T
    norm = (colour**2).sum(1) - 2 * ground @ (colour * alpha).T + (ground**2) @ (alpha**2).T
    energy = (seen**2).sum(1, keepdims=True) + seen.shape[1] * FLOOR**2
    return dot / np.sqrt(np.maximum(norm, 1e-6) * energy)


def _slopes(window: np.ndarray) -> np.ndarray:
    """Return the slopes of a window's luminance, `[2,32,32]`."""
    grey = window @ GREY
    return np.asarray(np.gradient(grey))


def fits(video: np.ndarray, centre: np.ndarray, subject: str, pictures: Pictures, turns: bool) -> dict[str, float]:
    """Tell how well the picture of `subject` fits a video float `[T,H,W,3]` along a path `[T,2]` of its middle.

    Means over frames. "fit": the cosine where it fits best; "lead": how much better than the best other subject's
    there; "detail": the cosine of slopes inside; "sharpness": the strength of slopes over the picture's own, as a
    logarithm.
    """
    rows, shown = [], pictures.of(subject, TURNS if turns else (0,))
    own = pictures.subjects.index(subject)
    for i in FRAMES:
        at = min(i, len(video) - 1)
        windows = _windows(np.ascontiguousarray(video[at]), centre[at])
        behind = _behind(windows)
        alike = _alike(windows, behind, shown)
        n, v = np.unravel_index(alike.argmax(), alike.shape)
        picture, window, ground = shown[v], windows[n], behind[n]
        # Others may fit best a little beside it, or in another size: all windows are theirs to choose from.
        near = np.argsort(-alike.max(1))[:40]
        others = _alike(windows[near], behind[near], pictures.plain.reshape(-1, CELLS, CELLS, 4)).max(0)
        others = others.reshape(len(pictures.subjects), 2).max(1)
        others[own] = -1
        laid = picture[..., :3] + ground * (1 - picture[..., 3:])
        a, b = _slopes(window), _slopes(laid)
        inside = cv2.dilate(picture[..., 3], np.ones((3, 3), np.uint8)) > 0.3
        a, b = a[:, inside], b[:, inside]
        strong_a, strong_b = np.sqrt((a**2).mean() + 1e-6), np.sqrt((b**2).mean() + 1e-6)
        rows.append(
            (
                alike.max(),
                alike.max() - others.max(),
                (a * b).mean() / (strong_a * strong_b),
                np.log(strong_a / strong_b),
            )
        )
    return dict(zip(NAMES, map(float, np.mean(rows, 0)), strict=True))


def clues(
    videos: Sequence[np.ndarray], asked: Sequence[tuple[str, str]], watch: Watch, pictures: Pictures
) -> list[dict[str, float]]:
    """Gather the clues of videos float `[T,H,W,3]`, by NAMES; asked: the subject and the motion of each."""
    return [
        fits(video, sight.tracks["centre"], subject, pictures, motion == "spin")
        for video, (subject, motion), sight in zip(videos, asked, watch(list(videos)), strict=True)
    ]
