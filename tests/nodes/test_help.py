"""Every node has a help page in both languages, which says what the schema says and more, and shows a graph."""

from __future__ import annotations

import json

import make_help
import make_workflows
import pytest
from help_graphs import help_graphs
from PIL import Image

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def schemas() -> dict:
    return make_help.schemas()


def test_pages_are_up_to_date():
    """Run `python tests/makers/make_help.py` after a change of a schema, a translation or the prose."""
    assert make_help.missing() == []
    made = make_help.pages()
    saved = {path.relative_to(make_help.PAGES).as_posix(): path for path in make_help.PAGES.rglob("*.md")}
    assert set(saved) == set(made)
    assert [name for name, path in saved.items() if path.read_text(encoding="utf-8") != made[name]] == []


@pytest.mark.parametrize("language", make_help.LANGUAGES)
def test_a_page_names_everything_and_says_more_than_the_tooltips(schemas, language):
    texts = make_help.locale(language)
    for node_id, schema in schemas.items():
        page = make_help.page(node_id, schema, language)
        text = texts[node_id]
        for told in [*text["inputs"].values(), *text["outputs"].values()]:
            assert f"**{told['name']}**" in page and told["tooltip"].replace("|", "\\|") in page, node_id
        said = make_help.prose(language)[node_id]
        assert len(said["about"]) > 1.2 * len(text["description"]) and text["description"] not in said["about"], node_id
        for name, more in said.get("inputs", {}).items():
            assert more not in text["inputs"][name]["tooltip"], (node_id, name)


def test_a_page_gives_units_and_ranges(schemas):
    page = make_help.page("SoraExtend", schemas["SoraExtend"], "en")
    (line,) = [line for line in page.splitlines() if line.startswith("| **seconds**")]
    assert "default `1`, 0.05 to 60, steps of 0.25" in line
    assert "VIDEO / IMAGE" in page and "one of `forwards`, `backwards`, `both`" in page
    # What there is to choose on this machine is nobody else's business, and options of a choice have a table.
    model = make_help.page("SoraLoadModel", schemas["SoraLoadModel"], "en")
    assert "default `sora-mini`.*" in model and "one of `none`" not in model
    assert "## Options of sampler" in make_help.page("SoraSampler", schemas["SoraSampler"], "en")


def test_a_gap_is_noticed(monkeypatch, schemas):
    """A new node or input without words, and words for what there is not."""
    original = {language: make_help.prose(language) for language in make_help.LANGUAGES}

    def gaps(change) -> list[str]:
        made = json.loads(json.dumps(original))
        change(made)
        monkeypatch.setattr(make_help, "prose", made.__getitem__)
        return make_help.missing()

    assert gaps(lambda made: None) == []
    assert gaps(lambda made: made["zh"].pop("SoraLoop"))[:2] == [
        "help/zh.toml: SoraLoop has no about",
        "help/zh.toml: SoraLoop has no use",
    ]
    (gone,) = gaps(lambda made: made["en"].update(SoraGone={"about": "a", "use": "b"}))
    assert gone == "help/en.toml: no such node SoraGone"
    found = gaps(lambda made: made["en"]["SoraLoop"]["inputs"].update(gone="x"))
    assert "help/en.toml: SoraLoop has no such input gone" in found
    assert "SoraLoop.inputs.gone is in one language only" in found
    texts = make_help.locale("zh")
    texts["SoraLoop"]["inputs"].pop("seconds")
    monkeypatch.setattr(make_help, "locale", lambda language: texts)
    assert "help/zh.toml: SoraLoop has no inputs.seconds" in gaps(lambda made: None)


def test_every_page_has_a_picture_and_all_are_small(schemas):
    folder = make_help.PAGES / "pictures"
    shown = {make_help.PICTURES[node_id] for node_id in schemas}
    assert shown == {path.stem for path in folder.iterdir()}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.5 * MEGABYTE
    assert all(Image.open(path).width >= 800 for path in folder.iterdir())
    # A picture shows the node that it is for.
    others = {name: entry.graph for name, entry in make_workflows.MODEL_WORKFLOWS.items()}
    graphs = make_workflows.graphs() | help_graphs() | others
    for node_id in schemas:
        assert node_id in {kind for kind, _ in graphs[make_help.PICTURES[node_id]].values()}, node_id


def test_the_pack_serves_them():
    """ComfyUI serves WEB_DIRECTORY, and its frontend looks for docs in there; `[tool.comfy] web` besides would win."""
    from sora_core.host.packs import Registry

    pack = Registry().load_pack(make_help.ROOT)
    assert pack.error is None and pack.web_folder == make_help.PAGES.parent
