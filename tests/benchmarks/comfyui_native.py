"""sora-mini in ComfyUI's own nodes: samplers, guiders, patches of the model, VAE and CLIP, each against a plain run."""

from __future__ import annotations

import copy
import io
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
from comfyui_client import Comfy, Refused, difference, node
from comfyui_core import ksampler

CFG, SEED = 4.0, 7
# Equal to the plain run up to this (latents of unit spread).
SAME = 1e-4
WINDOW = {
    "context_length": 5,
    "context_overlap": 2,
    "context_schedule": "standard_static",
    "context_stride": 1,
    "closed_loop": False,
    "fuse_method": "pyramid",
    "dim": 2,
    "freenoise": False,
    "cond_retain_index_list": "",
    "split_conds_to_windows": False,
    "latent_retain_index_list": "",
    "causal_window_fix": False,
}
CACHE = {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}


def plain_graph(steps: int, seconds: float = 1.0) -> dict:
    """sora-mini by core's KSampler, from our text nodes, 64x64."""
    size = {"seconds": seconds, "fps": 8.0, "width": 64, "height": 64, "aspect": "as set", "batch_size": 1}
    graph = {
        "model": node("SoraLoadModel", model="sora-mini", precision="fp32", lora="none", lora_strength=1.0),
        "positive": node("SoraTextEncode", clip=["model", 1], text="a cat moving right on a beach"),
        "negative": node("SoraTextEncode", clip=["model", 1], text=""),
        "latent": node("SoraEmptyLatent", model=["model", 0], **size),
        "sample": node(
            "SoraSampler",
            model=["model", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent=["latent", 0],
            seed=SEED,
            steps=steps,
            cfg=CFG,
            scheduler="simple",
        ),
    }
    return ksampler(graph, "sample", "euler")


def advanced(graph: dict, **settings: Any) -> dict:
    """KSampler's settings for KSamplerAdvanced."""
    inputs = dict(graph["sample"]["inputs"])
    del inputs["denoise"]
    usual = {
        "add_noise": "enable",
        "noise_seed": inputs.pop("seed"),
        "start_at_step": 0,
        "end_at_step": 10000,
        "return_with_leftover_noise": "disable",
    }
    return node("KSamplerAdvanced", **{**inputs, **usual, **settings})


def guided(graph: dict, guider: dict, sampler: dict | None = None) -> dict:
    """SamplerCustomAdvanced with a guider."""
    steps = graph["sample"]["inputs"]["steps"]
    return {
        **graph,
        "guider": guider,
        "noise": node("RandomNoise", noise_seed=SEED),
        "sampler": sampler or node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=steps, denoise=1.0),
        "sample": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["sigmas", 0],
            latent_image=["latent", 0],
        ),
    }


def patched(graph: dict, patch: dict) -> dict:
    """The model through a node of core's that changes it."""
    changed = copy.deepcopy(graph)
    changed["sample"]["inputs"]["model"] = ["patch", 0]
    return {**changed, "patch": patch}


def cases(graph: dict) -> dict[str, tuple[dict, dict | None]]:
    """What runs -> its graph, and the graph whose latent it must equal (None: it must differ from `graph`'s)."""
    from sora_core.loading.checkpoint import load_parts

    own_shift = load_parts("sora-mini")[1]["shift"]
    model, positive, negative = ["model", 0], ["positive", 0], ["negative", 0]
    steps = graph["sample"]["inputs"]["steps"]
    halves = {
        **graph,
        "first": advanced(graph, end_at_step=steps // 2, return_with_leftover_noise="enable"),
        "sample": advanced(graph, add_noise="disable", start_at_step=steps // 2, latent_image=["first", 0]),
    }
    pair = {"positive": positive, "negative": negative}
    cfg = node("CFGGuider", model=model, **pair, cfg=CFG)
    dual = node(
        "DualCFGGuider",
        model=model,
        cond1=positive,
        cond2=positive,
        negative=negative,
        cfg_conds=CFG,
        cfg_cond2_negative=CFG,
        style="regular",
    )
    words = {name: node("CLIPTextEncode", clip=["model", 1], text=graph[name]["inputs"]["text"]) for name in pair}
    unguided = copy.deepcopy(graph)
    unguided["sample"]["inputs"]["cfg"] = 1.0
    return {
        "KSamplerAdvanced": ({**graph, "sample": advanced(graph)}, graph),
        "KSamplerAdvanced, in two halves": (halves, graph),
        "CFGGuider": (guided(graph, cfg), graph),
        "CFGGuider, SoraSamplerSelect": (guided(graph, cfg, node("SoraSamplerSelect", sampler="euler")), graph),
        "BasicGuider": (guided(graph, node("BasicGuider", model=model, conditioning=positive)), unguided),
        "DualCFGGuider": (guided(graph, dual), graph),
        "DualModelGuider": (
            guided(graph, node("DualModelGuider", model=model, model_negative=model, **pair, cfg=CFG)),
            graph,
        ),
        "CLIPTextEncode": ({**graph, **words}, graph),
        "ModelSamplingSD3, own shift": (patched(graph, node("ModelSamplingSD3", model=model, shift=own_shift)), graph),
        "ModelSamplingSD3, shift 6": (patched(graph, node("ModelSamplingSD3", model=model, shift=6.0)), None),
        "EasyCache": (patched(graph, node("EasyCache", model=model, **CACHE)), None),
        "LazyCache": (patched(graph, node("LazyCache", model=model, **CACHE)), None),
        "ContextWindowsManual, one window": (
            patched(graph, node("ContextWindowsManual", model=model, **WINDOW)),
            graph,
        ),
    }


def pictures(comfy: Comfy, graph: dict, decoder: dict) -> np.ndarray:
    """Frames `[T,H,W,3]` uint8 by way of PNG."""
    made = comfy.run({**graph, "frames": decoder, "show": node("PreviewImage", images=["frames", 0])})
    return np.stack([iio.imread(io.BytesIO(comfy.file(image)))[..., :3] for image in made["show"]["images"]])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of uint8 pictures, in dB; 99 where they are equal."""
    error = np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2
    return 99.0 if error == 0 else round(float(-10 * np.log10(error)), 1)


def vae_nodes(comfy: Comfy, graph: dict) -> dict[str, float]:
    """Core's VAE nodes against ours: largest difference of latents, PSNR of frames."""
    latent, vae = {"samples": ["sample", 0]}, ["model", 2]
    wide = copy.deepcopy(graph)
    wide["latent"]["inputs"] |= {"width": 128, "height": 128}
    tiles = {"tile_size": 64, "overlap": 32, "temporal_size": 64, "temporal_overlap": 8}
    ours = node("SoraVAEDecode", latent=["sample", 0], vae=vae)
    frames = pictures(comfy, wide, ours)
    clip = {**wide, "frames": ours}
    encoders = {
        "ours": node("SoraVAEEncode", images=["frames", 0], vae=vae),
        "VAEEncode": node("VAEEncode", pixels=["frames", 0], vae=vae),
        "VAEEncodeTiled": node("VAEEncodeTiled", pixels=["frames", 0], vae=vae, **tiles),
    }
    latents = {name: comfy.latent({**clip, "encode": encoder}, "encode") for name, encoder in encoders.items()}
    return {
        "VAEDecode, PSNR": psnr(pictures(comfy, wide, node("VAEDecode", **latent, vae=vae)), frames),
        "VAEDecodeTiled, PSNR": psnr(pictures(comfy, wide, node("VAEDecodeTiled", **latent, vae=vae, **tiles)), frames),
        "VAEEncode": difference(latents["VAEEncode"], latents["ours"]),
        "VAEEncodeTiled, mean": float((latents["VAEEncodeTiled"] - latents["ours"]).abs().mean()),
    }


def native(comfy: Comfy, steps: int = 6) -> dict[str, Any]:
    """Each case's largest difference from the plain run, or what ComfyUI said; and the VAE's nodes."""
    graph = plain_graph(steps)
    plain = comfy.latent(graph, "sample")
    made: dict[str, Any] = {}
    for name, (changed, like) in cases(graph).items():
        try:
            latent = comfy.latent(changed, "sample")
        except Refused as error:
            made[name] = {"said": str(error), "right": False}
            continue
        far = difference(latent, plain if like in (None, graph) else comfy.latent(like, "sample"))
        # A changed model still makes latents of about unit spread.
        right = far <= SAME if like is not None else far > SAME and 0.3 < float(latent.std()) < 3
        made[name] = {"difference": far, "right": right}
    windows = patched(plain_graph(steps, 4.0), node("ContextWindowsManual", model=["model", 0], **WINDOW))
    latent = comfy.latent(windows, "sample")
    made["ContextWindowsManual, 9 latents"] = {
        "latents": list(latent.shape),
        "right": bool(torch.isfinite(latent).all()) and latent.shape[2] == 9,
    }
    found = vae_nodes(comfy, graph)
    goals = {"VAEDecode, PSNR": 50, "VAEDecodeTiled, PSNR": 30}
    for name, value in found.items():
        right = value >= goals[name] if name in goals else value <= (0.1 if "mean" in name else SAME)
        made[name] = {"value": value, "right": right}
    return made
