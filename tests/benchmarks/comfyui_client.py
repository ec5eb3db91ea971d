"""A running ComfyUI, as the benchmarks talk to it."""

from __future__ import annotations

import copy
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

NAME = "sora_benchmark"  # as comfyui_models.py names its files
ABSENT = {"SoraSaveVideo", "SaveVideo"}  # left out where only a latent is wanted


class Refused(RuntimeError):
    """What ComfyUI answered in place of a result. sampled: whether its samplers had begun."""

    def __init__(self, message: str, sampled: bool = False) -> None:
        super().__init__(message)
        self.sampled = sampled


def node(kind: str, **inputs: Any) -> dict:
    return {"class_type": kind, "inputs": inputs}


def named(graph: dict, kind: str) -> str | None:
    """The first node of a kind."""
    return next((name for name, entry in graph.items() if entry["class_type"] == kind), None)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.shape != b.shape:
        raise ValueError(f"{list(a.shape)} against {list(b.shape)}")
    return float((a.float() - b.float()).abs().max())


class Comfy:
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
                sampled = any("comfy/samplers.py" in line.replace("\\", "/") for line in data["traceback"])
                raise Refused(f"{data['node_type']}: {data['exception_message'].strip()}", sampled)
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
