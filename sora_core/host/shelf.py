"""What node packs bring besides nodes: templates, blueprints, translations, pages and scripts for the frontend."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .graph.scopes import NOTES
from .packs import Pack, Registry

APP = ".app"  # what the frontend puts before .json of a workflow that opens as a form
STARTED = "Getting Started"  # the frontend shows this category to whoever comes for the first time
FIRST = "text_to_video"  # the template that is shown first
TEMPLATE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
# Nodes that the frontend has of its own.
_FRONTEND = {*NOTES, "Reroute", "PrimitiveNode"}
_LOCALE_FILES = ("nodeDefs", "commands", "settings")


@dataclass(frozen=True)
class Leaf:
    """A workflow or a blueprint that comes with a pack."""

    name: str
    path: Path
    pack: str
    about: dict[str, Any] = field(default_factory=dict, compare=False)  # what the file says of itself

    @property
    def id(self) -> str:
        """A name for addresses, the same on every start."""
        return hashlib.sha256(f"{self.pack}/{self.name}".encode()).hexdigest()

    def entry(self, suffix: str = "") -> dict[str, Any]:
        """Write what the frontend's dialog shows of a template. suffix: `APP` for its form."""
        info = self.about.get("info")
        info = info if isinstance(info, dict) else {}
        title = str(info.get("name") or self.name.replace("_", " ").capitalize())
        return {
            "name": self.name + suffix,
            "title": title,
            "description": str(info.get("description") or title),
            "mediaType": "image",
            "mediaSubtype": "jpg",
            "tags": ["Video", self.pack],
            "models": [],
            "isApp": bool(suffix),
        }

    @property
    def picture(self) -> Path:
        """Where its picture would be."""
        return self.path.with_suffix(".jpg")


class Shelf:
    """Looks through the packs that loaded."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.packs: dict[str, Pack] = {pack.name: pack for pack in registry.packs if pack.error is None}
        found = [leaf for pack in self.packs.values() for folder in TEMPLATE_FOLDERS for leaf in self._in(pack, folder)]
        found.sort(key=lambda leaf: leaf.name != FIRST)
        self.templates: dict[str, Leaf] = {}
        for leaf in found:
            self.templates.setdefault(leaf.name, leaf)
        blueprints = [leaf for pack in self.packs.values() for leaf in self._in(pack, "subgraphs")]
        self.blueprints = {leaf.id: leaf for leaf in blueprints}

    def _in(self, pack: Pack, folder: str) -> list[Leaf]:
        """List the graphs of a folder whose nodes are all here: any other would open in red."""
        leaves = []
        for path in sorted((pack.folder / folder).glob("*.json")):
            data = _read(path)
            try:
                known = bool(data) and _types(data) <= self.registry.nodes.keys() | _FRONTEND
            except (AttributeError, TypeError):  # no graph
                continue
            if known:
                extra = data.get("extra")
                leaves.append(Leaf(path.stem, path, pack.name, extra if isinstance(extra, dict) else {}))
        return leaves

    def index(self, language: str = "en") -> list[dict[str, Any]]:
        """Write the list of templates as the frontend's dialog reads it: the graphs, ours first, then the forms."""
        leaves = self.templates.values()
        entries = [leaf.entry() for leaf in leaves]
        entries += [leaf.entry(APP) for leaf in leaves if leaf.about.get("linearMode")]
        words = self.translations().get(language, {}).get("templateWorkflows", {})
        for entry in entries:
            for name, key in (("title", "template"), ("description", "templateDescription")):
                told = words.get(key, {}).get(STARTED, {})
                entry[name] = told.get(entry["name"].replace(".", "_"), entry[name])
        started = {"moduleName": "default", "title": STARTED, "type": "video", "isEssential": True}
        return [{**started, "templates": entries}] if entries else []

    def template(self, name: str) -> tuple[Leaf, dict[str, Any]] | None:
        """Find a template by its name in the index, and its workflow, which opens as a graph or as a form."""
        leaf = self.templates.get(name) or self.templates.get(name.removesuffix(APP))
        if leaf is None:
            return None
        graph = _read(leaf.path)
        if name == leaf.name and leaf.about.get("linearMode"):
            graph["extra"] = {**graph["extra"], "linearMode": False}
        return leaf, graph

    def translations(self) -> dict[str, Any]:
        """Put together the packs' `locales`, by language."""
        found: dict[str, Any] = {}
        for pack in self.packs.values():
            for folder in sorted(path for path in (pack.folder / "locales").glob("*") if path.is_dir()):
                words = _read(folder / "main.json")
                words |= {name: more for name in _LOCALE_FILES if (more := _read(folder / f"{name}.json"))}
                found[folder.name] = _merged(found.get(folder.name, {}), words)
        return found

    def scripts(self) -> list[tuple[str, str]]:
        """List the packs' scripts for the frontend, as pack and path within its web folder."""
        return [
            (pack.name, path.relative_to(pack.web_folder).as_posix())
            for pack in self.packs.values()
            if pack.web_folder is not None
            for path in sorted(pack.web_folder.rglob("*.js"))
        ]


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _types(data: dict[str, Any]) -> set[str]:
    """List the node types of a graph and its subgraphs, less the subgraphs themselves."""
    inner = (data.get("definitions") or {}).get("subgraphs") or []
    nodes = [node for graph in (data, *inner) for node in graph.get("nodes") or []]
    return {str(node.get("type")) for node in nodes} - {str(graph.get("id")) for graph in inner}


def _merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return both, the tables within them put together."""
    both = {**base, **more}
    for name in base.keys() & more.keys():
        if isinstance(base[name], dict) and isinstance(more[name], dict):
            both[name] = _merged(base[name], more[name])
    return both
