"""Checks a workflow before anything runs, and turns it into a plan.

All problems are collected. A message names the node, the input, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import SoraError, expect
from ...words import did_you_mean, listing
from ..api.base import Input, WidgetInput
from ..api.dynamic import DynamicComboInput, active_inputs, nest_values
from ..api.schema import ComfyNode, Schema
from ..api.sockets import MatchTypeInput, MatchTypeOutput
from ..api.widgets import ComboInput
from ..packs import Registry
from .missing import missing_types
from .names import fill_names
from .problems import Problem, WorkflowError
from .widgets import BadValueError, check_value, default_of, input_type
from .workflow import MAX_NODES, Link, Node, Workflow

MAX_SLIPS = 100  # of the pen, in the names of a node's inputs

# Takes the kind of a problem, the input and the message.
Report = Callable[[str, str, str], None]


@dataclass
class PlannedNode:
    """A node ready to run: inputs checked, defaults filled in."""

    node: Node
    cls: type[ComfyNode]
    schema: Schema
    inputs: dict[str, Any]  # values or `Link`s, by name on the wire
    active: dict[str, Input]  # the inputs in force, dynamic ones expanded, by name on the wire

    @property
    def title(self) -> str:
        """What the frontend calls the node."""
        return self.node.title or self.schema.display_name or self.node.type

    def links(self, lazy: bool | None = None) -> Iterator[tuple[str, Link]]:
        """Yield the linked inputs; only the lazy or only the other ones on request."""
        for name, value in self.inputs.items():
            if isinstance(value, Link) and (lazy is None or bool(self.active[name].lazy) == lazy):
                yield name, value

    def constants(self) -> dict[str, Any]:
        """Return the inputs as the node may see them before the run: None stands for what a link will bring."""
        return {name: None if isinstance(value, Link) else value for name, value in self.inputs.items()}


@dataclass
class Plan:
    """What is to be run."""

    workflow: Workflow
    nodes: dict[str, PlannedNode] = field(default_factory=dict)  # what an output needs, by id, sources first
    outputs: list[str] = field(default_factory=list)  # ids of the output nodes
    left_out: dict[str, str] = field(default_factory=dict)  # why an output cannot be made beside those, by id
    problems: list[Problem] = field(default_factory=list)  # what is wrong with those that are left out
    facts: dict[str, Any] = field(default_factory=dict)  # what was found out about the whole, kept by who did


def make_plan(workflow: Workflow, registry: Registry, targets: Collection[str] | None = None) -> Plan:
    """Check `workflow` and plan its run. targets: ids of the output nodes that are wanted; None means all.

    As in ComfyUI, an output that cannot be made is left out where another can. Raises WorkflowError with every problem
    found where none can, and where a node that is needed is of an unknown type.
    """
    count = len(workflow.nodes)
    expect(count <= MAX_NODES, f"The workflow has {count} nodes; at most {MAX_NODES} are run. Remove some of them.")
    workflow.types.clear()  # it may have been changed since an earlier plan
    schemas = {
        node_type: registry.nodes[node_type].GET_SCHEMA()
        for node_type in {n.type for n in workflow.nodes.values()}
        if node_type in registry.nodes
    }
    outputs = [n.id for n in workflow.nodes.values() if n.type in schemas and schemas[n.type].is_output_node]
    outputs = [node_id for node_id in outputs if targets is None or node_id in targets]
    order, rings = sources_first(workflow, outputs)
    unknown = [n for n in workflow.nodes.values() if n.type not in schemas]
    needed = set(order)
    if unknown and (not outputs or any(node.id in needed for node in unknown)):
        raise WorkflowError([missing_types(unknown, registry)])
    if not outputs:
        message = "The workflow has no output node, so nothing would be made: add one, for example SaveVideo."
        raise WorkflowError([Problem("prompt_no_outputs", message)])
    plan = Plan(workflow)
    problems = plan.problems
    wrong: dict[str, str] = {}  # what is wrong with a node or with what it needs, by id
    for node_id in order:
        before = len(problems)
        if node_id in rings:
            problems.append(Problem("dependency_cycle", rings[node_id], node_id, workflow.nodes[node_id].type))
        plan.nodes[node_id] = planned = _check_node(workflow.nodes[node_id], workflow, schemas, registry, problems)
        faults = [problem.message for problem in problems[before:]]
        faults += [wrong[link.node] for _, link in planned.links() if link.node in wrong]
        if faults:
            wrong[node_id] = faults[0]
    plan.outputs = [node_id for node_id in outputs if node_id not in wrong]
    if not plan.outputs:
        raise WorkflowError([*problems, *([missing_types(unknown, registry)] if unknown else [])])
    plan.left_out = {node_id: wrong[node_id] for node_id in outputs if node_id in wrong}
    # What nothing is linked to is there for the eye.
    for_the_eye = [node for node in unknown if any(isinstance(value, Link) for value in node.inputs.values())]
    plan.left_out |= {node.id: missing_types([node], registry).message for node in for_the_eye}
    if wrong:
        kept = set(sources_first(workflow, plan.outputs)[0])
        plan.nodes = {node_id: planned for node_id, planned in plan.nodes.items() if node_id in kept}
    fill_names(workflow, {node_id: planned.inputs for node_id, planned in plan.nodes.items()})
    return plan


def sources_first(workflow: Workflow, outputs: list[str]) -> tuple[list[str], dict[str, str]]:
    """Order every node that `outputs` need, each after its sources.

    The second answer is what to say of rings, by the id of the node whose link closes one: all others of a ring need
    that node, and stand behind it.
    """
    # With a stack of its own: chains of nodes can be longer than Python's.
    order: list[str] = []
    done: set[str] = set()
    rings: dict[str, str] = {}
    for start in outputs:
        path: list[str] = []
        places: dict[str, int] = {}  # in `path`, by id
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node_id, leaving = stack.pop()
            if leaving:
                del places[path.pop()]
                done.add(node_id)
                order.append(node_id)
                continue
            if node_id in places:
                rings.setdefault(path[-1], _ring(path, places[node_id]))
                continue
            if node_id in done or node_id not in workflow.nodes:
                continue
            places[node_id] = len(path)
            path.append(node_id)
            stack.append((node_id, True))
            links = [v.node for v in workflow.nodes[node_id].inputs.values() if isinstance(v, Link)]
            stack.extend((source, False) for source in reversed(links))
    return order, rings


def _ring(path: list[str], first: int) -> str:
    """Say that the end of a path leads back to its node number `first`."""
    shown, more = path[first : first + 8], len(path) - first - 8
    names = " -> ".join(shown) + (f" -> {path[first]}" if more < 0 else f" and {more + 1} more")
    return f"The links form a cycle ({names}): remove one of them."


def _check_node(
    node: Node, workflow: Workflow, schemas: dict[str, Schema], registry: Registry, problems: list[Problem]
) -> PlannedNode:
    schema, cls = schemas[node.type], registry.nodes[node.type]
    before = len(problems)

    def problem(kind: str, name: str, message: str) -> None:
        problems.append(Problem(kind, f'{node.heading}, input "{name}": {message}', node.id, node.type, name))

    inputs = dict(node.inputs)
    _fill_dynamic_choices(schema.inputs, inputs)
    active = {entry.id: entry for entry in active_inputs(schema.inputs, inputs)}
    self_checked, checks_all = cls.parameters("validate_inputs") if cls.overrides("validate_inputs") else (set(), False)
    unknown = [] if schema.accept_all_inputs else [name for name in inputs if name not in active]
    empty = [name for name in active if name not in inputs]
    for number, name in enumerate(unknown):
        # ComfyUI's server ignores what a node does not have. A slip of the pen has left another input without a value;
        # a choice that does not exist has no inputs, and its own message is enough.
        # Likeness takes time: nobody slips a hundred times in one node.
        hint = did_you_mean(name, empty) if number < MAX_SLIPS else ""
        if hint and not _under_bad_choice(name, active, inputs):
            problem("unknown_input", name, f"there is no such input: {hint}")
        del inputs[name]
    for name, entry in active.items():
        if name not in inputs:
            # Saved before the node had this input.
            default = default_of(entry)
            if default is not None and not entry.optional:
                inputs[name] = default
            elif not entry.optional:
                problem("required_input_missing", name, _missing(node, name, entry))
            continue
        value = inputs[name]
        if isinstance(value, Link):
            _check_link(name, value, entry, workflow, schemas, problem)
        elif value is None and entry.optional:
            del inputs[name]
        else:
            try:
                inputs[name] = check_value(entry, value, not (checks_all or name in self_checked))
            except BadValueError as error:
                problem(error.kind, name, str(error))
    _check_matches(active, inputs, workflow, schemas, problem)
    planned = PlannedNode(node, cls, schema, inputs, active)
    if len(problems) == before and cls.overrides("validate_inputs"):
        answer = _ask_node(planned, self_checked, checks_all)
        if answer is not True:
            about = next(iter(self_checked)) if len(self_checked) == 1 else None
            named = [name for name in sorted(self_checked) if _is_about(str(answer), name, inputs.get(name))]
            about = named[0] if named else about
            problems.append(Problem("custom_validation_failed", f"{node.heading}: {answer}", node.id, node.type, about))
    return planned


def _is_about(answer: str, name: str, value: Any) -> bool:
    return name in answer or (isinstance(value, str) and len(value) > 2 and value in answer)


def _fill_dynamic_choices(entries: list[Input], inputs: dict[str, Any]) -> None:
    """Give required dynamic combos without a value their first choice, so that its inputs are known."""
    for entry in active_inputs(entries, inputs):
        if isinstance(entry, DynamicComboInput) and entry.id not in inputs and not entry.optional:
            inputs[entry.id] = default_of(entry)
            # The choice may have brought further combos: look again from the start.
            _fill_dynamic_choices(entries, inputs)
            return


def _under_bad_choice(name: str, active: dict[str, Input], inputs: dict[str, Any]) -> bool:
    parent = active.get(name.rpartition(".")[0])
    return isinstance(parent, DynamicComboInput) and inputs.get(parent.id) not in parent.choices


def _missing(node: Node, name: str, entry: Input) -> str:
    if name in node.lost:
        return node.lost[name]
    if isinstance(entry, (ComboInput, DynamicComboInput)) and entry.choices:
        return f"it is missing: choose one of {listing(entry.choices)}."
    if isinstance(entry, WidgetInput):
        return f"it is missing: connect a {input_type(entry)} or give a value."
    return f"nothing is connected: link an output of type {input_type(entry)}."


def _check_link(
    name: str, link: Link, entry: Input, workflow: Workflow, schemas: dict[str, Schema], problem: Report
) -> None:
    """Check that what an input is linked to exists and is of its type."""
    source = workflow.nodes.get(link.node)
    if source is None:
        problem("missing_link", name, f"it is linked to node {link.node}, which does not exist: link it anew.")
        return
    if source.type not in schemas:
        return  # an unknown node is told of once, not at each of its links
    outputs = schemas[source.type].outputs
    if not 0 <= link.slot < len(outputs):
        linked = f"it is linked to output {link.slot} of {source.label}"
        problem("missing_link", name, f"{linked}, which has {len(outputs)} outputs, numbered from 0: link it anew.")
        return
    given, wanted = output_type(link, workflow, schemas), input_type(entry)
    if not fits(given, wanted):
        mismatch = f"it takes {wanted}, but output {link.slot} of {source.label} is {given}"
        problem("return_type_mismatch", name, f"{mismatch}: link an output of type {wanted}.")


def _check_matches(
    active: dict[str, Input], inputs: dict[str, Any], workflow: Workflow, schemas: dict[str, Schema], problem: Report
) -> None:
    """Check that the inputs of one template all get the same type."""
    first: dict[str, tuple[str, str]] = {}
    for name, entry in active.items():
        if not isinstance(entry, MatchTypeInput) or not isinstance(inputs.get(name), Link):
            continue
        given = output_type(inputs[name], workflow, schemas)
        other, expected = first.setdefault(entry.template.template_id, (name, given))
        if not fits(given, expected):
            message = f'it gets {given}, but "{other}" gets {expected}: give both the same type.'
            problem("return_type_mismatch", name, message)


def output_type(link: Link, workflow: Workflow, schemas: dict[str, Schema]) -> str:
    """Return what an output gives: for one that matches an input, the type that is linked there."""
    # Those that are linked to what matches them in turn are asked for once a node: each is followed only once.
    passed: dict[Link, None] = {}
    while link not in workflow.types and link not in passed:
        passed[link] = None
        found = _given(link, workflow, schemas)
        if isinstance(found, str):
            workflow.types[link] = found
            break
        link = found
    kind = workflow.types.get(link, "*")  # a ring has none
    workflow.types.update(dict.fromkeys(passed, kind))
    return kind


def _given(link: Link, workflow: Workflow, schemas: dict[str, Schema]) -> Link | str:
    """Return the type of an output, or the link that it has its type from."""
    node = workflow.nodes.get(link.node)
    if node is None or node.type not in schemas or link.slot >= len(schemas[node.type].outputs):
        return "*"
    output = schemas[node.type].outputs[link.slot]
    if not isinstance(output, MatchTypeOutput):
        return output.get_io_type()
    template = output.template.template_id
    for entry in schemas[node.type].inputs:
        given = node.inputs.get(entry.id)
        if isinstance(entry, MatchTypeInput) and entry.template.template_id == template and isinstance(given, Link):
            return given
    return output.template.io_types


def fits(given: str, wanted: str) -> bool:
    """Return whether an output of type `given` may feed an input of type `wanted`; both may be lists, `A,B`."""
    given_types, wanted_types = set(given.split(",")), set(wanted.split(","))
    if "COMFY_DYNAMICCOMBO_V3" in wanted_types:
        wanted_types.add("COMBO")
    return bool(given_types & wanted_types) or "*" in given_types | wanted_types


def _ask_node(planned: PlannedNode, names: set[str], takes_all: bool) -> Any:
    """Return what the node's own `validate_inputs` says."""
    values = nest_values(planned.schema.inputs, planned.constants())
    wanted = {name: value for name, value in values.items() if takes_all or name in names}
    try:
        return planned.cls.validate_inputs(**wanted)
    except SoraError as error:
        return str(error)
    except Exception as error:
        return f"its own check failed ({type(error).__name__}: {error}): look at its inputs."
