"""ComfyUI's own models in our nodes: what they make of a clip, and what is refused in which words."""

from __future__ import annotations

import copy
from typing import Any

import torch
from comfyui_client import NAME, Comfy, Refused, difference, node

# Family -> the VAE to edit with, if there is a small one.
FAMILIES = {"wan": "wan_vae", "ltx": "ltx_vae", "hunyuan": None}
EDITS = {
    "SoraExtend": {"video": ["clip", 0], "seconds": 1.0, "direction": "forwards"},
    "SoraInfill": {"video": ["clip", 0], "frames": "9-16"},
    "SoraConnect": {"first": ["clip", 0], "second": ["clip", 0], "seconds": 1.0},
    "SoraLoop": {"video": ["clip", 0], "seconds": 1.0},
    "SoraRemix": {"video": ["clip", 0], "strength": 0.6},
}


def core_graph(edit: str | None = None, family: str = "wan", words: bool | None = None, **settings: Any) -> dict:
    """A tiny model of core's with our nodes: text to video, or an edit of the shared clip.

    words: whether the prompts say which of their tokens hold words. LTX-Video does not run without.
    """
    words = family == "ltx" if words is None else words
    graph = {
        "model": node("UNETLoader", unet_name=f"{NAME}_{family}.safetensors", weight_dtype="default"),
        "text": node("SoraLoadModel", model=f"{NAME}_text.safetensors", precision="fp32"),
        "positive": node("SoraTextEncode", clip=["text", 1], text="a cat moving right on a beach"),
        "negative": node("SoraTextEncode", clip=["text", 1], text=""),
        "clip": node("LoadVideo", file="sora_cat.mp4"),
    }
    if words:
        for name in ("positive", "negative"):
            graph[f"{name} text"] = graph[name]
            graph[name] = node("SoraBenchmarkWords", conditioning=[f"{name} text", 0])
    vae = FAMILIES[family]
    if vae is not None:
        graph["vae"] = node("VAELoader", vae_name=f"{NAME}_{vae}.safetensors")
    if edit is None:
        size = {"seconds": 1.0, "fps": 9.0, "width": 64, "height": 64, "aspect": "as set", "batch_size": 1}
        graph["edit"] = node("SoraEmptyLatent", model=["model", 0], **size)
    else:
        graph["edit"] = node(edit, vae=["vae", 0], fps=0.0, width=64, height=64, **settings)
        if edit != "SoraRemix":
            graph["edit"]["inputs"]["window"] = 5
    run = {"seed": 3, "steps": 2, "cfg": 3.0, "scheduler": "simple", "sampler": "euler", "denoise": 1.0}
    graph["sample"] = node(
        "SoraSampler",
        model=["model", 0],
        positive=["positive", 0],
        negative=["negative", 0],
        latent=["edit", 0],
        guidance_start=0.0,
        guidance_end=1.0,
        **run,
    )
    if vae is not None:
        graph["frames"] = node("SoraVAEDecode", latent=["sample", 0], vae=["vae", 0])
        graph["show"] = node("PreviewImage", images=["frames", 0])
    else:
        graph["show"] = node("SaveLatent", samples=["sample", 0], filename_prefix=f"{NAME}/latent")
    return graph


def ksampler(graph: dict, name: str, sampler: str) -> dict:
    """`graph` with core's KSampler in place of ours."""
    inputs = graph[name]["inputs"]
    shared = {k: inputs[k] for k in ("model", "positive", "negative", "seed", "steps", "cfg", "scheduler")}
    changed = node("KSampler", **shared, sampler_name=sampler, denoise=1.0, latent_image=inputs["latent"])
    return {**graph, name: changed}


def family_in_our_nodes(comfy: Comfy, family: str) -> dict:
    """One family through our sampler, edit nodes and decoder."""
    graph = core_graph(family=family)
    ours, theirs = comfy.latent(graph, "sample"), comfy.latent(ksampler(graph, "sample", "euler"), "sample")
    made: dict[str, Any] = {"KSampler": difference(ours, theirs), "latent": list(ours.shape)}
    if FAMILIES[family] is None:
        return made
    for edit, settings in EDITS.items():
        graph = core_graph(edit, family, **settings)
        before, after = comfy.latent(graph, "edit"), comfy.latent(graph, "sample")
        shown = comfy.run(graph)["show"]["images"]
        # Before sampling, what is kept is not zero and what is to be made is.
        kept = before.abs().amax((0, 1, 3, 4)) > 0
        made[edit] = {"latents": list(after.shape), "frames": len(shown), "finite": bool(after.isfinite().all())}
        if edit != "SoraRemix":
            made[edit]["kept"] = f"{int(kept.sum())} of {len(kept)} latents"
            made[edit]["kept_untouched"] = torch.equal(before[:, :, kept], after[:, :, kept])
    return made


def mask_of_seven_frames() -> dict[str, dict]:
    """Nodes that give the latent of the node `edit` a mask that is too long for it."""
    return {
        "flat": node("SolidMask", value=1.0, width=64, height=64),
        "image": node("MaskToImage", mask=["flat", 0]),
        "images": node("RepeatImageBatch", image=["image", 0], amount=7),
        "mask": node("ImageToMask", image=["images", 0], channel="red"),
        "masked": node("SetLatentNoiseMask", samples=["edit", 0], mask=["mask", 0]),
    }


def with_latent(kind: str, other: dict | None = None, **inputs: Any) -> dict:
    """The good graph with another latent, perhaps of a picture by way of another VAE."""
    extra = {"other": other, "picture": node("EmptyImage", width=64, height=64, batch_size=9, color=8421504)}
    return {**core_graph(), **(extra if other is not None else {}), "edit": node(kind, **inputs)}


def bad_graphs() -> dict[str, tuple[dict, list[str]]]:
    """What is wrong -> the graph, and the words that name both sides."""
    good = core_graph()
    ours = node("SoraLoadModel", model="sora-mini", precision="fp32")
    ltx_vae = node("VAELoader", vae_name=f"{NAME}_ltx_vae.safetensors")
    pixels = node("VAELoader", vae_name="pixel_space")

    def changed(**inputs: Any) -> dict:
        graph = copy.deepcopy(good)
        graph["sample"]["inputs"] |= inputs
        return graph

    encoded = {"images": ["picture", 0], "vae": ["other", 0]}
    ours_encoded = {"images": ["picture", 0], "vae": ["other", 2]}
    pictures = node("UNETLoader", unet_name=f"{NAME}_picture.safetensors", weight_dtype="default")
    of_picture = node("EmptyLatentImage", width=64, height=64, batch_size=1)
    return {
        "a model of pictures": ({**good, "model": pictures}, ["HunyuanImage21", "not a video model"]),
        "a model of pictures with a latent of its own": (
            {**good, "model": pictures, "edit": of_picture},
            ["SoraSampler", "HunyuanImage21", "not a video model"],
        ),
        "a VAE for pictures": (with_latent("SoraVAEEncode", pixels, **encoded), ["pictures", "video"]),
        "a VAE for pictures in an edit": (
            {**core_graph("SoraExtend", **EDITS["SoraExtend"]), "vae": pixels},
            ["pictures", "video"],
        ),
        "decoded by a VAE of another family": (
            {**good, "other": ours, "frames": node("SoraVAEDecode", latent=["sample", 0], vae=["other", 2])},
            ["Wan 2.1", "sora-mini"],
        ),
        "a latent of another family, same channels": (
            with_latent("SoraVAEEncode", ours, **ours_encoded),
            ["sora", "Wan 2.1"],
        ),
        "a latent with other channels": (with_latent("SoraVAEEncode", ltx_vae, **encoded), ["128", "16", "Wan 2.1"]),
        "an edit for another family": (
            {**core_graph("SoraExtend", **EDITS["SoraExtend"]), "vae": ltx_vae},
            ["128", "16", "Wan 2.1"],
        ),
        "a latent of another rank": (
            with_latent("EmptyLatentAudio", seconds=2.0, batch_size=1),
            ["[1, 64, 44]", "[B,16,T,H,W]", "Wan 2.1"],
        ),
        "a latent of another rank, decoded": (
            {
                **good,
                "audio": node("EmptyLatentAudio", seconds=2.0, batch_size=1),
                "frames": node("SoraVAEDecode", latent=["audio", 0], vae=["vae", 0]),
            },
            ["[1, 64, 44]", "[B,16,T,H,W]", "Wan 2.1"],
        ),
        "a prompt of another width": ({**good, "text": ours}, ["wide", "Wan 2.1", "4096"]),
        "a prompt without the mask of its words": (
            core_graph(family="ltx", words=False),
            ["LTX-Video", "attention_mask", "encoded without"],
        ),
        "a mask of another length": ({**changed(latent=["masked", 0]), **mask_of_seven_frames()}, ["7 frames", "3"]),
    }


def refusals(comfy: Comfy) -> dict:
    """Bad input: the words in which it was refused, whether they name both sides, whether sampling had begun."""
    # An empty latent of another shape is no mistake: it is made to fit.
    batch = node("EmptyLatentImage", width=64, height=64, batch_size=1)
    fitted = comfy.latent({**core_graph(), "edit": batch}, "sample")
    made: dict[str, Any] = {"empty latent of a picture becomes": list(fitted.shape)}
    for what, (graph, words) in bad_graphs().items():
        try:
            comfy.run(graph)
            made[what] = {"said": None}
        except Refused as refused:
            said = str(refused)
            made[what] = {"said": said, "names_both": all(w in said for w in words), "sampled": refused.sampled}
    return made
