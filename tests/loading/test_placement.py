"""Weights are planned by the header of their file, and refused before any of it is read."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hostile_files import configs, safetensors
from safetensors.torch import save_file

from sora_core import memory
from sora_core.errors import SoraError
from sora_core.loading.checkpoint import load_model, read
from sora_core.loading.placement import plan_file


def test_a_plan_counts_what_a_file_takes(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(300, 100, dtype=torch.float16), "y": torch.zeros(7)}, path)
    plan = plan_file(path, torch.float32)
    assert (plan.values, plan.stored, plan.loaded) == (30_007, 60_028, 120_028)
    assert plan.peak == 180_056  # both, until the last is converted
    assert plan_file(path).peak == 60_028


def test_weights_that_do_not_fit_are_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "big.safetensors"
    save_file({"x": torch.zeros(40 << 20, dtype=torch.float16)}, path)
    monkeypatch.setattr(memory, "free_memory", lambda: 50 << 20)
    with pytest.raises(SoraError, match=r"big.safetensors \(42 million numbers\) needs 0.08 GiB.*0.05 GiB are free"):
        read(path)


@pytest.mark.parametrize("name", configs())
def test_a_config_that_its_file_cannot_fill_is_refused(tmp_path, name):
    path = tmp_path / "made.safetensors"
    path.write_bytes(safetensors({"format": 1, "info": {}, "parts": configs()[name]}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SoraError) as refused:
        load_model(path)
    assert (
        len(str(refused.value).splitlines()) == 1
        and "made.safetensors" in str(refused.value)
        or "Unknown" in str(refused.value)
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB; it was 8 GB


def test_what_ulimit_leaves_is_what_is_free():
    code = "from sora_core.memory import free_memory, expect_memory as e; print(free_memory()); e(2 << 30, 'It', 'no.')"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 1500000; exec {sys.executable} -c \"{code}\""],
        cwd=root, capture_output=True, text=True, env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert 0 < int(done.stdout) < 1_500_000 * 1024
    assert "It needs 2.00 GiB of memory; " in done.stderr and "are free. No." in done.stderr
