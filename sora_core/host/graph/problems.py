"""What can be wrong with a workflow."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import SoraError


@dataclass
class Problem:
    """One thing wrong with a workflow."""

    kind: str  # ComfyUI's word for it, which its frontend knows
    message: str
    node_id: str | None = None
    node_type: str | None = None
    input: str | None = None


class WorkflowError(SoraError):
    """A workflow that cannot run, with everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        more = f"\nAnd {len(problems) - 1} more: {problems[1].message}" if len(problems) > 1 else ""
        super().__init__(problems[0].message + more)
