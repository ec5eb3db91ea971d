"""The host in one object: nodes, folders, workflows, runs."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import remove_dead_temps
from ..safety.policy import Policy, in_force
from .desk.folders import Folders, using
from .graph.load import load_workflow, parse_workflow
from .graph.names import PREFIX
from .graph.overrides import apply_overrides
from .graph.validate import Plan, make_plan
from .graph.workflow import Workflow
from .packs import Registry, own_pack
from .run import guard
from .run.cache import OutputCache
from .run.events import AnyListener
from .run.executor import Executor, RunResult
from .run.memory import check_memory


class Host:
    """Loads the core nodes and node packs once, then runs workflows.

    Several hosts may live in one process, and runs may go on at the same time in several threads.
    """

    def __init__(
        self,
        folders: Folders | None = None,
        packs: Iterable[Path] | None = None,
        keep_results: bool = True,
        policy: Policy | None = None,
    ) -> None:
        """Load the nodes.

        packs: folders of node packs; None means the pack that belongs to this package. One that fails is recorded in
            `registry.packs` with its error.
        keep_results: a second run re-uses what did not change.
        policy: in force while this host reads and runs workflows; None leaves the one that is, which may be the
            machine's or the environment's.
        """
        remove_dead_temps()
        self.policy = policy
        self.folders = folders or Folders()
        self.registry = Registry()
        self.executor = Executor(OutputCache() if keep_results else None)
        # The core nodes need torch and more: `import` of this module stays cheap.
        from .core_nodes import CORE_NODES

        own = own_pack()
        with self.active():
            for node in CORE_NODES:
                self.registry.add(node)
            self.registry.load_packs(packs if packs is not None else [own] if own else [])

    @contextmanager
    def active(self) -> Iterator[None]:
        """Put this host's folders and policy in force within the block: schemas list the files in the folders."""
        with using(self.folders), in_force(self.policy):
            yield

    def load(self, workflow: str | Path | dict[str, Any], settings: Iterable[str] = ()) -> Workflow:
        """Read a workflow (a file's path or parsed JSON) and apply `NODE.INPUT=VALUE` settings.

        Raises SoraError for what is no workflow, and for a setting that does not fit.
        """
        with self.active():
            if isinstance(workflow, dict):
                loaded = parse_workflow(workflow, self.registry)
            else:
                loaded = load_workflow(workflow, self.registry)
            apply_overrides(loaded, self.registry, list(settings))
        return loaded

    def plan(self, workflow: Workflow, targets: Collection[str] | None = None) -> Plan:
        """Check a workflow, or what these output nodes need of it. Raises WorkflowError."""
        with self.active():
            return make_plan(workflow, self.registry, targets)

    def check(self, workflow: Workflow, targets: Collection[str] | None = None) -> Plan:
        """Do what `plan` does, and judge memory and the texts by the policy. Raises SoraError."""
        with self.active():
            plan = self.plan(workflow, targets)
            if any(PREFIX in planned.active for planned in plan.nodes.values()):
                # The nodes of this package ask for themselves, those of others may not.
                self.folders.check_prefix("sora")
            check_memory(plan)
            guard.check_plan(plan)
            return plan

    def run(
        self,
        workflow: Workflow | str | Path | dict[str, Any],
        settings: Iterable[str] = (),
        listener: AnyListener | None = None,
        stop: threading.Event | None = None,
    ) -> RunResult:
        """Check and run a workflow. Raises SoraError for anything a user can put right.

        stop: once set, by any thread, it stops this run at its next step or node, which raises Interrupted.
        """
        if not isinstance(workflow, Workflow):
            workflow = self.load(workflow, settings)
        return self.run_plan(self.check(workflow), listener, stop)

    def run_plan(
        self,
        plan: Plan,
        listener: AnyListener | None = None,
        stop: threading.Event | None = None,
        owner: str | None = None,
    ) -> RunResult:
        """Run what `check` gave, see `Executor.run`."""
        with self.active():
            return self.executor.run(plan, listener, stop, owner)
