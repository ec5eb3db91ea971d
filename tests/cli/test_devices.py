"""`sora generate --devices`: several processes, one voice, one file, one end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from nodes_support import TINY, save_tiny

from sora_core.cli import main

WORDS = ["a cat moving right on a beach", "--frames", "5", "--size", "32x32", "--cfg", "2"]
COMMAND = [sys.executable, "-m", "sora_core.cli", "generate", *WORDS]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--devices", "0"], "at least 1"),
        (["--devices", "two"], "at least 1"),
        (["--devices", "2", "--split", "3x1"], "PxT with P 1 or 2"),
        (["--split", "2x0"], "PxT with P 1 or 2"),
        (["--devices", "2", "--split", "2x2"], "--split 2x2 is for 4 processes, and there are 2"),
        (["--split", "1x2"], "use --devices 2"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(words, expected, capsys, tmp_path):
    try:
        code = main(["generate", *WORDS, "-o", str(tmp_path / "a.mp4"), *words])
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2) and expected in capsys.readouterr().err


def test_a_number_that_torchrun_did_not_start_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(["generate", *WORDS, "-o", str(tmp_path / "a.mp4"), "--devices", "2"]) == 1
    assert "torchrun has started 3 processes" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs these are counted")
def test_more_processes_than_cores_are_refused_before_any_starts(capsys, tmp_path):
    many = (os.cpu_count() or 1) + 2
    assert main(["generate", *WORDS, "-o", str(tmp_path / "a.mp4"), "--devices", str(many)]) == 1
    assert "there is no GPU here and" in capsys.readouterr().err


def environment() -> dict[str, str]:
    """As it is, with one thread each: the numbers are the same then."""
    gone = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return {k: v for k, v in os.environ.items() if k not in gone} | {"OMP_NUM_THREADS": "1"}


def children(pid: int) -> dict[int, int]:
    """Processes of a launcher by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            variables = dict(v.split("=", 1) for v in (folder / "environ").read_text().split("\0") if "=" in v)
        except (OSError, ValueError):
            continue
        if parent == pid and "RANK" in variables:
            found[int(variables["RANK"])] = int(folder.name)
    return found


def begun(out: Path, model: Path) -> tuple[subprocess.Popen, dict[int, int]]:
    """Start a run that would take long, and wait until it samples."""
    words = ["--devices", "2", "--steps", "10000", "--model", str(model), "-o", str(out)]
    run = subprocess.Popen(
        [*COMMAND, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while time.monotonic() < end:
        ranks = children(run.pid)
        # Both compute once they have loaded: a second of it each is more than any of them needs to start.
        if len(ranks) == 2 and connected(ranks[1]) and connected(ranks[0]):
            time.sleep(2)
            return run, ranks
        time.sleep(0.1)
    run.kill()
    raise AssertionError(f"it did not begin: {run.communicate()}")


def connected(pid: int) -> bool:
    """Whether a process has threads of gloo."""
    try:
        names = [(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return any("gloo" in name for name in names)


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_two_processes_make_the_video_of_one(tmp_path, capfd):
    model = save_tiny(tmp_path / TINY)
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    words = ["--model", str(model), "--steps", "3"]
    assert main(["generate", *WORDS, *words, "-o", str(one)]) == 0
    said = capfd.readouterr()
    done = subprocess.run(
        [*COMMAND, *words, "--devices", "2", "-o", str(two)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # What is said once by one process is said once by two.
    assert done.stdout.split() == [str(two)] and said.out.split() == [str(one)]
    assert sorted(set(done.stderr.splitlines())) == sorted(done.stderr.splitlines()) == sorted(said.err.splitlines())
    assert np.abs(imageio.imread(one).astype(int) - imageio.imread(two).astype(int)).max() <= 8


@pytest.mark.slow
def test_a_process_that_dies_ends_all_with_a_line(tmp_path):
    run, ranks = begun(tmp_path / "a.mp4", save_tiny(tmp_path / TINY))
    os.kill(ranks[1], signal.SIGKILL)
    out, err = run.communicate(timeout=60)
    assert run.returncode > 0 and out == "" and gone(list(ranks.values()))
    assert 1 <= len(err.splitlines()) <= 3 and "Traceback" not in err, err
    assert "process 1 of 2 was ended by SIGKILL" in err or "Another process of this run has ended" in err, err
    assert [path.name for path in tmp_path.iterdir()] == [TINY]


@pytest.mark.slow
def test_ctrl_c_ends_all(tmp_path):
    run, ranks = begun(tmp_path / "a.mp4", save_tiny(tmp_path / TINY))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and out == "" and gone(list(ranks.values()))
    assert err.split() == ["Stopped."], err
    assert [path.name for path in tmp_path.iterdir()] == [TINY]
