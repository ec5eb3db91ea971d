"""Sound beside the picture, on a stand-in of what is asked of ComfyUI's models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from nested import Nested

from sora_core.errors import SoraError
from sora_core.host.comfy.sound import with_sound
from sora_core.latents.space import LatentSpace


class Format:
    """A latent format; MiniMax H3's puts empty sound beside the picture."""

    def __init__(self, sounding):
        self.sounding = sounding

    def fix_empty_latent(self, latent):
        return Nested([latent, torch.zeros(len(latent), 32, 2, 8)]) if self.sounding else latent


def patcher(name, **network):
    layout = Format(name == "MiniMaxH3")
    model = type(name, (), {"diffusion_model": SimpleNamespace(**network)})()
    return SimpleNamespace(model=model, get_model_object=lambda key: layout)


H3 = patcher("MiniMaxH3", audio_latents_dim=32), LatentSpace("MiniMax H3", 24, 4, 16)
LTX2 = patcher("LTXAV", num_audio_channels=8, audio_frequency_bins=16), LatentSpace("LTX-2", 128, 8, 32)
WAN = patcher("WAN21"), LatentSpace("Wan 2.1", 16)
LTX_SOUND, H3_SOUND = torch.zeros(1, 8, 26, 16), torch.zeros(1, 32, 2, 8)


def test_a_model_that_never_goes_without_sound_gets_some():
    made = with_sound(*H3, {"samples": torch.ones(1, 24, 2, 4, 4), "note": 1})
    picture, sound = made["samples"].unbind()
    assert picture.shape == (1, 24, 2, 4, 4) and bool(picture.all()) and sound.shape == (1, 32, 2, 8)
    assert made["note"] == 1 and with_sound(*H3, made) is made
    # An empty picture of another size of channels becomes one of its own.
    core = with_sound(*H3, {"samples": torch.zeros(1, 4, 8, 8), "downscale_ratio_spacial": 8})
    assert core["samples"].unbind()[0].shape == (1, 24, 1, 4, 4)


@pytest.mark.parametrize(("model", "channels"), [(LTX2, 128), (WAN, 16)])
def test_others_are_left_as_they_are(model, channels):
    latent = {"samples": torch.ones(1, channels, 2, 4, 4)}
    assert with_sound(*model, latent) is latent


def test_sound_that_goes_with_the_model_is_taken():
    latent = {"samples": Nested([torch.zeros(1, 128, 4, 2, 2), LTX_SOUND]), "type": "audio"}
    assert with_sound(*LTX2, latent) is latent


@pytest.mark.parametrize(
    ("model", "latent", "words"),
    [
        (WAN, {"samples": LTX_SOUND, "type": "audio"}, r"sound alone, \[1, 8, 26, 16\], and Wan 2.1 works on video"),
        (LTX2, {"samples": LTX_SOUND + 1}, r"sound alone, \[1, 8, 26, 16\], and LTX-2 works on video, \[B,128,T,H,W\]"),
        (H3, {"samples": H3_SOUND}, "sound alone, .* MiniMax H3 works on video"),
        (WAN, {"samples": Nested([torch.zeros(1, 16, 2, 4, 4), LTX_SOUND])}, "and Wan 2.1 makes pictures only"),
        (H3, {"samples": Nested([torch.ones(1, 128, 2, 4, 4), H3_SOUND])}, "has 128 channels, the model .* on 24"),
        (
            H3,
            {"samples": Nested([torch.ones(1, 24, 2, 4, 4), LTX_SOUND])},
            r"\[1, 8, 26, 16\], MiniMax .* \[B,32,2,T\]",
        ),
        (LTX2, {"samples": Nested([torch.zeros(1, 128, 4, 2, 2), LTX_SOUND, LTX_SOUND])}, "LTX-2 works on"),
        (LTX2, {"samples": Nested([torch.zeros(2, 128, 4, 2, 2), LTX_SOUND])}, "LTX-2 works on"),
    ],
)
def test_sound_that_does_not_names_both_sides(model, latent, words):
    with pytest.raises(SoraError, match=words) as refused:
        with_sound(*model, latent)
    assert len(str(refused.value).splitlines()) == 1
