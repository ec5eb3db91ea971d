"""The pack inside a real ComfyUI, against this package on its own: latents, samplers, LoRA, core's models, refusals.

    python tests/benchmarks/comfyui.py --url http://127.0.0.1:8188
        [--only workflows,samplers,lora,models,refusals] [--steps 4]
        [--comfyui FOLDER [--python ITS_PYTHON]]

A ComfyUI with the pack in custom_nodes must run at --url; start it with --cpu to compare with the CPU here. `lora`
and `models` write tiny models into FOLDER/models and remove them again. --steps shortens the workflows.
Prints JSON: largest differences of latents (of unit spread), and what was refused in which words.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sora_core.diffusion.samplers import SAMPLERS  # noqa: E402
from sora_core.host.cache import signatures  # noqa: E402
from sora_core.host.folders import Folders  # noqa: E402
from sora_core.host.host import Host  # noqa: E402
from sora_core.video import read_video  # noqa: E402

WORKFLOWS = ROOT / "workflows"
NAME = "sora_benchmark"  # as comfyui_models.py names its files
STRENGTH = 0.7
LONG = {"shots": "2s: a cat moving right on a beach", "seconds": 3.0}
ABSENT = {"SoraSaveVideo", "SaveVideo"}


class Refused(RuntimeError):
    """What ComfyUI answered in place of a result."""


def node(kind: str, **inputs: Any) -> dict:
    return {"class_type": kind, "inputs": inputs}


class Comfy:
    """A running ComfyUI."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read()

    def post(self, path: str, body: bytes, kind: str = "application/json") -> dict:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.loads(error.read() or b"{}")
            said = [e["details"] for n in found.get("node_errors", {}).values() for e in n["errors"]]
            raise Refused("; ".join(said) or str(found.get("error"))) from None

    def upload(self, path: Path) -> None:
        edge = "sora-benchmark-part"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
        rest = f'\r\n--{edge}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{edge}--\r\n'
        body = head.encode() + path.read_bytes() + rest.encode()
        self.post("/upload/image", body, f"multipart/form-data; boundary={edge}")

    def run(self, graph: dict) -> dict:
        """Outputs by node. Raises Refused with the message of the node that failed."""
        made = self.post("/prompt", json.dumps({"prompt": graph, "client_id": "benchmark"}).encode())
        while not (history := json.loads(self.get(f"/history/{made['prompt_id']}"))):
            time.sleep(0.2)
        (entry,) = history.values()
        for kind, data in entry["status"]["messages"]:
            if kind == "execution_error":
                raise Refused(f"{data['node_type']}: {data['exception_message'].strip()}")
        return entry["outputs"]

    def file(self, saved: dict) -> bytes:
        keys = ("filename", "subfolder", "type")
        return self.get("/view?" + urllib.parse.urlencode({k: saved.get(k, "") for k in keys}))

    def latent(self, graph: dict, name: str) -> torch.Tensor:
        """The samples of the LATENT that node `name` gives out."""
        kept = {k: copy.deepcopy(v) for k, v in graph.items() if v["class_type"] not in ABSENT}
        kept["keep"] = node("SaveLatent", samples=[name, 0], filename_prefix=f"{NAME}/latent")
        (saved,) = self.run(kept)["keep"]["latents"]
        return load(self.file(saved))["latent_tensor"]


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).abs().max())


def own_latent(host: Host, graph: dict, name: str) -> torch.Tensor:
    """The same LATENT, made by `sora run`'s host."""
    host.run(graph)
    plan = host.plan(host.load(graph))
    return host.executor.cache.get(signatures(plan)[name]).outputs[0][0]["samples"]


def named(graph: dict, kind: str) -> str | None:
    return next((name for name, entry in graph.items() if entry["class_type"] == kind), None)


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


def workflows(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Every shared workflow by POST /prompt against `sora run`: latents, or frames of the file for a long video."""
    for path in filter(Path.is_file, (WORKFLOWS / "inputs").iterdir()):
        comfy.upload(path)
    made = {}
    for path in sorted(WORKFLOWS.glob("*.json")):
        graph = api_graph(host, path, args.steps)
        sampler = named(graph, "SoraSampler")
        if sampler:
            made[path.stem] = {"latent": difference(comfy.latent(graph, sampler), own_latent(host, graph, sampler))}
            print(path.stem, made[path.stem], file=sys.stderr, flush=True)
            continue
        outputs = comfy.run(graph)
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / "video.mp4"
            copied.write_bytes(comfy.file(outputs[named(graph, "SoraLongVideo")]["images"][0]))
            theirs = read_video(copied)[0]
        ours = read_video(host.run(graph).files[0])[0]
        made[path.stem] = {"frames": list(ours.shape), "pixels": difference(ours, theirs)}
    return made


def ksampler(graph: dict, name: str, sampler: str) -> dict:
    """`graph` with core's KSampler in place of ours."""
    inputs = graph[name]["inputs"]
    shared = {k: inputs[k] for k in ("model", "positive", "negative", "seed", "steps", "cfg", "scheduler")}
    changed = node("KSampler", **shared, sampler_name=sampler, denoise=1.0, latent_image=inputs["latent"])
    return {**graph, name: changed}


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
        made[sampler] = difference(
            comfy.latent(ours, name), comfy.latent(ksampler(ours, name, sampler), name)
        )
    return made


def lora(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """A random LoRA through core's LoraLoader, against sora-mini with it merged by hand."""
    graph = api_graph(host, WORKFLOWS / "text_to_video.json", args.steps)
    name, loader = named(graph, "SoraSampler"), named(graph, "SoraLoadModel")
    plain = comfy.latent(graph, name)
    patched = copy.deepcopy(graph)
    patched[name]["inputs"]["model"] = ["lora", 0]
    patched["lora"] = node(
        "LoraLoader", model=[loader, 0], clip=[loader, 1], lora_name=f"{NAME}.safetensors",
        strength_model=STRENGTH, strength_clip=STRENGTH,
    )  # fmt: skip
    merged = copy.deepcopy(graph)
    merged[loader]["inputs"]["model"] = f"{NAME}_merged.safetensors"
    through = comfy.latent(patched, name)
    return {"changes": difference(through, plain), "against_merged": difference(through, comfy.latent(merged, name))}


def core_graph(edit: str | None, **settings: Any) -> dict:
    """The tiny Wan with our nodes: text to video, or an edit of the shared clip."""
    graph = {
        "model": node("UNETLoader", unet_name=f"{NAME}_wan.safetensors", weight_dtype="default"),
        "vae": node("VAELoader", vae_name=f"{NAME}_wan_vae.safetensors"),
        "text": node("SoraLoadModel", model=f"{NAME}_text.safetensors", precision="fp32"),
        "positive": node("SoraTextEncode", clip=["text", 1], text="a cat moving right on a beach"),
        "negative": node("SoraTextEncode", clip=["text", 1], text=""),
        "clip": node("LoadVideo", file="sora_cat.mp4"),
    }
    if edit is None:
        size = {"seconds": 1.0, "fps": 9.0, "width": 64, "height": 64, "aspect": "as set", "batch_size": 1}
        graph["edit"] = node("SoraEmptyLatent", model=["model", 0], **size)
    else:
        graph["edit"] = node(edit, vae=["vae", 0], fps=0.0, width=64, height=64, **settings)
        if edit != "SoraRemix":
            graph["edit"]["inputs"]["window"] = 5
    run = {"seed": 3, "steps": 2, "cfg": 3.0, "scheduler": "simple", "sampler": "euler", "denoise": 1.0}
    graph["sample"] = node(
        "SoraSampler", model=["model", 0], positive=["positive", 0], negative=["negative", 0], latent=["edit", 0],
        guidance_start=0.0, guidance_end=1.0, **run,
    )  # fmt: skip
    graph["frames"] = node("SoraVAEDecode", latent=["sample", 0], vae=["vae", 0])
    graph["show"] = node("PreviewImage", images=["frames", 0])
    return graph


EDITS = {
    "SoraExtend": {"video": ["clip", 0], "seconds": 1.0, "direction": "forwards"},
    "SoraInfill": {"video": ["clip", 0], "frames": "9-16"},
    "SoraConnect": {"first": ["clip", 0], "second": ["clip", 0], "seconds": 1.0},
    "SoraLoop": {"video": ["clip", 0], "seconds": 1.0},
    "SoraRemix": {"video": ["clip", 0], "strength": 0.6},
}


def models(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Core's Wan, tiny and random, through our sampler, edit nodes and decoder."""
    comfy.upload(WORKFLOWS / "inputs" / "sora_cat.mp4")
    graph = core_graph(None)
    theirs = ksampler(graph, "sample", "euler")
    made: dict[str, Any] = {"KSampler": difference(comfy.latent(graph, "sample"), comfy.latent(theirs, "sample"))}
    for edit, settings in EDITS.items():
        graph = core_graph(edit, **settings)
        before, after = comfy.latent(graph, "edit"), comfy.latent(graph, "sample")
        shown = comfy.run(graph)["show"]["images"]
        # Before sampling, what is kept is not zero and what is to be made is.
        kept = before.abs().amax((0, 1, 3, 4)) > 0
        made[edit] = {"latents": list(after.shape), "frames": len(shown)}
        if edit != "SoraRemix":
            made[edit]["kept"] = f"{int(kept.sum())} of {len(kept)} latents"
            made[edit]["kept_untouched"] = torch.equal(before[:, :, kept], after[:, :, kept])
    return made


def refusals(comfy: Comfy, host: Host, args: argparse.Namespace) -> dict:
    """Bad input, and the words in which it was refused. None: it was not."""
    comfy.upload(WORKFLOWS / "inputs" / "sora_cat.mp4")
    good = core_graph(None)
    ours = node("SoraLoadModel", model="sora-mini", precision="fp32")
    batch = node("EmptyLatentImage", width=64, height=64, batch_size=1)
    mask = node("SolidMask", value=1.0, width=64, height=64)
    masks = {**{f"mask{i}": mask for i in range(2)}, "pair": node("MaskToImage", mask=["mask0", 0])}
    frames = {"images": node("RepeatImageBatch", image=["pair", 0], amount=7)}
    long = {**masks, **frames, "mask": node("ImageToMask", image=["images", 0], channel="red")}
    picture = node("EmptyImage", width=64, height=64, batch_size=9, color=0)
    encoded = {"picture": picture, "sora": ours, "edit": node("SoraVAEEncode", images=["picture", 0], vae=["sora", 2])}
    wide = copy.deepcopy(good)
    wide["text"] = ours
    asked = {
        "mask of another length": {**good, **long, "masked": node(
            "SetLatentNoiseMask", samples=["edit", 0], mask=["mask", 0])},
        "latent of another VAE": {**good, **encoded},
        "decoded by another VAE": {**good, "sora": ours, "frames": node(
            "SoraVAEDecode", latent=["sample", 0], vae=["sora", 2])},
        "prompt of another width": wide,
        "VAE for pictures": {**good, "vae": node("VAELoader", vae_name="pixel_space"), "picture": picture,
                             "edit": node("SoraVAEEncode", images=["picture", 0], vae=["vae", 0])},
        "latent of another rank": {**good, "audio": node("EmptyLatentAudio", seconds=2.0, batch_size=1),
                                   "frames": node("SoraVAEDecode", latent=["audio", 0], vae=["vae", 0])},
    }  # fmt: skip
    asked["mask of another length"]["sample"] = copy.deepcopy(good["sample"])
    asked["mask of another length"]["sample"]["inputs"]["latent"] = ["masked", 0]
    # An empty latent of another shape is no mistake: it is made to fit.
    fitted = comfy.latent({**good, "edit": batch}, "sample")
    made: dict[str, Any] = {"empty latent of a picture becomes": list(fitted.shape)}
    for what, graph in asked.items():
        try:
            comfy.run(graph)
            made[what] = None
        except Refused as refused:
            made[what] = str(refused)
    return made


SECTIONS = {"workflows": workflows, "samplers": samplers, "lora": lora, "models": models, "refusals": refusals}
NEED_MODELS = {"lora", "models", "refusals"}


def write_models(args: argparse.Namespace) -> list[Path]:
    """Run comfyui_models.py in ComfyUI's environment."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    script = Path(__file__).with_name("comfyui_models.py")
    command = [args.python, str(script), str(args.comfyui)]
    settings = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    return [Path(p) for p in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI with the pack")
    parser.add_argument("--only", default=",".join(SECTIONS), help="which parts, separated by commas")
    parser.add_argument("--steps", type=int, help="sampling steps, in place of those saved in the workflows")
    parser.add_argument("--comfyui", type=Path, help="its folder, for the parts that need models in it")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs it")
    args = parser.parse_args()
    chosen = [name.strip() for name in args.only.split(",")]
    if unknown := sorted(set(chosen) - set(SECTIONS)):
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(SECTIONS)}")
    if args.comfyui is None and NEED_MODELS & set(chosen):
        parser.error(f"{', '.join(sorted(NEED_MODELS & set(chosen)))} need --comfyui FOLDER")
    comfy = Comfy(args.url)
    system = json.loads(comfy.get("/system_stats"))["system"]
    made: dict[str, Any] = {"comfyui": system["comfyui_version"], "torch": system["pytorch_version"]}
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
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
