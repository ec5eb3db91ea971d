"""What an edit takes as a video is checked before anything is read."""

from __future__ import annotations

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.pipeline.sources import take_clip


@pytest.mark.parametrize("source", [None, [0.5], {"frames": 1}, 7])
def test_what_is_no_video_is_refused_by_name(source):
    with pytest.raises(SoraError, match=f"not {type(source).__name__}"):
        take_clip(source, 8)


def test_frames_that_a_graph_made_become_a_clip():
    """Without their transparency; a rate that nobody gave is told."""
    frames = torch.rand(5, 32, 48, 4)
    guessed, given = take_clip(frames, 16), take_clip(frames, 16, fps=24)
    assert torch.equal(guessed.frames, frames[..., :3]) and torch.equal(given.frames, guessed.frames)
    assert (guessed.fps, given.fps, given.notes) == (8, 24, ())
    assert "no rate of their own: taken for 8 frames per second" in guessed.notes[0]
