"""Clips that were joined, cut short, damaged or stamped with nonsense: as many frames as ffmpeg reads, and a note."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from ffmpeg_oracle import ffmpeg

from sora_core.errors import SoraError
from sora_core.media.clips import read_clip
from sora_core.media.sound import read_audio
from sora_core.media.structure import codec_of, cut_short, is_boxes
from sora_core.media.timing import read_timing
from sora_core.media.video import iter_frames, read_video
from sora_core.media.write import remux
from sora_core.safety.gate import noting

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-bf", "2")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2")
SUFFIXES = ("mp4", "mov", "mkv", "flv", "avi", "ts")


def grey(rate: int = 24, seconds: float = 1.5) -> str:
    """Frames of which each has another brightness than those beside it."""
    return f"color=gray:s=64x48:r={rate}:d={seconds},format=yuv420p,geq=lum=16+mod(N*23\\,180):cb=128:cr=128"


def drawn(path: Path, *options: str, rate: int = 24, seconds: float = 1.5, sound: str | None = None) -> Path:
    tone = [] if sound is None else ["-f", "lavfi", "-i", sound]
    front = ["-movflags", "faststart"] if path.suffix in (".mp4", ".mov") else []
    ffmpeg("-f", "lavfi", "-i", grey(rate, seconds), *tone, *options, *front, path)
    return path


def by_ffmpeg(path: Path) -> np.ndarray:
    """The brightness of each frame that ffmpeg reads, whatever it complains of."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-threads", "1", "-i", str(path), "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3).mean((1, 2, 3))


def by_us(path: Path) -> np.ndarray:
    return np.array([frame.mean() for frame in iter_frames(path)])


def alike(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return len(ours) == len(theirs) and bool((np.abs(ours - theirs) < 3).all())


# -- joined --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("suffix", "codec", "rate"), [("ts", H264, 24), ("mpg", MPEG2, 25)])
@pytest.mark.parametrize("times", [2, 3])
def test_a_clock_that_begins_anew_goes_on(tmp_path, suffix, codec, rate, times):
    """As `cat a.ts b.ts > c.ts` leaves it."""
    one = drawn(tmp_path / f"a.{suffix}", *codec, rate=rate)
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(one.read_bytes() * times)
    theirs = by_ffmpeg(path)
    assert alike(by_us(path), theirs)
    clip, (frames, found) = read_clip(path), read_video(path)
    assert clip.fps == found == rate and len(clip.frames) == len(frames) == len(theirs)
    assert read_timing(path).duration == pytest.approx(len(theirs) / rate)
    remux(path, tmp_path / "copy.mp4", {})
    assert alike(by_us(tmp_path / "copy.mp4"), theirs) and read_timing(tmp_path / "copy.mp4").rate == rate


def test_joined_clips_of_two_rates_keep_both(tmp_path):
    fast, slow = drawn(tmp_path / "a.ts", *H264), drawn(tmp_path / "b.ts", *H264, rate=12)
    path = tmp_path / "joined.ts"
    path.write_bytes(fast.read_bytes() + slow.read_bytes())
    timing = read_timing(path)
    assert timing.frames == 36 + 18 and timing.duration == pytest.approx(3.0, abs=0.1)


def test_the_sound_of_joined_clips_stays_with_their_picture(tmp_path):
    """The second tone begins half a second after the second picture does."""
    sound = "aevalsrc=0.4*sin(2*PI*440*t)*between(t\\,0.5\\,0.7):s=48000:d=1.5"
    one = drawn(tmp_path / "a.ts", *H264, "-c:a", "aac", sound=sound)
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() * 2)
    remux(path, tmp_path / "copy.mp4", {})
    for file in (path, tmp_path / "copy.mp4"):
        wave = read_audio(file)["waveform"][0, 0].abs()
        loud = (wave > 0.1).nonzero()[:, 0] / 48000
        late = loud[loud > 1.2]
        assert float(loud[0]) == pytest.approx(0.5, abs=0.03) and float(late[0]) == pytest.approx(2.0, abs=0.03)


# -- stamps that mean nothing --------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "flv", "nut"])
def test_frames_that_all_have_one_stamp_stand_at_the_rate(tmp_path, suffix):
    drawn(tmp_path / "a.mkv", *H264)
    path = tmp_path / f"equal.{suffix}"
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-bsf:v", "setts=pts=0:dts=0", path)
    clip = read_clip(path)
    assert len(clip.frames) == len(by_ffmpeg(path)) == 36 and clip.fps == 24
    remux(path, tmp_path / "copy.mp4", {})
    assert len(by_us(tmp_path / "copy.mp4")) == 36


@pytest.mark.parametrize("stamp", ["PTS*1000000", "PTS+20000", "PTS*100000"])
def test_one_stamp_far_away_is_taken_from_its_neighbours(tmp_path, stamp):
    drawn(tmp_path / "a.mkv", *H264)
    path = tmp_path / "wild.mkv"
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-bsf:v", f"setts=pts=if(eq(N\\,20)\\,{stamp}\\,PTS)", path)
    clip = read_clip(path)
    assert len(clip.frames) == 36 and clip.fps == 24
    assert alike(np.array([float(frame.mean()) * 255 for frame in clip.frames]), by_us(tmp_path / "a.mkv"))


def test_a_pause_before_the_last_frame_is_no_nonsense(tmp_path):
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", f"{grey()},setpts=PTS+eq(N\\,35)*60/TB", "-fps_mode", "vfr", *H264, path)
    assert read_timing(path).stamps[-1] == pytest.approx(61.46, abs=0.05)


# -- cut short and damaged -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    tone = "sine=440:d=1.5:r=48000"
    return {suffix: drawn(folder / f"a.{suffix}", *H264, "-c:a", "aac", sound=tone) for suffix in SUFFIXES}


def test_whole_files_are_not_called_cut(whole):
    assert not any(cut_short(path) for path in whole.values())
    assert not any(read_clip(path).notes for path in whole.values())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.93])
def test_what_is_there_of_a_file_that_is_cut_short(tmp_path, whole, suffix, share):
    path, data = tmp_path / f"cut.{suffix}", whole[suffix].read_bytes()
    # Within a packet of a transport stream, which tells nothing else of its length.
    path.write_bytes(data[: int(len(data) * share) // 188 * 188 + 100])
    theirs = by_ffmpeg(path)
    assert alike(by_us(path), theirs)
    clip = read_clip(path)
    assert len(theirs) <= len(clip.frames) <= len(theirs) + 3 and clip.fps == 24  # those that are lost are held
    assert any(f"cut.{suffix} is cut short" in note for note in clip.notes)
    notes: list[str] = []
    with noting(notes):
        remux(path, tmp_path / "copy.mp4", {})
    assert alike(by_us(tmp_path / "copy.mp4"), theirs) and "cut short" in " ".join(notes)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ogv", "libtheora"), ("wmv", "wmv2"), ("webm", "libvpx"), ("gif", "gif")]
)
def test_other_containers_are_known_to_be_cut(tmp_path, suffix, codec):
    short = ("-page_duration", "200000") if suffix == "ogv" else ()
    path = drawn(tmp_path / f"a.{suffix}", "-c:v", codec, *short)
    assert not cut_short(path) and not read_clip(path).notes
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 19 // 20])
    assert cut_short(path) and "is cut short or damaged" in " ".join(read_clip(path).notes)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(4))
def test_what_can_be_read_of_a_damaged_file(tmp_path, whole, suffix, seed):
    """Bytes that changed within its second and third quarter: as many frames as ffmpeg has, copied or not."""
    path, data, chance = tmp_path / f"hurt.{suffix}", bytearray(whole[suffix].read_bytes()), random.Random(seed)
    for _ in range((3, 8, 20, 60)[seed]):
        data[chance.randrange(len(data) // 4, len(data) * 9 // 10)] = chance.randrange(256)
    path.write_bytes(data)
    theirs = by_ffmpeg(path)
    ours = by_us(path)
    assert len(ours) == len(theirs) > 0
    notes: list[str] = []
    with noting(notes):
        remux(path, tmp_path / "copy.mp4", {})
    assert len(by_us(tmp_path / "copy.mp4")) == len(theirs)
    if len(theirs) < 36:
        assert any("hurt" in note for note in notes) and any("hurt" in note for note in read_clip(path).notes)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_frames_after_a_damage_stay_where_they_were(tmp_path, suffix):
    good = tmp_path / f"good.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=1.5", *H264, "-movflags", "faststart", good)
    path, data = tmp_path / f"hurt.{suffix}", bytearray(good.read_bytes())
    with av.open(str(good)) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][17:20]
    for packet in lost:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    clip, count = read_clip(path), len(by_ffmpeg(path))
    assert count < len(clip.frames) == 36  # the frame before stands in the place of one that is lost
    first, last = (float(clip.frames[place].mean()) * 255 for place in (0, -1))
    assert [first, last] == pytest.approx(by_us(good)[[0, -1]], abs=3)
    assert f"{count} frames could be read" in " ".join(clip.notes)


def test_what_holds_nothing_that_can_be_decoded_is_refused(tmp_path, whole):
    data = bytearray(whole["mp4"].read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin:] = bytes(len(data) - begin)
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(SoraError, match=r"a\.mp4 is damaged and holds no frame"):
        list(iter_frames(tmp_path / "a.mp4"))


def test_a_video_without_its_index_is_called_cut_short(tmp_path, whole):
    path = tmp_path / "a.mp4"
    ffmpeg("-i", whole["mp4"], "-c", "copy", path)  # its index at the end
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SoraError, match=r"a\.mp4 is cut short: its index"):
        read_clip(path)


# -- names ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("suffix", "known", "unknown", "named"),
    [
        ("mp4", b"avc1", b"zzz1", "zzz1"),
        ("mov", b"avc1", b"zzz1", "zzz1"),
        ("avi", b"H264", b"ZZZ1", "ZZZ1"),
        ("mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/AXX", "V_MPEG4/ISO/AXX"),
    ],
)
def test_an_unknown_picture_codec_is_named(tmp_path, whole, suffix, known, unknown, named):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole[suffix].read_bytes().replace(known, unknown))
    for read in (read_clip, read_timing, read_video):
        with pytest.raises(SoraError, match=f"the codec {named}, which cannot be read"):
            read(path)


def test_an_unknown_sound_codec_is_named(tmp_path, whole):
    path = tmp_path / "a.mkv"
    path.write_bytes(whole["mkv"].read_bytes().replace(b"A_AAC", b"A_AXX"))
    with pytest.raises(SoraError, match="its sound has the codec A_AXX"):
        read_audio(path)
    assert codec_of(whole["mp4"], sound=True) == "mp4a" and codec_of(whole["avi"]) == "H264"


def test_quicktime_without_a_kind_is_known():
    for first in (b"moov", b"mdat", b"wide", b"free", b"skip", b"ftyp"):
        assert is_boxes(b"\0\0\0\x10" + first)
    assert not is_boxes(b"\x89PNG\r\n\x1a\n") and not is_boxes(b"")
