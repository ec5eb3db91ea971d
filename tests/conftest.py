"""Tests keep out of the user's own folders; fixtures that several rooms share."""

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


@pytest.fixture()
def hosts(tmp_path, monkeypatch):
    """(ComfyUI's backend, the standalone one, a checkpoint)"""
    from comfy_support import both_hosts  # takes torch along, which most tests of the house do without

    with both_hosts(tmp_path, monkeypatch) as found:
        yield found
