"""Facts of many clips, for captions of them and prompts like them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def facts():
    """Two thousand clips' facts, with every subject of the world, pictures or not: captions need none."""
    pytest.importorskip("cv2")
    from sora_core.training.world import PRESETS, World

    world = World(PRESETS["full"])
    world.bank.available = lambda name: True
    world.bank.height = lambda name: 0.9
    return [world.facts(seed) for seed in range(2000)]
