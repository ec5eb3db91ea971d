"""What a node needs from the machine it runs on, in one small protocol with two implementations.

`current()` is ComfyUI's when the process is ComfyUI, and the standalone one otherwise. MODEL, CLIP, VAE, SAMPLER are
whatever the host's own nodes exchange; a node hands them to the backend and never looks inside. LATENT,
CONDITIONING, SIGMAS and IMAGE have one layout in both (see `sora_core.diffusion.sampling`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ..errors import SoraError, expect


@dataclass(frozen=True)
class Family:
    """How a family of video models lays out its latents, and what it does with a mask.

    masks: "tokens", kept latents enter clean with timestep 0 and stay as they are; "blend", they are
    noised along and put back at each step (works, with less respect for what is kept); "none".
    """

    name: str
    channels: int
    temporal_ratio: int = 4
    spatial_ratio: int = 8
    patch_size: tuple[int, int, int] = (1, 2, 2)
    causal: bool = True  # the first frame is a latent of its own: 1 + ratio * k frames
    masks: str = "tokens"
    # Whose VAE makes its latents, "" where that cannot be told: families of one shape may differ in it.
    space: str = ""

    @property
    def multiple(self) -> int:
        """What width and height must be multiples of, in pixels."""
        return self.spatial_ratio * max(self.patch_size[1:])

    def latent_frames(self, frames: int) -> int:
        first = 1 if self.causal else 0
        return first + -(-(frames - first) // self.temporal_ratio)


SORA = "sora"  # the latent space of our own models
SORA_MINI = Family("sora-mini", 16, space=SORA)
SPACE = "sora_space"  # key of a LATENT that says in which space it is


@dataclass(frozen=True)
class Loaded:
    """What SoraLoadModel gives out. `info` is the checkpoint's (name, shift, fps, ...)."""

    model: Any
    clip: Any
    vae: Any
    info: dict = field(default_factory=dict)


class Backend(Protocol):
    """One host. Methods raise SoraError for what a user can put right; long ones report progress and can
    be stopped.
    """

    name: str
    part: tuple[int, int]  # (i, n): what runs now is part i of n of a node's work, and `wait` tells it so

    def model_files(self) -> dict[str, Path]:
        """Models to choose from, by the name that a workflow stores."""

    def lora_files(self) -> dict[str, Path]:
        """LoRAs to choose from, by name."""

    def load_model(self, path: Path, dtype: str, lora: Path | None = None, lora_strength: float = 1.0) -> Loaded:
        """dtype: "auto", "fp32", "bf16" or "fp16". lora: one to merge into the weights."""

    def encode_text(self, clip: Any, text: str) -> tuple[list, list[str]]:
        """CONDITIONING, and the words of `text` that the encoder does not know (empty if it cannot say)."""

    def family(self, model: Any = None, vae: Any = None) -> Family:
        """Raises SoraError when it is no video model or VAE."""

    def flops(self, model: Any) -> Callable[[int], float] | None:
        """Cost of one model call by number of tokens, or None when it is not known."""

    def sampler_names(self) -> list[str]:
        """Samplers that the host has besides ours."""

    def scheduler_names(self) -> list[str]: ...

    def make_sampler(self, name: str, options: dict[str, Any]) -> Any:
        """A SAMPLER: ours under that name, or else the host's."""

    def make_sigmas(self, model: Any, scheduler: str, steps: int, denoise: float, sampler: str | None = None) -> Any:
        """SIGMAS as BasicScheduler gives them; with the name of a sampler, as KSampler runs them for it."""

    def sample(
        self,
        model: Any,
        latent: dict,
        positive: list,
        negative: list | None,
        *,
        sampler: Any,
        sigmas: Any,
        seed: int,
        cfg: float,
        interval: tuple[float, float],
    ) -> dict:
        """A sampled LATENT. interval: the part of the run, 0..1, in which guidance is on."""

    def decode(self, vae: Any, latent: dict) -> Any:
        """IMAGE `[B*T,H,W,3]`."""

    def encode(self, vae: Any, images: Any, refine: int = 0) -> dict:
        """LATENT of IMAGE `[T,H,W,3]`; refine: see `sora_core.latents.decoding.encode`."""

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        """A free file in the output folder, and its subfolder."""

    def metadata(self, hidden: Any) -> dict[str, str]:
        """Tags that let a saved file restore its workflow."""

    def show_text(self, node_id: str | None, text: str) -> None:
        """Show `text` on a node, where the host can beyond `ui.PreviewText`."""

    def wait(self, total: int) -> AbstractContextManager[Callable[..., None]]:
        """`with backend.wait(n) as report: report(done, preview)`: progress of the node that runs,
        interruptible.
        """


@cache
def _standalone() -> Backend:
    from .own import StandaloneBackend

    return StandaloneBackend()


@cache
def _comfy() -> Backend:
    from ..host.comfy.engine import ComfyBackend

    return ComfyBackend()


def current() -> Backend:
    """The backend of this process."""
    return _comfy() if in_comfyui() else _standalone()


def in_comfyui() -> bool:
    """ComfyUI has imported its model code before it loads any pack; nothing else does."""
    return "comfy.sd" in sys.modules


# -- helpers that both backends use ----------------------------------------------------------------------
def resolve_model(name: str, files: dict[str, Path]) -> Path:
    """The file of a model that a workflow names, or SoraError with those there are."""
    from ..words import did_you_mean, listing

    path = files.get(name)
    if path is None:
        hint = did_you_mean(name, files) or f"choose one of {listing(files)}."
        raise SoraError(f"There is no model {name!r}: {hint}")
    expect(path.is_file(), f"The model {name!r} has no file {path.name}: install the pack with its weights again.")
    return path


def embedded_models() -> dict[str, Path]:
    """List the models that come with the package, by name."""
    from ..loading import checkpoint  # takes torch along

    return checkpoint.embedded_models()


def check_prompt_given(positive: list) -> None:
    """Refuse a positive prompt that says nothing, where our text encoder left a note of that."""
    if positive and all(entry[1].get("sora_empty") for entry in positive):
        raise SoraError("positive: the prompt is empty. Write what the video should show.")


def check_family(family: Family, latent: dict, what: str, refit: bool = False) -> Any:
    """The samples of a LATENT as `[B,C,T,H,W]`, a still `[B,C,H,W]` as one frame.

    what: who is to work on them. refit: an empty latent will be made to fit, it may have other channels.
    Raises SoraError naming both sides for another rank, number of channels or latent space.
    """
    samples = latent["samples"]
    if samples.ndim == 4:
        samples = samples.unsqueeze(2)
    expect(
        samples.ndim == 5,
        f"The latent has shape {list(samples.shape)}; {what} ({family.name}) works on [B,{family.channels},T,H,W].",
    )
    advice = "use the VAE and the empty latent that go with it."
    expect(
        samples.shape[1] == family.channels or (refit and not samples.any()),
        f"The latent has {samples.shape[1]} channels, {what} ({family.name}) works on {family.channels}: {advice}",
    )
    space = latent.get(SPACE) or family.space
    expect(
        not family.space or space == family.space,
        f"The latent is one of {space}, {what} ({family.name}) works on those of {family.space}: {advice}",
    )
    return samples
