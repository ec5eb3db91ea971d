"""An edit in Python is what its node makes: latents, frames, sound and notes."""

from __future__ import annotations

import pytest
import torch
from marks import with_slow
from parity_support import HOW, KEEP, PROMPT, edit_graph, long_graph, same, story_graph

from sora_core.media.clips import read_clip
from sora_core.media.sound import read_audio
from sora_core.tasks.long.rolling import Rolling

ROLLING = Rolling(4, 1, 1, 0.6, 0.8)
STILL = {"image": ["still", 0], "position": "first", "frame": 0, "seconds": 1.1, "fps": 8.0, "width": 0, "height": 0}
# name: call in Python, node, its inputs
EDITS = {
    "animate": (
        lambda pipe, at: pipe.animate(at / "still.png", PROMPT, frames=9, **HOW),
        "SoraImageToVideo",
        {**STILL, "seconds": 1.125},
    ),
    "ends": (
        lambda pipe, at: pipe.animate({0: at / "still.png", -1: at / "still.png"}, PROMPT, seconds=1.1, **HOW),
        "SoraImageToVideo",
        {**STILL, "last_image": ["still", 0]},
    ),
    "odd picture": (
        lambda pipe, at: pipe.animate(at / "wide.png", PROMPT, seconds=1.1, **HOW),
        "SoraImageToVideo",
        {**STILL, "image": ["wide", 0]},
    ),
    "extend": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=0.5, **HOW),
        "SoraExtend",
        {"video": ["a", 0], "seconds": 0.5, "direction": "forwards", "window": 2, **KEEP},
    ),
    "odd size and rate": (
        lambda pipe, at: pipe.extend(at / "odd.mp4", PROMPT, seconds=0.5, fps=8, **HOW),
        "SoraExtend",
        {"video": ["odd", 0], "seconds": 0.5, "direction": "forwards", "window": 2, **KEEP, "fps": 8.0},
    ),
    "backwards": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=0.5, direction="backwards", hold=0.1, **HOW),
        "SoraExtend",
        {"video": ["a", 0], "seconds": 0.5, "direction": "backwards", "window": 2, "hold": 0.1, **KEEP},
    ),
    "both": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=1, direction="both", **HOW),
        "SoraExtend",
        {"video": ["a", 0], "seconds": 1.0, "direction": "both", "window": 2, **KEEP},
    ),
    "infill": (
        lambda pipe, at: pipe.infill(at / "a.mp4", PROMPT, hidden=range(5, 9), **HOW),
        "SoraInfill",
        {"video": ["a", 0], "frames": "5-8", "window": 2, **KEEP},
    ),
    "connect": (
        lambda pipe, at: pipe.connect(at / "a.mp4", at / "b.mp4", PROMPT, seconds=0.5, **HOW),
        "SoraConnect",
        {"first": ["a", 0], "second": ["b", 0], "seconds": 0.5, "window": 2, **KEEP},
    ),
    "loop": (
        lambda pipe, at: pipe.loop(at / "a.mp4", PROMPT, seconds=0.5, **HOW),
        "SoraLoop",
        {"video": ["a", 0], "seconds": 0.5, "window": 2, **KEEP},
    ),
    "remix": (
        lambda pipe, at: pipe.remix(at / "a.mp4", PROMPT, strength=0.6, **HOW),
        "SoraRemix",
        {"video": ["a", 0], "strength": 0.6, **KEEP},
    ),
}
CHANGED = ("ends", "odd size and rate", "odd picture")  # what is rounded, cut or resampled on the way in
QUICK = ("animate", "odd picture", "odd size and rate", "remix")


@pytest.mark.parametrize("name", with_slow(EDITS, [name for name in EDITS if name not in QUICK]))
def test_every_edit(ways, name):
    call, kind, inputs = EDITS[name]
    made = call(ways.pipe, ways.inputs)
    run, said = ways.run(edit_graph(kind, {"denoise": 0.6} if kind == "SoraRemix" else None, **inputs))
    assert same(made.latent, run)
    # All that the node says below what it keeps, Python says too.
    kept = next(i for i, line in enumerate(said) if "yours untouched" in line)
    changed = [
        line for line in said[kept + 1 :] if line.startswith("odd.mp4") or "rounded to" in line or " to 32x32" in line
    ]
    assert made.notes == list(dict.fromkeys(changed)) and bool(changed) == (name in CHANGED)
    theirs, own = ways.newest("*.mp4"), made.save(ways.folder / "mine.mp4")
    assert torch.equal(read_clip(theirs).frames, read_clip(own).frames)
    if kind == "SoraImageToVideo":
        assert read_audio(own) is None
    else:
        sound = read_audio(own)
        assert torch.equal(sound["waveform"], read_audio(theirs)["waveform"]) and sound["waveform"].abs().max() > 0.2


@pytest.mark.slow
def test_an_extension_beyond_the_window(ways, monkeypatch):
    made = ways.pipe.extend(ways.inputs / "a.mp4", PROMPT, seconds=3, rolling=ROLLING, **HOW)
    run = ways.rendered(long_graph(f"3s: {PROMPT}", video=["a", 0]), monkeypatch)
    assert made.latent.shape == run.shape and same(made.latent, run)
    assert made.frames.shape[0] == 13 + 24
    assert any("in segments" in note for note in made.notes)
    theirs, own = ways.newest("long_*.mp4"), made.save(ways.folder / "mine.mp4")
    assert torch.equal(read_clip(theirs).frames, read_clip(own).frames)
    # The file may end with the sound or with silence behind it.
    ours, other = read_audio(own)["waveform"], read_audio(theirs)["waveform"]
    length = min(ours.shape[-1], other.shape[-1])
    assert length > 16000 and torch.allclose(ours[..., : length - 2048], other[..., : length - 2048], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 2.5, 3.0])
def test_both_say_where_the_window_ends(ways, seconds):
    """With a window of two latents all three are beyond it; the node advises what Python does."""
    inputs = {"video": ["a", 0], "seconds": seconds, "direction": "forwards", "window": 2, **KEEP}
    _, said = ways.run(edit_graph("SoraExtend", **inputs))
    made = ways.pipe.extend(ways.inputs / "a.mp4", PROMPT, seconds=seconds, **HOW)
    assert any("Sora Long Video makes it in segments" in line for line in said)
    assert any("in segments" in note for note in made.notes)


@pytest.mark.slow
def test_a_long_video_is_the_same_file(ways):
    shots, notes = "1s: a cat on a beach\n1s: a dog in a forest", []
    path = ways.pipe.long_video(
        shots, ways.folder / "mine.mp4", width=32, height=32, rolling=ROLLING, notes=notes, **HOW
    )
    _, said = ways.listen(long_graph(shots, filename_prefix="again"))
    assert torch.equal(read_clip(path).frames, read_clip(ways.newest("again_*.mp4")).frames)
    assert any("in segments" in note for note in notes) and set(notes) <= set(said)


def test_a_storyboard(ways):
    shots = "1s: a cat on a beach\n1s: a (dog:1.2) in a zeppelin"
    made = ways.pipe.storyboard(shots, width=32, height=32, **HOW)
    run, said = ways.run(story_graph(shots))
    assert same(made.latent, run)
    assert any("zeppelin" in note for note in made.notes) and set(made.notes) <= set(said)
    # What was written, and what of it was read.
    assert made.history.prompts == (shots, "a (dog:1.2) in an airplane")
    pairs = ways.pipe.storyboard(
        [("a cat on a beach", 1), ("a (dog:1.2) in a zeppelin", 1)], width=32, height=32, **HOW
    )
    assert same(made.latent, pairs.latent)
    read = "a (dog:1.2) in an airplane"
    assert pairs.history.prompts == ("a cat on a beach", "a (dog:1.2) in a zeppelin", read)
