"""A batch on a Ray cluster: what to ask of Ray, and what to make of its answers.

Ray starts the workers, places the jobs by what they need, brings inputs, and does a dead worker's job again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from ..errors import SoraError, expect
from ..safety.policy import Policy, enforced_policy
from ..words import listing
from . import workers as there
from .connection import Head, connected
from .fitness import Node, checked, enough, nodes_of
from .here import Stopped, Watcher
from .jobs import Input, Job
from .outcome import about, changed_since, words_of
from .records import FAILED, Records, now

RETRIES = 4  # times that a job is begun again where its worker died: one that kills every worker must end
AHEAD = 2  # jobs that wait for a worker, for each that works: it need not wait for us
BETWEEN = 5.0  # seconds from one count of the workers to the next


class Inputs:
    """The inputs of a batch in Ray's store: each once, for as long as a job is to come that reads it."""

    def __init__(self, ray: Any, jobs: list[Job]) -> None:
        self.ray = ray
        self.left = Counter(each.digest for job in jobs for each in {i.digest: i for i in job.inputs}.values())
        self.refs: dict[str, Any] = {}

    def refs_of(self, job: Job) -> dict[str, Any]:
        """Put what a job reads into the store; returns references by hash. Raises SoraError for what was changed."""
        return {each.digest: self._ref(each) for each in job.inputs}

    def _ref(self, each: Input) -> Any:
        if each.digest not in self.refs:
            data = each.path.read_bytes()
            same = hashlib.sha256(data).hexdigest() == each.digest
            expect(same, f"{each.path} was changed since the plan: run the command again.")
            # In a list, so that a worker that has the input already fetches nothing.
            self.refs[each.digest] = self.ray.put(data)
        return self.refs[each.digest]

    def used(self, job: Job) -> None:
        """Let go of what no further job reads."""
        for digest in {each.digest for each in job.inputs}:
            self.left[digest] -= 1
            if self.left[digest] <= 0:
                self.refs.pop(digest, None)


def run_on_ray(
    jobs: list[Job],
    records: Records,
    watch: Watcher,
    *,
    address: str,
    workers: int | None = None,
    send_models: bool = False,
    keep_going: bool = False,
) -> list[Job]:
    """Make jobs on a cluster; returns those that another process has in hand.

    Raises SoraError, before any job begins, for an address that nobody answers and for workers that cannot make the
    jobs, and Stopped where no worker is left or the disk here is full.
    """
    with connected(address, workers) as ray:
        policy = enforced_policy()
        if not keep_going:
            enough(jobs, nodes_of(ray), keep_going=False)  # before models are looked for, and sent
        nodes = checked(ray, jobs, policy, watch, send_models=send_models, keep_going=keep_going)
        jobs, small = enough(jobs, nodes, keep_going=keep_going)
        for job, why in small:
            watch.ended(job, records.fail(job, FAILED, why, {**about(job), "ended": now()}))
        return Round(ray, jobs, records, watch, nodes, policy).go()


class Round:
    """One batch on a cluster."""

    def __init__(
        self, ray: Any, jobs: list[Job], records: Records, watch: Watcher, nodes: list[Node], policy: Policy | None
    ) -> None:
        self.ray, self.records, self.watch = ray, records, watch
        self.policy, self.nodes = policy, {node.id: node for node in nodes}
        self.inputs, self.head = Inputs(ray, jobs), Head(ray)
        self.jobs = iter(jobs)
        self.again: list[Job] = []  # whose worker had no room
        self.pending: dict[Any, Job] = {}
        self.elsewhere: list[Job] = []
        slots = sum(node.slots(min((job.needs.cpus for job in jobs), default=1.0)) for node in nodes)
        self.window = max(2, (1 + AHEAD) * slots)
        self.task = ray.remote(max_calls=0)(_remote)  # with a GPU too the process keeps the model

    def go(self) -> list[Job]:
        """Hand out jobs and take in what comes back, until all have ended."""
        try:
            counted = time.monotonic()
            while self._fill():
                ready, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=1.0)
                for ref in ready:
                    self._settle(ref, self.pending.pop(ref))
                if time.monotonic() - counted > BETWEEN:
                    self._count()
                    counted = time.monotonic()
            return self.elsewhere
        finally:
            # What still runs ends when this process takes its leave of Ray. It is not cancelled before: where a worker
            # answers meanwhile, Ray aborts the process.
            for job in self.pending.values():
                self.records.give(job.id)

    def _fill(self) -> bool:
        """Hand out jobs until enough are under way. Returns whether there is anything to wait for."""
        while len(self.pending) < self.window:
            job = self.again.pop() if self.again else next(self._next(), None)
            if job is None:
                break
            try:
                self._hand_out(job)
            except (SoraError, OSError) as error:
                self._failed(job, words_of(error).why, {})
        return bool(self.pending)

    def _next(self) -> Iterator[Job]:
        """Yield the next job that is still to be made, and that this process may make."""
        for job in self.jobs:
            if not self.records.take(job.id):
                self.elsewhere.append(job)
                continue
            if (before := self.records.finished(job.id)) is not None:
                self.records.give(job.id)
                self.watch.ended(job, before)
                continue
            if why := changed_since(job):
                self._failed(job, why, {})
                continue
            yield job

    def _hand_out(self, job: Job) -> None:
        refs = {digest: [ref] for digest, ref in self.inputs.refs_of(job).items()}
        gpus = job.needs.gpus
        if gpus is None:
            gpus = 1.0 if any(node.gpus >= 1 for node in self.nodes.values()) else 0.0
        task = self.task.options(
            name=job.stem,
            num_cpus=job.needs.cpus,
            num_gpus=gpus,
            memory=job.needs.memory or None,
            max_retries=RETRIES,
            label_selector={"ray.io/node-id": f"in({','.join(self.nodes)})"},
        )
        self.pending[task.remote(job, self.policy, refs)] = job

    def _settle(self, ref: Any, job: Job) -> None:
        """Take in how a job ended."""
        try:
            answer = self.ray.get(ref)
        except self.ray.exceptions.TaskUnschedulableError:
            # The workers that might have taken it are gone: it goes to those that are left, if any is.
            self.again.append(job)
            time.sleep(0.5)  # Ray may hear of that later than we
            self._count()
            return
        except self.ray.exceptions.RayError as error:
            self._failed(job, _words(error), {})
            return
        told = {**about(job), **answer["told"], "ended": now()}
        if answer["stops"]:
            self._without(answer["told"]["node"], answer["told"]["worker"], answer["why"])
            self.again.append(job)
        elif answer["state"] == "done":
            self._keep(job, answer, told)
        else:
            self._failed(job, answer["why"], told, answer["state"])

    def _keep(self, job: Job, answer: dict[str, Any], told: dict[str, Any]) -> None:
        try:
            place = self.records.place(job)
            place.mkdir(parents=True, exist_ok=True)
            files = []
            for name, data in answer["files"]:
                files.append(place / os.path.basename(name))
                files[-1].write_bytes(data)
            record = self.records.finish(job, files, told, answer["picture"])
        except Exception as error:
            ended = words_of(error)
            if ended.stops:
                raise Stopped(f"{ended.why} What is finished stays; the same command goes on from here.") from error
            self._failed(job, ended.why, told)
            return
        self.inputs.used(job)
        self.records.give(job.id)
        self.watch.ended(job, record)

    def _failed(self, job: Job, why: str, told: dict[str, Any], state: str = FAILED) -> None:
        self.inputs.used(job)
        record = self.records.fail(job, state, why, told or {**about(job), "ended": now()})
        self.records.give(job.id)
        self.watch.ended(job, record)

    def _without(self, node: str, name: str, why: str) -> None:
        """Give no further job to a worker."""
        if self.nodes.pop(node, None) is not None:
            self.watch.say(f"The worker {name} gets no further jobs: {why}")
        if not self.nodes:
            raise Stopped(f"No worker is left: {why} What is finished stays; the same command goes on from here.")

    def _count(self) -> None:
        """Look whether the head and the workers are still there. Raises Stopped where it is not, or none is."""
        try:
            alive = self.head.alive()
        except SoraError as error:
            raise Stopped(f"{error} What is finished stays; the same command goes on from here.") from error
        if alive is None:
            return
        for node in [node for node in self.nodes.values() if node.id not in alive]:
            self._without(node.id, node.name, "its machine is gone.")
        stuck = [job for job in self.pending.values() if not any(node.has_room(job) for node in self.nodes.values())]
        if stuck:
            names = listing((job.name for job in stuck), 3)
            raise Stopped(f"No worker that is left has the memory or cores for {names}: start one, and call again.")


def _remote(job: Job, policy: Policy | None, inputs: dict[str, list[Any]]) -> dict[str, Any]:
    """Run on a worker."""
    import ray

    def fetch(refs: Any) -> bytes:
        return cast(bytes, ray.get(refs[0]))

    node = ray.get_runtime_context().get_node_id()
    return there.make(job, policy, fetch, inputs, node)


def _words(error: Exception) -> str:
    kind = type(error).__name__
    if kind == "OutOfMemoryError":
        return 'its worker ran out of memory: use a smaller size, or say how much it needs with "memory".'
    if kind in ("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "OwnerDiedError"):
        return f"its worker died {RETRIES + 1} times while making it: look at that machine's memory and logs."
    line = (str(error).strip().splitlines() or [""])[-1]
    return f"Ray gave it up ({kind}: {line:.200})."
