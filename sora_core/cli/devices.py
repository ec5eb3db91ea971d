"""`--devices N`: a command in N processes that make one clip together, each on a device of its own.

torch's own launcher starts them, as `torchrun` does, ends all when one of them ends, and hands signals on. A command
that `torchrun` has started finds that out by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import expect
from .options import count

if TYPE_CHECKING:
    from ..pipeline import Pipeline


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add `--devices` and `--split`."""
    parser.add_argument(
        "--devices", type=count, metavar="N", help="make the clip in N processes together, one for each GPU"
    )
    parser.add_argument(
        "--split",
        type=split,
        metavar="PxT",
        help="how N processes share the work: P parts of the prompts (1 or 2, for guidance) x T of the tokens",
    )


def split(text: str) -> tuple[int, int]:
    """Read `PxT`: parts of the prompts and of the tokens."""
    match = re.fullmatch(r"([12])\s*[xX×*]\s*([1-9]\d*)", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not PxT with P 1 or 2, for example 2x4")
    return int(match[1]), int(match[2])


def started() -> int:
    """Return how many processes `torchrun` started, this one among them; 0 where it did not."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else 0


def follows() -> bool:
    """Tell whether this process is one of several and not the first: it says nothing and writes nothing."""
    return started() > 0 and int(os.environ["RANK"]) > 0


def check(args: argparse.Namespace) -> None:
    """Raise SoraError where `--devices` and `--split` do not fit each other, or what was started."""
    here = started()
    asked = args.devices or here or 1
    expect(
        here in (0, asked),
        f"--devices is {asked}, and torchrun has started {here} processes: leave it out, or start {asked}.",
    )
    if args.split:
        parts, tokens = args.split
        expect(
            parts * tokens == asked,
            f"--split {parts}x{tokens} is for {parts * tokens} processes, and there are {asked}: "
            f"use --devices {parts * tokens}.",
        )


def run_shared(args: argparse.Namespace, load: Callable[[], Pipeline], make: Callable[[Pipeline], int]) -> int:
    """Call `make(load())` in the first process, with the model calls shared out among all; returns its exit code.

    Without several processes this is `make(load())`.
    """
    if started() < 2:
        return make(load())
    from ..pipeline.devices import share

    parts, tokens = args.split or (None, None)
    guided = None if args.cfg is None else args.cfg != 1.0
    return share(load, make, cfg=parts, sequence=tokens, guided=guided) or 0


def follow(args: argparse.Namespace, load: Callable[[], Pipeline]) -> int:
    """Take part in what the first process makes, silently; returns the exit code."""
    if not args.debug:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
    return run_shared(args, load, lambda pipe: 0)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Log nothing within the block: the launcher tells of each process that ends, at length, by loggers of its own."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def launch(processes: int, argv: Sequence[str]) -> int:
    """Run the command `argv` in several processes; returns the exit code. The first one says what there is to say."""
    import torch
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import LaunchConfig, elastic_launch

    if torch.cuda.is_available():
        gpus = torch.cuda.device_count()
        expect(processes <= gpus, f"--devices is {processes}, and there are {gpus} GPUs here: use --devices {gpus}.")
    else:
        cores = max(2, os.cpu_count() or 1)  # two are for a test, anywhere
        expect(
            processes <= cores,
            f"--devices is {processes}, and there is no GPU here and {cores} cores: use --devices {cores} at most.",
        )
        # Each would take all cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _without_log():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "sora_core.cli", *argv)
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            if failure.exitcode < 0:
                name = str(-failure.exitcode)
                with contextlib.suppress(ValueError):
                    name = signal.Signals(-failure.exitcode).name
                print(f"sora: process {number} of {processes} was ended by {name}, and so all are.", file=sys.stderr)
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        except SignalException as stopped:
            return 128 + int(stopped.sigval)
    return 0
