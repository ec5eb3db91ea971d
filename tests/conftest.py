"""Tests keep out of the user's own folders."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory):
    """Keys and hashes that a test makes go to a folder of this run, in child processes too."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name in ("SORA_C2PA_CERTIFICATE", "SORA_C2PA_KEY", "SORA_WATERMARK_KEY", "SORA_POLICY"):
            patch.delenv(name, raising=False)
        yield
