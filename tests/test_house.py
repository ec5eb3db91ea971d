"""Rules of the house: which way imports point, how long code may be, and what the repository may hold."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "sora_core").rglob("*.py"))
NODES = sorted((ROOT / "nodes").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = [ROOT / "__init__.py", *CORE, *NODES, *TESTS]

# From the ground up. A room imports from floors below its own and from itself, never from a neighbour.
FLOORS = (
    ("errors",),
    ("files", "words", "memory", "interrupt", "about"),
    ("calls",),
    ("safety",),
    ("model", "language"),
    ("loading", "latents", "media"),
    ("diffusion", "observer", "provenance"),
    ("tasks",),
    ("pipeline",),
    ("training", "host"),
    ("batch",),
    ("cli",),
    ("nodes",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# What `import sora_core` gives, to users. It stands on the pipeline, and no room may use it.
FACADE = ROOT / "sora_core" / "__init__.py"
FACADE_FLOOR = FLOOR["pipeline"] + 1


class Import(NamedTuple):
    """One imported module or name."""

    line: int
    name: str  # absolute, relative ones resolved
    level: int  # dots in front, 0 for an absolute import
    for_types: bool  # seen by a type checker alone


@cache
def statements(path: Path) -> list[tuple[ast.AST, bool]]:
    """Every statement of a file, wherever in it, and whether it is for a type checker alone."""
    found: list[tuple[ast.AST, bool]] = []

    def walk(block: list, for_types: bool) -> None:
        for node in block:
            found.append((node, for_types))
            only = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
            walk(getattr(node, "body", ()), for_types or only)
            for name in ("orelse", "finalbody", "handlers", "cases"):
                walk(getattr(node, name, ()), for_types)

    walk(ast.parse(path.read_text(encoding="utf-8")).body, False)
    return found


@cache
def all_imports(path: Path) -> list[Import]:
    package = path.relative_to(ROOT).parent.parts
    found: list[Import] = []
    for node, for_types in statements(path):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name, 0, for_types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *filter(None, [node.module])))
            found += [Import(node.lineno, f"{stem}.{alias.name}", node.level, for_types) for alias in node.names]
    return found


def imports(path: Path) -> list[Import]:
    """The imports of a file that are made when it runs, late ones too."""
    return [found for found in all_imports(path) if not found.for_types]


@cache
def file_of(name: str) -> Path | None:
    """The file that an import reads: the module of that name or, for a name within a module, the module."""
    parts = name.split(".")
    for end in (len(parts), len(parts) - 1):
        stem = ROOT.joinpath(*parts[:end])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if end and path.is_file() and parts[0] in ("sora_core", "nodes"):
                return path
    return None


def room_of(path: Path) -> str:
    """The room of a file: the folder or file below `sora_core`, or `nodes`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "nodes" if parts[0] == "nodes" else "the facade" if path == FACADE else parts[1]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_room_has_a_floor():
    assert {room_of(path) for path in [*CORE, *NODES]} - {"the facade"} <= FLOOR.keys()


def test_arrows_point_down():
    wrong = []
    for path in [*CORE, *NODES]:
        room = room_of(path)
        floor = FLOOR.get(room, FACADE_FLOOR)
        for found in imports(path):
            target = file_of(found.name)
            if target is None or room_of(target) == room or room == "nodes":
                continue
            other = room_of(target)
            if FLOOR.get(other, len(FLOORS)) >= floor:
                wrong.append(f"{where(path, found.line)}: {room} ({floor}) imports {found.name}, {other}")
    assert not wrong, "\n".join(wrong)


def circles(graph: dict[Path, set[Path]]) -> list[set[Path]]:
    """The largest sets of files of which each one imports, over others or not, each of the others."""

    def reached(start: Path) -> set[Path]:
        seen: set[Path] = set()
        stack = [*graph[start]]
        while stack:
            path = stack.pop()
            if path not in seen:
                seen.add(path)
                stack += graph[path]
        return seen

    reach = {path: reached(path) for path in graph}
    found = {frozenset(other for other in reach[path] if path in reach[other]) for path in graph}
    return [set(circle) for circle in found if circle]


def test_no_file_imports_itself_over_others():
    graph = {path: {file for i in imports(path) if (file := file_of(i.name))} for path in [*CORE, *NODES]}
    told = [", ".join(sorted(str(p.relative_to(ROOT)) for p in circle)) for circle in circles(graph)]
    assert not told, "\n".join(sorted(told))


def test_the_package_names_itself_relatively():
    wrong = [
        f"{where(path, found.line)}: {found.name}"
        for path in CORE
        for found in all_imports(path)
        if found.level == 0 and found.name.split(".")[0] == "sora_core"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_host_knows_comfyui_and_the_web():
    outside = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "aiohttp", "server", "latent_preview")
    wrong = [
        f"{where(path, found.line)}: {found.name}"
        for path in CORE
        if room_of(path) != "host"
        for found in imports(path)
        if found.name.split(".")[0] in outside
    ]
    assert not wrong, "\n".join(wrong)


def test_only_calls_goes_over_the_network():
    """One place sets limits to what a server may answer. `sora studio` serves, and calls nobody."""
    wrong = []
    for path in [*CORE, *NODES]:
        ways = ("urllib.request", "http.client", "requests", "httpx", "ftplib", "smtplib")
        found = [each for each in imports(path) if each.name.startswith(ways)]
        if room_of(path) != "calls" and path.name != "stamp.py":  # which asks what proxies are set
            wrong += [f"{where(path, each.line)}: {each.name}" for each in found]
    assert not wrong, "\n".join(wrong)


def test_tests_share_through_support_alone():
    wrong = [
        f"{where(path, found.line)}: {found.name}"
        for path in TESTS
        for found in imports(path)
        if found.name.split(".")[0].startswith(("test_", "conftest"))
    ]
    assert not wrong, "\n".join(wrong)


def test_functions_stay_readable():
    """At most 60 lines. A node's schema is a table, however long."""
    long = [
        f"{where(path, node.lineno)}: {node.name}, {length} lines"
        for path in ALL
        for node, _ in statements(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "define_schema"
        if (length := (node.end_lineno or 0) - node.lineno + 1) > 60
    ]
    assert not long, "\n".join(long)


def test_files_stay_readable():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ALL}
    long = [f"{path.relative_to(ROOT)}: {length} lines" for path, length in lengths.items() if length > 400]
    assert not long, "\n".join(long)


def test_docs_hold_words_and_pictures():
    """Scripts that make them stand in tests/makers."""
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file()]
    wrong = [str(path.relative_to(ROOT)) for path in files if path.suffix not in (".md", ".png", ".jpg", ".svg")]
    assert files and not wrong


def test_imports_are_cheap():
    heavy = ("torch", "cv2", "kornia", "av", "PIL")
    code = f"import sys, sora_core, sora_core.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_is_quick():
    def once():
        before = os.times()  # of processes that have ended: what others take does not count
        subprocess.run(
            [sys.executable, "-c", "from sora_core.cli import main; main(['--help'])"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(once() for _ in range(3)) < 1.0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_node_is_named_in_every_language(language):
    frozen = json.loads((ROOT / "tests" / "frozen_nodes.json").read_text(encoding="utf-8"))
    names = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(frozen) == set(names)
