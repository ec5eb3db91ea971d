"""Which parameters of a test are slow."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest

# Of the shared workflows these take a second each. Edits of other clips go the same ways.
SLOW_WORKFLOWS = ("connect", "extend", "image_to_video", "infill", "loop", "remix", "storyboard")


def with_slow(values: Iterable[Any], slow: Container[Any]) -> list:
    """The parameters of a test, of which those in `slow` are marked."""
    return [pytest.param(value, marks=pytest.mark.slow if value in slow else ()) for value in values]
