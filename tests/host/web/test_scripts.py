"""What ComfyUI's API examples do, from a process without this package's code: queue, listen, look, fetch.

The examples themselves are GPL and not here: `tests/benchmarks/api_examples.py FOLDER` runs them.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from PIL import Image
from studio_support import Process

pytestmark = pytest.mark.slow


def graph(checkpoint: str, **save: object) -> dict:
    """The graph of the examples: one picture by KSampler, saved under `save`."""
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "cfg": 8, "denoise": 1, "latent_image": ["5", 0], "model": ["4", 0], "negative": ["7", 0],
                "positive": ["6", 0], "sampler_name": "euler", "scheduler": "normal", "seed": 5, "steps": 3,
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": 1, "height": 64, "width": 64}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "a cat on a beach"}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "bad hands"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        **save,
    }  # fmt: skip


SAVED = {"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}}}
SENT = {"save_image_websocket_node": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Process(tmp_path_factory.mktemp("scripts")) as made:
        yield made


def fetch(server: Process, path: str, data: dict | None = None) -> bytes:
    """As urllib asks: a form's content type, no Origin."""
    body = None if data is None else json.dumps(data).encode("utf-8")
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data=body)) as answer:
        return answer.read()


def test_a_script_queues_waits_and_fetches_its_picture(server):
    client = server.client(str(uuid.uuid4()))
    with client.connect() as socket:
        job = str(uuid.uuid4())
        fetch(server, "/prompt", {"prompt": graph("sora-mini", **SAVED), "client_id": client.name, "prompt_id": job})
        socket.ended(job)
    outputs = json.loads(fetch(server, f"/history/{job}"))[job]["outputs"]
    (image,) = outputs["9"]["images"]
    query = urllib.parse.urlencode({name: image[name] for name in ("filename", "subfolder", "type")})
    assert Image.open(io.BytesIO(fetch(server, f"/view?{query}"))).size == (64, 64)


def test_a_script_gets_its_picture_over_the_socket(server):
    client = server.client(str(uuid.uuid4()))
    with client.connect() as socket:
        asked = {"prompt": graph("sora-mini", **SENT), "client_id": client.name}
        job = json.loads(fetch(server, "/prompt", asked))["prompt_id"]
        node, images = "", []
        for message in socket.ended(job):
            if isinstance(message, bytes):
                images += [message[8:]] if node == "save_image_websocket_node" else []
            elif message["type"] == "executing":
                node = message["data"]["node"]
    assert [Image.open(io.BytesIO(image)).size for image in images] == [(64, 64)]


def test_a_script_with_another_checkpoint_is_told_which_there_are(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(server, "/prompt", {"prompt": graph("v1-5-pruned-emaonly.safetensors", **SAVED)})
    assert refused.value.code == 400
    told = json.loads(refused.value.read())
    assert list(told["node_errors"]) == ["4"] and "choose one of sora-mini" in told["error"]["details"]
