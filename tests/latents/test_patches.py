"""Latents to patches and back, and the grid that shows them."""

from __future__ import annotations

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.patches import draw_grid, patchify_latents, unpatchify_latents


def test_patches_give_back_what_went_in():
    mask = torch.ones(1, 1, 2, 4, 6)
    mask[:, :, 0, :2] = 0
    latents = [{"samples": torch.randn(2, 16, 3, 4, 4)}, {"samples": torch.randn(1, 16, 2, 4, 6), "noise_mask": mask}]
    patches = patchify_latents(latents)
    assert len(patches) == 2 * 12 + 12 and (~patches.generate).sum() == 3
    for before, after in zip(latents, unpatchify_latents(patches), strict=True):
        assert torch.equal(before["samples"], after["samples"]) and before.keys() == after.keys()
    with pytest.raises(SoraError, match="width is 5"):
        patchify_latents([{"samples": torch.zeros(1, 16, 1, 4, 5)}])


def test_the_grid_marks_what_is_kept():
    mask = torch.ones(1, 1, 2, 4, 4)
    mask[:, :, 1] = 0
    patches = patchify_latents([{"samples": torch.zeros(1, 16, 2, 4, 4), "noise_mask": mask}])
    grid = draw_grid(patches, torch.full((2, 20, 30, 3), 0.5), 4, 8)
    assert grid.shape == (5, 32, 32, 3)
    generated, kept = grid[0, 8, 8], grid[1:, 8, 8]
    assert torch.allclose(generated, torch.full((3,), 0.5)) and bool((kept[:, 2] > kept[:, 0]).all())
    assert bool((grid[:, 16] > 0.8).all())
