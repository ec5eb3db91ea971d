"""What packs bring besides nodes: templates, blueprints, translations, scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host_support import write_pack

from sora_core.host.desk.places import Places
from sora_core.host.graph.workflow import Link, Node, Workflow
from sora_core.host.packs import Registry
from sora_core.host.run import pace
from sora_core.host.shelf import Shelf


def graph(*types: str, **more: object) -> str:
    return json.dumps({"nodes": [{"id": i, "type": kind} for i, kind in enumerate(types)], **more})


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture()
def shelf(tmp_path):
    one, two = write_pack(tmp_path / "one"), write_pack(tmp_path / "two")
    inner = {"definitions": {"subgraphs": [{"id": "abc", "nodes": [{"type": "TinyAdd"}]}]}}
    info = {"extra": {"info": {"name": "Hello", "description": "Says it."}, "linearMode": True}}
    write(one / "workflows" / "hello.json", graph("TinyNumber", "abc", "MarkdownNote", **inner, **info))
    write(one / "workflows" / "text_to_video.json", graph("TinyNumber"))
    write(one / "workflows" / "foreign.json", graph("TinyNumber", "UNETLoader"))
    write(one / "workflows" / "broken.json", "{")
    write(one / "workflows" / "odd.json", '{"nodes": [3], "definitions": 7}')
    write(two / "examples" / "hello.json", graph("TinyAdd"))
    write(one / "subgraphs" / "Whole Job.json", graph("abc", **inner))
    write(one / "locales" / "en" / "main.json", '{"a": {"x": 1}, "b": 1}')
    write(two / "locales" / "en" / "main.json", '{"a": {"y": 2}, "b": 2}')
    write(two / "locales" / "zh" / "nodeDefs.json", '{"TinyAdd": {}}')
    write(two / "locales" / "de" / "main.json", "{")
    registry = Registry()
    registry.load_packs([one, two])
    registry.packs[0].web_folder = one / "web"
    write(one / "web" / "deep" / "script.js", "")
    write(one / "web" / "docs" / "page.md", "")
    return Shelf(registry)


def test_templates_open_without_a_missing_node_and_each_is_there_once(shelf):
    assert list(shelf.templates) == ["text_to_video", "hello"]
    assert shelf.templates["hello"].pack == "one"
    (started,) = shelf.index()
    first, hello, form = started["templates"]
    assert (first["title"], first["isApp"]) == ("Text to video", False)
    assert (hello["title"], hello["description"], hello["isApp"]) == ("Hello", "Says it.", False)
    assert form == {**hello, "name": "hello.app", "isApp": True}


def test_a_template_opens_as_a_graph_and_as_a_form(shelf):
    opened = {name: shelf.template(name)[1]["extra"]["linearMode"] for name in ("hello", "hello.app")}
    assert opened == {"hello": False, "hello.app": True}
    assert shelf.template("text_to_video") and not shelf.template("nothing.app")


def test_templates_have_names_in_other_languages(shelf):
    shelf.packs["two"].folder.joinpath("locales", "zh", "main.json").write_text(
        '{"templateWorkflows": {"template": {"Getting Started": {"hello_app": "你好"}}}}', encoding="utf-8"
    )
    (started,) = shelf.index("zh")
    assert [template["title"] for template in started["templates"]] == ["Text to video", "Hello", "你好"]
    assert shelf.index("xx") == shelf.index()


def test_blueprints_have_a_name_that_lasts(shelf):
    ((key, leaf),) = shelf.blueprints.items()
    assert (leaf.name, key) == ("Whole Job", leaf.id) and len(key) == 64


def test_translations_of_all_packs_are_put_together(shelf):
    words = shelf.translations()
    assert words["en"] == {"a": {"x": 1, "y": 2}, "b": 2} and words["zh"] == {"nodeDefs": {"TinyAdd": {}}}


def test_scripts_are_listed_by_pack(shelf):
    assert shelf.scripts() == [("one", "deep/script.js")]


def test_the_ends_of_what_uses_a_node():
    links = {"1": [], "2": ["1"], "3": ["1", "2"], "4": ["2"], "5": []}
    nodes = {i: Node(i, "T", {f"i{n}": Link(source, 0) for n, source in enumerate(of)}) for i, of in links.items()}
    ends = Workflow(nodes).ends(["1", "2", "4", "5"])
    assert {node: sorted(found) for node, found in ends.items()} == {
        "1": ["3", "4"],
        "2": ["3", "4"],
        "4": ["4"],
        "5": ["5"],
    }


def test_the_time_that_is_left(monkeypatch):
    clock = iter([10.0, 12.0, 14.0, 15.0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(clock))
    found = pace.Pace()
    assert [found.left(done, 5) for done in (1, 2, 3)] == [None, 6.0, 4.0]
    assert found.left(1, 5) is None  # counted anew
    assert [pace.duration(s) for s in (0.4, 59.4, 60, 125)] == ["0 s", "59 s", "1 min 0 s", "2 min 5 s"]


def test_visitors_read_names_and_not_where_things_lie(tmp_path):
    places = Places({"input": tmp_path / "a" / "input", ".": tmp_path / "a"})
    told = {
        "error": [
            f"no {tmp_path}/a/input/cat.png\n{tmp_path}/a/x.json",
            "see /etc/sora/policy.toml or http://a.b/c/d",
            3,
        ]
    }
    assert places.hide(told) == {"error": ["no input/cat.png\n./x.json", "see policy.toml or http://a.b/c/d", 3]}
