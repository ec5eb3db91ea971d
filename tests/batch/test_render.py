"""`sora render` in this process: made once, gone on with, recorded, shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from batch_support import CAT, Watch, files_of, plan_of, results, start, write_batch
from PIL import Image

import sora_core
from sora_core.batch.here import run_here
from sora_core.batch.jobs import content_hash
from sora_core.batch.records import Records
from sora_core.batch.results import _fitting, save_sheet, write_results
from sora_core.batch.work import Workshop
from sora_core.cli import main
from sora_core.media.video import probe
from sora_core.provenance.credentials.verify import verify
from sora_core.safety.policy import in_force, load_policy

SAMPLES = Path(__file__).resolve().parents[2] / "workflows" / "inputs"


def render(folder, *words):
    return main(["render", str(folder / "batch.jsonl"), "--out", str(folder / "out"), *words])


def test_a_batch_is_made_once_and_told(tmp_path, capsys):
    write_batch(tmp_path, {**CAT, "seed": "0..1"}, {**CAT, "prompt": "a dog", "name": "<b>dog</b>"}, CAT)
    assert render(tmp_path) == 0
    told = capsys.readouterr()
    out = tmp_path / "out"
    assert told.out.split() == [str(out / record["file"]) for record in results(out)] and len(files_of(out)) == 3
    assert "3 jobs (3 generate), 0 finished, 3 to make" in told.err and "line 3 as line 1" in told.err
    assert "Time: " in told.err and "Memory: about" in told.err
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("*.mp4")}
    for record in results(out):
        assert content_hash(out / record["file"]) == record["files"][0]["sha256"]
        assert record["seconds"] > 0 and record["worker"] and record["settings"]["steps"] == 1
        assert probe(out / record["file"]).metadata["sora_job"] == record["job"]
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".mp4") == [
        "index.html",
        "jobs",
        "results.jsonl",
        "sheet.png",
    ]
    assert verify(out / "sheet.png").state == "intact"
    # A second call makes nothing.
    assert render(tmp_path) == 0
    told = capsys.readouterr()
    assert "3 finished, 0 to make" in told.err and told.out == ""
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.mp4")} == made
    # The same video as the call's in Python.
    pipe = sora_core.load(tmp_path / CAT["model"])
    video = pipe.generate(CAT["prompt"], steps=1, cfg=1.0, seed=1)
    video.save(tmp_path / "python.mp4", metadata={"sora_job": results(out)[1]["job"]})
    assert probe(tmp_path / "python.mp4").frames == probe(out / results(out)[1]["file"]).frames


@pytest.mark.parametrize("made", [True, False])
def test_a_sheet_of_what_was_made_is_labelled(tmp_path, made):
    policy = tmp_path / "policy.toml"
    policy.write_text('[provenance]\nlabel = "cn"\nvisible_label = true\n', "utf-8")
    plain = Image.new("RGB", (312, 182), "white")
    with in_force(load_policy(policy)):
        save_sheet(plain, tmp_path / "sheet.png", made)
    report = verify(tmp_path / "sheet.png")
    assert report.state == "intact" and bool(report.labels) == made
    with Image.open(tmp_path / "sheet.png") as saved:
        assert (saved.convert("RGB").tobytes() != plain.tobytes()) == made


def test_model_and_prompts_are_read_once(tmp_path):
    before = threading.active_count()
    jobs = plan_of(tmp_path, {**CAT, "seed": "0..3", "cfg": 2}, {**CAT, "prompt": "a dog", "cfg": 2}).jobs
    records, watch, workshop = Records(tmp_path / "out"), Watch(), Workshop()
    assert run_here(jobs, records, watch, workshop) == []
    assert workshop.loads == 1 and workshop._loaded[1].engine.encoded == 3  # two prompts and the empty negative one
    assert len({record["latent"] for record in watch.records}) == 5
    assert threading.active_count() <= before + 1  # what shows life of claims is one thread, not one a job
    assert [done for _, done, _ in watch.steps] == [1] * 5
    again = Watch()
    run_here(list(reversed(jobs)), Records(tmp_path / "other"), again)
    assert {r["job"]: r["latent"] for r in again.records} == {r["job"]: r["latent"] for r in watch.records}


def test_what_was_lost_or_changed_is_made_again(tmp_path):
    jobs = plan_of(tmp_path, {**CAT, "seed": "0..3"}).jobs
    records, watch, out = Records(tmp_path / "out"), Watch(), tmp_path / "out"
    run_here(jobs, records, watch)
    first, second, third, fourth = (record["file"] for record in watch.records)
    (out / first).unlink()
    data = (out / second).read_bytes()
    (out / second).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(out / third)  # copied elsewhere, say: its content is the same
    (out / "jobs" / f"{jobs[3].id}.json").write_text('{"job": ')
    stray = out / f"old_name-{jobs[3].id}.mp4"
    os.replace(out / fourth, stray)
    lost = [job for job in jobs if records.finished(job.id) is None]
    assert lost == [jobs[0], jobs[1], jobs[3]]
    run_here(lost, records, watch)
    assert files_of(out) == sorted([first, second, third, fourth])
    assert not stray.exists() and all(records.finished(job.id) for job in jobs)


def test_killed_between_record_and_file_the_file_is_put_in_its_place(tmp_path, monkeypatch):
    jobs = plan_of(tmp_path, CAT).jobs
    records, out = Records(tmp_path / "out"), tmp_path / "out"

    class Killed(BaseException):
        pass

    real = os.replace

    def replace(source, target):
        if Path(target).parent == out and Path(target).suffix == ".mp4":
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", replace)
        run_here(jobs, records, Watch())
    assert files_of(out) == []
    assert records.finished(jobs[0].id) is not None and len(files_of(out)) == 1


def test_a_job_that_another_process_has_in_hand_is_left_alone(tmp_path):
    jobs = plan_of(tmp_path, {**CAT, "seed": "0..1"}).jobs
    records = Records(tmp_path / "out")
    mark = records.place_of_claim(jobs[0].id).with_name(f".{jobs[0].id}.job.claim")
    mark.write_text(f"{'0' * 8} 1")  # of another machine
    watch = Watch()
    assert run_here(jobs, records, watch) == [jobs[0]] and len(watch.records) == 1
    os.utime(mark, (time.time() - 1000,) * 2)  # it has shown no sign of life for long
    assert run_here(jobs, records, watch) == [] and len(files_of(tmp_path / "out")) == 2


@pytest.mark.slow
def test_jobs_of_every_kind(tmp_path):
    shutil.copy(SAMPLES / "sora_cat.mp4", tmp_path / "cat.mp4")
    shutil.copy(SAMPLES / "sora_still.png", tmp_path / "still.png")
    edit = {**CAT, "video": "cat.mp4", "size": "32x32"}
    del edit["prompt"]
    lines = [
        {**CAT, "task": "animate", "image": {"0": "still.png"}, "size": "32x32"},
        {**edit, "task": "extend", "seconds": 0.5, "prompt": "a cat"},
        {**edit, "task": "infill", "hidden": [5, 6, 7, 8], "prompt": "a cat"},
        {**edit, "task": "infill", "region": "still.png", "prompt": "a cat"},
        {**edit, "task": "loop", "seconds": 0.5, "prompt": "a cat"},
        {**edit, "task": "remix", "strength": 0.5, "prompt": "a cat"},
        {**CAT, "task": "connect", "first": "cat.mp4", "second": "cat.mp4", "seconds": 0.5, "size": "32x32"},
        {"model": CAT["model"], "shots": [["a cat", 0.5], ["a dog", 0.5]], "steps": 1, "cfg": 1},
        {"model": CAT["model"], "task": "long", "shots": "1s: a cat\n1s: a dog", "steps": 1, "cfg": 1},
    ]
    plan = plan_of(tmp_path, *lines)
    assert not plan.broken, plan.broken
    watch = Watch()
    run_here(plan.jobs, Records(tmp_path / "out"), watch)
    assert [record["state"] for record in watch.records] == ["done"] * len(lines), [r.get("why") for r in watch.records]


@pytest.mark.slow
def test_a_workflow_is_a_job(tmp_path, monkeypatch):
    from nodes_support import TINY, save_tiny

    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / TINY)
    sets = {"SoraLoadModel.model": TINY, "SoraSampler.steps": 1, "SoraEmptyLatent.seconds": 0.5, "SoraSampler.cfg": 1}
    plan = plan_of(tmp_path, {"workflow": "text_to_video", "set": {**sets, "SoraSampler.seed": "0..1"}})
    assert not plan.broken, plan.broken
    assert [weights.name for weights in plan.jobs[0].models] == [TINY]
    watch = Watch()
    run_here(plan.jobs, Records(tmp_path / "out"), watch)
    assert [r["state"] for r in watch.records] == ["done"] * 2, [r.get("why") for r in watch.records]
    assert len(files_of(tmp_path / "out")) == 2


def test_what_fails_is_said_and_the_rest_goes_on(tmp_path, capsys):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    write_batch(tmp_path, {**CAT, "task": "extend", "video": "no.mp4"}, CAT)
    assert render(tmp_path) == 3
    told = capsys.readouterr()
    failed, done = results(tmp_path / "out")
    assert failed["state"] == "failed" and "no.mp4" in failed["why"] and done["state"] == "done"
    assert "Traceback" not in told.err and "1 failed, 1 done" in told.err


@pytest.mark.slow
def test_a_refusal_of_the_policy_is_a_result(tmp_path, capsys, monkeypatch):
    write_batch(tmp_path, {**CAT, "prompt": "a man stabs a woman, blood everywhere"}, CAT)
    assert render(tmp_path, "--policy", "strict") == 3
    refused, done = results(tmp_path / "out")
    assert refused["state"] == "refused" and refused["file"] is None and done["state"] in ("done", "refused")


def test_an_input_that_changed_since_the_plan_is_told(tmp_path):
    shutil.copy(SAMPLES / "sora_still.png", tmp_path / "still.png")
    jobs = plan_of(tmp_path, {**CAT, "task": "animate", "image": "still.png", "size": "32x32"}).jobs
    shutil.copy(SAMPLES / "sora_cat.mp4", tmp_path / "still.png")
    watch = Watch()
    run_here(jobs, Records(tmp_path / "out"), watch)
    assert "changed since the plan" in watch.records[0]["why"]


def test_a_model_that_changed_since_the_plan_is_told(tmp_path):
    jobs = plan_of(tmp_path, CAT).jobs
    model = tmp_path / CAT["model"]
    data = model.read_bytes()
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    watch = Watch()
    run_here(jobs, Records(tmp_path / "out"), watch)
    assert "was changed since the plan" in watch.records[0]["why"]


def test_a_full_disk_stops_the_batch(tmp_path, monkeypatch, capsys):
    from sora_core.batch import records as module
    from sora_core.files import DiskFullError

    def full(*_):
        raise DiskFullError("The disk is full while writing x: free some space.")

    write_batch(tmp_path, {**CAT, "seed": "0..2"})
    with monkeypatch.context() as patch:
        patch.setattr(module, "_to_disk", full)
        patch.setattr("sora_core.batch.results.write_results", full)  # nor is there room for these
        assert render(tmp_path) == 1
    told = capsys.readouterr().err
    assert "disk is full" in told and "goes on from here" in told and files_of(tmp_path / "out") == []
    assert render(tmp_path) == 0 and len(files_of(tmp_path / "out")) == 3


def test_ctrl_c_on_a_full_disk_is_no_error(tmp_path, monkeypatch, capsys):
    from sora_core.files import DiskFullError

    def full(*_):
        raise DiskFullError("The disk is full while writing x: free some space.")

    def stopped(*_):
        raise KeyboardInterrupt

    write_batch(tmp_path, CAT)
    monkeypatch.setattr("sora_core.batch.here.run_here", stopped)
    monkeypatch.setattr("sora_core.batch.results.write_results", full)
    assert render(tmp_path) == 130
    assert capsys.readouterr().err.endswith("Stopped.\n")


def test_one_job_that_the_disk_has_no_room_for_writes_no_results_of_the_batch(tmp_path, monkeypatch, capsys):
    from sora_core.batch import records as module
    from sora_core.files import DiskFullError

    def full(*_):
        raise DiskFullError("The disk is full while writing x: free some space.")

    write_batch(tmp_path, {**CAT, "seed": "0..1"})
    monkeypatch.setattr(module, "_to_disk", full)
    job = plan_of(tmp_path, {**CAT, "seed": "0..1"}).jobs[0].id
    assert render(tmp_path, "--job", job) == 1 and "disk is full" in capsys.readouterr().err
    assert not (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--ray", "local", "--job", "abcd"], "leave --ray out"),
        (["--workers", "2"], "goes with --ray"),
        (["--ray", ""], "write HOST:PORT"),
        (["--job", "zz"], "is no ID"),
        (["--job", "abcdef"], "has no job abcdef"),
        (["--out", "batch.jsonl"], "not a folder"),
    ],
)
def test_what_render_refuses(words, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_batch(tmp_path, CAT)
    assert main(["render", "batch.jsonl", *words]) == 1
    err = capsys.readouterr().err
    assert expected in err and "Traceback" not in err


def test_a_broken_line_starts_nothing_unless_the_rest_goes_on(tmp_path, capsys):
    write_batch(tmp_path, CAT, {**CAT, "steps": 0}, "{")
    assert render(tmp_path) == 1
    err = capsys.readouterr().err
    assert "line 2: steps is 0" in err and "and 1 more: 3" in err and not (tmp_path / "out").exists()
    assert render(tmp_path, "--plan") == 3 and not (tmp_path / "out").exists()
    assert render(tmp_path, "--keep-going") == 3 and len(files_of(tmp_path / "out")) == 1


def test_one_job_as_a_command_of_a_queue(tmp_path, capsys):
    write_batch(tmp_path, {**CAT, "seed": "0..1"})
    assert render(tmp_path, "--list") == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    for _ in range(2):  # idempotent
        assert render(tmp_path, "--job", ids[1]) == 0
        assert [line[-20:] for line in capsys.readouterr().out.splitlines()] == [f"{ids[1]}.mp4"]  # once
    assert len(files_of(tmp_path / "out")) == 1 and not (tmp_path / "out" / "index.html").exists()
    assert render(tmp_path, "--collect") == 3 and (tmp_path / "out" / "index.html").exists()


@pytest.mark.slow
def test_who_reads_the_names_may_go_and_files_are_made_all_the_same(tmp_path):
    write_batch(tmp_path, {**CAT, "seed": "0..2"})
    process = start(tmp_path, "batch.jsonl")
    process.stdout.close()
    assert process.wait(120) == 0, process.stderr.read()
    assert [record["state"] for record in results(tmp_path / "batch")] == ["done"] * 3
    assert "roken pipe" not in process.stderr.read()


def test_what_befalls_who_looks_on_undoes_no_job(tmp_path):
    class Gone(Watch):
        def ended(self, job, record):
            raise OSError("nobody listens")

    records, jobs = Records(tmp_path / "out"), plan_of(tmp_path, CAT).jobs
    with pytest.raises(OSError, match="nobody"):
        run_here(jobs, records, Gone())
    assert records.finished(jobs[0].id) is not None


def test_records_and_pictures_that_others_wrote_spoil_no_results(tmp_path):
    records, jobs = Records(tmp_path / "out"), plan_of(tmp_path, {**CAT, "seed": "0..1"}).jobs
    run_here(jobs, records, Watch())
    path = records.jobs / f"{jobs[0].id}.json"
    sound = json.loads(path.read_text("utf-8"))
    changes = [{"state": None}, {"state": ["done"]}, {"files": None}, {"files": [7]}, {"files": {"file": "x"}}]
    changes += [{"settings": [1]}, {"settings": None}, {"name": 3}, {"name": "\ud800"}]
    for change in changes:
        path.write_text(json.dumps({**sound, **change}), "utf-8")
        assert write_results(records, jobs, "t") == {"done": 1}, change
        assert records.finished(jobs[0].id) is None  # it is made again
    odd = [{"seconds": "x"}, {"worker": 5}, {"seed": {"a": 1}}, {"settings": {"prompt": 5, "shots": [[1, 2], "c"]}}]
    for change in [*odd, {}]:
        path.write_text(json.dumps({**sound, **change}), "utf-8")
        assert write_results(records, jobs, "t") == {"done": 2}, change
    still = records.jobs / f"{jobs[0].id}.jpg"
    for written in (b"", still.read_bytes()[:200], b"no picture"):
        still.write_bytes(written)
        assert write_results(records, jobs, "t") == {"done": 2}
    Image.new("1", (20_000, 20_000)).save(still, "PNG")
    assert write_results(records, jobs, "t") == {"done": 2}


def test_what_a_user_made_of_a_file_stays_when_it_is_made_again(tmp_path):
    records, jobs = Records(tmp_path / "out"), plan_of(tmp_path, CAT).jobs
    run_here(jobs, records, Watch())
    made = tmp_path / "out" / f"{jobs[0].stem}.mp4"
    edited = made.rename(made.with_name(f"{jobs[0].stem}_edited.mp4"))
    run_here(jobs, records, Watch())
    assert made.is_file() and edited.is_file()


def test_a_label_shows_what_jobs_of_a_line_differ_in():
    labels = {_fitting(f"cars_a_red_car_drives_left_cfg{cfg}") for cfg in (3, 4)}
    assert len(labels) == 2 and all(len(label) <= 23 for label in labels)


def test_the_page_holds_nothing_but_text(tmp_path):
    nasty = "<script>alert(1)</script>\"'&"
    write_batch(tmp_path, {**CAT, "prompt": f"a cat {nasty}", "name": nasty}, {**CAT, "prompt": "x", "seed": 5})
    assert render(tmp_path) == 0
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "alert(1)&lt;/script&gt;" in page and page.count("<script>") == 1
    assert "http" not in page


@pytest.mark.slow
def test_ctrl_c_stops_within_a_step_and_the_next_call_goes_on(tmp_path):
    batch = write_batch(tmp_path, {**CAT, "seed": "0..2"}, {**CAT, "steps": 5000, "seed": 9})
    process = start(tmp_path, str(batch), "--out", "out")
    timer = threading.Timer(240, process.kill)
    timer.start()
    for _ in range(3):
        assert process.stdout.readline().strip().endswith(".mp4")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, err = process.communicate()
    timer.cancel()
    assert process.returncode == 130 and "3 done, 1 not made" in err and "Stopped." in err
    assert time.monotonic() - asked < 60 and "Traceback" not in err
    assert json.loads((tmp_path / "out" / "results.jsonl").read_text("utf-8").splitlines()[0])["state"] == "done"
