"""Decoding: tiles that meet without a seam, and latents that are refused."""

from __future__ import annotations

import math

import pytest
import torch
from nodes_support import tiny_parts

from sora_core.errors import SoraError
from sora_core.latents.decoding import decode, decode_stream


@pytest.fixture(scope="module")
def vae():
    vae = tiny_parts()["vae"].eval().requires_grad_(False)
    torch.manual_seed(0)
    for p in vae.parameters():
        p.add_(0.05 * torch.randn_like(p))  # branches start at zero, and would not reach beyond a tile
    return vae


def test_tiles_meet_without_a_seam(vae):
    latent = torch.randn(2, 16, 6, 11, 17, generator=torch.Generator().manual_seed(0))
    whole = decode(vae, latent)
    assert whole.shape == (2, 21, 88, 136, 3) and whole.min() >= 0 and whole.max() <= 1
    chunks = list(decode_stream(vae, latent, tile=8))
    assert [chunk.shape[1] for chunk in chunks] == [13, 8]
    torch.testing.assert_close(torch.cat(chunks, 1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("latent", "words"),
    [
        (torch.zeros(1, 16, 4, 4), r"shape \[1, 16, 4, 4\]; this VAE works on \[B,16,T,H,W\]"),
        (torch.zeros(1, 4, 1, 4, 4), "4 channels, this VAE works on 16: use the VAE of the model"),
        (torch.full((1, 16, 1, 4, 4), math.nan), "NaN or infinite values: sample it again, with lower cfg or in fp32"),
    ],
)
def test_a_latent_that_cannot_be_decoded_says_what_to_do(vae, latent, words):
    with pytest.raises(SoraError, match=words):
        decode(vae, latent)
