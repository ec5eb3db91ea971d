"""Edits in Python keep the sound of what they keep, as the nodes do."""

from __future__ import annotations

import math

import pytest
import torch
from pipeline_support import tiny_pipeline

from sora_core.media.sound import read_audio
from sora_core.media.write import write_video

EDITS = {
    "extend": ({"seconds": 0.5}, 0.0),
    "extend backwards": ({"seconds": 0.5, "direction": "backwards"}, 5 / 8),
    "loop": ({"seconds": 0.5}, 0.0),
    "infill": ({"hidden": range(5, 9)}, 0.0),
    "remix": ({}, 0.0),
}


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """17 frames at 8 a second; a tone from 1 s on."""
    path = tmp_path_factory.mktemp("sound") / "clip.mp4"
    times = torch.arange(round(17 / 8 * 48000)) / 48000
    wave = 0.3 * torch.sin(2 * math.pi * 440 * times) * (times >= 1)
    frames = torch.rand(17, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    write_video(path, frames, 8, audio={"waveform": wave[None, None], "sample_rate": 48000})
    return path


def begins(path) -> float:
    sound = read_audio(path)
    return int((sound["waveform"][0].abs().max(0).values > 0.09).nonzero()[0]) / sound["sample_rate"]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_keeps_the_sound_in_place(pipeline, clip, tmp_path, name):
    options, later = EDITS[name]
    made = getattr(pipeline, name.split()[0])(str(clip), "a cat", steps=1, **options)
    made.save(tmp_path / "made.mp4")
    assert begins(tmp_path / "made.mp4") == pytest.approx(1 + later, abs=0.07)


def test_joined_clips_keep_both_sounds(pipeline, clip, tmp_path):
    made = pipeline.connect(str(clip), str(clip), "a cat", seconds=0.5, steps=1)
    made.save(tmp_path / "made.mp4")
    sound = read_audio(tmp_path / "made.mp4")
    loud = sound["waveform"][0].abs().max(0).values > 0.09
    parts = [loud[round(a * 48000) : round(b * 48000)].float().mean() for a, b in ((0.1, 0.9), (1.1, 2.0), (2.2, 3.4))]
    assert parts[0] == 0 and parts[1] > 0.5 and parts[2] == 0
    assert begins(tmp_path / "made.mp4") == pytest.approx(1, abs=0.01) and loud[-24000:].float().mean() > 0.5
