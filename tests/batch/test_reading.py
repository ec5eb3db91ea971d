"""The lines of a batch: what they may ask for, how they are expanded, what is refused and with which words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from batch_support import CAT, plan_of, why, write_batch

from sora_core.batch.reading import MOST_JOBS, read_batch
from sora_core.batch.tasks import TASKS
from sora_core.errors import SoraError


def test_ranges_lists_and_grids_are_expanded(tmp_path):
    path = write_batch(
        tmp_path,
        "# a note",
        {**CAT, "seed": "0..19"},
        "",
        {**CAT, "prompt": ["a cat", "a dog"], "seed": [1, "4..5"], "grid": {"interval": [[0, 1], [0, 0.5]]}},
        {"workflow": "text_to_video", "set": {"SoraSampler.seed": "0..2", "Prompt.text": ["a", "b"]}},
    )
    drafts, broken = read_batch(path)
    assert not broken
    assert [sum(draft.line == line for draft in drafts) for line in (2, 4, 5)] == [20, 12, 6]
    assert [draft.fields["seed"] for draft in drafts[:20]] == list(range(20))
    assert [draft.fields["seed"] for draft in drafts[20:32:2]] == [1, 4, 5] * 2
    assert [draft.fields["interval"] for draft in drafts[20:22]] == [[0, 1], [0, 0.5]]
    assert drafts[-1].fields["set"] == {"SoraSampler.seed": 2, "Prompt.text": "b"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[1]", "write one object"),
        ("{}", "asks for nothing"),
        (r'{"prompt": "a cat \ud83d"}', "half of a character"),
        (r'{"prompt": "a", "negative": "\uDC08\uD83D"}', "half of a character"),
        (r'{"prompt": "a", "grid": {"negative": ["\udfff"]}}', "half of a character"),
        ('{"prompt": "a", "prompt": "b"}', "'prompt' twice"),
        ('{"prompt": "a", "cfg": NaN}', "NaN"),
        ('{"prompt": "a", "seed": ' + "9" * 5000 + "}", "cannot be read"),
        ("[" * 50_000, "nested too deeply"),
        ('{"prompt": "a", "sede": 1}', "did you mean seed"),
        ('{"prompt": "a", "seed": "5..2"}', "from the smaller number"),
        ('{"prompt": "a", "seed": "x"}', 'a range such as "0..19"'),
        ('{"prompt": "a", "seed": "0..99999999"}', f"at most {MOST_JOBS} jobs"),
        ('{"prompt": "a", "seed": "0..9999", "cfg": [1,2,3,4,5,6,7,8,9,10,11]}', f"at most {MOST_JOBS}"),
        ('{"prompt": "a", "seed": []}', "empty list"),
        ('{"prompt": "a", "grid": 3}', "grid is 3"),
        ('{"prompt": "a", "cfg": 1, "grid": {"cfg": [1]}}', "in the line and in its grid"),
        ('{"task": "extnd", "prompt": "a"}', "did you mean extend"),
        ('{"video": "a.mp4", "prompt": "a"}', "what to do with it"),
        ('{"task": "extend", "prompt": "a"}', "needs 'video'"),
        ('{"task": "connect", "first": "a.mp4", "prompt": "a"}', "needs 'second'"),
    ],
)
def test_a_line_that_is_no_job_is_told_with_its_remedy(line, words, tmp_path):
    drafts, broken = read_batch(write_batch(tmp_path, line))
    assert not drafts and words in broken[0].why and broken[0].line == 1


def test_a_character_of_two_escapes_is_a_whole_one(tmp_path):
    drafts, broken = read_batch(write_batch(tmp_path, r'{"prompt": "a cat \ud83d\udc08"}'))
    assert not broken and drafts[0].fields["prompt"] == "a cat \U0001f408"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": 3}, "use a text"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": True}, "steps is true"),
        ({"cfg": "4"}, "cfg is '4'"),
        ({"cfg": 1e300}, "cfg is"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": 2**64}, "seed"),
        ({"sampler": "eulr"}, "eulr"),
        ({"scheduler": "x"}, "scheduler"),
        ({"frames": 7}, "7 frames cannot be made"),
        ({"size": "axb"}, 'write "160x96"'),
        ({"size": "33x32"}, "33"),
        ({"size": [32, 32.5]}, "size is"),
        ({"fps": 0}, "0"),
        ({"interval": 3}, "interval"),
        ({"options": {"nonsense": 1}}, "nonsense"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"model": "none.safetensors"}, "none.safetensors"),
        ({"model": 5}, "model is 5"),
        ({"model": "batch.jsonl"}, "batch.jsonl"),
        ({"lora": "none"}, "no LoRA 'none'"),
        ({"fast": 1}, "fast is 1"),
        ({"name": 4}, "name is 4"),
        ({"cpus": 0}, "cpus is 0"),
        ({"memory": "much"}, "12 GiB"),
        ({"task": "extend", "video": "no.mp4"}, "no file 'no.mp4'"),
        ({"task": "extend", "video": ""}, "name of a file"),
        ({"task": "animate", "image": {"a": "batch.jsonl"}}, "names the frame 'a'"),
    ],
)
def test_settings_are_held_to_the_model_before_anything_runs(change, words, tmp_path):
    assert words in why(tmp_path, {**CAT, **change})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"shots": [["a cat"]], "model": CAT["model"]}, "shot 1"),
        ({"shots": "a cat\n-1s: b", "model": CAT["model"]}, "Line 2"),
        ({"workflow": "text_to_vide"}, "did you mean text_to_video"),
        ({"workflow": "text_to_video", "set": {"Nobody.seed": 1}}, "no node 'Nobody'"),
        ({"workflow": "text_to_video", "set": 3}, "set is 3"),
        ({"workflow": "batch.jsonl"}, ""),
    ],
)
def test_shots_and_workflows_are_checked_too(line, words, tmp_path):
    assert words in why(tmp_path, line)


def test_a_batch_that_cannot_be_read(tmp_path):
    for path, words in ((tmp_path / "no.jsonl", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(SoraError, match=words):
            read_batch(path)
    with pytest.raises(SoraError, match="holds no jobs"):
        read_batch(write_batch(tmp_path, "# nothing", ""))
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(
        b'\xef\xbb\xbf{"prompt": "a cat"}\r\n\xff\n' + b'{"prompt": "' + b"a" * (1 << 21) + b'"}\n{"prompt": "b"}'
    )
    drafts, broken = read_batch(odd)
    assert [draft.line for draft in drafts] == [1, 4]
    assert [(each.line, each.why[:14]) for each in broken] == [(2, "it is not UTF-"), (3, "it is longer t")]


def test_the_same_work_has_one_name_however_it_is_written(tmp_path):
    same = [
        CAT,
        {**CAT, "seed": 0, "negative": "", "scheduler": "simple"},
        {**CAT, "cfg": 1.0, "fps": 8, "size": "32x32", "frames": 5, "sampler": "euler", "name": "other"},
        {**CAT, "width": 32, "cpus": 2, "memory": "1 GiB"},
        {**CAT, "seconds": 0.6},
    ]
    plan = plan_of(tmp_path, *same)
    assert len(plan.jobs) == 1 and plan.twice == [(2, 1), (3, 1), (4, 1), (5, 1)]
    other = [{**CAT, **change} for change in ({"seed": 1}, {"cfg": 1.5}, {"prompt": "A cat"}, {"precision": "bf16"})]
    names = {job.id for job in plan_of(tmp_path, CAT, *other).jobs}
    assert len(names) == 5


USUAL = {
    "generate": {"interval": [0.0, 1], "options": {}, "lora": [], "fast": False, "shift": None},
    "extend": {"seconds": 1, "direction": "forwards"},
    "connect": {"seconds": 1.0},
    "loop": {"seconds": 1},
    "remix": {"strength": 0.6},
    "storyboard": {"size": "32x32"},
}
OTHER = {"expand": "never", "cache": 0.1, "gate": 0.2, "interval": [0, 0.5], "negative": "rain"}


@pytest.mark.parametrize("task", USUAL)
def test_what_a_call_fills_in_may_be_written_or_not(task, tmp_path):
    """Each way to write the same settings has one name, and each other setting another."""
    (tmp_path / "a.mp4").write_bytes(b"one")
    files = dict.fromkeys(TASKS[task].needs, "a.mp4") | {"prompt": "a cat"}
    line = {"model": CAT["model"], "task": task, **files}
    if task == "storyboard":
        line = {"model": CAT["model"], "shots": [["a cat", 1], ["a dog", 1]]}
    plain = plan_of(tmp_path, line).jobs[0].id
    usual = {**USUAL[task], "expand": "auto", "cache": 0.0, "gate": 0, "negative": "", "seed": 0}
    alike = [{**line, name: value} for name, value in usual.items()] + [{**line, **usual}]
    alike += [{**line, name: None} for name in usual]
    assert {job.id for job in plan_of(tmp_path, *alike).jobs} == {plain}
    others = plan_of(tmp_path, line, *({**line, name: value} for name, value in OTHER.items()))
    assert not others.broken and len({job.id for job in others.jobs}) == len(OTHER) + 1


def test_more_jobs_than_memory_has_are_counted_not_listed(tmp_path):
    start = time.process_time()  # what other processes take does not count
    for line in ({"seed": ["0..99999"] * 2000}, {"seed": "0..1000000"}, {"seed": "0..999", "cfg": [1, 2] * 500}):
        assert "at most 100000" in why(tmp_path, {**CAT, **line})
    assert "at most 100000" in why(tmp_path, {"workflow": "text_to_video", "set": {"A.seed": ["0..99999"] * 2000}})
    assert time.process_time() - start < 5


def test_a_link_to_nowhere_is_no_file_and_no_hint(tmp_path):
    (tmp_path / "a.mp4").symlink_to("a.mp4")
    said = why(tmp_path, {**CAT, "task": "extend", "video": "a.mp4"})
    assert "no file 'a.mp4'" in said and "did you mean" not in said


def test_inputs_and_models_count_by_their_content(tmp_path):
    line = {**CAT, "task": "animate", "image": "a.png"}
    (tmp_path / "a.png").write_bytes(b"one")
    first = plan_of(tmp_path, line).jobs[0]
    (tmp_path / "b.png").write_bytes(b"one")
    assert plan_of(tmp_path, {**line, "image": {"0": "b.png"}}).jobs[0].id != first.id  # another call
    assert plan_of(tmp_path, {**line, "image": "b.png"}).jobs[0].id == first.id
    (tmp_path / "a.png").write_bytes(b"two")
    assert plan_of(tmp_path, line).jobs[0].id != first.id
    before = plan_of(tmp_path, CAT).jobs[0]
    model = tmp_path / CAT["model"]
    data = model.read_bytes()
    (tmp_path / "copy.safetensors").write_bytes(data)
    assert plan_of(tmp_path, {**CAT, "model": "copy.safetensors"}).jobs[0].id == before.id
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert plan_of(tmp_path, CAT).jobs[0].id != before.id


def test_names_of_files_hold_nothing_that_harms(tmp_path):
    names = ["../../etc", "a/b\\c", "con", "猫 在 海滩", "x" * 500, "\x1b[2J", "...", "<b>&\"'", "\u202e"]
    jobs = plan_of(tmp_path, *({**CAT, "seed": n, "name": name} for n, name in enumerate(names))).jobs
    stems = [job.stem for job in jobs]
    assert len(set(stems)) == len(names)
    for stem in stems:
        assert not set(stem) & set('/\\<>&"\x1b\u202e\0') and not stem.startswith(".") and len(stem.encode()) < 200
    assert jobs[3].name == "猫_在_海滩"


def test_a_line_with_a_bad_value_makes_none_of_its_jobs(tmp_path):
    plan = plan_of(tmp_path, {**CAT, "cfg": [1, 2, "x"]}, CAT)
    assert [each.line for each in plan.broken] == [1] and [job.line for job in plan.jobs] == [2]
    assert json.dumps(plan.broken[0].why)


def test_the_batch_of_the_page_is_one(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "MANY_MACHINES.md").read_text("utf-8")
    lines = [line.strip() for line in page.splitlines() if line.startswith('    {"')]
    drafts, broken = read_batch(write_batch(tmp_path, *lines))
    assert not broken and [sum(draft.line == line for draft in drafts) for line in range(1, 6)] == [20, 4, 4, 1, 4]
