"""The main job on the embedded model: a prompt becomes the video that it asks for, every time the same one."""

import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch

import sora_core
from sora_core.errors import SoraError
from sora_core.pipeline.pipeline import plan_frames
from sora_core.training.world import PRESETS, World

CAT = "a cat moving right on a beach"


@pytest.fixture(scope="module")
def pipeline():
    return sora_core.load()


@pytest.fixture(scope="module")
def cat(pipeline):
    return pipeline.generate(CAT, seed=1, steps=2)


def test_video_and_file(cat, tmp_path):
    assert cat.frames.shape == (17, 128, 128, 3) and cat.latent.shape == (1, 16, 5, 16, 16)
    assert float(cat.frames.min()) >= 0 and float(cat.frames.max()) <= 1
    path = cat.save(tmp_path / "cat.mp4")
    frames = iio.imread(path)
    assert frames.shape == (17, 128, 128, 3) and iio.immeta(path)["fps"] == 8
    assert np.abs(frames / 255 - cat.frames.numpy()).mean() < 0.03


@pytest.mark.slow
def test_same_seed_same_latent_here_and_in_a_new_process(pipeline, cat, tmp_path):
    again = pipeline.generate(CAT, seed=1, steps=2)
    assert torch.equal(again.latent, cat.latent)
    path = tmp_path / "latent.pt.npy"
    code = (
        "import sora_core, numpy, sys; v = sora_core.load().generate(sys.argv[2], seed=1, steps=2);"
        "numpy.save(sys.argv[1], v.latent.numpy())"
    )
    subprocess.run([sys.executable, "-c", code, str(path), CAT], check=True, timeout=300)
    assert np.array_equal(np.load(path), cat.latent.numpy())


def test_other_seed_and_sampler_differ(pipeline):
    small = {"seed": 1, "steps": 2, "frames": 5, "width": 64, "height": 64}
    first = pipeline.generate(CAT, **small)
    for changes in ({"seed": 2}, {"sampler": "dpmpp_2m"}, {"sampler": "euler"}):
        assert not torch.equal(pipeline.generate(CAT, **small | changes).latent, first.latent)


@pytest.mark.slow
def test_scenes_have_the_colours_that_the_world_gives_them(pipeline):
    """Nearest mean colour of the frame's top and bottom halves, against rendered truth: chance is 1 in 6."""
    scenes = ("meadow", "desert", "outer space", "underwater", "volcano", "snowy mountains")
    prompts = (
        "in a meadow",
        "in the desert",
        "in outer space",
        "underwater",
        "in front of a volcano",
        "in the snowy mountains",
    )
    world = World(PRESETS["starter"])

    def colours(frames):
        frames = np.asarray(frames, np.float32)
        return np.concatenate([half.mean((0, 1, 2)) for half in np.split(frames, 2, 1)])

    truth = [
        np.mean([colours(world.sample(i, fixed={"scene": s, "camera": "static"}).frames / 255.0) for i in range(8)], 0)
        for s in scenes
    ]
    hits = 0
    for i, place in enumerate(prompts):
        video = pipeline.generate(f"a cat standing still {place}", seed=5, steps=12, frames=5)
        hits += int(np.argmin([np.abs(colours(video.frames) - t).sum() for t in truth]) == i)
    assert hits >= 5


def test_sizes_and_stills(pipeline):
    wide = pipeline.generate("a car drives left in the desert", steps=2, width=160, height=96, seconds=1)
    assert wide.frames.shape == (9, 96, 160, 3)
    assert pipeline.generate("a cat", steps=2, frames=1).frames.shape == (1, 128, 128, 3)


def test_unknown_words_are_told(pipeline):
    assert pipeline.unknown_words("a cat with a zeppelin on a beach") == ["zeppelin"]


def test_planning_frames():
    assert [plan_frames(s, 8) for s in (0.01, 1, 2, 2.1, 60)] == [1, 9, 17, 17, 481]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "cat " * 5000}, "characters"),
        ({"width": 100}, "multiple of 16"),
        ({"height": 8208}, "at most 8192"),
        ({"seconds": -1.0}, "above 0"),
        ({"seconds": 4000.0}, "at most 481"),
        ({"frames": 16}, "1 \\+ 4k"),
        ({"fps": -8.0}, "frame rate"),
        ({"sampler": "eular"}, "euler"),
        ({"scheduler": "sometimes"}, "simple"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"cfg": float("nan")}, "cfg"),
    ],
)
def test_bad_requests_are_named(pipeline, options, words):
    options = {"prompt": "a cat", **options}
    with pytest.raises(SoraError, match=words):
        pipeline.generate(options.pop("prompt"), **options)


def test_what_the_progress_callback_raises_stops_the_run(pipeline):
    seen = []

    def stop(step, steps):
        seen.append((step, steps))
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.generate("a cat", steps=5, progress=stop)
    assert seen == [(1, 5), (2, 5)]


@pytest.mark.slow
def test_the_few_step_lora_brings_its_own_settings(pipeline):
    quick = pipeline.with_lora("sora-mini-4step")
    assert quick.habits() == (4, 1.0, "lcm") and pipeline.habits() == (25, 4.0, "euler_ancestral")
    steps = []
    video = quick.generate("a cat moving right on a beach", seed=1, progress=lambda step, total: steps.append(total))
    assert steps == [4] * 4 and video.frames.shape == (17, 128, 128, 3)
    # The beach is there: blue above, sand below.
    top, bottom = video.frames[:, :40].mean((0, 1, 2)), video.frames[:, 110:].mean((0, 1, 2))
    assert top[2] > top[0] and bottom[0] > bottom[2]
