"""Work that runs long inside torch stops within a second, and no number changes by that."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from hostile_shared import node

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.latents.decoding import encode
from sora_core.loading.checkpoint import load_model
from sora_core.pipeline.progress import Interrupted
from sora_core.pipeline.stopping import Stoppable


@pytest.fixture(scope="module")
def vae():
    return load_model().vae


def test_no_number_changes(vae):
    frames = torch.rand(5, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    plain = encode(vae, frames)
    with Stoppable():
        assert torch.equal(encode(vae, frames), plain)


def test_a_backward_pass_can_be_stopped():
    asked = []

    def check() -> None:
        asked.append(1)
        if backward:
            raise Interrupted

    backward, stop = False, Stoppable(check)
    with stop:
        x = torch.ones(4, requires_grad=True)
        loss = (x * 2).sum()
        backward, stop.next = True, 0.0
        stop.ask, real = lambda: None, stop.ask  # the call itself is let through
        stop.ask = real
        with pytest.raises(Interrupted):
            loss.backward()
    assert asked


def test_a_run_that_encodes_with_corrections_stops_within_a_second(tmp_path):
    from PIL import Image

    (tmp_path / "input").mkdir()
    Image.new("RGB", (768, 768)).save(tmp_path / "input" / "a.png")
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"))
    graph = {
        "1": node("SoraLoadModel", model="sora-mini"),
        "2": node("LoadImage", image="a.png"),
        "3": node("VAEEncode", pixels=["2", 0], vae=["1", 2]),
        "4": node("PreviewAny", source=["3", 0]),
    }
    stop, began = threading.Event(), threading.Event()

    def listen(event, data):
        if event == "executing" and data["node"] == "3":
            began.set()

    def later():
        began.wait(60)
        time.sleep(0.5)
        times.append(time.process_time())
        stop.set()

    times: list[float] = []
    threading.Thread(target=later).start()
    with pytest.raises(Interrupted):
        host.run(host.load(graph), listener=listen, stop=stop)
    # One operation of torch's at most, in seconds of this process.
    assert time.process_time() - times[0] < 1.5
