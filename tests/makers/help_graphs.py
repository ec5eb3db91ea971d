"""Graphs that only help pages show: of nodes that no shared workflow has."""

from __future__ import annotations

from make_workflows import PROMPT, SHOWN, edit_graph

LOAD = ("SoraLoadModel", {})
CLIP = ("LoadVideo", {"file": "sora_cat.mp4"})
COMPARE = {
    "one": CLIP,
    "other": ("LoadVideo", {"file": "sora_car.mp4"}),
    "look": ("SoraCompare", {"first": ("one", 0), "second": ("other", 0)}),
}


def _step_cache(text: dict) -> dict:
    saving = {name: text[name] for name in ("load", "positive", "negative", "edit")}
    saving["cache"] = ("SoraStepCache", {"model": ("load", 0)})
    saving["sample"] = ("SoraSampler", {**text["sample"][1], "model": ("cache", 0), "sampler": "euler"})
    return saving


def _encode(text: dict) -> dict:
    encode = {"load": LOAD, "clip": CLIP, "positive": text["positive"], "negative": text["negative"]}
    encode["parts"] = ("GetVideoComponents", {"video": ("clip", 0)})
    encode["encode"] = ("SoraVAEEncode", {"images": ("parts", 0), "vae": ("load", 2)})
    encode["sample"] = ("SoraSampler", {**text["sample"][1], "latent": ("encode", 0), "denoise": 0.6})
    return encode


def help_graphs() -> dict[str, dict]:
    """By the name of their picture."""
    text = edit_graph("SoraImageToVideo", {}, SHOWN) | {"edit": ("SoraEmptyLatent", {})}
    made: dict[str, dict] = {"compare": COMPARE}
    patches = {name: text[name] for name in ("load", "positive", "negative", "edit")}
    patches["patch"] = ("SoraPatchify", {"latent": ("edit", 0), "model": ("load", 0)})
    patches["sample"] = ("SoraSampler", {**text["sample"][1], "latent": ("patch", 0)})
    patches["unpatch"] = ("SoraUnpatchify", {"patches": ("sample", 0)})
    patches["decode"] = ("SoraVAEDecode", {"latent": ("unpatch", 0), "vae": ("load", 2)})
    made["patches"] = patches
    custom = {name: text[name] for name in ("load", "positive", "negative", "edit")}
    custom["select"] = ("SoraSamplerSelect", {"sampler": "dpmpp_2m"})
    custom["levels"] = ("SoraScheduler", {"model": ("load", 0)})
    given = {**text["sample"][1], "custom_sampler": ("select", 0), "custom_sigmas": ("levels", 0)}
    custom["sample"] = ("SoraSampler", given)
    made["custom_sampling"] = custom
    made["step_cache"] = _step_cache(text)
    told = {name: text[name] for name in ("load", "positive", "negative")}
    told["still"] = ("LoadImage", {"image": "sora_still.png"})
    told["edit"] = ("SoraImageToVideo", {"image": ("still", 0), "vae": ("load", 2)})
    prompts = {"positive": ("positive", 0), "negative": ("negative", 0)}
    told["condition"] = ("SoraCondition", {"model": ("load", 0), **prompts, "latent": ("edit", 0), "vae": ("load", 2)})
    told["sample"] = (
        "KSampler",
        {
            "model": ("condition", 0),
            "positive": ("condition", 1),
            "negative": ("condition", 2),
            "latent_image": ("condition", 3),
        },
    )
    told["decode"] = ("SoraVAEDecode", {"latent": ("sample", 0), "vae": ("load", 2)})
    made["condition"] = told
    made["encode"] = _encode(text)
    made["words"] = {
        "load": LOAD,
        "expand": ("SoraExpandPrompt", {"text": "cat, beach", "clip": ("load", 1)}),
        "positive": ("SoraTextEncode", {"clip": ("load", 1), "text": ("expand", 0)}),
    }
    made["examine"] = {
        "clip": CLIP,
        "caption": ("SoraCaption", {"video": ("clip", 0)}),
        "detect": ("SoraDetect", {"video": ("clip", 0)}),
        "plot": ("PreviewImage", {"images": ("detect", 2)}),
    }
    made["safety"] = {
        "load": LOAD,
        "check": ("SoraPromptSafety", {"prompt": PROMPT}),
        "positive": ("SoraTextEncode", {"clip": ("load", 1), "text": ("check", 0)}),
        "negative": ("SoraTextEncode", {"clip": ("load", 1), "text": ("check", 1)}),
        "edit": text["edit"],
        "sample": text["sample"],
        "decode": text["decode"],
        "frames": ("SoraFrameSafety", {"images": ("decode", 0)}),
        "save": ("SoraSaveVideo", {"images": ("frames", 0), "fps": ("edit", 1)}),
    }
    return made
