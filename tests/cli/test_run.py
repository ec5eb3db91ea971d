"""`sora run`: output, exit codes, Ctrl-C in a real process, and what it must not leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import make_workflows
import pytest
from host_support import api, write_pack

from sora_core.cli import main
from sora_core.cli.run import list_workflows, shared_workflows
from sora_core.errors import SoraError

ROOT = Path(__file__).resolve().parents[2]
CODE = f"import sys; sys.path.append({str(ROOT)!r}); from sora_core.cli import main; sys.exit(main())"
FLOW = api(n1=("TinyNumber", {"value": 3}), n2=("TinyWrite", {"value": ["1", 0]}))
SLOW = api(n1=("TinySlow", {"value": 3, "steps": 10000}), n2=("TinyWrite", {"value": ["1", 0]}))

TALKS = api(n1=("TinyTalk", {"value": 3}), n2=("TinyWrite", {"value": ["1", 0]}))


@pytest.fixture
def work(tmp_path) -> Path:
    """A working folder with the tiny pack in `packs` and a workflow."""
    write_pack(tmp_path / "packs" / "tiny")
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    (tmp_path / "slow.json").write_text(json.dumps(SLOW))
    return tmp_path


@pytest.fixture
def sora(work, monkeypatch, capsys):
    """Runs the command in the working folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(work)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["run", *words, "--packs-dir", "packs"])
        return code, *capsys.readouterr()

    return run


def test_run_prints_the_files_it_made(sora, work):
    code, out, err = sora("flow.json", "--output-dir", "made", "--set", "A Number.value=4")
    assert code == 0, err
    made = Path(out.strip())
    assert made == work / "made" / "tiny_00001_.txt" and made.read_text().startswith("4 ")
    assert "[1/2] A Number" in err and "[2/2] TinyWrite" in err


def test_run_prints_json(sora, work):
    code, out, _ = sora("flow.json", "--json")
    report = json.loads(out)
    assert code == 0 and report["files"] == [str(work / "output" / "tiny_00001_.txt")]
    assert set(report["nodes"]) == {"1", "2"} and report["nodes"]["1"]["type"] == "TinyNumber"
    assert all(node["seconds"] >= 0 for node in report["nodes"].values())
    assert report["outputs"]["2"]["files"][0]["filename"] == "tiny_00001_.txt"


def test_on_a_terminal_what_a_node_says_stays_above_the_bar(sora, work, monkeypatch):
    (work / "talks.json").write_text(json.dumps(TALKS))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = sora("talks.json")
    assert code == 0, err
    # A bar is redrawn after a carriage return; a line that stays ends in a newline.
    kept = [line.rsplit("\r", 1)[-1] for line in err.split("\n")[:-1]]
    assert [line for line in kept if "said" in line] == ["    first said", "    second said"]
    assert "" not in kept and "    " not in kept


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_leaves_nothing(work):
    words = [sys.executable, "-P", "-c", CODE, "run", "slow.json", "--packs-dir", "packs"]
    process = subprocess.Popen(
        words,
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while "TinySlow" not in (line := process.stderr.readline()):
        assert line, "the run ended before its first node"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    # The node would go on for 200 s.
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == "" and "Stopped." in err and "Traceback" not in err
    assert not list((work / "output").rglob("*"))


def test_without_a_name_the_shared_workflows_are_listed(sora):
    code, out, err = sora()
    listed = [line.split()[0] for line in out.splitlines()]
    # Those for models of other makers run in ComfyUI alone.
    assert code == 0 and listed == sorted(path.stem for path in make_workflows.bundled())
    others = set(make_workflows.WORKFLOWS.glob("*.json")) - set(make_workflows.bundled())
    assert len(others) >= 2 and not {path.stem for path in others} & set(listed)
    assert "sora run " + listed[0] in err


def test_a_workflow_is_listed_with_what_its_file_says_of_itself(tmp_path, capsys):
    note = {"type": "MarkdownNote", "widgets_values": ["\n# Makes two of one\nmore"]}
    said = {
        "described": {
            "extra": {"info": {"name": "Twice", "description": "Plays it twice.\nThen stops."}},
            "nodes": [note],
        },
        "named": {"extra": {"info": {"name": "Twice"}}},
        "noted": {"nodes": [{"type": "KSampler"}, note]},
        "prompt": FLOW,
        "silent": {"nodes": [], "extra": {}},
        "theirs": {"nodes": [{"type": "UNETLoader", "properties": {"models": [{"name": "x.safetensors"}]}}]},
    }
    (tmp_path / "workflows").mkdir()
    for name, data in said.items():
        (tmp_path / "workflows" / f"{name}.json").write_text(json.dumps(data))
    (tmp_path / "workflows" / "broken.json").write_text("[")
    list_workflows(shared_workflows(tmp_path))
    assert capsys.readouterr().out.splitlines() == [
        "broken",
        "described  Plays it twice.",
        "named      Twice",
        "noted      Makes two of one",
        "prompt",
        "silent",
    ]


BAD = {
    "no such name": (["text_to_vido"], ["no workflow 'text_to_vido'", "did you mean text_to_video"]),
    "no such file": (["none.json"], ["no workflow 'none.json'", "check the path"]),
    "not json": (["broken.json"], ["broken.json is not JSON"]),
    "not a workflow": (["list.json"], ["not a workflow"]),
    "unknown node in --set": (["flow.json", "--set", "7.value=1"], ["no node '7'"]),
    "value out of range": (
        ["flow.json", "--set", "1.value=99"],
        ["Node 1 (TinyNumber)", '"value"', "99", "from 0 to 10"],
    ),
    "no value": (["flow.json", "--set", "1.value"], ["NODE.INPUT=VALUE"]),
    "a node that fails": (["fail.json"], ["Node 1 (TinyFail)", "not to my liking"]),
    "a node with a bug": (["fail.json", "--set", "1.how=bug"], ["Node 1 (TinyFail)", "ZeroDivisionError"]),
    "an output folder that is a file": (
        ["video.json", "--output-dir", "flow.json"],
        ["Node 2 (SaveVideo)", "not a folder"],
    ),
    "an output folder that is a file, for another pack's node": (
        ["slow.json", "--output-dir", "flow.json"],  # its work would take minutes
        ["flow.json is not a folder"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_are_one_or_two_lines(sora, work, case):
    words, expected = BAD[case]
    (work / "broken.json").write_text("{")
    (work / "list.json").write_text("[]")
    (work / "fail.json").write_text(
        json.dumps(api(n1=("TinyFail", {"how": "user"}), n2=("TinyWrite", {"value": ["1", 0]})))
    )
    (work / "video.json").write_text(
        json.dumps(
            api(
                n1=("CreateVideo", {"images": ["3", 0], "fps": 8}),
                n2=("SaveVideo", {"video": ["1", 0]}),
                n3=("TinyImage", {}),
            )
        )
    )
    code, out, err = sora(*words)
    message = [line for line in err.splitlines() if not line.startswith("[")]
    assert code == 1 and out == "" and 1 <= len(message) <= 2, err
    assert message[0].startswith("sora: ") and "Traceback" not in err
    assert all(word in err for word in expected), err


def test_debug_shows_the_traceback(sora, work):
    flow = api(n1=("TinyFail", {"how": "bug"}), n2=("TinyWrite", {"value": ["1", 0]}))
    (work / "fail.json").write_text(json.dumps(flow))
    with pytest.raises(SoraError) as raised:
        sora("fail.json", "--debug")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_pack_that_fails_is_reported_but_not_fatal(sora, work):
    (work / "packs" / "broken").mkdir()
    (work / "packs" / "broken" / "__init__.py").write_text("import there_is_no_such_library")
    code, out, err = sora("flow.json")
    assert code == 0 and out.strip().endswith(".txt")
    assert "the node pack broken did not load" in err and "there_is_no_such_library" in err


def test_inputs_beside_a_workflow_are_found_after_those_of_the_input_folder(sora, work):
    from PIL import Image

    flow = api(n1=("LoadImage", {"image": "a.png"}), n2=("SaveImage", {"images": ["1", 0], "filename_prefix": "b"}))
    (work / "w").mkdir()
    (work / "w" / "flow.json").write_text(json.dumps(flow))
    for folder, level in (("w/inputs", 40), ("input", 200)):
        (work / folder).mkdir()
        Image.new("RGB", (16, 16), (level,) * 3).save(work / folder / "a.png")
        code, out, err = sora("w/flow.json")
        assert code == 0, err
        assert Image.open(out.strip()).getpixel((0, 0))[0] == level
    flow["1"]["inputs"]["image"] = "../flow.json"
    (work / "w" / "flow.json").write_text(json.dumps(flow))
    code, _, err = sora("w/flow.json")
    assert code != 0 and "leads out of" in err


@pytest.mark.slow
def test_what_a_node_says_while_it_runs_is_told(sora, work):
    code, _, err = sora(
        str(ROOT / "workflows" / "text_to_video.json"),
        "--set",
        "Prompt.text=a zorblax in a meadow",
        "--set",
        "SoraSampler.steps=1",
    )
    assert code == 0 and "zorblax" in err.split("Prompt", 1)[1]
