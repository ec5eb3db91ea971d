"""Lets a benchmark find the code of its own checkout, and what the tests share, wherever it is started.

To be imported before `sora_core` and before anything in `tests/support` and `tests/makers`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "makers")]
