"""The worker: one thread that runs the queue, one job after the other, and tells those who look on."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import SoraError
from ...pipeline.progress import Interrupted
from ..graph.problems import WorkflowError
from ..graph.validate import Plan
from ..graph.workflow import Workflow
from . import wire
from .live import Hub
from .store import Job, Store, now

if TYPE_CHECKING:
    from ..host import Host
    from ..previews import PreviewLoop

MOST_QUEUED = 10_000
OFTEN = 0.05  # seconds between two messages of progress
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class RefusedError(SoraError):
    """A prompt that is not queued. `answer` is what the client gets."""

    def __init__(self, answer: dict[str, Any], status: int = 400) -> None:
        super().__init__(answer["error"]["message"])
        self.answer, self.status = answer, status


class Run:
    """The job that runs: hears the executor, tells the hub, keeps what belongs into the history."""

    def __init__(self, job: Job, hub: Hub) -> None:
        self.job, self.hub = job, hub
        self.stop = threading.Event()
        self.shows_previews = job.extra.get("preview_method") != "none"
        self.node = ""  # that runs
        self.nodes: dict[str, dict[str, Any]] = {}  # as in progress_state, by id
        self.first: tuple[float, float] | None = None  # when the node's first progress was told, and how much that was
        self.told = 0.0
        self.said = 0.0
        self.notes = ""
        self.previews: PreviewLoop | None = None

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        """Hear an event of the executor."""
        match event:
            case "execution_start":
                self.nodes = {node_id: self._entry(node_id) for node_id in data["nodes"]}
                self.keep(event)
            case "execution_cached":
                self.keep(event, nodes=data["nodes"])
            case "executing":
                self.node, self.first, self.notes = data["node"], None, ""
                self.nodes[self.node] = self._entry(self.node, "running")
                self.hub.tell(event, {"node": self.node, "display_node": self.node, "prompt_id": self.job.id})
                self._state()
            case "progress":
                self._progress(data["value"], data["max"], data["preview"])
            case "progress_text":
                self.notes = data["text"]
                self._text(self.notes)
            case "picture":
                file = io.BytesIO()
                data["picture"].save(file, "PNG", compress_level=1)
                frame = wire.picture_frame(file.getvalue())
                self.hub.frames("picture", "", frame, frame)
            case "executed":
                self._executed(data["node"], data["output"])

    def keep(self, event: str, **data: Any) -> None:
        """Tell something that the history keeps too."""
        data |= {"prompt_id": self.job.id, "timestamp": now()}
        self.job.messages.append([event, data])
        self.hub.tell(event, data)

    def close(self) -> None:
        """End the moving preview."""
        if self.previews is not None:
            self.previews.close()
            self.previews = None

    def _entry(self, node_id: str, state: str = "pending", value: float = 0, total: float = 1) -> dict[str, Any]:
        names = dict.fromkeys(("node_id", "display_node_id", "real_node_id"), node_id)
        about = {**names, "parent_node_id": None, "prompt_id": self.job.id}
        return {"value": value, "max": total, "state": state, **about}

    def _state(self) -> None:
        told = {node_id: entry for node_id, entry in self.nodes.items() if entry["state"] != "pending"}
        self.hub.update("progress_state", {"prompt_id": self.job.id, "nodes": told})

    def _executed(self, node_id: str, output: Any) -> None:
        if node_id == self.node:
            self.close()
        total = self.nodes.get(node_id, {}).get("max", 1)
        self.nodes[node_id] = self._entry(node_id, "finished", total, total)
        if output is not None:
            self.job.outputs[node_id] = output
            told = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": self.job.id}
            self.hub.tell("executed", told)
        self._state()

    def _progress(self, value: float, total: float, preview: Any) -> None:
        if preview is not None:
            if self.previews is None:
                from ..previews import PreviewLoop  # torch is there by now

                self.previews = PreviewLoop(self._show)
            self.previews.show(preview)
        moment = time.monotonic()
        if moment - self.told < OFTEN and value < total:
            return
        self.told = moment
        entry = self._entry(self.node, "running", value, total)
        left = self._left(moment, value, total)
        if left is not None:
            entry["seconds_left"] = round(left, 1)
        self.nodes[self.node] = entry
        self.hub.update("progress", {"value": value, "max": total, "prompt_id": self.job.id, "node": self.node})
        self._state()
        if left is not None and total > 1 and moment - self.said >= 0.5:
            self.said = moment
            words = f"Step {value:g} of {total:g}, {_duration(left)} left"
            self._text(f"{self.notes}\n{words}".strip())

    def _left(self, moment: float, value: float, total: float) -> float | None:
        """Guess the seconds that a node still takes, by its steps since the first: that one is often slow."""
        if self.first is None or value <= self.first[1]:
            self.first = (moment, value)
            return None
        return (moment - self.first[0]) / (value - self.first[1]) * (total - value)

    def _text(self, text: str) -> None:
        self.hub.frames("text", "supports_progress_text_metadata", *wire.text_frames(self.job.id, self.node, text))

    def _show(self, picture: Any) -> None:
        file = io.BytesIO()
        picture.convert("RGB").save(file, "JPEG", quality=90)
        frames = wire.preview_frames(self.job.id, self.node, file.getvalue())
        self.hub.frames("preview", "supports_preview_metadata", *frames)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Jobs:
    """The queue and the thread that works it off."""

    def __init__(self, store: Store, hub: Hub, tell_places: Callable[[str], str]) -> None:
        """Make a queue that does not work yet. tell_places: hides what of an error's words is no visitor's business."""
        self.store, self.hub, self.tell_places = store, hub, tell_places
        self.host: Host | None = None
        self.current: Run | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, host: Host) -> None:
        """Begin to work."""
        self.host = host
        self._thread = threading.Thread(target=self._work, name="sora-jobs", daemon=True)
        self._thread.start()

    def submit(self, data: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Check a prompt and queue it. Returns the job, and what is wrong with outputs that are left out.

        Raises RefusedError.
        """
        prompt, extra, number = data.get("prompt"), data.get("extra_data") or {}, data.get("number")
        if not isinstance(prompt, dict) or not isinstance(extra, dict):
            raise RefusedError({"error": wire.error("no_prompt", "No prompt provided"), "node_errors": {}})
        job_id = data.get("prompt_id") or str(uuid.uuid4())
        wanted = data.get("partial_execution_targets")
        counted = number is None or (isinstance(number, int | float) and abs(number) < 1e15)
        if not is_id(job_id) or not isinstance(wanted, list | None) or not counted:
            message = "prompt_id must be a UUID in lower case, number a number, partial_execution_targets a list."
            raise RefusedError({"error": wire.error("invalid_prompt_id", message), "node_errors": {}})
        if self.store.count(("pending",)) >= MOST_QUEUED:
            told = wire.error("queue_full", f"{MOST_QUEUED} prompts wait already: let some of them finish.")
            raise RefusedError({"error": told, "node_errors": {}}, 429)
        extra = {name: value for name, value in extra.items() if name not in SECRETS}
        workflow, plan = self._checked(prompt, extra, None if wanted is None else [str(target) for target in wanted])
        source = (extra.get("extra_pnginfo") or {}).get("workflow")
        job = Job(job_id, 0, as_name(data.get("client_id") or extra.get("client_id")), prompt, extra, plan.outputs)
        job.workflow = as_name(source.get("id")) if isinstance(source, dict) else None
        extra["create_time"] = now()
        if self.store.add(job, bool(data.get("front")), None if number is None else float(number)) is None:
            message = f"There is a job {job_id} already: leave prompt_id out, or give another."
            raise RefusedError({"error": wire.error("invalid_prompt_id", message), "node_errors": {}})
        self._queued()
        return job, wire.node_errors(plan.problems, workflow)

    def _checked(
        self, prompt: dict[str, Any], extra: dict[str, Any], targets: list[str] | None
    ) -> tuple[Workflow, Plan]:
        assert self.host is not None
        workflow = None
        try:
            workflow = self.host.load({"prompt": prompt, "extra_data": extra})
            return workflow, self.host.check(workflow, targets)
        except SoraError as wrong:
            raise RefusedError(wire.refusal(wrong, workflow)) from wrong

    def again(self, job_id: str, client: str | None) -> Job | None:
        """Queue a job again that was interrupted or failed. Returns None where there is no such job."""
        job = self.store.again(job_id, client)
        self._queued()
        return job

    def cancel(self, job_id: str) -> bool:
        """Take a job out of the queue, or stop it. Returns False where it is neither waiting nor running."""
        with self._lock:
            if self.store.drop(("pending",), [job_id]):
                self.hub.status()
                return True
        return self.interrupt(job_id)

    def clear(self) -> None:
        """Empty the queue; what runs goes on."""
        self.store.drop(("pending",))
        self.hub.status()

    def interrupt(self, job_id: str | None = None) -> bool:
        """Stop the running job, if it is this one."""
        with self._lock:
            run = self.current
            if run is None or job_id not in (None, run.job.id):
                return False
            run.stop.set()
            return True

    def close(self, patience: float = 1.0) -> None:
        """Stop. What runs is marked as interrupted, in `patience` seconds at the latest."""
        self._closing = True
        self._wake.set()
        self.interrupt()
        if self._thread is not None:
            self._thread.join(patience)
        with self._lock:
            if self.current is not None:
                self.current.job.state = "interrupted"
                self.store.finish(self.current.job)
            self.store.close()

    def _queued(self) -> None:
        self.hub.status()
        self._wake.set()

    # -- the worker's thread ---------------------------------------------------------------------------------
    def _work(self) -> None:
        while not self._closing:
            self._wake.clear()
            with self._lock:
                job = None if self._closing else self.store.take()
                self.current = run = Run(job, self.hub) if job else None
            if run is None:
                self._wake.wait()
                continue
            with contextlib.suppress(Exception):  # the store of a server that has ended meanwhile
                self._run(run)

    def _run(self, run: Run) -> None:
        job, assert_host = run.job, self.host
        assert assert_host is not None
        self.hub.begin(job.client)
        self.hub.status()
        ending: tuple[str, dict[str, Any]] = ("execution_success", {})
        try:
            workflow = assert_host.load({"prompt": job.prompt, "extra_data": job.extra})
            result = assert_host.run_plan(assert_host.check(workflow, job.targets), run, run.stop)
            job.state = "completed"
            for node_id, reason in result.blocked.items():
                told = self._failure(run, SoraError(reason), node_id, workflow.nodes[node_id].type)
                run.keep("execution_error", **{**told, "exception_type": "ExecutionBlocked"})
        except Interrupted:
            job.state = "interrupted" if self._closing else "cancelled"
            node = job.prompt.get(run.node) or {}
            about = {"node_id": run.node, "node_type": node.get("class_type", ""), "executed": list(job.outputs)}
            ending = ("execution_interrupted", about)
        except Exception as wrong:
            job.state = "failed"
            where = wrong.problems[0] if isinstance(wrong, WorkflowError) else wrong
            job.error = self._failure(run, wrong, getattr(where, "node_id", ""), getattr(where, "node_type", ""))
            ending = ("execution_error", job.error)
        run.close()
        with self._lock:
            # Kept before it is told: whoever hears of the end finds the results.
            job.messages.append([ending[0], {**ending[1], "prompt_id": job.id, "timestamp": now()}])
            self.store.finish(job)
            self.current = None
        self.hub.tell(*(ending[0], job.messages[-1][1]))
        self.hub.tell("executing", {"node": None, "prompt_id": job.id})
        self.hub.begin(None)
        self.hub.status()

    def _failure(self, run: Run, wrong: BaseException, node_id: str | None, kind: str | None) -> dict[str, Any]:
        """Describe why a run failed. A traceback is there only for a fault, and never for visitors from elsewhere."""
        cause = wrong.__cause__ or wrong
        lines = [] if isinstance(cause, SoraError) else traceback.format_exception(cause)
        told = [line for line in map(self.tell_places, lines) if line]
        names = {"node_id": node_id or "", "node_type": kind or "", "executed": list(run.job.outputs)}
        return wire.failure(run.job.id, self.tell_places(str(wrong)), type(cause).__name__, **names, traceback=told)


def as_name(value: Any) -> str | None:
    """Return what a client or a workflow calls itself, as it can be kept; None for nothing."""
    return str(value)[:200].encode(errors="replace").decode() if value else None


def is_id(value: Any) -> bool:
    """Return whether a job may have this id: a UUID as Python writes it."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
