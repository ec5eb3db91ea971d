"""Just enough of ComfyUI's modules to run `sora_core.host.comfy` where ComfyUI cannot be installed.

Hand-written after the behaviour of 0.33.0: every attribute that our code reads, and no other. What stands here is
the contract; a real ComfyUI decides whether it is right.
"""

from __future__ import annotations

import enum
from types import ModuleType, SimpleNamespace

import torch
from comfy_sampling_standin import KSAMPLER, LOADED, SAMPLING, CFGGuider, KSampler, copied, process_conds
from torch import nn

from sora_core.diffusion.schedules import get_sigmas, percent_to_sigma, shift_sigma, sigma_table


class CONDRegular:
    def __init__(self, cond):
        self.cond = cond


class CONDConstant(CONDRegular): ...


class LatentFormat:
    latent_channels, latent_dimensions = 4, 2
    latent_rgb_factors = latent_rgb_factors_bias = None

    def process_out(self, latent):
        return latent


class Sight:
    """What CLIP sees of a picture."""


class CONST: ...


class Flow(CONST):
    sigma_max = 1.0

    def __init__(self, shift):
        self.shift, self.sigmas = shift, sigma_table(shift)

    def percent_to_sigma(self, percent):
        return percent_to_sigma(percent, self.shift)


class ModelType(enum.Enum):
    FLOW = 6


class Linear(nn.Linear):
    """A layer that casts its weights as it is used."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class BaseModel(nn.Module):
    def __init__(self, config, model_type, device=None, unet_model=None):
        super().__init__()
        self.model_config, self.manual_cast_dtype = config, None
        operations = SimpleNamespace(Linear=Linear, LayerNorm=nn.LayerNorm, Conv3d=nn.Conv3d)
        self.diffusion_model = unet_model(**config.unet_config, device=device, operations=operations)
        self.latent_format, self.model_sampling = (config.latent_format, Flow(config.sampling_settings["shift"]))

    def load_model_weights(self, state, prefix):
        missing, unexpected = self.diffusion_model.load_state_dict(state, strict=False)
        assert not missing and not unexpected

    def get_dtype(self):
        return next(self.diffusion_model.parameters()).dtype

    def extra_conds(self, **kwargs):
        return {"c_crossattn": CONDRegular(kwargs["cross_attn"])}

    def process_timestep(self, timestep, **kwargs):
        return timestep

    def scale_latent_inpaint(self, sigma, noise, latent_image, **kwargs):
        raise NotImplementedError

    def apply_model(self, x, sigma, conds, transformer_options):
        extra = {name: cond.cond for name, cond in conds.items()}
        context = extra.pop("c_crossattn")
        t = self.process_timestep(sigma * 1000, x=x, **extra)
        v = self.diffusion_model(x, t, context=context, control=None, transformer_options=transformer_options, **extra)
        return x - sigma.view(-1, 1, 1, 1, 1) * v


class BASE:
    def __init__(self, unet_config):
        self.unet_config = dict(unet_config)

    def set_inference_dtype(self, dtype, manual_cast_dtype):
        self.unet_config["dtype"] = dtype


class ClipTarget:
    def __init__(self, tokenizer, clip):
        self.tokenizer, self.clip, self.params = tokenizer, clip, {}


class ModelPatcher:
    def __init__(self, model, load_device, offload_device):
        self.model, self.load_device = model, load_device
        self.model_options = {"transformer_options": {}}
        self.patches, self.object_patches, self.wrappers, self.callbacks, self.injections = {}, {}, {}, {}, {}
        self.attachments, self.running = {}, False

    def get_model_object(self, name):
        return self.object_patches.get(name, getattr(self.model, name))

    def clone(self):
        other = ModelPatcher(self.model, self.load_device, None)
        for name in (
            "model_options",
            "patches",
            "object_patches",
            "wrappers",
            "callbacks",
            "injections",
            "attachments",
        ):
            setattr(other, name, copied(getattr(self, name)))
        return other

    def is_clone(self, other):
        return self.model is other.model

    def set_attachments(self, key, value):
        self.attachments[key] = value

    def get_attachment(self, key):
        return self.attachments.get(key)

    def model_dtype(self):
        return torch.float32

    def pre_run(self):
        assert any(loaded.model is self for loaded in LOADED)
        self.running = True

    def cleanup(self):
        assert self.running
        self.running = False


class CLIP:
    def __init__(self, target, model_options):
        self.tokenizer = target.tokenizer(embedding_directory=None, tokenizer_data={})
        self.cond_stage_model = target.clip(
            **target.params, dtype=model_options["dtype"], device="cpu", model_options=model_options
        )
        assert self.cond_stage_model.dtypes and self.tokenizer.state_dict() == {}

    def tokenize(self, text):
        return self.tokenizer.tokenize_with_weights(text, False)

    def encode_from_tokens_scheduled(self, tokens):
        self.cond_stage_model.reset_clip_options()
        self.cond_stage_model.set_clip_options({"execution_device": "cpu"})
        cond, pooled, extra = self.cond_stage_model.encode_token_weights(tokens)
        return [[cond, {"pooled_output": pooled, **extra}]]


class VAE:
    def __init__(self, sd):
        self.process_input, self.process_output = (lambda x: x * 2 - 1, lambda x: x.add_(1).div_(2).clamp_(0, 1))
        self.first_stage_model = None

    def decode(self, samples):
        assert self.memory_used_decode(samples.shape, self.vae_dtype) > 0
        pixels = self.first_stage_model.decode(samples.to(self.device, self.vae_dtype))
        assert pixels.shape[2] == self.upscale_ratio[0](samples.shape[2])
        return self.process_output(pixels.float()).to(self.output_device).movedim(1, -1)

    def encode(self, pixels):
        video = self.process_input(pixels.movedim(-1, 1).movedim(1, 0)[None])
        assert self.memory_used_encode(video.shape, self.vae_dtype) > 0
        latent = self.first_stage_model.encode(video.to(self.device, self.vae_dtype)).float()
        assert latent.shape[2] == self.downscale_ratio[0](video.shape[2])
        return latent


class ProgressBar:
    updates: list = []

    def __init__(self, total):
        self.total = total

    def update_absolute(self, value, total=None, preview=None):
        ProgressBar.updates.append((value, total, preview))


def their_sampler(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return model(x, x.new_ones(x.shape[0]))


def prepare_noise(latent, seed, batch_inds=None):
    return torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))


def contents(folder) -> dict[str, dict]:
    """Name of a module -> what is in it. Files go under `folder`."""
    cpu, fp32 = torch.device("cpu"), torch.float32
    return {
        "comfy": {},
        **SAMPLING,
        "comfy.conds": {"CONDRegular": CONDRegular, "CONDConstant": CONDConstant},
        "comfy.latent_formats": {"LatentFormat": LatentFormat},
        "comfy.model_base": {"BaseModel": BaseModel, "ModelType": ModelType},
        "comfy.model_management": {
            **{
                name: lambda: cpu
                for name in (
                    "get_torch_device",
                    "unet_offload_device",
                    "vae_device",
                    "vae_offload_device",
                    "intermediate_device",
                )
            },
            "unet_dtype": lambda model_params, supported_dtypes: fp32,
            "unet_manual_cast": lambda weights, device, supported: None,
            "vae_dtype": lambda device, allowed: fp32,
            "dtype_size": lambda dtype: 4,
            "throw_exception_if_processing_interrupted": lambda: None,
            "current_loaded_models": LOADED,
            "soft_empty_cache": lambda: None,
        },
        "comfy.model_patcher": {"ModelPatcher": ModelPatcher},
        "comfy.model_sampling": {"CONST": CONST},
        "comfy.supported_models_base": {"BASE": BASE, "ClipTarget": ClipTarget},
        "comfy.sd": {"CLIP": CLIP, "VAE": VAE},
        "comfy.sample": {"prepare_noise": prepare_noise},
        "comfy.samplers": {
            "KSAMPLER": KSAMPLER,
            "KSampler": KSampler,
            "CFGGuider": CFGGuider,
            "process_conds": process_conds,
            "cast_to_load_options": lambda options, device=None, dtype=None: None,
            "sampler_object": lambda name: KSAMPLER(their_sampler),
            "calculate_sigmas": lambda table, name, steps: get_sigmas(name, steps, shift=table.shift),
        },
        "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy.cli_args": {"args": SimpleNamespace(disable_metadata=False)},
        "folder_paths": {
            "models_dir": str(folder / "models"),
            "add_model_folder_path": lambda name, path: None,
            "get_filename_list": lambda name: sorted(p.name for p in (folder / "models").iterdir()),
            "get_full_path": lambda name, file: str(folder / "models" / file),
            "get_input_directory": lambda: str(folder / "input"),
            "get_output_directory": lambda: str(folder),
            "get_temp_directory": lambda: str(folder / "temp"),
            "get_save_image_path": lambda prefix, out, w, h: (out, prefix.split("/")[-1], 1, "video", prefix),
        },
        "comfy.clip_vision": {"Output": Sight},
        "latent_preview": {"get_previewer": lambda device, layout: object()},
        "server": {"PromptServer": SimpleNamespace(instance=None)},
    }


def modules(folder) -> dict[str, ModuleType]:
    """Everything for `sys.modules`. Files go under `folder`."""
    made = {}
    for name, attributes in contents(folder).items():
        made[name] = ModuleType(name)
        vars(made[name]).update(attributes)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, made[name])
    assert shift_sigma(0.5, 1.0) == 0.5
    return made
