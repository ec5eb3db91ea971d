"""What several trainers learn from."""

from __future__ import annotations

import pytest
from training_support import make_latents, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Rendered clips, a VAE trained for a few steps, and latents."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A tiny model and the latents of two clips."""
    return make_latents(tmp_path_factory.mktemp("root"))
