"""The engine without ComfyUI: our own networks on the MODEL, CLIP and VAE sockets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.experts import Expert, boundary_of, check_experts
from ..diffusion.samplers import OTHER_NAMES, SAMPLERS, get_sampler, under_our_name
from ..diffusion.sampling import DiffusionModel, prepare_noise, sample
from ..diffusion.schedules import SCHEDULERS, get_sigmas, ksampler_sigmas
from ..diffusion.velocity import Wrapper
from ..errors import SoraError, expect
from ..latents import decoding
from ..latents.leftover import leave_noise, take_noise
from ..latents.patches import forward_flops
from ..latents.previews import Preview, latent_preview
from ..latents.space import SORA, SORA_MINI, LatentSpace
from ..latents.streaming import decode_pieces
from ..loading.checkpoint import PRECISIONS, ModelBundle, load_model
from ..loading.fingerprint import fingerprint
from ..loading.lora import apply_lora, read_lora
from ..model.dit import DiT
from ..model.text.concepts import TextEncoder, Tokenizer
from ..model.text.emphasis import check_length, encode_prompt, plain_text
from ..model.vae.mini import VideoVAE
from ..safety.gate import check_text
from ..tasks.families import ModelKind
from ..tasks.shots import join_prompts
from . import progress
from .engine import Conditioning, Latent, Loaded, Report, check_prompt_given


class ClipSocket:
    """What a CLIP socket holds: a text encoder that reads prompts with weights, under the policy in force."""

    def __init__(self, text: TextEncoder) -> None:
        self.text = text

    @torch.no_grad()
    def encode(self, prompt: str) -> Conditioning:
        """Encode to `[[context [1,L,D], {"sora_empty": bool}]]`.

        Raises SoraError for a prompt that is too long or forbidden.
        """
        check_length(prompt)
        check_text(prompt)
        return [[encode_prompt(self.text, prompt), {"sora_empty": not prompt.strip()}]]

    def unknown_words(self, prompt: str) -> list[str]:
        """List the words of a prompt that the model has never seen."""
        return self.text.unknown_words(plain_text(prompt))


class VaeSocket:
    """What a VAE socket holds: latents to IMAGE and back, with progress told to the host."""

    def __init__(self, vae: VideoVAE, name: str = "model") -> None:
        self.vae, self.name = vae, name

    def decode(self, latent: Tensor) -> Tensor:
        """Decode `[B,C,T,h,w]` to IMAGE `[B*T,H,W,3]`; a clip of a batch follows the one before it."""
        latent = latent.unsqueeze(2) if latent.ndim == 4 else latent
        return decoding.decode(self.vae, latent, progress.report).flatten(0, 1)

    def encode(self, images: Tensor, refine: int = 0, corrections: int | None = None) -> Tensor:
        """Encode IMAGE `[T,H,W,3]` to a latent `[1,C,T',h,w]`. refine, corrections: see `decoding.encode`."""
        return decoding.encode(self.vae, images, refine, progress.report if refine else None, corrections)


@dataclass
class SamplerSocket:
    """What a SAMPLER socket holds: a sampler function and its options."""

    name: str
    fn: Callable[..., Tensor]
    options: dict[str, Any] = field(default_factory=dict)


class OwnEngine:
    """The engine of the embedded host, of the commands and of Python."""

    def __init__(self, wrappers: Sequence[Wrapper] = ()) -> None:
        """Make an engine. wrappers: of the model call in every run (a step cache, say), the outermost first."""
        self.wrappers = tuple(wrappers)

    apart = False  # see `Engine`

    def around(self, model: DiffusionModel) -> tuple[Wrapper, ...]:
        """Return the wrappers of a run's model calls, the outermost first."""
        return self.wrappers

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        """Load a checkpoint, on the GPU where there is one; "auto" is bf16 there and fp32 on a CPU."""
        device = usual_device()
        bundle = load_model(path, PRECISIONS.get(dtype) or usual_dtype(device), device)
        return wrap(apply_lora(bundle, read_lora(lora), lora_strength) if lora else bundle)

    def join_experts(self, high: DiffusionModel, low: DiffusionModel, boundary: float = 0.0) -> DiffusionModel:
        """Make one MODEL of two experts: `high` for noise from `boundary` up, `low` below it."""
        for name, model in (("high_noise", high), ("low_noise", low)):
            expect(model.low_noise is None, f"{name}: {model.name} is two experts already. Use one of them.")
        expect(
            high.wrappers == low.wrappers,
            "Sora Step Cache stands before one expert alone: connect it behind Sora Experts, for both.",
        )
        sides = [Expert(model.space, model.space.vae, model.text_dim) for model in (high, low)]
        check_experts(*sides)
        return high.with_low_noise(low, boundary_of(boundary, sides[0]))

    def with_caching(self, model: DiffusionModel, cache: float, gate: float = 0.0) -> DiffusionModel:
        """Patch a MODEL to leave model calls out where little changes, see `diffusion.caches`."""
        return model.with_caching(cache, gate)

    def encode_text(self, clip: ClipSocket, text: str) -> tuple[Conditioning, list[str]]:
        """Encode a prompt, and list the words of it that the model does not know."""
        return clip.encode(text), clip.unknown_words(text)

    def known_words(self, clip: ClipSocket) -> Collection[str] | None:
        """List the words that a text encoder knows; None for one without a vocabulary of its own."""
        tokenizer = getattr(clip.text, "tokenizer", None)
        return tokenizer.vocabulary.surfaces if isinstance(tokenizer, Tokenizer) else None

    def latent_space(self, model: DiffusionModel | None = None, vae: VaeSocket | None = None) -> LatentSpace:
        """Describe the latents of a model or of a VAE."""
        if model is not None:
            return model.space
        if vae is not None:
            config = vae.vae.config
            return LatentSpace(vae.name, config.latent_channels, config.temporal_ratio, config.spatial_ratio, vae=SORA)
        return SORA_MINI

    def model_kind(self, model: DiffusionModel) -> ModelKind:
        """Tell what decides in which language the model is told of an edit: timesteps by token."""
        return ModelKind("SoraModel", model.space)

    def with_sound(self, model: DiffusionModel, latent: Latent) -> Latent:
        """Return the LATENT: our models make no sound."""
        return latent

    def encode_vision(self, vision: Any, pictures: Sequence[Tensor]) -> Any:
        """Refuse: no model of ours reads CLIP vision."""
        raise SoraError("clip_vision: sora-mini does not read it. Disconnect it.")

    def join_shots(
        self,
        prompts: Sequence[Conditioning],
        latents: Sequence[int],
        shape: Sequence[int],
        model: DiffusionModel | None = None,
        clip: ClipSocket | None = None,
    ) -> Conditioning:
        """Make one CONDITIONING of several shots' prompts, which our transformer reads shot by shot."""
        return join_prompts(prompts, latents)

    def fit_shots(
        self, model: DiffusionModel, conditioning: Conditioning, latent: Latent, which: str = "positive"
    ) -> Conditioning:
        """Return the conditioning: our transformer fits it to the latent by itself."""
        return conditioning

    def flops(self, model: DiffusionModel) -> Callable[[int], float] | None:
        """Return the cost of one model call by number of tokens; None for a network that is no transformer of ours."""
        if not isinstance(model.dit, DiT):
            return None
        config, weights = model.dit.config, sum(p.numel() for p in model.dit.blocks.parameters())
        return lambda tokens: forward_flops(tokens, weights, config.dim, config.num_layers)

    def fingerprint(self, model: DiffusionModel) -> str:
        """Name what a MODEL computes: its weights, LoRAs among them, its shift, and what stands around its calls."""
        low = [] if model.low_noise is None else [model.low_noise, model.boundary]
        # Named only where there are some, so that renders of before can go on.
        caches = [model.wrappers] if model.wrappers else []
        return fingerprint([model.space.name, model.dit, model.shift, self.wrappers, *low, *caches])

    def sampler_names(self) -> list[str]:
        """List ComfyUI's names of samplers that have another here."""
        return list(OTHER_NAMES)

    def scheduler_names(self) -> list[str]:
        """List the schedulers."""
        return list(SCHEDULERS)

    def make_sampler(self, name: str, options: Mapping[str, Any]) -> SamplerSocket:
        """Make a SAMPLER of our registry. Raises SoraError for an unknown name or option."""
        name, options = under_our_name(name, options)
        spec = get_sampler(name)
        return SamplerSocket(name, spec.fn, spec.check_options(options))

    def make_sigmas(
        self, model: DiffusionModel, scheduler: str, steps: int, denoise: float = 1.0, sampler: str | None = None
    ) -> Tensor:
        """Make SIGMAS as BasicScheduler gives them; for a named sampler, as KSampler runs it."""
        if sampler is None:
            return get_sigmas(scheduler, steps, shift=model.shift, denoise=denoise)
        sampler, _ = under_our_name(sampler)
        discard = sampler in SAMPLERS and SAMPLERS[sampler].discard_penultimate
        return ksampler_sigmas(scheduler, steps, discard_penultimate=discard, shift=model.shift, denoise=denoise)

    def sample(
        self,
        model: DiffusionModel,
        latent: Latent,
        positive: Conditioning,
        negative: Conditioning | None,
        *,
        sampler: SamplerSocket,
        sigmas: Tensor,
        seed: int,
        cfg: float,
        interval: tuple[float, float] = (0.0, 1.0),
        noise: Any = None,
    ) -> Latent:
        """Sample a LATENT. interval: the part of the run, 0..1, in which guidance is on. noise: a NOISE."""
        fitted = model.space.fit_empty(latent, "the model")
        mask, drawn = None, None
        if noise is not None:
            seed, drawn = noise.seed, take_noise(fitted, noise.generate_noise(fitted))
        if fitted.get("noise_mask") is not None and len(sigmas) and float(sigmas[-1]) > 0:
            # Another run may go on from here, and wants the noise of what is kept.
            mask = model.space.mask_of(fitted["noise_mask"], fitted["samples"].shape)
            drawn = prepare_noise(fitted["samples"], seed, fitted.get("batch_index")) if drawn is None else drawn
        made, _ = self.run(
            model,
            fitted,
            positive,
            negative,
            sampler=sampler,
            sigmas=sigmas,
            seed=seed,
            cfg=cfg,
            interval=interval,
            noise=drawn,
        )
        return leave_noise(made, mask, drawn)

    def run(
        self,
        model: DiffusionModel,
        latent: Latent,
        positive: Conditioning,
        negative: Conditioning | None,
        *,
        sampler: SamplerSocket,
        sigmas: Tensor,
        seed: int,
        cfg: float,
        interval: tuple[float, float] = (0.0, 1.0),
        add_noise: bool = True,
        noise: Tensor | None = None,
    ) -> tuple[Latent, Latent]:
        """Sample with progress told and interrupts heard; returns the LATENT, and one of its last x0 estimate.

        interval: the part of the run, 0..1, in which guidance is on. noise: in place of what the seed draws.
        """
        check_prompt_given(positive)
        rgb = model.latent_rgb or {}
        last: dict[str, Tensor] = {}
        with self.wait(max(len(sigmas) - 1, 1)) as report:

            def callback(step: dict[str, Any]) -> None:
                last["samples"] = step["denoised"]
                seen = progress.wants_previews()
                preview = latent_preview(step["denoised"], rgb.get("factors"), rgb.get("bias")) if seen else None
                report(step["i"] + 1, preview)

            made = sample(
                model,
                model.space.fit_empty(latent, "the model"),
                positive,
                negative if cfg != 1.0 else None,  # at 1 its share is nothing
                seed=seed,
                sampler=get_sampler(sampler.name) if sampler.name in SAMPLERS else sampler.fn,
                options=sampler.options,
                sigmas=sigmas,
                cfg=cfg,
                guidance_interval=(model.percent_to_sigma(interval[1]), model.percent_to_sigma(interval[0])),
                add_noise=add_noise,
                noise=noise,
                callback=callback,
                wrappers=self.around(model),
            )
        made = model.space.mark(made)
        return made, {**made, **{key: value.to(made["samples"].device) for key, value in last.items()}}

    def decode(self, vae: VaeSocket, latent: Latent) -> Tensor:
        """Decode a LATENT to IMAGE `[B*T,H,W,3]`."""
        return vae.decode(self.latent_space(vae=vae).samples_of(latent, "this VAE"))

    def decode_pieces(self, vae: VaeSocket, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decode latents in pieces to frames in pieces, with the decoder's memory of all that came before."""
        return decode_pieces(vae.vae, pieces)

    def encode(self, vae: VaeSocket, images: Tensor, refine: int = 0, corrections: int | None = None) -> Latent:
        """Encode IMAGE `[T,H,W,3]` to a LATENT."""
        return self.latent_space(vae=vae).mark({"samples": vae.encode(images, refine, corrections)})

    @contextmanager
    def wait(self, total: int) -> Iterator[Report]:
        """Tell progress to whoever runs the node, or to nobody."""
        progress.check_interrupted()
        index, count = progress.current_part()

        def report(done: int, preview: Preview | None = None) -> None:
            progress.report(index * total + done, total * count, preview)

        yield report


def usual_device() -> str:
    """Return the device to load a model on: the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def checked_device(device: str) -> str:
    """Return `device`. Raises SoraError for one that there is not, or that this PyTorch cannot use."""
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SoraError(
            f"The device {device!r} cannot be used ({reason:.120}): use cpu, or cuda where there is a GPU."
        ) from error
    return device


def usual_dtype(device: str) -> torch.dtype:
    """Return the precision to load a model in: bf16 on a GPU, fp32 on a CPU."""
    return torch.float32 if device.startswith("cpu") else torch.bfloat16


def wrap(bundle: ModelBundle) -> Loaded:
    """Wrap a loaded checkpoint as the three sockets' values.

    Raises SoraError when its parts do not belong together.
    """
    info, dit, vae = bundle.info, bundle.dit, bundle.vae
    name = info.get("name", "model")
    expect(
        dit.config.in_dim == vae.config.latent_channels,
        f"{name}: the transformer works on {dit.config.in_dim} channels, its VAE on {vae.config.latent_channels}.",
    )
    config = vae.config
    space = LatentSpace(
        name, dit.config.in_dim, config.temporal_ratio, config.spatial_ratio, dit.config.patch_size, vae=SORA
    )
    model = DiffusionModel(dit, shift=info.get("shift", 1.0), name=name, space=space)
    model.latent_rgb = info.get("latent_rgb")
    return Loaded(model, ClipSocket(bundle.text), VaeSocket(vae, name), info)
