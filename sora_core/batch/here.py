"""A batch in this process: one job after the other, each recorded as soon as it is finished."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from .jobs import Job
from .outcome import Ended, about, about_here, changed_since, picture_of, words_of
from .records import Records, now
from .work import Workshop


class Watcher(Protocol):
    """Who looks on while a batch is made."""

    def begins(self, job: Job) -> None:
        """Hear that a job begins."""

    def step(self, job: Job, done: int, total: int) -> None:
        """Hear of a step of a job."""

    def ended(self, job: Job, record: dict[str, Any]) -> None:
        """Hear how a job ended, by its record."""

    def say(self, text: str) -> None:
        """Hear something about the batch."""


class Stopped(Exception):  # noqa: N818  # an end, said in words
    """No further job can be made, and why."""


def run_here(jobs: Iterable[Job], records: Records, watch: Watcher, workshop: Workshop | None = None) -> list[Job]:
    """Make jobs; returns those that another process has in hand.

    Raises Stopped where the disk is full. Ctrl-C, wherever it comes, leaves what is finished and no more.
    """
    workshop = workshop or Workshop()
    elsewhere = []
    for job in jobs:
        if not records.take(job.id):
            elsewhere.append(job)
            continue
        try:
            _one(job, records, watch, workshop)
        finally:
            records.give(job.id)
    return elsewhere


def _one(job: Job, records: Records, watch: Watcher, workshop: Workshop) -> None:
    # Another process may have finished it since the plan.
    if (before := records.finished(job.id)) is not None:
        watch.ended(job, before)
        return
    watch.begins(job)
    ended = attempt(job, records.place(job), workshop, watch)
    told: dict[str, Any] = {**about(job), **about_here(), "ended": now()}
    if ended.made is not None:
        try:
            told |= {"seconds": round(ended.made.seconds, 3), "latent": ended.made.latent, "notes": ended.made.notes}
            record = records.finish(job, ended.made.files, told, picture_of(ended.made.files))
        except Exception as error:
            ended = words_of(error)
        else:  # whatever befalls who looks on, the job is finished
            watch.ended(job, record)
            return
    if ended.stops:
        raise Stopped(f"{ended.why} What is finished stays; the same command goes on from here.")
    watch.ended(job, records.fail(job, ended.state, ended.why, told))


def attempt(job: Job, place: Path, workshop: Workshop, watch: Watcher) -> Ended:
    """Make one job's files in `place`; says how it ended, whatever it raised."""
    try:
        if why := changed_since(job):
            return Ended("failed", why)
        made = workshop.make(job, place, lambda each: each.path, lambda done, total: watch.step(job, done, total))
        return Ended("done", made=made)
    except Exception as error:
        return words_of(error)
