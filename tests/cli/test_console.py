"""Commands where there is no console, or one that cannot be written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from host_support import api, write_pack

from sora_core.cli import main
from sora_core.cli.console import Unfailing

ROOT = Path(__file__).resolve().parents[2]
CODE = f"import sys; sys.path.append({str(ROOT)!r}); from sora_core.cli import main; sys.exit(main())"
FLOW = api(n1=("TinyNumber", {"value": 3}), n2=("TinyWrite", {"value": ["1", 0]}))
ESCAPED = "\x1b]0;owned\x07"


@pytest.fixture
def work(tmp_path) -> Path:
    write_pack(tmp_path / "packs" / "tiny")
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    return tmp_path


def sora(work: Path, streams: str, *words: str) -> subprocess.CompletedProcess:
    """Run the command in a shell that leads its streams elsewhere."""
    line = f'exec "$@" {streams}'
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, "-P", "-c", CODE, *words]
    return subprocess.run(["sh", "-c", line, "sh", *arguments], cwd=work, capture_output=True, env=environment)


RUN = ("run", "flow.json", "--packs-dir", "packs")
NOWHERE = ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.slow
@pytest.mark.parametrize("streams", NOWHERE)
def test_it_works_without_a_console(work, streams):
    done = sora(work, streams, *RUN)
    assert done.returncode == 0, done.stderr
    assert (work / "output" / "tiny_00001_.txt").read_text().startswith("3 ")
    printed = done.stdout.decode().strip()
    assert not printed if ">&-" in streams.split() else printed.endswith("/output/tiny_00001_.txt")


@pytest.mark.slow
def test_an_output_that_is_full_is_told(work):
    done = sora(work, ">/dev/full", *RUN)
    assert done.returncode == 1
    told = done.stderr.decode()
    assert "No space left on device" in told and "fault" not in told and "Traceback" not in told


def test_streams_that_are_not_there(work, monkeypatch):
    """Services and pythonw have none."""
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    assert main(list(RUN)) == 0
    assert main(["run", "nothing.json"]) == 1
    assert (work / "output" / "tiny_00001_.txt").is_file()
    assert sys.stderr is None and sys.stdout is None


def test_a_closed_stream_and_one_of_few_letters_lose_only_words(tmp_path):
    with open(tmp_path / "said", "w", encoding="ascii") as file:
        stream = Unfailing(file)
        assert print("naïve \ud800", file=stream) is None
        stream.flush()
        assert (tmp_path / "said").read_text() == "na\\xefve \\ud800\n"
    print("more", file=stream, flush=True)
    assert not stream.isatty()


def test_titles_and_texts_command_no_terminal(work, monkeypatch, capsys):
    flow = api(n1=("TinyTalk", {"value": 3}), n2=("TinyWrite", {"value": ["1", 0]}), n3=("TinyWrite", {}))
    for entry in flow.values():
        entry["_meta"] = {"title": f"a{ESCAPED}b"}
    (work / "flow.json").write_text(json.dumps(flow))
    monkeypatch.chdir(work)
    assert main(list(RUN)) == 0
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\x07" not in told and "a\\x1b]0;owned\\x07b" in told
    assert 'node 3 "a\\x1b]0;owned\\x07b" (TinyWrite) was left out: input "value": nothing is connected' in told
    flow["1"]["class_type"] = f"x{ESCAPED}"
    (work / "flow.json").write_text(json.dumps(flow))
    assert main(list(RUN)) == 1
    assert "\x1b" not in capsys.readouterr().err


HOSTILE = {
    "deep": "[" * 100_000,
    "digits": '{"1": {"class_type": "TinyNumber", "inputs": {"value": ' + "9" * 5000 + "}}}",
    "meta": json.dumps({"1": {"class_type": "TinyNumber", "_meta": [1]}}),
    "half a character": json.dumps(api(n1=("TinyNumber", {}), n2=("TinyWrite", {"value": "\ud800"}))),
    "half a prefix": json.dumps(
        api(n1=("TinyNumber", {}), n2=("TinyWrite", {"value": 1, "filename_prefix": "\ud800"}))
    ),
    "half a type": json.dumps(api(n1=("\ud800", {}))),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_that_a_file_holds_is_a_fault_of_the_program(work, monkeypatch, capsys, case):
    (work / "flow.json").write_text(HOSTILE[case])
    monkeypatch.chdir(work)
    main(list(RUN))
    told = capsys.readouterr().err
    assert "fault" not in told and "Traceback" not in told, told
    assert told.isprintable() or set(told) - set("\n") == set(told.replace("\n", ""))


def test_files_that_cannot_be_written_are_told(work, monkeypatch, capsys):
    from sora_core.cli import run

    def full(args):
        raise OSError(28, "No space left on device", "here.txt")

    monkeypatch.setattr(run, "run", full)
    monkeypatch.chdir(work)
    assert main(["run"]) == 1
    told = capsys.readouterr().err
    assert told == "sora: here.txt: No space left on device: check the file, its rights and the space on the disk.\n"


ENDED_EARLY = """
import os, signal, sys
from sora_core.cli import main

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy.lib":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)

assert "numpy" not in sys.modules
sys.meta_path.insert(0, Finder())
sys.exit(main(["generate", "a cat", "-o", "a.mp4", "--frames", "1", "--steps", "1"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_a_signal_while_numpy_is_imported_is_not_lost(work):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", ENDED_EARLY], cwd=work, capture_output=True, env=environment)
    assert done.returncode == 143 and not (work / "a.mp4").exists(), done.stderr
