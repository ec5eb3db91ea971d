"""Workers that differ from the driver: other code, other folders, models that travel; what listens at an address."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from batch_support import CAT, Watch, plan_of
from foreign_nodes import Node, answering, farm, possible
from nodes_support import TINY

from sora_core.batch import connection, fitness, handshake, stock, workers
from sora_core.batch.connection import ask, connected
from sora_core.batch.jobs import Weights, content_hash
from sora_core.errors import SoraError
from sora_core.files import own_temp

ALONE = "SORA_TEST_ALONE"  # set in a process that runs one test
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # an empty frame of HTTP/2


def frame(kind: int, flags: int, body: bytes) -> bytes:
    """One frame of the first call."""
    return len(body).to_bytes(3, "big") + bytes((kind, flags, 0, 0, 0, 1)) + body


def test_what_speaks_http2_and_is_no_ray_head_is_told_in_seconds(monkeypatch):
    page = SETTINGS + frame(1, 4, b"\x8d") + frame(0, 1, b"<p>Not here</p>")
    monkeypatch.setattr("sora_core.batch.connection.PATIENCE", 60)
    for said in (page, b"SSH-2.0-x\r\n"):
        with answering(said) as port, pytest.raises(SoraError, match="no Ray head"):
            ask(f"127.0.0.1:{port}")
    # Not a message for each byte either: the whole answer has its time, of 500 s that this one would take.
    with monkeypatch.context() as patch:
        patch.setattr("sora_core.batch.connection.PATIENCE", 0.3)
        started = time.monotonic()
        for said, pause in ((SETTINGS, 0.0), (SETTINGS * 10_000, 0.05)):
            with answering(said, pause) as port, pytest.raises(SoraError, match="Nobody answers"):
                ask(f"127.0.0.1:{port}")
        assert time.monotonic() - started < 30
    # One that asks for a token refuses the call, as gRPC does; over TLS Ray itself asks.
    with answering(SETTINGS + frame(1, 5, b"\x88")) as port:
        ask(f"127.0.0.1:{port}")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with answering(b"") as port:
        ask(f"127.0.0.1:{port}")


def test_other_code_of_the_same_version_is_told(tmp_path, monkeypatch):
    package = tmp_path / "sora_core"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "about.py").write_text('VERSION = "1.0"\n')
    monkeypatch.syspath_prepend(str(tmp_path))

    def versions() -> dict:
        with monkeypatch.context() as patch:
            for name in ("sora_core", "sora_core.about"):
                patch.delitem(sys.modules, name, raising=False)
            return handshake.versions()

    here = versions()
    (package / "about.py").write_bytes(b'VERSION = "1.0"\r\n')
    assert handshake.differs(here, versions()) == ""  # a checkout on Windows
    (package / "sampling.py").write_text("STEPS = 4\n")
    assert "has other code of sora-nodes 1.0" in handshake.differs(here, versions())


def test_a_package_of_which_only_the_description_is_left_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "torch-2.0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert handshake.versions()["torch"] == ""


def test_a_model_comes_to_workers_that_share_a_home_and_pieces_may_come_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = os.urandom(30_000)
    source = tmp_path / "a.safetensors"
    source.write_bytes(data)
    wanted = Weights("a", source, content_hash(source), len(data))
    source.unlink()
    for offset in range(0, len(data), 10_000):
        for node in ("one", "two", "two"):
            assert workers.take_part(wanted, offset, data[offset : offset + 10_000], node) == ""
    found = stock.find_weights(wanted)
    assert found is not None and found.read_bytes() == data
    assert [path.name for path in found.parent.iterdir()] == [found.name]
    # One that was stopped on the way goes after an hour, one that is on its way stays.
    found.unlink()
    for node in ("old", "new"):
        workers.take_part(wanted, 0, data[:10], node)
    old, new = (found.parent / f".{wanted.digest}.{node}.coming" for node in ("old", "new"))
    os.utime(old, (time.time() - 4000,) * 2)
    stock.tidy()
    assert new.exists() and not old.exists()


def test_an_input_is_kept_with_the_process_where_there_is_no_home(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"picture")
    given = plan_of(tmp_path, {**CAT, "task": "animate", "image": "a.png"}).jobs[0].inputs[0]
    (tmp_path / "nobody").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nobody"))
    fetched = []
    for _ in range(2):
        path = stock.keep_input(given, lambda: fetched.append(1) or b"picture")
        assert path.read_bytes() == b"picture" and own_temp() in path.parents
    assert len(fetched) == 1


def run_alone(request: pytest.FixtureRequest) -> None:
    """Run the test that asks in a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_"))}
    line = [sys.executable, "-m", "pytest", "-n0", "-m", "slow", "-p", "no:cacheprovider", request.node.nodeid]
    done = subprocess.run(line, cwd=request.config.rootpath, env=env | {ALONE: "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout[-4000:]


@pytest.mark.slow
@pytest.mark.skipif(bool(possible()), reason=possible() or "-")
def test_a_worker_with_files_of_its_own(tmp_path, monkeypatch, capfd, request):
    """The short form of tests/benchmarks/many_foreign.py, in a process of its own: Ray confuses two clusters in one."""
    if ALONE not in os.environ:
        run_alone(request)
        return
    from sora_core.batch.cluster import Round
    from sora_core.batch.here import Stopped, run_here
    from sora_core.batch.records import Records

    def broken() -> None:
        raise ImportError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(fitness, "PIECE", 300_000)
    driver = tmp_path / "driver"
    driver.mkdir()
    jobs = plan_of(driver, {**CAT, "seed": "0..1"}).jobs
    here, there, model = Watch(), Watch(), driver / TINY
    run_here(jobs, Records(tmp_path / "here"), here)
    # A short name: those of Ray's sockets are limited.
    with tempfile.TemporaryDirectory(prefix="mf") as folder, farm(Path(folder)) as cluster:
        small = 'mkdir -p "$ME/cache"; mount -t tmpfs -o size=500k none "$ME/cache"'
        cluster.add(Node("one", hidden=[driver]), Node("small", hidden=[driver], setup=small))
        with connected(cluster.address) as ray:

            def checked(send: bool, keep_going: bool = False) -> list[fitness.Node]:
                return fitness.checked(ray, jobs, None, there, send_models=send, keep_going=keep_going)

            with pytest.raises(SoraError, match=rf"lacks {TINY} .*--send-models[^\n]*\nNothing was started"):
                checked(False)
            whole = model.read_bytes()
            model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            with pytest.raises(SoraError, match="was changed since the plan"):
                checked(True)
            model.write_bytes(whole)
            fit = checked(True, keep_going=True)
            assert [node.name for node in fit] == ["one"]
            assert any("small cannot take" in line and "disk is full" in line for line in there.said)
            broke = fitness._ask(ray, fit, broken)[fit[0].id]
            assert broke.startswith("cannot work (ImportError: libtorch_cpu.so")
            Round(ray, jobs, Records(tmp_path / "there"), there, fit, None).go()
            cluster.nodes[0].kill()
            started = time.monotonic()
            assert "does not answer" in fitness._ask(ray, fit, handshake.versions)[fit[0].id]
            assert time.monotonic() - started < 60
            late = Watch()
            with pytest.raises(Stopped, match="No worker is left: its machine is gone"):
                Round(ray, jobs, Records(tmp_path / "late"), late, fit, None).go()
            assert late.records == []
            # Ray would wait for a head that is gone, and end this process after a minute.
            monkeypatch.setattr(connection, "GIVEN_UP", 0.5)
            rest = Round(ray, jobs, Records(tmp_path / "late"), late, fit, None)
            cluster.head.kill()
            time.sleep(1)
            with pytest.raises(Stopped, match="head of the cluster does not answer .* goes on from here"):
                rest._count()
        left = sorted(path.name for path in Path(folder).glob("*/cache/sora/models/*"))
    made = [{record["job"]: record["latent"] for record in watch.records} for watch in (here, there)]
    assert made[0] == made[1] and len(made[0]) == 2
    assert left == [f"{jobs[0].models[0].digest}.safetensors"]
    assert "raylet" not in "".join(capfd.readouterr())
