"""`NODE.INPUT=VALUE`: changes to a workflow from the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import SoraError
from ...words import did_you_mean, listing
from ..api.dynamic import active_inputs
from ..packs import Registry
from .uigraph import changed_source
from .widgets import BadValueError, check_value
from .workflow import Node, Workflow


def apply_overrides(workflow: Workflow, registry: Registry, settings: list[str]) -> None:
    """Apply each `NODE.INPUT=VALUE` in order, to what is saved with the videos too.

    Raises SoraError naming the part that does not fit.
    """
    changed: set[str] = set()
    for setting in settings:
        target, equals, value = setting.partition("=")
        if not equals or "." not in target:
            raise SoraError(f"--set {setting!r} is not NODE.INPUT=VALUE: write for example --set 3.seed=7.")
        node, name = _find(workflow, registry, target.strip(), setting)
        _assign(node, registry, name, value, setting)
        changed.add(node.id)
    if changed and workflow.source is not None:
        workflow.source = changed_source(workflow, changed, registry)


def _find(workflow: Workflow, registry: Registry, target: str, setting: str) -> tuple[Node, str]:
    """Find the node and input that `target` means. Titles and input names may hold dots: try every place."""
    parts = target.split(".")
    for cut in range(1, len(parts)):
        found = _matching(workflow, registry, ".".join(parts[:cut]))
        if len(found) == 1:
            return found[0], ".".join(parts[cut:])
        if found:
            ids = listing(node.id for node in found)
            raise SoraError(
                f"--set {setting!r}: several nodes are called {'.'.join(parts[:cut])!r}: use one of their ids, {ids}."
            )
    wanted = ".".join(parts[:-1])
    names = {n for node in workflow.nodes.values() for n in (node.id, node.type, node.title) if n}
    hint = did_you_mean(wanted, names)
    hint = hint or "this workflow has " + listing(f"{n.id} ({n.type})" for n in workflow.nodes.values()) + "."
    raise SoraError(f"--set {setting!r}: there is no node {wanted!r}: {hint}")


def _matching(workflow: Workflow, registry: Registry, name: str) -> list[Node]:
    """Find the nodes of that id, or else of that title, or else of that type, or else shown under that name."""
    if name in workflow.nodes:
        return [workflow.nodes[name]]
    nodes = list(workflow.nodes.values())

    def shown(node: Node) -> str | None:
        known = registry.nodes.get(node.type)
        return node.title or (known.GET_SCHEMA().display_name if known else None)

    names: tuple[Callable[[Node], str | None], ...] = (lambda n: n.title, lambda n: n.type, shown)
    for name_of in names:
        found = [node for node in nodes if (name_of(node) or "").lower() == name.lower()]
        if found:
            return found
    return []


def _assign(node: Node, registry: Registry, name: str, value: str, setting: str) -> None:
    known = registry.nodes.get(node.type)
    if known is None:
        raise SoraError(f"--set {setting!r}: {node.label} is of an unknown type: install its pack first.")
    schema = known.GET_SCHEMA()
    entries = {entry.id: entry for entry in active_inputs(schema.inputs, node.inputs)}
    if name not in entries:
        hint = did_you_mean(name, entries) or f"it has {listing(entries)}."
        raise SoraError(f"--set {setting!r}: {node.label} has no input {name!r}: {hint}")
    try:
        # The range is checked with the whole graph, where the node may check it itself.
        parsed: Any = check_value(entries[name], value, check_range=False)
    except BadValueError as error:
        raise SoraError(f"--set {setting!r}: {node.label}, input {name!r}: {error}") from None
    node.inputs[name] = parsed
    # A new choice of a dynamic combo has other inputs: the old choice's values go.
    still = {entry.id for entry in active_inputs(schema.inputs, node.inputs)}
    for old in set(entries) - still:
        node.inputs.pop(old, None)
