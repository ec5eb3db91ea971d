"""What happens to videos on their way: for the tests and benchmarks of the watermark and the detector.

Each attack takes uint8 `[T,H,W,3]` and returns the frames that come out. All but plain H.264 start from the saved file
(H.264, crf 16) and end in one more encoding (at crf 23 if not said otherwise), as an upload does.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import torch
import torch.nn.functional as F

SAVED_CRF = 16


def coded(frames: np.ndarray, codec: str = "libx264", container: str = "mp4", **options: object) -> np.ndarray:
    """Encode in memory and decode again."""
    data = io.BytesIO()
    height, width = (side // 2 * 2 for side in frames.shape[1:3])
    with av.open(data, "w", format=container) as out:
        stream = out.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        if codec == "libvpx-vp9":
            stream.bit_rate = 0
        for pixels in frames[:, :height, :width]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=1)))
        out.mux(stream.encode(None))
    data.seek(0)
    with av.open(data) as file:
        return np.stack([f.reformat(format="rgb24", src_colorspace=1).to_ndarray() for f in file.decode(video=0)])


def h264(crf: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: coded(frames, crf=crf)


def uploaded(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """`change` between the saved file and a second encoding."""
    return lambda frames: h264(23)(change(h264(SAVED_CRF)(frames)))


def resized(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    video = torch.from_numpy(frames).movedim(-1, 1).float()
    video = F.interpolate(video, (height, width), mode="bilinear", antialias=True)
    return video.round().clamp(0, 255).byte().movedim(1, -1).numpy()


def scaled(share: float, back: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    def change(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        small = resized(frames, round(height * share), round(width * share))
        return resized(small, height, width) if back else small

    return change


def cropped(share: float, back: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Cut `share` off each side length, more on one side than on the other."""

    def change(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        new_height, new_width = (round(side * (1 - share) / 2) * 2 for side in (height, width))
        top, left = round((height - new_height) * 0.7), round((width - new_width) * 0.2)
        cut = frames[:, top : top + new_height, left : left + new_width]
        return resized(cut, height, width) if back else cut

    return change


def toned(gain: float, pivot: float = 0.0, offset: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: ((frames - pivot) * gain + pivot + offset).clip(0, 255).round().astype(np.uint8)


def dropped(share: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(frames: np.ndarray) -> np.ndarray:
        kept = np.random.default_rng(len(frames)).permutation(len(frames))[: max(1, round(len(frames) * (1 - share)))]
        return frames[np.sort(kept)]

    return change


def sped(rate: float) -> Callable[[np.ndarray], np.ndarray]:
    """Played `rate` times as fast at the same frame rate, neighbouring frames blended."""

    def change(frames: np.ndarray) -> np.ndarray:
        at = np.arange(0, len(frames) - 1 + 1e-6, rate)
        low = at.astype(int)
        part = (at - low)[:, None, None, None]
        both = frames[low] * (1 - part) + frames[np.minimum(low + 1, len(frames) - 1)] * part
        return both.round().astype(np.uint8)

    return change


def noisy(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(frames: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, sigma, frames.shape)
        return (frames + noise).clip(0, 255).round().astype(np.uint8)

    return change


def turned(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(frames: np.ndarray) -> np.ndarray:
        angle = torch.tensor(degrees / 180 * np.pi)
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(())
        turn = torch.stack((torch.stack((cos, -sin, zero)), torch.stack((sin, cos, zero))))
        video = torch.from_numpy(frames).movedim(-1, 1).float()
        grid = F.affine_grid(turn.expand(len(video), 2, 3), video.shape, align_corners=False)
        video = F.grid_sample(video, grid, padding_mode="border", align_corners=False)
        return video.round().byte().movedim(1, -1).numpy()

    return change


def boxed(share: float, beside: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Put into a larger black frame, with bars beside the picture, or above and below it.

    share: of the new width or height that the picture has.
    """

    def change(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        size = (height, round(width / share / 2) * 2) if beside else (round(height / share / 2) * 2, width)
        out = np.zeros((len(frames), *size, 3), np.uint8)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        out[:, top : top + height, left : left + width] = frames
        return out

    return change


def stretched(down: float, across: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        return resized(frames, round(height * down / 2) * 2, round(width * across / 2) * 2)

    return change


def as_gif(frames: np.ndarray) -> np.ndarray:
    """256 colours for the whole clip, dithered, as editors write them."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in h264(SAVED_CRF)(frames)]
    data = io.BytesIO()
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=125, loop=0)
    data.seek(0)
    with Image.open(data) as made:
        shown = []
        for number in range(made.n_frames):
            made.seek(number)
            shown.append(np.asarray(made.convert("RGB")))
    return np.stack(shown)


# The attacks that the mark must survive ...
WITHIN = {
    "H.264 crf 23": h264(23),
    "H.264 crf 28": h264(28),
    "half size and back": uploaded(scaled(0.5)),
    "10% crop": uploaded(cropped(0.1)),
    "brightness +20%": uploaded(toned(1.2)),
    "brightness -20%": uploaded(toned(0.8)),
    "contrast +20%": uploaded(toned(1.2, 127.5)),
    "contrast -20%": uploaded(toned(0.8, 127.5)),
    "30% of frames dropped": uploaded(dropped(0.3)),
    "speed x1.5": uploaded(sped(1.5)),
    "speed x0.75": uploaded(sped(0.75)),
    "VP9": lambda frames: coded(h264(SAVED_CRF)(frames), "libvpx-vp9", "webm", crf=31, cpu_used=5, deadline="good"),
}
# ... and harder ones, for the table of where it breaks.
BEYOND = {
    "H.264 crf 33": h264(33),
    "H.264 crf 38": h264(38),
    "third of the size and back": uploaded(scaled(1 / 3)),
    "half size, left so": uploaded(scaled(0.5, back=False)),
    "10% crop, size restored": uploaded(cropped(0.1, back=True)),
    "20% crop": uploaded(cropped(0.2)),
    "20% crop, size restored": uploaded(cropped(0.2, back=True)),
    "25% crop": uploaded(cropped(0.25)),
    "40% crop": uploaded(cropped(0.4)),
    "brightness +60%": uploaded(toned(1.6)),
    "noise, sigma 8": uploaded(noisy(8)),
    "turned by 1 degree": uploaded(turned(1)),
    "turned by 3 degrees": uploaded(turned(3)),
    "pillarbox": uploaded(boxed(0.75, True)),
    "letterbox": uploaded(boxed(0.75, False)),
    "stretched 1.25 across": uploaded(stretched(1, 1.25)),
    "stretched 1.25 down": uploaded(stretched(1.25, 1)),
    "gif": as_gif,
    "x265 crf 35": lambda frames: coded(h264(SAVED_CRF)(frames), "libx265", crf=35, x265_params="log-level=none"),
    "one frame left": uploaded(lambda frames: frames[len(frames) // 2 :][:1]),
    "mirrored": uploaded(lambda frames: frames[:, :, ::-1]),
}
ATTACKS = {**WITHIN, **BEYOND}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, over all three colours of uint8 frames."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over frames, red, green and blue; window and constants of Wang et al. 2004 (Gaussian of 11, sigma 1.5)."""
    reach = torch.arange(-5.0, 6.0)
    kernel = torch.exp(-(reach**2) / (2 * 1.5**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 11)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.conv2d(x, kernel), kernel.mT)

    x, y = (torch.from_numpy(v.copy()).movedim(-1, 1).reshape(-1, 1, *v.shape[1:3]).float() for v in (a, b))
    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(value.mean())
