"""Frames by their order and their own times: as many as ffmpeg has, each where it belongs."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from ffmpeg_judge import decoded, draw
from PIL import Image

from sora_core.errors import SoraError
from sora_core.host.api.video import VideoFromFile
from sora_core.host.core_nodes.video import GetVideoComponents, LoadVideo
from sora_core.host.desk.folders import Folders, using
from sora_core.media.clips import read_clip
from sora_core.media.sizes import frame_bytes
from sora_core.media.timing import read_timing
from sora_core.media.video import iter_frames, probe, read_video, timed_frames

# Frame i has the brightness 16 + 8 * i, far enough from its neighbours to be known after any codec.
SHADES = "color=gray:s=64x48:r={rate}:d={seconds},geq=lum=16+8*mod(N\\,25):cb=128:cr=128"


def shaded(path: Path, *options: str, rate: object = 10, seconds: float = 2.0, given: str = "") -> Path:
    return draw(path, SHADES.format(rate=rate, seconds=seconds) + given, *options)


def order(frames) -> list[int]:
    return [round((float(np.asarray(frame, dtype=np.float64).mean()) * 219 / 255 + 16 - 16) / 8) for frame in frames]


def indices(path: Path) -> list[int]:
    return order(iter_frames(path))


def clip_indices(path: Path, **options) -> list[int]:
    return order(frame * 255 for frame in read_clip(path, multiple=2, sound=False, **options).frames.numpy())


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_frames_in_another_order(tmp_path, codec):
    path = shaded(tmp_path / "a.avi", "-c:v", codec, "-bf", "2", "-q:v", "2")
    assert indices(path) == clip_indices(path) == list(range(20))
    assert len(read_video(path)[0]) == 20 and read_timing(path).rate == 10 and read_timing(path).start == 0


@pytest.mark.parametrize("suffix", ["mkv", "webm", "flv"])
@pytest.mark.parametrize(("rate", "count"), [(12, 12), (24, 25), (Fraction(30000, 1001), 20), (60, 23)])
def test_a_last_time_that_was_rounded_adds_no_frame(tmp_path, suffix, rate, count):
    codec = {"webm": "libvpx", "mkv": "libx264", "flv": "libx264"}[suffix]
    path = shaded(tmp_path / f"a.{suffix}", "-c:v", codec, "-frames:v", str(count), rate=rate)
    timing, clip = read_timing(path), read_clip(path, multiple=2)
    assert (timing.frames, len(clip.frames), len(read_video(path)[0])) == (count,) * 3
    assert timing.constant and float(timing.rate) == pytest.approx(float(rate)) and clip.fps == float(timing.rate)


@pytest.mark.parametrize("rate", [8, 12, 24, 30, 50])
def test_gif_counts_hundredths(tmp_path, rate):
    path = shaded(tmp_path / "a.gif", rate=rate, seconds=1)
    assert len(read_clip(path, multiple=2).frames) == len(list(iter_frames(path))) == rate
    assert read_timing(path).rate == pytest.approx(rate, rel=2e-3)


@pytest.mark.parametrize(("suffix", "tick"), [("mkv", 1000), ("mov", 90000), ("mp4", 90000)])
def test_a_header_that_calls_its_clock_the_rate(tmp_path, suffix, tick):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=tick)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(i * tick / 30), Fraction(1, tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert read_timing(path).rate == 30 and read_timing(path).frames == 12
    clip = read_clip(path, multiple=2)
    assert len(clip.frames) == 12 and clip.fps == 30


def test_avi_whose_packets_were_copied(tmp_path):
    """Its header counts twice as many frames as there are, half of them empty."""
    whole = shaded(tmp_path / "a.mp4", "-c:v", "libx264", "-bf", "2", rate=8, seconds=3)
    copied = draw(tmp_path / "a.avi", whole, "-c", "copy")
    assert indices(copied) == clip_indices(copied) == list(range(24))
    assert read_timing(copied).rate == 8 and len(read_video(copied)[0]) == 24


def test_nothing_before_the_cut_of_an_edit_list(tmp_path):
    whole = shaded(tmp_path / "a.mp4", "-c:v", "libx264", "-g", "20", "-bf", "2")
    cut = draw(tmp_path / "b.mp4", whole, "-c", "copy", before=("-ss", "0.5"))
    assert probe(cut).frames == 20 and indices(cut) == clip_indices(cut) == list(range(5, 20))


def test_a_variable_rate_keeps_its_moments(tmp_path):
    """Ten frames in the first second, five in the next; a second of nothing before the last."""
    given = ",setpts=if(lt(N\\,10)\\,PTS\\,if(lt(N\\,15)\\,PTS*2-1/TB\\,PTS+1.4/TB))"
    path = shaded(tmp_path / "a.mp4", "-c:v", "libx264", "-vsync", "vfr", "-bf", "2", seconds=1.6, given=given)
    times = [frame.time for frame in av.open(str(path)).decode(video=0)]
    clip, (video, rate) = read_clip(path, multiple=2), read_video(path)
    assert len(times) == 16 and times[15] > 2.5 and not read_timing(path).constant
    assert len(clip.frames) == len(video) == 16 and clip.fps == float(rate)
    for seen in (clip_indices(path), order(frame * 255 for frame in video.numpy())):
        shown = [times[i] for i in seen]
        assert all(abs(time - k / clip.fps) <= 0.62 for k, time in enumerate(shown))
        # Where frames are at hand, the nearest is shown.
        assert all(abs(time - k / clip.fps) <= 0.11 for k, time in enumerate(shown) if k / clip.fps < 1.8)
    with using(Folders(input=tmp_path)):
        (loaded,) = LoadVideo.execute("a.mp4").result
    images, _, fps, *_ = GetVideoComponents.execute(loaded).result
    assert fps == clip.fps and order(f * 255 for f in images.numpy()) == clip_indices(path)
    assert loaded.get_frame_count() == 16 and loaded.get_frame_rate() == rate


def test_stamps_that_shake_are_those_of_a_constant_rate(tmp_path):
    given = ",settb=1/1000,setpts=PTS+20*sin(N*5)"
    path = shaded(tmp_path / "a.mkv", "-c:v", "libx264", "-vsync", "passthrough", given=given)
    assert read_timing(path).constant and clip_indices(path) == list(range(20))


def test_a_raw_stream_has_no_times_at_all(tmp_path):
    path = shaded(tmp_path / "a.h264", "-c:v", "libx264", "-bf", "2", rate=25, seconds=1)
    assert clip_indices(path) == list(range(25)) and read_timing(path).rate == 25


def test_frames_that_vp8_does_not_show_are_no_frames(tmp_path):
    options = ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "100k")
    path = shaded(tmp_path / "a.webm", *options, rate=30)
    assert read_timing(path).frames == len(list(iter_frames(path))) == len(read_clip(path, multiple=2).frames) == 60


def test_what_is_too_long_is_refused_by_its_packets(tmp_path):
    """A stream says nothing of its length in front."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-f", "matroska", "-live", "1")
    path = shaded(tmp_path / "a.mkv", *options, rate=Fraction(1, 2), seconds=140)
    assert probe(path).duration == 0
    with pytest.raises(SoraError, match="140 s .*at most 120 s"):
        read_clip(path)


def test_a_piece_of_a_long_recording_is_as_long_as_itself(tmp_path):
    """Matroska's duration is that of the clock, which began before."""
    whole = shaded(tmp_path / "a.mp4", "-c:v", "libx264")
    piece = draw(tmp_path / "b.mkv", whole, "-c", "copy", "-output_ts_offset", "50000")
    assert probe(piece).duration == pytest.approx(2, abs=0.1) and len(read_clip(piece).frames) == 20


def test_what_memory_cannot_hold_is_refused_before_a_frame_is_decoded(tmp_path, monkeypatch):
    path = shaded(tmp_path / "a.mp4", "-c:v", "libx264")
    monkeypatch.setattr("sora_core.media.video.decode_frames", lambda path: pytest.fail("a frame was decoded"))
    with pytest.raises(SoraError, match="more than 10 frames"):
        read_video(path, max_bytes=10 * frame_bytes(probe(path).width, probe(path).height))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "ts"])
@pytest.mark.parametrize("rate", [480, 600, 960])
def test_high_speed_footage_is_read_at_its_rate(tmp_path, suffix, rate):
    path = shaded(
        tmp_path / f"a.{suffix}", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", rate=rate, seconds=0.2
    )
    clip, count = read_clip(path), round(0.2 * rate)
    assert len(clip.frames) == count == read_timing(path).frames and clip.fps == rate == read_timing(path).rate
    video = VideoFromFile(path)
    assert video.get_dimensions() == (64, 48) and video.get_frame_count() == count and video.get_frame_rate() == rate
    assert video.get_duration() == pytest.approx(0.2) and video.get_components().images.shape[0] == count


@pytest.mark.parametrize("delays", [(0,), (1,), (0, 1), (1, 10), (0, 3, 50), (2,), (1, 2, 500)])
def test_gifs_of_any_delays_have_all_their_frames(tmp_path, delays):
    shades = [Image.new("L", (32, 32), 20 * i) for i in range(12)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:], duration=100)
    data, at = bytearray((tmp_path / "a.gif").read_bytes()), -1
    for number in range(12):
        at = data.index(b"\x21\xf9\x04", at + 1)
        data[at + 4 : at + 6] = delays[number % len(delays)].to_bytes(2, "little")
    (tmp_path / "a.gif").write_bytes(data)
    assert len(read_clip(tmp_path / "a.gif").frames) == len(read_video(tmp_path / "a.gif")[0]) == 12
    assert len(list(iter_frames(tmp_path / "a.gif"))) == len(decoded(tmp_path / "a.gif")) == 12


def test_a_gif_that_tells_no_times(tmp_path):
    """As Pillow saves one that is given no duration: FFmpeg's newer reader takes all of it for one frame."""
    shades = [Image.new("L", (64, 48), 30 * number) for number in range(6)]
    path = tmp_path / "a.gif"
    shades[0].save(path, save_all=True, append_images=shades[1:], disposal=0)
    path.write_bytes(re.sub(rb"\x21\xf9\x04....\x00", b"", path.read_bytes(), flags=re.DOTALL))
    clip = read_clip(path, multiple=2)
    assert [round(float(frame.mean()) * 255) for frame in clip.frames] == [30 * number for number in range(6)]
    assert (clip.fps, len(decoded(path)), len(list(iter_frames(path)))) == (10, 6, 6)
    # One that is cut short gives what it has.
    path.write_bytes(path.read_bytes()[:-200])
    assert 4 <= len(list(iter_frames(path))) <= 6
    # Times that are told stay.
    shades[0].save(path, save_all=True, append_images=shades[1:], duration=[100, 100, 300, 100, 100, 100])
    assert list(read_timing(path).stamps) == pytest.approx([0, 0.1, 0.2, 0.5, 0.6, 0.7])


@pytest.mark.parametrize("alpha", [False, True])
def test_an_animated_webp_is_a_video(tmp_path, alpha):
    """As ComfyUI's Save Animated WEBP writes it. FFmpeg's reader of WebP knows single pictures only."""
    shades = [Image.new("RGBA", (64, 48), (30 * number, 80, 120, 255)) for number in range(6)]
    if alpha:
        shades[3].putalpha(0)
    path = tmp_path / "a.webp"
    shades[0].save(path, save_all=True, append_images=shades[1:], duration=[100, 100, 300, 100, 0, 100], lossless=True)
    frames = list(iter_frames(path))
    assert [frame[0, 0, 0] for frame in frames] == [0, 30, 60, 255 if alpha else 90, 120, 150]
    assert [time for time, _ in timed_frames(path)] == pytest.approx([0, 0.1, 0.2, 0.5, 0.6, 0.7])
    assert probe(path).width == 64


def test_a_still_or_damaged_webp(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "still.webp")
    assert len(list(iter_frames(tmp_path / "still.webp"))) == 1
    noise = [Image.effect_noise((64, 48), 90) for _ in range(5)]
    noise[0].save(tmp_path / "a.webp", save_all=True, append_images=noise[1:], duration=50)
    data = (tmp_path / "a.webp").read_bytes()
    for size in (21, 40, len(data) // 2, len(data) - 30):
        (tmp_path / "cut.webp").write_bytes(data[:size])
        with pytest.raises(SoraError, match=r"cut\.webp is (damaged|cut short)"):
            list(iter_frames(tmp_path / "cut.webp"))
