"""One clip over several devices: the processes of `torchrun` find each other, and make every model call together.

    # clip.py, started by: torchrun --nproc-per-node=2 clip.py
    import sora_core
    from sora_core.pipeline.devices import share

    def make(pipe):
        pipe.generate("a cat moving right on a beach").save("cat.mp4")

    share(lambda: sora_core.load("sora-mini"), make)

`make` runs in process 0 alone: one prompt check, one noise, one frame check, one file. The others load the same model
and make their part of each of its calls, see `diffusion.parallel`.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from ..diffusion.exchange import LostError
from ..diffusion.parallel import Layout, Team, check_shared, serve
from ..diffusion.sampling import DiffusionModel
from ..diffusion.velocity import Wrapper
from ..errors import NO_MEMORY, SoraError, expect, is_out_of_memory
from ..loading.fingerprint import fingerprint
from .own import OwnEngine
from .pipeline import Pipeline

TIMEOUT = (
    1800.0  # seconds after which a process that does not answer is given up; one that has ended is noticed at once
)
IDLE = timedelta(days=30)  # a process waits for its next call as long as process 0 has other things to do
JOINING = timedelta(minutes=5)  # until all have started
PARTING = 2.0  # seconds that process 0 has to say why it ends
_REASON = "sora/ended"  # where a process leaves word of why it ended
Made = TypeVar("Made")


def rank() -> int:
    """Return the number of this process among those that `torchrun` started, 0 without it."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Return how many processes `torchrun` started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


class SharedEngine(OwnEngine):
    """The engine of process 0, whose model calls all processes make."""

    def __init__(self, team: Team, model: DiffusionModel, wrappers: Sequence[Wrapper] = ()) -> None:
        """Share the calls of `model`, which all processes have loaded. wrappers: see `OwnEngine`."""
        super().__init__(wrappers)
        self.team = team
        self.apart = team.layout.apart
        self._networks = model.dit, model.low_noise

    def around(self, model: DiffusionModel) -> tuple[Wrapper, ...]:
        """Return the wrappers of a run's model calls. Raises SoraError for a model that the others do not have."""
        expect(
            model.dit is self._networks[0] and model.low_noise is self._networks[1],
            f"The other processes have not loaded {model.name} as it is here: load models and LoRAs in `load`.",
        )
        # Innermost: a step cache decides once, in this process, whether there is a call at all.
        return (*self.wrappers, self.team.wrap)


@dataclass(frozen=True)
class Joined:
    """The processes, once they have found each other."""

    store: dist.Store  # texts by name, for all to read
    control: dist.ProcessGroup


_joined: list[Joined] = []


def join(timeout: float = TIMEOUT) -> Joined:
    """Find the other processes, once; with GPUs, each process takes one of its own.

    timeout: seconds, see `TIMEOUT`. Raises SoraError where there are fewer GPUs than processes on this machine.
    """
    if _joined:
        return _joined[0]
    local, here = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    backend = "gloo"
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        expect(here <= count, f"{here} processes were started and there are {count} GPUs here: start one for each GPU.")
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, number, world = next(iter(rendezvous("env://", timeout=JOINING)))
        dist.init_process_group(backend, store=store, rank=number, world_size=world, timeout=timedelta(seconds=timeout))
        control = dist.new_group(backend="gloo", timeout=IDLE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SoraError(
            f"The {world_size()} processes did not find each other ({reason:.120}): start all of them by torchrun."
        ) from error
    atexit.register(_leave)
    _joined.append(Joined(store, control))
    return _joined[0]


def _leave() -> None:
    """Close what is open to the others, so that those that wait notice."""
    if dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()


def share(
    load: Callable[[], Pipeline],
    make: Callable[[Pipeline], Made],
    *,
    cfg: int | None = None,
    sequence: int | None = None,
    apart: bool = False,
    guided: bool | None = None,
    timeout: float = TIMEOUT,
) -> Made | None:
    """Call `make(load())`, with every model call shared out among the processes that `torchrun` started.

    load: called in every process, has to load the same model. make: called in process 0 alone; the others return None
        when it is done, and end, silently, if it or one of them fails.
    cfg, sequence: how the processes are split, see `diffusion.parallel.Layout`. guided: whether there will be guidance;
        the model's habit where it is not said.
    apart: process 0 takes no part in the model calls. In a long video it decodes what the others have sampled.
    timeout: seconds, see `TIMEOUT`.

    In a process that `torchrun` did not start this is `make(load())`. Raises SoraError for numbers that do not fit, for
    processes that loaded different models, and where another process has ended.
    """
    if world_size() == 1 and not apart:
        # Asked for all the same: a split into more processes than there are is refused.
        Layout.plan(1, cfg, sequence)
        return make(load())
    try:
        Layout.plan(world_size(), cfg, sequence, apart, bool(guided))
        joined = join(timeout)
        pipe = _loaded_by_all(load, joined)
        if guided is None:
            guided = pipe.habits()[1] != 1.0
        layout = Layout.plan(world_size(), cfg, sequence, apart, guided)
        model = pipe.model
        for network in (model.dit, *([] if model.low_noise is None else [model.low_noise])):
            check_shared(layout, network)
        team = Team(layout, model.device, joined.control, timedelta(seconds=timeout))
    except Exception:
        # All processes find the same fault; one tells of it.
        if rank() > 0:
            raise SystemExit(1) from None
        raise
    if rank() > 0:
        _serve(team, model, joined.store)
        return None
    try:
        with team.leading():
            shared = copy.copy(pipe)
            shared.engine = SharedEngine(team, model, pipe.engine.wrappers)
            return make(shared)
    except LostError as error:
        error.args = (f"{_reason(joined.store)}{error}",)
        raise


def _loaded_by_all(load: Callable[[], Pipeline], joined: Joined) -> Pipeline:
    """Load the model, as all do. Raises SoraError where one could not, or has another one."""
    pipe: Pipeline | None = None
    failed: Exception | None = None
    name = ""
    try:
        pipe = load()
        model = pipe.model
        name = fingerprint([model.dit, model.low_noise, model.boundary])
    except Exception as error:
        failed = error
    told: list[tuple[str, str]] = [("", "")] * world_size()
    mine = (name, "" if failed is None else _words(failed))
    dist.all_gather_object(told, mine, group=joined.control)
    if failed is not None:
        raise failed
    for number, (other, why) in enumerate(told):
        expect(not why, f"Process {number} of {len(told)} could not load the model: {why}")
        expect(
            other == told[0][0],
            f"Process {number} of {len(told)} has loaded another model than process 0: give all the same files.",
        )
    assert pipe is not None
    return pipe


def _words(error: BaseException) -> str:
    if isinstance(error, SoraError):
        return str(error)
    if is_out_of_memory(error):
        return NO_MEMORY
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]:.200}"


def _serve(team: Team, model: DiffusionModel, store: dist.Store) -> None:
    """Make this process's part of model calls until there are no more; leave word where that fails."""
    try:
        with _signals_end_it():
            serve(team, model.dit, model.low_noise)
    except Exception as error:
        if not isinstance(error, LostError):
            with contextlib.suppress(RuntimeError):
                store.set(_REASON, f"Process {team.rank} of {team.layout.world} failed: {_words(error)}")
        _leave()
        # Process 0 hears of it now, and should have its say: who started all ends all when the first one ends.
        time.sleep(PARTING)
        raise SystemExit(1) from None


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let signals end this process at once within the block.

    It mostly waits in C, where Python's handlers do not run, and has no files to clean up.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(store: dist.Store) -> str:
    """Return what a process that failed left word of, if one did within a second."""
    for _ in range(10):
        with contextlib.suppress(RuntimeError):
            if store.check([_REASON]):
                return f"{store.get(_REASON).decode()} "
        time.sleep(0.1)
    return ""
