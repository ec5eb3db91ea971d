"""What a sampler is called, which options it takes, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import SoraError


@dataclass(frozen=True)
class SamplerOption:
    """One option of a sampler, as a widget shows it."""

    name: str
    type: type[float] | type[int] | type[str]
    default: float | int | str
    min: float | int = -math.inf  # of a number, inclusive
    max: float | int = math.inf  # inclusive too
    tooltip: str = ""
    choices: tuple[str, ...] = ()  # of a str: what it may be
    step: float | int | None = None  # of a widget for a number

    def check(self, value: Any, sampler: str) -> float | int | str:
        """Take `value` as this option's type; sampler: its name, for errors.

        Raises SoraError if it is none, or out of range.
        """
        where = f"Sampler {sampler}: {self.name} is {value!r}."
        if self.type is str:
            if value not in self.choices:
                raise SoraError(f"{where} Use one of: {', '.join(self.choices)}.")
            return value
        whole = self.type is int
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or (whole and value != int(value)) or not self.min <= value <= self.max:
            kind = "whole number" if whole else "number"
            raise SoraError(f"{where} Use a {kind} from {self.min} to {self.max}.")
        return self.type(value)


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler of the registry."""

    name: str
    fn: Callable[..., Tensor]  # `(model, x, sigmas, extra_args=None, callback=None, disable=None, **options) -> x`
    options: tuple[SamplerOption, ...]
    # Order of convergence with noise off. er_sde: of the variance. lcm is not a solver: 1.
    order: int
    stochastic: bool  # whether it draws noise at its default options
    description: str
    discard_penultimate: bool = False  # whether a KSampler leaves out the last but one sigma, see `ksampler_sigmas`

    def check_options(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Fill in all options with their defaults. Raises SoraError for an unknown name or a bad value."""
        given = dict(options or {})
        unknown = sorted(set(given) - {o.name for o in self.options})
        if unknown:
            names = ", ".join(o.name for o in self.options) or "none"
            raise SoraError(f"Sampler {self.name} has no option {unknown[0]!r}. Its options: {names}.")
        return {o.name: o.check(given.get(o.name, o.default), self.name) for o in self.options}
