"""Tiny settings of the trainers, clips for them to learn from, and the check that a run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nodes_support import save_tiny
from safetensors.torch import load_file

from sora_core.media.write import write_video
from sora_core.model.dit import DiTConfig
from sora_core.model.text.concepts import TextConfig
from sora_core.model.vae.mini import VAEConfig
from sora_core.training.data.latents import encode_shards
from sora_core.training.data.shards import render_shards
from sora_core.training.recipes.dit import DiTTraining
from sora_core.training.recipes.vae import VAETrainer, VAETraining

TINY_VAE = VAEConfig(width=(16, 24), encoder_blocks=(1, 1), decoder_blocks=(1, 1))
TINY_DIT = DiTConfig(64, 128, 2, 2, text_dim=32, text_len=64)
TINY_TEXT = TextConfig(dim=32, num_heads=2, num_layers=1)
CAPTION = "a gryphon walks left on a beach"


def make_world(root: Path) -> Path:
    """Rendered clips, a VAE trained for a few steps, and latents, all made by the real stages."""
    render_shards(root / "data", "starter", None, {(9, 64, 64): 10, (1, 64, 96): 6}, seed=3)
    VAETrainer(vae_config(root, "vae", steps=3)).train()
    encode_shards(root / "data", root / "latents", root / "vae" / "model.safetensors", batch=4)
    return root


def make_latents(root: Path) -> Path:
    """A tiny model, `tiny.safetensors`, and the latents of two clips."""
    from sora_core.training.recipes.finetune import prepare  # needs OpenCV, which not every test of a trainer does

    save_tiny(root / "tiny.safetensors")
    (root / "films").mkdir()
    for i in range(2):
        write_clip(root / "films" / f"clip{i}.mp4", 5, 64, 64, caption="a cat walks left on a beach", seed=i)
    prepare(root / "films", root, root / "tiny.safetensors", device="cpu")
    return root


def write_clip(path: Path, frames: int, width: int, height: int, fps: float = 8, caption: str = CAPTION, seed: int = 0):
    """A video file of a moving pattern, with its caption in a text file beside it."""
    rng = np.random.default_rng(seed)
    still = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((height // 4, width // 4, 1))).astype(np.uint8)
    write_video(path, np.stack([np.roll(still, 3 * i, 1) for i in range(frames)]), fps, crf=12)
    if caption:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def tiny_run(root: Path, name: str) -> dict:
    """Settings of every tiny run, in a folder of its own."""
    often = {"log_every": 1, "save_every": 1, "sheet_every": 100}
    return {"out": str(root / name), "device": "cpu", "warmup": 1, "decay": 2, "lr": 2e-3, **often}


def vae_config(root: Path, name: str, **changes) -> VAETraining:
    crops = {"data": str(root / "data"), "batch": 2, "crop": 48, "frames": 9, "holdout": 2}
    return VAETraining(**{**tiny_run(root, name), **crops, "model": TINY_VAE, **changes})


def dit_config(root: Path, name: str, **changes) -> DiTTraining:
    model = {"model": TINY_DIT, "text": TINY_TEXT, "classes": 24, "label_block": 1}
    data = {"data": str(root / "latents"), "vae": str(root / "vae" / "model.safetensors"), "tokens": 192}
    return DiTTraining(**{**tiny_run(root, name), **model, **data, **changes})


def adapter_settings(root: Path, name: str, **changes) -> dict:
    """Settings that all runs on `make_latents` share, whose results are LoRAs of its model."""
    paths = {"init": str(root / "tiny.safetensors"), "data": str(root / "latents")}
    how = {"bf16": False, "tokens": 64, "steps": 2, "save_every": 100, "rank": 4, "label_block": 1}
    return {**tiny_run(root, name), **paths, **how, **changes}


def as_words(settings: dict) -> list[str]:
    """Settings as they are written on the command line."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def resumes_exactly(world: Path, kind: str, trainer, config) -> None:
    """A run that is cut short in its third step ends as one that was not."""
    trainer(config(world, f"{kind}-whole", steps=4)).train()
    half = trainer(config(world, f"{kind}-cut", steps=4, save_every=2))
    half.log = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt) if half.step == 3 else None
    with pytest.raises(KeyboardInterrupt):
        half.train()  # dies in step 3, after the save at step 2
    again = trainer(config(world, f"{kind}-cut", steps=4))
    assert again.step == 2
    again.train()
    whole, cut = (load_file(world / f"{kind}-{name}" / "state.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[k], cut[k]) for k in whole)
