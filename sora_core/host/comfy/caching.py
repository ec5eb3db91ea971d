"""Our caches around the model calls of any video MODEL of ComfyUI's.

OUTER_SAMPLE begins a run, with nothing known of any before; CALC_COND_BATCH is a model call for the prompts, which
guidance stands above. What ComfyUI calls with parts of the latent or with other prompts each time (context windows) is
computed as without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.model_sampling
import comfy.patcher_extension as extension
import torch
from torch import Tensor

from ...diffusion.caches import GuidanceGate, StepCache, caching
from ...diffusion.caches.gate import gate_track
from ...diffusion.caches.step import step_track
from ...diffusion.caches.track import Keys, Track
from ...errors import expect
from .families import model_space

KEY = "sora_caches"  # of wrappers, and of a run's memory among the transformer options


def with_caching(model: Any, cache: float, gate: float) -> Any:
    """Clone a MODEL with a step cache and a gate of guidance, in place of those that it has.

    Raises SoraError for a dial out of range, no video model, one that is no rectified flow, and an older ComfyUI.
    """
    wrappers = caching(cache, gate)
    name = model_space(model).name
    kinds = [getattr(extension.WrappersMP, kind, None) for kind in ("OUTER_SAMPLE", "CALC_COND_BATCH")]
    expect(None not in kinds, "This ComfyUI cannot leave model calls out. Update it to 0.3.64 or later.")
    expect(
        isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST),
        f"{name} is no rectified flow, which Sora Step Cache needs. Remove the node.",
    )
    made = model.clone()
    around = made.model_options.setdefault("transformer_options", {}).setdefault("wrappers", {})
    for kind, wrapper in zip(kinds, (_Runs(wrappers), _calls), strict=True):
        others = {key: each for key, each in around.get(kind, {}).items() if key != KEY}
        around[kind] = {**others, KEY: [wrapper]} if wrappers else others
    return made


class _Runs:
    """Begins each run anew."""

    def __init__(self, wrappers: Sequence[Any]) -> None:
        self.wrappers = tuple(wrappers)

    def __call__(self, executor: Any, *args: Any, **settings: Any) -> Any:
        """Sample with a memory of its own."""
        guider = executor.class_obj
        before = guider.model_options
        options = before.get("transformer_options", {})
        guider.model_options = {**before, "transformer_options": {**options, KEY: _Memory(self.wrappers)}}
        try:
            return executor(*args, **settings)
        finally:
            guider.model_options = before


class _Memory:
    """What a run knows of its calls."""

    def __init__(self, wrappers: Sequence[Any]) -> None:
        self.generate: Tensor | None = None
        self.step: Track | None = None
        self.gate: Track | None = None
        for wrapper in wrappers:
            if isinstance(wrapper, StepCache):
                self.step = step_track(wrapper.tolerance, lambda: self.generate)
            elif isinstance(wrapper, GuidanceGate):
                self.gate = gate_track(wrapper.tolerance, lambda: self.generate)


def _calls(executor: Any, model: Any, conds: list, x: Tensor, timestep: Tensor, options: dict[str, Any]) -> list:
    """Estimate x0 for each of the prompts of guidance, or tell it from the calls before."""
    memory = options.get("transformer_options", {}).get(KEY)
    given = [number for number, cond in enumerate(conds) if cond is not None]
    if memory is None or not given:
        return executor(model, conds, x, timestep, options)
    level = float(timestep.flatten()[0])
    keys: Keys = (tuple(x.shape), id(model), *map(id, conds))
    memory.generate = _generated(conds[given[0]], x)
    told = None if memory.step is None else memory.step.expected(level, keys)
    if told is None:
        made = _gated(executor, memory.gate, level, keys, given, (model, conds, x, timestep, options))
        if memory.step is not None:
            estimates = torch.stack([made[number] for number in given])
            memory.step.learn(level, estimates, estimates[0], memory.gate is None or not memory.gate.left_out)
        return made
    out = [torch.zeros_like(x) for _ in conds]
    for number, estimate in zip(given, told, strict=True):
        out[number] = estimate
    return out


def _gated(executor: Any, gate: Track | None, level: float, keys: Keys, given: list[int], call: tuple) -> list:
    """Estimate x0, for the first prompt alone where the others can be told from it."""
    if gate is None or len(given) < 2:
        return executor(*call)
    model, conds, *rest = call
    first, others = given[0], given[1:]
    told = gate.expected(level, keys)
    if told is None:
        made = executor(*call)
        gate.learn(level, torch.stack([made[number] - made[first] for number in others]), made[first])
        return made
    made = list(executor(model, [cond if number == first else None for number, cond in enumerate(conds)], *rest))
    for number, difference in zip(others, told, strict=True):
        made[number] = made[first] + difference
    return made


def _generated(cond: list, x: Tensor) -> Tensor | None:
    """Find what is generated, where a condition of a model of ours says so: bool `[B,1,T,H,W]`."""
    first = cond[0] if cond else {}
    mask = getattr(first.get("model_conds", {}).get("denoise_mask"), "cond", None)
    if not isinstance(mask, Tensor) or mask.ndim != x.ndim or mask.shape[2:] != x.shape[2:]:
        return None
    generate = mask[:, :1].to(x.device) > 0.5
    return generate if bool(generate.any()) else None
