"""Tiny video models and VAEs of ComfyUI's own classes, with random weights, made in this process.

    model("wan_i2v")    a MODEL, `comfy.model_patcher.ModelPatcher`
    vae("wan")          a VAE, `comfy.sd.VAE`

ComfyUI decides from the weights what they are, as it does with a file. Where it then takes sizes for granted (48 layers
of Mochi), it is told the tiny ones. Needs ComfyUI on the path, started: call `start` first.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

Sizes = dict[str, Any]


def start(folder: Path) -> None:
    """Make ComfyUI of `folder` importable, on the CPU. ComfyUI reads the command line as it is imported."""
    sys.argv = ["comfyui_tiny", "--cpu"]
    sys.path.insert(0, str(folder.resolve()))
    import comfy.options

    comfy.options.enable_args_parsing()


@dataclass(frozen=True)
class Family:
    """One kind of model: the class of its network and how small it is made."""

    network: str  # module:class
    sizes: Sizes  # of the network
    told: tuple[str, ...] = ()  # those that ComfyUI takes for granted, so that it has to be told them
    meta: bool = False  # the file says its sizes in its metadata
    text: int = 4096  # width of the prompts it reads
    channels: int = 16  # of its latents
    pooled: int = 0  # width of a prompt as a whole, 0 for none
    masked: bool = False  # it wants to know which tokens hold words
    options: Sizes = field(default_factory=dict)  # others that its own text encoder adds to a prompt


WAN = {"dim": 256, "ffn_dim": 256, "num_heads": 2, "num_layers": 2, "in_dim": 16, "out_dim": 16}
HUNYUAN: Sizes = {
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "axes_dim": [16, 56, 56],
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 256,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "theta": 256,
    "qkv_bias": True,
    "guidance_embed": True,
    "byt5": False,
    "meanflow": False,
    "use_cond_type_embedding": False,
    "vision_in_dim": None,
    "meanflow_sum": False,
}
HUNYUAN15 = HUNYUAN | {
    "in_channels": 32 + 32 + 1,
    "out_channels": 32,
    "patch_size": [1, 1, 1],
    "vec_in_dim": None,
    "context_in_dim": 3584,
    "guidance_embed": False,
    "use_cond_type_embedding": True,
    "vision_in_dim": 1152,
    "meanflow_sum": True,
}
LTX = {
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "cross_attention_dim": 64,
    "caption_channels": 4096,
}
LTXAV = LTX | {
    "caption_channels": 128,
    "audio_cross_attention_dim": 32,
    "audio_attention_head_dim": 16,
    "audio_num_attention_heads": 2,
    "connector_num_layers": 1,
    "connector_attention_head_dim": 32,
    "connector_num_attention_heads": 4,
}
COSMOS: Sizes = {
    "max_img_h": 240,
    "max_img_w": 240,
    "max_frames": 128,
    "in_channels": 16,
    "out_channels": 16,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "model_channels": 384,
    "num_heads": 16,
    "num_blocks": 2,
    "crossattn_emb_channels": 1024,
    "pos_emb_cls": "rope3d",
    "use_adaln_lora": True,
    "adaln_lora_dim": 256,
    "extra_per_block_abs_pos_emb": False,
}
COSMOS1 = COSMOS | {
    "block_config": "FA-CA-MLP",
    "block_x_format": "THWBD",
    "affline_emb_norm": True,
    "extra_per_block_abs_pos_emb": True,
    "extra_per_block_abs_pos_emb_type": "learnable",
}
COGVIDEOX = {
    "num_attention_heads": 2,
    "attention_head_dim": 64,
    "time_embed_dim": 64,
    "num_layers": 2,
    "in_channels": 32,
    "use_rotary_positional_embeddings": True,
}
MOCHI = {
    "depth": 2,
    "num_heads": 2,
    "hidden_size_x": 128,
    "hidden_size_y": 64,
    # ComfyUI insists on the width between two layers.
    "mlp_ratio_x": 1536 * 8 / 128,
    "mlp_ratio_y": 4.0,
    "learn_sigma": False,
    "in_channels": 12,
    "qk_norm": True,
    "qkv_bias": False,
    "out_bias": True,
    "attn_drop": 0.0,
    "posenc_preserve_area": True,
    "timestep_scale": 1000.0,
    "use_t5": True,
}
KANDINSKY = {"model_dim": 256, "ff_dim": 256, "time_dim": 64, "num_text_blocks": 1, "num_visual_blocks": 2}
MINIMAX = {
    "hidden_size": 96,
    "num_layers": 2,
    "token_refiner_num_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 48,
    "ffn_hidden_size": 96,
    "timestep_input_dim": 64,
    "time_embed_hidden_size": 64,
    "time_embed_dim": 64,
    "rope_inv_freq_len": 8,
}

_WAN, _VACE = "comfy.ldm.wan.model:WanModel", "comfy.ldm.wan.model:VaceWanModel"
_HUNYUAN = "comfy.ldm.hunyuan_video.model:HunyuanVideo"
MODELS: dict[str, Family] = {
    "wan_t2v": Family(_WAN, WAN),
    "wan_i2v": Family(_WAN, WAN | {"in_dim": 36, "model_type": "i2v"}),
    "wan_flf2v": Family(_WAN, WAN | {"in_dim": 36, "model_type": "i2v", "flf_pos_embed_token_number": 514}),
    "wan22_i2v": Family(_WAN, WAN | {"in_dim": 36}),
    "wan_vace": Family(_VACE, WAN | {"vace_layers": 2, "vace_in_dim": 96}),
    "wan22_5b": Family(_WAN, WAN | {"in_dim": 48, "out_dim": 48}, channels=48),
    "cosmos_predict2": Family(
        "comfy.ldm.cosmos.predict2:MiniTrainDIT",
        COSMOS | {"pos_emb_learnable": True, "rope_enable_fps_modulation": False},
        ("num_heads",),
        text=1024,
    ),
    "cosmos1": Family(
        "comfy.ldm.cosmos.model:GeneralDIT", COSMOS1, ("num_heads", "num_blocks"), text=1024, masked=True
    ),
    "ltxv": Family("comfy.ldm.lightricks.model:LTXVModel", LTX, meta=True, channels=128, masked=True),
    "ltxav": Family("comfy.ldm.lightricks.av_model:LTXAVModel", LTXAV, meta=True, text=256, channels=128),
    "hunyuan_t2v": Family(_HUNYUAN, HUNYUAN, pooled=768, options={"guidance": 6.0}),
    "hunyuan_i2v": Family(
        _HUNYUAN, HUNYUAN | {"in_channels": 33, "guidance_embed": False}, pooled=768, options={"guidance": 6.0}
    ),
    "hunyuan15": Family(_HUNYUAN, HUNYUAN15, text=3584, channels=32, masked=True),
    "kandinsky5": Family("comfy.ldm.kandinsky5.model:Kandinsky5", KANDINSKY, text=3584, pooled=768, masked=True),
    "cogvideox_i2v": Family("comfy.ldm.cogvideo.model:CogVideoXTransformer3DModel", COGVIDEOX),
    "mochi": Family(
        "comfy.ldm.genmo.joint_model.asymm_models_joint:AsymmDiTJoint",
        MOCHI,
        ("depth", "num_heads", "hidden_size_x", "hidden_size_y", "mlp_ratio_x"),
        channels=12,
        masked=True,
    ),
    "minimax_h3": Family("comfy.ldm.minimax.model:MiniMaxH3Model", MINIMAX, text=5120, channels=24),
}


def random_weights(network: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """The network's state, drawn anew: small enough to stay finite, and with norms that let it through."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, weight in network.state_dict().items():
        if not weight.is_floating_point():
            state[name] = weight.clone()
        elif "inv_freq" in name:
            state[name] = 1.0 / 10000.0 ** (torch.arange(len(weight)) / len(weight))
        elif "latents_mean" in name or "latents_std" in name:
            state[name] = weight.clone()
        elif "per_channel_statistics" in name:  # of the latents: as if they were normalised
            state[name] = torch.zeros_like(weight) if name.endswith("mean-of-means") else torch.ones_like(weight)
        elif "gamma" in name or "norm" in name and name.endswith("weight") and weight.ndim == 1:
            state[name] = torch.ones_like(weight)
        else:
            # As large as keeps a signal's size through a matrix, so that a prompt is heard at the other end.
            fan = weight[0].numel() if weight.ndim > 1 else 2500
            state[name] = torch.randn(weight.shape, generator=generator) / fan**0.5
    return state


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@contextmanager
def _told(sizes: Sizes) -> Iterator[None]:
    """Have ComfyUI find `sizes` in a file beside what it finds by itself."""
    import comfy.model_detection as detection

    found = detection.detect_unet_config

    def tiny(*args: Any, **kwargs: Any) -> Any:
        config = found(*args, **kwargs)
        return config if config is None else {**config, **sizes}

    with mock.patch.object(detection, "detect_unet_config", tiny):
        yield


def model(name: str, seed: int = 0) -> Any:
    """Make the MODEL of a family in `MODELS`, in float32. seed: of its weights."""
    import comfy.ops
    import comfy.sd

    family = MODELS[name]
    network = _load(family.network)(
        **family.sizes, operations=comfy.ops.disable_weight_init, dtype=torch.float32, device="cpu"
    )
    meta = {"config": json.dumps({"transformer": family.sizes})} if family.meta else None
    with _told({key: family.sizes[key] for key in family.told}):
        made = comfy.sd.load_diffusion_model_state_dict(
            random_weights(network, seed), {"dtype": torch.float32}, metadata=meta
        )
    if made is None:
        raise RuntimeError(f"ComfyUI does not know the tiny {name}.")
    return made


def prompt(name: str, seed: int, length: int = 8, **options: Any) -> list[Any]:
    """Make a random CONDITIONING that the family's own text encoder could have made."""
    family, generator = MODELS[name], torch.Generator().manual_seed(seed)
    context = torch.randn(1, length, family.text, generator=generator)
    pooled = torch.randn(1, family.pooled, generator=generator) if family.pooled else None
    options = {"pooled_output": pooled, **options}  # ComfyUI's text encoders say so too where they have none
    if family.masked:
        options = {"attention_mask": torch.ones(1, length, dtype=torch.long), **options}
    return [[context, {**family.options, **options}]]


# -- VAEs ---------------------------------------------------------------------------------------------------
# Three halvings of time, and of space after patches of four: 8 and 32, as the real one has.
LTX_VAE = {
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "encoder_base_channels": 16,
    "decoder_base_channels": 16,
    "blocks": [["res_x", 1], ["compress_all", 1], ["res_x", 1], ["compress_all", 1], ["res_x", 1]]
    + [["compress_all", 1], ["res_x", 1]],
}
_WAN_VAE = {
    "dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "dropout": 0.0,
}
_KL = {
    "double_z": True,
    "z_channels": 16,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
    "conv3d": True,
    "time_compress": 4,
}
_REFINER = {
    "block_out_channels": [32, 32, 64, 64, 64],
    "in_channels": 3,
    "out_channels": 3,
    "num_res_blocks": 2,
    "ffactor_spatial": 16,
    "ffactor_temporal": 4,
    "downsample_match_channel": True,
    "upsample_match_channel": True,
    "z_channels": 32,
}
_HUNYUAN15 = {
    "regularizer_config": {"target": "comfy.ldm.models.autoencoder.EmptyRegularizer"},
    "encoder_config": {"target": "comfy.ldm.hunyuan_video.vae_refiner.Encoder", "params": _REFINER},
    "decoder_config": {"target": "comfy.ldm.hunyuan_video.vae_refiner.Decoder", "params": _REFINER},
}


def _minimax(network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A small encoder, and a decoder of one layer in place of 36."""
    import comfy.ldm.minimax.vae as place

    small = partial(place.ViT3DDecoder, num_layers=1, heads=2)
    with mock.patch.object(place, "ViT3DDecoder", small):
        return network(*args, **{**kwargs, "ch": 32, "ch_mult": (1, 1, 1, 1, 1, 1), "num_res_blocks": 1})


def _sized(sizes: Sizes) -> Callable[..., Any]:
    """Make the network of a VAE with `sizes`, whatever ComfyUI asks for."""
    return lambda network, *args, **kwargs: network(**{**kwargs, **sizes})


# Name -> the class that ComfyUI makes, where it looks it up, and how it is made small.
VAES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "wan": (
        "comfy.ldm.wan.vae",
        "WanVAE",
        _sized({**_WAN_VAE, "z_dim": 16, "image_channels": 3, "conv_out_channels": 3}),
    ),
    "wan22": ("comfy.ldm.wan.vae2_2", "WanVAE", _sized({**_WAN_VAE, "z_dim": 48, "dec_dim": 16})),
    "ltxv": ("comfy.ldm.lightricks.vae.causal_video_autoencoder", "VideoVAE", _sized({"config": LTX_VAE})),
    "hunyuan": ("comfy.sd", "AutoencoderKL", _sized({"ddconfig": _KL, "embed_dim": 16})),
    "hunyuan15": ("comfy.sd", "AutoencodingEngine", _sized(_HUNYUAN15)),
    "cogvideox": (
        "comfy.ldm.cogvideo.vae",
        "AutoencoderKLCogVideoX",
        _sized({"latent_channels": 16, "block_out_channels": (32, 32, 64, 64), "layers_per_block": 1}),
    ),
    "minimax_h3": ("comfy.ldm.minimax.vae", "MiniMaxH3VideoVAE", _minimax),
}


def vae(name: str, seed: int = 0) -> Any:
    """Make a VAE in `VAES`, in float32. seed: of its weights."""
    import comfy.sd

    place, kind, make = VAES[name]
    module = importlib.import_module(place)
    network = getattr(module, kind)
    small = partial(make, network)
    with mock.patch.object(module, kind, small):
        made = comfy.sd.VAE(sd=random_weights(small(), seed), dtype=torch.float32)
    made.throw_exception_if_invalid()
    return made
