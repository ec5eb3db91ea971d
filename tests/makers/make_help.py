"""Writes the help page of every node, English and Chinese, as ComfyUI serves them: `web/docs/NODE/LANGUAGE.md`.

    python tests/makers/make_help.py

Names, types, defaults, ranges and tooltips come from the schemas and `locales`, so no page goes stale; what a page says
beyond them is in `help/en.toml` and `help/zh.toml`. A new node needs a table in both, a row in PICTURES here, and where
no workflow shows it a graph in `help_graphs.py`, of which `draw_help.py` takes a picture.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from make_workflows import INPUTS, ROOT

from sora_core.host.api.dynamic import DynamicCombo
from sora_core.host.api.widgets import BooleanInput, ComboInput
from sora_core.host.desk.folders import Folders
from sora_core.host.graph.widgets import default_of, widget_of
from sora_core.host.host import Host

PROSE, PAGES = Path(__file__).parent / "help", ROOT / "web" / "docs"
LANGUAGES = ("en", "zh")
# Which graph shows a node at work: a workflow, or one of `help_graphs.py`.
PICTURES = {
    "SoraLoadModel": "text_to_video",
    "SoraExperts": "wan22_14b_image_to_video",
    "SoraTextEncode": "text_to_video",
    "SoraEmptyLatent": "text_to_video",
    "SoraSampler": "text_to_video",
    "SoraVAEDecode": "text_to_video",
    "SoraSaveVideo": "text_to_video",
    "SoraImageToVideo": "image_to_video",
    "SoraExtend": "extend",
    "SoraInfill": "infill",
    "SoraConnect": "connect",
    "SoraLoop": "loop",
    "SoraRemix": "remix",
    "SoraCondition": "condition",
    "SoraStoryboard": "storyboard",
    "SoraLongVideo": "long_video",
    "SoraPatchify": "patches",
    "SoraUnpatchify": "patches",
    "SoraSamplerSelect": "custom_sampling",
    "SoraScheduler": "custom_sampling",
    "SoraStepCache": "step_cache",
    "SoraVAEEncode": "encode",
    "SoraExpandPrompt": "words",
    "SoraCaption": "examine",
    "SoraDetect": "examine",
    "SoraPromptSafety": "safety",
    "SoraFrameSafety": "safety",
    "SoraCompare": "compare",
}
LISTED = {"model", "lora", "scheduler"}  # what there is to choose depends on the machine
WORDS = {
    "en": {
        "use": "Typical use",
        "graph": "A typical graph",
        "inputs": ("Inputs", "Input", "What it does"),
        "outputs": ("Outputs", "Output", "What it is"),
        "options": "Options of {}",
        "optional": "optional",
        "default": "default {}",
        "one of": "one of {}",
        "facts": " *{}.*",
        "comma": ", ",
        "step": "steps of {}",
        "to": "{} to {}",
        "between": " ",
    },
    "zh": {
        "use": "典型用法",
        "graph": "典型工作流",
        "inputs": ("输入", "输入", "作用"),
        "outputs": ("输出", "输出", "说明"),
        "options": "{}的选项",
        "optional": "可选",
        "default": "默认 {}",
        "one of": "可选 {}",
        "facts": "（{}）",  # there are no italics in Chinese
        "comma": "，",
        "step": "步长 {}",
        "to": "{} 到 {}",
        "between": "",
    },
}


def schemas() -> dict[str, Any]:
    """Our nodes' schemas, as they are on a machine without further models."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Folders(INPUTS, Path(folder) / "output", Path(folder) / "temp"))
        return {k: n.GET_SCHEMA() for k, n in host.registry.nodes.items() if k.startswith("Sora")}


def prose(language: str) -> dict[str, dict]:
    return tomllib.loads((PROSE / f"{language}.toml").read_text(encoding="utf-8"))


def locale(language: str) -> dict[str, dict]:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def shown(value: Any) -> str:
    if value is None or value == "":
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "`" + text.splitlines()[0].replace("|", "\\|") + ("…" if "\n" in text else "") + "`"


def type_of(entry: Any) -> str:
    if isinstance(widget_of(entry), DynamicCombo.Input):
        return "COMBO"
    # One that must match others says what it may be.
    kind = entry.template.io_types if hasattr(entry, "template") else entry.get_io_type()
    return " / ".join(kind.split(","))


def range_of(entry: Any, words: dict) -> str:
    """What values a widget takes."""
    widget = widget_of(entry)
    if isinstance(widget, BooleanInput) or widget is None:
        return ""
    if isinstance(widget, (ComboInput, DynamicCombo.Input)):
        listed = words["comma"].join(f"`{choice}`" for choice in widget.choices)
        return "" if entry.id in LISTED else words["one of"].format(listed)
    least, most, step = (getattr(widget, name, None) for name in ("min", "max", "step"))
    if least is None:
        return ""
    # A seed's limit has twenty digits, of which `g` would keep six.
    numbers = [str(n) if isinstance(n, int) else f"{n:g}" for n in (least, most)]
    parts = [words["to"].format(*numbers)] + ([words["step"].format(f"{step:g}")] if step and step != 1 else [])
    return words["comma"].join(parts)


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def facts(words: dict, *said: str) -> str:
    """What the schema says of an input or output, in one sentence and no columns: the frontend's panel is narrow."""
    return words["facts"].format(words["comma"].join(filter(None, said)))


def input_row(entry: Any, told: dict, more: str, words: dict) -> str:
    default = shown(default_of(entry))
    text = words["between"].join(filter(None, [told["tooltip"], more])).replace("|", "\\|")
    optional = words["optional"] if entry.optional and widget_of(entry) is None else ""
    default = words["default"].format(default) if default else ""
    known = facts(words, type_of(entry), optional, default, range_of(entry, words))
    return row(f"**{told['name']}**", text + known)


def input_tables(schema: Any, text: dict, more: dict, words: dict) -> list[str]:
    """The inputs, and behind them the options that the choices of one bring along."""
    title, *columns = words["inputs"]
    head = [row(*columns), row(*["---"] * len(columns))]
    lines = [f"## {title}", "", *head]
    lines += [input_row(e, text["inputs"][e.id], more.get(e.id, ""), words) for e in schema.inputs]
    for entry in schema.inputs:
        if isinstance(entry, DynamicCombo.Input):
            options = {option.id: option for option in entry.get_all()[1:]}
            lines += ["", f"## {words['options'].format(text['inputs'][entry.id]['name'])}", "", *head]
            lines += [input_row(o, text["inputs"][f"{entry.id}_{n}"], "", words) for n, o in options.items()]
    return lines


def output_table(schema: Any, text: dict, words: dict) -> list[str]:
    if not schema.outputs:
        return []
    title, *columns = words["outputs"]
    lines = [f"## {title}", "", row(*columns), row(*["---"] * len(columns))]
    for i, output in enumerate(schema.outputs):
        told = text["outputs"][str(i)]
        lines.append(row(f"**{told['name']}**", told["tooltip"] + facts(words, type_of(output))))
    return lines


def page(node_id: str, schema: Any, language: str) -> str:
    """The help page of a node. Raises KeyError for what has no words."""
    words, text, said = WORDS[language], locale(language)[node_id], prose(language)[node_id]
    lines = [f"# {text['display_name']}", "", text["description"], "", said["about"].strip(), ""]
    lines += [f"## {words['use']}", "", said["use"].strip(), ""]
    # The frontend looks for pictures in `docs`, whatever the page.
    lines += [f"![{words['graph']}](pictures/{PICTURES[node_id]}.png)", ""]
    lines += [*input_tables(schema, text, said.get("inputs", {}), words), "", *output_table(schema, text, words)]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page by its path within `web/docs`. Other languages than ours get the English one."""
    made = {}
    for node_id, schema in schemas().items():
        for language in LANGUAGES:
            made[f"{node_id}/{language}.md"] = page(node_id, schema, language)
        made[f"{node_id}.md"] = made[f"{node_id}/en.md"]
    return made


def missing() -> list[str]:
    """What has no words in one of the languages, no picture, or words for what there is not."""
    found = []
    ours = schemas()
    for language in LANGUAGES:
        said, texts = prose(language), locale(language)
        found += [f"help/{language}.toml: no such node {node_id}" for node_id in sorted(set(said) - set(ours))]
        for node_id, schema in ours.items():
            entry, names = said.get(node_id, {}), {e.id for e in schema.inputs}
            gaps = [key for key in ("about", "use") if not entry.get(key, "").strip()]
            told = texts.get(node_id, {}).get("inputs", {})
            gaps += [f"inputs.{name}" for name in sorted(names) if not told.get(name, {}).get("tooltip")]
            found += [f"help/{language}.toml: {node_id} has no {gap}" for gap in gaps]
            others = sorted(set(entry.get("inputs", {})) - names)
            found += [f"help/{language}.toml: {node_id} has no such input {name}" for name in others]
    one, two = (prose(language) for language in LANGUAGES)
    for node_id in set(one) & set(two):
        found += [
            f"{node_id}.inputs.{name} is in one language only"
            for name in sorted(set(one[node_id].get("inputs", {})) ^ set(two[node_id].get("inputs", {})))
        ]
    found += [f"PICTURES: {node_id} has none" for node_id in ours if node_id not in PICTURES]
    return found


def main() -> None:
    if gaps := missing():
        sys.exit("\n".join(gaps))
    for old in PAGES.iterdir() if PAGES.is_dir() else ():
        if old.suffix == ".md":
            old.unlink()
        elif old.name != "pictures":
            shutil.rmtree(old)
    for name, text in pages().items():
        path = PAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
