"""The backend without ComfyUI: our own objects on the MODEL, CLIP and VAE sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.samplers import SAMPLERS, get_sampler
from ..diffusion.sampling import DiffusionModel, sample
from ..diffusion.schedules import SCHEDULERS, get_sigmas, ksampler_sigmas
from ..errors import expect
from ..host.desk.folders import current
from ..host.images import metadata_of
from ..latents import decoding
from ..latents.patches import forward_flops
from ..latents.previews import latent_preview
from ..loading.checkpoint import ModelBundle, load_model
from ..loading.lora import apply_lora, embedded_loras, read_lora
from ..model.text.concepts import TextEncoder
from ..model.text.emphasis import encode_prompt, plain_text
from ..model.vae.mini import VideoVAE
from ..safety.gate import check_text
from . import progress
from .engine import SORA, SORA_MINI, Family, Loaded, check_prompt_given, embedded_models

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Clip:
    """What a CLIP socket holds: the text encoder, and prompts to CONDITIONING."""

    def __init__(self, text: TextEncoder) -> None:
        self.text = text

    @torch.no_grad()
    def encode(self, prompt: str) -> list:
        """`[[context [1,L,D], {"sora_empty": bool}]]`. Raises SoraError for a prompt that is too long or forbidden."""
        check_text(prompt)
        return [[encode_prompt(self.text, prompt), {"sora_empty": not prompt.strip()}]]

    def unknown_words(self, prompt: str) -> list[str]:
        return self.text.unknown_words(plain_text(prompt))


class Vae:
    """What a VAE socket holds: latents to IMAGE and back, with progress told to the host."""

    def __init__(self, vae: VideoVAE, name: str = "model") -> None:
        self.vae, self.name = vae, name

    def decode(self, latent: Tensor) -> Tensor:
        """`[B,C,T,h,w]` -> IMAGE `[B*T,H,W,3]`; a clip of a batch follows the one before it."""
        latent = latent.unsqueeze(2) if latent.ndim == 4 else latent
        return decoding.decode(self.vae, latent, progress.report).flatten(0, 1)

    def encode(self, images: Tensor, refine: int = 0) -> Tensor:
        """IMAGE `[T,H,W,3]` -> latent `[1,C,T',h,w]`; refine: see `decoding.encode`."""
        return decoding.encode(self.vae, images, refine, progress.report if refine else None)


class StandaloneBackend:
    name = "standalone"
    part = (0, 1)

    def model_files(self) -> dict[str, Path]:
        """The embedded models, and checkpoints in the folder `models` where the program was started."""
        folder = Path("models")
        own = {p.name: p for p in sorted(folder.glob("*.safetensors"))} if folder.is_dir() else {}
        return embedded_models() | own

    def lora_files(self) -> dict[str, Path]:
        """The embedded LoRAs, and files in the folder `models/loras`."""
        return embedded_loras() | {p.name: p for p in sorted(Path("models/loras").glob("*.safetensors"))}

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = DTYPES.get(dtype, torch.bfloat16 if device == "cuda" else torch.float32)
        bundle = load_model(path, kind, device)
        return wrap(apply_lora(bundle, read_lora(lora), lora_strength) if lora else bundle)

    def encode_text(self, clip: Clip, text: str) -> tuple[list, list[str]]:
        return clip.encode(text), clip.unknown_words(text)

    def family(self, model: DiffusionModel | None = None, vae: Vae | None = None) -> Family:
        if model is not None:
            spec = model.latent
            return Family(
                model.name, spec.channels, spec.temporal_ratio, spec.spatial_ratio, spec.patch_size, space=SORA
            )
        if vae is not None:
            config = vae.vae.config
            return Family(vae.name, config.latent_channels, config.temporal_ratio, config.spatial_ratio, space=SORA)
        return SORA_MINI

    def flops(self, model: DiffusionModel):
        config = model.dit.config
        weights = sum(p.numel() for p in model.dit.blocks.parameters())
        return lambda tokens: forward_flops(tokens, weights, config.dim, config.num_layers)

    def sampler_names(self) -> list[str]:
        return []

    def scheduler_names(self) -> list[str]:
        return list(SCHEDULERS)

    def make_sampler(self, name: str, options: dict[str, Any]) -> Any:
        # The object that the core nodes of the embedded host exchange, so that ours fit theirs and
        # theirs ours.
        from ..host.core_nodes.sampling import ChosenSampler

        spec = get_sampler(name)
        return ChosenSampler(name, spec.fn, spec.check_options(options))

    def make_sigmas(
        self, model: DiffusionModel, scheduler: str, steps: int, denoise: float, sampler: str | None = None
    ) -> Tensor:
        if sampler is None:
            return get_sigmas(scheduler, steps, shift=model.shift, denoise=denoise)
        discard = sampler in SAMPLERS and SAMPLERS[sampler].discard_penultimate
        return ksampler_sigmas(scheduler, steps, discard_penultimate=discard, shift=model.shift, denoise=denoise)

    def sample(
        self,
        model: DiffusionModel,
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
        from ..host.core_nodes.sampling import fit_latent

        check_prompt_given(positive)
        ours = sampler.name in SAMPLERS
        rgb = getattr(model, "latent_rgb", None) or {}
        with self.wait(max(len(sigmas) - 1, 1)) as report:

            def callback(step: dict) -> None:
                report(step["i"] + 1, latent_preview(step["denoised"], rgb.get("factors"), rgb.get("bias")))

            return sample(
                model,
                fit_latent(model, latent),
                positive,
                negative if cfg != 1.0 else None,
                seed=seed,
                sampler=get_sampler(sampler.name) if ours else sampler.fn,
                options=sampler.options,
                sigmas=sigmas,
                cfg=cfg,
                callback=callback,
                guidance_interval=(model.percent_to_sigma(interval[1]), model.percent_to_sigma(interval[0])),
            )

    def decode(self, vae: Vae, latent: dict) -> Tensor:
        return vae.decode(latent["samples"])

    def encode(self, vae: Vae, images: Tensor, refine: int = 0) -> dict:
        return {"samples": vae.encode(images, refine)}

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        return current().next_file(prefix, suffix, "output", width, height)

    def metadata(self, hidden: Any) -> dict[str, str]:
        return metadata_of(hidden)

    def show_text(self, node_id: str | None, text: str) -> None:
        progress.say(text)

    @contextmanager
    def wait(self, total: int) -> Iterator:
        progress.check_interrupted()
        index, count = self.part
        yield lambda done, preview=None: progress.report(index * total + done, total * count, preview)


def wrap(bundle: ModelBundle) -> Loaded:
    """A loaded checkpoint as the three sockets' values. Raises SoraError when its parts do not belong
    together.
    """
    info, dit, vae = bundle.info, bundle.dit, bundle.vae
    name = info.get("name", "model")
    expect(
        dit.config.in_dim == vae.config.latent_channels,
        f"{name}: the transformer works on {dit.config.in_dim} channels, its VAE on {vae.config.latent_channels}.",
    )
    model = DiffusionModel(dit, shift=info.get("shift", 1.0), name=name)
    model.latent_rgb = info.get("latent_rgb")
    return Loaded(model, Clip(bundle.text), Vae(vae, name), info)
