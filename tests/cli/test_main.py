"""The `sora` command itself: help, usage errors, and the options of `sora generate`."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["", "-o", "a.mp4"], "prompt is empty"),
        (["  ", "-o", "a.mp4"], "prompt is empty"),
        (["a", "-o", "a.avi"], "end its name in .mp4"),
        (["a", "-o", "x.mp4"], "is a folder"),
        (["a", "-o", "file/a.mp4"], "not a folder"),
        (["a", "-o", "a.mp4", "--model", "none.safetensors"], "none.safetensors"),
    ],
)
def test_what_generate_refuses(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mp4").mkdir()
    (tmp_path / "file").touch()
    assert main(["generate", *words]) == 1
    err = capsys.readouterr().err
    assert err.startswith("sora: ") and expected in err and len(err.splitlines()) <= 2
    assert {path.name for path in tmp_path.iterdir()} == {"x.mp4", "file"}


def test_generate_writes_the_video_it_was_asked_for(tmp_path, capsys):
    import imageio.v3 as imageio
    from nodes_support import TINY, save_tiny

    import sora_core

    model = save_tiny(tmp_path / TINY)
    out = tmp_path / "sub" / "out.mp4"
    words = [
        "generate",
        "a cat moving right on a beach",
        "-o",
        str(out),
        "--model",
        str(model),
        "--frames",
        "5",
        "--size",
        "48x32",
        "--fps",
        "6",
        "--steps",
        "2",
        "--cfg",
        "2",
        "--seed",
        "4",
        "--sampler",
        "heun",
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(out)
    frames = imageio.imread(out)
    assert frames.shape == (5, 32, 48, 3) and imageio.immeta(out)["fps"] == 6
    made = sora_core.load(model).generate(
        words[1], frames=5, width=48, height=32, fps=6, steps=2, cfg=2.0, seed=4, sampler="heun"
    )
    made.save(tmp_path / "python.mp4")
    assert (imageio.imread(tmp_path / "python.mp4") == frames).all()
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]
    assert main([*words[:-1], "no_such_sampler"]) == 1
    assert "no_such_sampler" in capsys.readouterr().err
