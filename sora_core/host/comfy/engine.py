"""The backend inside ComfyUI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management as management
import comfy.samplers
import comfy.utils
import folder_paths
import latent_preview as host_preview
import torch
from comfy.cli_args import args
from torch import Tensor

from ...latents.masks import to_latent_grid
from ...errors import expect
from ...latents.decoding import encode
from ...latents.patches import forward_flops
from ...latents.previews import PreviewLoop, latent_preview
from ...loading import checkpoint
from ...loading.lora import apply_lora, embedded_loras, read_lora
from ...model.patch import check_divisible
from ...pipeline.engine import SORA_MINI, SPACE, Family, Loaded, check_family, check_prompt_given, embedded_models
from ...safety import gate
from . import sampler as sampling
from .families import check_text, model_family, vae_family

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FOLDER = "sora"


class ComfyBackend:
    name = "ComfyUI"
    part = (0, 1)

    def __init__(self) -> None:
        folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))

    def model_files(self) -> dict[str, Path]:
        """The embedded models, and checkpoints in ComfyUI's folder models/sora."""
        names = [n for n in folder_paths.get_filename_list(FOLDER) if n.endswith(".safetensors")]
        return embedded_models() | {name: Path(folder_paths.get_full_path(FOLDER, name)) for name in names}

    def lora_files(self) -> dict[str, Path]:
        """The embedded ones, and those in ComfyUI's folder models/loras, which its LoraLoader offers too."""
        names = folder_paths.get_filename_list("loras")
        own = {n: Path(folder_paths.get_full_path("loras", n)) for n in names if n.endswith(".safetensors")}
        return embedded_loras() | own

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        from .clip import make_clip
        from .model import make_model
        from .vae import make_vae

        kind = DTYPES.get(dtype)
        # Read in full precision and strictly: what is wrong with a file is said here, not by ComfyUI's loader.
        parts = checkpoint.load_model(path)
        parts = apply_lora(parts, read_lora(lora), lora_strength) if lora else parts
        info = parts.info
        model = make_model(parts.dit.config, parts.dit.state_dict(), info, kind)
        clip = make_clip(parts.text.config, parts.text.tokenizer.vocabulary, parts.text.state_dict())
        vae = make_vae(parts.vae.config, parts.vae.state_dict(), kind, model.model.sora_name)
        return Loaded(model, clip, vae, info)

    def encode_text(self, clip: Any, text: str) -> tuple[list, list[str]]:
        gate.check_text(text)
        find = getattr(clip.tokenizer, "unknown_words", None)
        return clip.encode_from_tokens_scheduled(clip.tokenize(text)), find(text) if find else []

    def family(self, model: Any = None, vae: Any = None) -> Family:
        if model is not None:
            return model_family(model)
        return vae_family(vae) if vae is not None else SORA_MINI

    def flops(self, model: Any) -> Callable[[int], float] | None:
        config = getattr(model.model.diffusion_model, "config", None)
        if not hasattr(config, "num_layers"):
            return None
        weights = sum(p.numel() for p in model.model.diffusion_model.blocks.parameters())
        return lambda tokens: forward_flops(tokens, weights, config.dim, config.num_layers)

    def sampler_names(self) -> list[str]:
        return list(comfy.samplers.KSampler.SAMPLERS)

    def scheduler_names(self) -> list[str]:
        return list(comfy.samplers.KSampler.SCHEDULERS)

    def make_sampler(self, name: str, options: dict[str, Any]) -> Any:
        return sampling.make_sampler(name, options)

    def make_sigmas(self, model: Any, scheduler: str, steps: int, denoise: float, sampler: str | None = None) -> Tensor:
        return sampling.make_sigmas(model, scheduler, steps, denoise, sampler)

    def sample(
        self,
        model: Any,
        latent: dict,
        positive: list,
        negative: list | None,
        *,
        sampler: Any,
        sigmas: Tensor,
        seed: int,
        cfg: float,
        interval: tuple[float, float],
    ) -> dict:
        check_prompt_given(positive)
        family = model_family(model)
        given = latent["samples"]
        expect(
            not getattr(given, "is_nested", False),
            "latent: sound and picture in one latent are sampled by "
            "ComfyUI's own nodes only. Use SamplerCustomAdvanced.",
        )
        samples = fit_empty(family, check_family(family, latent, "the model", refit=True), latent)
        check_text(model, positive, "positive")
        check_text(model, negative, "negative")
        if hasattr(model.model, "sora_name"):  # Core's models pad what does not divide.
            check_divisible(samples.shape, family.patch_size)
        mask = latent.get("noise_mask")
        if mask is not None:
            expect(
                family.masks != "none",
                f"latent: it has a noise mask that keeps a part of it, and {family.name} cannot keep parts of a "
                "video. Use another model for this edit, or SoraEmptyLatent to make everything new.",
            )
            mask = to_latent_grid(mask, samples.shape, family.temporal_ratio).float()
        rest = {k: v for k, v in latent.items() if not k.startswith("downscale_ratio")}
        if family.space:
            rest[SPACE] = family.space
        if len(sigmas) < 2 or (mask is not None and not bool(mask.any())):
            return {**rest, "samples": samples}
        layout = model.get_model_object("latent_format")
        show = host_preview.get_previewer(model.load_device, layout) is not None
        factors, bias = layout.latent_rgb_factors, layout.latent_rgb_factors_bias
        with self.wait(len(sigmas) - 1) as report:

            def callback(done: int, x0: Tensor) -> None:
                report(done, latent_preview(x0, factors, bias) if show else None)

            made = sampling.run(
                model,
                samples,
                mask,
                positive,
                negative,
                sampler=sampler,
                sigmas=sigmas,
                seed=seed,
                cfg=cfg,
                interval=interval,
                batch_index=latent.get("batch_index"),
                callback=callback,
            )
        return {**rest, "samples": made.to(management.intermediate_device())}

    def decode(self, vae: Any, latent: dict) -> Tensor:
        samples = check_family(vae_family(vae), latent, "this VAE")
        images = vae.decode(samples)
        expect(bool(torch.isfinite(images).all()), "The VAE decoded NaN or infinite values. Load it in fp32.")
        return images.flatten(0, 1) if images.ndim == 5 else images

    def encode(self, vae: Any, images: Tensor, refine: int = 0) -> dict:
        family = vae_family(vae)
        if refine:
            expect(hasattr(vae, "sora_name"), f"refine: {family.name} has none. Set it to 0, or use sora-mini's VAE.")
            samples = self._refined(vae, images[..., :3], refine)
        else:
            samples = vae.encode(images[..., :3])
        return {"samples": samples} | ({SPACE: family.space} if family.space else {})

    def _refined(self, vae: Any, images: Tensor, steps: int) -> Tensor:
        # Core's own encode knows no gradients: here the VAE is put on its device, and called without it.
        management.load_models_gpu([vae.patcher])
        with self.wait(100) as report:
            latent = encode(vae.first_stage_model, images, steps, lambda done, total: report(round(100 * done / total)))
        return latent.to(management.intermediate_device())

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
        return Path(folder) / f"{name}_{counter:05}_{suffix}", subfolder

    def metadata(self, hidden: Any) -> dict[str, str]:
        if args.disable_metadata:
            return {}
        tags = {"prompt": hidden.prompt} if hidden.prompt else {}
        return {k: json.dumps(v) for k, v in (tags | (hidden.extra_pnginfo or {})).items()}

    def show_text(self, node_id: str | None, text: str) -> None:
        from server import PromptServer

        if node_id is not None and PromptServer.instance is not None:
            PromptServer.instance.send_progress_text(text, node_id)

    @contextmanager
    def wait(self, total: int) -> Iterator[Callable[..., None]]:
        index, count = self.part
        total, before = total * count, total * index
        bar = comfy.utils.ProgressBar(total)
        done = before

        def send(picture: Any) -> None:
            bar.update_absolute(done, total, ("JPEG", picture, None))

        loop = PreviewLoop(send)

        def report(steps: int, preview: Any = None) -> None:
            nonlocal done
            done = before + steps
            management.throw_exception_if_processing_interrupted()
            bar.update_absolute(done, total)
            loop.show(gate.check_preview(preview))

        try:
            yield report
        finally:
            loop.close()


def fit_empty(family: Family, samples: Tensor, latent: dict) -> Tensor:
    """An empty latent made for another model, as an empty one of this family; any other as it is."""
    ratio = latent.get("downscale_ratio_spacial") or family.spatial_ratio
    if bool(samples.any()) or (samples.shape[1] == family.channels and ratio == family.spatial_ratio):
        return samples
    height, width = (side * ratio // family.spatial_ratio for side in samples.shape[-2:])
    return samples.new_zeros(samples.shape[0], family.channels, samples.shape[2], height, width)
