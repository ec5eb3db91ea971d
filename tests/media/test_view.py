"""What is read is what a player shows, with ffmpeg as the oracle: turned, in square pixels, over white, in BT.709."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
from ffmpeg_oracle import ffmpeg, frames_by_ffmpeg
from PIL import Image, ImageCms, ImageOps

from sora_core.host.api.video import VideoFromFile
from sora_core.media.clips import read_clip
from sora_core.media.video import probe, read_video
from sora_core.media.write import remux

NEAR = 3  # of 255
UNIT = 65536
MATRICES = [(a, 0, 0, d) for a, d in itertools.product((1, -1), repeat=2)]
MATRICES += [(0, b, c, 0) for b, c in itertools.product((1, -1), repeat=2)]


def pixels(path) -> np.ndarray:
    """All frames `[T,H,W,3]`, 0..255, by both ways to read a file, which must agree."""
    frames = read_video(path)[0].numpy() * 255
    high, wide = frames.shape[1:3]
    clip = read_clip(path, sound=False).frames.numpy() * 255
    top, left = high % 16 // 2, wide % 16 // 2
    assert np.array_equal(clip, frames[:, top : top + high // 16 * 16, left : left + wide // 16 * 16])
    assert VideoFromFile(path).get_dimensions() == (wide, high) == (probe(path).width, probe(path).height)
    return frames


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A coloured clip of 64x48 whose four corners differ."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=0.5", "-c:v", "libx264", "-crf", "10", path)
    return path


def with_matrix(source, path, matrix):
    """Write another display matrix into the header of an mp4."""
    data = source.read_bytes()
    told = struct.pack(">9i", UNIT, 0, 0, 0, UNIT, 0, 0, 0, 1 << 30)
    a, b, c, d = (UNIT * x for x in matrix)
    at = data.index(told, data.index(b"tkhd"))
    path.write_bytes(data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + len(told) :])
    return path


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_display_matrix(plain, tmp_path, matrix):
    path = with_matrix(plain, tmp_path / "a.mp4", matrix)
    width, height = (64, 48) if matrix[0] else (48, 64)
    frames = pixels(path)
    assert np.abs(frames - frames_by_ffmpeg(path, width, height)).max() <= NEAR
    # A copy of the packets lies as its source does.
    remux(path, tmp_path / "b.mp4", {})
    assert np.array_equal(pixels(tmp_path / "b.mp4"), frames)


@pytest.mark.parametrize("aspect", ["4/3", "8/9", "2/1", "1/2"])
def test_pixels_that_are_not_square(plain, tmp_path, aspect):
    path = tmp_path / "a.mp4"
    ffmpeg("-i", plain, "-vf", f"gblur=3,setsar={aspect}", "-c:v", "libx264", "-crf", "10", path)
    over, under = map(int, aspect.split("/"))
    width, height = (round(64 * over / under), 48) if over > under else (64, round(48 * under / over))
    frames = pixels(path)
    assert frames.shape[1:3] == (height, width)
    shown = frames_by_ffmpeg(path, width, height, "-vf", f"scale={width}:{height}:flags=bicubic")
    assert np.abs(frames - shown).mean() <= NEAR
    # Turned as well: the pixel's aspect is that of the picture as it lies in the file.
    turned = with_matrix(path, tmp_path / "b.mp4", (0, 1, -1, 0))
    assert np.array_equal(pixels(turned), np.rot90(frames, -1, (1, 2)))


def test_an_aspect_beyond_belief_is_left_out(plain, tmp_path):
    ffmpeg("-i", plain, "-vf", "setsar=200", "-c:v", "libx264", tmp_path / "a.mp4")
    assert pixels(tmp_path / "a.mp4").shape[1:3] == (48, 64)


ALPHA = {
    "4444.mov": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "qtrle.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "png.mov": ("-c:v", "png", "-pix_fmt", "rgba"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
    "utvideo.avi": ("-c:v", "utvideo", "-pix_fmt", "gbrap"),
    "vp8.webm": ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "2M"),
    "apng.png": ("-f", "apng", "-pix_fmt", "rgba"),
    "a.gif": ("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"),
}
DECODERS = {"vp8.webm": ("-c:v", "libvpx"), "vp9.webm": ("-c:v", "libvpx-vp9")}


@pytest.mark.parametrize("name", ALPHA)
def test_transparency_is_laid_over_white(tmp_path, name):
    path = tmp_path / name
    # Clear on the left, half clear in the middle, solid on the right; black where nothing is to be seen.
    alpha = "geq=r='if(lt(X,21),0,200)':g=40:b=40:a='if(lt(X,21),0,if(lt(X,42),128,255))'"
    # Ten a second, which a GIF can say.
    ffmpeg("-f", "lavfi", "-i", f"color=black:s=64x48:r=10:d=0.4,format=rgba,{alpha}", *ALPHA[name], path)
    frames = pixels(path)
    assert len(frames) == 4 and (frames[:, 8:40, 4:16] >= 255 - NEAR).all()
    if name != "a.gif":  # ffmpeg's palette has no half
        assert np.abs(frames[:, 8:40, 26:38].mean((0, 1, 2)) - (227, 147, 147)).max() <= 2 * NEAR
    white = ffmpeg(
        *(*DECODERS.get(name, ()), "-i", path, "-f", "lavfi", "-i", "color=white:s=64x48:r=8:d=0.5,format=rgb24"),
        *("-filter_complex", "[1][0]overlay=format=gbrp", "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    )
    shown = np.frombuffer(white, np.uint8).reshape(48, 64, 3)
    assert np.abs(frames[0] - shown).mean() <= NEAR


PATCHES = [(255, 255, 255), (128, 128, 128), (0, 0, 0), (200, 120, 40), (40, 160, 200), (90, 90, 160)]
# Of an HDR file that was made of a BT.709 one, at the reference white.
TO_HDR = (
    "format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc,zscale=t=linear:npl=203,"
    "format=gbrpf32le,zscale=p=bt2020,zscale=t={}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
)
HDR = {
    "pq": ("smpte2084", ("-c:v", "libx265", "-x265-params", "log-level=none:lossless=1")),
    "hlg": ("arib-std-b67", ("-c:v", "libx265", "-x265-params", "log-level=none:lossless=1")),
    "pq of VP9": ("smpte2084", ("-c:v", "libvpx-vp9", "-lossless", "1")),
}


@pytest.mark.parametrize("case", HDR)
def test_high_dynamic_range_comes_as_bt709(tmp_path, case):
    transfer, codec = HDR[case]
    picture = np.zeros((64, 192, 3), np.uint8)
    for i, colour in enumerate(PATCHES):
        picture[:, 32 * i : 32 * i + 32] = colour
    (tmp_path / "raw").write_bytes(picture.tobytes() * 2)
    path = tmp_path / "a.mkv"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "192x64", "-r", "8", "-i", tmp_path / "raw")
    tags = ("-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
    ffmpeg(*raw, "-vf", TO_HDR.format(transfer), *codec, *tags, path)
    frames = pixels(path)
    for i, colour in enumerate(PATCHES):
        got = frames[:, 16:48, 32 * i + 12 : 32 * i + 20].mean((0, 1, 2))
        assert np.abs(got - colour).max() <= NEAR, (colour, got)
    assert read_clip(path, sound=False).notes == ()


def test_a_transfer_that_is_not_known_is_told(plain, tmp_path):
    path = tmp_path / "a.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=transfer_characteristics=9", path)
    assert any("logarithm" in note for note in read_clip(path, sound=False).notes)
    assert np.array_equal(pixels(path), pixels(plain))


@pytest.mark.parametrize("suffix", ["avi", "mov", "mkv"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_a_camera_tells_in_every_frame(tmp_path, suffix, orientation):
    """FFmpeg gives EXIF beside the pixels, which PyAV has no name for; its orientation turns and mirrors."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    shown = np.zeros((48, 64, 3), np.uint8)
    shown[:24, :32] = 220, 40, 40
    shown[24:, 32:] = 40, 40, 220
    for number in range(4):
        picture = Image.fromarray(shown + np.uint8(number * 8))
        picture.save(tmp_path / f"{number}.jpg", exif=exif, quality=95, subsampling=0)
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-r", "8", "-i", tmp_path / "%d.jpg", "-c", "copy", path)
    with Image.open(tmp_path / "0.jpg") as still:
        upright = np.asarray(ImageOps.exif_transpose(still).convert("RGB")).astype(int)
    frames = pixels(path)
    assert len(frames) == 4
    assert frames.shape[1:] == upright.shape
    assert np.abs(frames[0] - upright).mean() <= NEAR


@pytest.mark.parametrize(("code", "name"), [(8, "YCgCo"), (10, "constant luminance"), (14, "ICtCp"), (12, "primaries")])
def test_a_matrix_that_is_not_known_is_told(plain, tmp_path, code, name):
    path = tmp_path / "a.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata=matrix_coefficients={code}:colour_primaries=9", path)
    clip = read_clip(path, sound=False)
    assert len(clip.frames) == 4
    assert any(name in note for note in clip.notes)


def test_a_colour_profile_with_a_name(plain, tmp_path):
    """PyAV frees the name of a profile twice, and takes the whole process along: so another one looks."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (64, 48), (200, 40, 40)).save(tmp_path / "a.png", icc_profile=profile)
    ffmpeg("-i", tmp_path / "a.png", "-c", "copy", tmp_path / "a.mov")
    code = "import gc, sys; from sora_core.media.clips import read_clip; read_clip(sys.argv[1]); gc.collect()"
    for name in ("a.png", "a.mov"):
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
