"""What is refused, and what is said, is the same in Python, `sora generate` and `sora run`."""

from __future__ import annotations

import pytest
import torch
from nodes_support import text_to_video
from parity_support import HOW, KEEP, PROMPT, SIZE, edit_graph, long_graph, same, story_graph
from safety_support import constant_classifier, policy_with

from sora_core.errors import SoraError
from sora_core.tasks.long.rolling import Rolling

BAD = "a man is tortured and bleeds to death"
# Harmless line by line, and not as one text.
SPREAD = "1s: a man is tied to a chair and\n1s: tortured until he bleeds to death"


def test_the_same_notes_reach_the_user(ways):
    prompt = "a woman with a zeppelin in a Zanzibar street"
    made = ways.pipe.generate(prompt, seconds=0.7, width=16, height=48, **HOW)  # too small for the watermark
    made.save(ways.folder / "mine.mp4")
    _, run = ways.run(text_to_video(positive__text=prompt, empty__width=16))
    _, command = ways.command("--seconds", "0.7", "--cfg", "3", prompt=prompt, size="16x48")
    for words in ("does not know", "rounded to", "igned", "No watermark"):
        note = next(note for note in made.notes if words in note)
        assert note in run and note in command, note
    assert all(word in " ".join(made.notes).lower() for word in ("zeppelin", "zanzibar"))
    assert all(note in run and note in command for note in made.notes)


@pytest.mark.parametrize("expand", ["auto", "never"])
def test_other_words_are_told_the_same_way_in_all_three(ways, expand):
    prompt = "a kitty ambles at the edge of the woods"
    told = "a kitty walks at the forest"
    made = ways.pipe.generate(prompt, **SIZE, **HOW, expand=expand)
    latent, run = ways.run(text_to_video(positive__text=prompt, positive__expand=expand))
    again, command = ways.command("--cfg", "3", *(["--no-expand"] if expand == "never" else []), prompt=prompt)
    assert same(made.latent, latent, again)
    plain = ways.pipe.generate(told, **SIZE, **HOW).latent
    assert torch.equal(made.latent, plain) == (expand == "auto")
    for heard in (made.notes, run, command):
        assert (f"Read as: {told}" in heard) == (expand == "auto")
    # The credentials tell both.
    assert made.history.prompts == ((prompt, told) if expand == "auto" else (prompt,))


@pytest.mark.slow
def test_a_long_video_tells_what_became_of_the_clip_that_it_goes_on_from(ways):
    rolling, notes = Rolling(4, 1, 1, 0.6, 0.8), []
    shots = f"3s: {PROMPT} with a zanzibar"
    given = {"video": ways.inputs / "odd.mp4", "fps": 8, "width": 32, "height": 32}
    ways.pipe.long_video(shots, ways.folder / "mine.mp4", rolling=rolling, notes=notes, **given, **HOW)
    graph = long_graph(shots, video=["a", 0])
    graph["a"]["inputs"]["file"] = "odd.mp4"
    _, run = ways.listen(graph)
    for words in ("odd.mp4: 10 to 8 frames", "odd.mp4: 44x40", "in segments", "does not know", "igned"):
        note = next(note for note in notes if words in note)
        assert note in run, note
    assert set(notes) <= set(run)


@pytest.mark.parametrize("node", ["SaveVideo", "SaveImage"])
def test_core_nodes_that_save_tell_of_signing_and_marks(ways, node):
    made = ways.pipe.generate(PROMPT, **SIZE | {"width": 16}, **HOW)  # too small for the watermark
    made.save(ways.folder / "mine.mp4")
    graph = text_to_video(empty__width=16, empty__height=48)
    frames = next(name for name, each in graph.items() if each["class_type"] == "SoraVAEDecode")
    if node == "SaveVideo":
        graph["video"] = {"class_type": "CreateVideo", "inputs": {"images": [frames, 0], "fps": 8.0}}
        saved = {"video": ["video", 0], "filename_prefix": "core", "format": "auto", "format.codec": "auto"}
    else:
        saved = {"images": [frames, 0], "filename_prefix": "core"}
    graph["save"] = {"class_type": node, "inputs": saved}
    _, run = ways.listen(graph)
    for words in ("igned", "No watermark"):
        note = next(note for note in made.notes if words in note)
        assert run.count(note) == 1, run


@pytest.fixture(params=["blur", "black"])
def concealing(request, tmp_path, monkeypatch):
    """A locked policy that makes every frame unrecognisable, and the word for that."""
    policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), request.param)
    monkeypatch.setenv("SORA_POLICY", str(policy.source))
    return {"blur": "was blurred", "black": "was blacked out"}[request.param]


def test_what_a_policy_conceals_is_told_in_all_three(ways, concealing):
    made = ways.pipe.generate(PROMPT, **SIZE, **HOW)
    made.save(ways.folder / "mine.mp4")
    _, run = ways.run(text_to_video())
    _, command = ways.command("--cfg", "3")
    (note,) = [note for note in made.notes if "policy forbids" in note]
    assert concealing in note and "5 of 5 frames" in note
    assert note in run and command.count(note) == 1
    # A second run takes all from the cache, and says it again.
    assert note in ways.run(text_to_video())[1]


def test_what_a_policy_conceals_of_an_edit_is_told(ways, concealing):
    made = ways.pipe.extend(ways.inputs / CLIP, PROMPT, seconds=0.5, **HOW)
    inputs = {"video": ["a", 0], "seconds": 0.5, "direction": "forwards", "window": 2, **KEEP}
    _, run = ways.run(edit_graph("SoraExtend", **inputs))
    (note,) = [note for note in made.notes if "policy forbids" in note]
    assert concealing in note and note in run


@pytest.mark.slow
def test_what_a_policy_conceals_of_a_long_video_is_told(ways, concealing):
    rolling, notes = Rolling(4, 1, 1, 0.6, 0.8), []
    shots = "1s: a cat on a beach\n1s: a dog in a forest"
    ways.pipe.long_video(shots, ways.folder / "mine.mp4", width=32, height=32, rolling=rolling, notes=notes, **HOW)
    _, run = ways.listen(long_graph(shots, filename_prefix=concealing.replace(" ", "_")))
    (note,) = [note for note in notes if "policy forbids" in note]
    assert concealing in note and note in run
    far = ways.pipe.extend(ways.inputs / CLIP, PROMPT, seconds=3, rolling=rolling, **HOW)
    assert any(concealing in note for note in far.notes)


def test_what_a_policy_blocks_is_named_in_all_three(ways, tmp_path, monkeypatch):
    policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), "block")
    monkeypatch.setenv("SORA_POLICY", str(policy.source))
    with pytest.raises(SoraError, match="is not allowed: 5 of 5 frames, frames 0 to 4: nsfw") as python:
        ways.pipe.generate(PROMPT, **SIZE, **HOW)
    with pytest.raises(SoraError) as run:
        ways.host.run(text_to_video())
    said = ways.refused("--cfg", "3", prompt=PROMPT)
    assert str(python.value) in said and str(python.value) in str(run.value)


def test_what_a_policy_warns_of_is_told_in_all_three(ways, tmp_path, monkeypatch):
    policy = tmp_path / "warns.toml"
    policy.write_text('name = "studio"\nlocked = true\n[prompt]\naction = "warn"\n')
    monkeypatch.setenv("SORA_POLICY", str(policy))
    made = ways.pipe.generate(BAD, **SIZE, **HOW)
    _, run = ways.run(text_to_video(positive__text=BAD))
    _, command = ways.command("--cfg", "3", prompt=BAD)
    (note,) = [note.splitlines()[0] for note in made.notes if "violence" in note]
    assert run.count(note) == 2 and command.count(note) == 1  # told, and kept with the node


@pytest.fixture()
def locked(tmp_path, monkeypatch):
    policy = tmp_path / "studio.toml"
    policy.write_text('name = "studio"\nlocked = true\n')
    monkeypatch.setenv("SORA_POLICY", str(policy))


def test_a_locked_policy_refuses_prompts_in_all_three(ways, locked):
    with pytest.raises(SoraError, match="violence") as python:
        ways.pipe.generate(BAD, **SIZE, **HOW)
    with pytest.raises(SoraError, match="violence") as run:
        ways.host.run(text_to_video(positive__text=BAD))
    said = ways.refused(prompt=BAD)
    first = str(python.value).splitlines()[0]
    assert first in said and first in str(run.value)


CLIP = "a.mp4"
CALLS = {
    "edit": (
        lambda ways: ways.pipe.extend(ways.inputs / CLIP, BAD, seconds=0.5, **HOW),
        edit_graph("SoraExtend", video=["a", 0], seconds=0.5, direction="forwards", window=2, **KEEP)
        | {"positive": {"class_type": "SoraTextEncode", "inputs": {"clip": ["load", 1], "text": BAD}}},
    ),
    "storyboard": (
        lambda ways: ways.pipe.storyboard(f"1s: a cat\n1s: {BAD}", width=32, height=32, **HOW),
        story_graph(f"1s: a cat\n1s: {BAD}"),
    ),
    "a sentence over two shots": (
        lambda ways: ways.pipe.storyboard(SPREAD, width=32, height=32, **HOW),
        story_graph(SPREAD),
    ),
    "long video": (
        lambda ways: ways.pipe.long_video(BAD, ways.folder / "no.mp4", seconds=2, width=32, height=32, **HOW),
        long_graph(f"2s: {BAD}"),
    ),
    "negative, without guidance": (
        lambda ways: ways.pipe.generate(PROMPT, negative=BAD, **SIZE, **HOW | {"cfg": 0.5}),
        text_to_video(negative__text=BAD, sample__cfg=0.5),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_locked_policy_refuses_every_kind_of_call(ways, locked, name):
    call, graph = CALLS[name]
    for way in (lambda: call(ways), lambda: ways.host.run(graph)):
        with pytest.raises(SoraError, match="violence"):
            way()
    assert not (ways.folder / "no.mp4").exists()


def test_what_is_forbidden_is_heard_before_any_work(ways, locked, monkeypatch):
    def never(*_, **__):
        raise AssertionError("work began")

    monkeypatch.setattr(ways.pipe.engine, "encode", never, raising=False)
    for prompt, words in ((BAD, "violence"), (" ", "prompt is empty")):
        with pytest.raises(SoraError, match=words):
            ways.pipe.extend(ways.inputs / CLIP, prompt, seconds=0.5, **HOW)
    for wrong, words in (
        ({"sampler": "eular"}, "eular"),
        ({"scheduler": "sometimes"}, "sometimes"),
        ({"steps": 0}, "steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"cfg": float("nan")}, "cfg is nan"),
        ({"interval": (0.5, 0.2)}, "0.5 to 0.2"),
        ({"options": {"et": 1}}, "'et'"),
    ):
        with pytest.raises(SoraError, match=words):
            ways.pipe.loop(ways.inputs / CLIP, PROMPT, **wrong)
    with pytest.raises(TypeError, match="stpes"):
        ways.pipe.extend(ways.inputs / CLIP, PROMPT, stpes=3)


REFUSED = {
    "empty prompt": ({"prompt": " "}, {"positive__text": " "}, "prompt is empty"),
    "width": ({"width": 40}, {"empty__width": 40}, "width is 40"),
    "duration": ({"frames": None, "seconds": 0.0}, {"empty__seconds": 0.0}, "0.0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_all_three(ways, name):
    change, graph, words = REFUSED[name]
    given = {"prompt": PROMPT, **SIZE, **HOW, **change}
    with pytest.raises(SoraError, match=words) as python:
        ways.pipe.generate(given.pop("prompt"), **given)
    with pytest.raises(SoraError, match=words) as run:
        ways.host.run(text_to_video(**graph))
    if name != "duration":  # a widget's range, which the host checks before the node is asked
        assert str(python.value) in str(run.value)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_durations_are_refused_with_words(ways, wrong):
    for call in (ways.pipe.extend, ways.pipe.loop):
        with pytest.raises(SoraError, match=r"duration|seconds"):
            call(ways.inputs / CLIP, PROMPT, seconds=wrong, **HOW)


@pytest.mark.parametrize("change", [{"fps": 0}, {"width": 0}, {"frames": 0}])
def test_zero_is_not_the_default(ways, change):
    with pytest.raises(SoraError):
        ways.pipe.generate(PROMPT, **SIZE | change, **HOW)
