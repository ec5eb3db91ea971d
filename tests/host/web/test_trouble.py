"""What a server must outlive: nodes that end Python, a full disk, a clock set back, files of another version."""

from __future__ import annotations

import sqlite3
import uuid

import pytest
from host_support import api, write_pack
from studio_support import Client, serving, until

from sora_core.errors import SoraError
from sora_core.host.run.store import Job, Store

WILD = '''

def wild(cls, how):
    """End Python, or show what is no JSON."""
    import asyncio
    import sys

    if how == "large":
        while not (current().input / "go_on").exists():
            time.sleep(0.02)
        return io.NodeOutput(ui={"text": ["x" * 300_000]})
    if how == "exit":
        sys.exit(3)
    if how == "key":
        return io.NodeOutput(ui={"text": [{(1, 2): 3}]})
    if how == "circle":
        around = []
        around.append(around)
        return io.NodeOutput(ui={"text": around})
    raise {"interrupt": KeyboardInterrupt, "close": GeneratorExit, "cancel": asyncio.CancelledError}[how]


NODES.append(node(lambda: io.Schema("TinyWild", is_output_node=True, inputs=[io.String.Input("how")]), wild))
'''


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    base = tmp_path_factory.mktemp("studio")
    nodes = write_pack(base / "packs" / "tiny") / "nodes_of_tiny.py"
    nodes.write_text(nodes.read_text() + WILD)
    with serving(base) as made:
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port, uuid.uuid4().hex)


def number(value: int) -> dict:
    return api(n1=("TinyWrite", {"value": value, "filename_prefix": f"trouble{value}"}))


@pytest.mark.parametrize("how", ["exit", "interrupt", "close", "cancel", "key", "circle"])
def test_a_node_that_runs_wild_ends_its_own_job_only(client, how):
    failed = client.queue(api(n1=("TinyWild", {"how": how})))
    assert client.wait(failed, seconds=20)["execution_error"]["exception_message"]
    assert client.get(f"/history/{failed}").json[failed]["status"]["status_str"] == "error"
    assert client.wait(client.queue(number(1)), seconds=20)["status"] == "completed"


def test_a_full_disk_holds_the_queue_up_and_nothing_is_lost(studio, client, monkeypatch):
    said = []
    monkeypatch.setattr("sora_core.host.run.worker.log.error", lambda text, *about: said.append(text % about))
    monkeypatch.setattr("sora_core.host.run.worker.AGAIN", 0.05)
    job = client.queue(api(n1=("TinyWild", {"how": "large"})))
    client.wait(job, "in_progress")
    limit = studio.store._one("pragma max_page_count")[0]
    studio.store._do("pragma max_page_count = 1")  # what there is: SQLite then says what it says of a full disk
    studio.folders.input.mkdir(exist_ok=True)
    (studio.folders.input / "go_on").touch()
    until(lambda: said, "a word of the full disk")
    # All pages are told, and those that open now.
    until(lambda: "held" in client.get("/prompt").json, "what holds the queue")
    page = Client(studio.port, uuid.uuid4().hex).connect()
    held = page.until("status")[-1]["data"]["status"]["held"]
    assert "disk is full" in held
    refused = client.post("/prompt", {"prompt": number(2), "extra_data": {"large": "x" * 100_000}})
    assert refused.status == 400 and "is there space on its disk?" in refused.json["error"]["message"]
    assert len(said) == 1 and "disk is full" in said[0] and "go on once it can be written" in said[0]
    studio.store._do(f"pragma max_page_count = {limit}")
    assert client.wait(job, seconds=20)["status"] == "completed"
    with page:
        until(lambda: "held" not in page.until("status")[-1]["data"]["status"], "a queue that goes on")
    assert "held" not in client.get("/prompt").json
    assert client.wait(client.queue(number(3)), seconds=20)["status"] == "completed"


def finished(store: Store, count: int) -> list[str]:
    made = []
    for _ in range(count):
        job = store.add(Job(str(uuid.uuid4()), 0, None))
        store.take()
        job.state = "completed"
        store.finish(job)
        made.append(job.id)
    return made


def test_a_clock_that_is_set_back_costs_no_new_result(tmp_path, monkeypatch):
    monkeypatch.setattr("sora_core.host.run.store.KEPT", 3)
    store = Store(tmp_path / "jobs.sqlite")
    old = finished(store, 3)
    monkeypatch.setattr("sora_core.host.run.store.now", lambda: 1)
    new = finished(store, 2)
    assert [job.id for job in store.listed(("completed",), "rowid")] == [old[2], *new]
    store.close()


def test_an_old_job_that_ran_again_is_the_newest_in_the_history(tmp_path, monkeypatch):
    monkeypatch.setattr("sora_core.host.run.store.KEPT", 3)
    store = Store(tmp_path / "jobs.sqlite")
    lost = store.add(Job(str(uuid.uuid4()), 0, None))
    store.take()
    lost.state = "failed"
    store.finish(lost)
    finished(store, 2)
    assert store.again(lost.id, None) and store.take().id == lost.id
    finished(store, 1)  # while that one ran
    lost.state = "completed"
    store.finish(lost)
    assert store.get(lost.id).state == "completed"
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "jobs.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as other:
        other.execute("pragma user_version = 99")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SoraError, match="newer version"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_of_before_versions_were_written_down_is_taken(tmp_path):
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    (job,) = finished(store, 1)
    store._do("pragma user_version = 0")
    store.close()
    store = Store(path)
    assert store.get(job).state == "completed" and store._one("pragma user_version")[0] > 0
    store.close()


def test_damage_in_the_middle_of_the_file_is_told_at_the_start(tmp_path):
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    finished(store, 50)
    store.close()
    whole = bytearray(path.read_bytes())
    whole[5 * 4096 : 7 * 4096] = b"\xff" * 8192
    path.write_bytes(whole)
    with pytest.raises(SoraError, match="move it away"):
        Store(path)


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(SoraError, match="cannot be read"):
        Store(tmp_path / "jobs.sqlite")
