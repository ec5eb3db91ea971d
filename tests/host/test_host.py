"""Several hosts in one process: each keeps to its own folders, whatever the others do meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from host_support import api, make_host
from PIL import Image

FLOW = api(n1=("TinySlow", {"value": 3, "steps": 1}), n2=("TinyWrite", {"value": ["1", 0]}))


@pytest.fixture
def hosts(tmp_path: Path):
    return [make_host(tmp_path / name) for name in ("one", "two")]


def test_two_hosts_at_once_write_into_their_own_folders(hosts):
    # Both runs are under way before either writes.
    both = threading.Barrier(2, timeout=60)

    def listener(event, data):
        if event == "progress":
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(host.run, FLOW, listener=listener) for host in hosts]
        results = [run.result() for run in runs]
    for host, result in zip(hosts, results, strict=True):
        assert result.files == [(host.folders.output / "tiny_00001_.txt").resolve()]
        assert result.files[0].read_text().startswith("3 ")


def test_a_host_made_later_changes_nothing_for_one_made_before(hosts):
    first, second = hosts
    Image.new("RGB", (4, 4)).save(first.folders.input / "only_there.png")
    flow = api(n1=("LoadImage", {"image": "only_there.png"}), n2=("SaveImage", {"images": ["1", 0]}))
    assert first.plan(first.load(flow)).outputs == ["2"]
    assert first.run(flow).files[0].is_relative_to(first.folders.output)
    with first.active():
        assert "only_there.png" in str(first.registry.object_info()["LoadImage"])
    with second.active():
        assert "only_there.png" not in str(second.registry.object_info()["LoadImage"])
