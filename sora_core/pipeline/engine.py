"""What every way to make a video needs of the machine: text, noise levels, sampling, decoding.

One protocol, two implementations: `own.OwnEngine`, and `host.comfy.engine.ComfyEngine` inside ComfyUI. Python, commands
and nodes call the same functions over an engine (`make`, `editing`, `long`), so they give the same latents.

MODEL, CLIP, VAE and SAMPLER are whatever the host's own nodes exchange: callers hand them on and never look inside.
LATENT, CONDITIONING, SIGMAS and IMAGE have one layout in both (see `sora_core.diffusion.sampling`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..errors import SoraError
from ..latents.previews import Preview
from ..latents.space import LatentSpace
from ..tasks.families import ModelKind

Latent = dict[str, Any]  # a LATENT: "samples" [B,C,T,h,w], perhaps "noise_mask" and what an edit adds
Conditioning = list[Any]  # [[context [B,L,D], options], ...]
EMPTY_PROMPT = "The prompt is empty: say what the video should show."


@dataclass(frozen=True)
class Loaded:
    """A model as the values of three sockets."""

    model: Any  # MODEL
    clip: Any  # CLIP
    vae: Any  # VAE
    info: dict[str, Any] = field(default_factory=dict)  # what the checkpoint says: name, shift, fps, ...


class Report(Protocol):
    """How a long call tells its progress."""

    def __call__(self, done: int, preview: Preview | None = None) -> None:
        """Tell that `done` steps are done, with a preview of what there is so far. Raises what stops the call."""


class Engine(Protocol):
    """One host's way to load, encode, sample and decode.

    Methods raise SoraError for what a user can put right. Long ones tell progress and can be stopped.
    """

    apart: bool  # whether other processes sample, so that this one can decode meanwhile

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        """Load a checkpoint. dtype: "auto", "fp32", "bf16" or "fp16". lora: one to merge into the weights."""

    def join_experts(self, high: Any, low: Any, boundary: float = 0.0) -> Any:
        """Make one MODEL of two experts: `high` for noise from `boundary` up, `low` below it.

        boundary: a fraction of the timesteps, 0..1; 0 is the family's own. Raises SoraError for two models that do not
        belong together.
        """

    def with_caching(self, model: Any, cache: float, gate: float = 0.0) -> Any:
        """Patch a MODEL to leave model calls out where little changes, see `diffusion.caches`.

        cache, gate: the tolerance of its step cache and of its gate of guidance, 0 (off) to 1. They take the place of
        those that it has. Raises SoraError for one out of range, and for a model or host that has none of it.
        """

    def encode_text(self, clip: Any, text: str) -> tuple[Conditioning, list[str]]:
        """Encode a prompt, and list the words of it that the encoder does not know (none if it cannot say).

        `(word:1.3)` stresses a word. Raises SoraError for a text that is too long, or that the policy forbids.
        """

    def known_words(self, clip: Any) -> Collection[str] | None:
        """List the words that a text encoder of ours knows; None for one of another kind, which reads any text."""

    def latent_space(self, model: Any = None, vae: Any = None) -> LatentSpace:
        """Describe the latents of a MODEL or of a VAE, sora-mini's without either. Raises SoraError for no video."""

    def model_kind(self, model: Any) -> ModelKind:
        """Tell what decides in which language a MODEL is told of an edit. Raises SoraError for no video."""

    def with_sound(self, model: Any, latent: Latent) -> Latent:
        """Put empty sound beside the picture of a LATENT that has none, for a model that never makes one without.

        Raises SoraError for sound that does not go with the model.
        """

    def encode_vision(self, vision: Any, pictures: Sequence[Tensor]) -> Any:
        """See one or two pictures `[H,W,3]` float 0..1 through a CLIP_VISION, for the option clip_vision_output."""

    def join_shots(
        self,
        prompts: Sequence[Conditioning],
        latents: Sequence[int],
        shape: Sequence[int],
        model: Any = None,
        clip: Any = None,
    ) -> Conditioning:
        """Make one CONDITIONING of the prompts of several shots, in the form that a MODEL reads, see `tasks.shots`.

        latents: how many each prompt is for. shape: of the video's latent, `[B,C,T,h,w]`. Without a model, the form is
        that of the model which the text encoder `clip` is for. Raises SoraError for a model that follows no storyboard.
        """

    def fit_shots(
        self, model: Any, conditioning: Conditioning, latent: Latent, which: str = "positive"
    ) -> Conditioning:
        """Fit the conditions of a storyboard to a MODEL and to the LATENT that it is to sample, with sound or without.

        All others stay as they are. `sample` does it by itself; other samplers need it where a latent holds sound.
        which: of a node's inputs, for messages. Raises SoraError for what does not fit.
        """

    def flops(self, model: Any) -> Callable[[int], float] | None:
        """Return the cost of one model call by number of tokens, or None where it is not known."""

    def fingerprint(self, model: Any) -> str:
        """Name what a MODEL computes: its weights, what patches them, its settings. The same in another process."""

    def sampler_names(self) -> list[str]:
        """List the samplers that the host has besides ours."""

    def scheduler_names(self) -> list[str]:
        """List the schedulers."""

    def make_sampler(self, name: str, options: Mapping[str, Any]) -> Any:
        """Make a SAMPLER: ours of that name, or else the host's."""

    def make_sigmas(
        self, model: Any, scheduler: str, steps: int, denoise: float = 1.0, sampler: str | None = None
    ) -> Tensor:
        """Make SIGMAS as BasicScheduler gives them; for a named sampler, as KSampler runs it.

        They are `steps + 1` values at most (ddim_uniform may give more), and none at denoise 0.
        """

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
        """Sample a LATENT.

        interval: the part of the run, 0..1, in which guidance is on. noise: a NOISE, in place of what the seed draws.
        """

    def decode(self, vae: Any, latent: Latent) -> Tensor:
        """Decode a LATENT to IMAGE `[B*T,H,W,3]`, the clips of a batch one after the other."""

    def decode_pieces(self, vae: Any, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decode one video's latents, in pieces `[1,C,n,h,w]`, to frames in pieces `[t,H,W,3]` as one stream."""

    def encode(self, vae: Any, images: Tensor, refine: int = 0, corrections: int | None = None) -> Latent:
        """Encode IMAGE `[T,H,W,3]` to a LATENT. refine, corrections: see `sora_core.latents.decoding.encode`."""


def check_prompt_given(positive: Conditioning) -> None:
    """Refuse a positive prompt that says nothing, where our text encoder left a note of that."""
    if positive and all(entry[1].get("sora_empty") for entry in positive):
        raise SoraError(EMPTY_PROMPT)


def unknown_note(*texts: Sequence[str]) -> tuple[str, ...]:
    """Say which words of one or more texts the model does not know, each once; nothing where it knows all."""
    words = list(dict.fromkeys(word for words in texts for word in words))
    return (f"The model does not know: {', '.join(words)}. It leaves these words out.",) if words else ()
