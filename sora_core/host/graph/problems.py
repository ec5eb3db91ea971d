"""What can be wrong with a workflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def blaming(node_id: str, node_type: str, name: str | None = None) -> Iterator[None]:
    """Turn a SoraError within the block into one that says of which node it is, and of which input."""
    try:
        yield
    except WorkflowError:
        raise
    except SoraError as wrong:
        raise WorkflowError([Problem("custom_validation_failed", str(wrong), node_id, node_type, name)]) from wrong
