"""A few of each kind of `tests/benchmarks/files.py`: read, saved and compared with ffmpeg."""

from __future__ import annotations

import shutil

import pytest
from media_variants import judge, make, variants

# Of most kinds that went wrong before, one.
QUICK = (
    "mp4 h264 B 12",
    "mkv mpeg4 B",
    "avi h264 B 60",
    "avi mpeg4 B",
    "mpg",
    "flv h264 B gaps",
    "gif",
    "mp4 turned 90",
)
QUICK_SOUND = ("sound mkv aac", "sound mov pcm")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")]


def cases():
    for variant in variants(short=True):
        quick = variant.name.startswith((*QUICK, *QUICK_SOUND))
        yield pytest.param(variant, id=variant.name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("variant", list(cases()))
def test_read_and_saved_as_ffmpeg_has_it(tmp_path, variant):
    assert judge(variant, make(variant, tmp_path)) == []
