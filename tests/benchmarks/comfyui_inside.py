"""What scripts of this folder measure in ComfyUI's own process, run by its Python, and what is asked of it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from _paths import ROOT
from comfyui_story import missed as missed_story

SAME_SAMPLER = 1e-4  # largest difference of two ways to sample the same
SAME_CONDITION = 1e-6  # of what reaches a network by our nodes and by core's
SCRIPTS = {
    "families": "comfyui_families.py",
    "guides": "comfyui_families_guides.py",
    "experts": "comfyui_experts.py",
    "story": "comfyui_story.py",
}


def run_theirs(args: argparse.Namespace, script: str) -> Any:
    """Run a script of this folder in ComfyUI's environment, and read the JSON that it ends with."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [args.python, str(Path(__file__).with_name(script)), str(args.comfyui)]
    settings = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def missed_families(found: dict[str, Any]) -> list[str]:
    """Goals of comfyui_families.py that are not met: equal to core's node, or works, or is refused with a reason."""
    short = []
    for family, tasks in found.items():
        for task, made in tasks.items():
            equal = made.get("equal", 0.0)
            good = not isinstance(equal, str) and equal <= SAME_CONDITION and "failed" not in made
            good = good and made.get("kept", True) and made.get("bit by bit", True)
            short += [] if good else [f"{family}, {task}: {made}"]
    return short


def missed_guides(found: dict[str, Any]) -> list[str]:
    """Goals of comfyui_families_guides.py that are not met: as above, and every latent that does not go is refused."""
    short = []
    for family, tasks in found.items():
        for task, made in tasks.items():
            ways = [made.get(way, 0.0) for way in ("equal", "Sora Condition")]
            good = all(not isinstance(value, str) and value <= SAME_CONDITION for value in ways)
            result = made.get("result", 0.0)
            good = good and not isinstance(result, str) and result <= SAME_SAMPLER
            good = good and made.get("latents", 0.0) == made.get("pixels", 0.0) == 0.0
            good = good and made.get("finite", True) and made.get("works", True)
            good = good if family != "latents of sound" else "refused" in made
            short += [] if good else [f"{family}, {task}: {made}"]
    return short


def missed_experts(found: dict[str, Any]) -> list[str]:
    """Goals of comfyui_experts.py that are not met."""
    short = []
    for kind, samplers in found["equal"].items():
        for sampler, ways in samplers.items():
            for way, value in ways.items():
                # Each expert alone must make something else, or equality says nothing.
                good = value > 1000 * SAME_SAMPLER if way.endswith("alone") else value <= SAME_SAMPLER
                short += [] if way.startswith("steps") or good else [f"experts, {kind}, {sampler}, {way}: {value}"]
    for run in found["device"]["runs"]:
        alone = run["most on the device"] == 1 and run["always the one that is called"]
        short += [] if alone and run["switches"] == 1 and len(run["loads"]) == 2 else [f"experts, device: {run}"]
    reached = {
        "5 on high noise": [[[1.0], [0.0]], [[0.0], [0.0]]],
        "6 on low noise": [[[0.0], [0.0]], [[0.0], [1.0]]],
        "each its own": [[[1.0], [0.0]], [[0.0], [1.0]]],
        "one behind the join": [[[1.0], [1.0]], [[0.0], [0.0]]],
    }
    for name, expected in reached.items():
        lora = found["LoRAs"][name]
        right = [lora["LoRA 5"], lora["LoRA 6"]] == expected and lora["difference from the pair"] <= SAME_SAMPLER
        short += [] if right else [f"experts, LoRA {name}: {lora}"]
    for what, asked in found["patches"].items():
        whose = what.rpartition(" ")[2]
        right = all((count > 0) == (whose in (by, "both")) for by, count in asked.items())
        short += [] if right else [f"experts, {what}: {asked}"]
    for what, value in found["further"].items():
        good = value > 1000 * SAME_SAMPLER if what.endswith("changes") else value <= SAME_SAMPLER
        short += [] if good else [f"experts, {what}: {value}"]
    short += [f"experts, only {k}: {v}" for k, v in found["parts of a run"].items() if v != [k]]
    return short + [f"experts, not refused: {what}" for what, said in found["refusals"].items() if not said]


MISSED = {"families": missed_families, "guides": missed_guides, "experts": missed_experts, "story": missed_story}
