"""Tests keep out of the user's own folders; fixtures that several rooms share."""

from __future__ import annotations

import os

# Tiny models wait longer for a second thread than they compute, on a busy machine a hundred times longer. Here and in
# child processes, before torch is imported; a number that is set already stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import sys

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the quick tests on all cores, and the slow ones on two, file by file: some hold a browser or a server."""
    option = config.option
    # Its workers read the same options.
    first = "PYTEST_XDIST_WORKER" not in os.environ and not hasattr(config, "workerinput")
    most = {"not slow": 8, "slow": 2}.get(option.markexpr)
    if first and most is not None and getattr(option, "numprocesses", 0) is None:
        option.numprocesses = min(os.cpu_count() or 1, most)
        option.dist = "load" if option.markexpr == "not slow" else "loadfile"


# Garbage is looked for rarely: with torch and its friends imported each look is long, and tensors go without it.
gc.set_threshold(100_000, 20, 20)


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory):
    """Keys and hashes that a test makes go to a folder of this run, in child processes too."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("SORA_KEPT_RENDERS", "")  # no render should depend on which tests ran before
        for name in ("SORA_C2PA_CERTIFICATE", "SORA_C2PA_KEY", "SORA_WATERMARK_KEY", "SORA_POLICY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def no_earlier_storyboard():
    """No storyboard keeps shots that another test has made."""
    reuse = sys.modules.get("sora_core.pipeline.reuse")
    if reuse is not None:
        reuse.forget()


@pytest.fixture()
def hosts(tmp_path, monkeypatch):
    """(ComfyUI's engine, the standalone one, a checkpoint)"""
    from comfy_support import both_hosts  # takes torch along, which most tests of the house do without

    with both_hosts(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture()
def unmarked(tmp_path_factory, monkeypatch):
    """Videos without a watermark, and frames and previews unchecked: what is compared is the render."""
    policy = tmp_path_factory.mktemp("policy") / "unmarked.toml"
    policy.write_text('name = "unmarked"\n[frames]\naction = "off"\n[provenance]\nwatermark = false\n')
    monkeypatch.setenv("SORA_POLICY", str(policy))
