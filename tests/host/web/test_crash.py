"""A server that is killed or stopped, in a process of its own: nothing finished is lost, nothing runs twice."""

from __future__ import annotations

import signal
import uuid

import pytest
from host_support import api, write_pack
from studio_support import Process, kinds

from sora_core.host.run.store import Job, Store

pytestmark = pytest.mark.slow


def job_of(number: int, steps: int) -> dict:
    return api(
        n1=("TinySlow", {"value": number, "steps": steps}),
        n2=("TinyWrite", {"value": ["1", 0], "filename_prefix": f"job{number}"}),
    )


@pytest.fixture()
def base(tmp_path):
    write_pack(tmp_path / "packs" / "tiny")
    return tmp_path


def start(base, *arguments: str, **options) -> Process:
    return Process(base, "--packs-dir", str(base / "packs"), *arguments, **options)


def test_a_kill_in_the_middle_of_a_queue_loses_nothing_and_doubles_nothing(base):
    with start(base) as server:
        client = server.client()
        jobs = [client.queue(job_of(number, 3 if number < 2 else 100)) for number in range(5)]
        client.wait(jobs[2], "in_progress")
        server.kill()
    with start(base) as server:
        client = server.client("again")
        with client.connect() as page:
            states = [client.job(job)["status"] for job in jobs]
            assert states[:2] == ["completed", "completed"] and states[2] == "failed"
            lost = client.job(jobs[2])
            assert lost["interrupted"] and "queue it again" in lost["execution_error"]["exception_message"]
            assert [client.wait(job)["status"] for job in jobs[3:]] == ["completed", "completed"]
            assert client.job(jobs[2])["status"] == "failed"  # by nobody's wish
            assert client.post(f"/api/jobs/{jobs[2]}/requeue", {"client_id": "again"}).status == 200
            assert {"execution_start", "executing", "execution_success"} <= set(kinds(page.ended(jobs[2])))
        assert sorted(path.name for path in (base / "output").glob("*.txt")) == [f"job{n}_00001_.txt" for n in range(5)]
        listed = client.get("/api/jobs").json
        assert listed["pagination"]["total"] == 5 and {job["id"] for job in listed["jobs"]} == set(jobs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_in_a_run_too(base, number):
    with start(base) as server:
        client = server.client()
        job = client.queue(job_of(7, 5000))
        client.wait(job, "in_progress")
        with client.connect() as page:
            page.until("progress", prompt_id=job)
            seconds, code, said = server.stop(number)
            # A second and less, on a busy machine several; the run would go on for a hundred.
            assert seconds < 20 and code == (0 if number == signal.SIGTERM else 130)
            assert "Stopped." in said and "Traceback" not in said
            assert page.until("execution_interrupted", prompt_id=job)
    store = Store(base / "user" / "sora.sqlite")
    assert store.get(job).state == "interrupted"
    store.close()


def test_a_signal_while_nodes_are_loaded_ends_it(base):
    slow_to_load(base)
    with start(base) as server:
        _, code, said = server.stop()  # within half a minute: the nodes would never be there
        assert code == 0 and "Traceback" not in said


def slow_to_load(base) -> None:
    """Make the tiny pack one that is there once there is a file `go_on`."""
    init = base / "packs" / "tiny" / "__init__.py"
    lines = ["import time", "from pathlib import Path", f"while not Path({str(base / 'go_on')!r}).exists():"]
    init.write_text("\n".join([*lines, "    time.sleep(0.02)", init.read_text()]))


def test_a_second_server_says_what_is_wrong(base):
    with start(base) as first:
        with pytest.raises(AssertionError, match="Another server uses"):
            start(base)
        (base / "two").mkdir()
        with pytest.raises(AssertionError, match=f"127.0.0.1:{first.port} cannot be used"):
            Process(base / "two", port=first.port)


def test_a_server_for_other_machines_warns_and_prints_its_token(base):
    with start(base, "--listen", "0.0.0.0") as server:
        assert "?token=" in server.address
        assert server.client().get("/users").status == 401
        assert server.client(Authorization="Bearer " + server.address.split("token=")[1]).get("/users").status == 200
        assert "warning: other machines can reach this" in server.stop()[2]


def test_the_page_is_there_before_torch_is(base):
    slow_to_load(base)
    with start(base, command="studio") as server:
        client = server.client()
        assert client.get("/").body.startswith(b"<!doctype html>")
        assert client.get("/system_stats").json["system"]["pytorch_version"] == ""
        (base / "go_on").touch()
        assert client.get("/object_info").json["TinySlow"]
        assert client.get("/system_stats").json["system"]["pytorch_version"]


# -- the store alone -----------------------------------------------------------------------------------------
def test_what_was_running_is_interrupted_when_the_file_is_opened_again(tmp_path):
    store = Store(tmp_path / "jobs.sqlite")
    made = [store.add(Job(str(uuid.uuid4()), 0, None, {"1": {}})) for _ in range(3)]
    assert [store.take().id for _ in range(2)] == [made[0].id, made[1].id]
    made[0].state = "completed"
    store.finish(made[0])
    store.close()
    store = Store(tmp_path / "jobs.sqlite")
    assert [store.get(job.id).state for job in made] == ["completed", "interrupted", "pending"]
    assert store.again(made[0].id, None) is None and store.again(made[1].id, "me").state == "pending"
    assert [store.take().id, store.take().id, store.take()] == [made[2].id, made[1].id, None]
    store.close()


def test_old_jobs_go_and_waiting_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("sora_core.host.run.store.KEPT", 3)
    store = Store(tmp_path / "jobs.sqlite")
    waiting = store.add(Job(str(uuid.uuid4()), 0, None), number=99)
    for _ in range(6):
        job = store.add(Job(str(uuid.uuid4()), 0, None), number=1)
        store.take()
        job.state = "completed"
        store.finish(job)
    assert store.count(("completed",)) == 3 and store.get(waiting.id).state == "pending"
    store.close()


def test_a_file_that_is_no_queue_is_told(tmp_path):
    from sora_core.errors import SoraError

    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(SoraError, match="move it away"):
        Store(tmp_path / "jobs.sqlite")
