"""Worlds for the tests of captions and of expanded prompts."""

from __future__ import annotations

from sora_core.training.world import World


class Everywhere(World):
    """A world that plans all its subjects, pictures or not: captions need no pictures."""

    def __init__(self, config):
        super().__init__(config)
        self.bank.available = lambda name: True
        self.bank.height = lambda name: 0.9
