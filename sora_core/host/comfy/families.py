"""What differs between the video models of ComfyUI, in tables. What their objects say themselves is not in them."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...errors import expect
from ...latents.space import SORA, LatentSpace
from ...latents.streams import is_nested, parts_of
from ...tasks.families import ModelKind
from ...tasks.shots import Form, Streams

# By the class name of the latent format: see `LatentSpace`. A model that turns a mask into timesteps says so itself,
# whatever its family does (Cosmos Predict 2 has Wan's latents).
FAMILIES: dict[str, LatentSpace] = {
    "Wan21": LatentSpace("Wan 2.1", 16, masks="blend"),
    "Wan22": LatentSpace("Wan 2.2 5B", 48, 4, 16, masks="tokens"),
    "HunyuanVideo": LatentSpace("HunyuanVideo", 16, masks="blend"),
    "HunyuanVideo15": LatentSpace("HunyuanVideo 1.5", 32, 4, 16, (1, 1, 1), masks="blend"),
    "LTXV": LatentSpace("LTX-Video", 128, 8, 32, (1, 1, 1), masks="tokens"),
    "Mochi": LatentSpace("Mochi", 12, 6, 8, masks="blend"),
    "Cosmos1CV8x8x8": LatentSpace("Cosmos 1", 16, 8, 8, masks="blend"),
    "CogVideoX": LatentSpace("CogVideoX", 16, masks="blend"),
    "MiniMaxH3Video": LatentSpace("MiniMax H3", 24, 4, 16, pattern=(1, 4, 4, 4, 4), tail=2),
    # A restorer: it reads the whole video as its condition, there is nothing to keep.
    "SeedVR2": LatentSpace("SeedVR2", 16, masks="none"),
}

# Models of pictures whose latents have a place for time all the same: they borrow a video model's VAE.
STILLS = frozenset({"Anima", "HunyuanImage21Refiner", "JoyImage", "Kandinsky5Image", "Krea2", "MageFlow", "QwenImage"})

# By the module of a VAE's network: whose latents it makes. Others (an AutoencoderKL is in many) cannot be told.
VAES = {
    "comfy.ldm.cogvideo.vae": "CogVideoX",
    "comfy.ldm.genmo.vae.model": "Mochi",
    "comfy.ldm.lightricks.vae.causal_video_autoencoder": "LTXV",
    "comfy.ldm.lightricks.vae.na_diffusion_decoder": "LTXV",
    "comfy.ldm.minimax.vae": "MiniMaxH3Video",
    "comfy.ldm.seedvr.vae": "SeedVR2",
    "comfy.ldm.wan.vae": "Wan21",
    "comfy.ldm.wan.vae2_2": "Wan22",
}

# By the class of a model: how the prompts of several shots reach it, see `tasks.shots`.
SHOTS_BY: dict[str, Form] = {"SoraModel": "attention", "SeedVR2": "none", "BaseModel": "masks"}

# By the class of a latent format: the axis of time of the sound that is sampled along with the picture.
SOUND_TIMES = {"LTXAV": 2, "MiniMaxH3AV": 3}

# By the class of a model: where its network says how wide the text is that it reads, in all ways that it takes it.
TEXT_WIDTHS: dict[str, Callable[[Any], Sequence[int]]] = {
    "CosmosVideo": lambda net: [net.blocks["block0"].blocks[1].block.attn.to_k[0].in_features],
    # As it is encoded, and with the picture's and the sound's part side by side, in two versions.
    "LTXAV": lambda net: [
        net.caption_channels * 2,
        net.cross_attention_dim + net.audio_cross_attention_dim,
        net.caption_channels,
    ],
    "SoraModel": lambda net: [net.config.text_dim],
}
# In all others, the first layer with a name like this reads the text.
TEXT_LAYER = re.compile(r"text|txt|caption|t5|condition_proj|cross_attn\.k")


# What a network that reads a prompt as a whole, beside its words, has for that.
WHOLE_PROMPT = ("vector_in", "pooled_text_embeddings")

# Where a network says how many channels it takes in, and what it has for CLIP vision's.
CHANNELS_IN = ("in_dim", "in_channels")
VISION_IN = ("img_emb", "vision_in")


def ancestors(kind: type) -> list[str]:
    """List the names of a class and of what it is made from, nearest first."""
    return [c.__name__ for c in kind.__mro__]


def model_space(patcher: Any, which: str = "model") -> LatentSpace:
    """Describe the latents of a MODEL. Raises SoraError when it makes no video.

    which: of the node's inputs, for messages.
    """
    model = patcher.model
    layout = patcher.get_model_object("latent_format")
    kind = getattr(model, "sora_name", type(model).__name__)
    dimensions = getattr(layout, "latent_dimensions", 2)
    expect(
        dimensions == 3,
        f"{which}: {kind} is not a video model (its latents have {dimensions} dimensions of space and time, a video's "
        "have 3). Load a video model.",
    )
    expect(
        not STILLS.intersection(ancestors(type(model))),
        f"{which}: {kind} makes pictures, these nodes make video. Load a video model.",
    )
    listed = next((FAMILIES[name] for name in ancestors(type(layout)) if name in FAMILIES), None)
    space = listed or LatentSpace(
        kind,
        layout.latent_channels,
        getattr(layout, "temporal_downscale_ratio", 4),
        getattr(layout, "spacial_downscale_ratio", 8),
        masks="blend",
    )
    config = getattr(model.diffusion_model, "config", None)
    patch = getattr(config, "patch_size", None) or getattr(model.diffusion_model, "patch_size", None)
    if isinstance(patch, (tuple, list)) and len(patch) == 3:
        space = replace(space, patch_size=tuple(patch))
    # A model that turns the mask into timesteps knows what is kept; for any other the sampler blends it in.
    if "denoise_mask" in inspect.signature(type(model).process_timestep).parameters:
        space = replace(space, masks="tokens")
    return replace(
        space,
        name=f"{space.name} ({kind})" if space.name != kind else kind,
        # A format of several streams names the channels of the widest.
        channels=space.channels if space.pattern else layout.latent_channels,
        vae=SORA if hasattr(model, "sora_name") else listed.name if listed else "",
    )


def model_kind(patcher: Any) -> ModelKind:
    """Tell what decides in which language a MODEL is told of an edit. Raises SoraError when it makes no video."""
    space, network = model_space(patcher), patcher.model.diffusion_model
    taken = next((getattr(network, name) for name in CHANNELS_IN if hasattr(network, name)), space.channels)
    eyes = [eye for name in VISION_IN if (eye := getattr(network, name, None)) is not None]
    zero = patcher.get_model_object("latent_format").process_out(torch.zeros(1, space.channels, 1, 1, 1))
    return ModelKind(
        type(patcher.model).__name__,
        space,
        taken - space.channels,
        bool(eyes),
        zero if bool(zero.any()) else None,
        # Its first layer is a norm over them.
        next((w.shape[-1] for eye in eyes if isinstance(eye, torch.nn.Module) for w in eye.parameters()), 0),
    )


def vae_space(vae: Any) -> LatentSpace:
    """Describe the latents of a VAE. Raises SoraError when it is none for video."""
    expect(
        vae.latent_dim == 3 and not getattr(vae, "not_video", False),
        "vae: this VAE works on pictures, not on video. Use the VAE of a video model.",
    )
    listed = FAMILIES.get(VAES.get(type(vae.first_stage_model).__module__, ""))
    vae_name = SORA if hasattr(vae, "sora_name") else listed.name if listed else ""
    name = f"the VAE of {getattr(vae, 'sora_name', vae_name)}" if vae_name else "video VAE"
    if listed and listed.pattern:
        return replace(listed, name=name, vae=vae_name)
    upscale = vae.upscale_ratio
    if not isinstance(upscale, tuple):
        return LatentSpace(name, vae.latent_channels, 1, int(upscale), causal=False, vae=vae_name)
    # How many frames a VAE makes of latents, it says as a factor or as a function: two values of it tell all.
    frames = upscale[0] if callable(upscale[0]) else lambda latents: latents * upscale[0]
    ratio = frames(3) - frames(2)
    causal = frames(1) < ratio or ratio == 1
    return LatentSpace(name, vae.latent_channels, ratio, int(upscale[-1]), causal=causal, vae=vae_name)


def check_text(patcher: Any, conditioning: list[Any] | None, which: str) -> None:
    """Refuse a prompt of another width than the model reads, where that is known, or one that lacks what it needs.

    which: of the node's inputs, for messages. Raises SoraError.
    """
    if not conditioning:
        return
    model = patcher.model
    read = inspect.signature(model.diffusion_model.forward).parameters
    if "attention_mask" in read and read["attention_mask"].default is inspect.Parameter.empty:
        expect(
            all(options.get("attention_mask") is not None for _, options in conditioning),
            f"{which}: {model_space(patcher).name} reads which tokens hold words (attention_mask), and this prompt "
            "was encoded without. Use the text encoder that goes with this model.",
        )
    if any(getattr(model.diffusion_model, name, None) is not None for name in WHOLE_PROMPT):
        expect(
            all(options.get("pooled_output") is not None for _, options in conditioning),
            f"{which}: {model_space(patcher).name} reads a prompt as a whole beside its words (pooled_output), and "
            "this one was encoded without. Use the text encoders that go with this model.",
        )
    widths = text_widths(model)
    for context, *_ in conditioning if widths else ():
        expect(
            context.shape[-1] in widths,
            f"{which}: the prompt is encoded {context.shape[-1]} wide, {model_space(patcher).name} reads {widths[0]}. "
            "Use the text encoder that goes with this model.",
        )


def text_widths(model: Any) -> Sequence[int]:
    """List how wide the text may be that a model reads, the usual width first; nothing where that is not known."""
    network, kinds = model.diffusion_model, ancestors(type(model))
    find = next((TEXT_WIDTHS[name] for name in kinds if name in TEXT_WIDTHS), None)
    if find is not None:
        try:
            return find(network)
        except (AttributeError, LookupError):  # another version of ComfyUI's may hold it elsewhere
            return ()
    # Only in families of the table: what another network calls its layers is anybody's guess.
    if not set(FAMILIES).intersection(ancestors(type(model.latent_format))):
        return ()
    layers = network.named_modules() if isinstance(network, torch.nn.Module) else ()
    widths = (m.in_features for name, m in layers if TEXT_LAYER.search(name) and hasattr(m, "in_features"))
    return list(itertools.islice(widths, 1))


def shots_form(patcher: Any) -> Form:
    """Tell in which form a MODEL reads the prompts of several shots."""
    return next((SHOTS_BY[name] for name in ancestors(type(patcher.model)) if name in SHOTS_BY), "masks")


def streams_of(patcher: Any, shape: Sequence[int]) -> Streams:
    """Tell what a MODEL samples when it is given an empty video `[B,C,T,h,w]`: ComfyUI adds sound to some."""
    fill = getattr(patcher.get_model_object("latent_format"), "fix_empty_latent", None)
    return sampled(patcher, torch.zeros(*shape) if fill is None else fill(torch.zeros(*shape)))


def sampled(patcher: Any, samples: Any, along: tuple[int, int] = (0, 0)) -> Streams:
    """Tell what is in the samples of a LATENT. along: latents in front and behind that are no part of the video."""
    if not is_nested(samples):
        return Streams((tuple(samples.shape),), along=along)
    kinds = ancestors(type(patcher.get_model_object("latent_format")))
    time = next((SOUND_TIMES[name] for name in kinds if name in SOUND_TIMES), 2)
    shapes = tuple(tuple(part.shape) for part in parts_of(samples))
    return Streams(shapes, (2, *[time] * (len(shapes) - 1)), along)
