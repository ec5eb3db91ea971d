"""The engine inside ComfyUI: its own objects on the sockets, its own sampling around our samplers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.model_management as management
import comfy.samplers
import comfy.utils
import latent_preview as host_preview
import torch
from torch import Tensor

from ...errors import expect
from ...latents.decoding import encode
from ...latents.leftover import leave_noise
from ...latents.patches import forward_flops
from ...latents.previews import Preview, latent_preview
from ...latents.refining import USUAL_CORRECTIONS
from ...latents.space import ALONG, SORA_MINI, LatentSpace
from ...latents.streaming import decode_with_history
from ...latents.streams import picture_of, with_picture
from ...loading import checkpoint
from ...loading.fingerprint import fingerprint
from ...loading.lora import apply_lora, read_lora
from ...model.dit import DiT
from ...model.patch import check_divisible
from ...pipeline import progress
from ...pipeline.engine import Conditioning, Latent, Loaded, Report, check_prompt_given
from ...pipeline.stopping import Stoppable
from ...safety import gate
from ...tasks.families import ModelKind
from ...tasks.shots import Streams, fit_prompts, join_shots
from ..previews import PreviewLoop
from . import sampler as sampling
from .caching import with_caching
from .clip import make_clip
from .experts import join
from .families import check_text, model_kind, model_space, sampled, shots_form, streams_of, vae_space
from .fingerprint import described
from .model import make_model
from .sound import with_sound
from .vae import make_vae


class ComfyEngine:
    """ComfyUI's way to load, encode, sample and decode: our model and any video model of its own."""

    apart = False

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        """Load a checkpoint as native MODEL, CLIP and VAE; "auto" lets ComfyUI choose the precision."""
        kind = checkpoint.PRECISIONS.get(dtype)
        # Read in full precision and strictly: what is wrong with a file is said here, not by ComfyUI's loader.
        parts = checkpoint.load_model(path)
        parts = apply_lora(parts, read_lora(lora), lora_strength) if lora else parts
        info = parts.info
        model = make_model(parts.dit.config, parts.dit.state_dict(), info, kind)
        clip = make_clip(parts.text.config, parts.text.tokenizer.vocabulary, parts.text.state_dict())
        vae = make_vae(parts.vae.config, parts.vae.state_dict(), kind, model.model.sora_name)
        return Loaded(model, clip, vae, info)

    def join_experts(self, high: Any, low: Any, boundary: float = 0.0) -> Any:
        """Make one MODEL of two experts, for any sampler of ComfyUI's."""
        return join(high, low, boundary)

    def with_caching(self, model: Any, cache: float, gate: float = 0.0) -> Any:
        """Patch any video MODEL that is a rectified flow, by wrappers of ComfyUI's model call."""
        return with_caching(model, cache, gate)

    def encode_text(self, clip: Any, text: str) -> tuple[Conditioning, list[str]]:
        """Encode a prompt as CLIPTextEncode does, and list the words that our model does not know."""
        gate.check_text(text)
        # Only our tokenizer knows which words it does not know; others split them into pieces.
        find = getattr(clip.tokenizer, "unknown_words", None)
        return clip.encode_from_tokens_scheduled(clip.tokenize(text)), find(text) if find else []

    def known_words(self, clip: Any) -> Collection[str] | None:
        """List the words that our text encoder knows; None for one of ComfyUI's, which reads any text."""
        find = getattr(clip.tokenizer, "known_words", None)
        return find() if find else None

    def latent_space(self, model: Any = None, vae: Any = None) -> LatentSpace:
        """Describe the latents of any video model or VAE of ComfyUI's."""
        if model is not None:
            return model_space(model)
        return vae_space(vae) if vae is not None else SORA_MINI

    def model_kind(self, model: Any) -> ModelKind:
        """Tell what decides in which language a MODEL is told of an edit."""
        return model_kind(model)

    def with_sound(self, model: Any, latent: Latent) -> Latent:
        """Put empty sound beside the picture of a LATENT that has none, for a model that never makes one without.

        Raises SoraError for sound alone, and for sound that does not go with the model.
        """
        return with_sound(model, model_space(model), latent)

    def encode_vision(self, vision: Any, pictures: Sequence[Tensor]) -> Any:
        """See pictures `[H,W,3]` through a CLIP_VISION: a CLIP_VISION_OUTPUT, of two with their tokens in a row."""
        # Cut about the centre, as CLIPVisionEncode does by default.
        seen = [vision.encode_image(picture[None]) for picture in pictures]
        if len(seen) == 1:
            return seen[0]
        both = comfy.clip_vision.Output()
        # Wan reads the last but one, HunyuanVideo 1.5 the last.
        for layer in ("penultimate_hidden_states", "last_hidden_state"):
            states = [state for one in seen if (state := getattr(one, layer, None)) is not None]
            if len(states) == len(seen):
                setattr(both, layer, torch.cat(states, dim=-2))
        return both

    def join_shots(
        self,
        prompts: Sequence[Conditioning],
        latents: Sequence[int],
        shape: Sequence[int],
        model: Any = None,
        clip: Any = None,
    ) -> Conditioning:
        """Make one CONDITIONING of the prompts of several shots, in the form that a MODEL reads.

        Without a model, only our own text encoder says that it is one with our attention.
        """
        if model is not None:
            return join_shots(prompts, latents, shots_form(model), streams_of(model, shape), model_space(model).name)
        ours = clip is None or hasattr(clip.tokenizer, "unknown_words")
        return join_shots(prompts, latents, "attention" if ours else "masks", Streams((tuple(shape),)), "the model")

    def fit_shots(
        self, model: Any, conditioning: Conditioning, latent: Latent, which: str = "positive"
    ) -> Conditioning:
        """Fit the conditions of a storyboard to a MODEL and to the LATENT it is to sample, sound or not.

        which: of a node's inputs, for messages. Raises SoraError for what does not fit.
        """
        streams = sampled(model, latent["samples"], latent.get(ALONG, (0, 0)))
        return fit_prompts(conditioning, shots_form(model), streams, which, model_space(model).name)

    def flops(self, model: Any) -> Callable[[int], float] | None:
        """Return the cost of one call of our model by number of tokens; None for others."""
        network = model.model.diffusion_model
        if not isinstance(network, DiT):
            return None
        config, weights = network.config, sum(p.numel() for p in network.blocks.parameters())
        return lambda tokens: forward_flops(tokens, weights, config.dim, config.num_layers)

    def fingerprint(self, model: Any) -> str:
        """Name what a MODEL computes: its weights, LoRAs and other patches, and its sampling settings."""
        return fingerprint(described(model))

    def sampler_names(self) -> list[str]:
        """List ComfyUI's samplers."""
        return list(comfy.samplers.KSampler.SAMPLERS)

    def scheduler_names(self) -> list[str]:
        """List ComfyUI's schedulers."""
        return list(comfy.samplers.KSampler.SCHEDULERS)

    def make_sampler(self, name: str, options: Mapping[str, Any]) -> Any:
        """Make a native SAMPLER of ours, or ComfyUI's under a name that we do not have."""
        return sampling.make_sampler(name, options)

    def make_sigmas(
        self, model: Any, scheduler: str, steps: int, denoise: float = 1.0, sampler: str | None = None
    ) -> Tensor:
        """Make SIGMAS by ComfyUI's own schedulers, with the model's own sampling settings."""
        return sampling.make_sigmas(model, scheduler, steps, denoise, sampler)

    def sample(
        self,
        model: Any,
        latent: Latent,
        positive: Conditioning,
        negative: Conditioning | None,
        *,
        sampler: Any,
        sigmas: Tensor,
        seed: int,
        cfg: float,
        interval: tuple[float, float] = (0.0, 1.0),
        noise: Any = None,
    ) -> Latent:
        """Sample a LATENT with any video model, sound along with the picture where there is some.

        interval: the part of the run, 0..1, in which guidance is on.
        """
        check_prompt_given(positive)
        space = model_space(model)
        latent = with_sound(model, space, latent)
        picture = self._checked(model, space, picture_of(latent), positive, negative)
        if picture.get("noise_mask") is not None:
            picture["noise_mask"] = space.mask_of(picture["noise_mask"], picture["samples"].shape).float()
        fitted = with_picture(latent, picture)
        positive = self.fit_shots(model, positive, fitted)
        negative = None if negative is None else self.fit_shots(model, negative, fitted, "negative")
        mask = picture.get("noise_mask")
        # No step to take, or nothing to make. What comes out has the model's shape all the same.
        if len(sigmas) < 2 or (mask is not None and fitted["samples"] is picture["samples"] and not bool(mask.any())):
            return fitted
        seed, drawn = sampling.draw(fitted, seed, noise)
        with self.wait(len(sigmas) - 1) as report:
            made = sampling.run(
                model,
                fitted["samples"],
                fitted.get("noise_mask"),
                positive,
                negative,
                sampler=sampler,
                sigmas=sigmas,
                noise=drawn,
                seed=seed,
                cfg=cfg,
                interval=interval,
                callback=_previewing(model, report),
            )
        fitted = leave_noise(fitted, mask if float(sigmas[-1]) > 0 else None, drawn)
        return {**fitted, "samples": made.to(management.intermediate_device())}

    def _checked(
        self, model: Any, space: LatentSpace, latent: Latent, positive: Conditioning, negative: Conditioning | None
    ) -> Latent:
        """Fit a LATENT to the model, or refuse it and the prompts with an error that names both sides."""
        check_text(model, positive, "positive")
        check_text(model, negative, "negative")
        fitted = space.mark(space.fit_empty(latent, "the model"))
        if hasattr(model.model, "sora_name"):  # Core's models pad what does not divide.
            check_divisible(fitted["samples"].shape, space.patch_size)
        expect(
            latent.get("noise_mask") is None or space.masks != "none",
            f"latent: it has a noise mask that keeps a part of it, and {space.name} cannot keep parts of a video. "
            "Use another model for this edit, or SoraEmptyLatent to make everything new.",
        )
        return fitted

    def decode(self, vae: Any, latent: Latent) -> Tensor:
        """Decode a LATENT to IMAGE `[B*T,H,W,3]`; ComfyUI's VAE tiles by itself when memory is short."""
        samples = vae_space(vae).samples_of(latent, "this VAE")
        images = vae.decode(samples)
        expect(bool(torch.isfinite(images).all()), "The VAE decoded NaN or infinite values. Load it in fp32.")
        if images.ndim == 5:
            # CogVideoX decodes an even number of latents without a single first frame: three frames too many in front.
            images = images[:, -vae_space(vae).video_frames(samples.shape[2]) :]
            # IMAGE has no place for a batch of clips: they follow one another.
            images = images.flatten(0, 1)
        return images

    def decode_pieces(self, vae: Any, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decode latents in pieces to frames in pieces, each behind the latents that a causal decoder remembers."""
        ratio = vae_space(vae).temporal_ratio
        return decode_with_history(lambda part: self.decode(vae, {"samples": part}), pieces, ratio)

    def encode(self, vae: Any, images: Tensor, refine: int = 0, corrections: int | None = None) -> Latent:
        """Encode IMAGE `[T,H,W,3]` to a LATENT. refine, corrections: of our own VAE, see `encode`."""
        space = vae_space(vae)
        ours = hasattr(vae, "sora_name")
        expect(ours or not refine, f"refine: {space.name} has none. Set it to 0, or use sora-mini's VAE.")
        if refine or (ours and corrections not in (None, USUAL_CORRECTIONS)):
            samples = self._refined(vae, images[..., :3], refine, corrections)
        else:
            samples = vae.encode(images[..., :3])
        return space.mark({"samples": samples})

    def _refined(self, vae: Any, images: Tensor, steps: int, corrections: int | None) -> Tensor:
        # Core's own encode knows no gradients: here the VAE is put on its device, and called without it.
        management.load_models_gpu([vae.patcher])
        stoppable = Stoppable(management.throw_exception_if_processing_interrupted)
        with self.wait(100) as report, stoppable:
            latent = encode(
                vae.first_stage_model, images, steps, lambda done, total: report(round(100 * done / total)), corrections
            )
        return latent.to(management.intermediate_device())

    @contextmanager
    def wait(self, total: int) -> Iterator[Report]:
        """Tell progress to ComfyUI's bar, with previews that move; every report can be interrupted."""
        index, count = progress.current_part()
        # One bar for all parts of a node's work: it must not start over with each.
        total, before = total * count, total * index
        bar = comfy.utils.ProgressBar(total)
        sent = before

        def send(picture: Any) -> None:
            bar.update_absolute(sent, total, ("JPEG", picture, None))

        loop = PreviewLoop(send)

        def report(done: int, preview: Preview | None = None) -> None:
            nonlocal sent
            sent = before + done
            # Before the bar: a run that was stopped should not seem to go on.
            management.throw_exception_if_processing_interrupted()
            bar.update_absolute(sent, total)
            loop.show(gate.check_preview(preview))

        try:
            yield report
        finally:
            loop.close()


def _previewing(model: Any, report: Report) -> Callable[[int, Tensor], None]:
    """Make the callback of a run: it tells the steps done, with a preview where ComfyUI's settings ask for one."""
    layout = model.get_model_object("latent_format")
    show = host_preview.get_previewer(model.load_device, layout) is not None
    factors, bias = layout.latent_rgb_factors, layout.latent_rgb_factors_bias

    def callback(done: int, x0: Tensor) -> None:
        report(done, latent_preview(x0, factors, bias) if show else None)

    return callback
