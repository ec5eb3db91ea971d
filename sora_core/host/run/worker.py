"""The worker: one thread that runs the queue, one job after the other."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import SoraError
from ...pipeline.progress import Interrupted
from ..graph.problems import WorkflowError
from .events import Listener
from .store import Job, Store, now

if TYPE_CHECKING:
    from ..host import Host

log = logging.getLogger(__name__)
AGAIN = 1.0  # seconds until what could not be written is tried again


class Watcher(Listener, Protocol):
    """Hears the run of one job, in the worker's thread."""

    def close(self) -> None:
        """Stop what goes on beside the run: it has ended."""

    def ended(self, event: str, data: dict[str, Any]) -> None:
        """Hear how the run ended, once that is kept."""


class Worker:
    """Takes jobs from the store while it is open."""

    def __init__(
        self,
        store: Store,
        watch: Callable[[Job], Watcher],
        words: Callable[[str], str],
        held: Callable[[str], None] = lambda why: None,
    ) -> None:
        """Make a worker that does not work yet.

        watch: makes who hears of a job. words: changes words of errors. held: hears what holds the queue up, as a full
        disk does, and "" when it goes on.
        """
        self.store, self.watch, self.words, self.held = store, watch, words, held
        self.host: Host | None = None
        self.current: Job | None = None
        self._stop = threading.Event()  # of the current job
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, host: Host) -> None:
        """Begin to work, unless it was closed while nodes were loaded."""
        with self._lock:
            if self._closing:
                return
            self.host = host
            self._thread = threading.Thread(target=self._work, name="sora-worker", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look whether there is a new job."""
        self._wake.set()

    def cancel(self, job_id: str) -> bool:
        """Take a job out of the queue, or stop it. Returns False where it is neither waiting nor running."""
        with self._lock:
            if self.store.drop(("pending",), [job_id]):
                return True
        return self.interrupt(job_id)

    def interrupt(self, job_id: str | None = None) -> bool:
        """Stop the running job, if it is this one."""
        with self._lock:
            if self.current is None or job_id not in (None, self.current.id):
                return False
            self._stop.set()
            return True

    def close(self, patience: float = 1.0) -> None:
        """Stop. What runs is marked as interrupted, in `patience` seconds at the latest."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self.interrupt()
        if self._thread is not None:
            self._thread.join(patience)
        with self._lock:
            if self.current is not None:
                if self.current.state == "running":
                    self.current.state = "interrupted"
                with contextlib.suppress(SoraError):  # then the next start marks it
                    self.store.finish(self.current)
                self.current = None

    # -- the worker's own thread -----------------------------------------------------------------------------
    def _work(self) -> None:
        while not self._closing:
            self._wake.clear()
            job = self._until_written(self._take)
            if job is None:
                self._wake.wait()
                continue
            watcher = self.watch(job)
            event, data = self._run(job, watcher)
            # Kept before it is told: whoever hears of the end finds the results.
            data |= {"prompt_id": job.id, "timestamp": now()}
            job.messages.append([event, data])
            if self._until_written(partial(self._finish, job)):
                watcher.ended(event, data)

    def _take(self) -> Job | None:
        self.current = None if self._closing else self.store.take()
        self._stop = threading.Event()
        return self.current

    def _finish(self, job: Job) -> bool:
        if self.current is None:
            return False  # marked as interrupted meanwhile
        self.store.finish(job)
        self.current = None
        return True

    def _until_written(self, act: Callable[[], Any]) -> Any:
        """Do what writes to the queue; where that fails, as on a full disk, again until it works."""
        told = ""
        while True:
            try:
                with self._lock:
                    done = act()
            except SoraError as wrong:
                if self._closing:
                    return None
                if told != str(wrong):
                    told = str(wrong)
                    log.error("%s The jobs go on once it can be written.", told)
                    self.held(self.words(told))
            else:
                if told:
                    self.held("")
                return done
            time.sleep(AGAIN)

    def _run(self, job: Job, watcher: Watcher) -> tuple[str, dict[str, Any]]:
        """Run a job and say how it ended; returns the event to tell."""
        host = self.host
        assert host is not None
        try:
            workflow = host.load({"prompt": job.prompt, "extra_data": job.extra})
            result = host.run_plan(host.check(workflow, job.targets), watcher, self._stop, job.client)
            job.state = "completed"
            for node_id, reason in result.blocked.items():
                job.messages.append(["blocked", {"node": node_id, "reason": self.words(reason)}])
            return "execution_success", {}
        except Interrupted:
            job.state = "interrupted" if self._closing else "cancelled"
            return "execution_interrupted", {"executed": list(job.outputs)}
        except BaseException as wrong:  # a node may ask Python to end: that ends its job
            job.state = "failed"
            job.error = self._failure(job, wrong)
            return "execution_error", job.error
        finally:
            watcher.close()

    def _failure(self, job: Job, wrong: BaseException) -> dict[str, Any]:
        """Describe why a run failed; a traceback is there only for a fault."""
        where = wrong.problems[0] if isinstance(wrong, WorkflowError) else wrong
        cause = wrong.__cause__ or wrong
        lines = [] if isinstance(cause, SoraError) else traceback.format_exception(cause)
        return failure(
            job.id,
            self.words(str(wrong) or type(wrong).__name__),
            type(cause).__name__,
            node_id=getattr(where, "node_id", None) or "",
            node_type=getattr(where, "node_type", None) or "",
            executed=list(job.outputs),
            traceback=[self.words(line) for line in lines],
        )


def failure(job_id: str, message: str, kind: str, **more: Any) -> dict[str, Any]:
    """Write why a run ended, as ComfyUI's `execution_error` tells it."""
    return {
        "prompt_id": job_id,
        "node_id": "",
        "node_type": "",
        "executed": [],
        "exception_message": message,
        "exception_type": kind,
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
        **more,
    }
