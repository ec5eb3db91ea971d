"""`sora render --ray`: what is said before a batch begins, and a batch that goes over workers which die."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from batch_support import CAT, Watch, files_of, plan_of, results, start, write_batch

from sora_core.batch import handshake, stock, workers
from sora_core.batch.both import join
from sora_core.batch.connection import ask
from sora_core.batch.fitness import Node, enough
from sora_core.batch.jobs import Weights, content_hash
from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.provenance.credentials.keys import config_folder
from sora_core.safety.policy import load_policy

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


@pytest.fixture()
def listener():
    """A port where something answers, but no Ray."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            line.close()

    threading.Thread(target=answer, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def test_an_address_that_nobody_answers_is_told_in_seconds(listener):
    start = time.monotonic()
    for address, words in (
        ("127.0.0.1:9", "Nobody answers at 127.0.0.1:9"),
        (f"127.0.0.1:{listener}", "is no Ray head"),
        ("127.0.0.1", "write HOST:PORT"),
        ("127.0.0.1:99999", "write HOST:PORT"),
        ("a b:1", "Nobody answers"),
        ("ray://127.0.0.1:10001", "on a machine of the cluster"),
    ):
        with pytest.raises(SoraError, match=words):
            ask(address)
    assert time.monotonic() - start < 20


def test_without_ray_the_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["render", str(write_batch(tmp_path, CAT)), "--ray", "local"]) == 1
    assert "pip install 'sora-nodes[ray]'" in capsys.readouterr().err


def test_versions_are_compared_and_builds_are_not():
    here = {"sora": "1.0", "torch": "2.13.0+cpu", "code": "a"}
    assert handshake.differs(here, {**here, "torch": "2.13.0+cu130"}) == ""
    assert "has torch 2.12.0" in handshake.differs(here, {**here, "torch": "2.12.0"})
    assert "has sora-nodes 0.9" in handshake.differs(here, {**here, "sora": "0.9"})
    assert "has no sora-nodes" in handshake.differs(here, {"sora": "", "torch": "", "code": ""})
    assert handshake.versions()["sora"]


def test_a_job_that_no_worker_has_room_for(tmp_path):
    small, large = plan_of(tmp_path, CAT, {**CAT, "seed": 1, "memory": "900 GiB"}).jobs
    nodes = [Node("a", "one", 4, 0, 8 * GIB), Node("b", "two", 64, 0, 2 * GIB)]
    with pytest.raises(SoraError, match="needs 900 GiB of memory; the largest worker, one, has 8.00 GiB"):
        enough([small, large], nodes, keep_going=False)
    jobs, left = enough([small, large], nodes, keep_going=True)
    assert jobs == [small] and left[0][0] == large


def test_models_are_found_by_hash_and_arrive_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = bytes(range(256)) * 100
    source = tmp_path / "a.safetensors"
    source.write_bytes(data)
    wanted = Weights("a", source, content_hash(source), len(data))
    assert stock.find_weights(wanted) == source
    source.unlink()
    assert stock.lacking([wanted]) == [wanted]
    for offset in range(0, len(data), 10_000):
        assert workers.take_part(wanted, offset, data[offset : offset + 10_000]) == ""
    found = stock.find_weights(wanted)
    assert found is not None and found.read_bytes() == data and not list(found.parent.glob(".*"))
    found.unlink()
    assert "arrived changed" in workers.take_part(wanted, 0, data[:-1] + b"x") and stock.find_weights(wanted) is None
    assert "do not follow" in workers.take_part(wanted, 5, data)
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "other name.safetensors").write_bytes(data)
    monkeypatch.setenv(stock.FOLDERS, str(tmp_path / "farm"))
    assert stock.find_weights(wanted) == tmp_path / "farm" / "other name.safetensors"


def test_an_input_is_fetched_once_a_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "a.png").write_bytes(b"picture")
    given = plan_of(tmp_path, {**CAT, "task": "animate", "image": "a.png"}).jobs[0].inputs[0]
    fetched = []

    def fetch(data):
        return lambda: fetched.append(1) or data

    assert stock.keep_input(given, fetch(b"picture")) == stock.keep_input(given, fetch(b"picture"))
    assert len(fetched) == 1
    stock.keep_input(given, fetch(b"")).write_bytes(b"damaged")
    with pytest.raises(SoraError, match="arrived changed"):
        stock.keep_input(given, fetch(b"other"))


def policy(folder, name, text):
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\n{text}')
    return load_policy(path)


def test_a_worker_obeys_its_own_policy_and_the_senders(tmp_path, monkeypatch):
    jobs = plan_of(tmp_path, {**CAT, "prompt": "a man stabs a woman"}).jobs
    mild = '[prompt]\naction = "off"\n[frames]\naction = "off"\n'
    policy(tmp_path, "own", f"locked = true\n{mild}")
    monkeypatch.setenv("SORA_POLICY", str(tmp_path / "own.toml"))
    # Its own, locked one lets the words through; the sender's does not.
    answer = workers.make(jobs[0], policy(tmp_path, "sent", '[prompt]\naction = "block"\n'), lambda ref: b"", {})
    assert answer["state"] == "refused" and "files" not in answer
    # The other way round.
    policy(tmp_path, "own", 'locked = true\n[prompt]\naction = "block"\n')
    answer = workers.make(jobs[0], policy(tmp_path, "sent", mild), lambda ref: b"", {})
    assert answer["state"] == "refused"
    # One that marks less than the sender asks for is said before a batch.
    policy(tmp_path, "own", "locked = true\n[provenance]\nwatermark = false\n")
    with pytest.raises(SoraError, match=r"marks files less.*provenance.watermark"):
        join(policy(tmp_path, "sent", ""))
    assert "marks files less" in workers.look(policy(tmp_path, "sent", ""), ())["unfit"]
    monkeypatch.setenv("SORA_POLICY", str(tmp_path / "none.toml"))
    assert "There is no policy" in workers.look(None, ())["unfit"]


def test_a_worker_makes_what_this_process_makes(tmp_path, monkeypatch):
    from sora_core.batch.here import run_here
    from sora_core.batch.records import Records

    jobs = plan_of(tmp_path, CAT).jobs
    watch = Watch()
    run_here(jobs, Records(tmp_path / "out"), watch)
    answer = workers.make(jobs[0], None, lambda ref: b"", {})
    assert answer["told"]["latent"] == watch.records[0]["latent"] and len(answer["files"]) == 1
    # What travels to a worker holds no key.
    secret = (config_folder() / "self-made.pem").read_text().splitlines()
    sent = pickle.dumps((jobs[0], load_policy()))
    assert not any(line.encode() in sent for line in secret if len(line) > 40)


@pytest.mark.slow
def test_a_batch_goes_over_workers_that_die(monkeypatch, capsys):
    """The short form of tests/benchmarks/many.py: a killed worker, and `sora render` killed."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import many_kill
    import many_render

    told = many_kill.run(short=True, kills=1)
    assert told["files"] == told["jobs"] == told["latents equal to the local run's"] == 10
    assert told["kills"] == 1 and told["jobs that ended twice"] == 0 and told["failed"] == []
    assert told["worker processes seen"] >= 2
    assert capsys.readouterr().out == ""  # stdout is for files: what Ray tells goes to stderr
    told = many_render.run(short=True, kills=3)
    assert told["files"] == told["jobs"] == told["finished, files as their records say"] == 10
    assert told["files lost or made again"] == 0 and told["exit code of the last call"] == 0
    assert "ray" in sys.modules
    assert files_of(Path.cwd()) == []


def listening(process: int) -> set[str]:
    """The addresses, hex as Linux tells them, at which a process and its descendants listen."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    family = {process}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    sockets = set()
    for link in (link for member in family for link in Path(f"/proc/{member}/fd").glob("*")):
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(link))
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_local_cluster_is_open_to_this_machine_alone_and_ends_with_ctrl_c(tmp_path):
    pytest.importorskip("ray")
    write_batch(tmp_path, {**CAT, "seed": "0..99"})
    process = start(tmp_path, "batch.jsonl", "--ray", "local", "--workers", "1")
    for _ in range(3):
        assert process.stdout.readline()
    found = listening(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert found and found <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    # What was under way is not cancelled one by one: Ray may abort where an answer crosses that.
    assert process.returncode == 130 and said.rstrip().endswith("Stopped."), said[-2000:]
    assert len(results(tmp_path / "batch")) >= 3
