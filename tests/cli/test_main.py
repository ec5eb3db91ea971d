"""The `sora` command itself: help, and usage errors."""

from __future__ import annotations

import importlib
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sora_core.about import VERSION
from sora_core.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]


def test_help_is_quick_and_lists_every_command():
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); from sora_core.cli import main\n"
        "try:\n    main(['--help'])\nfinally:\n    assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    )
    # Processor time, not the clock: a busy machine is no fault of the command.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and "--debug" in capsys.readouterr().out


def test_without_a_command_it_prints_the_help(capsys):
    assert main([]) == 0
    assert "generate" in capsys.readouterr().out


def test_the_version_is_that_of_the_code(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"sora {VERSION}\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_train_is_handed_over(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0 and "vae" in capsys.readouterr().out


USAGE = {
    "no such command": (["generat", "x"], "invalid choice"),
    "no prompt": (["generate", "-o", "a.mp4"], "prompt"),
    "no output": (["generate", "a cat"], "--output"),
    "negative seconds": (["generate", "a", "-o", "a.mp4", "--seconds", "-2"], "'-2' is not a number above 0"),
    "seconds nan": (["generate", "a", "-o", "a.mp4", "--seconds", "nan"], "'nan' is not a number above 0"),
    "half a step": (["generate", "a", "-o", "a.mp4", "--steps", "2.5"], "'2.5' is not a whole number"),
    "size": (["generate", "a", "-o", "a.mp4", "--size", "128"], "WIDTHxHEIGHT"),
    "seed": (["generate", "a", "-o", "a.mp4", "--seed", "-1"], "from 0 to 2^64-1"),
    "seconds and frames": (["generate", "a", "-o", "a.mp4", "--seconds", "2", "--frames", "9"], "not allowed"),
    "unknown option": (["run", "a.json", "--sett", "x"], "unrecognized arguments"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors_take_two_lines(case, capsys):
    words, expected = USAGE[case]
    with pytest.raises(SystemExit) as stop:
        main(words)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and expected in err and len(err.splitlines()) == 2


LONG = "é" * 130  # more bytes than a name may have
LONG_NAMES = [
    ["generate", "a cat", "-o", f"{LONG}.mp4"],
    ["generate", "a cat", "-o", f"{LONG}/a.mp4"],
    ["generate", "a cat", "-o", "a.mp4", "--lora", LONG],
    ["generate", "a cat", "-o", "a.mp4", "--model", f"{LONG}.safetensors"],
    ["generate", "a cat", "-o", "a.mp4", "--policy", LONG],
    ["run", LONG],
    ["run", f"{LONG}.json"],
    ["run", "extend", "--set", f"LoadVideo.file={LONG}.mp4"],
    ["run", "extend", "--input-dir", LONG, "--set", "LoadVideo.file=no.mp4"],
    ["verify", f"{LONG}.mp4"],
    ["detect", f"{LONG}.mp4"],
    ["caption", f"{LONG}.mp4"],
    ["check", "a cat", "--policy", LONG],
]


@pytest.mark.parametrize("words", LONG_NAMES)
def test_names_that_are_too_long_are_refused_in_words(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "fault of the program" not in said and ("There is no" in said or "(26" in said), said


def test_ctrl_c_while_a_command_is_imported(monkeypatch, capsys):
    def imported(name, package=None):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(importlib, "import_module", imported)
    assert main(["check", "a cat"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"
