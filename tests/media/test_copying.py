"""Packets that are copied keep every frame, in order, in time, with their sound; and what was saved is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from ffmpeg_judge import decoded, draw, first_time

from sora_core.errors import SoraError
from sora_core.host.api.video import VideoFromFile
from sora_core.media.clips import read_clip
from sora_core.media.saved import check_saved
from sora_core.media.sound import read_audio
from sora_core.media.timing import read_timing
from sora_core.media.video import iter_frames, probe, read_video
from sora_core.media.write import remux, write_video

H264 = ("-c:v", "libx264", "-g", "12", "-bf", "2")
TEST = "testsrc2=s=64x48:r=8:d=3"


@dataclass
class Told:
    """A saving that does nothing but listen."""

    notes: list[str] = field(default_factory=list)

    def keep(self, frames):
        pass

    def marked(self, frames, fps=None):
        return frames

    def tags(self):
        return {}

    def seal(self, path: Path, title: str) -> None:
        pass


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("mkv", H264),
        ("mkv", (*H264, "-b_strategy", "0", "-bf", "3", "-x264-params", "b-pyramid=normal")),
        ("avi", H264),
        ("flv", H264),
        ("ts", H264),
        ("h264", H264),
        ("mp4", (*H264, "-movflags", "frag_keyframe+empty_moov")),
        ("mkv", ("-c:v", "libx264", "-bf", "0")),
    ],
)
def test_every_frame_is_kept(tmp_path, suffix, options):
    path, made = draw(tmp_path / f"a.{suffix}", TEST, *options), tmp_path / "out.mp4"
    VideoFromFile(path).save_to(made, metadata={"prompt": {"1": 2}})
    before, after = list(iter_frames(path)), list(iter_frames(made))
    assert len(before) == len(after) == 24 and all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert read_timing(made).duration == pytest.approx(read_timing(path).duration, abs=0.01)
    assert probe(made).metadata["prompt"] == '{"1": 2}' and first_time(made, "v") == 0


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "pcm_s16le"), ("mkv", "libvorbis"), ("mov", "pcm_s24le")])
def test_sound_that_mp4_cannot_hold_is_encoded_and_named(tmp_path, suffix, codec):
    path = draw(tmp_path / f"a.{suffix}", TEST, *H264, "-c:a", codec, sound="sine=d=3:f=440")
    saving = Told()
    remux(path, tmp_path / "out.mp4", {}, saving)
    assert any("encoded again as AAC" in note and codec.removeprefix("lib") in note for note in saving.notes)
    assert probe(tmp_path / "out.mp4").has_audio and len(list(iter_frames(tmp_path / "out.mp4"))) == 24


def test_sound_that_mp4_can_hold_is_copied(tmp_path):
    path, saving = draw(tmp_path / "a.mkv", TEST, *H264, "-c:a", "libopus", sound="sine=d=3:f=440"), Told()
    remux(path, tmp_path / "out.mp4", {}, saving)
    assert saving.notes == [] and b"Opus" in (tmp_path / "out.mp4").read_bytes()


class Spoiling(Told):
    """A disk that loses the end of what was written."""

    def seal(self, path: Path, title: str) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])


def test_a_file_that_lost_frames_is_an_error_and_not_kept(tmp_path):
    frames = torch.rand(12, 48, 64, 3)
    with pytest.raises(SoraError, match="out.mp4 (holds|was written and cannot be read)"):
        write_video(tmp_path / "out.mp4", frames, 8, saving=Spoiling())
    assert not list(tmp_path.iterdir())
    write_video(tmp_path / "a.mp4", frames, 8)
    with pytest.raises(SoraError, match="out.mp4 (holds|was written and cannot be read)"):
        remux(tmp_path / "a.mp4", tmp_path / "out.mp4", {}, Spoiling())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    for count, sound, words in ((13, False, "holds 12 frames .* should hold 13"), (12, True, "no sound")):
        with pytest.raises(SoraError, match=words):
            check_saved(tmp_path / "a.mp4", "a.mp4", count, sound=sound)


def joined(tmp_path: Path, suffix: str, second: str) -> Path:
    """Join two clips without encoding them, as ffmpeg's concat does: of 24 and 10 frames, with sound."""
    parts = []
    for name, given in (("a", TEST), ("b", second)):
        sound = f"sine=d={3 if name == 'a' else 1}"
        parts.append(draw(tmp_path / f"{name}.mp4", given + ",gblur=sigma=3", *H264, "-c:a", "aac", sound=sound))
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"file '{part}'\n" for part in parts))
    return draw(tmp_path / f"joined.{suffix}", listed, "-c", "copy", before=("-f", "concat", "-safe", "0"))


def near(ours, theirs: np.ndarray) -> bool:
    return np.abs(np.asarray(ours, dtype=float) - theirs).mean() < 5  # scaled by another filter


@pytest.mark.parametrize("suffix", ["mkv", "ts", "flv"])
def test_clips_that_were_joined_without_encoding_keep_frames_and_sound(tmp_path, suffix):
    """The sound of the first one reaches into the second."""
    path, made = joined(tmp_path, suffix, "testsrc2=s=64x48:r=10:d=1"), tmp_path / "out.mp4"
    remux(path, made, {})
    assert len(list(iter_frames(made))) == len(list(iter_frames(path))) == 34
    before, after = (read_audio(p)["waveform"].shape[-1] for p in (path, made))
    assert abs(before - after) < 4410


def test_clips_of_two_sizes_are_shown_in_the_first_ones(tmp_path):
    path, made = joined(tmp_path, "mkv", "testsrc2=s=96x64:r=10:d=1"), tmp_path / "out.mp4"
    theirs = decoded(path)
    assert len(theirs) == 34 and theirs[-1].shape == (48, 64, 3)
    ours = list(iter_frames(path))
    assert len(ours) == 34 and all(near(a, b) for a, b in zip(ours, theirs, strict=True))
    # Their rate varies: how many stand at its mean is another matter.
    assert read_video(path)[0].shape[1:] == read_clip(path).frames.shape[1:] == (48, 64, 3)
    remux(path, made, {})
    assert len(list(iter_frames(made))) == 34


@pytest.mark.parametrize("rate", ["12", "24", "30000/1001", "60"])
@pytest.mark.parametrize("suffix", ["avi", "h264"])
def test_a_copy_keeps_a_constant_rate(tmp_path, suffix, rate):
    """Where packets are not timed, a frame stands for as long as the rate says, to the tick."""
    path = draw(tmp_path / f"a.{suffix}", TEST.replace("r=8", f"r={rate}"), *H264)
    remux(path, tmp_path / "b.mp4", {})
    assert probe(tmp_path / "b.mp4").fps == read_timing(path).rate == read_timing(tmp_path / "b.mp4").rate
    wanted = read_timing(path).frames / read_timing(path).rate
    assert probe(tmp_path / "b.mp4").duration == pytest.approx(float(wanted), abs=1e-3)


def test_what_mp4_cannot_hold_is_encoded_again(tmp_path):
    told = Told()
    path = draw(tmp_path / "a.gif", TEST)
    remux(path, tmp_path / "b.mp4", {}, told)
    assert len(list(iter_frames(tmp_path / "b.mp4"))) == 24 and "was encoded again" in " ".join(told.notes)
