"""Prompts, queue, history and jobs, over HTTP and WebSocket."""

from __future__ import annotations

import io
import struct
import time
import uuid

import pytest
from host_support import api
from PIL import Image
from studio_support import Client, kinds, serving, told_of

KNOWING = {"supports_preview_metadata": True, "supports_progress_text_metadata": True}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("studio")) as made:
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port, uuid.uuid4().hex)


def slow(steps: int, value: int = 3, prefix: str = "tiny") -> dict:
    return api(
        n1=("TinySlow", {"value": value, "steps": steps}),
        n2=("TinyWrite", {"value": ["1", 0], "filename_prefix": prefix}),
    )


def test_a_prompt_runs_and_its_file_is_served(client):
    with client.connect() as page:
        job = client.queue(
            slow(3, prefix="served"), extra_data={"extra_pnginfo": {"workflow": {"id": "w", "nodes": []}}}
        )
        told = kinds(page.ended(job))
    assert told.index("execution_start") < told.index("execution_cached") < told.index("executing")
    assert told[-2:] == ["execution_success", "executing"]
    entry = client.get(f"/history/{job}").json[job]
    assert entry["status"]["status_str"] == "success" and entry["status"]["completed"]
    assert [event for event, _ in entry["status"]["messages"]][::2] == ["execution_start", "execution_success"]
    (file,) = entry["outputs"]["2"]["files"]
    found = client.get(f"/view?filename={file['filename']}&subfolder={file['subfolder']}&type={file['type']}")
    assert found.body.startswith(b"3 ") and found.headers["Content-Disposition"].startswith("attachment")
    whole = client.job(job)
    assert whole["status"] == "completed" and whole["workflow_id"] == "w" and whole["outputs"] == entry["outputs"]
    assert whole["execution_end_time"] >= whole["execution_start_time"] >= whole["create_time"]


def test_nothing_changed_is_told_as_cached_at_once_and_a_change_runs_what_follows(client):
    client.wait(client.queue(slow(20, prefix="again")))
    with client.connect() as page:
        job = client.queue(slow(20, prefix="again"))
        told = page.ended(job)
        (cached,) = told_of(told, "execution_cached", job)
        assert sorted(cached["nodes"]) == ["1", "2"]
        # No node runs, and none makes a step.
        assert [data["node"] for data in told_of(told, "executing", job)] == [None]
        assert told_of(told, "progress", job) == []
        # What was shown is shown again.
        assert [data["node"] for data in told_of(told, "executed", job)] == ["2"]
        job = client.queue(slow(20, prefix="other"))
        assert [data["node"] for data in told_of(page.ended(job), "executing", job)] == ["2", None]


def test_progress_is_told_with_the_time_that_is_left(client):
    with client.connect(KNOWING) as page:
        job = client.queue(slow(60, 5, "left"))
        told = page.ended(job)
    states = [data["nodes"]["1"] for data in told_of(told, "progress_state", job)]
    left = [state["seconds_left"] for state in states if "seconds_left" in state]
    assert len(left) > 4 and 0.3 < max(left) < 30 and left[-1] <= left[0]
    assert {(s["state"], s["display_node_id"], s["real_node_id"]) for s in states} == {
        ("running", "1", "1"),
        ("finished", "1", "1"),
    }
    texts = [m for m in told if isinstance(m, bytes) and m[:4] == b"\0\0\0\3"]
    assert any(b"Step " in text and b" s left" in text for text in texts)


def test_the_preview_moves_through_all_frames(client):
    prompt = api(n1=("TinyFilm", {"steps": 24, "frames": 4}), n2=("TinyWrite", {"value": ["1", 0]}))
    with client.connect(KNOWING) as page:
        told = page.ended(client.queue(prompt))
    frames = [m for m in told if isinstance(m, bytes) and struct.unpack(">I", m[:4])[0] == 4]
    assert len(frames) >= 4  # 1.2 seconds of it
    shades = set()
    for frame in frames:
        length = struct.unpack(">I", frame[4:8])[0]
        assert b'"node_id": "1"' in frame[8 : 8 + length] and b'"image_type": "image/jpeg"' in frame[8 : 8 + length]
        shades.add(Image.open(io.BytesIO(frame[8 + length :])).getpixel((9, 9))[0] // 20)
    assert len(shades) >= 3
    # None comes after its node is done.
    after = told[
        max(i for i, m in enumerate(told) if isinstance(m, dict) and m["type"] == "executing" and m["data"]["node"]) :
    ]
    assert not [m for m in after if isinstance(m, bytes)]


def test_who_knows_less_gets_plain_previews_and_who_wants_none_gets_none(client):
    prompt = api(n1=("TinyFilm", {"steps": 10, "frames": 2, "value": 8}), n2=("TinyWrite", {"value": ["1", 0]}))
    with client.connect() as page:
        told = page.ended(client.queue(prompt))
        pictures = [m for m in told if isinstance(m, bytes) and m[:8] == struct.pack(">II", 1, 1)]
        assert pictures and Image.open(io.BytesIO(pictures[0][8:])).format == "JPEG"
        prompt["1"]["inputs"]["value"] = 9
        told = page.ended(client.queue(prompt, extra_data={"preview_method": "none"}))
        assert not [m for m in told if isinstance(m, bytes) and m[:4] in (b"\0\0\0\1", b"\0\0\0\4")]


def test_pictures_come_over_the_socket_in_place_of_files(client):
    prompt = api(n1=("TinyPicture", {"value": 4}), n2=("SaveImageWebsocket", {"images": ["1", 0]}))
    for _ in range(2):  # the second time too, though nothing changed
        with client.connect() as page:
            told = page.ended(client.queue(prompt, extra_data={"preview_method": "none"}))
        (frame,) = [m for m in told if isinstance(m, bytes)]
        assert frame[:8] == struct.pack(">II", 1, 2) and Image.open(io.BytesIO(frame[8:])).size == (8, 8)
        before = [
            m["data"]["node"] for m in told[: told.index(frame)] if isinstance(m, dict) and m["type"] == "executing"
        ]
        assert before[-1] == "2"


@pytest.mark.parametrize("path", ["/interrupt", "/api/interrupt", "cancel", "some"])
def test_an_interrupt_ends_a_run_within_a_step(client, path):
    with client.connect() as page:
        job = client.queue(slow(2000, 6, path.strip("/").replace("/", "")))
        page.until("progress", prompt_id=job)
        began = time.monotonic()
        if path == "cancel":
            assert client.post(f"/api/jobs/{job}/cancel").json == {"cancelled": True}
        elif path == "some":
            assert client.post("/api/jobs/cancel", {"job_ids": [job]}).json == {"cancelled": True}
        else:
            assert client.post(path, {"prompt_id": job}).status == 200
        told = page.ended(job)
    # A step takes 0.02 s and all of them 40: a machine that does other things too still tells one from the other.
    assert time.monotonic() - began < 10
    (stop,) = told_of(told, "execution_interrupted", job)
    assert (stop["node_id"], stop["node_type"]) == ("1", "TinySlow")
    assert client.job(job)["status"] == "cancelled"
    assert client.post(f"/api/jobs/{job}/cancel").json == {"cancelled": False}


def test_an_interrupt_of_another_job_stops_nothing(client):
    job = client.queue(slow(30, 7, "goes_on"))
    client.post("/interrupt", {"prompt_id": str(uuid.uuid4())})
    assert client.wait(job)["status"] == "completed"


def test_an_error_is_told_on_its_node(client):
    prompt = api(n1=("TinyFail", {"how": "user"}), n2=("TinyWrite", {"value": ["1", 0]}))
    with client.connect() as page:
        job = client.queue(prompt)
        told = page.ended(job)
    (error,) = told_of(told, "execution_error", job)
    assert (error["node_id"], error["node_type"], error["exception_type"]) == ("1", "TinyFail", "SoraError")
    assert "not to my liking" in error["exception_message"] and error["traceback"] == []
    found = client.job(job)
    assert found["status"] == "failed" and found["execution_error"]["node_id"] == "1"
    assert client.get(f"/history/{job}").json[job]["status"]["messages"][-1][0] == "execution_error"


def test_a_fault_of_a_node_keeps_its_traceback_here(client):
    prompt = api(n1=("TinyFail", {"how": "bug"}), n2=("TinyWrite", {"value": ["1", 0]}))
    error = client.wait(client.queue(prompt))["execution_error"]
    assert error["exception_type"] == "ZeroDivisionError" and "1 / 0" in "".join(error["traceback"])


def test_a_node_that_blocks_says_why(client):
    prompt = api(n1=("TinyFail", {"how": "block"}), n2=("TinyWrite", {"value": ["1", 0]}))
    with client.connect() as page:
        job = client.queue(prompt)
        told = page.ended(job)
    errors = told_of(told, "execution_error", job)
    assert errors and "looked away" in errors[0]["exception_message"]
    assert client.job(job)["status"] == "completed"


def test_a_prompt_that_cannot_run_is_refused_on_the_right_node(client):
    prompt = api(n1=("TinyNumber", {"value": 99}), n2=("TinyWrite", {"value": ["1", 0]}))
    answer = client.post("/prompt", {"prompt": prompt})
    assert answer.status == 400 and answer.json["error"]["type"] == "prompt_outputs_failed_validation"
    assert list(answer.json["node_errors"]) == ["1"]
    wrong = answer.json["node_errors"]["1"]
    assert (wrong["class_type"], wrong["dependent_outputs"]) == ("TinyNumber", ["2"])
    assert wrong["errors"][0]["extra_info"] == {"input_name": "value", "received_value": 99}
    assert "99" in wrong["errors"][0]["details"]


def test_an_unknown_checkpoint_is_refused_with_what_there_is(client):
    prompt = api(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}),
        n2=("PreviewAny", {"source": ["1", 0]}),
    )
    wrong = client.post("/prompt", {"prompt": prompt}).json["node_errors"]["1"]["errors"][0]
    assert wrong["type"] == "value_not_in_list" and "sora-mini" in wrong["details"]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (api(n1=("NoSuchNode", {}), n2=("TinyWrite", {"value": ["1", 0]})), "missing_node_type"),
        (api(n1=("TinyNumber", {})), "prompt_no_outputs"),
        (
            api(
                n1=("TinyAdd", {"a": ["2", 0]}), n2=("TinyAdd", {"a": ["1", 0]}), n3=("TinyWrite", {"value": ["2", 0]})
            ),
            "dependency_cycle",
        ),
        ({}, "invalid_prompt"),
        ({"1": {"inputs": {}}}, "invalid_prompt"),
        (None, "no_prompt"),
    ],
)
def test_what_is_no_prompt_is_refused(client, prompt, kind):
    answer = client.post("/prompt", {"prompt": prompt})
    assert answer.status == 400 and answer.json["error"]["type"] == kind


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_id": "no-uuid"},
        {"prompt_id": "A1B2C3D4-0000-4000-8000-000000000000"},
        {"number": "first"},
        {"number": 10**400},
        {"extra_data": [1]},
        {"extra_data": {"extra_pnginfo": 3}},
        {"partial_execution_targets": "2"},
    ],
)
def test_odd_fields_of_a_prompt_are_refused(client, more):
    assert client.post("/prompt", {"prompt": slow(1), **more}).status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'"x"', b"\xff", b"[" * 100_000, b'{"a": NaN}'])
@pytest.mark.parametrize("path", ["/prompt", "/queue", "/history", "/settings"])
def test_a_body_that_is_no_json_is_refused(client, path, body):
    assert client.post(path, body).status == 400


def test_what_can_be_made_is_made_and_the_rest_is_told(client):
    prompt = slow(1, prefix="left_out") | api(n3=("TinyNumber", {"value": 99}), n4=("TinyWrite", {"value": ["3", 0]}))
    answer = client.post("/prompt", {"prompt": prompt, "client_id": client.name})
    assert answer.status == 200 and list(answer.json["node_errors"]) == ["3"]
    assert list(client.wait(answer.json["prompt_id"])["outputs"]) == ["2"]


def test_only_wanted_outputs_run(client):
    prompt = slow(1, prefix="wanted") | api(n3=("TinyWrite", {"value": ["1", 0], "filename_prefix": "unwanted"}))
    job = client.queue(prompt, partial_execution_targets=["3"])
    assert list(client.wait(job)["outputs"]) == ["3"]


def test_an_id_is_used_once(client):
    job = str(uuid.uuid4())
    assert client.queue(slow(1, prefix="once"), prompt_id=job) == job
    assert client.post("/prompt", {"prompt": slow(1), "prompt_id": job}).status == 400
    client.wait(job)


def test_the_queue_is_listed_ordered_and_emptied(client):
    running = client.queue(slow(3000, 1, "head"))
    client.wait(running, "in_progress")
    last, first = client.queue(slow(1, 2, "last")), client.queue(slow(1, 3, "first"), front=True)
    listed = client.get("/queue").json
    assert [entry[1] for entry in listed["queue_running"]] == [running]
    assert [entry[1] for entry in listed["queue_pending"]] == [first, last]
    assert listed["queue_pending"][0][2] == slow(1, 3, "first")
    assert client.get("/prompt").json == {"exec_info": {"queue_remaining": 3}}
    pending = client.get("/api/jobs?status=pending,in_progress&limit=2").json
    assert pending["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    client.post("/queue", {"delete": [first]})
    client.post("/queue", {"clear": True})
    client.post("/interrupt")
    assert client.wait(running)["status"] == "cancelled"
    assert client.get(f"/api/jobs/{last}").status == client.get(f"/api/jobs/{first}").status == 404


def test_history_is_listed_in_pages_and_forgotten(client):
    made = [client.queue(slow(1, value, "pages")) for value in range(3)]
    for job in made:
        client.wait(job)
    assert list(client.get("/history?max_items=2").json) == made[1:]
    assert list(client.get("/api/jobs?status=completed&limit=1&offset=1").json["jobs"][0].values())[0] == made[1]
    client.post("/history", {"delete": [made[0], 7, "x"]})
    assert client.get(f"/history/{made[0]}").json == {} and made[1] in client.get("/history").json
    for odd in ("limit=0", "limit=x", "offset=y", "status=odd", "sort_by=id", "sort_order=up"):
        assert client.get(f"/api/jobs?{odd}").status == 400


def test_two_clients_hear_of_their_own_jobs_and_of_one_queue(studio):
    one, two, third = (Client(studio.port, uuid.uuid4().hex) for _ in range(3))
    with one.connect() as first, two.connect() as second:
        before = third.queue(slow(3000, 6, "before"))  # none of theirs has ended before both are queued
        jobs = [one.queue(slow(5, 4, "mine")), two.queue(slow(5, 5, "yours"))]
        for page in (first, second):
            page.until("status", status={"exec_info": {"queue_remaining": 3}})
        third.post("/interrupt", {"prompt_id": before})
        told = [first.ended(jobs[0]), second.ended(jobs[1])]
        for messages, own in zip(told, jobs, strict=True):
            of = {m["data"].get("prompt_id", own) for m in messages if isinstance(m, dict)}
            assert of & {before, *jobs} == {own}


def test_what_one_keeps_is_kept_though_another_runs_meanwhile(studio):
    one, two = Client(studio.port, uuid.uuid4().hex), Client(studio.port, uuid.uuid4().hex)
    one.wait(one.queue(slow(2, 7, "turns")))
    two.wait(two.queue(slow(2, 9, "turns")))
    with one.connect() as page:
        job = one.queue(slow(2, 7, "other_turns"))
        told = page.ended(job)
    assert [data["nodes"] for data in told_of(told, "execution_cached", job)] == [["1"]]


def test_a_page_that_opens_again_is_told_what_runs(studio):
    name = uuid.uuid4().hex
    client = Client(studio.port, name)
    with client.connect() as page:
        job = client.queue(slow(2000, 8, "reopened"))
        page.until("progress", prompt_id=job)
    try:
        for again in (Client(studio.port, name), Client(studio.port, uuid.uuid4().hex)):  # the same tab, a new one
            with again.connect() as page:
                told = page.until("progress_state", prompt_id=job)
                assert {"execution_start", "executing"} <= set(kinds(told))
                page.until("progress", prompt_id=job)
    finally:
        client.post("/interrupt")
        client.wait(job)


def test_another_page_is_not_told_of_a_job_whose_own_page_is_open(studio):
    client, other = Client(studio.port, uuid.uuid4().hex), Client(studio.port, uuid.uuid4().hex)
    with client.connect() as page:
        job = client.queue(slow(3000, 9, "private"))
        page.until("progress", prompt_id=job)
        with other.connect() as stranger:
            told = stranger.until("status")
            page.until("progress", prompt_id=job)
            client.post("/interrupt", {"prompt_id": job})
            page.ended(job)
            assert set(kinds([*told, *iter(lambda: stranger.hear(0.2), None)])) == {"status"}


def test_a_tab_that_was_doubled_hears_as_well(client):
    with client.connect() as one, client.connect() as two:
        job = client.queue(slow(3, 2, "doubled"))
        one.ended(job)
        two.ended(job)


def test_a_page_that_does_not_read_holds_up_nobody(client):
    with client.connect(), client.connect() as page:  # the first reads nothing
        prompt = api(n1=("TinyFilm", {"steps": 20, "frames": 5, "value": 3}), n2=("TinyWrite", {"value": ["1", 0]}))
        began = time.monotonic()
        page.ended(client.queue(prompt))
        assert time.monotonic() - began < 10


def test_a_failed_job_is_queued_again_and_a_finished_one_is_not(client):
    prompt = api(n1=("TinyFail", {"how": "user"}), n2=("TinyWrite", {"value": ["1", 0]}))
    job = client.queue(prompt)
    client.wait(job)
    other = Client(client.port, uuid.uuid4().hex)
    with other.connect() as page:
        answer = other.post(f"/api/jobs/{job}/requeue", {"client_id": other.name})
        assert answer.json["prompt_id"] == job
        page.ended(job)  # who asked for it hears of it
    done = client.queue(slow(1, 1, "finished"))
    client.wait(done)
    assert client.post(f"/api/jobs/{done}/requeue").status == 409
    assert client.post(f"/api/jobs/{uuid.uuid4()}/requeue").status == 404


def test_results_that_are_kept_are_forgotten_on_demand(client):
    client.wait(client.queue(slow(2, 3, "freed")))
    client.post("/free", {"unload_models": True, "free_memory": True})
    with client.connect() as page:
        job = client.queue(slow(2, 3, "freed"))
        told = page.ended(job)
    assert [data["nodes"] for data in told_of(told, "execution_cached", job)] == [[]]
