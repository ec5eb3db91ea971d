"""Real input: any picture or video becomes frames that fit, or is refused before it costs anything."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from sora_core.errors import SoraError
from sora_core.media import clips
from sora_core.media.clips import read_clip
from sora_core.media.frames import fit_frames, resample_frames
from sora_core.media.sound import join_audio
from sora_core.media.stills import read_still


def write(path, frames: int, size=(48, 32), rate=10, codec="libx264", pix_fmt="yuv420p", times=None):
    """A video whose frame i is grey of brightness 8 * i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(frames):
            picture = np.full((size[1], size[0], 3), 8 * i % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts = round(1000 * (times[i] if times else i / rate))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shades(frames: torch.Tensor) -> list[int]:
    return (frames.mean((1, 2, 3)) * 255 / 8).round().int().tolist()


def test_a_constant_rate_comes_back_frame_by_frame(tmp_path):
    clip = read_clip(write(tmp_path / "a.mp4", 12))
    assert clip.fps == 10 and shades(clip.frames) == list(range(12)) and clip.notes == ()
    assert clip.frames.shape == (12, 32, 48, 3)


def test_other_rates_are_resampled_with_a_note(tmp_path):
    path = write(tmp_path / "a.mp4", 20)
    clip = read_clip(path, fps=5)
    assert shades(clip.frames) == list(range(0, 20, 2)) and "10 to 5" in clip.notes[0]
    assert shades(read_clip(path, fps=20).frames) == [i // 2 for i in range(1, 40)] + [19]
    assert resample_frames(torch.zeros(30, 1, 1, 3), 30, 8).shape[0] == 8


def test_a_variable_rate_becomes_constant(tmp_path):
    times = [0, 0.1, 0.2, 0.7, 0.8, 0.9]
    clip = read_clip(write(tmp_path / "a.mp4", 6, times=times), fps=10)
    assert shades(clip.frames)[:10] == [0, 1, 2, 2, 2, 3, 3, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webm", {"codec": "libvpx"}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("ten.mp4", {"pix_fmt": "yuv420p10le"}),
        ("odd.mp4", {"size": (49, 35), "pix_fmt": "yuv444p"}),
    ],
)
def test_containers_depths_and_odd_sizes(tmp_path, name, options):
    clip = read_clip(write(tmp_path / name, 8, **options))
    assert clip.frames.shape == (8, 32, 48, 3) and shades(clip.frames) == pytest.approx(range(8), abs=2)
    assert bool(clip.notes) == (name == "odd.mp4")


def test_turned_phone_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        if not hasattr(av.VideoFrame, "rotation"):
            pytest.skip("this PyAV does not tell the rotation")
        picture = np.zeros((32, 64, 3), np.uint8)
        picture[:, :32] = 255
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    # The display matrix of the track header, turned by a quarter.
    plain = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    at = data.index(plain, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(plain) :])
    clip = read_clip(path)
    assert clip.frames.shape[1:3] == (64, 32)
    top, bottom = clip.frames[0, :24].mean(), clip.frames[0, -24:].mean()
    assert abs(float(top - bottom)) > 0.9


def test_fit_keeps_pixels_unless_it_has_to_scale():
    frames = torch.rand(2, 35, 49, 3)
    assert torch.equal(fit_frames(frames), frames[:, 1:33, :48])
    assert torch.equal(fit_frames(frames, (48, 32)), fit_frames(frames, (48, 32)))
    assert fit_frames(frames, (64, 64)).shape == (2, 64, 64, 3)
    assert torch.equal(fit_frames(frames[:, :32, :48], (48, 32)), frames[:, :32, :48])
    smooth = torch.linspace(0, 1, 256)[None, :, None, None].expand(1, 256, 256, 3)
    assert (fit_frames(smooth, (64, 64))[0, :, 0, 0] - torch.linspace(0, 1, 64)).abs().max() < 0.01
    clear = torch.cat((torch.zeros(1, 16, 16, 3), torch.zeros(1, 16, 16, 1)), -1)
    assert (fit_frames(clear) == 1).all()


def test_stills(tmp_path):
    picture = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    frames = read_still(tmp_path / "a.png")
    assert frames.shape == (1, 20, 40, 3) and frames[0, 0, 0].tolist() == [1, 1, 1]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "b.jpg", exif=exif)
    assert read_still(tmp_path / "b.jpg").shape == (1, 40, 20, 3)
    Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(tmp_path / "c.png")
    assert float(read_still(tmp_path / "c.png").mean()) == pytest.approx(40000 / 65535, abs=0.01)


def bomb(path, side: int):
    """A PNG that declares side x side pixels and holds none."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)
    return path


def test_what_cannot_be_read_is_refused(tmp_path, monkeypatch):
    empty, broken, text = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.png"
    empty.touch()
    good = write(tmp_path / "d.mp4", 12).read_bytes()
    broken.write_bytes(good[: len(good) // 3])
    text.write_text("no picture")
    for read, path in ((read_clip, empty), (read_clip, broken), (read_clip, tmp_path / "e.mp4"), (read_still, text)):
        with pytest.raises(SoraError, match=path.name):
            read(path)
    for side, words in ((12000, "12000x12000.*50 million"), (60000, "60000|exceeds")):
        with pytest.raises(SoraError, match=words):
            read_still(bomb(tmp_path / "bomb.png", side))
    with pytest.raises(SoraError, match="more than 8192"):
        fit_frames(torch.zeros(1, 16, 8208, 3))
    with pytest.raises(SoraError, match="at least 16"):
        fit_frames(torch.zeros(1, 8, 64, 3))
    with pytest.raises(SoraError, match="multiple of 16"):
        fit_frames(torch.zeros(1, 64, 64, 3), (40, 32))


def test_long_and_large_videos_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 12)
    decoded = []
    monkeypatch.setattr(clips, "timed_frames", lambda *_: decoded.append(1) or iter(()))
    monkeypatch.setattr(clips, "MAX_SECONDS", 1.0)
    with pytest.raises(SoraError, match="at most 1 s"):
        read_clip(path)
    monkeypatch.setattr(clips, "MAX_SECONDS", 120.0)
    monkeypatch.setattr(clips, "MAX_BYTES", 48 * 32 * 12 * 5)
    with pytest.raises(SoraError, match="12 frames of 48x32; 5"):
        read_clip(path)
    monkeypatch.undo()
    wide = write(tmp_path / "wide.mp4", 2, size=(8208, 32))
    with pytest.raises(SoraError, match="more than 8192 a side. Set width and height"):
        read_clip(wide)
    assert read_clip(wide, size=(64, 32)).frames.shape == (2, 32, 64, 3) and not decoded


def test_sound_of_parts():
    sound = {"waveform": torch.ones(1, 2, 800), "sample_rate": 800}
    other = {"waveform": torch.full((1, 1, 400), 0.5), "sample_rate": 400}
    made = join_audio([(None, 0.5), (sound, 1.0), (other, 1.0)])
    assert made["sample_rate"] == 800 and made["waveform"].shape == (1, 2, 2000)
    wave = made["waveform"][0, 0]
    assert (wave[:400] == 0).all() and (wave[400:1200] == 1).all()
    assert torch.allclose(wave[1200:], torch.tensor(0.5), atol=1e-3)
    assert join_audio([(None, 1.0)]) is None
