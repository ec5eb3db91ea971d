"""Workflows for models of other makers, whose files the artist has: which files, where they go, and the graph."""

from __future__ import annotations

from dataclasses import dataclass

HUB = "https://huggingface.co/"
WAN = HUB + "Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/"
# What these models tend to make badly.
WAN_NEGATIVE = "overexposed, static, blurred details, subtitles, worst quality, low quality, deformed, extra fingers"
LTX_NEGATIVE = "low quality, worst quality, deformed, distorted, motion smear, motion artifacts, fused fingers"


@dataclass(frozen=True)
class File:
    """A file that a core loader reads."""

    widget: str  # of the loader
    name: str
    folder: str  # within `models`
    url: str  # where ComfyUI offers to fetch it from

    @property
    def model(self) -> dict[str, str]:
        return {"name": self.name, "url": self.url, "directory": self.folder}


def wan(widget: str, name: str, folder: str) -> File:
    return File(widget, name, folder, f"{WAN}{folder}/{name}")


UMT5 = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
WAN_TEXT = File(
    "clip_name",
    UMT5,
    "text_encoders",
    f"{HUB}Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/text_encoders/{UMT5}",
)
LTX, T5 = "ltx-video-2b-v0.9.5.safetensors", "t5xxl_fp16.safetensors"


@dataclass(frozen=True)
class ModelWorkflow:
    """A graph on core's loaders, and the files that these want."""

    files: dict[str, File]  # loader in the graph -> its file
    graph: dict[str, tuple[str, dict]]
    note: str = ""  # what else to know: in English and Chinese


def tail(edit: str, sampling: dict, prefix: str, audio: int | None = None) -> dict:
    """What follows an edit node: sampler, decoder, file."""
    save = {"images": ("decode", 0), "fps": ("edit", 1), "filename_prefix": f"video/{prefix}"}
    if audio is not None:
        save["audio"] = ("edit", audio)
    common = {"positive": ("positive", 0), "negative": ("negative", 0), "latent": ("edit", 0), "seed": 1}
    return {
        "sample": ("SoraSampler", {**common, **sampling}),
        "decode": ("SoraVAEDecode", {"latent": ("sample", 0), "vae": ("vae", 0)}),
        "save": ("SoraSaveVideo", save),
    }


def prompts(text: str, negative: str) -> dict:
    return {
        "positive": ("SoraTextEncode", {"clip": ("clip", 0), "text": text}),
        "negative": ("SoraTextEncode", {"clip": ("clip", 0), "text": negative}),
    }


WAN_5B = ModelWorkflow(
    {
        "unet": wan("unet_name", "wan2.2_ti2v_5B_fp16.safetensors", "diffusion_models"),
        "clip": WAN_TEXT,
        "vae": wan("vae_name", "wan2.2_vae.safetensors", "vae"),
    },
    {
        "unet": ("UNETLoader", {}),
        "clip": ("CLIPLoader", {"type": "wan"}),
        "vae": ("VAELoader", {}),
        "clip_in": ("LoadVideo", {"file": "sora_cat.mp4"}),
        "shift": ("ModelSamplingSD3", {"model": ("unet", 0), "shift": 8.0}),
        **prompts("The cat walks on along the beach, the waves roll in behind it, steady camera.", WAN_NEGATIVE),
        "edit": (
            "SoraExtend",
            {
                "video": ("clip_in", 0),
                "vae": ("vae", 0),
                "seconds": 2.0,
                "fps": 24.0,
                "width": 1280,
                "height": 704,
                "window": 31,
            },
        ),
        **tail("edit", {"model": ("shift", 0), "steps": 20, "cfg": 5.0, "sampler": "uni_pc"}, "wan_extend", 2),
    },
)
WAN_14B = ModelWorkflow(
    {
        "high": wan("unet_name", "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "diffusion_models"),
        "low": wan("unet_name", "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "diffusion_models"),
        "clip": WAN_TEXT,
        "vae": wan("vae_name", "wan_2.1_vae.safetensors", "vae"),
    },
    {
        "high": ("UNETLoader", {}),
        "low": ("UNETLoader", {}),
        "clip": ("CLIPLoader", {"type": "wan"}),
        "vae": ("VAELoader", {}),
        "still": ("LoadImage", {"image": "sora_still.png"}),
        "high_shift": ("ModelSamplingSD3", {"model": ("high", 0), "shift": 5.0}),
        "low_shift": ("ModelSamplingSD3", {"model": ("low", 0), "shift": 5.0}),
        "experts": ("SoraExperts", {"high_noise": ("high_shift", 0), "low_noise": ("low_shift", 0)}),
        **prompts("The cat walks along the beach, the waves roll in behind it, steady camera.", WAN_NEGATIVE),
        "edit": (
            "SoraImageToVideo",
            {"image": ("still", 0), "vae": ("vae", 0), "seconds": 5.0, "fps": 16.0, "width": 640, "height": 640},
        ),
        **tail("edit", {"model": ("experts", 0), "steps": 20, "cfg": 3.5, "sampler": "euler"}, "wan_image"),
    },
)
LTX_2B = ModelWorkflow(
    {
        "checkpoint": File("ckpt_name", LTX, "checkpoints", f"{HUB}Lightricks/LTX-Video/resolve/main/{LTX}"),
        "clip": File("clip_name", T5, "text_encoders", f"{HUB}comfyanonymous/flux_text_encoders/resolve/main/{T5}"),
    },
    {
        "checkpoint": ("CheckpointLoaderSimple", {}),
        "clip": ("CLIPLoader", {"type": "ltxv"}),
        "still": ("LoadImage", {"image": "sora_still.png"}),
        **prompts(
            "A small cat walks along a sunlit beach from left to right. Its tail sways with each step, its paws sink "
            "into the wet sand, and low waves break behind it. The camera stands still at the height of the cat.",
            LTX_NEGATIVE,
        ),
        "edit": (
            "SoraImageToVideo",
            {"image": ("still", 0), "vae": ("checkpoint", 2), "seconds": 4.0, "fps": 25.0, "width": 768, "height": 512},
        ),
        "rate": (
            "LTXVConditioning",
            {"positive": ("positive", 0), "negative": ("negative", 0), "frame_rate": ("edit", 1)},
        ),
        "sigmas": ("LTXVScheduler", {"steps": 30, "latent": ("edit", 0)}),
        "sample": (
            "SoraSampler",
            {
                "model": ("checkpoint", 0),
                "positive": ("rate", 0),
                "negative": ("rate", 1),
                "latent": ("edit", 0),
                "seed": 1,
                "steps": 30,
                "cfg": 3.0,
                "sampler": "euler",
                "custom_sigmas": ("sigmas", 0),
            },
        ),
        "decode": ("SoraVAEDecode", {"latent": ("sample", 0), "vae": ("checkpoint", 2)}),
        "save": ("SoraSaveVideo", {"images": ("decode", 0), "fps": ("edit", 1), "filename_prefix": "video/ltx_image"}),
    },
)
MODEL_WORKFLOWS = {"wan22_5b_extend": WAN_5B, "wan22_14b_image_to_video": WAN_14B, "ltx_image_to_video": LTX_2B}


def with_files(workflow: ModelWorkflow) -> dict:
    """The graph with the names of its files on their widgets."""
    graph = dict(workflow.graph)
    for loader, file in workflow.files.items():
        kind, given = graph[loader]
        graph[loader] = (kind, {**given, file.widget: file.name})
    return graph


def where_files_go(workflow: ModelWorkflow) -> str:
    """The part of the note that names the files, as a tree of folders."""
    folders: dict[str, list[File]] = {}
    for file in workflow.files.values():
        folders.setdefault(file.folder, []).append(file)
    tree = ["ComfyUI/models/"]
    for folder, files in folders.items():
        tree += [f"    {folder}/", *(f"        {file.name}" for file in files)]
    links = [f"- [{file.name}]({file.url})" for file in workflow.files.values()]
    return "\n".join(["```", *tree, "```", "", *links])
