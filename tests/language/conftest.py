"""Facts of many clips, for captions of them and prompts like them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def facts():
    pytest.importorskip("cv2")
    from world_support import Everywhere

    from sora_core.training.world import PRESETS

    world = Everywhere(PRESETS["full"])
    return [world.facts(seed) for seed in range(2000)]
