"""Tasks as masks: what is kept stays bit by bit, in latents and pixels, whatever the weights say."""

from __future__ import annotations

import pytest
import torch
from marks import with_slow
from pipeline_support import tiny_pipeline

from sora_core import tasks
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.errors import SoraError
from sora_core.latents.masks import to_latent_grid
from sora_core.tasks.finish.splice import hold_ends, level_joins

HOW = {"steps": 2, "cfg": 1.0}


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def clip(frames: int, seed: int = 0, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(frames, size, size, 3, generator=generator)


REGION = torch.zeros(11, 32, 32)
REGION[3:7, :16, :16] = 1
# Every task once, with inputs whose lengths do not fit the latents.
EDITS = {
    "first": lambda codec: tasks.animate(codec, {0: clip(1)[0]}, 17),
    "last": lambda codec: tasks.animate(codec, {-1: clip(1)[0]}, 17),
    "ends": lambda codec: tasks.animate(codec, {0: clip(1)[0], -1: clip(1, 1)[0]}, 17),
    "middle": lambda codec: tasks.animate(codec, {6: clip(1)[0]}, 17),
    "forwards": lambda codec: tasks.extend(codec, clip(11), 8),
    "backwards": lambda codec: tasks.extend(codec, clip(11), 8, "backwards"),
    "both": lambda codec: tasks.extend(codec, clip(11), 8, "both"),
    "both, short": lambda codec: tasks.extend(codec, clip(2), 5, "both"),
    "one frame": lambda codec: tasks.extend(codec, clip(1), 4),
    "one frame backwards": lambda codec: tasks.extend(codec, clip(1), 4, "backwards"),
    "infill": lambda codec: tasks.infill(codec, clip(17), range(5, 13)),
    "infill, odd": lambda codec: tasks.infill(codec, clip(18), range(6, 11)),
    "infill the start": lambda codec: tasks.infill(codec, clip(14), range(4)),
    "infill the end": lambda codec: tasks.infill(codec, clip(14), range(9, 14)),
    "infill, two gaps": lambda codec: tasks.infill(codec, clip(16), [2, 3, 9, 10]),
    "infill a region": lambda codec: tasks.infill(codec, clip(11), region=REGION),
    "connect": lambda codec: tasks.connect(codec, clip(9), clip(7, 1), 8),
    "connect, short": lambda codec: tasks.connect(codec, clip(2), clip(1, 1), 4),
    "loop": lambda codec: tasks.loop(codec, clip(10), 8),
}


LENGTHS = {
    "first": 17,
    "last": 17,
    "ends": 17,
    "middle": 17,
    "forwards": 19,
    "backwards": 20,
    "both": 28,
    "both, short": 15,
    "one frame": 5,
    "one frame backwards": 6,
    "infill": 17,
    "infill, odd": 18,
    "infill the start": 14,
    "infill the end": 14,
    "infill, two gaps": 16,
    "infill a region": 11,
    "connect": 24,
    "connect, short": 7,
    "loop": 18,
}


# One of each kind is quick to look at; the others differ in lengths and places.
QUICK = {"first", "forwards", "backwards", "infill", "infill a region", "connect", "loop"}


@pytest.mark.parametrize("name", with_slow(LENGTHS, LENGTHS.keys() - QUICK))
def test_kept_latents_and_pixels_are_untouched(pipe, name):
    latent = EDITS[name](pipe.codec)
    splice = latent[tasks.SPLICE]
    assert splice.frames.shape[0] == LENGTHS[name]
    made = pipe.make(latent, "a cat on a beach", **HOW)
    mask = to_latent_grid(latent["noise_mask"], latent["samples"].shape)
    kept = ~mask.expand_as(latent["samples"])
    assert kept.any() and mask.any()
    assert torch.equal(made.latent[kept], latent["samples"][kept])
    assert not torch.allclose(made.latent[~kept], latent["samples"][~kept], atol=0.1)
    assert made.frames.shape == splice.frames.shape
    assert torch.equal(made.frames[splice.keep], splice.frames[splice.keep])
    new = made.frames[~splice.keep]
    assert new.numel() and torch.isfinite(new).all() and new.std() > 0


@pytest.mark.parametrize("name", ["forwards", "backwards", "infill", "connect", "loop"])
def test_every_frame_of_the_finished_video_has_one_source(pipe, name):
    splice = EDITS[name](pipe.codec)[tasks.SPLICE]
    covered = torch.zeros(splice.frames.shape[0], dtype=torch.long)
    for place in splice.places:
        covered += torch.bincount(place[place >= 0], minlength=len(covered))
    assert (covered[~splice.keep] == 1).all() and (covered <= 1).all()


def test_latents_beside_a_gap_are_those_of_the_frames_beside_it(pipe):
    """Places agree with latents: decoding the kept latents alone gives frames near the ones they stand for."""
    frames = torch.linspace(0, 1, 17)[:, None, None, None].expand(-1, 32, 32, 3).contiguous()
    latent = tasks.infill(pipe.codec, frames, range(5, 13))
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 1, 1, 0]
    alone = pipe.codec.encode(frames[:5])
    assert torch.equal(latent["samples"][:, :, :2], alone)
    after = pipe.codec.encode(torch.cat((frames[13:14], frames[13:])))[:, :, 1:]
    assert torch.equal(latent["samples"][:, :, 4:], after)


def test_nothing_of_what_is_hidden_reaches_the_latents(pipe):
    frames, other = clip(17), clip(17)
    other[5:13] = 0.5
    a, b = (tasks.infill(pipe.codec, f, range(5, 13))["samples"] for f in (frames, other))
    assert torch.equal(a, b)
    region = torch.zeros(1, 32, 32)
    region[:, 4:12, 4:12] = 1
    other = frames.clone()
    other[:, 4:12, 4:12] = 0
    a, b = (tasks.infill(pipe.codec, f, region=region)["samples"] for f in (frames, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "sampler", with_slow(SAMPLERS, SAMPLERS.keys() - {"euler", "euler_ancestral", "uni_pc", "dpmpp_2m_sde"})
)
def test_every_sampler_keeps(pipe, sampler):
    latent = tasks.extend(pipe.codec, clip(9), 8)
    made = pipe.make(latent, "a cat", sampler=sampler, steps=3, cfg=1.0)
    kept = latent["noise_mask"][0, 0, :, 0, 0] == 0
    assert torch.equal(made.latent[:, :, kept], latent["samples"][:, :, kept])


def test_a_loop_goes_from_the_end_to_the_start(pipe):
    latent = tasks.loop(pipe.codec, clip(10), 8)
    (place,) = latent[tasks.SPLICE].places
    kept = latent["noise_mask"][0, 0, :, 0, 0]
    assert kept[0] == 0 and kept[-1] == 0 and kept.sum() == 2
    gap = place.tolist().index(10)
    assert place.tolist()[gap - 1 : gap + 9] == [9, 10, 11, 12, 13, 14, 15, 16, 17, 0]


def test_the_residual_of_a_kept_frame_is_carried_over_where_nothing_moves():
    """A decoder that darkens and blurs everything: on a still picture, no seam is left."""
    truth = clip(1)[0].expand(9, -1, -1, -1)
    decoded = truth.mean((1, 2), keepdim=True) * 0.4 + truth * 0.5
    keep = torch.zeros(9, dtype=torch.bool)
    keep[:3] = True
    splice = tasks.Splice(truth * keep[:, None, None, None], keep, (torch.arange(9),), 8.0)
    out = tasks.finish({tasks.SPLICE: splice}, decoded)
    assert torch.equal(out[:3], truth[:3])
    assert (out[3] - truth[2]).abs().max() < 1e-6
    assert (decoded[3] - truth[2]).abs().mean() > 15 * (out[4] - out[3]).abs().mean()


def changes(video, wrap=False):
    video = torch.cat((video, video[:1])) if wrap else video
    return (video[1:] - video[:-1]).abs().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("kept", "wraps"), [([0, 1, 2], False), ([9, 10, 11], False), ([0, 1, 2, 9, 10, 11], False), ([3, 4, 5, 6], True)]
)
def test_a_jump_at_a_join_is_spread(kept, wraps):
    """Frames that brighten evenly and, where they are made, are too bright by ten steps."""
    keep = torch.zeros(12, dtype=torch.bool)
    keep[kept] = True
    even = torch.arange(12.0) if not wraps else torch.tensor([6.0, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5])
    video = ((even + 10 * ~keep) * 0.02).view(-1, 1, 1, 1).expand(-1, 8, 8, 3)
    out = level_joins(video, keep, wraps)
    assert torch.equal(out[keep], video[keep])
    assert changes(video, wraps).max() > 0.17
    joins = (keep != keep.roll(-1)) if wraps else keep[1:] != keep[:-1]
    assert changes(out, wraps)[joins].max() < 1.06 * changes(video).median() and changes(out, wraps).max() < 0.1


def test_a_video_without_a_jump_is_left_alone():
    video = torch.linspace(0, 1, 12).view(-1, 1, 1, 1).expand(-1, 8, 8, 3)
    assert torch.equal(level_joins(video, torch.arange(12) < 4), video)
    assert torch.equal(level_joins(video[:1], torch.tensor([True])), video[:1])


def test_a_dark_clip_does_not_darken_the_bright_one_that_it_is_connected_to():
    """What is made between a night and a day is night to its end, as the model may make it."""
    night, day = clip(4)[:1] * 0.2, clip(4)[-1:] * 0.2 + 0.8
    truth = torch.cat((night.expand(4, -1, -1, -1), day.expand(12, -1, -1, -1)))
    decoded = torch.cat((night.expand(12, -1, -1, -1), day.expand(4, -1, -1, -1)))
    keep = torch.tensor([True] * 4 + [False] * 8 + [True] * 4)
    out = tasks.finish({tasks.SPLICE: tasks.Splice(truth, keep, (torch.arange(16),), 8.0)}, decoded)
    light = out.mean((1, 2, 3))
    assert light[4] < light[0] + 0.03 and light[11] > light[12] - 0.1 and (light[1:] > light[:-1] - 0.01).all()


def test_remix_follows_strength(pipe):
    frames = clip(10)
    as_it_is = pipe.remix(frames, "a cat", strength=0.0, **HOW)
    assert as_it_is.frames.shape == frames.shape
    latent = tasks.remix(pipe.codec, frames)["samples"]
    assert torch.equal(as_it_is.latent, latent)
    changes = [(pipe.remix(frames, "a cat", strength=s, **HOW).latent - latent).abs().mean() for s in (0.2, 0.9)]
    assert 0 < changes[0] < changes[1]


@pytest.mark.slow
def test_one_call_each(pipe, tmp_path):
    frames, size = clip(9), {"size": (32, 32)}
    assert pipe.animate(clip(1)[0], "a cat", **size, **HOW).frames.shape[0] == 17
    assert pipe.extend(frames, "a cat", seconds=1, **HOW).frames.shape[0] == 17
    assert pipe.extend(frames, "a cat", seconds=5, **HOW).frames.shape[0] == 49
    path = pipe.infill(frames, "a cat", hidden=[5, 6], **HOW).save(tmp_path / "a.mp4")
    made = pipe.connect(path, path, "a cat", seconds=0.5, **HOW)
    assert made.frames.shape[0] == 22 and made.fps == 8
    assert pipe.loop(path, "a cat", seconds=0.5, **HOW).frames.shape[0] == 13


def test_a_long_extension_keeps_the_source(pipe):
    frames = clip(11)
    made = pipe.extend(frames, "a cat", seconds=4, **HOW)
    assert made.frames.shape[0] == 43 and torch.equal(made.frames[:11], frames)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: tasks.animate(c, {}, 17), ["no picture"]),
        (lambda c: tasks.animate(c, {0: clip(1)[0]}, 16), ["16 frames", "1 + 4k"]),
        (lambda c: tasks.animate(c, {17: clip(1)[0]}, 17), ["17", "0 to 16"]),
        (lambda c: tasks.animate(c, {5: clip(1)[0], 6: clip(1)[0]}, 17), ["within 4 frames"]),
        (lambda c: tasks.animate(c, {0: clip(1)[0], 8: clip(1, size=48)[0]}, 17), ["different sizes"]),
        (lambda c: tasks.extend(c, clip(5), 0), ["0 new frames"]),
        (lambda c: tasks.extend(c, clip(5), 4, "sideways"), ["sideways", "forwards"]),
        (lambda c: tasks.extend(c, clip(5)[:0], 4), ["no frames"]),
        (lambda c: tasks.extend(c, clip(5) * float("nan"), 4), ["NaN"]),
        (lambda c: tasks.infill(c, clip(9)), ["not both"]),
        (lambda c: tasks.infill(c, clip(9), [9]), ["9", "0 to 8"]),
        (lambda c: tasks.infill(c, clip(9), []), ["at least one"]),
        (lambda c: tasks.infill(c, clip(9), range(9)), ["text to video"]),
        (lambda c: tasks.infill(c, clip(9), region=torch.ones(4, 32, 32)), ["4 frames", "9"]),
        (lambda c: tasks.infill(c, clip(9), region=torch.ones(1, 16, 32)), ["32x16", "32x32"]),
        (lambda c: tasks.infill(c, clip(9), region=torch.zeros(1, 32, 32)), ["empty"]),
        (lambda c: tasks.connect(c, clip(5), clip(5, size=48), 4), ["32x32", "48x48"]),
    ],
)
def test_bad_input_is_named(pipe, call, words):
    with pytest.raises(SoraError) as error:
        call(pipe.codec)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("backwards", [False, True])
def test_colours_that_drift_over_extensions_are_held_to_how_the_shot_began(backwards):
    """Broad noise, a shot after a cut, whose end has drifted already; what is made drifts on, and a lamp goes on."""
    picture = torch.nn.functional.interpolate(clip(1, size=4).movedim(-1, 1), (128, 128), mode="bilinear")
    shot = picture.movedim(1, -1).expand(40, -1, -1, -1) * 0.8 + 0.05
    drift = torch.linspace(0, 0.06, 40)[:, None, None, None]
    shot = shot + drift
    made = shot[-1:] + 0.03 * torch.ones(16, 1, 1, 1)
    made[:, :32, :32] = 0.95
    frames = torch.cat((1 - shot[:20], shot, made))
    keep = torch.arange(len(frames)) < 60
    if backwards:
        frames, keep = frames.flip(0), keep.flip(0)
    held = hold_ends(frames, keep, 0.3)
    out, new = (x.flip(0) if backwards else x for x in (held, frames))
    assert torch.equal(out[:60], new[:60])
    was, now = ((frame - shot[0])[64:, 64:].mean() for frame in (new[-1], out[-1]))
    assert now.abs() < 0.03 < 0.08 < was
    assert (out[60] - new[60])[64:, 64:].abs().mean() < 0.02, "no step at the join"
    assert (out[-1] - new[-1])[:16, :16].abs().max() < 0.01, "what is new stays"
    assert torch.equal(hold_ends(frames, keep, 0.0), frames)


def test_an_extension_holds_colours_unless_told_not_to(pipe):
    frames = clip(1)[0].expand(9, -1, -1, -1) * 0.8
    decoded = frames[:1].expand(17, -1, -1, -1) + torch.linspace(0, 0.1, 17)[:, None, None, None]
    left = []
    for hold in (0.0, 0.3):
        latent = tasks.extend(pipe.codec, frames, 8, hold=hold)
        out = tasks.finish(latent, decoded)
        assert torch.equal(out[:9], frames)
        left.append(float((out[-1] - frames[0]).mean()))
    assert left[1] < 0.7 * left[0]
    with pytest.raises(SoraError, match="hold is 2"):
        tasks.extend(pipe.codec, frames, 8, hold=2)
