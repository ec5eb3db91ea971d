"""Which workers of a cluster can make a batch, found out before it begins."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import SoraError, expect
from ..memory import gib
from ..safety.policy import Policy
from ..words import listing
from . import handshake
from . import workers as there
from .connection import Head
from .here import Watcher
from .jobs import Job, Weights

ANSWER = 900.0  # seconds that a worker may take: it imports torch, and may hash models of many gigabytes
LOOK = 5.0  # seconds between two looks at whether a worker that is asked is still there
# Bytes of a model that are sent at once: of a killed command some stay in a worker's store, which may be small.
PIECE = 4 << 20


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str  # Ray's
    name: str
    cpus: float
    gpus: float
    memory: float  # bytes that Ray hands out

    def slots(self, cpus: float) -> int:
        """Count the jobs of so many cores that it can make at once."""
        return max(1, int(self.cpus // max(cpus, 0.01)))

    def has_room(self, job: Job) -> bool:
        """Tell whether a job would fit on it, were nothing else there."""
        needs = job.needs
        return self.cpus >= needs.cpus and self.gpus >= (needs.gpus or 0) and self.memory >= needs.memory


def nodes_of(ray: Any) -> list[Node]:
    """List the machines that can work: those with cores to give. Raises SoraError where there is none."""
    found = []
    for node in ray.nodes():
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) > 0:
            name = node.get("NodeManagerHostname") or node.get("NodeName") or node["NodeID"][:8]
            found.append(Node(node["NodeID"], name, has["CPU"], has.get("GPU", 0.0), has.get("memory", 0.0)))
    expect(bool(found), "The cluster has no worker with cores to give: start one with `ray start --address=HEAD:PORT`.")
    return found


def checked(
    ray: Any, jobs: list[Job], policy: Policy | None, watch: Watcher, *, send_models: bool, keep_going: bool
) -> list[Node]:
    """Return the workers that can make the jobs, and say what is to be known of each.

    Raises SoraError that names the first one that cannot, unless `keep_going` leaves it out, and where none is left.
    """
    nodes = nodes_of(ray)
    models = tuple({weights.digest: weights for job in jobs for weights in job.models}.values())
    unfit = _other_versions(ray, nodes)
    looked = _ask(ray, [node for node in nodes if node.id not in unfit], there.look, policy, models)
    lacking: dict[str, list[Node]] = {}
    for node in nodes:
        found = looked.get(node.id, unfit.get(node.id, ""))
        if isinstance(found, str):  # why there is no answer
            unfit[node.id] = found
            continue
        missing = found["lacking"]
        if not found["unfit"] and missing and not send_models:
            names = listing(f"{weights.name} ({weights.digest[:12]})" for weights in missing)
            found["unfit"] = f"lacks {names}: send it with --send-models, or name its folder there in SORA_MODELS."
        if found["unfit"]:
            unfit[node.id] = found["unfit"]
        else:
            for weights in missing:
                lacking.setdefault(weights.digest, []).append(node)
        for note in found["notes"]:
            watch.say(f"Worker {node.name}: {note}")
    for weights in models if keep_going or not unfit else ():
        if takers := [node for node in lacking.get(weights.digest, ()) if node.id not in unfit]:
            unfit |= _send(ray, takers, weights)
    told = [f"The worker {node.name} {unfit[node.id]}" for node in nodes if node.id in unfit]
    fit = [node for node in nodes if node.id not in unfit]
    if told and not (keep_going and fit):
        more = f" ({len(told) - 1} more cannot either.)" if len(told) > 1 else ""
        way = "; --keep-going leaves it out." if fit else "."
        raise SoraError(f"{told[0]}{more}\nNothing was started{way}")
    for line in told:
        watch.say(f"{line} It is left out.")
    return fit


def _other_versions(ray: Any, nodes: list[Node]) -> dict[str, str]:
    """Say which workers have other versions than this machine, or do not answer, by their ids."""
    # The question travels as it is: a worker may not have this package at all.
    ray.cloudpickle.register_pickle_by_value(handshake)
    here, unfit = handshake.versions(), {}
    for node, its in _ask(ray, nodes, handshake.versions).items():
        if why := its if isinstance(its, str) else handshake.differs(here, its):
            unfit[node] = why
    return unfit


def _ask(ray: Any, nodes: Iterable[Node], question: Callable, *given: Any) -> dict[str, Any]:
    """Ask workers at once; returns their answers by id, or in words why there is none."""
    task = _task(ray, question)
    name = f"sora {question.__name__.strip('_')}"  # in Ray's dashboard
    refs = {
        node.id: task.options(name=name, label_selector={"ray.io/node-id": node.id}).remote(*given) for node in nodes
    }
    head, waiting, end = Head(ray), list(refs.values()), time.monotonic() + ANSWER
    while waiting and time.monotonic() < end:
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=LOOK)
        if waiting and (alive := head.alive()) is not None:  # no other machine may answer for one that is gone
            waiting = [ref for node_id, ref in refs.items() if ref in waiting and node_id in alive]
    answers: dict[str, Any] = {}
    for node_id, ref in refs.items():
        try:
            answers[node_id] = ray.get(ref, timeout=0.1)
        except ray.exceptions.RayTaskError as error:
            # Of what could not be imported there Ray tells a page, whose last line is the reason.
            first, *more = str(error.cause).strip().splitlines() or [""]
            line = more[-1] if more and "Error: " in more[-1] else f"{type(error.cause).__name__}: {first}"
            answers[node_id] = f"cannot work ({line:.200}): mend its installation."
        except ray.exceptions.RayError:
            answers[node_id] = "does not answer: look at its Ray logs."
    return answers


@functools.cache
def _task(ray: Any, question: Callable) -> Any:
    """Make a task of a question, once: each new one would travel to all workers by itself."""
    # It takes no core: the machine may be at work.
    return ray.remote(num_cpus=0, max_retries=1)(question)


def _send(ray: Any, nodes: list[Node], weights: Weights) -> dict[str, str]:
    """Send a model to workers, piece by piece; returns by id why that could not be.

    Raises SoraError where the file is another one than when the batch was read.
    """
    unfit: dict[str, str] = {}
    left, offset = nodes, 0
    try:
        with weights.path.open("rb") as file:
            while left and (piece := file.read(PIECE)):
                put = ray.put(piece)
                answers = _ask(ray, left, _take, weights, offset, put)
                unfit |= {node: f"cannot take {weights.name}: {why}" for node, why in answers.items() if why}
                left, offset = [node for node in left if node.id not in unfit], offset + len(piece)
    except OSError as error:
        raise SoraError(
            f"The model {weights.path} cannot be read ({error.strerror}): run the command again."
        ) from error
    if weights.changed():
        raise SoraError(f"The model {weights.path} was changed since the plan: run the command again.")
    return unfit


def _take(weights: Weights, offset: int, piece: bytes) -> str:
    """Run on a worker, by the name that Ray has for it: several may share a home."""
    import ray

    return there.take_part(weights, offset, piece, ray.get_runtime_context().get_node_id())


def enough(jobs: list[Job], nodes: list[Node], *, keep_going: bool) -> tuple[list[Job], list[tuple[Job, str]]]:
    """Part the jobs into those that some worker has room for, and the others, each with why.

    Raises SoraError for the first of these unless `keep_going`.
    """
    small = []
    for job in jobs:
        if any(node.has_room(job) for node in nodes):
            continue
        most = max(nodes, key=lambda node: (node.memory, node.cpus))
        needs = [f"{gib(job.needs.memory)} of memory"] * (job.needs.memory > most.memory)
        needs += [f"{job.needs.cpus:g} cores"] * (job.needs.cpus > max(node.cpus for node in nodes))
        needs += [f"{job.needs.gpus or 0:g} GPUs"] * ((job.needs.gpus or 0) > max(node.gpus for node in nodes))
        told = " and ".join(needs) or "more than one worker has of all together"
        small.append((job, f"needs {told}; the largest worker, {most.name}, has {gib(int(most.memory))}, {most.cpus:g} "
                           f"cores, {most.gpus:g} GPUs. Use a smaller size, or a larger worker."))  # fmt: skip
    if small and not keep_going:
        job, why = small[0]
        raise SoraError(f"Line {job.line}, {job.name}, {why}\nNothing was started; --keep-going makes the other jobs.")
    left = {job.id for job, _ in small}
    return [job for job in jobs if job.id not in left], small
