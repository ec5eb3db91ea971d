"""The pack inside a real ComfyUI, against this package on its own: latents, samplers, LoRA, core's models, refusals.

    python tests/benchmarks/comfyui.py --url http://127.0.0.1:8188 --comfyui FOLDER [--python ITS_PYTHON]
        [--only workflows,samplers,lora,native,models,refusals,families,guides,experts,story] [--steps 4]

A ComfyUI with the pack and comfyui_words.py in custom_nodes must run at --url, from FOLDER; start it with --cpu to
compare with the CPU here. Tiny models are written into FOLDER/models and removed again. --steps shortens the workflows;
otherwise they run as they are saved, but for the long video, which is made 3 seconds long. `families`, `guides`,
`experts` and `story` are scripts of this folder, which ITS_PYTHON runs beside the server. Prints JSON: largest
differences of latents (of unit spread), and what was refused in which words. Ends with 1 where a goal is missed, and
says which.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _paths import ROOT
from comfyui_client import NAME, Comfy, difference, named, node
from comfyui_core import FAMILIES, family_in_our_nodes, ksampler
from comfyui_core import refusals as core_refusals
from comfyui_inside import MISSED, SCRIPTS, run_theirs
from comfyui_native import native as native_nodes
from make_workflows import bundled

from sora_core.diffusion.samplers import SAMPLERS
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.host.run.cache import signatures
from sora_core.tasks.long.render import SegmentFolder

WORKFLOWS = ROOT / "workflows"
STRENGTH = 0.7
LONG = {"shots": "2s: a cat moving right on a beach", "seconds": 3.0}
# Largest differences: of a workflow in the two hosts, of KSampler and our sampler. ComfyUI's uni_pc loses digits in
# float32 near sigma 0, which guidance then multiplies: comfyui_uni_pc.py compares the two in float64 instead.
SAME, SAME_SAMPLER, UNJUDGED = 1e-3, 1e-4, ("uni_pc",)


class Segments:
    """Keeps the segments of a long video, which are its latents, as they are written: a render removes them."""

    def __init__(self, output: Path, folder: Path) -> None:
        self.output, self.folder, self.done = output, folder, threading.Event()
        self.known = set(output.rglob(".sora_long_*"))
        self.watcher = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.done.is_set():
            for render in set(self.output.rglob(".sora_long_*")) - self.known:
                for path in [*render.glob("plan.json"), *render.glob("segment_*.safetensors")]:
                    kept = self.folder / path.name
                    if not kept.exists():
                        # A second name for a file that only ever appears whole.
                        os.link(path, kept)
            time.sleep(0.01)

    def __enter__(self) -> Segments:
        self.folder.mkdir()
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watcher.join()

    def latent(self) -> torch.Tensor:
        plan = json.loads((self.folder / "plan.json").read_text())
        parts = SegmentFolder(self.folder, plan["render"], plan["segments"]).latents(1 << 30)
        return torch.cat(list(parts), 2)


def own_latent(host: Host, graph: dict, name: str) -> torch.Tensor:
    """The same LATENT, made by `sora run`'s host."""
    host.run(graph)
    plan = host.plan(host.load(graph))
    with host.active():
        return host.executor.cache.get(signatures(plan)[name]).outputs[0][0]["samples"]


def api_graph(host: Host, path: Path, steps: int | None) -> dict:
    """A saved workflow as POST /prompt takes it."""
    graph = {k: node(v["class_type"], **v["inputs"]) for k, v in host.load(path).prompt().items()}
    for entry in graph.values():
        if steps and "steps" in entry["inputs"]:
            entry["inputs"]["steps"] = steps
        entry["inputs"].pop("video-preview", None)  # a display of the frontend's
        if entry["class_type"] == "SoraLongVideo":
            entry["inputs"] |= LONG
        if entry["class_type"] == "SoraLoadModel":
            entry["inputs"]["precision"] = "fp32"
    return graph


def long_video(comfy: Comfy, host: Host, graph: dict, output: Path) -> dict:
    """The latents of a long video, in both hosts."""
    # A seed of its own, or ComfyUI would answer a second run from its cache.
    graph[named(graph, "SoraLongVideo")]["inputs"]["seed"] = int(time.time())
    latents = []
    for folder, run in ((output, comfy.run), (host.folders.output, host.run)):
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as kept:  # a link cannot lead to another disk
            with Segments(folder, Path(kept) / "segments") as segments:
                run(graph)
            latents.append(segments.latent())
    theirs, own = latents
    return {"latent": difference(theirs, own), "shape": list(own.shape)}


def workflows(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Every shared workflow by POST /prompt against `sora run`."""
    for path in filter(Path.is_file, (WORKFLOWS / "inputs").iterdir()):
        comfy.upload(path)
    made = {}
    for path in bundled():
        graph = api_graph(host, path, args.steps)
        sampler = named(graph, "SoraSampler")
        if sampler is None:
            made[path.stem] = long_video(comfy, host, graph, args.comfyui / "output")
        else:
            comfy.run(graph)  # as it is saved, to the file
            theirs, ours = comfy.latent(graph, sampler), own_latent(host, graph, sampler)
            made[path.stem] = {"latent": difference(theirs, ours), "shape": list(ours.shape)}
        print(path.stem, made[path.stem], file=sys.stderr, flush=True)
    return made


def samplers(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Core's KSampler against SoraSampler on sora-mini, one figure for each of our samplers."""
    graph = api_graph(host, WORKFLOWS / "text_to_video.json", args.steps)
    name = named(graph, "SoraSampler")
    made = {}
    for sampler in SAMPLERS:
        ours = copy.deepcopy(graph)
        options = [k for k in ours[name]["inputs"] if k.startswith("sampler.")]
        for option in options:
            del ours[name]["inputs"][option]
        ours[name]["inputs"]["sampler"] = sampler
        made[sampler] = difference(comfy.latent(ours, name), comfy.latent(ksampler(ours, name, sampler), name))
    return made


def lora(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """A random LoRA through core's LoraLoader, against sora-mini with it merged by hand."""
    graph = api_graph(host, WORKFLOWS / "text_to_video.json", args.steps)
    name, loader = named(graph, "SoraSampler"), named(graph, "SoraLoadModel")
    plain = comfy.latent(graph, name)
    patched = copy.deepcopy(graph)
    patched[name]["inputs"]["model"] = ["lora", 0]
    patched["lora"] = node(
        "LoraLoader",
        model=[loader, 0],
        clip=[loader, 1],
        lora_name=f"{NAME}.safetensors",
        strength_model=STRENGTH,
        strength_clip=STRENGTH,
    )
    merged = copy.deepcopy(graph)
    merged[loader]["inputs"]["model"] = f"{NAME}_merged.safetensors"
    through = comfy.latent(patched, name)
    return {"changes": difference(through, plain), "against_merged": difference(through, comfy.latent(merged, name))}


def models(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Core's own families, tiny and random, through our sampler, edit nodes and decoder."""
    comfy.upload(WORKFLOWS / "inputs" / "sora_cat.mp4")
    made = {}
    for family in FAMILIES:
        made[family] = family_in_our_nodes(comfy, family)
        print(family, made[family], file=sys.stderr, flush=True)
    return made


def refusals(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    comfy.upload(WORKFLOWS / "inputs" / "sora_cat.mp4")
    return core_refusals(comfy)


def native(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """sora-mini in core's own samplers, guiders, patches, CLIP and VAE nodes."""
    return native_nodes(comfy, args.steps or 6)


def inside(script: str) -> Callable[[Comfy, Host, argparse.Namespace], dict]:
    """A part that a script measures in ComfyUI's own process."""
    return lambda comfy, host, args: run_theirs(args, script)


SECTIONS = {
    "workflows": workflows,
    "samplers": samplers,
    "lora": lora,
    "native": native,
    "models": models,
    "refusals": refusals,
    **{name: inside(script) for name, script in SCRIPTS.items()},
}
NEED_MODELS = {"lora", "models", "refusals"}


def missed(made: dict[str, Any]) -> list[str]:
    """Goals that what was measured does not meet."""
    short = [f"{k}: {v['latent']}" for k, v in made.get("workflows", {}).items() if not v["latent"] <= SAME]
    for name, value in made.get("samplers", {}).items():
        short += [f"{name}: {value}"] if name not in UNJUDGED and not value <= SAME_SAMPLER else []
    if "lora" in made and not (made["lora"]["against_merged"] <= SAME_SAMPLER < made["lora"]["changes"]):
        short.append(f"lora: {made['lora']}")
    short += [f"{name}: {found}" for name, found in made.get("native", {}).items() if not found["right"]]
    for family, found in made.get("models", {}).items():
        short += [f"{family}: {found['KSampler']}"] if not found["KSampler"] <= SAME_SAMPLER else []
        edits = {k: v for k, v in found.items() if k.startswith("Sora")}
        short += [
            f"{family}, {k}: {v}" for k, v in edits.items() if not (v["finite"] and v.get("kept_untouched", True))
        ]
    for what, answer in made.get("refusals", {}).items():
        if isinstance(answer, dict) and not (answer.get("names_both") and not answer["sampled"]):
            short.append(f"{what}: {answer}")
    return short + [goal for name, judge in MISSED.items() if name in made for goal in judge(made[name])]


def write_models(args: argparse.Namespace) -> list[Path]:
    """Run comfyui_models.py in ComfyUI's environment."""
    return [Path(p) for p in run_theirs(args, "comfyui_models.py")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI with the pack")
    parser.add_argument("--comfyui", type=Path, required=True, help="its folder")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs it")
    parser.add_argument("--only", default=",".join(SECTIONS), help="which parts, separated by commas")
    parser.add_argument("--steps", type=int, help="sampling steps, in place of those saved in the workflows")
    args = parser.parse_args()
    chosen = [name.strip() for name in args.only.split(",")]
    if unknown := sorted(set(chosen) - set(SECTIONS)):
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(SECTIONS)}")
    comfy = Comfy(args.url)
    system = json.loads(comfy.get("/system_stats"))["system"]
    made: dict[str, Any] = {
        "comfyui": system["comfyui_version"],
        "torch": system["pytorch_version"],
        "own torch": torch.__version__,
    }
    files = write_models(args) if NEED_MODELS & set(chosen) else []
    try:
        with tempfile.TemporaryDirectory() as folder:
            host = Host(Folders(WORKFLOWS / "inputs", Path(folder) / "output", Path(folder) / "temp"))
            for name in chosen:
                made[name] = SECTIONS[name](comfy, host, args)
                print(f"{name}: {json.dumps(made[name])}", file=sys.stderr, flush=True)
    finally:
        for path in files:
            path.unlink(missing_ok=True)
    made["missed"] = missed(made)
    print(json.dumps(made, indent=2))
    sys.exit(bool(made["missed"]))


if __name__ == "__main__":
    main()
