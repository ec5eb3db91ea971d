"""What every sampler needs: sigmas as numbers, model calls, callbacks, seeded noise, and noise levels.

Samplers work on x_sigma = (1 - sigma) * x0 + sigma * eps. Two variables measure the way:
    log_sigma   t = -log(sigma):                 the ODE dx/dsigma = (x - x0)/sigma becomes dx/dt = x0 - x
    log_snr     l = log((1 - sigma) / sigma):    half the log signal-to-noise ratio of the flow
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ...errors import SoraError
from ..schedules import percent_to_sigma

# Unit noise for the step from one sigma to the next.
NoiseSampler = Callable[[float, float], Tensor]
# Told of each step: {"x", "i", "sigma", "sigma_hat", "denoised"}. What it raises stops the run.
StepCallback = Callable[[dict[str, Any]], None]
ExtraArgs = dict[str, Any]


class Model(Protocol):
    """What a sampler calls. It may have `percent_to_sigma(percent)`, where its schedule is shifted."""

    def __call__(self, x: Tensor, sigma: Tensor, **extra_args: Any) -> Tensor:
        """Estimate x0 for `x` `[B,...]` at `sigma` `[B]`."""


def default_noise_sampler(x: Tensor, seed: int | None = None) -> NoiseSampler:
    """Make unit Gaussian noise like `x`, from a generator of its own: `noise_sampler(sigma, sigma_next)`.

    On the CPU the generator starts at seed + 1, because the initial noise was drawn from the seed itself; on
    another device the two generators differ anyway. This is ComfyUI's rule, so both hosts draw the same
    numbers.
    """
    generator: torch.Generator | None = None
    if seed is not None:
        generator = torch.Generator(device=x.device)
        generator.manual_seed((seed + (x.device.type == "cpu")) % 2**64)
    return lambda sigma, sigma_next: torch.randn(
        x.shape, dtype=x.dtype, layout=x.layout, device=x.device, generator=generator
    )


def brownian_noise_sampler(x: Tensor, sigmas: Tensor, seed: int | None = None) -> NoiseSampler:
    """Make unit noise like `x` from increments of one Brownian motion over `sigmas`.

    It is the same path for any number of steps. The motion is drawn on the CPU and its time is sigma, as in ComfyUI:
    same seed, same numbers. Raises SoraError where torchsde is not installed.
    """
    try:
        from torchsde import BrownianTree
    except ImportError as error:
        raise SoraError(
            "This sampler draws its noise with the package torchsde, which is not installed "
            f"({error}): pip install torchsde, set eta to 0, or use another sampler."
        ) from error
    if seed is None:
        seed = int(torch.randint(0, 2**63 - 1, ()))
    low, high = (edge.detach().float().cpu() for edge in (sigmas[sigmas > 0].min(), sigmas.max()))
    tree = BrownianTree(low, torch.zeros_like(x, device="cpu"), high, entropy=seed)

    def noise(sigma: float, sigma_next: float) -> Tensor:
        start, end = (torch.tensor(s, dtype=torch.float32) for s in (sigma_next, sigma))
        with warnings.catch_warnings():
            # Its own rounding of the lowest time lets it warn that the last step begins before it.
            warnings.filterwarnings("ignore", message="Should have")
            # The tree runs upwards and the sampler down: the increment changes its sign.
            return (-tree(start, end) / (end - start).sqrt()).to(x)

    return noise


def below_one(model: Model, sigmas: Tensor) -> Tensor:
    """Move a first sigma of 1 to the model's at 0.01 % of the way, where the log-SNR is finite, as ComfyUI does."""
    if len(sigmas) > 1 and sigmas[0] >= 1:
        sigmas = sigmas.clone()
        # A plain function says nothing of its schedule: an unshifted flow's.
        sigmas[0] = getattr(model, "percent_to_sigma", percent_to_sigma)(1e-4)
    return sigmas


class Run:
    """One run over `sigmas` (descending, `[n+1]`): model calls, callbacks and noise."""

    def __init__(
        self,
        model: Model,
        x: Tensor,
        sigmas: Tensor,
        extra_args: ExtraArgs | None = None,
        callback: StepCallback | None = None,
        noise_sampler: NoiseSampler | None = None,
        make_noise: Callable[[Tensor, int | None], NoiseSampler] = default_noise_sampler,
    ) -> None:
        """Start a run from `x`. `make_noise(like, seed)` is called at the first noise, unless there is a sampler."""
        self.model, self.extra_args, self.callback = model, extra_args or {}, callback
        self._tensor = sigmas
        # Python floats: coefficients in double precision, and no waiting for a GPU at each comparison.
        self.sigmas: list[float] = [float(s) for s in sigmas]
        self._noise_sampler, self._make_noise = noise_sampler, make_noise
        self._like = x

    def __iter__(self) -> Iterator[tuple[int, float, float]]:
        """(i, sigma, next sigma) of each step."""
        return zip(range(len(self.sigmas) - 1), self.sigmas[:-1], self.sigmas[1:], strict=True)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Ask the model for x0 of `x` at `sigma`."""
        return self.model(x, x.new_full((x.shape[0],), sigma), **self.extra_args)

    def report(self, i: int, x: Tensor, denoised: Tensor, sigma_hat: float) -> None:
        """Tell the callback about step `i`; sigma_hat: where x0 was asked for, which churn raises above the step's."""
        if self.callback is not None:
            sigma = self._tensor[i]
            hat = torch.full_like(sigma, sigma_hat)
            self.callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": hat, "denoised": denoised})

    def estimate(self, i: int, x: Tensor, sigma: float) -> Tensor:
        """Ask the model for x0 of `x` at `sigma`, and tell the callback that this is step `i`."""
        denoised = self.denoise(x, sigma)
        self.report(i, x, denoised, sigma)
        return denoised

    def noise(self, sigma: float, sigma_next: float) -> Tensor:
        """Draw fresh unit noise for the step from `sigma` to `sigma_next`."""
        if self._noise_sampler is None:
            # Not before it is needed: a sampler whose noise is off does without torchsde.
            self._noise_sampler = self._make_noise(self._like, self.extra_args.get("seed"))
        return self._noise_sampler(sigma, sigma_next)


def renoise(x: Tensor, low: float, high: float, noise: Callable[[], Tensor], s_noise: float = 1.0) -> Tensor:
    """Take `x` from noise level `low` up to `high` so that its distribution is that of the forward process.

    x_high = a * x_low + b * eps with a = (1 - high) / (1 - low), which restores the share of signal, and
    b^2 = high^2 - (a * low)^2, which tops the noise up. `noise()` is called only if there is noise to add.
    """
    a = (1 - high) / (1 - low)
    # Rounding can take the difference of two equal squares below zero.
    b = math.sqrt(max(high**2 - (a * low) ** 2, 0.0))
    return a * x + noise() * (s_noise * b) if b > 0 else x


def ancestral_down(sigma: float, sigma_next: float, eta: float) -> float:
    """Return the sigma to step down to, before noise brings it back up to `sigma_next`; eta 0 is no detour."""
    return sigma_next * max(1 + (sigma_next / sigma - 1) * eta, 0.0)


class LogVariable:
    """The variable that multistep solvers extrapolate in, and the share of signal that goes with it."""

    def __init__(self, name: str) -> None:
        """Choose "log_sigma" or "log_snr". Raises SoraError for another name."""
        if name not in ("log_sigma", "log_snr"):
            raise SoraError(f"interpolate_in is {name!r}. Use log_sigma or log_snr.")
        self.snr = name == "log_snr"

    def __call__(self, sigma: float) -> float:
        """Return its value at `sigma`; it rises over a run, to infinity at 0."""
        if sigma <= 0:
            return math.inf
        if not self.snr:
            return -math.log(sigma)
        return -math.inf if sigma >= 1 else math.log((1 - sigma) / sigma)

    def alpha(self, sigma: float) -> float:
        """Return the share of signal: 1 - sigma for the flow; 1 in log_sigma, where the ODE is linear in x/1."""
        return 1 - sigma if self.snr else 1.0
