"""Python, `sora generate` and `sora run` are three ways to make one video: their latents are equal bit by bit."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from marks import with_slow
from nodes_support import text_to_video
from PIL import Image
from ways import HOW, PROMPT, SIZE, Ways, edit_graph, kept_segments, long_graph

from sora_core.cli import main
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.schedules import SCHEDULERS
from sora_core.errors import SoraError
from sora_core.media.clips import read_clip
from sora_core.media.sound import read_audio
from sora_core.media.write import write_video
from sora_core.tasks.long.rolling import Rolling


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Ways(folder)


def same(*latents: torch.Tensor) -> bool:
    return all(torch.equal(latents[0], other) for other in latents[1:])


# -- text to video -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler(ways, sampler):
    made = ways.pipe.generate(PROMPT, sampler=sampler, **SIZE, **HOW)
    run, _ = ways.graph({"sample__sampler": sampler})
    command, _ = ways.command("--sampler", sampler, "--cfg", "3")
    assert same(made.latent, run, command)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("sampler", with_slow(["euler", "dpm_2"], ["euler"]))
def test_every_scheduler(ways, scheduler, sampler):
    made = ways.pipe.generate(PROMPT, sampler=sampler, scheduler=scheduler, **SIZE, **HOW)
    run, _ = ways.graph({"sample__scheduler": scheduler, "sample__sampler": sampler})
    command, _ = ways.command("--sampler", sampler, "--scheduler", scheduler, "--cfg", "3")
    assert same(made.latent, run, command)


@pytest.mark.parametrize("prompt", ["a (red cat:1.5) on a beach", "((a dog)) runs [left]", r"a \(cat\) in a forest"])
def test_weights_in_a_prompt(ways, prompt):
    made = ways.pipe.generate(prompt, **SIZE, **HOW)
    run, _ = ways.graph({"positive__text": prompt})
    command, said = ways.command("--cfg", "3", prompt=prompt)
    assert same(made.latent, run, command)
    assert not any("1" in note or "5" in note for note in made.notes) and "does not know" not in said
    plain = ways.pipe.generate(PROMPT, **SIZE, **HOW)
    assert not same(plain.latent, made.latent)


def test_a_negative_prompt(ways):
    made = ways.pipe.generate(PROMPT, negative="a (dog:1.2)", **SIZE, **HOW)
    run, _ = ways.graph({"negative__text": "a (dog:1.2)"})
    command, _ = ways.command("--negative", "a (dog:1.2)", "--cfg", "3")
    assert same(made.latent, run, command)


def test_a_lora(ways):
    from sora_core.loading.lora import Change, save_lora

    shape = ways.pipe.bundle.dit.blocks[0].self_attn.q.weight.shape
    torch.manual_seed(0)
    change = Change(torch.randn(shape[0], 2) * 0.1, torch.randn(2, shape[1]) * 0.1)
    file = ways.folder / "models" / "loras" / "odd.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_lora(file, {"diffusion_model.blocks.0.self_attn.q": change}, (), {})
    made = ways.pipe.with_lora(file, 0.8).generate(PROMPT, **SIZE, **HOW)
    run, _ = ways.graph({"load__lora": "odd.safetensors", "load__lora_strength": 0.8})
    command, _ = ways.command("--lora", f"{file}:0.8", "--cfg", "3")
    assert same(made.latent, run, command) and not same(made.latent, ways.graph({})[0])


def test_guidance_in_a_part_of_the_run(ways):
    made = ways.pipe.generate(PROMPT, interval=(0.3, 0.8), **SIZE, **HOW)
    run, _ = ways.graph({"sample__guidance_start": 0.3, "sample__guidance_end": 0.8})
    assert same(made.latent, run) and not same(made.latent, ways.graph({})[0])


def test_options_of_a_sampler(ways):
    made = ways.pipe.generate(PROMPT, sampler="euler_ancestral", options={"eta": 0.3}, **SIZE, **HOW)
    run, _ = ways.graph({"sample__sampler": "euler_ancestral", "sample__sampler.eta": 0.3})
    assert same(made.latent, run)


# -- edits ---------------------------------------------------------------------------------------------------
def moving(frames: int, seed: int) -> torch.Tensor:
    pixels = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(seed))
    return torch.stack([torch.roll(pixels, 2 * i, 1) for i in range(frames)])


@pytest.fixture(scope="module")
def clips(ways):
    tone = {"waveform": torch.sin(torch.arange(48000) / 20)[None, None] * 0.5, "sample_rate": 16000}
    for name, seed, audio in (("a.mp4", 1, tone), ("b.mp4", 2, None)):
        write_video(ways.inputs / name, moving(13, seed), 8, crf=8, audio=audio)
    Image.fromarray((moving(1, 3)[0].numpy() * 255).astype(np.uint8)).save(ways.inputs / "still.png")
    return ways.inputs


KEEP = {"fps": 0.0, "width": 0, "height": 0}
EDITS = {
    "animate": (
        lambda pipe, at: pipe.animate(at / "still.png", PROMPT, frames=9, **HOW),
        (
            "SoraImageToVideo",
            {
                "image": ["still", 0],
                "position": "first",
                "frame": 0,
                "seconds": 1.1,
                "fps": 8.0,
                "width": 0,
                "height": 0,
            },
        ),
    ),
    "extend": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=0.5, **HOW),
        ("SoraExtend", {"video": ["a", 0], "seconds": 0.5, "direction": "forwards", "window": 2, **KEEP}),
    ),
    "backwards": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=0.5, direction="backwards", hold=0.1, **HOW),
        ("SoraExtend", {"video": ["a", 0], "seconds": 0.5, "direction": "backwards", "window": 2, "hold": 0.1, **KEEP}),
    ),
    "both": (
        lambda pipe, at: pipe.extend(at / "a.mp4", PROMPT, seconds=1, direction="both", **HOW),
        ("SoraExtend", {"video": ["a", 0], "seconds": 1.0, "direction": "both", "window": 2, **KEEP}),
    ),
    "infill": (
        lambda pipe, at: pipe.infill(at / "a.mp4", PROMPT, hidden=range(5, 9), **HOW),
        ("SoraInfill", {"video": ["a", 0], "frames": "5-8", "window": 2, **KEEP}),
    ),
    "connect": (
        lambda pipe, at: pipe.connect(at / "a.mp4", at / "b.mp4", PROMPT, seconds=0.5, **HOW),
        ("SoraConnect", {"first": ["a", 0], "second": ["b", 0], "seconds": 0.5, "window": 2, **KEEP}),
    ),
    "loop": (
        lambda pipe, at: pipe.loop(at / "a.mp4", PROMPT, seconds=0.5, **HOW),
        ("SoraLoop", {"video": ["a", 0], "seconds": 0.5, "window": 2, **KEEP}),
    ),
    "remix": (
        lambda pipe, at: pipe.remix(at / "a.mp4", PROMPT, strength=0.6, **HOW),
        ("SoraRemix", {"video": ["a", 0], "strength": 0.6, **KEEP}),
    ),
}


@pytest.mark.parametrize("name", with_slow(EDITS, ("animate", "backwards", "both", "connect", "loop")))
def test_every_edit(ways, clips, name):
    python_call, (kind, inputs) = EDITS[name]
    made = python_call(ways.pipe, clips)
    sampling = {"denoise": 0.6} if kind == "SoraRemix" else None
    run, said = ways.run(edit_graph(kind, sampling, **inputs), "sample")
    assert same(made.latent, run)
    # What the edit node says of rounding and of the user's own frames, Python says too.
    assert all(note in said for note in made.notes if "Signed" not in note)
    if name not in ("animate",):
        saved = sorted((ways.folder / "output" / "video").glob("*.mp4"))[-1]
        mine = made.save(ways.folder / "mine.mp4")
        theirs, own = read_audio(saved), read_audio(mine)
        assert own is not None and theirs is not None and torch.equal(own["waveform"], theirs["waveform"])
        assert own["waveform"].abs().max() > 0.2
        assert torch.equal(read_clip(saved).frames, read_clip(mine).frames)


@pytest.mark.slow
def test_an_extension_beyond_the_window(ways, clips, monkeypatch):
    rolling = Rolling(4, 1, 1, 0.6, 0.8)
    made = ways.pipe.extend(clips / "a.mp4", PROMPT, seconds=3, rolling=rolling, **HOW)
    graph = long_graph(f"3s: {PROMPT}", video=["a", 0])
    run = kept_segments(ways, graph, monkeypatch)
    assert same(made.latent, run[:, :, : made.latent.shape[2]])
    assert made.frames.shape[0] == 13 + 24 and made.audio is not None
    assert any("in segments" in note for note in made.notes)


def test_a_long_video_is_the_same_file(ways, clips, monkeypatch):
    shots = "1s: a cat on a beach\n1s: a dog in a forest"
    notes: list[str] = []
    path = ways.pipe.long_video(
        shots, ways.folder / "mine.mp4", width=32, height=32, rolling=Rolling(4, 1, 1, 0.6, 0.8), notes=notes, **HOW
    )
    ways.host.run(long_graph(shots, seed=3, filename_prefix="again"))
    theirs = sorted((ways.folder / "output").glob("again_*.mp4"))[-1]
    assert torch.equal(read_clip(path).frames, read_clip(theirs).frames)
    assert any("in segments" in note for note in notes)


def test_a_storyboard(ways):
    shots = "1s: a cat on a beach\n1s: a (dog:1.2) in a zeppelin"
    made = ways.pipe.storyboard(shots, width=32, height=32, **HOW)
    graph = text_to_video()
    del graph["positive"], graph["empty"]
    graph["story"] = {
        "class_type": "SoraStoryboard",
        "inputs": {"clip": ["load", 1], "shots": shots, "fps": 8.0, "width": 32, "height": 32},
    }
    graph["sample"]["inputs"] |= {"positive": ["story", 0], "latent": ["story", 1]}
    graph["save"]["inputs"]["fps"] = ["story", 2]
    run, said = ways.run(graph, "sample")
    assert same(made.latent, run)
    assert any("zeppelin" in note for note in made.notes)
    assert all(note in said for note in made.notes)


# -- words and rules -----------------------------------------------------------------------------------------
def test_the_same_notes_reach_the_user(ways):
    prompt = "a woman with a zeppelin in a Tokyo street"
    made = ways.pipe.generate(prompt, seconds=0.7, width=32, height=48, **HOW)
    _, run = ways.graph({"positive__text": prompt, "empty__seconds": 0.7})
    made.save(ways.folder / "out.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["sora"])
        with contextlib.redirect_stderr(io.StringIO()) as said:
            main(
                [
                    "generate",
                    prompt,
                    "-o",
                    str(ways.folder / "out.mp4"),
                    "--model",
                    str(ways.model),
                    "--size",
                    "32x48",
                    "--seconds",
                    "0.7",
                    "--seed",
                    "3",
                    "--steps",
                    "3",
                ]
            )
    unknown = next(note for note in made.notes if "does not know" in note)
    assert "zeppelin" in unknown and "tokyo" in unknown.lower()
    assert any("rounded to" in note for note in made.notes)
    assert any("igned" in note for note in made.notes)
    for note in made.notes:
        assert note in run or "igned" in note, note
        assert note in said.getvalue()


def test_a_locked_policy_refuses_in_all_three(ways, tmp_path, monkeypatch):
    policy = tmp_path / "studio.toml"
    policy.write_text('name = "studio"\nlocked = true\n')
    monkeypatch.setenv("SORA_POLICY", str(policy))
    bad = "a man is tortured and bleeds to death"
    with pytest.raises(SoraError, match="violence") as refused:
        ways.pipe.generate(bad, **SIZE, **HOW)
    with pytest.raises(SoraError, match="violence"):
        ways.host.run(text_to_video(positive__text=bad))
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(["generate", bad, "-o", str(tmp_path / "a.mp4"), "--model", str(ways.model)]) == 1
    assert "violence" in said.getvalue() and not (tmp_path / "a.mp4").exists()
    assert str(refused.value).splitlines()[0] in said.getvalue()


def test_what_is_refused_is_refused_in_the_same_words(ways, clips):
    for change, graph, words in (
        ({"prompt": " "}, {"positive__text": " "}, "prompt is empty"),
        ({"width": 40}, {"empty__width": 40}, "width is 40, not a multiple of 16"),
        ({"sampler": "eular"}, {"sample__sampler": "eular"}, "eul"),
    ):
        given = {"prompt": PROMPT, **SIZE, **HOW, **change}
        with pytest.raises(SoraError, match=words):
            ways.pipe.generate(given.pop("prompt"), **given)
        with pytest.raises(SoraError, match=words):
            ways.host.run(text_to_video(**graph))
