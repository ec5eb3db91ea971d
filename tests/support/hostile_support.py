"""Runs hostile inputs, each in a process of its own, and says how it ended: see `tests/benchmarks/hostile.py`."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile_inputs import Case, cases

SECONDS, BYTES = 10.0, 2 << 30
_CPU, _CLOCK = 30, 900  # seconds after which a case that does not end is killed; the machine may be busy


@dataclass
class Outcome:
    """What became of one input."""

    name: str
    seconds: float  # of one CPU: those on the clock depend on what else the machine does
    megabytes: int
    said: str  # the refusal, or "" for a result
    fault: str  # what is wrong with how it ended, or ""


def run_case(case: Case) -> Outcome:
    """Run a case in a child, and measure it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU, _CPU))
        kind, said = _end_of(case)
        os.write(write, json.dumps((kind, said[:5_000])).encode())
        os._exit(0)
    os.close(write)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(_CLOCK)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    seconds, size = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    kind, said = json.loads(text) if text else ("fault", f"killed by signal {os.WTERMSIG(status)}")
    fault = said if kind == "fault" else ""
    lines = said.splitlines()
    if not fault and (len(lines) > 2 or len(said) > 1500):
        fault = f"{len(lines)} lines of {len(said)} characters"
    if not fault and seconds > SECONDS:
        fault = f"{seconds:.1f} s"
    if not fault and size > BYTES:
        fault = f"{size >> 20} MB"
    return Outcome(case.name, seconds, size >> 20, said if kind == "refused" else "", fault)


def _end_of(case: Case) -> tuple[str, str]:
    """Run a case here. Returns how it ended, and the words."""
    from sora_core.errors import SoraError

    try:
        with _quiet():
            case.run()
    except SoraError as error:
        said = str(error)
        return ("fault" if "fault of the program" in said or "fault in the node" in said else "refused"), said
    except SystemExit as error:  # argparse does not know the options: the case itself is wrong
        return "fault", f"the command was not understood ({error})"
    except BaseException:
        return "fault", traceback.format_exc().strip()[-700:]
    return "made", ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def measure(only: str = "", short: bool = False) -> Iterator[Outcome]:
    """Run all cases, those whose name holds `only`, or the `short` ones; yields what became of each."""
    import torch

    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="sora-hostile-"))
    try:
        for case in cases(folder):
            if only in case.name and (case.short or not short):
                yield run_case(case)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
