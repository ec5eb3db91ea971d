"""The network that corrects latents is trained beside a VAE that stays, and goes on where it was."""

from dataclasses import fields, replace

import pytest
import torch
from training_support import resumes_exactly, vae_config

from sora_core.errors import SoraError
from sora_core.loading.checkpoint import load_parts
from sora_core.training.data.crops import CropConfig
from sora_core.training.recipes.corrector import CorrectorTrainer, CorrectorTraining
from sora_core.training.recipes.vae import VAETrainer


def corrector_config(root, name, **changes):
    crops = {field.name: getattr(vae_config(root, name), field.name) for field in fields(CropConfig)}
    return replace(
        CorrectorTraining(
            **{**crops, "init": str(root / "vae" / "model.safetensors")}, corrections=2, width=(8, 16), blocks=(1, 1)
        ),
        **changes,
    )


def test_resume_is_exact(world):
    resumes_exactly(world, "corrector", CorrectorTrainer, corrector_config)


def test_a_corrector_learns_and_leaves_the_rest_as_it_is(world):
    for wrong, message in (
        ({"init": ""}, "needs init"),
        ({"corrections": 0}, "use 1 to 8"),
        ({"corrections": 9}, "use 1 to 8"),
    ):
        with pytest.raises(SoraError, match=message):
            CorrectorTrainer(corrector_config(world, "corrector-wrong", **wrong))
    trainer = CorrectorTrainer(corrector_config(world, "corrector-learns", steps=24, lr=5e-3, ema=0.5, decay=12))
    start = trainer.evaluate(trainer.averaged())[0]["held_psnr"]
    trainer.train()
    assert trainer.evaluate(trainer.averaged())[0]["held_psnr"] > start + 0.2
    before = load_parts(world / "vae" / "model.safetensors")[0]["vae"].state_dict()
    corrected = load_parts(world / "corrector-learns" / "model.safetensors")[0]["vae"]
    after = corrected.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before) and after.keys() > before.keys()
    assert corrected.config.corrections == 2

    # It goes on at the same sizes; a VAE that is trained on loses what was learned for the decoder that it had.
    init = str(world / "corrector-learns" / "model.safetensors")
    again = CorrectorTrainer(corrector_config(world, "corrector-again", init=init, corrections=3))
    assert all(torch.equal(after[k], v) for k, v in again.averaged().state_dict().items())
    other = CorrectorTrainer(corrector_config(world, "corrector-other", init=init, width=(8, 24)))
    assert not other.model.vae.corrector.head.weight.any()
    assert not VAETrainer(vae_config(world, "vae-on", init=init)).model.vae.config.corrections
