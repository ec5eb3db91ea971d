"""Video files: what is written is read back, and what may go wrong leaves nothing behind."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from fractions import Fraction

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from ffmpeg_oracle import ffmpeg

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.media import video as reading
from sora_core.media.sound import read_audio
from sora_core.media.threads import converting, use_threads
from sora_core.media.tracks import open_video
from sora_core.media.video import iter_frames, probe, read_video
from sora_core.media.write import remux, write_video


def clip(frames: int = 6, height: int = 32, width: int = 48) -> torch.Tensor:
    """A red, a green and a blue third, with a white bar that moves."""
    video = torch.zeros(frames, height, width, 3)
    for channel in range(3):
        video[:, :, channel * width // 3 : (channel + 1) * width // 3, channel] = 0.8
    for index in range(frames):
        video[index, :, index * 4 : index * 4 + 4] = 1.0
    return video


@contextmanager
def file_size_limit(size: int):
    """No file may grow beyond `size`: what a full disk looks like, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_privileges():
    """Root may write anywhere: be nobody for a while, so that a read-only folder is one."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_video_round_trip(tmp_path):
    path = tmp_path / "a.mp4"
    assert write_video(path, clip(), 8, metadata={"workflow": '{"a": 1}'}) == 6
    info = probe(path)
    assert (info.width, info.height, info.fps, info.frames, info.codec) == (48, 32, 8, 6, "h264")
    assert info.metadata["workflow"] == '{"a": 1}'
    video, fps = read_video(path)
    assert video.shape == (6, 32, 48, 3) and fps == 8 and video.dtype == torch.float32
    assert (video - clip()).abs().mean() < 0.03
    # Another reader sees the same colours: the file says which matrix it was written with.
    other = torch.from_numpy(imageio.imread(path)).float() / 255
    assert other.shape == video.shape and (other - clip()).abs().mean() < 0.03
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_frames_may_come_one_by_one_in_any_form(tmp_path):
    whole = (clip() * 255).round().to(torch.uint8)
    pieces = [whole[:2].numpy(), whole[2], (whole[3:].float() / 255)]
    write_video(tmp_path / "whole.mp4", whole, 8)
    write_video(tmp_path / "pieces.mp4", iter(pieces), 8)
    assert torch.equal(read_video(tmp_path / "whole.mp4")[0], read_video(tmp_path / "pieces.mp4")[0])
    half = write_video(tmp_path / "half.mp4", clip().bfloat16(), 8)
    assert half == 6


def test_odd_sizes_are_padded_at_the_edge(tmp_path):
    write_video(tmp_path / "odd.mp4", clip(2, 31, 45), 8)
    video, _ = read_video(tmp_path / "odd.mp4")
    assert video.shape == (2, 32, 46, 3)
    assert (video[:, :31, :45] - clip(2, 31, 45)).abs().mean() < 0.04


FILM = Fraction(24000, 1001)


@pytest.mark.parametrize(("fps", "rate"), [(8, 8), (29.97, Fraction(2997, 100)), (FILM, FILM), (0.5, Fraction(1, 2))])
def test_frame_rates_are_kept(tmp_path, fps, rate):
    write_video(tmp_path / "a.mp4", clip(3), fps)
    assert probe(tmp_path / "a.mp4").fps == rate


@pytest.mark.parametrize("fps", [0, -8, float("nan"), float("inf"), 1e9, 1e-9])
def test_impossible_frame_rates_are_refused(tmp_path, fps):
    with pytest.raises(SoraError, match="frame rate is .* above 0, at most 1000"):
        write_video(tmp_path / "a.mp4", clip(), fps)
    assert not list(tmp_path.iterdir())


def test_reading_a_part(tmp_path):
    write_video(tmp_path / "a.mp4", clip(16), 8)
    assert len(list(iter_frames(tmp_path / "a.mp4", max_frames=5))) == 5
    late = list(iter_frames(tmp_path / "a.mp4", start=1.0))
    assert len(late) == 8
    assert np.array_equal(late[0], list(iter_frames(tmp_path / "a.mp4"))[8])
    with pytest.raises(SoraError, match="too many for memory"):
        read_video(tmp_path / "a.mp4", max_bytes=32 * 48 * 3 * 4 * 10)
    with pytest.raises(SoraError, match="no frames from 60"):
        read_video(tmp_path / "a.mp4", start=60.0)


def test_sound_travels_along(tmp_path):
    tone = {"waveform": torch.sin(torch.arange(16000) / 10)[None, None], "sample_rate": 16000}
    write_video(tmp_path / "a.mp4", clip(8), 8, audio=tone)
    remux(tmp_path / "a.mp4", tmp_path / "b.mp4", {"prompt": "{}"})
    info = probe(tmp_path / "b.mp4")
    assert info.has_audio and info.frames == 8 and info.metadata["prompt"] == "{}"
    sound = read_audio(tmp_path / "b.mp4")
    assert sound["sample_rate"] == 16000 and abs(sound["waveform"].shape[-1] - 16000) < 2100
    assert 0.5 < sound["waveform"].abs().max() < 1.2


BAD_FRAMES = {
    "none": ([], "no frames"),
    "not a picture": (torch.zeros(4, 4), "shape"),
    "five channels": (torch.zeros(2, 8, 8, 5), "shape"),
    "not finite": (torch.full((2, 8, 8, 3), float("nan")), "NaN"),
    "two sizes": ([torch.zeros(8, 8, 3), torch.zeros(8, 10, 3)], "one size"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_frames_leave_nothing(tmp_path, case):
    frames, words = BAD_FRAMES[case]
    with pytest.raises(SoraError, match=words):
        write_video(tmp_path / "a.mp4", frames, 8)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path):
    noise = torch.rand(24, 64, 64, 3)
    with file_size_limit(8192), pytest.raises(SoraError, match="disk is full.*free some space"):
        write_video(tmp_path / "a.mp4", noise, 8)
    assert not list(tmp_path.iterdir())
    write_video(tmp_path / "a.mp4", noise, 8)


def test_a_full_disk_keeps_the_file_that_was_there(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 8)
    before = (tmp_path / "a.mp4").read_bytes()
    with file_size_limit(4096), pytest.raises(SoraError):
        write_video(tmp_path / "a.mp4", torch.rand(24, 64, 64, 3), 8)
    assert (tmp_path / "a.mp4").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def frames():
        yield from clip()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", frames(), 8)
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_is_named(tmp_path):
    write_video(tmp_path / "warm.mp4", clip(), 8)  # so that nothing is imported without privileges
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(parent.stat().st_mode | 0o555)
    with without_privileges():
        with pytest.raises(SoraError, match="locked.*read-only.*another folder"):
            write_video(folder / "a.mp4", clip(), 8)
        with pytest.raises(SoraError, match="read-only"):
            Folders(output=folder).check_prefix("video/x")
    assert not list(folder.iterdir())


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SoraError, match="not a folder"):
        write_video(tmp_path / "file" / "a.mp4", clip(), 8)


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00\x00\x00\x18ftypisom" + b"\x00" * 64])
def test_files_that_are_no_video(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(SoraError, match="a.mp4"):
        read_video(tmp_path / "a.mp4")
    with pytest.raises(SoraError, match="no video file"):
        read_video(tmp_path / "b.mp4")


def test_a_truncated_video_says_so(tmp_path):
    write_video(tmp_path / "a.mp4", torch.rand(30, 64, 64, 3), 8)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    try:
        frames = len(list(iter_frames(tmp_path / "cut.mp4")))
    except SoraError as error:
        assert "damaged" in str(error)
    else:
        assert 0 < frames < 30


@pytest.mark.parametrize(
    ("suffix", "options", "threads"),
    [
        (".ogv", ("-c:v", "libtheora"), "SLICE"),
        (".mp4", ("-c:v", "libx264"), "AUTO"),
        (".avi", ("-c:v", "msmpeg4"), "SLICE"),
    ],
)
def test_frames_are_decoded_side_by_side_only_where_that_is_safe(tmp_path, monkeypatch, suffix, options, threads):
    """On a busy machine Theora's frame threads gave other pictures each time, which a test of pictures seldom sees."""
    path, streams = tmp_path / f"clip{suffix}", []
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:d=1:r=8", *options, path)
    real = reading.picture_stream
    monkeypatch.setattr(reading, "picture_stream", lambda container: streams.append(real(container)) or streams[-1])
    assert len(list(reading.decode_frames(path))) == 8
    assert streams[0].thread_type.name == threads


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux tells them")
def test_codecs_take_as_many_threads_as_torch(tmp_path):
    """A job that was given one core of many must not encode and decode on all."""

    def threads() -> set[str]:
        return set(os.listdir("/proc/self/task"))

    def added(count: int) -> tuple[int, int]:
        torch.set_num_threads(count)
        before, seen = threads(), []

        def frames():
            for picture in clip(24, 256, 192):  # of a low picture x264 makes no parts
                yield picture
                seen.append(len(threads() - before))

        write_video(tmp_path / "a.mp4", frames(), 8)
        return max(seen), max(len(threads() - before) for _ in iter_frames(tmp_path / "a.mp4"))

    usual = torch.get_num_threads()
    try:
        alone, four = added(1), added(4)
    finally:
        torch.set_num_threads(usual)
    assert alone == (0, 0) and min(four) >= 3, (alone, four)


def test_codecs_take_no_more_threads_than_help(tmp_path):
    write_video(tmp_path / "a.mp4", clip(2, 32, 32), 8)
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(64)
        with open_video(tmp_path / "a.mp4") as container:
            stream = container.streams.video[0]
            use_threads(stream)
            assert stream.codec_context.thread_count == 16 and converting() in ({}, {"threads": 16})
    finally:
        torch.set_num_threads(usual)


def test_no_frames_are_wanted_where_the_most_is_none(tmp_path):
    write_video(tmp_path / "a.mp4", torch.zeros(4, 32, 32, 3), 8)
    assert list(iter_frames(tmp_path / "a.mp4", max_frames=0)) == []
    with pytest.raises(SoraError, match="at least 1"):
        read_video(tmp_path / "a.mp4", max_frames=0)
    assert len(read_video(tmp_path / "a.mp4", max_frames=1, max_bytes=20_000)[0]) == 1
