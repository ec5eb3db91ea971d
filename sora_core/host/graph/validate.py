"""Checks a workflow before anything runs, and turns it into a plan.

All problems are collected. A message names the node, the input, the value and the remedy. The `kind` of a
problem is ComfyUI's word for it, which its frontend knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import SoraError
from ...words import did_you_mean, listing
from ..api.base import Input
from ..api.dynamic import DynamicCombo, active_inputs, nest_values
from ..api.schema import ComfyNode, Schema
from ..api.sockets import MatchType
from ..packs import Registry
from .load import Link, Node, Workflow
from .widgets import BadValue, check_value, default_of

# How many nodes whose output takes its type from an input may follow each other.
MAX_MATCHES = 1000

# Values of the frontend's own display widgets, which it sends along as if they were inputs.
FRONTEND_ONLY = frozenset({"video-preview", "audioUI", "$$canvas-image-preview"})


@dataclass
class Problem:
    """One thing wrong with a workflow."""

    kind: str
    message: str
    node_id: str | None = None
    node_type: str | None = None
    input: str | None = None


class WorkflowError(SoraError):
    """A workflow that cannot run, with everything that is wrong with it."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        more = f"\nAnd {len(problems) - 1} more: {problems[1].message}" if len(problems) > 1 else ""
        super().__init__(problems[0].message + more)


@dataclass
class PlannedNode:
    """A node ready to run: inputs checked, defaults filled in."""

    node: Node
    cls: type[ComfyNode]
    schema: Schema
    inputs: dict[str, Any]
    active: dict[str, Input]

    @property
    def title(self) -> str:
        return self.node.title or self.schema.display_name or self.node.type

    def links(self, lazy: bool | None = None) -> Iterator[tuple[str, Link]]:
        """The linked inputs; only the lazy or only the other ones on request."""
        for name, value in self.inputs.items():
            if isinstance(value, Link) and (lazy is None or bool(self.active[name].lazy) == lazy):
                yield name, value


@dataclass
class Plan:
    """The nodes that an output needs, sources first, and the ids of the output nodes."""

    workflow: Workflow
    nodes: dict[str, PlannedNode] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def make_plan(workflow: Workflow, registry: Registry) -> Plan:
    """Check `workflow` and plan its run. Raises WorkflowError with every problem found."""
    problems: list[Problem] = []
    schemas = {
        node_type: registry.nodes[node_type].GET_SCHEMA()
        for node_type in {n.type for n in workflow.nodes.values()}
        if node_type in registry.nodes
    }
    outputs = [n.id for n in workflow.nodes.values() if n.type in schemas and schemas[n.type].is_output_node]
    unknown = [n for n in workflow.nodes.values() if n.type not in schemas]
    for node in unknown:
        problems.append(_unknown_node(node, registry))
    if not outputs and not unknown:
        problems.append(
            Problem(
                "prompt_no_outputs",
                "The workflow has no output node, so nothing would be made: add one, for example SaveVideo.",
            )
        )
    order, cycle = sources_first(workflow, outputs)
    if cycle:
        path = " -> ".join(cycle)
        problems.append(
            Problem(
                "dependency_cycle",
                f"The links form a cycle ({path}): remove one of them.",
                cycle[0],
                workflow.nodes[cycle[0]].type,
            )
        )
    plan = Plan(workflow, outputs=outputs)
    for node_id in order:
        node = workflow.nodes[node_id]
        if node.type in schemas:
            plan.nodes[node_id] = _check_node(node, workflow, schemas, registry, problems)
    if problems:
        raise WorkflowError(problems)
    return plan


def sources_first(workflow: Workflow, outputs: list[str]) -> tuple[list[str], list[str]]:
    """Every node that `outputs` need, each after its sources; and a cycle, as a list of ids, if any."""
    order: list[str] = []
    done: set[str] = set()
    for start in outputs:
        path: list[str] = []
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node_id, leaving = stack.pop()
            if leaving:
                path.pop()
                done.add(node_id)
                order.append(node_id)
                continue
            if node_id in path:
                return order, path[path.index(node_id) :] + [node_id]
            if node_id in done or node_id not in workflow.nodes:
                continue
            path.append(node_id)
            stack.append((node_id, True))
            links = [v.node for v in workflow.nodes[node_id].inputs.values() if isinstance(v, Link)]
            stack.extend((source, False) for source in reversed(links))
    return order, []


def _unknown_node(node: Node, registry: Registry) -> Problem:
    hint = did_you_mean(node.type, registry.nodes) or "install the pack that has it, or remove the node."
    failed = [f"{pack.name} ({pack.error})" for pack in registry.packs if pack.error]
    if failed:
        hint += f" These packs did not load: {listing(failed, 3)}."
    return Problem(
        "missing_node_type", f"Node {node.id}: there is no node type {node.type!r}: {hint}", node.id, node.type
    )


def _check_node(
    node: Node, workflow: Workflow, schemas: dict[str, Schema], registry: Registry, problems: list[Problem]
) -> PlannedNode:
    schema, cls = schemas[node.type], registry.nodes[node.type]
    before = len(problems)
    label = node.label[0].upper() + node.label[1:]

    def problem(kind: str, name: str, message: str) -> None:
        problems.append(Problem(kind, f'{label}, input "{name}": {message}', node.id, node.type, name))

    inputs = dict(node.inputs)
    _fill_dynamic_choices(schema.inputs, inputs)
    active = {entry.id: entry for entry in active_inputs(schema.inputs, inputs)}
    self_checked, checks_all = cls.parameters("validate_inputs") if cls.overrides("validate_inputs") else (set(), False)
    for name in list(inputs):
        if name in FRONTEND_ONLY and name not in active:
            del inputs[name]
        elif name not in active and not schema.accept_all_inputs:
            # A choice that does not exist has no inputs: its own message is enough.
            if not _under_bad_choice(name, active, inputs):
                hint = did_you_mean(name, active) or f"it has {listing(active) or 'none'}."
                problem("unknown_input", name, f"there is no such input: {hint}")
    for name, entry in active.items():
        if name not in inputs:
            default = default_of(entry)
            if default is not None and not entry.optional:
                inputs[name] = default
            elif not entry.optional:
                problem("required_input_missing", name, _missing(node, name, entry))
            continue
        value = inputs[name]
        if isinstance(value, Link):
            _check_link(value, entry, workflow, schemas, lambda kind, text, n=name: problem(kind, n, text))
        elif value is None and entry.optional:
            del inputs[name]
        else:
            try:
                inputs[name] = check_value(entry, value, not (checks_all or name in self_checked))
            except BadValue as error:
                problem(error.kind, name, str(error))
    _check_matches(active, inputs, workflow, schemas, problem)
    planned = PlannedNode(node, cls, schema, inputs, active)
    if len(problems) == before and cls.overrides("validate_inputs"):
        answer = _ask_node(planned, self_checked, checks_all)
        if answer is not True:
            problems.append(Problem("custom_validation_failed", f"{label}: {answer}", node.id, node.type))
    return planned


def _fill_dynamic_choices(entries: list[Input], inputs: dict[str, Any]) -> None:
    """Give required dynamic combos without a value their first choice, so that its inputs are known."""
    for entry in active_inputs(entries, inputs):
        if isinstance(entry, DynamicCombo.Input) and entry.id not in inputs and not entry.optional:
            inputs[entry.id] = default_of(entry)
            return _fill_dynamic_choices(entries, inputs)


def _under_bad_choice(name: str, active: dict[str, Input], inputs: dict[str, Any]) -> bool:
    parent = active.get(name.rpartition(".")[0])
    return isinstance(parent, DynamicCombo.Input) and inputs.get(parent.id) not in parent.keys()


def _missing(node: Node, name: str, entry: Input) -> str:
    if name in node.muted:
        return f"its link comes from node {node.muted[name]}, which is muted: unmute that or link another."
    if isinstance(entry, DynamicCombo.Input) or getattr(entry, "options", None):
        return f"it is missing: choose one of {listing(getattr(entry, 'options', []))}."
    return (
        f"it is missing: connect a {entry.get_io_type()} or give a value."
        if hasattr(entry, "default")
        else f"nothing is connected: link an output of type {entry.get_io_type()}."
    )


def _check_link(
    link: Link, entry: Input, workflow: Workflow, schemas: dict[str, Schema], problem: Callable[[str, str], None]
) -> None:
    source = workflow.nodes.get(link.node)
    if source is None:
        problem("missing_link", f"it is linked to node {link.node}, which does not exist: link it anew.")
        return
    if source.type not in schemas:
        return
    outputs = schemas[source.type].outputs
    if not 0 <= link.slot < len(outputs):
        problem(
            "missing_link",
            f"it is linked to output {link.slot} of {source.label}, which has "
            f"{len(outputs)} outputs, numbered from 0: link it anew.",
        )
        return
    given, wanted = output_type(link, workflow, schemas), input_type(entry)
    if not fits(given, wanted):
        problem(
            "return_type_mismatch",
            f"it takes {wanted}, but output {link.slot} of {source.label} is {given}: link an output of type {wanted}.",
        )


def _check_matches(
    active: dict[str, Input],
    inputs: dict[str, Any],
    workflow: Workflow,
    schemas: dict[str, Schema],
    problem: Callable[[str, str, str], None],
) -> None:
    """Inputs of one template must all get the same type."""
    first: dict[str, tuple[str, str]] = {}
    for name, entry in active.items():
        if not isinstance(entry, MatchType.Input) or not isinstance(inputs.get(name), Link):
            continue
        given = output_type(inputs[name], workflow, schemas)
        other, expected = first.setdefault(entry.template.template_id, (name, given))
        if not fits(given, expected):
            problem(
                "return_type_mismatch",
                name,
                f'it gets {given}, but "{other}" gets {expected}: give both the same type.',
            )


def input_type(entry: Input) -> str:
    """What an input takes: for one that must match others, the types that its template allows."""
    if isinstance(entry, MatchType.Input):
        return ",".join(t.io_type for t in entry.template.allowed_types)
    return entry.get_io_type()


def output_type(link: Link, workflow: Workflow, schemas: dict[str, Schema]) -> str:
    """What an output gives: for one that matches an input, the type that is linked there."""
    for _ in range(MAX_MATCHES):
        node = workflow.nodes.get(link.node)
        if node is None or node.type not in schemas or link.slot >= len(schemas[node.type].outputs):
            return "*"
        output = schemas[node.type].outputs[link.slot]
        if not isinstance(output, MatchType.Output):
            return output.get_io_type()
        template = output.template.template_id
        sources = [
            node.inputs[entry.id]
            for entry in schemas[node.type].inputs
            if isinstance(entry, MatchType.Input)
            and entry.template.template_id == template
            and isinstance(node.inputs.get(entry.id), Link)
        ]
        if not sources:
            return ",".join(t.io_type for t in output.template.allowed_types)
        link = sources[0]
    return "*"


def fits(given: str, wanted: str) -> bool:
    """Whether an output of type `given` may feed an input of type `wanted`; both may be lists, `A,B`."""
    given_types, wanted_types = set(given.split(",")), set(wanted.split(","))
    if "COMFY_DYNAMICCOMBO_V3" in wanted_types:
        wanted_types.add("COMBO")
    return bool(given_types & wanted_types) or "*" in given_types | wanted_types


def _ask_node(planned: PlannedNode, names: set[str], takes_all: bool) -> Any:
    """What the node's own `validate_inputs` says; a linked input is None to it."""
    values = nest_values(
        planned.schema.inputs, {n: None if isinstance(v, Link) else v for n, v in planned.inputs.items()}
    )
    wanted = {name: value for name, value in values.items() if takes_all or name in names}
    try:
        return planned.cls.validate_inputs(**wanted)
    except SoraError as error:
        return str(error)
    except Exception as error:
        return f"its own check failed ({type(error).__name__}: {error}): look at its inputs."
