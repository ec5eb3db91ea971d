"""Latents that are refined: what they decode to, where they may go, and what they cost nothing of."""

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from sora_core.errors import SoraError
from sora_core.latents.decoding import decode, encode, encode_stream
from sora_core.latents.refining import Refiner, motion, noticed
from sora_core.loading.checkpoint import load_parts
from sora_core.model.vae.mini import VAEConfig, VideoVAE
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


@pytest.mark.slow
def test_a_refined_latent_decodes_to_more_of_the_clip_and_stays_near(vae, clip):
    told = []
    plain, fine = encode(vae, clip), encode(vae, clip, 24, lambda *at: told.append(at))
    assert torch.equal(plain, encode(vae, clip, 0))
    assert psnr(decode(vae, fine)[0], clip) > psnr(decode(vae, plain)[0], clip) + 0.03
    assert 0 < (fine - plain).square().mean().sqrt() < 0.4  # in standard deviations of a latent
    assert told == [(i, 24) for i in range(1, 25)]
    assert torch.equal(fine, encode(vae, clip, 24))
    assert all(p.grad is None for p in vae.parameters())


def alone(vae, clip):
    """The encoder's own latents, of one pass."""
    return torch.cat(list(encode_stream(vae, clip[None].movedim(-1, 1), corrections=0)), 2)


@pytest.mark.slow
def test_corrections_can_be_turned_down(vae, clip):
    small = clip[:5, :32, :32]
    none, one, most = (encode(vae, small, corrections=count) for count in (0, 1, 4))
    assert torch.equal(none, alone(vae, small))
    assert torch.equal(one, encode(vae, small)) and torch.equal(one, encode(vae, small, corrections=None))
    assert torch.equal(most, encode(vae, small, corrections=9))  # more than the VAE has learned are not made
    error = [float((decode(vae, z)[0] - small).square().mean()) for z in (none, one, most)]
    assert error[0] > error[1] > error[2]
    with pytest.raises(SoraError, match="corrections is -1"):
        encode(vae, small, corrections=-1)


@pytest.mark.slow
def test_what_is_encoded_is_corrected_by_what_it_decodes_to(vae):
    gained = []
    for seed in range(4):
        frames = World().sample(100 + seed, 64, 96, frames=17, fixed={"camera": "static"}).frames
        clip = torch.from_numpy(np.array(frames)).float() / 255
        plain, better = alone(vae, clip), encode(vae, clip)
        assert torch.allclose(plain, vae.encode(clip[None].movedim(-1, 1) * 2 - 1).detach(), atol=1e-5)
        gained.append(psnr(decode(vae, better)[0], clip) - psnr(decode(vae, plain)[0], clip))
        still = clip[:1]
        gained.append(psnr(decode(vae, encode(vae, still))[0], still) - psnr(decode(vae, alone(vae, still))[0], still))
    assert min(gained) > 0.1 and sum(gained) / len(gained) > 0.4, gained


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "grey", "stripes"])
def test_a_correction_that_makes_it_worse_is_not_made(vae, kind):
    clip = torch.rand(5, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    stripes = (clip[..., :1, :] > 0.5).float().expand(clip.shape)
    clip = {"noise": clip, "grey": torch.full_like(clip, 0.5), "stripes": stripes}[kind]
    weight = noticed(clip[None].movedim(-1, 1) * 2 - 1)[0].movedim(0, -1)

    def error(latent):
        return (weight * (vae.decode(latent)[0].movedim(0, -1) * 0.5 + 0.5 - clip).square()).mean()

    assert error(encode(vae, clip)) <= error(alone(vae, clip)) + 1e-7


@pytest.mark.slow
def test_large_frames_are_refined_in_tiles_that_nobody_sees(vae, clip, monkeypatch):
    wide = torch.cat((clip[:5], clip[:5].flip(2), clip[:5]), 2)  # 64x192: 8x24 latents
    told = []
    whole, refined = encode(vae, wide), encode(vae, wide, 2)
    monkeypatch.setattr("sora_core.latents.refining._TILE", 7)
    tiled = encode(vae, wide)
    assert not torch.equal(tiled, whole)  # eight latents around a tile are nearly all that there is to know
    assert (tiled - whole).square().mean().sqrt() < 0.02
    fine = encode(vae, wide, 2, lambda *at: told.append(at))
    assert told == [(i, 16) for i in range(1, 17)]
    assert (fine - refined).square().mean().sqrt() < 0.05
    assert abs(psnr(decode(vae, tiled)[0], wide) - psnr(decode(vae, whole)[0], wide)) < 0.05


@pytest.mark.slow
def test_what_comes_later_does_not_change_what_was_found(vae, clip):
    longer = torch.cat((clip, clip[-1:].expand(8, -1, -1, -1)))
    told = []
    whole = encode(vae, longer, 3, lambda *at: told.append(at))
    assert whole.shape[2] == 7 and told[-1] == (6, 6)
    assert torch.equal(whole[:, :, :5], encode(vae, clip, 3))
    assert psnr(decode(vae, whole)[0], longer) > psnr(decode(vae, encode(vae, longer))[0], longer)
    assert torch.equal(encode(vae, longer)[:, :, :5], encode(vae, clip))
    # The corrector remembers, too: frames that follow are not corrected as those of a video of their own.
    assert not torch.equal(encode(vae, longer)[:, :, 5:6], encode(vae, longer[17:22])[:, :, 1:])


def test_it_works_where_no_gradients_are_kept(clip):
    with torch.inference_mode():  # as ComfyUI loads and runs
        torch.manual_seed(0)
        sizes = {"corrections": 2, "corrector_width": (8, 16), "corrector_blocks": (1, 1)}
        config = VAEConfig(width=(16, 24), encoder_blocks=(1, 1), decoder_blocks=(1, 1), **sizes)
        small = VideoVAE(config).bfloat16()
        still = clip[:1, :32, :48]
        before = torch.random.get_rng_state()
        plain, corrected, fine = alone(small, still), encode(small, still), encode(small, still, 5)
        assert torch.equal(torch.random.get_rng_state(), before)  # a sampler's noise may come from there
    assert not torch.equal(corrected, plain)  # by the gradient alone, so far
    assert not torch.equal(plain, fine)
    assert psnr(decode(small, fine)[0], still) > psnr(decode(small, plain)[0], still)


def test_it_decodes_with_the_statistics_that_the_vae_has():
    """Those of a VAE in 16 bits are rounded: it is what will decode."""
    sizes = {"width": (16, 24), "encoder_blocks": (1, 1), "decoder_blocks": (1, 1)}
    vae = VideoVAE(VAEConfig(**sizes, latent_mean=(0.123456789,) * 16, latent_std=(1.3456789,) * 16))
    exact = Refiner(vae, 1).vae
    assert torch.equal(exact.mean, vae.mean) and torch.equal(exact.std, vae.std)
    rounded = Refiner(vae.bfloat16(), 1).vae
    assert rounded.mean.dtype == torch.float32 and not torch.equal(rounded.mean, exact.mean)
    assert torch.equal(rounded.mean, vae.mean.float()) and torch.equal(rounded.std, vae.std.float())
    assert all(p.dtype == torch.float32 for p in rounded.parameters())


@pytest.mark.parametrize("steps", [-1, 201])
def test_numbers_of_steps_out_of_range_are_refused(vae, clip, steps):
    with pytest.raises(SoraError, match="use 0 to 200 steps"):
        encode(vae, clip, steps)


def test_too_little_memory_is_told(vae, clip, monkeypatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr("sora_core.latents.refining.motion", full)
    with pytest.raises(SoraError, match="set refine to 0"):
        encode(vae, clip[:1], 2)


def test_what_moves_weighs_more():
    video = torch.zeros(1, 3, 5, 32, 32)
    assert not motion(video).any()
    video[:, :, 2:, 4:12, 4:12] = 1
    weight = motion(video)
    assert weight.mean() == pytest.approx(1, abs=0.05)
    assert weight[0, 0, 0, 8, 8] > 5 and weight[0, 0, 0, 24, 24] == 0
    assert motion(video[..., :4, :4]).shape == (1, 1, 5, 4, 4)
