"""`sora render BATCH.jsonl`: many videos from one file, here or on a Ray cluster; a second call goes on."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SoraError, expect
from ..interrupt import remember
from ..words import listing, printable, short
from .options import add_policy, count, positive

if TYPE_CHECKING:
    from ..batch.jobs import Job
    from ..batch.planning import Plan
    from ..batch.records import Records

SOME_FAILED, ELSEWHERE = 3, 4  # exit codes, see `EXIT_CODES`
EXIT_CODES = """
exit codes: 0 all jobs are finished; 1 nothing could begin, or the disk is full; 2 wrong usage; 3 some jobs failed or
were refused, the rest is finished; 4 another process has jobs of this batch in hand; 130 Ctrl-C. The same command goes
on.
"""
NO_RAY = "--ray needs the package ray, which is not installed: pip install 'sora-nodes[ray]'."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora render`."""
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "batch", type=Path, metavar="BATCH.jsonl", help="one job on each line, see docs/MANY_MACHINES.md"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where files go (default: the batch's name, beside where you are)"
    )
    parser.add_argument("--plan", action="store_true", help="tell jobs, time and memory, and make nothing")
    parser.add_argument("--list", action="store_true", help="print each job's ID and name, and make nothing")
    parser.add_argument("--job", metavar="ID", help="make this job only: for a render farm's own queue")
    parser.add_argument(
        "--collect", action="store_true", help="write the results of what is finished, and make nothing"
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="make the other jobs where a line is broken or a worker unfit"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="make the jobs on this Ray cluster, HOST:PORT; or: local, auto"
    )
    parser.add_argument("--workers", type=count, metavar="N", help="workers of --ray local (default: one a core)")
    parser.add_argument(
        "--cpus", type=positive, default=1.0, metavar="N", help="cores of a job on a worker (default: 1)"
    )
    parser.add_argument(
        "--gpus", type=_share, metavar="N", help="GPUs of a job on a worker (default: one, where workers have any)"
    )
    parser.add_argument("--send-models", action="store_true", help="send models to workers that lack them")
    add_policy(parser)


def _share(text: str) -> float:
    return 0.0 if text.strip() == "0" else positive(text)


def run(args: argparse.Namespace) -> int:
    """Read the batch, tell its plan, make its jobs. Returns the exit code."""
    for name in ("workers", "send_models"):
        expect(args.ray is not None or not getattr(args, name), f"--{name.replace('_', '-')} goes with --ray.")
    expect(args.ray is None or not args.job, "--job makes one job here: leave --ray out.")
    if args.ray is not None:
        from importlib.util import find_spec

        expect(find_spec("ray") is not None, NO_RAY)
    from ..safety import gate
    from ..safety.policy import configured_policy

    with gate.enforcing(configured_policy(args.policy)):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from ..batch.graphs import Graphs
    from ..batch.planning import look_for_finished, read_plan, told
    from ..batch.records import Records
    from ..safety import gate

    graphs = Graphs()
    plan = read_plan(args.batch, graphs, args.cpus, args.gpus)
    _tell_broken(plan, args.keep_going or args.list or args.plan or bool(args.job) or args.collect)
    if args.list:
        for job in plan.jobs:
            print(job.id, job.name)
        return SOME_FAILED if plan.broken else 0
    if args.job:
        plan.jobs = [_chosen(plan, args.job)]
        plan.broken = []
    out = args.out or Path(args.batch.stem)
    if args.plan and not out.is_dir():
        _say(told(plan, None, args.workers or 1))
        return SOME_FAILED if plan.broken else 0
    records = Records(out)
    try:
        look_for_finished(plan, records)
        if not args.collect:
            _say(told(plan, records, args.workers or 1))
        if args.plan:
            return SOME_FAILED if plan.broken else 0
        elsewhere: list[Job] = []
        if not args.collect and plan.todo:
            gate.prepare()
            elsewhere = _make(args, plan, records, graphs)
        return _close(args, plan, records, elsewhere)
    finally:
        records.close()


def _make(args: argparse.Namespace, plan: Plan, records: Records, graphs: Any) -> list[Job]:
    """Make what is to be made; returns what another process has in hand. Whatever stops it, the results are written."""
    from ..batch.here import Stopped, run_here
    from ..batch.work import Workshop

    todo = plan.todo
    try:
        with Progress(records.out, todo) as bar:
            if args.ray is not None:
                from ..batch.cluster import run_on_ray

                return run_on_ray(
                    todo,
                    records,
                    bar,
                    address=args.ray,
                    workers=args.workers,
                    send_models=args.send_models,
                    keep_going=args.keep_going,
                )
            _plan_signing()
            workshop = Workshop()
            workshop.graphs = graphs
            return run_here(todo, records, bar, workshop)
    except (Stopped, KeyboardInterrupt) as stop:
        if isinstance(stop, KeyboardInterrupt):
            remember(None)  # it has arrived: the results are still to be written
        if not args.job:
            with contextlib.suppress(SoraError):  # on a full disk there is no room for these either
                _results(args, plan, records)
        if isinstance(stop, Stopped):
            raise SoraError(str(stop)) from stop
        raise


def _plan_signing() -> None:
    """Say now, before any work, what keeps files from being signed or labelled."""
    from ..provenance import History, plan

    for note in dict.fromkeys(plan(History()).lacking):
        print(f"sora: {note}", file=sys.stderr)


def _close(args: argparse.Namespace, plan: Plan, records: Records, elsewhere: list[Job]) -> int:
    if args.job:
        job = plan.jobs[0]
        record = records.finished(job.id)
        if record is not None:
            if job.id in plan.done:  # what was made just now is printed already
                for file in record["files"]:
                    print(records.out / file["file"])
            return 0
        return ELSEWHERE if elsewhere else SOME_FAILED
    counts = _results(args, plan, records)
    left = [job for job in elsewhere if records.finished(job.id) is None]
    if left:
        names = listing((job.name for job in left), 3)
        print(f"sora: another process has {len(left)} in hand: {names}. Call again when it is done.", file=sys.stderr)
        return ELSEWHERE
    missing = len(plan.jobs) - counts.get("done", 0)
    return SOME_FAILED if plan.broken or missing else 0


def _results(args: argparse.Namespace, plan: Plan, records: Records) -> dict[str, int]:
    """Write results.jsonl, the sheet and the page, and say how many jobs ended how."""
    from ..batch.results import PAGE, write_results

    counts = write_results(records, plan.jobs, plan.name)
    waiting = len(plan.jobs) - sum(counts.values())
    parts = [f"{number} {state}" for state, number in counts.items()] + [f"{waiting} not made"] * (waiting > 0)
    print(f"{plan.name}: {', '.join(parts) or 'nothing made'}. Look at {records.out / PAGE}", file=sys.stderr)
    return counts


def _tell_broken(plan: Plan, going: bool) -> None:
    """Say which lines are broken. Raises SoraError for the first of them unless the rest goes on."""
    if not plan.broken:
        return
    first, *others = plan.broken
    if not going:
        more = f" (and {len(others)} more: {listing(each.line for each in others)})" if others else ""
        raise SoraError(
            f"{plan.name}, line {first.line}: {first.why}{more}\n"
            "Nothing was started: mend it, or make the other jobs with --keep-going."
        )
    for each in plan.broken:
        print(f"sora: {plan.name}, line {each.line}, left out: {printable(each.why)}", file=sys.stderr)


def _chosen(plan: Plan, job_id: str) -> Job:
    expect(bool(re.fullmatch(r"[0-9a-f]{4,16}", job_id)), f"--job {short(job_id)} is no ID: --list tells them.")
    found = [job for job in plan.jobs if job.id.startswith(job_id)]
    expect(
        len(found) == 1,
        f"{plan.name} has {'several jobs' if found else 'no job'} {job_id}: --list tells which there are. A job's ID "
        "changes with its inputs and settings.",
    )
    return found[0]


def _say(lines: list[str]) -> None:
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)


class Progress:
    """One line on stderr for the whole batch; a plain line a job where stderr is no terminal. Files go to stdout."""

    def __init__(self, out: Path, todo: list[Job]) -> None:
        """out: the folder of the files. todo: what is to be made."""
        self.out, self.jobs, self.cost = out, len(todo), sum(job.cost for job in todo)
        self.ended_jobs, self.ended_cost = 0, 0.0
        self.files = sys.stdout  # as it is now: while Ray is connected what it says goes elsewhere
        self.live = sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def begins(self, job: Job) -> None:
        """Show the job's name."""
        self._show(job, 0.0)

    def step(self, job: Job, done: int, total: int) -> None:
        """Count the job's part."""
        self._show(job, done / max(total, 1))

    def ended(self, job: Job, record: dict[str, Any]) -> None:
        """Print the job's files, or why there are none."""
        self.ended_jobs += 1
        self.ended_cost += job.cost
        if record["state"] == "done":
            text = f"[{self.ended_jobs}/{self.jobs}] {job.name} {job.id}, {record.get('seconds', 0):.1f} s"
            text += f", {record['worker']}" if record.get("worker") else ""
        else:
            text = f"[{self.ended_jobs}/{self.jobs}] {job.name} {job.id} {record['state']}: {record.get('why', '')}"
        if not self.live or record["state"] != "done":
            self.say(text)
        for file in record.get("files", ()):
            self._print(str(self.out / file["file"]))
        self._show(job, 0.0)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        for line in printable(text).splitlines():
            if self.live and self.bar is not None:
                self.bar.write(line, file=sys.stderr)
            else:
                print(line, file=sys.stderr, flush=True)

    def _print(self, file: str) -> None:
        # On a terminal the bar's line is in the way of a plain print.
        if self.bar is not None:
            self.bar.clear()
        try:
            print(file, file=self.files, flush=True)
        except BrokenPipeError:  # whoever read the names has heard enough: files are made all the same
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, self.files.fileno())
            os.close(nowhere)

    def _show(self, job: Job, part: float) -> None:
        if not self.live:
            return
        if self.bar is None:
            from tqdm import tqdm

            layout = "{desc} |{bar:24}| {percentage:.0f}% {elapsed}<{remaining}"
            self.bar = tqdm(total=1.0, bar_format=layout, file=sys.stderr)
        share = (self.ended_cost + part * job.cost) / self.cost if self.cost else (self.ended_jobs + part) / self.jobs
        self.bar.set_description_str(f"{self.ended_jobs}/{self.jobs} {job.name}"[:48], refresh=False)
        self.bar.n = min(1.0, share)
        self.bar.refresh()
