"""The plan of a batch: which jobs there are, which are finished, and what the rest will take, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SoraError
from ..memory import free_memory, gib
from ..words import listing
from .estimate import guessed_speed, speed_of
from .graphs import Graphs
from .jobs import Job
from .making import Maker
from .outcome import worker_name
from .reading import Broken, read_batch
from .records import Records

AFTER = 0.06  # seconds of a job that are not model calls: writing, marking, signing


@dataclass
class Plan:
    """A batch, read."""

    name: str
    jobs: list[Job]  # each once, those of one model together
    broken: list[Broken] = field(default_factory=list)
    twice: list[tuple[int, int]] = field(default_factory=list)  # (line, the line that asks for the same)
    done: set[str] = field(default_factory=set)  # ids of what is finished

    @property
    def todo(self) -> list[Job]:
        """The jobs that are to be made."""
        return [job for job in self.jobs if job.id not in self.done]


def read_plan(path: Path, graphs: Graphs, cpus: float = 1.0, gpus: float | None = None) -> Plan:
    """Read a batch: make its jobs, hash their inputs and models. Raises SoraError for a file that is no batch."""
    drafts, broken = read_batch(path)
    maker = Maker(path, graphs, cpus, gpus)
    made: list[Job] = []
    bad: set[int] = set()
    for draft in drafts:
        if draft.line in bad:
            continue
        try:
            made.append(maker.make(draft))
        except SoraError as error:
            broken.append(Broken(draft.line, str(error)))
            bad.add(draft.line)
    jobs: dict[str, Job] = {}
    twice: list[tuple[int, int]] = []
    # Of a line that is broken nothing is made, its good values neither: it may not say what was meant.
    for job in made:
        if job.line in bad:
            continue
        if job.id in jobs:
            twice.append((job.line, jobs[job.id].line))
        jobs.setdefault(job.id, job)
    good = list(jobs.values())
    order: dict[object, int] = {}
    for job in good:
        order.setdefault((job.models, job.precision), len(order))
    good.sort(key=lambda job: order[job.models, job.precision])
    return Plan(path.name, good, sorted(broken, key=lambda each: each.line), twice)


def look_for_finished(plan: Plan, records: Records) -> None:
    """Find out which jobs are finished, by their records and files."""
    plan.done = {job.id for job in plan.jobs if records.finished(job.id) is not None}


def told(plan: Plan, records: Records | None, workers: int = 1) -> list[str]:
    """Tell a plan in a few lines: jobs, time and memory, and how the last two are known."""
    todo = plan.todo
    kinds: dict[str, int] = {}
    for job in plan.jobs:
        kinds[job.task] = kinds.get(job.task, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    lines = [f"{plan.name}: {_jobs(len(plan.jobs))} ({counted}), {len(plan.done)} finished, {len(todo)} to make."]
    if plan.twice:
        pairs = dict.fromkeys(f"line {line} as line {first}" for line, first in plan.twice)
        lines.append(f"Asked for more than once, made once: {listing(pairs, 5)}.")
    if todo:
        lines += [_time(todo, records, workers), _memory(todo)]
    return lines


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _time(todo: list[Job], records: Records | None, workers: int) -> str:
    cost, unknown = sum(job.cost for job in todo), sum(not job.cost for job in todo)
    speed, count = speed_of(records.all(), worker_name()) if records is not None else (0.0, 0)
    blind = f"; {_jobs(unknown)} of workflows are not in it, nobody can tell their time beforehand" if unknown else ""
    if unknown == len(todo):
        return "Time: nobody can tell beforehand what workflows take."
    shared = f", over {workers} workers" if workers > 1 else ""
    if count:
        seconds = cost / speed / workers
        return f"Time: about {_span(seconds)}{shared}, by {_jobs(count)} finished on this machine{blind}."
    seconds = (cost / guessed_speed() + AFTER * (len(todo) - unknown)) / workers
    low, high = _span(seconds / 2), _span(max(seconds * 2, 2))
    return f"Time: {low} to {high}{shared}, a guess by a short measurement of this machine{blind}."


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _memory(todo: list[Job]) -> str:
    most, free = max(job.needs.memory for job in todo), free_memory()
    if not most:
        return "Memory: nobody can tell beforehand what workflows take."
    return f"Memory: about {gib(most)} for the largest job, an estimate by its weights and frames" + (
        "." if free is None else f"; {gib(free)} are free here."
    )
