"""Two experts as one MODEL of ComfyUI's, for any of its samplers.

The joined MODEL is a clone of the high-noise one that carries the other. Its wrappers stand around ComfyUI's sampling:

    OUTER_SAMPLE    a whole run: sees whose it is, and gives the low-noise expert a guider of its own beside the first,
                    with its own patches, options, wrappers, hooks and conditions
    SAMPLER_SAMPLE  keeps what conditions are encoded from
    PREDICT_NOISE   a model call: hands it to the guider whose turn it is, after putting the other expert off the device

One sampler runs over all the sigmas, so a sampler that looks back on earlier steps does so across the boundary. What is
put on the joined MODEL later (a LoRA, a shift, another patch) is put on both experts.
"""

from __future__ import annotations

import copy
import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_management as management
import comfy.model_sampling
import comfy.patcher_extension as extension
import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor

from ...diffusion.experts import WAN, Expert, Turn, Turns, boundary_of, check_experts
from ...errors import expect
from ...tasks.families import OTHERS, family_of
from .families import ancestors, model_kind, model_space, text_widths

KEY = "sora_experts"  # of attachment and wrappers on a joined MODEL
RUN = "sora_experts_run"  # attribute of a guider while it samples with both
NETWORK = "diffusion_model"  # what an object patch of the network itself begins with: it belongs to one expert alone


@dataclass(frozen=True)
class Experts:
    """What a joined MODEL carries."""

    high: Any  # MODEL, as it was joined
    low: Any  # MODEL
    boundary: float  # a sigma


def join(high: Any, low: Any, boundary: float) -> Any:
    """Make one MODEL of two. boundary: a fraction of the timesteps, 0 for the family's own.

    Raises SoraError for models that are not for video, or do not belong together.
    """
    needed = ("OUTER_SAMPLE", "SAMPLER_SAMPLE", "PREDICT_NOISE")
    kinds = [getattr(extension.WrappersMP, name, None) for name in needed]
    expect(None not in kinds, "This ComfyUI cannot change models within a run. Update it to 0.3.64 or later.")
    for name, model in (("high_noise", high), ("low_noise", low)):
        # Before anything else of a model is read: a picture model has none of it.
        model_space(model, name)
        taken = model.get_attachment(KEY) is None
        expect(taken, f"{name}: {model_space(model).name} is two experts already. Use one of them.")
    sides = _describe(high), _describe(low)
    check_experts(*sides)
    _check_told(high, low)
    picture = model_kind(high).extra > 0
    level = _sigma_of(high.get_model_object("model_sampling"), boundary_of(boundary, sides[0], picture))
    joined = high.clone()
    joined.set_attachments(KEY, Experts(high, low, level))
    wrappers = joined.model_options.setdefault("transformer_options", {}).setdefault("wrappers", {})
    for kind, wrapper in zip(kinds, (outer_sample, sampler_sample, predict_noise), strict=True):
        # Before all others: each expert's own stand around its own calls only.
        wrappers[kind] = {KEY: [wrapper], **wrappers.get(kind, {})}
    return joined


def _describe(patcher: Any) -> Expert:
    """Say what both experts must have in common."""
    model, space = patcher.model, model_space(patcher)
    names = ancestors(type(model))
    # The class that stands next to ComfyUI's base of all models: variants of a family are made from it.
    family = names[max(names.index("BaseModel") - 1, 0)] if "BaseModel" in names else names[0]
    if family == "WAN21" and space.channels == 16:
        family = WAN
    flow = isinstance(patcher.get_model_object("model_sampling"), comfy.model_sampling.CONST)
    return Expert(space, family, next(iter(text_widths(model)), None), flow)


def _check_told(high: Any, low: Any) -> None:
    """Raise SoraError where the low-noise expert would miss what an edit tells the other, or be given none."""
    (one, of_high), (other, of_low) = ((model_space(m).name, family_of(model_kind(m))) for m in (high, low))
    # One that is told of nothing may finish what another began, but not one that needs a picture.
    expect(
        of_high is of_low or (of_low is OTHERS and not of_high.begins),
        f"high_noise is {one}, low_noise is {other}: they are told of an edit in different ways ({of_high.name} and "
        f"{of_low.name}). Use the two experts of one model.",
    )


def _sigma_of(table: Any, boundary: float) -> float:
    """Turn a fraction of the timesteps into a sigma."""
    if isinstance(table, comfy.model_sampling.CONST):
        return boundary * float(table.sigma_max)  # a flow's timestep is its sigma, in other units
    return float(table.sigma(torch.tensor(boundary * float(table.timestep(table.sigma_max)))))


def exchange(value: Any, out: Any, into: Any) -> Any:
    """Copy `value`, nested dicts and lists, with `into` in the place of what it has of `out`.

    What `value` has beyond `out` stays, behind what is in `into`. The same is what is the same object.
    """
    if isinstance(value, dict):
        out, into = (side if isinstance(side, dict) else {} for side in (out, into))
        made = dict(into)
        for key, item in value.items():
            if isinstance(item, (dict, list)):
                made[key] = exchange(item, out.get(key), into.get(key))
            elif key not in out or out[key] is not item:
                made[key] = item
        return made
    out, into = (side if isinstance(side, list) else [] for side in (out, into))
    return [*into, *(item for item in value if not any(item is other for other in out))]


def low_patcher(joined: Any, experts: Experts) -> Any:
    """Clone the low-noise expert, with what was put on the joined MODEL since."""
    high, low = experts.high, experts.low
    made = low.clone()
    made.model_options = exchange(joined.model_options, high.model_options, low.model_options)
    for wrappers in made.model_options["transformer_options"]["wrappers"].values():
        wrappers.pop(KEY, None)
    for name in ("wrappers", "callbacks", "injections", "patches", "object_patches", "weight_wrapper_patches"):
        if hasattr(made, name):
            setattr(made, name, exchange(getattr(joined, name), getattr(high, name), getattr(low, name)))
    if sum(map(len, made.patches.values())) != sum(map(len, low.patches.values())):
        made.patches_uuid = uuid.uuid4()
    own = {name: patch for name, patch in low.object_patches.items() if name.startswith(NETWORK)}
    shared = {name: patch for name, patch in made.object_patches.items() if not name.startswith(NETWORK)}
    made.object_patches = shared | own
    return made


def unload(patcher: Any) -> None:
    """Put a model off its device, whatever clones of it are loaded."""
    loaded = management.current_loaded_models
    for index in reversed(range(len(loaded))):
        model = loaded[index].model
        if model is not None and model.is_clone(patcher):
            loaded[index].model_unload()
            loaded.pop(index)
    management.soft_empty_cache()


class Run:
    """One run of a guider and of the low-noise expert's beside it."""

    def __init__(self, guider: Any, low: Any, turns: Turns) -> None:
        self.guiders: dict[Turn, Any] = {"high": guider, "low": low}
        self.turns, self.encoded = turns, False
        self.turn: Turn = "high"
        self.settings: dict[str, Any] = {}  # what conditions are encoded from

    def predict(self, x: Tensor, timestep: Tensor, options: dict[str, Any], seed: int | None) -> Tensor | None:
        """Predict x0 by the low-noise expert; None where it is the other's turn, who is then on the device."""
        turn = self.turns.take(float(timestep.flatten()[0]))
        if turn != self.turn:
            self.change(turn)
        if turn == "high":
            return None
        high, low = self.guiders["high"], self.guiders["low"]
        # A sampler puts settings of its own into the options.
        return low.outer_predict_noise(x, timestep, exchange(options, high.model_options, low.model_options), seed)

    def change(self, turn: Turn) -> None:
        """Put one expert off the device and the other on it."""
        leaving, coming = self.guiders[self.turn], self.guiders[turn]
        unload(leaving.model_patcher)
        shape, patcher = self.settings["noise"].shape, coming.model_patcher
        coming.inner_model, coming.conds, coming.loaded_models = comfy.sampler_helpers.prepare_sampling(
            patcher, shape, coming.conds, coming.model_options
        )
        device = patcher.load_device
        comfy.samplers.cast_to_load_options(coming.model_options, device=device, dtype=patcher.model_dtype())
        patcher.pre_run()
        if turn == "low" and not self.encoded:
            coming.inner_model.latent_shapes = self.settings.get("latent_shapes")
            known = inspect.signature(comfy.samplers.process_conds).parameters
            settings = {key: value for key, value in self.settings.items() if key in known}
            coming.conds = comfy.samplers.process_conds(coming.inner_model, conds=coming.conds, **settings)
            self.encoded = True
        # What a sampler asks of the model besides (how it keeps a part, scales noise) it asks of the one that is there.
        self.guiders["high"].inner_model = coming.inner_model
        self.turn = turn

    def close(self) -> None:
        """Let go of what the low-noise expert's guider took."""
        low = self.guiders["low"]
        if self.encoded:
            comfy.sampler_helpers.cleanup_models(low.conds, low.loaded_models)
            low.model_patcher.cleanup()


def outer_sample(
    executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args: Any, **settings: Any
) -> Tensor:
    """Sample with both experts, or with the one whose the whole run is."""
    guider = executor.class_obj
    experts = guider.model_patcher.get_attachment(KEY)
    if experts is None:  # Somebody took them off.
        return executor(noise, latent_image, sampler, sigmas, *args, **settings)
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", "")
    turns = Turns(sigmas.tolist(), experts.boundary, name)
    everything = (noise, latent_image, sampler, sigmas, *args)
    low = low_guider(guider, experts)
    if experts.high.model is not experts.low.model:
        unload(guider.model_patcher if turns.only == "low" else low.model_patcher)
    if turns.only == "high":
        return executor(*everything, **settings)
    run = Run(guider, low, turns)
    if turns.only == "low":
        inside = low.outer_sample
    else:
        run.settings = {"latent_shapes": settings.get("latent_shapes")}
        setattr(guider, RUN, run)
        inside = executor

    def rest(*_: Any, **__: Any) -> Tensor:
        try:
            return inside(*everything, **settings)
        finally:
            run.close()

    # ComfyUI prepares the low-noise expert's guider as it did the first, and calls its wrappers around the rest.
    low.outer_sample = rest
    try:
        return comfy.samplers.CFGGuider.sample(low, noise, latent_image, sampler, sigmas, *args)
    finally:
        del low.outer_sample  # It holds on to the guider that holds it.
        if hasattr(guider, RUN):
            delattr(guider, RUN)


def low_guider(guider: Any, experts: Experts) -> Any:
    """Copy a guider, for the low-noise expert."""
    low = copy.copy(guider)
    low.model_patcher = low_patcher(guider.model_patcher, experts)
    if not _is_dynamic(guider.model_patcher) and _is_dynamic(low.model_patcher):
        # Hooks in a prompt made ComfyUI take the first one without its paging of weights.
        low.model_patcher = low.model_patcher.get_non_dynamic_delegate()
    low.model_options = low.model_patcher.model_options
    return low


def _is_dynamic(patcher: Any) -> bool:
    return bool(getattr(patcher, "is_dynamic", bool)())


def sampler_sample(
    executor: Callable[..., Tensor],
    guider: Any,
    sigmas: Tensor,
    extra_args: dict[str, Any],
    callback: Any,
    noise: Tensor,
    latent_image: Tensor | None = None,
    denoise_mask: Tensor | None = None,
    *args: Any,
    **settings: Any,
) -> Tensor:
    """Keep what the run's conditions are encoded from."""
    run = getattr(guider, RUN, None)
    if run is not None:
        run.settings |= {
            "noise": noise,
            "device": guider.model_patcher.load_device,
            "latent_image": latent_image,
            "denoise_mask": denoise_mask,
            "seed": extra_args.get("seed"),
        }
    return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *args, **settings)


def predict_noise(
    executor: Any, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
) -> Tensor:
    """Predict x0 by the expert whose turn it is."""
    run = getattr(executor.class_obj, RUN, None)
    made = None if run is None else run.predict(x, timestep, model_options or {}, seed)
    return executor(x, timestep, model_options or {}, seed) if made is None else made
