"""LATENTs with sound beside the picture."""

from __future__ import annotations

import pytest
import torch
from nested import Nested

from sora_core.latents.leftover import leave_noise, take_noise
from sora_core.latents.space import ALONG
from sora_core.latents.streams import is_nested, picture_of, with_picture
from sora_core.pipeline.conditioning import trim

PICTURE, SOUND = torch.rand(1, 4, 3, 2, 2), torch.rand(1, 8, 5, 3)


def test_a_picture_is_taken_out_and_put_back():
    both = {"samples": Nested([PICTURE, SOUND]), "note": 1}
    alone = picture_of(both)
    assert alone["samples"] is PICTURE and alone["note"] == 1 and is_nested(both["samples"])
    again = with_picture(both, {**alone, "samples": PICTURE + 1, "more": 2})
    assert torch.equal(again["samples"].unbind()[0], PICTURE + 1) and again["samples"].unbind()[1] is SOUND
    assert again["more"] == 2 and "noise_mask" not in again
    plain = {"samples": PICTURE, "noise_mask": PICTURE[:, :1]}
    assert picture_of(plain) == plain and with_picture(plain, plain) == plain


@pytest.mark.parametrize("own", [True, False])
def test_masks_go_along(own):
    mask, heard = torch.zeros(1, 1, 3, 2, 2), torch.zeros(1, 1, 5, 3)
    both = {"samples": Nested([PICTURE, SOUND]), "noise_mask": Nested([mask, heard]) if own else mask}
    alone = picture_of(both)
    assert alone["noise_mask"] is mask
    shown, sound = with_picture(both, alone)["noise_mask"].unbind()
    # Sound without a mask of its own is made as a whole.
    assert shown is mask and (sound is heard if own else torch.equal(sound, torch.ones_like(SOUND)))
    del alone["noise_mask"]
    again = with_picture(both, alone)
    assert ("noise_mask" in again) == own and (not own or bool(again["noise_mask"].unbind()[0].all()))


def test_what_was_sampled_along_is_cut_off_the_picture():
    mask = torch.tensor([1.0, 0, 0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 2, 2)
    made = trim({"samples": Nested([PICTURE, SOUND]), "noise_mask": mask, ALONG: (0, 2)})
    shown, sound = made["samples"].unbind()
    assert torch.equal(shown, PICTURE[:, :, :1]) and sound is SOUND and ALONG not in made
    assert made["noise_mask"].unbind()[0].shape == (1, 1, 1, 2, 2)


def test_noise_of_what_is_kept_is_left_in_the_picture():
    mask = torch.tensor([0.0, 1, 1]).view(1, 1, 3, 1, 1)
    noise, none = Nested([PICTURE, SOUND]), Nested([torch.zeros_like(PICTURE), torch.zeros_like(SOUND)])
    left = leave_noise({"samples": noise}, mask, noise)
    shown, sound = take_noise(left, none).unbind()
    assert torch.equal(shown[:, :, 0], PICTURE[:, :, 0]) and not shown[:, :, 1:].any() and sound is none.unbind()[1]
    # Noise that is drawn counts, in any stream.
    drawn = Nested([torch.zeros_like(PICTURE), SOUND])
    assert take_noise(left, drawn) is drawn
