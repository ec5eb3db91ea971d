"""What an edit takes as a video is checked before anything is read."""

from __future__ import annotations

import pytest

from sora_core.errors import SoraError
from sora_core.pipeline.sources import take_clip


@pytest.mark.parametrize("source", [None, [0.5], {"frames": 1}, 7])
def test_what_is_no_video_is_refused_by_name(source):
    with pytest.raises(SoraError, match=f"not {type(source).__name__}"):
        take_clip(source, 8)
