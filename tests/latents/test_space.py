"""The latent space: counts of frames and cells, and what is refused of a LATENT."""

from __future__ import annotations

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.space import SORA, SORA_MINI, SPACE, LatentSpace

STILLS = LatentSpace("stills", 4, temporal_ratio=1, causal=False)
WIDE = LatentSpace("wide", 48, spatial_ratio=16, vae="other")


def test_frames_and_latents():
    assert [SORA_MINI.latent_frames(n) for n in (1, 2, 5, 6, 17)] == [1, 2, 2, 3, 5]
    assert [SORA_MINI.video_frames(n) for n in (1, 2, 5)] == [1, 5, 17]
    assert [SORA_MINI.latent_of(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert STILLS.latent_frames(7) == STILLS.video_frames(7) == 7 and STILLS.latent_of(6) == 6


def test_cells():
    assert (SORA_MINI.multiple, WIDE.multiple) == (16, 32)
    assert SORA_MINI.cells(64, 96) == (8, 12)
    assert WIDE.empty(3, 64, 96, batch=2).shape == (2, 48, 3, 4, 6)


def test_a_still_is_a_video_of_one_frame():
    assert SORA_MINI.samples_of({"samples": torch.ones(2, 16, 4, 4)}, "this model").shape == (2, 16, 1, 4, 4)


def test_an_empty_latent_becomes_one_of_this_family():
    core = {"samples": torch.zeros(1, 4, 8, 12), "downscale_ratio_spacial": 8, "note": 1}
    fitted = WIDE.fit_empty(core, "this model")
    assert fitted["samples"].shape == (1, 48, 1, 4, 6) and set(fitted) == {"samples", "note"}
    own = {"samples": torch.ones(1, 48, 1, 4, 6)}
    assert WIDE.fit_empty(own, "this model")["samples"] is own["samples"]
    with pytest.raises(SoraError, match="4 channels"):
        WIDE.fit_empty({"samples": torch.ones(1, 4, 1, 4, 4)}, "this model")


@pytest.mark.parametrize(
    ("latent", "words"),
    [
        ({"samples": torch.ones(16, 4, 4)}, r"shape \[16, 4, 4\]; this VAE \(sora-mini\) works on \[B,16,T,H,W\]"),
        ({"samples": torch.ones(1, 4, 1, 4, 4)}, r"4 channels, this VAE \(sora-mini\) works on 16: use the VAE"),
        ({"samples": torch.zeros(1, 4, 1, 4, 4)}, "4 channels"),
        ({"samples": torch.ones(1, 16, 1, 4, 4), SPACE: "other"}, "one of other, .* works on those of sora"),
    ],
)
def test_a_latent_of_another_family_names_both_sides(latent, words):
    with pytest.raises(SoraError, match=words):
        SORA_MINI.samples_of(latent, "this VAE")


def test_a_latent_carries_whose_it_is():
    assert SORA_MINI.mark({"note": 1}) == {"note": 1, SPACE: SORA}
    assert STILLS.mark({"note": 1}) == {"note": 1}


H3 = LatentSpace("H3", 24, 4, 16, pattern=(1, 4, 4, 4, 4), tail=2)


def test_latents_of_a_pattern():
    frames = [frame for latent in range(12) for frame in [latent] * (1 if latent % 5 == 0 else 4)]
    assert len(frames) == 39 and [H3.latent_of(at) for at in range(39)] == frames
    assert [H3.video_frames(n) for n in (0, 1, 2, 5, 6, 7, 12)] == [0, 1, 5, 17, 18, 22, 39]
    # A whole video is patterns and two latents more; a still is one.
    assert [H3.latent_frames(n) for n in (1, 2, 5, 6, 22, 23)] == [1, 2, 2, 7, 7, 12]
    assert [H3.clip_within(n) for n in (4, 5, 21, 22, 40)] == [0, 5, 5, 22, 39]
    assert H3.frame_counts(7) == [1, 4, 4, 4, 4, 1, 4] and H3.frames_of(6) == range(18, 22)
    assert (H3.lengths, H3.step) == ((5, 17), (5, 17)) and (SORA_MINI.lengths, SORA_MINI.step) == ((1, 4), (1, 4))
    assert SORA_MINI.frame_counts(3) == [1, 4, 4] and STILLS.frame_counts(2) == [1, 1]


def test_a_mask_of_frames_follows_the_pattern():
    mask = torch.zeros(22, 2, 2)
    mask[[0, 19]] = 1
    assert H3.mask_of(mask, (1, 24, 7, 2, 2))[0, 0, :, 0, 0].tolist() == [True, *[False] * 5, True]
    with pytest.raises(SoraError, match=r"covers 21 frames, the latent 7 \(22 video frames\)"):
        H3.mask_of(mask[1:], (1, 24, 7, 2, 2))
