"""The video VAE: shapes, causality, and streaming that equals the whole clip."""

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.model import products
from sora_core.model.vae import causal
from sora_core.model.vae.mini import FeatureCache, VAEConfig, VideoVAE


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    config = VAEConfig(
        latent_channels=4, width=(16, 24), latent_mean=(0.1, -0.2, 0.3, 0.0), latent_std=(1.5, 0.7, 1.0, 2.0)
    )
    vae = VideoVAE(config).eval().requires_grad_(False)
    for p in vae.parameters():
        p.add_(0.05 * torch.randn_like(p))  # the branches start at zero: give every layer a say
    return vae


@pytest.fixture(scope="module")
def video():
    return torch.rand(1, 3, 21, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_shapes(vae, video):
    z = vae.encode(video)
    assert z.shape == (1, 4, 6, 4, 6) == (1, 4, vae.latent_frames(21), 4, 6)
    assert vae.decode(z).shape == video.shape
    assert vae.encode(video[:, :, :1]).shape == (1, 4, 1, 4, 6)
    assert vae.video_frames(6) == 21


def test_the_config_says_how_latents_are_normalised(vae, video):
    """A VAE that is built on the meta device, as a checkpoint's is, waits for its weights and for nothing else."""
    with torch.device("meta"):
        other = VideoVAE(vae.config)
    other.load_state_dict(vae.state_dict(), assign=True)
    assert torch.equal(other.encode(video), vae.encode(video))
    plain = VideoVAE(VAEConfig(latent_channels=4, width=(16, 24)))
    plain.load_state_dict(vae.state_dict())
    mean, std = (torch.tensor(values).view(1, 4, 1, 1, 1) for values in (vae.config.latent_mean, vae.config.latent_std))
    assert torch.equal((plain.encode(video) - mean) / std, vae.encode(video))


def test_encoding_a_stream_equals_encoding_the_clip(vae, video):
    whole = vae.encode(video)
    for size in (1, 3, 4, 7, 21):
        parts = list(vae.stream_encode(video.split(size, 2)))
        assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-4)


def test_decoding_a_stream_equals_decoding_the_clip(vae, video):
    z = vae.encode(video)
    whole = vae.decode(z)
    for size in (1, 2, 5):
        parts = list(vae.stream_decode(z, chunk=size))
        assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-4)
    assert torch.allclose(torch.cat(list(vae.stream_decode(iter(z.split(1, 2)))), 2), whole, atol=1e-4)


def test_a_cache_continues_a_clip(vae, video):
    z = vae.encode(video)
    cache = FeatureCache()
    first = list(vae.stream_decode(z[:, :, :2], cache=cache))
    rest = list(vae.stream_decode(z[:, :, 2:], cache=cache))
    assert torch.allclose(torch.cat(first + rest, 2), vae.decode(z), atol=1e-4)


def test_the_past_does_not_see_the_future(vae, video):
    changed = video.clone()
    changed[:, :, 9:] = 0
    assert torch.equal(vae.encode(video)[:, :, :3], vae.encode(changed)[:, :, :3])
    assert not torch.equal(vae.encode(video)[:, :, 3], vae.encode(changed)[:, :, 3])


@pytest.mark.parametrize(
    "shape, words",
    [((1, 3, 4, 32, 32), "5 frames"), ((1, 3, 5, 30, 32), "multiples of 8"), ((1, 1, 5, 32, 32), r"\[B,3,T,H,W\]")],
)
def test_wrong_videos_are_refused(vae, shape, words):
    with pytest.raises(SoraError, match=words):
        vae.encode(torch.zeros(shape))


def test_a_stream_that_ends_within_a_group_is_refused(vae, video):
    with pytest.raises(SoraError, match="2 frames after"):
        list(vae.stream_encode(video[:, :, :7].split(3, 2)))


@pytest.mark.parametrize("batch", [1, 2])
def test_large_frames_are_convolved_without_copies_and_alike(vae, video, batch, monkeypatch):
    z = vae.encode(video).repeat(batch, 1, 1, 1, 1)
    at_once = vae.decode(z)
    monkeypatch.setattr(causal, "LARGE", 0)
    taken = []
    real = causal.TemporalConv._by_taps
    monkeypatch.setattr(causal.TemporalConv, "_by_taps", lambda self, *given: taken.append(1) or real(self, *given))
    whole = vae.decode(z)
    assert taken and torch.allclose(whole, at_once, atol=1e-5)
    for size in (1, 2, 5):
        parts = list(vae.stream_decode(z, chunk=size))
        assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-4)
    # Where gradients are asked for nothing is computed in place.
    taken.clear()
    z.requires_grad_(True)
    vae.decode(z).sum().backward()
    assert not taken and z.grad.abs().max() > 0


def test_a_norm_with_silu_is_both_of_them(vae):
    norm = vae.decoder.norm
    x = torch.randn(1, 16, 2, 4, 4)
    given = x.clone()
    assert torch.equal(norm.silu(x), torch.nn.functional.silu(norm(x))) and torch.equal(x, given)
    half = norm.silu(x.bfloat16())
    assert half.dtype == torch.bfloat16 and (half.float() - norm.silu(x)).abs().max() < 0.05


@pytest.mark.parametrize("large", [0, causal.LARGE])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("halves", [(), (torch.bfloat16, torch.float16)])
def test_autocast_without_gradients_takes_large_frames_too(vae, video, large, dtype, halves, monkeypatch):
    monkeypatch.setattr(causal, "LARGE", large)
    monkeypatch.setattr(products, "slow_halves", lambda: halves)
    with torch.no_grad(), torch.autocast("cpu", dtype):
        latent = vae.encode(video)
        made = vae.decode(latent)
    assert (latent - vae.encode(video)).norm() < 0.05 * latent.norm()
    assert (made.float() - vae.decode(latent)).norm() < 0.05 * made.float().norm()


@pytest.mark.parametrize("trained", ["bias", "past"])
def test_gradients_of_large_frames_reach_all_that_asks_for_them(trained, monkeypatch):
    found = []
    for large in (0, causal.LARGE):
        monkeypatch.setattr(causal, "LARGE", large)
        torch.manual_seed(3)
        layer, x = causal.TemporalConv(4, 6).requires_grad_(False), torch.randn(1, 4, 3, 5, 5)
        cache, wanted = FeatureCache(), layer.bias if trained == "bias" else torch.randn(1, 4, 2, 5, 5)
        wanted.requires_grad_()
        if trained == "past":
            layer(wanted, cache)
        layer(x, cache).square().sum().backward()
        found.append(wanted.grad)
    assert found[0].abs().max() > 0 and torch.allclose(*found, atol=1e-5)


def test_chunks_of_nothing_are_passed_over(vae, video):
    z = vae.encode(video)
    chunks = [z[:, :, :0], z[:, :, :2], z[:, :, :0], z[:, :, 2:]]
    assert torch.allclose(torch.cat(list(vae.stream_decode(chunks)), 2), vae.decode(z), atol=1e-4)
