"""Masks of any size on the grid of a latent, and of its tokens."""

from __future__ import annotations

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.masks import spread_tokens, to_latent_grid, token_mask

PATCH = (1, 2, 2)


def test_tokens_and_back():
    tokens = torch.rand(2, 3 * 2 * 4, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = spread_tokens(tokens, (2, 1, 3, 4, 8), PATCH)
    assert mask.shape == (2, 1, 3, 4, 8)
    assert torch.equal(token_mask(mask, PATCH), tokens)
    assert bool(mask[0, 0, 1, 2, 5]) == bool(tokens[0, 1 * 8 + 1 * 4 + 2])


def test_masks_of_other_sizes():
    shape = (2, 4, 3, 4, 4)
    pixels = torch.zeros(9, 32, 32)
    pixels[5, 8, 31] = 1.0  # one pixel of video frame 5, which latent 2 covers
    grid = to_latent_grid(pixels, shape)
    assert grid.shape == (2, 1, 3, 4, 4) and grid.sum() == 2 and bool(grid[0, 0, 2, 1, 3])
    still = to_latent_grid(torch.eye(4), shape)
    assert torch.equal(still[1, 0, 2], torch.eye(4).bool())
    core = to_latent_grid(torch.ones(1, 1, 32, 32), shape)  # what SetLatentNoiseMask stores
    assert core.all()
    channels = torch.zeros(2, 4, 3, 4, 4)
    channels[:, 2] = 1
    assert to_latent_grid(channels, shape).all()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(2, 1, 4, 4, 4), "covers 4 frames, the latent 3 .9 video frames"),
        (torch.ones(7, 32, 32), "covers 7 frames, the latent 3"),
        (torch.ones(3, 1, 3, 4, 4), "batch of 3, the latent is a batch of 2"),
        (torch.ones(5), "shape .5,."),
    ],
)
def test_masks_that_do_not_fit_name_both_sides(mask, words):
    with pytest.raises(SoraError, match=words):
        to_latent_grid(mask, (2, 4, 3, 4, 4))
