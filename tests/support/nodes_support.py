"""A tiny model with random weights, and the text-to-video graph on it, for the tests of the nodes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.language.lexicon import load_lexicon
from sora_core.loading import checkpoint
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.text.concepts import TextConfig, TextEncoder, Vocabulary
from sora_core.model.vae.mini import VAEConfig, VideoVAE

TINY = "tiny.safetensors"


def tiny_parts() -> dict[str, torch.nn.Module]:
    """The same weights each time. Zero-initialised layers get values, or every model would be the same."""
    torch.manual_seed(7)
    parts = {
        "dit": DiT(DiTConfig(64, 128, 4, 2, text_dim=32, text_len=32)),
        "vae": VideoVAE(VAEConfig(width=(16, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1))),
        "text": TextEncoder(TextConfig(32, 2, 1, 32), Vocabulary.from_lexicon(load_lexicon())),
    }
    for part in parts.values():
        for parameter in part.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    return parts


def save_tiny(path: Path) -> Path:
    """Write the tiny model, as it was made the first time. What a test draws afterwards is the same each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tiny_file())
    torch.manual_seed(7)
    return path


@cache
def tiny_file() -> bytes:
    rgb = {"factors": [[0.1 * (i == c) for c in range(3)] for i in range(16)], "bias": [0.0, 0.0, 0.0]}
    info = {"name": "tiny", "shift": 3.0, "fps": 8, "width": 32, "height": 32, "frames": 5, "latent_rgb": rgb}
    with TemporaryDirectory() as folder:
        path = Path(folder) / TINY
        checkpoint.save(path, tiny_parts(), info, dtype=torch.float32)
        return path.read_bytes()


def make_host(folder: Path) -> Host:
    """A host whose files are all under `folder`; call with that as the working folder, so that it finds
    TINY.
    """
    save_tiny(folder / "models" / TINY)
    return Host(Folders(folder / "input", folder / "output", folder / "temp"))


def text_to_video(**changes) -> dict:
    """The graph in API format. `changes` are `node__input=value`."""
    graph = {
        "load": ("SoraLoadModel", {"model": TINY, "precision": "auto"}),
        "positive": ("SoraTextEncode", {"clip": ["load", 1], "text": "a cat moving right on a beach"}),
        "negative": ("SoraTextEncode", {"clip": ["load", 1], "text": ""}),
        "empty": (
            "SoraEmptyLatent",
            {"seconds": 0.7, "fps": 8.0, "width": 32, "height": 48, "aspect": "as set", "batch_size": 1},
        ),
        "sample": (
            "SoraSampler",
            {
                "model": ["load", 0],
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent": ["empty", 0],
                "seed": 3,
                "steps": 3,
                "cfg": 3.0,
                "scheduler": "simple",
                "denoise": 1.0,
                "guidance_start": 0.0,
                "guidance_end": 1.0,
                "sampler": "euler",
            },
        ),
        "decode": ("SoraVAEDecode", {"latent": ["sample", 0], "vae": ["load", 2]}),
        "save": ("SoraSaveVideo", {"images": ["decode", 0], "fps": ["empty", 1], "filename_prefix": "video/sora"}),
    }
    made = {name: {"class_type": kind, "inputs": dict(inputs)} for name, (kind, inputs) in graph.items()}
    for key, value in changes.items():
        node, _, name = key.partition("__")
        made[node]["inputs"][name] = value
    return made
