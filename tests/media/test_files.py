"""A few of each kind of `tests/benchmarks/files.py`: read, saved and compared with ffmpeg."""

from __future__ import annotations

import shutil

import pytest
from media_variants import judge, make, variants

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")]


@pytest.mark.parametrize("variant", [pytest.param(v, id=v.name) for v in variants(short=True)])
def test_read_and_saved_as_ffmpeg_has_it(tmp_path, variant):
    assert judge(variant, make(variant, tmp_path)) == []
