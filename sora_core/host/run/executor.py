"""Runs a plan: each node after its sources, results cached, events told, stopped on request.

Knows nothing of terminals or sockets: a listener gets `(event, data)`, with ComfyUI's event names:

    execution_start {nodes}   execution_cached {nodes}   executing {node, title, type, index, total}
    progress {node, value, max, preview}   progress_text {node, text}   executed {node, output, seconds}
    execution_success {seconds}   execution_interrupted {node, executed}
    execution_error {node, type, message}
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import SoraError
from ...pipeline.progress import Interrupted, Running, running
from ...safety.gate import check_preview
from ..api.dynamic import nest_values
from ..api.schema import Hidden, HiddenHolder, NodeOutput, UIOutput
from ..graph.workflow import Link
from ..graph.validate import Plan, PlannedNode
from ..packs import run_coroutine
from . import guard
from .cache import OutputCache, Result, saved_files, signatures

Listener = Callable[[str, dict[str, Any]], None]


class NodeFailed(SoraError):
    """A node raised. The original exception is the `__cause__`; `node_id` says where."""

    def __init__(self, planned: PlannedNode, error: BaseException):
        self.node_id, self.node_type = planned.node.id, planned.node.type
        label = planned.node.label[0].upper() + planned.node.label[1:]
        super().__init__(f"{label}: {_explain(error)}")


def _explain(error: BaseException) -> str:
    if isinstance(error, SoraError):
        return str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return "not enough memory: use a smaller size or fewer frames."
    if isinstance(error, ModuleNotFoundError) and error.name:
        # Installed or not is a matter of the user's machine; only what needs the library stops.
        package = error.name.split(".")[0]
        return f"this needs the package {package}, which is not installed: pip install {package}."
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line} (this is a fault in the node; --debug shows where)"


@dataclass
class RunResult:
    """What a run made. `outputs` holds what nodes show by id, `files` the files in the output folder."""

    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Executor:
    """Runs plans one after the other. With a cache, a later run re-uses what did not change."""

    def __init__(self, cache: OutputCache | None = None):
        self.cache = cache
        self._stop = threading.Event()

    def interrupt(self) -> None:
        """Stop the run at its next step or node. May be called from any thread."""
        self._stop.set()

    def run(self, plan: Plan, listener: Listener | None = None) -> RunResult:
        """Run `plan`. Raises NodeFailed when a node does, Interrupted after `interrupt()`."""
        return run_coroutine(self.run_async(plan, listener))

    async def run_async(self, plan: Plan, listener: Listener | None = None) -> RunResult:
        self._stop.clear()
        return await _Run(self, plan, listener or (lambda event, data: None)).go()


class _Run:
    """The state of one run."""

    def __init__(self, executor: Executor, plan: Plan, tell: Listener):
        self.cache, self.stop, self.plan, self.tell = executor.cache, executor._stop, plan, tell
        # Checking a preview that nobody shows would be work for nothing.
        self.previews = getattr(tell, "shows_previews", True)
        self.signatures = signatures(plan)
        self.results: dict[str, Result] = {}
        self.wanted: dict[str, set[str]] = {}
        self.result = RunResult()
        self.prompt = plan.workflow.prompt()
        source = plan.workflow.source
        self.extra = {"workflow": source} if source else None
        # How many links still need a node's outputs; only counted when nothing is cached.
        self.consumers = dict.fromkeys(plan.nodes, 0)
        for planned in plan.nodes.values():
            for _, link in planned.links():
                self.consumers[link.node] += 1

    async def go(self) -> RunResult:
        started = time.perf_counter()
        self.tell("execution_start", {"nodes": list(self.plan.nodes)})
        for node_id, signature in self.signatures.items():
            found = self.cache.get(signature) if self.cache else None
            if found is not None:
                self.results[node_id] = found
        self.result.cached = list(self.results)
        self.tell("execution_cached", {"nodes": self.result.cached})
        for node_id in self.result.cached:
            self._show(node_id, self.results[node_id], 0.0)
        try:
            # `plan.nodes` stands in an order where sources come first, but lazy inputs are only followed on
            # demand: so each output pulls what it needs.
            for output in self.plan.outputs:
                await self._pull(output)
        finally:
            if self.cache:
                self.cache.keep_only({self.signatures[node_id] for node_id in self.results})
        self.result.seconds = time.perf_counter() - started
        self.tell("execution_success", {"seconds": self.result.seconds})
        return self.result

    async def _pull(self, output: str) -> None:
        """Run `output` and whatever it needs, without recursion: chains of nodes can be long."""
        stack = [output]
        while stack:
            node_id = stack[-1]
            if node_id in self.results:
                stack.pop()
                continue
            planned = self.plan.nodes[node_id]
            wanted = self.wanted.setdefault(node_id, {name for name, _ in planned.links(lazy=False)})
            missing = [link.node for name, link in planned.links() if name in wanted and link.node not in self.results]
            if missing:
                stack.extend(reversed(missing))
                continue
            more = self._ask_lazy(planned, wanted)
            if more:
                wanted |= more
                continue
            await self._execute(planned, wanted)
            stack.pop()

    def _ask_lazy(self, planned: PlannedNode, wanted: set[str]) -> set[str]:
        """The lazy inputs that the node asks for, now that the `wanted` ones are known."""
        open_names = {name for name, _ in planned.links(lazy=True)} - wanted
        if not open_names:
            return set()
        known = self._values(planned, wanted)
        arguments = {name: values[0] if values else None for name, values in known.items()}
        arguments.update(dict.fromkeys(open_names))
        with self._guard(planned):
            asked = planned.cls.check_lazy_status(**nest_values(planned.schema.inputs, arguments))
        return open_names & set(asked or ())

    def _values(self, planned: PlannedNode, wanted: set[str]) -> dict[str, list[Any]]:
        """Each known input as a list of values, links followed."""
        values = {}
        for name, value in planned.inputs.items():
            if not isinstance(value, Link):
                values[name] = [value]
            elif name in wanted:
                outputs = self.results[value.node].outputs
                values[name] = outputs[value.slot] if value.slot < len(outputs) else [None]
        return values

    async def _execute(self, planned: PlannedNode, wanted: set[str]) -> None:
        node_id = planned.node.id
        self._check_stop(node_id)
        values = self._values(planned, wanted)
        blocked = next(
            (
                self.results[link.node].blocked
                for name, link in planned.links()
                if name in wanted and self.results[link.node].blocked is not None
            ),
            None,
        )
        self.tell(
            "executing",
            {
                "node": node_id,
                "title": planned.title,
                "type": planned.node.type,
                "index": len(self.results),
                "total": len(self.plan.nodes),
            },
        )
        started = time.perf_counter()
        if blocked is not None:
            result = Result([[None] for _ in planned.schema.outputs], blocked=blocked)
        else:
            with self._guard(planned):
                result = await self._call(planned, values)
        if result.blocked is not None:
            self.result.blocked[node_id] = result.blocked
        seconds = time.perf_counter() - started
        self.results[node_id] = result
        self.result.timings[node_id] = seconds
        if self.cache:
            self.cache.put(self.signatures[node_id], result)
        else:
            self._release(planned)
        self._show(node_id, result, seconds)

    async def _call(self, planned: PlannedNode, values: dict[str, list[Any]]) -> Result:
        """Call `execute` once, or once per entry of the longest input list, as ComfyUI maps lists."""
        cls = planned.cls.with_hidden(self._hidden(planned))
        values = guard.incoming(planned, values)
        node_id = planned.node.id
        running_node = Running(
            node_id,
            self._progress(node_id),
            self.stop.is_set,
            lambda text: self.tell("progress_text", {"node": node_id, "text": text}),
        )
        returned = []
        with guard.texts(self.plan, planned, values), running(running_node), torch.no_grad():
            for arguments in _calls(values, planned.schema.is_input_list):
                value = cls.execute(**nest_values(planned.schema.inputs, arguments))
                returned.append(NodeOutput.from_any(await value if inspect.isawaitable(value) else value))
        return guard.outgoing(_merge(planned, returned))

    def _hidden(self, planned: PlannedNode) -> HiddenHolder:
        have = {Hidden.unique_id: planned.node.id, Hidden.prompt: self.prompt, Hidden.extra_pnginfo: self.extra}
        return HiddenHolder(**{h.name: have[h] for h in planned.schema.hidden if h in have})

    def _progress(self, node_id: str) -> Callable[[int, int, Any], None]:
        def on_progress(value: int, total: int, preview: Any) -> None:
            shown = check_preview(preview) if self.previews else None
            self.tell("progress", {"node": node_id, "value": value, "max": total, "preview": shown})

        return on_progress

    def _check_stop(self, node_id: str) -> None:
        if self.stop.is_set():
            self._interrupted(node_id)
            raise Interrupted()

    def _interrupted(self, node_id: str) -> None:
        self.tell("execution_interrupted", {"node": node_id, "executed": list(self.results)})

    def _guard(self, planned: PlannedNode) -> _Guard:
        return _Guard(self, planned)

    def _release(self, planned: PlannedNode) -> None:
        """Without a cache, drop outputs that nothing needs any more: videos are large."""
        for _, link in planned.links():
            self.consumers[link.node] -= 1
            if self.consumers[link.node] == 0 and link.node in self.results:
                self.results[link.node].outputs = []

    def _show(self, node_id: str, result: Result, seconds: float) -> None:
        if result.ui is not None:
            self.result.outputs[node_id] = result.ui
            self.result.files += saved_files(result.ui)
        self.tell("executed", {"node": node_id, "output": result.ui, "seconds": seconds})


class _Guard:
    """Turns what a node raises into NodeFailed, and tells the listener."""

    def __init__(self, run: _Run, planned: PlannedNode):
        self.run, self.planned = run, planned

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        node = self.planned.node
        if isinstance(error, (Interrupted, KeyboardInterrupt)):
            self.run._interrupted(node.id)
        elif isinstance(error, Exception):
            failed = NodeFailed(self.planned, error)
            self.run.tell("execution_error", {"node": node.id, "type": node.type, "message": str(failed)})
            raise failed from error


def _calls(values: dict[str, list[Any]], whole_lists: bool) -> list[dict[str, Any]]:
    """The arguments of each call: the longest list sets the number, shorter ones repeat their last value."""
    if whole_lists:
        return [values]
    count = max((len(v) for v in values.values()), default=1)
    if any(not v for v in values.values()):
        # An empty list: there is nothing to work on.
        return []
    return [{name: v[min(i, len(v) - 1)] for name, v in values.items()} for i in range(count)]


def _merge(planned: PlannedNode, returned: list[NodeOutput]) -> Result:
    outputs: list[list[Any]] = [[] for _ in planned.schema.outputs]
    shown: dict[str, Any] = {}
    blocked = None
    for output in returned:
        if output.expand is not None:
            raise SoraError("it expands into other nodes, which this host cannot do: run it in ComfyUI.")
        ui = output.ui.as_dict() if isinstance(output.ui, UIOutput) or hasattr(output.ui, "as_dict") else output.ui
        for key, value in (ui or {}).items():
            shown[key] = [*shown.get(key, []), *value] if isinstance(value, (list, tuple)) else value
        if output.block_execution is not None:
            blocked = output.block_execution
            continue
        if len(output.args) not in (0, len(outputs)):
            raise ValueError(f"it returned {len(output.args)} values for {len(outputs)} outputs")
        for slot, socket in enumerate(planned.schema.outputs):
            value = output.args[slot] if output.args else None
            outputs[slot] += value if socket.is_output_list and isinstance(value, list) else [value]
    return Result(outputs, shown or None, blocked)
