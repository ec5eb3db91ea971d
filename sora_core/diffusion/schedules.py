"""Noise schedules for rectified flow, under ComfyUI's names and with its numbers.

`sigma` runs from 1 (noise) to 0 (clean): x_sigma = (1 - sigma) * x0 + sigma * eps. A model is trained with a
`shift` s that moves the schedule towards noise (Esser et al. 2024, eq. 23):

    sigma' = s * sigma / (1 + (s - 1) * sigma)

The schedulers are defined on a table of 1000 shifted sigmas, as ComfyUI's are for a flow model, so one graph
gives the same sigmas in either host. Arithmetic is in float32 for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ._beta import beta_quantile

TIMESTEPS = 1000  # entries of the table of sigmas
MAX_STEPS = 10_000  # the most that ComfyUI's widgets take

Sigma = TypeVar("Sigma", float, Tensor)


def shift_sigma(sigma: Sigma, shift: float) -> Sigma:
    """Shift sigma, a float or a tensor in 0..1, towards noise. `shift` 1 changes nothing."""
    if shift == 1.0:
        return sigma
    return shift * sigma / (1 + (shift - 1) * sigma)


def percent_to_sigma(percent: float, shift: float = 1.0) -> float:
    """Return sigma after `percent` (0..1) of an unshifted, uniform run: 0 is noise, 1 is clean."""
    if percent <= 0.0:
        return 1.0
    if percent >= 1.0:
        return 0.0
    return shift_sigma(1.0 - percent, shift)


def sigma_table(shift: float = 1.0) -> Tensor:
    """Tabulate a flow model with this shift: 1000 ascending sigmas, float32."""
    timesteps = (torch.arange(1, TIMESTEPS + 1) / TIMESTEPS) * 1000
    return shift_sigma(timesteps / 1000, shift)


def _with_zero(sigmas: Tensor | list[float]) -> Tensor:
    sigmas = torch.as_tensor(sigmas, dtype=torch.float32)
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _simple(table: Tensor, steps: int, shift: float) -> Tensor:
    stride = len(table) / steps
    return _with_zero([float(table[-(1 + int(i * stride))]) for i in range(steps)])


def _ddim_uniform(table: Tensor, steps: int, shift: float) -> Tensor:
    # A whole-number stride from the second entry upwards: it can give more steps than were asked for, and
    # it rarely starts at exactly 1.
    first = 1
    stride = max(len(table) // steps, 1)
    ascending = table[first::stride].tolist()
    if math.isclose(ascending[0], 0, abs_tol=1e-5):
        stride = max(len(table) // (steps + 1), 1)
        return _with_zero(table[first::stride].tolist()[:0:-1])
    return _with_zero(ascending[::-1])


def _uniform(table: Tensor, steps: int, shift: float, *, sgm: bool) -> Tensor:
    # The ends of the range are the table's sigmas times 1000, shifted once more: for shift > 1 the smallest
    # sigma is therefore larger than the table's. That is ComfyUI's definition, and workflows rely on it.
    start, end = table[-1] * 1000, table[0] * 1000
    if sgm:
        return _with_zero(shift_sigma(torch.linspace(start, end, steps + 1)[:-1] / 1000, shift))
    if math.isclose(float(shift_sigma(end / 1000, shift)), 0, abs_tol=1e-5):
        # The range already ends at (nearly) zero.
        return _with_zero(shift_sigma(torch.linspace(start, end, steps + 1) / 1000, shift)[:-1])
    return _with_zero(shift_sigma(torch.linspace(start, end, steps) / 1000, shift))


def _normal(table: Tensor, steps: int, shift: float) -> Tensor:
    return _uniform(table, steps, shift, sgm=False)


def _sgm_uniform(table: Tensor, steps: int, shift: float) -> Tensor:
    return _uniform(table, steps, shift, sgm=True)


def _karras(table: Tensor, steps: int, shift: float, rho: float = 7.0) -> Tensor:
    """Karras et al. 2022, eq. 5, between the table's ends."""
    ramp = torch.linspace(0, 1, steps)
    low, high = float(table[0]) ** (1 / rho), float(table[-1]) ** (1 / rho)
    return _with_zero((high + ramp * (low - high)) ** rho)


def _exponential(table: Tensor, steps: int, shift: float) -> Tensor:
    return _with_zero(torch.linspace(math.log(float(table[-1])), math.log(float(table[0])), steps).exp())


def _beta(table: Tensor, steps: int, shift: float, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Lee et al. 2024 (arXiv:2407.12173): timesteps at quantiles of a Beta distribution, repeats dropped."""
    quantiles = beta_quantile(1 - np.linspace(0, 1, steps, endpoint=False), alpha, beta)
    index = np.rint(quantiles * (len(table) - 1)).astype(int)
    keep = np.concatenate([[True], index[1:] != index[:-1]])
    return _with_zero(table[torch.from_numpy(index[keep])])


def _linear_quadratic(table: Tensor, steps: int, shift: float, threshold: float = 0.025) -> Tensor:
    """Polyak et al. 2024 (Movie Gen), as Mochi uses it.

    Half of the steps are linear and remove `threshold` of the noise; the rest follow the parabola that
    continues with the same slope and value and arrives at 0.
    """
    if steps == 1:
        removed = [0.0, 1.0]
    else:
        linear = steps // 2
        rest = steps - linear
        slope = threshold / linear
        bend = (1 - threshold - slope * rest) / rest**2
        removed = [slope * i for i in range(linear)]
        removed += [threshold + slope * i + bend * i**2 for i in range(rest)]
        removed.append(1.0)
    return torch.tensor([1.0 - r for r in removed], dtype=torch.float32) * table[-1]


def _kl_optimal(table: Tensor, steps: int, shift: float) -> Tensor:
    """Sabour et al. 2024 (Align Your Steps), theorem 3.1: uniform in arctan(sigma)."""
    ramp = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = math.atan(float(table[0])), math.atan(float(table[-1]))
    return _with_zero((ramp * low + (1 - ramp) * high).tan())


# (table of sigmas, steps, shift) -> descending sigmas, the last one 0.
Schedule = Callable[[Tensor, int, float], Tensor]
_SCHEDULES: dict[str, Schedule] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "normal": _normal,
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _kl_optimal,
}
SCHEDULERS: tuple[str, ...] = tuple(_SCHEDULES)


def _checked(name: str, steps: int, shift: float, denoise: float) -> Schedule:
    """Find a scheduler. Raises SoraError for an unknown name or a value out of range."""
    schedule = _SCHEDULES.get(name)
    if schedule is None:
        raise SoraError(f"There is no scheduler {name!r}. Use one of: {', '.join(SCHEDULERS)}.")
    expect(
        isinstance(steps, int) and 1 <= steps <= MAX_STEPS,
        f"steps is {steps!r}. Use a whole number from 1 to {MAX_STEPS}.",
    )
    expect(math.isfinite(shift) and shift > 0, f"shift is {shift}. Use a number above 0 (1 is no shift).")
    expect(0.0 <= denoise <= 1.0, f"denoise is {denoise}. Use a number from 0 to 1.")
    return schedule


def get_sigmas(name: str, steps: int, *, shift: float = 1.0, denoise: float = 1.0) -> Tensor:
    """Make descending sigmas, float32 on the CPU, `[steps+1]`, the last one 0: what ComfyUI's BasicScheduler gives.

    name: one of `SCHEDULERS`. "beta" may give fewer steps (repeats are dropped), as may "ddim_uniform" (its stride is a
        whole number, and of a run that turns out longer the last `steps` are used).
    shift: the model's shift, > 0.
    denoise: below 1, the last `steps` steps of a schedule of `int(steps / denoise)`; 0 gives no sigmas at all.

    Raises SoraError for an unknown name or a value out of range.
    """
    schedule = _checked(name, steps, shift, denoise)
    if denoise == 0.0:
        return torch.empty(0)
    return schedule(sigma_table(shift), int(steps / denoise), shift)[-(steps + 1) :]


def ksampler_sigmas(
    name: str, steps: int, *, discard_penultimate: bool = False, shift: float = 1.0, denoise: float = 1.0
) -> Tensor:
    """Make the sigmas that a KSampler node runs, which differ from `get_sigmas` in two ways.

    For samplers with `SamplerSpec.discard_penultimate` (dpm_2, uni_pc) one more step is computed and the last
    but one sigma left out; and a full run of "ddim_uniform" keeps all of its steps. Raises SoraError as that does.
    """
    schedule = _checked(name, steps, shift, denoise)
    if denoise == 0.0:
        return torch.empty(0)
    # ComfyUI's own threshold for a full run.
    total = steps if denoise > 0.9999 else int(steps / denoise)
    sigmas = schedule(sigma_table(shift), total + int(discard_penultimate), shift)
    if discard_penultimate:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas if denoise > 0.9999 else sigmas[-(steps + 1) :]
