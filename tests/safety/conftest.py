"""No policy of the machine or the environment holds in these tests, unless one of them sets it."""

from __future__ import annotations

import pytest

from sora_core.safety import policy


@pytest.fixture(autouse=True)
def nobody_set_a_policy(tmp_path, monkeypatch):
    """A machine's policy would lie in `tmp_path / "machine"`."""
    monkeypatch.delenv(policy.ENVIRONMENT, raising=False)
    monkeypatch.setattr(policy, "machine_folder", lambda: tmp_path / "machine")
