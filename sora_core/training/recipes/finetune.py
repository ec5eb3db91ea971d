"""Fine-tuning on a user's own videos: from a folder of captioned clips to a model that can be loaded.

A word that the model has never seen becomes a concept of its own: a row of the embedding that starts as that of UNKNOWN
and is trained with the rest, and a name in the vocabulary that the checkpoint carries.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ...errors import SoraError
from ...loading.checkpoint import ModelBundle, load_model, resolve, save
from ...loading.lora import add_words, apply_lora, parse_lora, read_lora
from ...model.dit import DiT
from ...model.text.concepts import TextEncoder
from ..data.latents import encode_shards
from ..data.shards import open_buckets
from ..data.videos import import_videos
from .dit import DiTTrainer, DiTTraining


def prepare(folder: Path, out: Path, model: str | Path = "sora-mini", caption: str = "", device: str = "auto") -> Path:
    """Latent shards of `folder`, made under `out` with the VAE of `model`; done once for the same videos.

    folder: captioned videos (see `training.videos`), or shards of frames or latents.
    """
    folder, out = Path(folder), Path(out)
    try:
        buckets = open_buckets(folder)
    except SoraError:
        info = load_model(model).info
        frames = info.get("frames", 17)
        count = import_videos(folder, out / "clips", fps=info.get("fps", 8), frames=frames, caption=caption)
        print(f"{count} clips from {folder}", flush=True)
        folder = out / "clips"
    else:
        if any(bucket.latents is not None for bucket in buckets):
            return folder
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    encode_shards(folder, out / "latents", resolve(model), device)
    return out / "latents"


def captions_of(data: Path) -> list[str]:
    """Every caption of the shards in `data`."""
    return [text for b in open_buckets(data) for fact in b.facts for text in fact.get("captions", ())]


def new_words(text: TextEncoder, captions: list[str]) -> tuple[str, ...]:
    """Words of the captions that the model does not know, in order. Raises SoraError for an overlong caption."""
    for caption in captions:
        text.tokenizer.ids(caption, text.config.length)
    return tuple(dict.fromkeys(word for caption in captions for word in text.unknown_words(caption)))


def finetune(config: DiTTraining, folder: Path, caption: str = "") -> Path:
    """Train the transformer and text encoder of the model `config.init` on the videos of `folder` (see `prepare`);
    returns the file of the new model, complete with the VAE.
    """
    out = Path(config.out)
    data = prepare(folder, out, config.init, caption, config.device)
    base = load_model(config.init)
    words = new_words(base.text, captions_of(data))
    if words:
        print(f"New words: {', '.join(words)}", flush=True)
    start = out / "start.safetensors"
    if not start.exists():  # a resumed run starts from the same
        save(start, {"dit": base.dit, "text": add_words(base.text, words)}, dtype=torch.float32)
    trainer = DiTTrainer(replace(config, data=str(data), init=str(start)))
    trainer.train()
    return save_tuned(out / "tuned.safetensors", base, *trainer.averaged(), out.name)


def save_tuned(path: Path, base: ModelBundle, dit: DiT, text: TextEncoder, name: str) -> Path:
    """A complete model: the base's VAE and habits with a trained transformer and text encoder."""
    info = {key: value for key, value in base.info.items() if key != "file"}
    info |= {"name": name, "provenance": {**info.get("provenance", {}), "tuned_from": base.info.get("name", "model")}}
    save(path, {"dit": dit, "vae": base.vae, "text": text}, info)
    return path


def merge(model: str | Path, lora: str, out: Path) -> Path:
    """Write `model` with a LoRA (FILE[:STRENGTH]) merged into its weights to `out`, and return it. The model keeps its
    name and habits.
    """
    file, strength = parse_lora(lora)
    base = load_model(model)
    tuned = apply_lora(base, read_lora(file), strength)
    return save_tuned(out, base, tuned.dit, tuned.text, base.info.get("name", "model"))
