"""ComfyUI's uni_pc and ours on one smooth model, in single and double precision: whose digits are lost.

    ITS_PYTHON tests/benchmarks/comfyui_uni_pc.py --comfyui FOLDER

Runs in ComfyUI's Python, from its FOLDER. Prints JSON: largest differences of what they end in (values of about unit
size), the worst of 8 and 25 steps at shifts 2, 3 and 5. Ends with 1 if the two differ in double precision.
"""

import argparse
import json
import sys
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import torch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfyui", type=Path, required=True, help="its folder")
    folder = parser.parse_args().comfyui.resolve()
    if not (folder / "comfy" / "extra_samplers" / "uni_pc.py").is_file():
        parser.error(f"there is no ComfyUI in {folder}")
    sys.path.insert(0, str(folder))  # before our own checkout, which has a `nodes` too
    sys.argv = [sys.argv[0], "--cpu"]  # ComfyUI reads it
    from comfy.extra_samplers.uni_pc import sample_unipc

    from sora_core.diffusion.samplers import SAMPLERS
    from sora_core.diffusion.schedules import get_sigmas

    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(64, 64, generator=generator, dtype=torch.float64) / 8
    noise = torch.randn(1, 64, generator=generator, dtype=torch.float64)

    def denoised(x: torch.Tensor, sigma: torch.Tensor, **_) -> torch.Tensor:
        return torch.tanh(2 * (x @ mix.to(x.dtype))) + 0.1 * x * (1 - sigma.view(-1, 1).to(x.dtype))

    def run(name: str, sigmas: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        torch.set_default_dtype(kind)  # ComfyUI's solves its small systems in the default one
        x, levels = noise.to(kind).clone(), sigmas.to(kind).clone()
        if name == "comfyui":
            end = sample_unipc(denoised, x, levels, {}, None, True)
        else:
            end = SAMPLERS["uni_pc"].fn(denoised, x, levels, {}, disable=True)
        torch.set_default_dtype(torch.float32)
        return end.double()

    worst = {"single, comfyui off its double": 0.0, "single, ours off its double": 0.0, "double, both": 0.0}
    for shift in (2.0, 3.0, 5.0):
        for steps in (8, 25):
            sigmas = get_sigmas("simple", steps, shift=shift)
            made = {(n, k): run(n, sigmas, k) for n in ("comfyui", "ours") for k in (torch.float32, torch.float64)}
            theirs, ours = made["comfyui", torch.float64], made["ours", torch.float64]
            differences = (made["comfyui", torch.float32] - theirs, made["ours", torch.float32] - ours, theirs - ours)
            for key, difference in zip(worst, differences, strict=True):
                worst[key] = max(worst[key], float(difference.abs().max()))
    print(json.dumps(worst, indent=2))
    return int(worst["double, both"] > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
