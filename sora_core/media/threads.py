"""How many threads FFmpeg works in: as many as torch does, to a limit.

By itself it takes one for every core, which a job that was given one core of many must not.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from av import VideoStream

MOST = 16  # as FFmpeg itself takes at most: 64 took more memory, and longer to decode than two did


def use_threads(stream: VideoStream) -> None:
    """Let the codec of a picture track, which is not open yet, work in as many threads as torch."""
    if stream.codec_context is not None:  # none where there is no decoder
        stream.codec_context.thread_count = count()


def converting() -> dict[str, Any]:
    """Return what `reformat` and `to_ndarray` of a frame are to be called with for the same; nothing in older PyAV."""
    return {"threads": count()} if _knows_threads() else {}


def count() -> int:
    """Return how many threads there are to be."""
    return min(torch.get_num_threads(), MOST)


@cache
def _knows_threads() -> bool:
    import av

    try:
        av.VideoFrame(16, 16, "rgb24").reformat(format="yuv420p", threads=1)
    except TypeError:
        return False
    return True
