"""Writes the subgraph blueprints of `subgraphs/`: one node for a whole job, which ComfyUI offers among its nodes.

    python tests/makers/make_blueprints.py

The name of a file is the name that people see. `tests/benchmarks/comfyui_home.py` opens each in the real frontend.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from frontend_format import Outside, instance, lay_out, make_id, subgraph
from make_workflows import INPUTS, PROMPT, ROOT, SAMPLER, STORY, schemas_of
from model_workflows import HUB, WAN_NEGATIVE, WAN_TEXT, File, wan

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host

BLUEPRINTS = ROOT / "subgraphs"
CATEGORY = "Sora"
REPACKAGED, I2V = "Comfy-Org/Wan_2.1_ComfyUI_repackaged", "wan2.1_i2v_480p_14B_fp16.safetensors"
WAN_I2V = File(
    "unet_name", I2V, "diffusion_models", f"{HUB}{REPACKAGED}/resolve/main/split_files/diffusion_models/{I2V}"
)
SIGHT = "clip_vision_h.safetensors"
WAN_SIGHT = File("clip_name", SIGHT, "clip_vision", f"{HUB}{REPACKAGED}/resolve/main/split_files/clip_vision/{SIGHT}")
WAN_VAE = wan("vae_name", "wan_2.1_vae.safetensors", "vae")
WAN_LABELS = {
    "video": "video",
    "prompt": "prompt",
    "negative": "negative prompt",
    "seconds": "seconds to add",
    "direction": "direction",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "steps": "steps",
    "model": "Wan I2V model",
    "text_encoder": "text encoder",
    "vae": "VAE",
    "clip_vision": "CLIP vision",
}
VIDEO_OUT = {"video": ("video", 0)}


@dataclass(frozen=True)
class Blueprint:
    """One job as one node."""

    about: str
    aliases: tuple[str, ...]
    graph: dict[str, tuple[str, dict]]
    labels: dict[str, str]  # of what goes in, in their order: name -> what people read
    outputs: dict[str, tuple[str, int]]
    files: dict[str, File] = field(default_factory=dict)  # node -> the file that it reads, for ComfyUI to offer


def sampling(model: tuple, latent: tuple, **more) -> dict:
    given = {"model": model, "positive": ("positive", 0), "negative": ("negative", 0), "latent": latent}
    return {"sample": ("SoraSampler", {**given, "seed": Outside("seed", 0), **more})}


def video(vae: tuple, fps: tuple, audio: tuple | None = None) -> dict:
    """Decode to a VIDEO, so that any node that takes one can follow."""
    sound = {} if audio is None else {"audio": audio}
    return {
        "decode": ("SoraVAEDecode", {"latent": ("sample", 0), "vae": vae}),
        "video": ("CreateVideo", {"images": ("decode", 0), "fps": fps, **sound}),
    }


def prompts(clip: tuple, text: str, negative: str = "") -> dict:
    return {
        "positive": ("SoraTextEncode", {"clip": clip, "text": Outside("prompt", text)}),
        "negative": ("SoraTextEncode", {"clip": clip, "text": Outside("negative", negative)}),
    }


def extend_wan() -> Blueprint:
    return Blueprint(
        "A clip goes on, made by a Wan image-to-video model; its own frames come back untouched. Wants a Wan I2V "
        "model, its text encoder, its VAE and its CLIP vision in ComfyUI's models folder.",
        ("continue video", "longer", "wan i2v", "video extension", "outpaint in time"),
        {
            "unet": ("UNETLoader", {"unet_name": Outside("model", WAN_I2V.name)}),
            "clip": ("CLIPLoader", {"type": "wan", "clip_name": Outside("text_encoder", WAN_TEXT.name)}),
            "vae": ("VAELoader", {"vae_name": Outside("vae", WAN_VAE.name)}),
            "shift": ("ModelSamplingSD3", {"model": ("unet", 0), "shift": 8.0}),
            **prompts(("clip", 0), "The scene goes on in one take, steady camera.", WAN_NEGATIVE),
            "edit": (
                "SoraExtend",
                {
                    "video": Outside("video"),
                    "vae": ("vae", 0),
                    "seconds": Outside("seconds", 2.0),
                    "direction": Outside("direction", "forwards"),
                    "fps": 16.0,
                    "width": Outside("width", 832),
                    "height": Outside("height", 480),
                    "window": 21,
                },
            ),
            "sight": ("CLIPVisionLoader", {"clip_name": Outside("clip_vision", WAN_SIGHT.name)}),
            "told": (
                "SoraCondition",
                {
                    "model": ("shift", 0),
                    "positive": ("positive", 0),
                    "negative": ("negative", 0),
                    "latent": ("edit", 0),
                    "vae": ("vae", 0),
                    "clip_vision": ("sight", 0),
                },
            ),
            **sampling(
                ("told", 0),
                ("told", 3),
                positive=("told", 1),
                negative=("told", 2),
                steps=Outside("steps", 20),
                cfg=5.0,
                sampler="uni_pc",
            ),
            **video(("vae", 0), ("edit", 1), ("edit", 2)),
        },
        WAN_LABELS,
        VIDEO_OUT,
        {"unet": WAN_I2V, "clip": WAN_TEXT, "vae": WAN_VAE, "sight": WAN_SIGHT},
    )


def loop() -> Blueprint:
    return Blueprint(
        "Leads a clip from its end back to its start, so that it plays for ever.",
        ("perfect loop", "seamless loop", "cinemagraph", "gif loop"),
        {
            "load": ("SoraLoadModel", {"model": Outside("model", "sora-mini")}),
            **prompts(("load", 1), PROMPT),
            "edit": (
                "SoraLoop",
                {"video": Outside("video"), "vae": ("load", 2), "seconds": Outside("seconds", 1.0), "fps": 8.0},
            ),
            **sampling(("load", 0), ("edit", 0), cfg=2.0, sampler=SAMPLER),
            **video(("load", 2), ("edit", 1), ("edit", 2)),
        },
        {
            "video": "video",
            "prompt": "prompt",
            "negative": "negative prompt",
            "seconds": "seconds back to the start",
            "seed": "seed",
            "model": "model",
        },
        VIDEO_OUT,
    )


def storyboard() -> Blueprint:
    return Blueprint(
        "Two to eight shots in one video, each after its own prompt, with the same subject and hard cuts between them.",
        ("shots", "multi prompt", "scenes", "cut", "prompt travel"),
        {
            "load": ("SoraLoadModel", {"model": Outside("model", "sora-mini")}),
            "negative": ("SoraTextEncode", {"clip": ("load", 1), "text": Outside("negative", "")}),
            "edit": (
                "SoraStoryboard",
                {
                    "clip": ("load", 1),
                    "shots": Outside("shots", STORY),
                    "width": Outside("width", 128),
                    "height": Outside("height", 128),
                    "model": ("load", 0),
                },
            ),
            **sampling(("load", 0), ("edit", 1), positive=("edit", 0), sampler=SAMPLER),
            **video(("load", 2), ("edit", 2)),
        },
        {
            "shots": "shots, one per line",
            "negative": "negative prompt",
            "width": "width",
            "height": "height",
            "seed": "seed",
            "model": "model",
        },
        VIDEO_OUT,
    )


def restyle() -> Blueprint:
    return Blueprint(
        "Makes a clip anew after a prompt, and keeps its motion: strength says how much may change.",
        ("video to video", "v2v", "style transfer", "remix", "sdedit"),
        {
            "load": ("SoraLoadModel", {"model": Outside("model", "sora-mini")}),
            **prompts(("load", 1), "a cat moving right in the snowy mountains"),
            "edit": (
                "SoraRemix",
                {"video": Outside("video"), "vae": ("load", 2), "strength": Outside("strength", 0.6), "fps": 8.0},
            ),
            **sampling(("load", 0), ("edit", 0), denoise=("edit", 1), sampler=SAMPLER),
            **video(("load", 2), ("edit", 2), ("edit", 3)),
        },
        {
            "video": "video",
            "prompt": "prompt",
            "negative": "negative prompt",
            "strength": "strength",
            "seed": "seed",
            "model": "model",
        },
        VIDEO_OUT,
    )


def sign() -> Blueprint:
    return Blueprint(
        "Saves a finished video with signed Content Credentials: what it was made of, by what, and that nobody changed "
        "it since. Credentials that came with it are kept.",
        ("content credentials", "c2pa", "provenance", "sign video", "ai label"),
        {
            "parts": ("GetVideoComponents", {"video": Outside("video")}),
            "save": (
                "SoraSaveVideo",
                {
                    "images": ("parts", 0),
                    "audio": ("parts", 1),
                    "fps": ("parts", 2),
                    "filename_prefix": Outside("filename_prefix", "video/signed"),
                    "credentials": "on",
                    "prompt_in_credentials": Outside("prompt_in_credentials", "policy"),
                    "keep_workflow": Outside("keep_workflow", True),
                },
            ),
        },
        {
            "video": "video",
            "filename_prefix": "filename prefix",
            "prompt_in_credentials": "prompt in credentials",
            "keep_workflow": "keep workflow",
        },
        {"video": ("save", 0)},
    )


def blueprints() -> dict[str, Blueprint]:
    """The five commonest jobs, by the name that people see."""
    return {
        "Extend a Clip (Wan I2V)": extend_wan(),
        "Loop a Clip (Sora)": loop(),
        "Storyboard (Sora)": storyboard(),
        "Restyle a Clip (Sora)": restyle(),
        "Sign a Finished Video (Sora)": sign(),
    }


def save_as_frontend(name: str, blueprint: Blueprint, schemas: dict) -> dict:
    """A blueprint as the frontend publishes it: one node, and the subgraph that it stands for."""
    laid = lay_out(
        blueprint.graph, schemas, tuple(blueprint.labels), titles={"positive": "Prompt", "negative": "Negative prompt"}
    )
    for node, file in blueprint.files.items():
        laid.nodes[laid.number[node] - 1]["properties"]["models"] = [file.model]
    about = {"description": blueprint.about, "category": CATEGORY, "essentials_category": "Video Tools"}
    definition = subgraph(laid, name, blueprint.outputs, blueprint.labels, about)
    return {
        "id": make_id(name, "file"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [instance(definition, blueprint.graph, schemas)],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition]},
        "config": {},
        "extra": {"BlueprintDescription": blueprint.about, "BlueprintSearchAliases": list(blueprint.aliases)},
        "version": 0.4,
    }


def main() -> None:
    BLUEPRINTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Folders(INPUTS, Path(folder) / "output", Path(folder) / "temp"))
        schemas = schemas_of(host)
        for name, blueprint in blueprints().items():
            text = json.dumps(save_as_frontend(name, blueprint, schemas), indent=1, ensure_ascii=False)
            (BLUEPRINTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
