"""Segments: latents handed over, statistics held, and renders that go on after a kill, to the byte."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from long_support import Stop, same_video, stop_after, toy_roller
from pipeline_support import tiny_pipeline
from safetensors.torch import load_file

from sora_core.diffusion.sampling import prepare_noise
from sora_core.errors import SoraError
from sora_core.media.video import probe, read_video
from sora_core.tasks import VAECodec
from sora_core.tasks.finish.holding import hold_places, hold_statistics, settled, statistics
from sora_core.tasks.long.render import clock
from sora_core.tasks.long.rolling import Roller, Rolling, Segment, join, roll, segments_needed
from sora_core.tasks.long.segments import segments_beside
from sora_core.tasks.long.source import make_source

pytestmark = pytest.mark.usefixtures("unmarked")
HOW = {"steps": 2, "cfg": 1.0, "width": 32, "height": 32}


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def test_segments_join_without_gaps_and_kept_latents_are_handed_over():
    seen: list = []
    rolling = Rolling(window=6, context=2, overlap=1)
    segments = list(roll(toy_roller(rolling, seen=seen), 20))
    assert len(segments) == segments_needed(20, rolling)
    latents = join(segments, 20)
    assert latents.shape[2] == 20
    made = 0
    for segment in segments:
        made += segment.final.shape[2]
        assert segment.made == made and torch.equal(segment.context, latents[:, :, made - 2 : made])
    rough, fine = seen[1][0], seen[2][0]
    assert torch.equal(rough["samples"][:, :, :2], segments[0].context)
    assert rough["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert fine["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 1]
    assert seen[1][1].tolist() == pytest.approx([1.0, 0.8, 0.5]) and seen[2][1].tolist() == pytest.approx([0.5, 0.2, 0])
    assert torch.equal(fine["samples"][:, :, 2], segments[0].tail[:, :, 0])


def test_the_second_part_of_a_segment_starts_where_the_first_stopped():
    """With a sampler that runs along straight paths, splitting a run changes nothing where nothing is re-noised."""
    target = torch.randn(1, 4, 5, 6, 6, generator=torch.Generator().manual_seed(1))

    def sample(latent, conditioning, sigmas, seed):
        samples, first, last = latent["samples"], float(sigmas[0]), float(sigmas[-1])
        x = (1 - first) * samples + first * prepare_noise(samples, seed)
        noise = (x - (1 - first) * target) / first
        return ((1 - last) * target + last * noise) / (1 - last)

    roller = Roller(sample, lambda *_: [], torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0]), (4, 6, 6), 7, Rolling())
    made = roller.sample_window(torch.zeros_like(target), 1, 1, [], 3)
    assert torch.allclose(made[:, :, 2:], target[:, :, 2:], atol=1e-5)


def test_statistics_are_held_within_their_bound_and_motion_is_not_killed():
    free, held = (
        join(list(roll(toy_roller(Rolling(hold=bound, renoise=0), drift=0.05), 60)), 60) for bound in (0.0, 0.1)
    )
    drift = [abs(float(x[:, :, -3:].mean() - x[:, :, :3].mean())) for x in (free, held)]
    assert drift[0] > 0.5 and drift[1] < 0.3 * drift[0]
    motion = [float((x[:, :, 1:] - x[:, :, :-1]).abs().mean()) for x in (free, held)]
    assert motion[1] == pytest.approx(motion[0], rel=0.1)
    latent = torch.randn(1, 4, 6, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.2
    mean, std = torch.zeros(1, 4, 1, 1, 1), torch.ones(1, 4, 1, 1, 1)
    change = hold_statistics(latent, mean, std, 0.1) - latent
    # In full from the first latent on: one that is held less than those beside it shows as a step.
    assert all(0.06 < -change[:, :, i].mean() < 0.12 for i in range(6))
    # The lights went out: that is no drift.
    assert (hold_statistics(latent + 5, mean, std, 0.1) - latent - 5).abs().max() < 1e-3
    own = statistics(latent)
    assert torch.allclose(hold_statistics(latent, *own, 0.1), latent, atol=1e-5)


def test_no_latent_of_a_segment_is_off_by_what_the_others_are_not():
    """A model that is off wherever it goes on from what is kept: that is the overlap, made again, or the first new."""
    scene = torch.randn(1, 4, 1, 6, 6, generator=torch.Generator().manual_seed(0))

    def sample(latent, conditioning, sigmas, seed):
        samples, mask = latent["samples"], latent["noise_mask"]
        made = scene.expand_as(samples).clone()
        made[:, :, int((mask[0, 0, :, 0, 0] == 0).sum())] -= 0.2
        return torch.where(mask > 0, made, samples)

    roller = Roller(sample, lambda *_: [], torch.tensor([1.0, 0.8, 0.5, 0.0]), (4, 6, 6), 7, Rolling())
    given = scene.expand(-1, -1, 5, -1, -1)
    start = roller.start(given, given[:, :, -1:])
    video = join(list(roll(roller, 20, start)), 20)
    assert (video - scene).abs().max() < 0.02


def test_what_is_still_there_keeps_its_colours_and_what_changes_is_let_go():
    std = torch.ones(1, 4, 1, 1, 1)
    start = torch.randn(1, 4, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.02
    places = settled(start)
    # One corner drifts a little, in another one something else appears.
    latent = start.clone()
    latent[..., :8, :8] += 0.08
    latent[..., 8:, 8:] += 2.0
    held, after = hold_places(latent, places, std, 0.1)
    assert all(float((held - start)[:, :, i, :4, :4].mean().abs()) < 0.02 for i in range(5))
    assert torch.equal(held[..., 12:, 12:], latent[..., 12:, 12:])
    assert (after - latent[:, :, -1:])[..., 12:, 12:].abs().max() < 1e-3
    assert (after[..., :7, :7] - places[..., :7, :7]).abs().max() < 0.02
    assert hold_places(latent, places, std, 0.0)[0] is latent


def test_shapes_are_held_and_not_only_colours():
    """What drifts one way here and the other way beside it leaves every broad colour as it was, and is held too."""
    std = torch.ones(1, 4, 1, 1, 1)
    start = torch.randn(1, 4, 1, 16, 16, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 4, -1, -1)
    sign = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)
    latent, places = start, settled(start)
    for _ in range(20):
        latent, places = hold_places(latent[:, :, -1:].expand(-1, -1, 4, -1, -1) + 0.05 * sign, places, std, 0.3)
    assert (latent - start)[:, :, -1].abs().max() < 0.05


def test_what_is_gone_on_from_is_compared_with_how_its_last_shot_began():
    roller = toy_roller(Rolling())
    first = torch.randn(1, 4, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    last = torch.cat((first, first + 0.05), 2)
    last[:, :, 5:, 8:, 8:] += 2.0
    start = roller.start(last, last[:, :, -1:], first)
    # What has drifted is to look as at first, what has become another thing is to stay that.
    assert (start.places - settled(first[:, :, 1:]))[..., :8, :8].abs().max() < 0.01
    assert (start.places - settled(last[:, :, -4:]))[..., 8:, 8:].abs().max() < 0.01
    alone = roller.start(first, first[:, :, -1:])
    assert torch.equal(alone.places, settled(first[:, :, 1:]))
    assert torch.equal(alone.mean, first[:, :, 1:].mean((2, 3, 4), True))


def test_a_source_is_seen_in_its_last_shot_and_costs_no_more_when_it_is_long():
    seen = []

    def encode(frames):
        seen.append(frames)
        return frames[::4].movedim(-1, 0)[None]

    codec = VAECodec(encode)
    frames = torch.full((200, 16, 16, 3), 0.2)
    frames[120:] = 0.7
    frames[130:] += torch.linspace(0, 0.1, 70)[:, None, None, None]
    source = make_source(codec, frames, Rolling())
    assert sum(len(f) for f in seen) < 80 and source.covered == 49
    assert torch.equal(source.final, encode(frames[-49:])) and torch.equal(source.reference, encode(frames[120:137]))
    # A clip of one window is its own reference, and is encoded once.
    seen.clear()
    short = make_source(codec, frames[120:137], Rolling())
    assert short.reference is short.final and len(seen) == 2
    assert make_source(codec, frames[:2], Rolling()).reference.shape[2] == 1


def test_a_stopped_render_goes_on_and_gives_the_same_video(pipe, tmp_path):
    seen = []
    whole = pipe.long_video("a cat", tmp_path / "whole.mp4", seconds=6, progress=seen.append, **HOW)
    assert not segments_beside(whole).exists()
    assert [p.segment for p in seen] == list(range(seen[-1].segments + 1)) and seen[-1].seconds_left == 0
    assert seen[0].seconds_left is None and "segment 1 of" in str(seen[1]) and "left" in str(seen[1])
    info = probe(whole)
    assert info.frames == 49 and (info.width, info.height) == (32, 32)
    path = tmp_path / "part.mp4"
    for stop in (1, 2, 4):
        with pytest.raises(Stop):
            pipe.long_video("a cat", path, seconds=6, progress=stop_after(stop), **HOW)
        assert not path.exists()
    folder = segments_beside(path)
    assert len(list(folder.glob("segment_*"))) == 4
    # A file cut short by a crash of the machine is made again.
    broken = sorted(folder.glob("segment_*"))[-1]
    broken.write_bytes(broken.read_bytes()[:100])
    seen.clear()
    pipe.long_video("a cat", path, seconds=6, progress=seen.append, **HOW)
    assert seen[0].segment == 3
    assert same_video(path, whole)


def test_a_failed_render_leaves_a_folder_only_if_it_can_go_on_and_says_so(pipe, tmp_path, monkeypatch):
    path, said = tmp_path / "a.mp4", []
    monkeypatch.setattr(logging.getLogger("sora_core.tasks.long.render"), "warning", said.append)

    def fail(after: int):
        def told(done):
            if done.segment == after:
                raise SoraError("The disk is full.")

        return told

    with pytest.raises(SoraError, match=r"The disk is full\.$"):
        pipe.long_video("a cat", path, seconds=6, progress=fail(0), **HOW)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Stop):
        pipe.long_video("a cat", path, seconds=6, progress=stop_after(0), **HOW)
    assert not list(tmp_path.iterdir()) and not said
    with pytest.raises(SoraError, match=r"The disk is full\. 2 finished segments are kept in .*: run it again"):
        pipe.long_video("a cat", path, seconds=6, progress=fail(2), **HOW)
    with pytest.raises(Stop):
        pipe.long_video("a cat", path, seconds=6, progress=stop_after(3), **HOW)
    assert "3 finished segments are kept in" in said[0]
    assert [p.name for p in tmp_path.iterdir()] == [segments_beside(path).name]


def test_a_render_does_not_mix_with_another(pipe, tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(Stop):
        pipe.long_video("a cat", path, seconds=6, progress=stop_after(1), **HOW)
    for change in ({"seed": 1}, {"steps": 3}, {"width": 48}):
        with pytest.raises(SoraError, match="other settings"):
            pipe.long_video("a cat", path, seconds=6, **(HOW | change))
    with pytest.raises(SoraError, match="other settings"):
        pipe.long_video("a dog", path, seconds=6, **HOW)


@pytest.mark.slow
def test_goes_on_from_a_video_and_keeps_its_pixels(pipe, tmp_path):
    frames = torch.linspace(0, 1, 11)[:, None, None, None].expand(-1, 32, 32, 3).contiguous()
    path = pipe.long_video("a cat", tmp_path / "a.mp4", seconds=4, video=frames, steps=2, cfg=1.0)
    assert probe(path).frames == 11 + 32
    made = pipe.extend(frames, "a cat", seconds=4, steps=2, cfg=1.0)
    assert torch.equal(made.frames[:11], frames)
    assert (read_video(path)[0] - made.frames).abs()[:11].mean() < 0.02


def test_follows_a_storyboard(pipe, tmp_path):
    """The latents of a shot change with its prompt, those of the shots before it do not."""
    boards = ("2s: a cat on a beach\n2s: a dog in a forest", "2s: a cat on a beach\n2s: a car in a desert")
    latents = []
    for i, board in enumerate(boards):
        path = tmp_path / f"{i}.mp4"
        pipe.long_video(board, path, keep_segments=True, reuse=False, **HOW)
        segments = [load_file(file) for file in sorted(segments_beside(path).glob("segment_*"))]
        parts = [segment["final"] for segment in segments] + [segments[-1]["tail"]]
        latents.append(torch.cat(parts, 2)[:, :, :9])
    same = [torch.equal(a, b) for a, b in zip(*(x.unbind(2) for x in latents), strict=True)]
    assert len(same) == 9 and not any(same[5:]) and all(same[:4])


def test_memory_does_not_grow(pipe, tmp_path):
    """What is held between segments is the same after two and after thirty."""
    sizes = []
    for segment in roll(toy_roller(Rolling()), 90):
        assert isinstance(segment, Segment)
        sizes.append(sum(t.numel() for t in (segment.final, segment.context, segment.tail)))
    assert len(set(sizes[1:])) == 1


SCRIPT = """
import json, sys
from long_support import Stop, same_video, stop_after, toy_roller
from pipeline_support import tiny_pipeline
tell = lambda p: print(p.segment, flush=True)
tiny_pipeline().long_video("a cat", sys.argv[1], progress=tell, **json.loads(sys.argv[2]))
"""
LONG = {"seconds": 20, "width": 64, "height": 64, "steps": 4, "cfg": 3.0}


@pytest.mark.slow
def test_kill_9_loses_no_finished_segment(pipe, tmp_path):
    tests = Path(__file__).resolve().parents[1]
    path = tmp_path / "a.mp4"
    command = [sys.executable, "-c", SCRIPT, str(path), json.dumps(LONG)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tests.parent, tests / "support")))}
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    for line in killed.stdout:
        if int(line) >= 3:
            break
    time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not path.exists()
    starts, whole = [], tmp_path / "b.mp4"
    for file in (path, whole):
        seen: list = []
        pipe.long_video("a cat", file, progress=seen.append, **LONG)
        starts.append(seen[0].segment)
    assert starts[0] >= 3 and starts[1] == 0
    assert same_video(path, whole)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".mp4"] == []


def test_bad_input_is_named(pipe, tmp_path):
    for change, words in (({"seconds": 4000}, "4000.*3600"), ({"width": 30}, "30.*16"), ({"fps": 500}, "500")):
        with pytest.raises(SoraError, match=words):
            pipe.long_video("a cat", tmp_path / "a.mp4", **(HOW | {"seconds": 4} | change))
    with pytest.raises(SoraError, match="at least 1 latent"):
        Rolling(context=0)
    with pytest.raises(SoraError, match="no room"):
        Rolling(window=3, context=2, overlap=1)
    assert clock(125) == "2:05"
