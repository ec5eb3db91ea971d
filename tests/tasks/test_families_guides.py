"""What LTX and MiniMax H3 are told of an edit, on small tensors that are checked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.space import LatentSpace
from sora_core.tasks.families import Encoder, Known, ModelKind, family_of, tell
from sora_core.tasks.families.ltx import guided, place_of

LTX = ModelKind("LTXV", LatentSpace("LTX", 2, 8, 32, (1, 1, 1)))
H3 = ModelKind("MiniMaxH3", LatentSpace("H3", 2, 4, 16, pattern=(1, 4, 4, 4, 4), tail=2))


def encoded(frames):
    """Latents as the brightness of the first frame that each shows."""
    space = H3.space if frames.shape[1] == 32 else LTX.space
    count = space.latent_frames(len(frames))
    first = [space.frames_of(at).start for at in range(count)]
    cells = space.cells(*frames.shape[1:3])
    return frames[first].mean((1, 2, 3)).view(1, 1, count, 1, 1).expand(1, 2, count, *cells).clone()


def known(kind, length, shown, *, fps=None, batch=1):
    """Frame i has the brightness i / 100; `shown` are known."""
    height, width = (64, 96) if kind is LTX else (32, 48)
    frames = (torch.arange(length) / 100).view(1, -1, 1, 1, 1).expand(batch, length, height, width, 3)
    keep = torch.zeros(batch, length, 1, 1, dtype=torch.bool)
    for item, chosen in enumerate(shown if batch > 1 else [shown]):
        keep[item, list(chosen)] = True
    latents, cells = kind.space.latent_frames(length), kind.space.cells(height, width)
    mask = torch.stack([torch.stack([~part.any() for part in k.split(kind.space.frame_counts(latents))]) for k in keep])
    mask = mask[:, None, :, None, None].expand(-1, 1, -1, *cells)
    return Known(kind, torch.full((batch, 2, latents, *cells), 7.0), mask, frames, keep, fps=fps)


def flat(mask):
    return mask[0, 0, :, 0, 0].tolist()


# -- LTX -----------------------------------------------------------------------------------------------------
def test_a_guide_stands_at_its_frame_and_its_pixels():
    assert place_of(5, (1, 2), 32).tolist() == [
        [[5, 6], [5, 6]],  # frames
        [[0, 32], [0, 32]],  # rows
        [[0, 32], [32, 64]],  # columns
    ]


@pytest.mark.parametrize(
    ("shown", "places"),
    [
        ([5], [5]),
        ([0], []),  # the first latent is one frame
        ([*range(9)], []),
        ([0, 24], [24]),
        ([11, 12, 13], [11, 13]),
        ([11, 12], [11, 12]),
        ([2, 3, 4, 7], [2, 4, 7]),
        ([7, 8, 9, 10], [7, 8, 9, 10]),  # frames 1 to 8 are one latent, 9 to 16 the next
    ],
)
def test_guides_are_the_ends_of_runs_in_latents_that_are_not_full(shown, places):
    assert guided(known(LTX, 25, shown)) == [places]


def test_ltx_is_told_by_guides_behind_the_video_that_are_held():
    told = tell(known(LTX, 17, [0, 5, 16], fps=24.0), Encoder(encoded))
    assert told.back == 2 and told.front == 0 and told.samples.shape == (1, 2, 5, 2, 3)
    assert told.samples[0, 0, 3:, 0, 0].tolist() == pytest.approx([0.05, 0.16])
    assert (told.samples[:, :, :3] == 7).all()
    # What the frames stand in moves: only the first latent is full. Guides are held.
    assert flat(told.mask) == [False, True, True, False, False]
    positions = told.options["keyframe_idxs"]
    assert positions.shape == (1, 3, 12, 2) and positions[0, 0, ::6, 0].tolist() == [5, 16]
    entry = {"pre_filter_count": 6, "strength": 1.0, "pixel_mask": None, "latent_shape": [1, 2, 3]}
    assert told.options["guide_attention_entries"] == [entry, entry]
    assert told.defaults == {"frame_rate": 24.0} and not told.notes


def test_ltx_needs_no_encoding_where_all_is_full():
    told = tell(known(LTX, 17, range(9)), Encoder(lambda frames: pytest.fail("encoded")))
    assert not told.options and not told.defaults and told.back == 0 and flat(told.mask) == [False, False, True]


def test_ltx_has_no_guides_for_parts_of_frames_and_for_latents_alone():
    whole = known(LTX, 17, [5])
    painted = replace(whole, shown=torch.rand(1, 17, 64, 96) > 0.5)
    assert guided(painted) == [] and guided(replace(whole, frames=None, shown=None)) == []
    assert tell(painted, Encoder(encoded)).mask is painted.mask


def test_the_clips_of_a_batch_keep_the_same_guides():
    both = known(LTX, 17, [[5], [5]], batch=2)
    assert tell(both, Encoder(encoded)).options["keyframe_idxs"].shape == (2, 3, 6, 2)
    with pytest.raises(SoraError, match="batch keep different frames, and LTX is told of one"):
        tell(known(LTX, 17, [[5], [6]], batch=2), Encoder(encoded))
    # Full latents need no guides, and may differ.
    assert not tell(known(LTX, 17, [range(9), [0]], batch=2), Encoder(encoded)).options


# -- MiniMax H3 ----------------------------------------------------------------------------------------------
def keyframes(told):
    return [
        (k["resolved_frame_index"], k["latent"][0, 0, :, 0, 0].tolist()) for k in told.positive["minimax_keyframes"]
    ]


def test_minimax_is_told_pictures_with_the_positive_prompt_only():
    told = tell(known(H3, 39, [0, 38], fps=24.0), Encoder(encoded))
    assert keyframes(told) == [(0, pytest.approx([0.0])), (38, pytest.approx([0.38]))]
    assert not told.options and told.samples.shape[2] == 12
    # Held as well, where a latent is full: the first of a pattern is a frame of its own.
    assert flat(told.mask) == [False] + [True] * 11
    assert "MiniMaxH3ImageToVideo" in told.notes[0] and "holds the kept latents" in told.notes[-1]
    assert len(told.notes) == 2


def test_minimax_says_what_rate_it_makes():
    assert "24 frames a second, this edit has 8" in tell(known(H3, 5, [0], fps=8.0), Encoder(encoded)).notes[0]


@pytest.mark.parametrize(
    ("shown", "begin", "first_frames"),
    [
        (range(22), 0, [0, 1, 5, 9, 13, 17, 18]),  # a clip of whole length
        (range(25), 3, [3, 4, 8, 12, 16, 20, 21]),  # its end, which frames follow
        (range(17, 39), 17, [17, 18, 22, 26, 30, 34, 35]),
        (range(14, 39), 14, [14, 15, 19, 23, 27, 31, 32]),  # its start, at the end of the video
    ],
)
def test_minimax_is_told_a_clip_next_to_what_is_made(shown, begin, first_frames):
    told = tell(known(H3, 39, shown), Encoder(encoded))
    ((at, latents),) = keyframes(told)
    assert at == begin and latents == pytest.approx([frame / 100 for frame in first_frames])
    assert not any("ImageToVideo" in note for note in told.notes)


def test_minimax_is_told_the_ends_of_a_run_that_is_no_clip():
    assert [at for at, _ in keyframes(tell(known(H3, 22, range(6, 10)), Encoder(encoded)))] == [6, 9]


def test_minimax_is_handed_kept_latents_as_they_are():
    plain = replace(known(H3, 39, range(22)), frames=None, shown=None)
    plain.samples[:] = torch.arange(12.0)[:, None, None]
    told = tell(plain, Encoder(lambda frames: pytest.fail("encoded")))
    assert keyframes(told) == [(0, [0.0, 1, 2, 3, 4, 5, 6])] and told.mask is plain.mask
    inner = replace(plain, mask=torch.ones_like(plain.mask).index_fill(2, torch.tensor([6, 7]), False))
    assert not tell(inner, Encoder(encoded)).positive


def test_minimax_is_handed_the_latents_that_came_with_a_clip():
    given = replace(known(H3, 39, range(22)), given=torch.arange(12)[None] < 7)
    given.samples[:] = torch.arange(12.0)[:, None, None]
    assert keyframes(tell(given, Encoder(lambda frames: pytest.fail("encoded")))) == [(0, [0.0, 1, 2, 3, 4, 5, 6])]
    # Latents are a clip only where its pattern begins with them.
    elsewhere = replace(given, shown=known(H3, 39, range(25)).shown)
    assert keyframes(tell(elsewhere, Encoder(encoded)))[0][1][0] == pytest.approx(0.03)


def test_minimax_refuses_what_it_cannot_be_told():
    with pytest.raises(SoraError, match="H3 cannot keep a part of a frame"):
        tell(replace(known(H3, 5, [0]), shown=torch.rand(1, 5, 32, 48) > 0.5), Encoder(encoded))
    with pytest.raises(SoraError, match="batch keep different frames"):
        tell(known(H3, 5, [[0], [4]], batch=2), Encoder(encoded))
    with pytest.raises(SoraError, match="one video at a time, and the latent is a batch of 2"):
        tell(known(H3, 5, [[0], [0]], batch=2), Encoder(encoded))


def test_who_speaks_what():
    assert family_of(LTX).name == family_of(replace(LTX, name="LTXAV")).name == "LTX"
    assert family_of(H3).name == "MiniMax H3"
