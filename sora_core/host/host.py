"""The host in one object: nodes, folders, workflows, runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..safety.policy import Policy, use_policy
from .desk import folders as folders_module
from .desk.folders import Folders
from .graph.load import load_workflow, parse_workflow
from .graph.overrides import apply_overrides
from .graph.validate import Plan, make_plan
from .graph.workflow import Workflow
from .packs import Registry, own_pack
from .run import guard
from .run.cache import OutputCache
from .run.executor import Executor, Listener, RunResult


class Host:
    """Loads the core nodes and node packs once, then runs workflows.

    `folders` become the ones in force in this process. `packs` are folders of node packs; None means the pack
    that belongs to this package. With `keep_results`, a second run re-uses what did not change. `policy` comes into
    force in this process; None leaves the one that is, which may be the machine's or the environment's.
    """

    def __init__(
        self,
        folders: Folders | None = None,
        packs: Iterable[Path] | None = None,
        keep_results: bool = True,
        policy: Policy | None = None,
    ):
        self.policy = policy
        self.folders = folders or Folders()
        folders_module.use(self.folders)
        self.registry = Registry()
        from .core_nodes import CORE_NODES

        for node in CORE_NODES:
            self.registry.add(node)
        own = own_pack()
        self.registry.load_packs(packs if packs is not None else [own] if own else [])
        self.executor = Executor(OutputCache() if keep_results else None)

    def load(self, workflow: str | Path | dict[str, Any], settings: Iterable[str] = ()) -> Workflow:
        """Read a workflow (a file's path or parsed JSON) and apply `NODE.INPUT=VALUE` settings."""
        if isinstance(workflow, dict):
            loaded = parse_workflow(workflow, self.registry)
        else:
            loaded = load_workflow(workflow, self.registry)
        apply_overrides(loaded, self.registry, list(settings))
        return loaded

    def plan(self, workflow: Workflow) -> Plan:
        """Check a workflow. Raises WorkflowError."""
        return make_plan(workflow, self.registry)

    def run(
        self,
        workflow: Workflow | str | Path | dict[str, Any],
        settings: Iterable[str] = (),
        listener: Listener | None = None,
    ) -> RunResult:
        """Check and run a workflow. Raises SoraError for anything a user can put right."""
        if not isinstance(workflow, Workflow):
            workflow = self.load(workflow, settings)
        folders_module.use(self.folders)
        if self.policy is not None:
            use_policy(self.policy)
        plan = self.plan(workflow)
        guard.check_plan(plan)
        return self.executor.run(plan, listener)
