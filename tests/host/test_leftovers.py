"""What processes begin is theirs alone, and what dead ones left is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sora_core import files
from sora_core.files import make_private, own_temp, remove_dead_temps, written_beside
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, time
from sora_core.files import written_beside
with written_beside(sys.argv[1]) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def start(code: str, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    made = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert made.stdout.readline().strip() == "writing"
    return made


def test_parts_of_the_killed_are_removed_and_those_of_the_living_stay(tmp_path):
    killed, living = (start(WRITER, str(tmp_path / f"{name}.mp4")) for name in ("killed", "living"))
    killed.kill()
    killed.wait()
    try:
        assert len(list(tmp_path.iterdir())) == 2
        with written_beside(tmp_path / "mine.mp4") as part:
            part.write_text("whole")
        assert len(list(tmp_path.glob(".living.*.part.mp4"))) == 1
        assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".living")) == ["mine.mp4"]
    finally:
        living.kill()
        living.wait()


def test_parts_of_another_machine_and_others_files_stay(tmp_path):
    dead = 2**22 + 12345  # above the largest number that Linux gives
    others = [f".a.{'0' * 8}.{dead}.0.part.mp4", ".part.mp4", ".b.part.mp4", f"c.{dead}.part.mp4", ".d.1.part.mp4"]
    for name in others:
        (tmp_path / name).write_text("x")
    old = tmp_path / f".e.{dead}.part.mp4"  # as older versions called theirs
    old.write_text("x")
    os.utime(old, (1, 1))
    with written_beside(tmp_path / "mine.mp4") as part:
        part.write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, "mine.mp4"])


def test_claims_of_the_dead_are_removed(tmp_path):
    dead = 2**22 + 12345
    claims = {"dead": f"{files._machine()} {dead}", "mine": files.owner(), "other": f"00000000 {dead}", "odd": "x"}
    for name, text in claims.items():
        (tmp_path / f".{name}.mp4.claim").write_text(text)
    files.ensure_writable(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".{name}.mp4.claim" for name in ("mine", "odd", "other")]


def test_two_writers_of_one_name_have_parts_of_their_own(tmp_path):
    with written_beside(tmp_path / "a.mp4") as one, written_beside(tmp_path / "a.mp4") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.fixture
def temps(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files._temp_of.cache_clear()
    yield tmp_path
    files._temp_of.cache_clear()


def test_the_temp_folder_is_private_and_nobody_can_guess_it(temps):
    folders = Folders()
    assert not list(temps.iterdir())  # made when it is needed
    path, _ = folders.next_file("preview", ".png", "temp")
    assert path.parent == folders.temp == own_temp()
    assert folders.temp.stat().st_mode & 0o777 == 0o700
    assert len(folders.temp.name) > 32 + len("sora-")
    folders.discard_temp()
    assert not list(temps.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="rights are Windows' own")
def test_a_temp_folder_that_others_can_read_is_not_taken(temps):
    own_temp().mkdir(mode=0o777)
    own_temp().chmod(0o777)
    with pytest.raises(files.SoraError, match="somebody else's"):
        make_private(own_temp())


def test_a_host_removes_the_temp_folders_of_the_dead_alone(temps):
    dead = 2**22 + 12345
    gone = [temps / f"sora-{files._machine()}-{dead}-{'a' * 32}", temps / f"sora-{dead}"]
    stay = [
        temps / f"sora-{files._machine()}-{os.getpid()}-{'b' * 32}",
        temps / f"sora-{'0' * 8}-{dead}-{'c' * 32}",
        temps / "sora-mine",
    ]
    for folder in (*gone, *stay):
        folder.mkdir()
        (folder / "preview.png").write_text("x")
    link = temps / f"sora-{files._machine()}-{dead}-{'d' * 32}"
    link.symlink_to(stay[2])
    Host(packs=[])
    assert not any(folder.exists() for folder in gone)
    assert all((folder / "preview.png").exists() for folder in stay)
    remove_dead_temps()


def test_the_temp_folder_goes_when_the_process_ends(tmp_path):
    code = (
        "from sora_core.host.desk.folders import Folders; p, _ = Folders().next_file('a', '.png', 'temp');"
        "p.write_text('x'); print(p)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert str(tmp_path) in done.stdout
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("sora-")]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_cleans_up_and_says_so(tmp_path, number, code):
    program = """
import importlib, sys, types
cli = importlib.import_module("sora_core.cli.main")
from sora_core.files import written_beside
import time
def run(args):
    with written_beside(sys.argv[1]) as part:
        part.write_text("half")
        print("writing", flush=True)
        time.sleep(60)
module = types.SimpleNamespace(run=run, OWN_PARSER=True)
cli.importlib.import_module = lambda *names: module
sys.exit(cli.main(["run"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "a.mp4")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # who runs the tests may ignore it, as nohup does
    )  # fmt: skip
    assert made.stdout.readline().strip() == "writing"
    time.sleep(0.1)
    made.send_signal(number)
    _, told = made.communicate(timeout=30)
    assert made.returncode == code
    assert told.strip() == "Stopped."
    assert not list(tmp_path.iterdir())


CLAIMER = """
import resource, signal, sys
from pathlib import Path
from sora_core.errors import SoraError
from sora_core.files import claim
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # names can be made, and nothing be written, as on a full disk
try:
    claim(Path(sys.argv[1]))
except SoraError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_full_disk_leaves_no_claim(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CLAIMER, str(tmp_path / "a_00001_.mp4")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "The disk is full" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_claims_that_nothing_stands_in_go_after_a_day(tmp_path):
    fresh, old = tmp_path / ".a.mp4.claim", tmp_path / ".b.mp4.claim"
    for path in (fresh, old):
        path.touch()
    os.utime(old, (time.time() - 100_000,) * 2)
    with written_beside(tmp_path / "c.mp4") as part:
        part.write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.mp4.claim", "c.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="counts characters")
@pytest.mark.parametrize("stem", ["a" * 251, "\u4e00" * 83, "\U0001f408" * 62], ids=["Latin", "Han", "emoji"])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path, stem):
    with written_beside(tmp_path / f"{stem}.mp4") as part:
        part.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [f"{stem}.mp4"]


def test_what_another_machine_left_goes_in_the_end(tmp_path):
    """After a day where no machine is named, after a week where another is; never what a living process has."""
    living, dead, day = os.getpid(), 2**22 + 12345, 86_400
    parts = {
        f".own.{files._machine()}.{living}.0.part.mp4": (30 * day, True),
        f".gone.{files._machine()}.{dead}.0.part.mp4": (0, False),
        f".week.00000000.{living}.0.part.mp4": (6 * day, True),
        f".weeks.00000000.{living}.0.part.mp4": (8 * day, False),
        f".old.{living}.part.mp4": (day - 1000, True),
        f".older.{living}.part.mp4": (day + 1000, False),
    }
    claims = {
        "own": (f"{files._machine()} {living}", 30 * day, True),
        "gone": (f"{files._machine()} {dead}", 0, False),
        "week": (f"00000000 {dead}", 6 * day, True),
        "weeks": (f"00000000 {living}", 8 * day, False),
        "nameless": (f"{living}", day - 1000, True),
        "old": (f"{living}", day + 1000, False),
        "empty": ("", day - 1000, True),
        "emptied": ("", day + 1000, False),
    }
    every = [(name, "", age, stays) for name, (age, stays) in parts.items()]
    every += [(f".{name}.mp4.claim", text, age, stays) for name, (text, age, stays) in claims.items()]
    for name, text, age, _ in every:
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    files.ensure_writable(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {name for name, _, _, stays in every if stays}


def test_an_empty_claim_keeps_its_name_for_a_day(tmp_path):
    mark = tmp_path / ".a.mp4.claim"
    mark.touch()
    assert not files.claim(tmp_path / "a.mp4")
    os.utime(mark, (time.time() - 100_000,) * 2)
    files.ensure_writable(tmp_path)
    assert files.claim(tmp_path / "a.mp4")
    files.release(tmp_path / "a.mp4")
