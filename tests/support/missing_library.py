"""Every node of the pack once, on the embedded host, in a process where one library cannot be imported.

    python tests/support/missing_library.py MODULE FOLDER

FOLDER holds models/tiny.safetensors, input/a.mp4 and input/still.png (`nodes_support` and `write_video` make them).
Prints JSON: for each thing asked what it failed with (null: it ran) and what the node said.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


class Without:
    """A finder of modules that does not find one of them, as if it were not installed."""

    def __init__(self, finder: Any, blocked: str) -> None:
        self.finder, self.blocked = finder, blocked

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.split(".")[0] == self.blocked else self.finder.find_spec(name, path, target)


SIZE = {"fps": 0.0, "width": 0, "height": 0}
WIDGETS = {"cfg": 1.0, "scheduler": "simple", "steps": 1, "seed": 0}
BASE: dict[str, tuple[str, dict]] = {
    "load": ("SoraLoadModel", {"model": "tiny.safetensors"}),
    "text": ("SoraTextEncode", {"clip": ["load", 1], "text": "a cat moving right on a beach"}),
    "still": ("LoadImage", {"image": "still.png"}),
    "video": ("LoadVideo", {"file": "a.mp4"}),
    "empty": (
        "SoraEmptyLatent",
        {"seconds": 0.7, "fps": 8.0, "width": 32, "height": 32, "aspect": "as set", "batch_size": 1},
    ),
    "patches": ("SoraPatchify", {"latent": ["empty", 0]}),
    "sample": (
        "SoraSampler",
        {
            "model": ["load", 0],
            "positive": ["text", 0],
            "latent": ["empty", 0],
            "denoise": 1.0,
            "guidance_start": 0.0,
            "guidance_end": 1.0,
            "sampler": "euler",
            **WIDGETS,
        },
    ),
}
RUN = BASE["sample"][1]
EDIT = {"vae": ["load", 2], "video": ["video", 0], **SIZE}
STILL = {"image": ["still", 0], "vae": ["load", 2], "position": "first", "frame": 0, "seconds": 0.6, "fps": 8.0}
# Node -> inputs, and after a slash what else it is asked to do.
ASKED: dict[str, dict[str, Any]] = {
    "SoraSampler/dpmpp_2m_sde": {**RUN, "sampler": "dpmpp_2m_sde", "steps": 3},
    "SoraUnpatchify": {"patches": ["patches", 0]},
    "SoraSamplerSelect": {"sampler": "euler"},
    "SoraScheduler": {"model": ["load", 0], "scheduler": "simple", "steps": 2, "denoise": 1.0},
    "SoraVAEDecode": {"latent": ["sample", 0], "vae": ["load", 2]},
    "SoraVAEEncode": {"images": ["still", 0], "vae": ["load", 2]},
    "SoraImageToVideo": {**STILL, "width": 0, "height": 0},
    "SoraImageToVideo/scaled": {**STILL, "width": 48, "height": 32},
    "SoraExtend": {**EDIT, "seconds": 0.5, "direction": "forwards"},
    "SoraInfill": {**EDIT, "frames": "3-5"},
    "SoraConnect": {"first": ["video", 0], "second": ["video", 0], "vae": ["load", 2], "seconds": 0.5, **SIZE},
    "SoraLoop": {**EDIT, "seconds": 0.5},
    "SoraRemix": {**EDIT, "strength": 0.6},
    "SoraCondition": {
        "model": ["load", 0],
        "positive": ["text", 0],
        "negative": ["text", 0],
        "latent": ["empty", 0],
        "vae": ["load", 2],
        "strength": 1.0,
    },
    "SoraExperts": {"high_noise": ["load", 0], "low_noise": ["load", 0], "boundary": 0.5},
    "SoraStoryboard": {"clip": ["load", 1], "shots": "1s: a cat\n1s: a dog", "fps": 8.0, "width": 32, "height": 32},
    "SoraLongVideo": {
        "model": ["load", 0],
        "clip": ["load", 1],
        "vae": ["load", 2],
        "shots": "a cat",
        "negative": "",
        "seconds": 1.0,
        "fps": 8.0,
        "width": 32,
        "height": 32,
        "filename_prefix": "long",
        "window": 3,
        "sampler": "euler",
        **WIDGETS,
    },
    "SoraSaveVideo": {"images": ["still", 0], "fps": 8.0, "filename_prefix": "saved"},
    "SoraSaveVideo/credentials": {"images": ["still", 0], "fps": 8.0, "filename_prefix": "saved", "credentials": "on"},
    "SoraExpandPrompt": {
        "text": "a cat walks left",
        "seed": 0,
        "language_model": "",
        "language_model_name": "",
        "time_limit": 1.0,
    },
    "SoraCaption": {"video": ["video", 0], "length": "short", "language": "en", "fps": 8.0, "seed": 0},
    "SoraCaption/images": {"images": ["still", 0], "length": "short", "language": "en", "fps": 8.0, "seed": 0},
    "SoraPromptSafety": {"prompt": "a cat", "negative": "", "shots": "", "policy": ""},
    "SoraFrameSafety": {"images": ["still", 0], "action": "block"},
    "SoraStepCache": {"model": ["load", 0], "cache": 0.6, "gate": 0.5},
    "SoraCompare": {"first": ["still", 0], "second": ["still", 0], "fps": 8.0},
    "SoraDetect": {"video": ["video", 0]},
    "SoraDetect/images": {"images": ["still", 0]},
}


def asked() -> dict[str, tuple[str, dict]]:
    """What is asked -> the node that must answer, and the graph."""
    base = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in BASE.items()}
    made = {}
    for what, inputs in ASKED.items():
        made[what] = ("target", base | {"target": {"class_type": what.split("/")[0], "inputs": inputs}})
    for name, (kind, _) in BASE.items():
        if kind.startswith("Sora"):
            made[kind] = (name, base)
    return made


def answers() -> dict[str, Any]:
    """The nodes of the pack, and for each thing asked: what it failed with, what it said."""
    from sora_core.errors import SoraError
    from sora_core.host.desk.folders import Folders
    from sora_core.host.host import Host

    host, made = Host(Folders("input", "output", "temp")), {}
    for what, (name, graph) in asked().items():
        look = {"class_type": "PreviewAny", "inputs": {"source": [name, 0]}}
        said: list[str] = []

        def hear(event: str, data: dict, said: list[str] = said, name: str = name) -> None:
            if event == "progress_text" and data["node"] == name:
                said.append(data["text"])

        try:
            # A node without outputs shows by itself what it made.
            ends = not host.registry.nodes[graph[name]["class_type"]].GET_SCHEMA().outputs
            host.run(graph if ends else {**graph, "look": look}, listener=hear)
            made[what] = {"failed": None, "said": "\n".join(said)}
        except SoraError as error:
            made[what] = {"failed": str(error), "said": "\n".join(said)}
    return {"nodes": [name for name in host.registry.nodes if name.startswith("Sora")], "asked": made}


if __name__ == "__main__":
    blocked, folder = sys.argv[1:]
    sys.meta_path[:] = [Without(finder, blocked) for finder in sys.meta_path]
    os.chdir(Path(folder))
    print(json.dumps(answers()))
