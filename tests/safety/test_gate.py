"""Which policy holds where: a block's, a host's, one in each thread; and that writers keep to it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest
import torch
from PIL import Image
from safety_support import brightness_classifier, constant_classifier, policy_with

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.latents.previews import Preview
from sora_core.media.write import write_video
from sora_core.safety import gate
from sora_core.safety.frames import FramesBlocked, checker_for
from sora_core.safety.policy import Policy, in_force, load_policy, policy_in_force

DARK = torch.full((2, 16, 16, 3), 0.1)

SAVE = {
    "image": {"class_type": "LoadImage", "inputs": {"image": "sky.png"}},
    "out": {"class_type": "SaveImage", "inputs": {"images": ["image", 0], "filename_prefix": "x"}},
}


def within_a_loop(work):
    """Call `work` as Jupyter does: this thread already runs an event loop."""

    async def call():
        return work()

    return asyncio.run(call())


@pytest.mark.parametrize("call", [lambda work: work(), within_a_loop], ids=["thread", "event loop"])
def test_two_hosts_at_once_each_keep_to_their_own_policy(tmp_path, call):
    """Both are inside their runs before either of them saves a picture."""
    (tmp_path / "input").mkdir()
    Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).save(tmp_path / "input" / "sky.png")
    folders = Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp")
    both_run = threading.Barrier(2, timeout=60)

    def wait(event, data):
        if event == "execution_start":
            both_run.wait()

    def save_under(score: float) -> str:
        (tmp_path / str(score)).mkdir()
        policy = policy_with(tmp_path / str(score), constant_classifier(tmp_path / f"{score}.onnx", score))
        host = Host(folders, packs=[], policy=policy)
        try:
            return call(lambda: host.run(SAVE, listener=wait)).files[0].name
        except SoraError as error:
            return str(error)

    with ThreadPoolExecutor(2) as threads:
        strict, lenient = threads.map(save_under, (1.0, 0.0))
    assert "What the policy forbids is not allowed" in strict
    assert lenient.endswith(".png")
    assert [file.name for file in (tmp_path / "output").iterdir()] == [lenient]


def test_a_policy_holds_within_its_block():
    default, strict = load_policy(), load_policy("strict")
    with in_force(default):
        with in_force(None):
            assert policy_in_force() is default and gate.enforced() is None
        with pytest.raises(SoraError), in_force(strict):
            assert policy_in_force() is gate.enforced() is strict
            raise SoraError("what ends a block early")
        assert policy_in_force() is default
    assert policy_in_force() is None


def test_a_block_may_enforce_a_policy_that_is_not_locked():
    default = load_policy()
    with gate.enforcing(default):
        assert policy_in_force() is gate.enforced() is default
        with gate.enforcing(None):
            assert gate.enforced() is default
        with in_force(Policy(name="within")):
            assert gate.enforced().name == "within"
    assert gate.enforced() is None


def test_a_thread_that_is_given_the_context_keeps_to_the_policy():
    strict = load_policy("strict")
    with in_force(strict), ThreadPoolExecutor(2) as threads:
        assert threads.submit(copy_context().run, policy_in_force).result() is strict
        assert threads.submit(policy_in_force).result() is None


def test_writers_keep_to_a_locked_policy_without_a_host(tmp_path):
    locked = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0))
    open_ = policy_with(tmp_path, tmp_path / "all.onnx", locked=False)
    file = tmp_path / "x.mp4"
    with in_force(locked), pytest.raises(FramesBlocked):
        write_video(file, iter([DARK]), 8)
    with gate.enforcing(open_), pytest.raises(FramesBlocked):
        write_video(file, DARK, 8)
    assert not list(tmp_path.glob("*x.*"))
    with in_force(open_):
        assert write_video(file, DARK, 8) == 2


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("written", [lambda t: t, lambda t: t.data, lambda t: t.numpy()])
def test_a_tensor_that_has_passed_passes_until_it_is_written_into(tmp_path, written, inference):
    with (
        in_force(policy_with(tmp_path, brightness_classifier(tmp_path / "bright.onnx"))),
        torch.inference_mode(inference),  # as in ComfyUI
    ):
        frames = DARK.clone()
        assert gate.check_frames(frames) is frames and gate.check_frames(frames) is frames
        written(frames)[1] = 0.9
        with pytest.raises(FramesBlocked, match="frame 1"):
            gate.check_frames(frames)


@pytest.mark.parametrize(("action", "shown"), [("block", None), ("black", 0), ("off", 255)])
def test_previews_pass_a_policy_that_is_not_locked(tmp_path, action, shown):
    preview = Preview(torch.full((2, 16, 16, 3), 255, dtype=torch.uint8), fps=4.0)
    classifier = brightness_classifier(tmp_path / "bright.onnx")
    with in_force(policy_with(tmp_path, classifier, action, locked=False)):
        passed = gate.check_preview(preview)
    assert passed is None if shown is None else bool((passed.frames == shown).all()) and passed.fps == 4.0
    assert gate.check_preview(preview) is preview


def test_two_policies_in_turn_load_their_classifiers_once(tmp_path):
    classifier = constant_classifier(tmp_path / "all.onnx", 1.0)
    block, black = (policy_with(tmp_path, classifier, action) for action in ("block", "black"))
    checkers = [checker_for(policy) for policy in (block, black, block, black)]
    assert checkers[:2] == checkers[2:] and [c.policy.action for c in checkers[:2]] == ["block", "black"]
    constant_classifier(tmp_path / "all.onnx", 0.0).touch()
    assert checker_for(block) is not checkers[0], "the file has changed"
