"""Tiny models with random weights, of ComfyUI's own classes and of ours, in a ComfyUI's models folder.

    python tests/benchmarks/comfyui_models.py COMFYUI_FOLDER

Needs ComfyUI's environment and, for `sora_core`, this repository on PYTHONPATH; `comfyui.py` runs it so. Prints the
files that it wrote as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from comfyui_tiny import LTX_VAE
from safetensors.torch import save_file

NAME = "sora_benchmark"


def random_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's state, drawn anew: small, and with norms that let it through."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, weight in network.state_dict().items():
        if "gamma" in name or "norm" in name and name.endswith("weight"):
            state[name] = torch.ones_like(weight)
        else:
            state[name] = torch.randn(weight.shape, generator=generator) * (0.05 if weight.ndim > 1 else 0.02)
    return state


LTX = {"num_attention_heads": 2, "attention_head_dim": 32, "cross_attention_dim": 64, "caption_channels": 4096}


def hunyuan_networks(layers: dict) -> dict[str, tuple[str, torch.nn.Module, dict[str, str]]]:
    """One class, for video and for pictures. Returns the same as `core_networks`."""
    import comfy.ldm.hunyuan_video.model as hunyuan

    shared = {
        "vec_in_dim": None,
        "context_in_dim": 4096,
        "hidden_size": 256,
        "mlp_ratio": 4.0,
        "num_heads": 2,
        "depth": 1,
        "depth_single_blocks": 1,
        "theta": 256,
        "qkv_bias": True,
        "guidance_embed": False,
        "byt5": False,
        "meanflow": False,
        "use_cond_type_embedding": False,
    }
    # HunyuanVideo 1.5: latents, those of a picture to start from, and a mask go in.
    video = hunyuan.HunyuanVideo(
        in_channels=32 + 32 + 1,
        out_channels=32,
        patch_size=[1, 1, 1],
        axes_dim=[16, 56, 56],
        vision_in_dim=1152,
        meanflow_sum=True,
        **shared,
        **layers,
    )
    # With flat patches and no pictures to look at, ComfyUI takes the same class for a model of pictures.
    picture = hunyuan.HunyuanVideo(
        in_channels=64,
        out_channels=64,
        patch_size=[1, 1],
        axes_dim=[64, 64],
        vision_in_dim=None,
        meanflow_sum=False,
        **shared,
        **layers,
    )
    return {"hunyuan": ("diffusion_models", video, {}), "picture": ("diffusion_models", picture, {})}


def core_networks() -> dict[str, tuple[str, torch.nn.Module, dict[str, str]]]:
    """Name -> (models folder, network, metadata of its file)."""
    import comfy.ldm.lightricks.model as ltx
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as ltx_vae
    import comfy.ldm.wan.model as wan
    import comfy.ldm.wan.vae as wan_vae
    import comfy.ops

    layers = {"operations": comfy.ops.disable_weight_init, "dtype": torch.float32, "device": "cpu"}
    wan_network = wan.WanModel(dim=256, ffn_dim=256, num_heads=2, num_layers=2, in_dim=16, out_dim=16, **layers)
    vae = wan_vae.WanVAE(
        dim=16,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        image_channels=3,
        conv_out_channels=3,
        dropout=0.0,
    )
    config = {"config": json.dumps({"transformer": LTX, "vae": LTX_VAE})}
    return {
        "wan": ("diffusion_models", wan_network, {}),
        "wan_vae": ("vae", vae, {}),
        "ltx": ("diffusion_models", ltx.LTXVModel(num_layers=2, **LTX, **layers), config),
        "ltx_vae": ("vae", ltx_vae.VideoVAE(config=LTX_VAE), config),
        **hunyuan_networks(layers),
    }


def save_core(models: Path) -> list[Path]:
    files = []
    for name, (folder, network, metadata) in core_networks().items():
        path = models / folder / f"{NAME}_{name}.safetensors"
        save_file(random_weights(network), path, metadata)
        files.append(path)
    return files


def save_wide_text(models: Path) -> Path:
    """A checkpoint of ours whose text encoder is as wide as Wan's, to encode prompts for it."""
    from sora_core.language.lexicon import load_lexicon
    from sora_core.loading import checkpoint
    from sora_core.model.dit import DiT, DiTConfig
    from sora_core.model.text.concepts import TextConfig, TextEncoder, Vocabulary
    from sora_core.model.vae.mini import VAEConfig, VideoVAE

    torch.manual_seed(0)
    parts = {
        "dit": DiT(DiTConfig(64, 64, 2, 1)),
        "vae": VideoVAE(VAEConfig(width=(16, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1))),
        "text": TextEncoder(TextConfig(4096, 4, 0, 64), Vocabulary.from_lexicon(load_lexicon())),
    }
    path = models / "sora" / f"{NAME}_text.safetensors"
    path.parent.mkdir(exist_ok=True)
    checkpoint.save(path, parts, {"name": "wide text"}, dtype=torch.float32)
    return path


def save_lora(models: Path, strength: float, rank: int = 4) -> list[Path]:
    """A random LoRA for every linear layer of sora-mini's blocks, and sora-mini with it merged by hand."""
    from sora_core.loading import checkpoint

    parts, info = checkpoint.load_parts("sora-mini")
    generator, lora = torch.Generator().manual_seed(1), {}
    state = parts["dit"].state_dict()
    for name, weight in state.items():
        if name.startswith("blocks") and name.endswith(".weight") and weight.ndim == 2:
            down = torch.randn(rank, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5
            up = torch.randn(weight.shape[0], rank, generator=generator) * 0.1
            key = "diffusion_model." + name.removesuffix(".weight")
            lora[f"{key}.lora_A.weight"], lora[f"{key}.lora_B.weight"] = down, up
            state[name] = weight + strength * (up @ down)
    parts["dit"].load_state_dict(state)
    adapter, merged = models / "loras" / f"{NAME}.safetensors", models / "sora" / f"{NAME}_merged.safetensors"
    save_file(lora, adapter)
    checkpoint.save(merged, parts, info, dtype=torch.float32)
    return [adapter, merged]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="ComfyUI's")
    folder = parser.parse_args().folder.resolve()
    # ComfyUI reads the command line as it is imported.
    sys.argv = ["comfyui_models", "--cpu"]
    sys.path.insert(0, str(folder))
    import comfy.options

    comfy.options.enable_args_parsing()
    models = folder / "models"
    files = [save_wide_text(models), *save_lora(models, 0.7), *save_core(models)]
    print(json.dumps([str(f) for f in files]))


if __name__ == "__main__":
    main()
