"""`sora generate`: what it refuses, and the video that it was asked for."""

from __future__ import annotations

import imageio.v3 as imageio
import pytest
from nodes_support import TINY, save_tiny

import sora_core
from sora_core.cli import main


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["", "-o", "a.mp4"], "prompt is empty"),
        (["  ", "-o", "a.mp4"], "prompt is empty"),
        (["a", "-o", "a.avi"], "end its name in .mp4"),
        (["a", "-o", "x.mp4"], "is a folder"),
        (["a", "-o", "a\x1b[2J.mp4"], "holds a control character"),
        (["a", "-o", "file/a.mp4"], "not a folder"),
        (["a", "-o", "a.mp4", "--model", "none.safetensors"], "none.safetensors"),
        (["a", "-o", "a.mp4", "--cache", "2"], "cache is 2.0"),
        (["a", "-o", "a.mp4", "--gate", "nan"], "gate is nan"),
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


def test_what_a_person_should_know_goes_to_stderr_and_the_path_alone_to_stdout(tmp_path, capsys):
    out = tmp_path / "out.mp4"
    options = {"--model": save_tiny(tmp_path / TINY), "--seconds": "0.7", "--steps": "1", "--cfg": "1", "-o": out}
    words = [str(word) for pair in options.items() for word in pair]
    assert main(["generate", "a cat and a Zeppelin", *words]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert "The model cannot draw a zeppelin (drawn as an airplane)." in told.err
    assert "leaves these words out" not in told.err
    assert "5.6 frames rounded to 5 (1 + 4k)" in told.err
    assert "signed" in told.err.lower(), told.err
    # What is already as the model knows it, and is not signed, needs no word.
    plain = ["generate", "a cat", *words[:2], "--frames", "5", *words[4:], "--no-credentials", "--no-watermark"]
    assert main(plain) == 0
    assert capsys.readouterr().err == ""
