"""What an edit takes as a video is checked before anything is read."""

from __future__ import annotations

import pytest
import torch
from pipeline_support import tiny_pipeline

from sora_core.errors import SoraError
from sora_core.media.clips import Clip
from sora_core.media.origin import own_frames
from sora_core.media.write import write_video
from sora_core.pipeline.sources import take_clip, take_still

HOW = {"seed": 1, "steps": 2, "cfg": 1.0}
BYTES = torch.randint(0, 256, (5, 32, 32, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.mark.parametrize("source", [None, [0.5], {"frames": 1}, 7])
def test_what_is_no_video_is_refused_by_name(source):
    with pytest.raises(SoraError, match=f"not {type(source).__name__}"):
        take_clip(source, 8)


@pytest.mark.parametrize("picture", [None, 7, [[0.5]]])
def test_what_is_no_picture_is_refused_by_name(picture):
    with pytest.raises(SoraError, match=f"A picture is .*, not {type(picture).__name__}"):
        take_still(picture, 16)


KINDS = {
    "bytes": BYTES,
    "float64": BYTES.double() / 255,
    "float16": (BYTES.float() / 255).half(),
    "bfloat16": (BYTES.float() / 255).bfloat16(),
    "opaque": torch.cat([BYTES, torch.full_like(BYTES[..., :1], 255)], -1),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_come_as_numbers_of_any_kind(pipe, name):
    frames, usual = KINDS[name], BYTES.float() / 255
    for taken in (take_clip(frames, 16).frames, take_clip(Clip(frames, 8.0), 16).frames):
        assert taken.dtype == torch.float32 and torch.allclose(taken, usual, atol=0.004)
        assert torch.equal(taken, usual) == (name in ("bytes", "opaque", "float64"))
    assert torch.equal(take_still(frames[0], 16), taken[0])
    made = pipe.extend(frames, "a cat", seconds=0.5, **HOW)
    assert torch.equal(made.frames[:5], taken)


def test_transparency_is_laid_over_white(pipe):
    clear = torch.cat([BYTES, torch.zeros_like(BYTES[..., :1])], -1)
    assert (take_clip(clear, 16).frames == 1).all() and (take_still(clear[0], 16) == 1).all()


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_frames_of_other_numbers_are_refused_by_name(kind):
    for take in (lambda: take_clip(BYTES.to(kind), 16), lambda: take_still(BYTES[0].to(kind), 16)):
        with pytest.raises(SoraError, match=f"Frames of {kind} are not read: use uint8"):
            take()


def test_a_result_is_a_clip_with_its_sound_and_notes(pipe, tmp_path):
    sound = {"waveform": torch.sin(torch.arange(16000) / 20)[None, None], "sample_rate": 16000}
    first = pipe.extend(Clip(BYTES, 10.0, sound, ("It was cut.",)), "a zeppelin", seconds=0.5, **HOW)
    first.save(tmp_path / "first.mp4")
    clip = take_clip(first, 16)
    assert clip.fps == 10 and clip.audio is first.audio and torch.equal(clip.frames, first.frames)
    # What was said of the file is not said of the video.
    assert any("igned" in note for note in first.notes) and not any("igned" in note for note in clip.notes)
    for again in (pipe.extend(first, "a cat", seconds=0.5, **HOW), pipe.loop(first, "a cat", seconds=0.5, **HOW)):
        assert torch.equal(again.frames[: len(first.frames)], first.frames)
        assert again.fps == 10 and again.audio["waveform"].abs().max() > 0.2
        assert "It was cut." in again.notes and any("zeppelin" in note for note in again.notes)
    joined = pipe.connect(first, first, "a cat", seconds=0.5, **HOW)
    assert torch.equal(joined.frames[-5:], first.frames[-5:])


def test_a_result_that_is_edited_keeps_its_history_and_its_mark(pipe, tmp_path):
    own = tmp_path / "own.mp4"
    write_video(own, BYTES, 8)
    first = pipe.extend(own, "a dog", seconds=0.5, **HOW)
    again = pipe.loop(first, "a cat", seconds=0.5, **HOW)
    assert again.history.sources == (own,) and again.history.edits == ("SoraExtend", "SoraLoop")
    assert again.history.prompts == ("a dog", "a cat") and len(again.history.models) == 1
    # What the user brought is his own still; what was made is not, though the second edit kept it.
    assert own_frames(again.frames).tolist() == [True] * 5 + [False] * (len(again.frames) - 5)


@pytest.mark.parametrize("name", ["negative", "seed", "steps", "cfg", "sampler", "scheduler", "interval", "options"])
def test_a_setting_that_is_none_is_the_usual_one(pipe, name):
    how = {"frames": 5, **HOW}
    how.pop(name, None)
    assert torch.equal(pipe.generate("a cat", **how).latent, pipe.generate("a cat", **how, **{name: None}).latent)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 16), (16, 48), (48, 16), (32, 16)])
def test_small_sides_are_worked_on(pipe, size):
    frames = torch.rand(9, *size, 3, generator=torch.Generator().manual_seed(2))
    for made in (
        pipe.extend(frames, "a cat", seconds=1, **HOW),
        pipe.extend(frames, "a cat", seconds=1, direction="both", **HOW),
        pipe.loop(frames, "a cat", seconds=0.5, **HOW),
        pipe.connect(frames, frames, "a cat", seconds=0.5, **HOW),
        pipe.infill(frames, "a cat", hidden=[3, 4], **HOW),
        pipe.animate(frames[0], "a cat", seconds=1, **HOW),
        pipe.remix(frames, "a cat", **HOW),
    ):
        assert made.frames.shape[1:3] == size and made.frames.isfinite().all()


@pytest.mark.parametrize("name", ["a.avi", "a.png", "a"])
def test_a_name_that_is_no_mp4s_is_refused_before_work(pipe, tmp_path, name):
    with pytest.raises(SoraError, match="is not an mp4: end its name in .mp4"):
        pipe.long_video("a cat", tmp_path / name, seconds=2, progress=pytest.fail, **HOW)
    video = pipe.generate("a cat", frames=5, **HOW)
    for credentials in (True, False):
        with pytest.raises(SoraError, match="is not an mp4: end its name in .mp4"):
            video.save(tmp_path / name, credentials=credentials)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seconds", [0.5, 3, 3.4, 4])
def test_progress_ends_at_its_total(pipe, seconds):
    told = []
    pipe.extend(BYTES, "a cat", seconds=seconds, progress=lambda done, total: told.append((done, total)), **HOW)
    assert told[-1][0] == told[-1][1] and all(done <= total for done, total in told)


def test_frames_that_a_graph_made_become_a_clip():
    """A rate that nobody gave is told."""
    frames = torch.rand(5, 32, 48, 3)
    guessed, given = take_clip(frames, 16), take_clip(frames, 16, fps=24)
    assert torch.equal(guessed.frames, frames) and torch.equal(given.frames, guessed.frames)
    assert (guessed.fps, given.fps, given.notes) == (8, 24, ())
    assert "no rate of their own: taken for 8 frames per second" in guessed.notes[0]


def test_a_latent_whose_frames_stand_in_another_order_is_not_handed_over(pipe):
    """A loop of 9 frames and 8 more has a latent of 17, as long as the video, which shows its end before its start."""
    video = pipe.generate("a cat", frames=9, **HOW)
    assert video.faithful and pipe.extend(video, "a cat", seconds=1, **HOW).faithful
    loop = pipe.loop(video, "a cat", seconds=1, **HOW)
    assert loop.latent.shape[2] == 5 and loop.frames.shape[0] == 17
    assert loop.clip().latent is None
    frames = take_clip(Clip(loop.frames, loop.fps), 16)
    made, again = (pipe.extend(each, "a cat", seconds=0.5, **HOW) for each in (loop, frames))
    assert torch.equal(made.latent, again.latent)
