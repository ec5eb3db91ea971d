"""Runs a plan: each node after its sources, results cached, events told, stopped on request.

Knows nothing of terminals or sockets: whoever wants to watch hands in a listener (see `events.py`).
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import NO_MEMORY, SoraError, is_out_of_memory, words_for_input
from ...media.origin import hand_on
from ...pipeline.progress import Interrupted, Running, running
from ...pipeline.stopping import Stoppable
from ...safety.gate import check_preview, noting
from ...words import printable
from ..api.dynamic import nest_values
from ..api.schema import Hidden, HiddenHolder, NodeOutput, UIOutput
from ..api.video import VideoFromComponents
from ..graph.validate import Plan, PlannedNode
from ..graph.workflow import Link
from ..packs import run_coroutine
from . import guard
from .cache import OutputCache, Result, saved_files, signatures
from .events import AnyListener


class NodeError(SoraError):
    """A node raised. The original exception is the `__cause__`; `node_id` says where."""

    def __init__(self, planned: PlannedNode, error: BaseException) -> None:
        self.node_id, self.node_type = planned.node.id, planned.node.type
        super().__init__(printable(f"{planned.node.heading}: {_explain(error)}"))


def _explain(error: BaseException) -> str:
    if isinstance(error, SoraError):
        return str(error)
    if is_out_of_memory(error):
        return NO_MEMORY
    if isinstance(error, ModuleNotFoundError) and error.name:
        # Installed or not is a matter of the user's machine; only what needs the library stops.
        package = error.name.split(".")[0]
        return f"this needs the package {package}, which is not installed: pip install {package}."
    if told := words_for_input(error):
        return told
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line} (this is a fault in the node; --debug shows where)"


@dataclass
class RunResult:
    """What a run made."""

    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)  # what nodes show, by node id
    files: list[Path] = field(default_factory=list)  # those in the output folder
    timings: dict[str, float] = field(default_factory=dict)  # seconds, by id of the nodes that ran
    cached: list[str] = field(default_factory=list)  # ids of the nodes that need not run again
    blocked: dict[str, str] = field(default_factory=dict)  # why a node, or what follows it, did not run, by id
    left_out: dict[str, str] = field(default_factory=dict)  # why an output could not be made beside the others, by id
    seconds: float = 0.0


class Executor:
    """Runs plans. With a cache, a later run re-uses what did not change.

    Runs may go on at the same time in several threads; each has a `stop` of its own.
    """

    def __init__(self, cache: OutputCache | None = None) -> None:
        self.cache = cache
        self._stops: list[threading.Event] = []  # of the runs that go on
        self._lock = threading.Lock()

    def interrupt(self) -> None:
        """Stop every run that goes on, at its next step or node. May be called from any thread."""
        with self._lock:
            for stop in self._stops:
                stop.set()

    def run(
        self,
        plan: Plan,
        listener: AnyListener | None = None,
        stop: threading.Event | None = None,
        owner: str | None = None,
    ) -> RunResult:
        """Run `plan`. Raises NodeError when a node does, Interrupted after `interrupt()` or once `stop` is set.

        owner: whose results a later run re-uses though others have run graphs meanwhile.
        """
        return run_coroutine(self.run_async(plan, listener, stop, owner))

    async def run_async(
        self,
        plan: Plan,
        listener: AnyListener | None = None,
        stop: threading.Event | None = None,
        owner: str | None = None,
    ) -> RunResult:
        """Do what `run` does, in the event loop that is running. Nodes work in its thread, one after the other."""
        stop = stop or threading.Event()
        with self._lock:
            self._stops.append(stop)
        try:
            return await _Run(plan, self.cache, stop, listener or (lambda event, data: None), owner).go()
        finally:
            with self._lock:
                self._stops.remove(stop)


class _Run:
    """The state of one run."""

    def __init__(
        self, plan: Plan, cache: OutputCache | None, stop: threading.Event, tell: AnyListener, owner: str | None
    ) -> None:
        self.plan, self.cache, self.stop, self.tell, self.owner = plan, cache, stop, tell, owner
        # Checking a preview that nobody shows would be work for nothing.
        self.previews = getattr(tell, "shows_previews", True)
        self.signatures = signatures(plan)
        self.results: dict[str, Result] = {}
        # The linked inputs that a node needs: all but the lazy ones, and those that it asks for.
        self.wanted: dict[str, set[str]] = {}
        self.result = RunResult(left_out=plan.left_out)
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
        self._recall()
        try:
            # `plan.nodes` stands in an order where sources come first, but lazy inputs are only followed on
            # demand: so each output pulls what it needs.
            for output in self.plan.outputs:
                await self._pull(output)
        finally:
            if self.cache:
                self.cache.keep_only({self.signatures[node_id] for node_id in self.results}, self.owner)
        self.result.seconds = time.perf_counter() - started
        self.tell("execution_success", {"seconds": self.result.seconds})
        return self.result

    def _recall(self) -> None:
        """Take from the cache what need not run again."""
        for node_id, signature in self.signatures.items():
            found = self.cache.get(signature) if self.cache else None
            if found is not None:
                self.results[node_id] = found
        self.result.cached = list(self.results)
        self.tell("execution_cached", {"nodes": self.result.cached})
        for node_id in self.result.cached:
            self._show(node_id, self.results[node_id], 0.0)

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
        """Return the lazy inputs that the node asks for, now that the `wanted` ones are known."""
        open_names = {name for name, _ in planned.links(lazy=True)} - wanted
        if not open_names:
            return set()
        known = self._values(planned, wanted)
        arguments = {name: values[0] if values else None for name, values in known.items()}
        arguments.update(dict.fromkeys(open_names))
        with self._named(planned):
            asked = planned.cls.check_lazy_status(**nest_values(planned.schema.inputs, arguments))
        return open_names & set(asked or ())

    def _values(self, planned: PlannedNode, wanted: set[str]) -> dict[str, list[Any]]:
        """Return each known input as a list of values, links followed."""
        values = {}
        for name, value in planned.inputs.items():
            if not isinstance(value, Link):
                values[name] = [value]
            elif name in wanted:
                outputs = self.results[value.node].outputs
                values[name] = outputs[value.slot] if value.slot < len(outputs) else [None]
        return values

    async def _execute(self, planned: PlannedNode, wanted: set[str]) -> None:
        """Run one node, or pass on what blocks it, and tell of it."""
        node_id = planned.node.id
        if self.stop.is_set():
            self._interrupted(node_id)
            raise Interrupted()
        values = self._values(planned, wanted)
        sources = [self.results[link.node] for name, link in planned.links() if name in wanted]
        blocked = next((source.blocked for source in sources if source.blocked is not None), None)
        place = {"index": len(self.results), "total": len(self.plan.nodes)}
        self.tell("executing", {"node": node_id, "title": printable(planned.title), "type": planned.node.type, **place})
        started = time.perf_counter()
        if blocked is not None:
            result = Result([[None] for _ in planned.schema.outputs], blocked=blocked)
        else:
            with self._named(planned):
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
        returned: list[NodeOutput] = []
        said: list[str] = []
        node = self._running(planned.node.id)
        with noting(said):
            values = guard.incoming(planned, values)
            with guard.texts(self.plan, planned, values), running(node), torch.no_grad():
                for arguments in _calls(values, planned.schema.is_input_list):
                    with Stoppable():
                        value = cls.execute(**nest_values(planned.schema.inputs, arguments))
                    output = NodeOutput.from_any(await value if inspect.isawaitable(value) else value)
                    hand_on(_flat(arguments.values()), _flat(output.args))
                    returned.append(output)
            result = guard.outgoing(_merge(planned, returned))
        if said:
            node.on_text("\n".join(said))
            # Kept with the result too, so that a node that need not run again says it again.
            shown = result.ui or {}
            result.ui = {**shown, "text": [*shown.get("text", ()), *said]}
        return result

    def _hidden(self, planned: PlannedNode) -> HiddenHolder:
        have = {Hidden.unique_id: planned.node.id, Hidden.prompt: self.prompt, Hidden.extra_pnginfo: self.extra}
        return HiddenHolder(**{h.name: have[h] for h in planned.schema.hidden if h in have})

    def _running(self, node_id: str) -> Running:
        """Connect a node's code to the listener, and to the order to stop."""

        def on_progress(value: int, total: int, preview: Any) -> None:
            shown = check_preview(preview) if self.previews else None
            self.tell("progress", {"node": node_id, "value": value, "max": total, "preview": shown})

        def on_text(text: str) -> None:
            self.tell("progress_text", {"node": node_id, "text": text})

        def on_picture(picture: Any) -> None:
            self.tell("picture", {"node": node_id, "picture": picture})

        return Running(on_progress, self.stop.is_set, on_text, self.previews, on_picture)

    @contextmanager
    def _named(self, planned: PlannedNode) -> Iterator[None]:
        """Turn what a node raises into a NodeError, and tell the listener."""
        node = planned.node
        try:
            yield
        except (Interrupted, KeyboardInterrupt):
            self._interrupted(node.id)
            raise
        except (Exception, SystemExit) as error:
            failed = NodeError(planned, error)
            self.tell("execution_error", {"node": node.id, "type": node.type, "message": str(failed)})
            raise failed from error

    def _interrupted(self, node_id: str) -> None:
        self.tell("execution_interrupted", {"node": node_id, "executed": list(self.results)})

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


def _calls(values: dict[str, list[Any]], whole_lists: bool) -> list[dict[str, Any]]:
    """List the arguments of each call: the longest list sets the number, shorter ones repeat their last value."""
    if whole_lists:
        return [values]
    count = max((len(v) for v in values.values()), default=1)
    if any(not v for v in values.values()):
        # An empty list: there is nothing to work on.
        return []
    return [{name: v[min(i, len(v) - 1)] for name, v in values.items()} for i in range(count)]


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Yield what a node takes or gives, lists entry by entry, and the frames of a video that is in memory."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value.get_components().images if isinstance(value, VideoFromComponents) else value


def _merge(planned: PlannedNode, returned: list[NodeOutput]) -> Result:
    """Put together what the calls of one node returned."""
    outputs: list[list[Any]] = [[] for _ in planned.schema.outputs]
    shown: dict[str, Any] = {}
    blocked = None
    for output in returned:
        if output.expand is not None:
            raise SoraError("it expands into other nodes, which this host cannot do: run it in ComfyUI.")
        for key, value in _ui_dict(output.ui).items():
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


def _ui_dict(shown: UIOutput | dict[str, Any] | None) -> dict[str, Any]:
    """Convert what a node shows to JSON. A pack may have a class of its own for it."""
    if shown is None or isinstance(shown, dict):
        return shown or {}
    return shown.as_dict()
