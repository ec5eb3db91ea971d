"""Edits where the frames of latents follow a pattern, as MiniMax H3's do: 5 + 17k frames are 2 + 5k latents."""

from __future__ import annotations

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.space import LatentSpace
from sora_core.media.sizes import crop_frames, nearest_length, plan_clip
from sora_core.tasks import edits
from sora_core.tasks.finish.splice import SPLICE
from sora_core.tasks.layout import VAECodec, encode_kept

SPACE = LatentSpace("the VAE of H3", 1, 4, 1, pattern=(1, 4, 4, 4, 4), tail=2)
FRAMES = (torch.arange(1.0, 61) / 100).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)


def encode(frames):
    """Latents as the means of their frames, which have to be a whole clip, as the VAE asks for."""
    count = SPACE.latent_frames(len(frames))
    assert SPACE.video_frames(count) == len(frames), f"{len(frames)} frames are no clip"
    means = torch.stack([part.mean() for part in frames.split(SPACE.frame_counts(count))])
    return means.view(1, 1, -1, 1, 1).expand(1, 1, count, 2, 2).clone()


CODEC = VAECodec(encode, SPACE, window=12)


def rows(latent):
    """Return its latents, None where they are made, in frames' numbers."""
    kept = latent["noise_mask"][0, 0, :, 0, 0] == 0
    values = latent["samples"][0, 0, :, 0, 0] * 100 - 1
    return [round(float(value), 2) if keep else None for value, keep in zip(values, kept, strict=True)]


def test_pictures_hold_the_latent_that_they_stand_in():
    made = edits.animate(CODEC, {0: FRAMES[0], 7: FRAMES[7], -1: FRAMES[21]}, 22)
    assert rows(made) == [0.0, None, 7.0, None, None, None, 21.0]
    assert made[SPLICE].keep.nonzero().flatten().tolist() == [0, 7, 21]
    for frames in (1, 17, 23):
        with pytest.raises(SoraError, match=rf"{frames} frames cannot be made .* Use 5 \+ 17k of them, at least 5"):
            edits.animate(CODEC, {0: FRAMES[0]}, frames)


def test_a_run_that_begins_within_a_pattern_is_encoded_after_a_still():
    keep = torch.tensor([False, False, True, True, False, False, False])
    made = encode_kept(CODEC, FRAMES[:22], keep)[0, 0, :, 0, 0] * 100 - 1
    assert made[2:4].tolist() == pytest.approx([6.5, 10.5])  # frames 5 to 8, and 9 to 12


def test_a_clip_goes_on_by_whole_patterns():
    made = edits.extend(CODEC, FRAMES[:25], 10)
    # The last 22 of its frames, then 17 new ones for the 10 that were asked for.
    assert rows(made) == [3.0, 5.5, 9.5, 13.5, 17.5, 20.0, 22.5, *[None] * 5]
    splice = made[SPLICE]
    assert splice.frames.shape[0] == 42 and splice.places[0].tolist() == list(range(3, 42))
    assert splice.keep.tolist() == [True] * 25 + [False] * 17


def test_a_clip_is_led_to_by_whole_patterns():
    made = edits.extend(CODEC, FRAMES[:25], 10, "backwards")
    assert rows(made) == [*[None] * 5, 0.0, 2.5, 6.5, 10.5, 14.5, 17.0, 19.5]
    splice = made[SPLICE]
    assert splice.frames.shape[0] == 42 and splice.places[0].tolist() == list(range(39))
    assert splice.keep.tolist() == [False] * 17 + [True] * 25


def test_a_whole_video_is_encoded_to_the_next_length():
    assert edits.remix(CODEC, FRAMES[:20])["samples"].shape[2] == 7


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: edits.extend(CODEC, FRAMES[:4], 10), "has 4 frames, the VAE of H3 goes on from 5 at least"),
        (lambda: edits.extend(CODEC, FRAMES[:9], 10, "both"), "direction is both: the VAE of H3"),
        (lambda: edits.infill(CODEC, FRAMES[:9], [3]), r"5 \+ 17k frames, .* an infill is not possible"),
        (lambda: edits.connect(CODEC, FRAMES[:9], FRAMES[:9], 3), "connecting videos is not possible"),
        (lambda: edits.loop(CODEC, FRAMES[:9], 3), "a loop is not possible"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(SoraError, match=words):
        call()


def test_lengths_are_those_of_the_pattern():
    assert [nearest_length(n, 17, 5) for n in (1, 13, 14, 48)] == [5, 5, 22, 56]
    assert [len(crop_frames(FRAMES[:n], 17, 2, 5)) for n in (1, 4, 5, 21, 22)] == [1, 1, 5, 5, 22]
    plan = plan_clip(2, 24, 64, 64, temporal_ratio=17, multiple=32, first=5)
    assert plan.frames == 56 and "48 frames rounded to 56 (5 + 17k)" in plan.notes[0]
