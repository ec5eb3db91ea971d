"""Fine-tuning on a user's own videos: from a folder of captioned clips to a model that can be loaded.

A word that the model has never seen becomes a concept of its own: a row of the embedding that starts as that of UNKNOWN
and is trained with the rest, and a name in the vocabulary that the checkpoint carries.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """Make latent shards of `folder` under `out` with the VAE of `model`, and return their folder.

    folder: captioned videos (see `data.videos`), or shards of frames or latents; latents are used as they are. Done
    once for the same videos. Raises SoraError as `import_videos` does.
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
    """Return every caption of the shards in `data`; clips of the world have facts instead."""
    return [text for b in open_buckets(data) for fact in b.facts for text in fact.get("captions", ())]


def new_words(text: TextEncoder, captions: Iterable[str]) -> tuple[str, ...]:
    """Return the words of the captions that the model does not know, in order, once each.

    Raises SoraError for an overlong caption.
    """
    words: dict[str, None] = {}
    for caption in captions:
        text.tokenizer.ids(caption, text.config.length)
        words |= dict.fromkeys(text.unknown_words(caption))
    return tuple(words)


def finetune(config: DiTTraining, folder: Path, caption: str = "") -> Path:
    """Train the transformer and text encoder of the model `config.init` on the videos of `folder` (see `prepare`).

    Returns the file of the new model, complete with the VAE.
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
    """Write a complete model and return its file: the base's VAE and habits with a trained transformer and encoder."""
    info = {key: value for key, value in base.info.items() if key != "file"}
    info |= {"name": name, "provenance": {**info.get("provenance", {}), "tuned_from": base.info.get("name", "model")}}
    save(path, {"dit": dit, "vae": base.vae, "text": text}, info)
    return path


def merge(model: str | Path, lora: str, out: Path) -> Path:
    """Write `model` with a LoRA (FILE[:STRENGTH]) merged into its weights to `out`, and return it.

    The model keeps its name and habits. Raises SoraError for a LoRA of another model.
    """
    file, strength = parse_lora(lora)
    base = load_model(model)
    tuned = apply_lora(base, read_lora(file), strength)
    return save_tuned(out, base, tuned.dit, tuned.text, base.info.get("name", "model"))
