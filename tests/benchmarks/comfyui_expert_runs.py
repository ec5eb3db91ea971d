"""Two tiny random experts of core's Wan class, and the ways in which the two can be sampled."""

from __future__ import annotations

from typing import Any

import torch

STEPS, CFG, SEED, SCHEDULER = 6, 3.0, 11, "simple"
NO_HISTORY = ("euler", "heun", "dpm_2")  # samplers that keep none, which two runs in a row must equal
PICTURE = {"text": 16, "picture": 36}  # what goes in -> channels that the network reads
LAYER = "blocks.0.self_attn.q.weight"


def random_expert(channels: int, seed: int) -> Any:
    """A MODEL of core's Wan class."""
    import comfy.ldm.wan.model as wan
    import comfy.ops
    import comfy.sd

    network = wan.WanModel(
        dim=256,
        ffn_dim=256,
        num_heads=2,
        num_layers=2,
        in_dim=channels,
        out_dim=16,
        operations=comfy.ops.disable_weight_init,
        dtype=torch.float32,
        device="cpu",
    )
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, weight in network.state_dict().items():
        if "norm" in name and name.endswith("weight"):
            state[name] = torch.ones_like(weight)
        else:
            state[name] = torch.randn(weight.shape, generator=generator) * (0.05 if weight.ndim > 1 else 0.02)
    return comfy.sd.load_diffusion_model_state_dict(state, model_options={"dtype": torch.float32})


def random_lora(seed: int) -> dict[str, torch.Tensor]:
    """For one layer, as a file holds it."""
    generator = torch.Generator().manual_seed(seed)
    key = "diffusion_model." + LAYER.removesuffix(".weight")
    return {f"{key}.lora_{part}.weight": torch.randn(shape, generator=generator) * 0.3 for part, shape in SHAPES}


SHAPES = (("A", (4, 256)), ("B", (256, 4)))


def with_lora(model: Any, seed: int) -> Any:
    """As core's LoraLoaderModelOnly gives it."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, random_lora(seed), 1.0, 0.0)[0]


class Case:
    """Two experts, a prompt, a latent."""

    def __init__(self, kind: str) -> None:
        channels, generator = PICTURE[kind], torch.Generator().manual_seed(3)
        self.high, self.low = random_expert(channels, 1), random_expert(channels, 2)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        known: dict[str, Any] = {}
        if kind == "picture":
            mask = torch.ones(1, 4, 3, 8, 8)
            mask[:, :, 0] = 0
            known = {"concat_latent_image": draw(1, 16, 3, 8, 8), "concat_mask": mask}
        self.positive, self.negative = ([[draw(1, 12, 4096), dict(known)]] for _ in range(2))
        self.latent: dict[str, Any] = {"samples": torch.zeros(1, 16, 3, 8, 8)}
        self.boundary = {"text": 0.875, "picture": 0.9}[kind]

    def sigmas(self, sampler: str) -> torch.Tensor:
        return engine().make_sigmas(self.high, SCHEDULER, STEPS, 1.0, sampler)

    def first_low(self, sampler: str) -> int:
        return sum(float(s) >= self.boundary for s in self.sigmas(sampler))


def engine() -> Any:
    from sora_core.host.current import engine as current

    return current()


def pair(case: Case, sampler: str, high: Any = None, low: Any = None) -> torch.Tensor:
    """What core's two KSamplerAdvanced make, the second of which goes on with the first one's noise."""
    import nodes

    node, steps = nodes.KSamplerAdvanced(), case.first_low(sampler)
    common = (STEPS, CFG, sampler, SCHEDULER, case.positive, case.negative)
    half = node.sample(high or case.high, "enable", SEED, *common, case.latent, 0, steps, "enable")[0]
    return node.sample(low or case.low, "disable", SEED, *common, half, steps, 10000, "disable")[0]["samples"]


def core_sampler(case: Case, sampler: str, model: Any) -> torch.Tensor:
    """One KSampler of core's."""
    import nodes

    settings = (SEED, STEPS, CFG, sampler, SCHEDULER, case.positive, case.negative, case.latent)
    return nodes.KSampler().sample(model, *settings)[0]["samples"]


def advanced(case: Case, sampler: str, model: Any) -> torch.Tensor:
    """Core's SamplerCustomAdvanced."""
    import comfy.samplers
    from comfy_extras import nodes_custom_sampler as custom

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(case.positive, case.negative)
    guider.set_cfg(CFG)
    chosen = comfy.samplers.sampler_object(sampler)
    noise = custom.Noise_RandomNoise(SEED)
    result = custom.SamplerCustomAdvanced.execute(noise, guider, chosen, case.sigmas(sampler), case.latent)
    return result.result[0]["samples"]


def ours(case: Case, sampler: str, model: Any, **settings: Any) -> dict[str, Any]:
    """What Sora Sampler runs."""
    from sora_core.pipeline.make import Sampling, sample_latent

    how = Sampling(SEED, STEPS, CFG, sampler, SCHEDULER)
    latent = settings.pop("latent", case.latent)
    return sample_latent(engine(), model, latent, case.positive, case.negative, how, **settings)


def two_of_ours(case: Case, sampler: str) -> torch.Tensor:
    """Two Sora Samplers over the two parts that SplitSigmas gives, with core's NOISE."""
    from comfy_extras import nodes_custom_sampler as custom

    parts = custom.SplitSigmas.execute(case.sigmas(sampler), case.first_low(sampler)).result
    half = ours(case, sampler, case.high, sigmas=parts[0], noise=custom.Noise_RandomNoise(SEED))
    settings = {"sigmas": parts[1], "noise": custom.Noise_EmptyNoise(), "latent": half}
    return ours(case, sampler, case.low, **settings)["samples"]


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).abs().max())


def by_hand(case: Case) -> Any:
    """The high-noise expert with every call below the boundary handed to the other network. For text alone."""

    def call(_: Any, args: dict[str, Any]) -> torch.Tensor:
        model = case.high.model if float(args["timestep"][0]) >= case.boundary else case.low.model
        return model.apply_model(args["input"], args["timestep"], **args["c"])

    made = case.high.clone()
    made.set_model_unet_function_wrapper(call)
    return made
