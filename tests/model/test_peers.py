"""The benchmark against diffusers runs, and what it compares agrees. How fast both are a quiet machine has to say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PEERS = Path(__file__).resolve().parents[1] / "benchmarks" / "peers.py"


@pytest.mark.slow
def test_peers_in_short():
    done = subprocess.run([sys.executable, PEERS, "--short", "--json"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["step fp32"]["error"]["ours"] < 1e-4 > found["step fp32"]["error"]["direct"]
    assert found["guided fp32"]["apart"] < 1e-4
    half = found["step bf16"]["error"]
    assert half["ours"] <= 1.2 * half["diffusers"] and half["direct"] <= 1.2 * half["diffusers"]
    for precision in ("bf16", "fp32"):
        assert found[f"batch {precision}"]["apart"] < 1e-2
        assert found[f"step {precision}"]["same_twice"]
        assert found[f"step {precision}"]["ratio"] > 0.6  # on a machine that does something else meanwhile
        assert found[f"parts {precision}"]["linear layers"]["share"] < 1
