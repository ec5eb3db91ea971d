"""The sources of the frontend extension: small, without a build, and without a way out."""

from __future__ import annotations

import re
from pathlib import Path

JS = Path(__file__).resolve().parents[2] / "web" / "js"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(JS.glob("*.js"))}


def test_they_are_small():
    assert sum(text.count("\n") for text in SOURCES.values()) < 1150
    assert all(len(line) <= 120 for text in SOURCES.values() for line in text.split("\n"))


def test_nothing_is_fetched_from_elsewhere():
    styles = (JS / "sora.css").read_text(encoding="utf-8")
    assert not [name for name, text in {**SOURCES, "sora.css": styles}.items() if re.search(r"https?:|//\w", text)]
    imports = {found for text in SOURCES.values() for found in re.findall(r'from "([^"]+)"', text)}
    ours = {f"./{name}" for name in SOURCES}
    assert imports - ours == {"../../../scripts/app.js", "../../../scripts/api.js"}


def test_every_word_is_said_in_both_languages_and_none_is_left_over():
    table = SOURCES["shared.js"].split("const WORDS = {")[1].split("\n};")[0]
    rows = re.findall(r'^  (\w+): \[\s*"([^"]+)",\s*"([^"]+)",?\s*\],', table, re.MULTILINE)
    words = {key: (english, chinese) for key, english, chinese in rows}
    assert len(words) == len(re.findall(r"^  \w+:", table, re.MULTILINE))
    for english, chinese in words.values():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese))
        assert not re.search(r"[\u4e00-\u9fff]", english) and re.search(r"[\u4e00-\u9fff]", chinese)
    code = "".join(SOURCES.values()).replace(table, "")
    assert not [key for key in words if not re.search(rf'["`]{key}["`]|{key.split("_")[0]}_\$', code)]
    assert set(re.findall(r'say\("(\w+)"', code)) <= set(words)
