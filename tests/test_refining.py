"""Latents that are refined: what they decode to, where they may go, and what they cost nothing of."""

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from sora_core.checkpoint import load_parts
from sora_core.decoding import decode, encode
from sora_core.errors import SoraError
from sora_core.model.vae import VAEConfig, VideoVAE
from sora_core.refining import motion
from sora_core.training.world import World


@pytest.fixture(scope="module")
def vae():
    return load_parts("sora-mini")[0]["vae"].float().eval()


@pytest.fixture(scope="module")
def clip():
    frames = World().sample(3, 64, 64, frames=17, fixed={"camera": "static"}).frames
    return torch.from_numpy(np.array(frames)).float() / 255


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


def test_a_refined_latent_decodes_to_more_of_the_clip_and_stays_near(vae, clip):
    told = []
    plain, fine = encode(vae, clip), encode(vae, clip, 8, lambda *at: told.append(at))
    assert torch.equal(plain, encode(vae, clip, 0))
    assert torch.allclose(plain, vae.encode(clip[None].movedim(-1, 1) * 2 - 1).detach(), atol=1e-5)
    assert psnr(decode(vae, fine)[0], clip) > psnr(decode(vae, plain)[0], clip) + 0.5
    assert 0 < (fine - plain).square().mean().sqrt() < 0.4  # in standard deviations of a latent
    assert told == [(i, 8) for i in range(1, 9)]
    assert torch.equal(fine, encode(vae, clip, 8))
    assert all(p.grad is None for p in vae.parameters())


def test_what_comes_later_does_not_change_what_was_found(vae, clip):
    longer = torch.cat((clip, clip[-1:].expand(8, -1, -1, -1)))
    told = []
    whole = encode(vae, longer, 3, lambda *at: told.append(at))
    assert whole.shape[2] == 7 and told[-1] == (6, 6)
    assert torch.equal(whole[:, :, :5], encode(vae, clip, 3))
    assert psnr(decode(vae, whole)[0], longer) > psnr(decode(vae, encode(vae, longer))[0], longer)


def test_it_works_where_no_gradients_are_kept(clip):
    with torch.inference_mode():  # as ComfyUI loads and runs
        torch.manual_seed(0)
        small = VideoVAE(VAEConfig(width=(16, 24), encoder_blocks=(1, 1), decoder_blocks=(1, 1))).bfloat16()
        still = clip[:1, :32, :48]
        plain, fine = encode(small, still), encode(small, still, 5)
    assert not torch.equal(plain, fine)
    assert psnr(decode(small, fine)[0], still) > psnr(decode(small, plain)[0], still)


@pytest.mark.parametrize("steps", [-1, 201])
def test_numbers_of_steps_out_of_range_are_refused(vae, clip, steps):
    with pytest.raises(SoraError, match="use 0 to 200 steps"):
        encode(vae, clip, steps)


def test_too_little_memory_is_told(vae, clip, monkeypatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr("sora_core.refining.motion", full)
    with pytest.raises(SoraError, match="set refine to 0"):
        encode(vae, clip, 2)


def test_what_moves_weighs_more():
    video = torch.zeros(1, 3, 5, 32, 32)
    assert not motion(video).any()
    video[:, :, 2:, 4:12, 4:12] = 1
    weight = motion(video)
    assert weight.mean() == pytest.approx(1, abs=0.05)
    assert weight[0, 0, 0, 8, 8] > 5 and weight[0, 0, 0, 24, 24] == 0
    assert motion(video[..., :4, :4]).shape == (1, 1, 5, 4, 4)
