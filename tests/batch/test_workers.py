"""What runs on a worker, in this process: a workflow as a job, and two policies over it."""

from __future__ import annotations

import shutil

import pytest
from batch_support import plan_of
from nodes_support import TINY, save_tiny

from sora_core.batch import workers
from sora_core.files import own_temp
from sora_core.safety.policy import load_policy

SETS = {"SoraLoadModel.model": TINY, "SoraSampler.steps": 1, "SoraEmptyLatent.seconds": 0.5, "SoraSampler.cfg": 1}


@pytest.fixture()
def workflow(tmp_path, monkeypatch):
    """Makes a job of the workflow text_to_video with these settings."""
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / TINY)

    def made(**sets):
        plan = plan_of(tmp_path, {"workflow": "text_to_video", "set": {**SETS, **sets}})
        assert not plan.broken, plan.broken
        return plan.jobs[0]

    yield made
    shutil.rmtree(own_temp(), ignore_errors=True)


@pytest.mark.slow
def test_a_worker_makes_a_workflow(workflow):
    job = workflow()
    graph = job.inputs[0].path.read_bytes()
    answer = workers.make(job, None, lambda ref: ref, {job.inputs[0].digest: graph})
    assert answer["state"] == "done", answer["why"]
    assert [name for name, data in answer["files"] if data[4:8] == b"ftyp"] == [f"{job.stem}.mp4"]


def test_words_of_a_workflow_are_judged_by_both_policies(workflow, tmp_path, monkeypatch):
    mild = 'locked = true\n[prompt]\naction = "off"\n[frames]\naction = "off"\n'
    (tmp_path / "own.toml").write_text(f'name = "own"\n{mild}')
    (tmp_path / "sent.toml").write_text('name = "sent"\n[prompt]\naction = "block"\n')
    monkeypatch.setenv("SORA_POLICY", str(tmp_path / "own.toml"))
    job = workflow(**{"Prompt.text": "a man stabs a woman, blood everywhere"})
    graph = job.inputs[0].path.read_bytes()
    answer = workers.make(job, load_policy(tmp_path / "sent.toml"), lambda ref: ref, {job.inputs[0].digest: graph})
    assert answer["state"] == "refused" and "files" not in answer, answer["why"]
