"""Two experts of one model, of which each makes a part of the run: high noise, then low noise.

Wan 2.2 14B is two networks of one shape. The first is trained for timesteps from a boundary up, the second for those
below it; the boundary is a fraction of all timesteps. `Turns` says whose turn a model call is, `ExpertsVelocity` makes
the calls, and only the expert whose turn it is stays on its device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import SoraError, expect
from ..latents.space import LatentSpace
from .prompts import Prompt
from .velocity import ModelVelocity

Turn = Literal["high", "low"]

# Family -> boundary without a picture to start from, and with one. Published with the weights: Wan 2.2's
# configs/wan_t2v_A14B.py and wan_i2v_A14B.py, and `boundary_ratio` of diffusers' pipelines for them.
WAN = "Wan 2.2 14B"
BOUNDARIES: dict[str, tuple[float, float]] = {WAN: (0.875, 0.900)}

# Samplers that call the model at the end of a step and again at the beginning of the next, at the same sigma.
ASK_AT_THE_END = frozenset({"heun", "heunpp2"})
CLOSE = 1e-6  # of sigmas that are the same but for rounding


@dataclass(frozen=True)
class Expert:
    """What has to be the same in both experts."""

    space: LatentSpace
    family: str  # of networks that one set of prompts and conditions can serve
    text_dim: int | None = None  # channels of a prompt that it reads, where that is known
    flow: bool = True  # whether it is a rectified flow


def check_experts(high: Expert, low: Expert) -> None:
    """Raise SoraError, naming both sides, for two models that cannot share a run."""
    names = f"high_noise is {high.space.name}, low_noise is {low.space.name}"
    advice = "Use the two experts of one model."

    def same(what: str, a: Any, b: Any) -> None:
        expect(a == b, f"{names}: {what} ({a} and {b}). {advice}")

    expect(high.family == low.family, f"{names}: they are of different families. {advice}")
    same("their latents are of different VAEs", high.space.vae, low.space.vae)
    same("their latents have different channels", high.space.channels, low.space.channels)
    ratios = [(s.temporal_ratio, s.spatial_ratio, *s.patch_size) for s in (high.space, low.space)]
    same("their latents are laid out differently", *ratios)
    if None not in (high.text_dim, low.text_dim):
        same("they read prompts of different widths", high.text_dim, low.text_dim)
    expect(high.flow == low.flow, f"{names}: only one of them is a rectified flow. {advice}")


def boundary_of(boundary: float, high: Expert, picture: bool = False) -> float:
    """Return the boundary as a fraction of the timesteps, 0..1; 0 asks for that of the family of `high`.

    picture: whether the experts start from a picture. Raises SoraError for one out of range, and for a family that
    has none of its own.
    """
    expect(
        math.isfinite(boundary) and 0 <= boundary <= 1,
        f"boundary is {boundary}. Use a number from 0 to 1: the fraction of the noise above which high_noise works.",
    )
    if boundary:
        return boundary
    if high.family not in BOUNDARIES:
        raise SoraError(
            f"boundary is 0, the model's own, and none is known of {high.space.name}. Set one between 0 and 1 "
            f"({WAN} has {BOUNDARIES[WAN][0]}, from a picture {BOUNDARIES[WAN][1]})."
        )
    return BOUNDARIES[high.family][picture]


class Turns:
    """Whose turn each model call of a run is.

    A step belongs to one expert, whatever sigmas its sampler asks for within it: to the high-noise one if it begins at
    the boundary or above. So a run equals two runs that are split at the first sigma below the boundary.
    """

    def __init__(self, sigmas: Sequence[float], boundary: float, sampler: str = "") -> None:
        """Plan a run over `sigmas` `[n+1]`. boundary: a sigma. sampler: its name, as its function is called."""
        self.sigmas, self.boundary = list(sigmas), boundary
        first = next((i for i, s in enumerate(self.sigmas[:-1]) if s < boundary), None)
        # Whose the whole run is, None for one that both share.
        self.only: Turn | None = "high" if first is None else "low" if first == 0 else None
        self.edge = self.sigmas[first] if first else 0.0  # where the low-noise expert begins
        self.turn: Turn = self.only or "high"
        self._at_the_end = sampler.removeprefix("sample_") in ASK_AT_THE_END
        self._before: float | None = None

    def take(self, sigma: float) -> Turn:
        """Return whose turn the next model call is, at `sigma`; calls are told of in their order."""
        if self.only is None:
            self._learn(sigma)
            self.turn = self._next(sigma)
        self._before = sigma
        return self.turn

    def _learn(self, sigma: float) -> None:
        """Notice a sampler that ends a step where it begins the next: not all are known by name."""
        repeated = self._before is not None and _same(sigma, self._before)
        if repeated and any(_same(sigma, s) for s in self.sigmas[1:]):
            self._at_the_end = True

    def _next(self, sigma: float) -> Turn:
        if sigma >= self.boundary:
            return "high"
        if self.turn == "low":
            # Fresh noise may lift a step over the edge again. Experts are not swapped for that.
            return "low"
        if _same(sigma, self.edge):
            from_above = self._before is not None and not _same(self._before, sigma)
            return "high" if from_above and self._at_the_end else "low"
        return "high" if sigma > self.edge else "low"


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE * CLOSE)


class ExpertsVelocity:
    """Model calls of two experts, each in its turn, with the other one off the device."""

    def __init__(self, high: ModelVelocity, low: ModelVelocity, turns: Turns) -> None:
        """Take the calls of both, on the device that the high-noise expert samples on, see `device_of`."""
        self.calls = {"high": high, "low": low}
        self.turns, self.device = turns, device_of(high.dit)
        self.kept = high.kept
        self._announced: tuple[Tensor, Turn] | None = None

    def announce(self, x: Tensor, sigma: Tensor) -> Turn:
        """Take the turn of a call that may then be left out, as caches do, and return whose it is.

        All calls are told of, so that turns do not depend on what is left out. The same `x` again is the same call.
        """
        if self._announced is None or self._announced[0] is not x:
            self._announced = x, self.turns.take(float(sigma.flatten()[0]))
        return self._announced[1]

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`."""
        turn = self.announce(x, sigma)
        self._announced = None
        mine, other = self.calls[turn], self.calls["low" if turn == "high" else "high"]
        if mine.dit is not other.dit:
            offload(other.dit)
        place(mine.dit, self.device)
        return mine(x, sigma, prompts)


_HOME = "sora_home"  # attribute of a network that waits on the CPU: the device it came from


def device_of(network: Any) -> torch.device:
    """Return where a network samples: where its weights are, or were before `offload`."""
    first = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return getattr(network, _HOME, torch.device("cpu") if first is None else first.device)


def offload(network: Any) -> None:
    """Move a network to the CPU, to wait there for its turn."""
    device = device_of(network)
    if isinstance(network, nn.Module) and device.type != "cpu" and not hasattr(network, _HOME):
        network.to("cpu")
        setattr(network, _HOME, device)


def place(network: Any, device: torch.device | None = None) -> None:
    """Move a network to a device, or back to where it samples."""
    if not isinstance(network, nn.Module):
        return
    target = device_of(network) if device is None else device
    if hasattr(network, _HOME):
        delattr(network, _HOME)
    if device_of(network) != target:
        network.to(target)
