"""Two tiny random Wan experts in ComfyUI's own classes: one MODEL of both against core's pair of KSamplerAdvanced.

    ITS_PYTHON tests/benchmarks/comfyui_experts.py COMFYUI_FOLDER

Runs in ComfyUI's environment, on its CPU, from its folder; `comfyui.py` runs it so. Prints JSON: largest differences of
latents (of about unit spread), what was on the device at each model call, whom LoRAs and patches reached, and what was
refused in which words.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _paths  # noqa: F401 (for its effect on sys.path)
import torch
from comfyui_expert_runs import (
    LAYER,
    NO_HISTORY,
    PICTURE,
    Case,
    advanced,
    by_hand,
    core_sampler,
    engine,
    far,
    ours,
    pair,
    random_lora,
    two_of_ours,
    with_lora,
)


def equal(case: Case) -> dict[str, Any]:
    """Largest differences from the pair, by sampler and way."""
    made: dict[str, Any] = {}
    joined = engine().join_experts(case.high, case.low)
    for sampler in NO_HISTORY:
        expected = pair(case, sampler)
        made[sampler] = {
            "steps of high noise": case.first_low(sampler),
            "two Sora Samplers": far(two_of_ours(case, sampler), expected),
            "Sora Sampler": far(ours(case, sampler, joined)["samples"], expected),
            "KSampler": far(core_sampler(case, sampler, joined), expected),
            "SamplerCustomAdvanced": far(advanced(case, sampler, joined), expected),
            # Or it would not matter who made which step.
            "high noise alone": far(core_sampler(case, sampler, case.high), expected),
            "low noise alone": far(core_sampler(case, sampler, case.low), expected),
        }
    return made


@contextmanager
def watched(**experts: Any) -> Iterator[list[dict[str, Any]]]:
    """Note at each model call who was called, who is on the device, and that layer's first weights."""
    import comfy.model_management as management

    calls: list[dict[str, Any]] = []

    def note(name: str) -> Callable[..., None]:
        def hook(network: torch.nn.Module, *_: Any) -> None:
            models = {key: patcher.model for key, patcher in experts.items()}
            loaded = [m.model.model for m in management.current_loaded_models if m.model is not None]
            on = [key for key, model in models.items() if any(model is other for other in loaded)]
            weighing = [key for key, model in models.items() if model.model_loaded_weight_memory > 0]
            calls.append({"called": name, "on": on, "weighing": weighing, "weight": weight_of(network)})

        return hook

    hooks = [p.model.diffusion_model.register_forward_pre_hook(note(name)) for name, p in experts.items()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def weight_of(network: torch.nn.Module) -> torch.Tensor:
    return network.get_parameter(LAYER).detach().clone()


def device(case: Case) -> dict[str, Any]:
    """What was on the device at each model call of three runs, one after the other."""
    import comfy.model_management as management

    joined, loads = engine().join_experts(case.high, case.low), []
    real = management.load_models_gpu

    def counted(models: list[Any], *args: Any, **settings: Any) -> Any:
        loads.append([name for m in models for name, own in experts.items() if m.model is own.model])
        return real(models, *args, **settings)

    experts = {"high": case.high, "low": case.low}
    runs = []
    management.load_models_gpu = counted
    try:
        for run in (core_sampler, advanced, ours):
            loads.clear()
            with watched(**experts) as calls:
                run(case, "heun", joined)
            order = [c["called"] for c in calls]
            runs.append(
                {
                    "calls": {name: order.count(name) for name in experts},
                    "switches": sum(a != b for a, b in zip(order, order[1:], strict=False)),
                    "most on the device": max(len(set(c["on"]) | set(c["weighing"])) for c in calls),
                    "always the one that is called": all(c["on"] == c["weighing"] == [c["called"]] for c in calls),
                    "loads": list(loads),
                }
            )
    finally:
        management.load_models_gpu = real
    return {"runs": runs}


def own_loras(case: Case) -> dict[str, Any]:
    """Whom LoRAs reach: `[0, 1]` is the low-noise expert alone. And the difference from the pair with the same."""
    plain = {"high": weight_of(case.high.model.diffusion_model), "low": weight_of(case.low.model.diffusion_model)}
    change = {}
    for seed in (5, 6):
        down, up = random_lora(seed).values()
        change[seed] = up @ down

    def strength(name: str, weight: torch.Tensor, seed: int) -> float:
        moved, delta = weight - plain[name], change[seed]
        return round(float((moved * delta).sum() / (delta * delta).sum()), 3) + 0.0  # no -0

    def reach(high: Any, low: Any, after: int | None = None) -> dict[str, Any]:
        joined = engine().join_experts(high, low)
        joined = joined if after is None else with_lora(joined, after)
        with watched(high=case.high, low=case.low) as calls:
            latent = core_sampler(case, "euler", joined)
        both = (high, low) if after is None else (with_lora(high, after), with_lora(low, after))
        expected = pair(case, "euler", *both)
        found = {
            f"LoRA {seed}": [
                sorted({strength(n, c["weight"], seed) for c in calls if c["called"] == n}) for n in ("high", "low")
            ]
            for seed in change
        }
        return {**found, "difference from the pair": far(latent, expected)}

    high, low = with_lora(case.high, 5), with_lora(case.low, 6)
    return {
        "5 on high noise": reach(high, case.low),
        "6 on low noise": reach(case.high, low),
        "each its own": reach(high, low),
        "one behind the join": reach(case.high, case.low, after=5),
    }


def own_patches(case: Case) -> dict[str, Any]:
    """How often each expert's patches and wrappers were asked, by their own expert and by the other."""
    from comfy.patcher_extension import WrappersMP

    asked: dict[str, dict[str, int]] = {}
    networks = {id(case.high.model.diffusion_model): "high", id(case.low.model.diffusion_model): "low"}

    def count(what: str, whose: str, by: str) -> None:
        entry = asked.setdefault(f"{what} of {whose}", {"high": 0, "low": 0})
        entry[by] += 1

    def patched(model: Any, whose: str) -> Any:
        model = model.clone()

        def post(args: dict[str, Any]) -> torch.Tensor:
            count("post cfg function", whose, networks[id(args["model"].diffusion_model)])
            return args["denoised"]

        def network(executor: Any, *args: Any, **settings: Any) -> Any:
            count("wrapper of the network", whose, networks[id(executor.class_obj)])
            return executor(*args, **settings)

        def outer(executor: Any, *args: Any, **settings: Any) -> Any:
            patcher = executor.class_obj.model_patcher
            count("wrapper of the run", whose, networks[id(patcher.model.diffusion_model)])
            return executor(*args, **settings)

        def predict(executor: Any, *args: Any, **settings: Any) -> Any:
            count("wrapper of a call", whose, networks[id(executor.class_obj.inner_model.diffusion_model)])
            return executor(*args, **settings)

        model.set_model_sampler_post_cfg_function(post)
        for kind, wrapper in (
            (WrappersMP.DIFFUSION_MODEL, network),
            (WrappersMP.OUTER_SAMPLE, outer),
            (WrappersMP.PREDICT_NOISE, predict),
        ):
            model.add_wrapper_with_key(kind, whose, wrapper)
        return model

    joined = engine().join_experts(patched(case.high, "high"), patched(case.low, "low"))
    core_sampler(case, "euler", patched(joined, "both"))
    return asked


def further(case: Case) -> dict[str, float]:
    """Differences where more than the model changes with the expert, from the pair or from `by_hand`."""
    import comfy.hooks

    made = {}
    joined = engine().join_experts(case.high, case.low)
    # A sampler that sets options of its own.
    made["euler_cfg_pp"] = far(core_sampler(case, "euler_cfg_pp", joined), pair(case, "euler_cfg_pp"))
    kept = case.latent
    mask = torch.ones(1, 1, 3, 8, 8)
    mask[:, :, 0] = 0
    samples = torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    case.latent = {"samples": samples, "noise_mask": mask}
    expected = core_sampler(case, "euler", by_hand(case))
    made["a part is kept"] = far(core_sampler(case, "euler", joined), expected)
    # Core's pair is none to compare with: its second half keeps what the first left there, noise and all.
    expected = ours(case, "heun", joined)["samples"]
    made["a part is kept, two Sora Samplers"] = far(two_of_ours(case, "heun"), expected)
    case.latent = kept
    one = engine().join_experts(with_lora(case.high, 5), with_lora(case.high, 6))
    expected = pair(case, "euler", with_lora(case.high, 5), with_lora(case.high, 6))
    made["one model with two LoRAs"] = far(core_sampler(case, "euler", one), expected)
    plain = case.positive
    hooks = comfy.hooks.create_hook_lora(random_lora(7), 1.0, 1.0)
    case.positive = comfy.hooks.set_hooks_for_conditioning(plain, hooks)
    expected = pair(case, "euler")
    made["a LoRA hooked to the prompt"] = far(core_sampler(case, "euler", joined), expected)
    case.positive = plain
    made["that hook changes"] = far(expected, pair(case, "euler"))
    for sampler in ("dpmpp_2m", "uni_pc", "euler_ancestral", "dpmpp_2m_sde"):
        expected = core_sampler(case, sampler, by_hand(case))
        made[f"{sampler}, one run"] = far(core_sampler(case, sampler, joined), expected)
    return made


def parts_of_a_run(case: Case) -> dict[str, Any]:
    """Sora Experts over each half of the sigmas: nobody else is loaded."""
    joined, made = engine().join_experts(case.high, case.low), {}
    steps, sigmas = case.first_low("heun"), case.sigmas("heun")
    for name, part in (("high", sigmas[: steps + 1]), ("low", sigmas[steps:])):
        with watched(high=case.high, low=case.low) as calls:
            ours(case, "heun", joined, sigmas=part)
        made[name] = sorted({key for c in calls for key in (c["called"], *c["on"])})
    return made


def refusals(cases: dict[str, Case]) -> dict[str, str]:
    """What was said to experts that do not belong together."""
    import comfy.ldm.lightricks.model as ltx
    import comfy.ops
    import comfy.sd
    from comfyui_models import LTX, hunyuan_networks, random_weights

    from sora_core.errors import SoraError
    from sora_core.loading.checkpoint import resolve

    layers = {"operations": comfy.ops.disable_weight_init, "dtype": torch.float32, "device": "cpu"}
    about = {"config": json.dumps({"transformer": LTX})}
    state = random_weights(ltx.LTXVModel(num_layers=2, **LTX, **layers))
    other = comfy.sd.load_diffusion_model_state_dict(state, metadata=about)
    still = comfy.sd.load_diffusion_model_state_dict(random_weights(hunyuan_networks(layers)["picture"][1]))
    mini = engine().load_model(resolve("sora-mini"), "fp32").model
    high, low = cases["text"].high, cases["text"].low
    tried = {
        "another family": (high, other, 0.0),
        "sora-mini": (high, mini, 0.0),
        "a picture model": (high, still, 0.0),
        "a picture model in front": (still, low, 0.0),
        "boundary 1.5": (high, low, 1.5),
        "boundary -1": (high, low, -1.0),
        "no boundary known": (mini, mini, 0.0),
        "joined already": (engine().join_experts(high, low), low, 0.0),
    }
    said = {}
    for name, arguments in tried.items():
        try:
            engine().join_experts(*arguments)
            said[name] = ""
        except SoraError as error:
            said[name] = str(error)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="ComfyUI's")
    folder = parser.parse_args().folder.resolve()
    # ComfyUI reads the command line as it is imported; its folder comes before our checkout, which has `nodes` too.
    sys.argv = ["comfyui_experts", "--cpu"]
    sys.path.insert(0, str(folder))
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.sd  # noqa: F401 (tells our package where it is)

    cases = {kind: Case(kind) for kind in PICTURE}
    case = cases["text"]
    made = {
        "equal": {kind: equal(c) for kind, c in cases.items()},
        "device": device(case),
        "LoRAs": own_loras(case),
        "patches": own_patches(case),
        "further": further(case),
        "parts of a run": parts_of_a_run(case),
        "refusals": refusals(cases),
    }
    print(json.dumps(made))


if __name__ == "__main__":
    main()
