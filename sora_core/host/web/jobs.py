"""Prompts on their way into the queue, and what those who look on are told of a job that runs."""

from __future__ import annotations

import io
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from ...errors import SoraError
from ..graph.validate import Plan
from ..graph.workflow import Workflow
from ..run.pace import Pace, duration
from ..run.store import Job, Store, now
from . import wire
from .live import Hub

if TYPE_CHECKING:
    from ..host import Host
    from ..previews import PreviewLoop

MOST_QUEUED = 10_000
OFTEN = 0.05  # seconds between two messages of progress
SAYING = 0.5  # seconds between two texts of the time that is left
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class RefusedError(SoraError):
    """A prompt that is not queued. `answer` is what the client gets."""

    def __init__(self, answer: dict[str, Any], status: int = 400) -> None:
        super().__init__(answer["error"]["message"])
        self.answer, self.status = answer, status


def submit(data: dict[str, Any], host: Host, store: Store) -> tuple[Job, dict[str, Any]]:
    """Check a prompt and queue it. Returns the job, and what is wrong with outputs that are left out.

    Raises RefusedError.
    """
    prompt, extra, number = data.get("prompt"), data.get("extra_data") or {}, data.get("number")
    if not isinstance(prompt, dict) or not isinstance(extra, dict):
        raise _refused("no_prompt", "No prompt provided")
    job_id, wanted = data.get("prompt_id") or str(uuid.uuid4()), data.get("partial_execution_targets")
    counted = number is None or (isinstance(number, int | float) and abs(number) < 1e15)
    if not is_id(job_id) or not isinstance(wanted, list | None) or not counted:
        message = "prompt_id must be a UUID in lower case, number a number, partial_execution_targets a list."
        raise _refused("invalid_prompt_id", message)
    if store.count(("pending",)) >= MOST_QUEUED:
        raise _refused("queue_full", f"{MOST_QUEUED} prompts wait already: let some of them finish.", 429)
    extra = {name: value for name, value in extra.items() if name not in SECRETS}
    workflow, plan = _checked(host, prompt, extra, None if wanted is None else [str(target) for target in wanted])
    source = (extra.get("extra_pnginfo") or {}).get("workflow")
    job = Job(job_id, 0, wire.as_name(data.get("client_id") or extra.get("client_id")), prompt, extra, plan.outputs)
    job.workflow = wire.as_name(source.get("id")) if isinstance(source, dict) else None
    extra["create_time"] = now()
    if store.add(job, bool(data.get("front")), None if number is None else float(number)) is None:
        raise _refused("invalid_prompt_id", f"There is a job {job_id} already: leave prompt_id out, or give another.")
    return job, wire.node_errors(plan.problems, workflow)


def _checked(host: Host, prompt: dict, extra: dict, targets: list[str] | None) -> tuple[Workflow, Plan]:
    workflow = None
    try:
        workflow = host.load({"prompt": prompt, "extra_data": extra})
        return workflow, host.check(workflow, targets)
    except SoraError as wrong:
        raise RefusedError(wire.refusal(wrong, workflow)) from wrong


def _refused(kind: str, message: str, status: int = 400) -> RefusedError:
    return RefusedError({"error": wire.error(kind, message), "node_errors": {}}, status)


def is_id(value: Any) -> bool:
    """Return whether a job may have this id: a UUID as Python writes it."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


class Telling:
    """Hears the run of a job, tells the hub, and keeps what belongs into the history."""

    def __init__(self, job: Job, hub: Hub) -> None:
        self.job, self.hub = job, hub
        self.shows_previews = job.extra.get("preview_method") != "none"
        self.node = ""  # that runs
        self.nodes: dict[str, dict[str, Any]] = {}  # as in progress_state, by id
        self.pace = Pace()  # of that node
        self.told = self.said = 0.0  # when progress, and the time that is left, were told last
        self.notes = ""
        self.previews: PreviewLoop | None = None
        hub.begin(job.client)
        hub.status()

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        """Hear an event of the executor."""
        match event:
            case "execution_start":
                self.nodes = {node_id: self._entry(node_id) for node_id in data["nodes"]}
                self._keep(event, {})
            case "execution_cached":
                self._keep(event, {"nodes": data["nodes"]})
            case "executing":
                self.node, self.pace, self.notes = data["node"], Pace(), ""
                self.nodes[self.node] = self._entry(self.node, "running")
                self.hub.tell(event, {"node": self.node, "display_node": self.node, "prompt_id": self.job.id})
                self._state()
            case "progress":
                self._progress(data["value"], data["max"], data["preview"])
            case "progress_text":
                self.notes = data["text"]
                self._text(self.notes)
            case "picture":
                frame = wire.picture_frame(_encoded(data["picture"], "PNG", compress_level=1))
                self.hub.frames("picture", "", frame, frame)
            case "executed":
                self._executed(data["node"], data["output"])

    def close(self) -> None:
        """End the moving preview."""
        if self.previews is not None:
            self.previews.close()
            self.previews = None

    def ended(self, event: str, data: dict[str, Any]) -> None:
        """Tell how the run ended."""
        for kind, blocked in self.job.messages:
            if kind == "blocked":
                told = wire.failure(self.job.id, blocked["reason"], "ExecutionBlocked", node_id=blocked["node"])
                self.hub.tell("execution_error", told)
        about = {"node_id": self.node, "node_type": (self.job.prompt.get(self.node) or {}).get("class_type", "")}
        self.hub.tell(event, {**about, **data} if event == "execution_interrupted" else data)
        self.hub.tell("executing", {"node": None, "prompt_id": self.job.id})
        self.hub.begin(None)
        self.hub.status()

    def _keep(self, event: str, data: dict[str, Any]) -> None:
        data |= {"prompt_id": self.job.id, "timestamp": now()}
        self.job.messages.append([event, data])
        self.hub.tell(event, data)

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
            self.job.outputs[node_id] = output = json.loads(wire.dump(output))  # before it can spoil the history
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
        self.nodes[self.node] = self._entry(self.node, "running", value, total)
        left = self.pace.left(value, total)
        if left is not None:
            self.nodes[self.node]["seconds_left"] = round(left, 1)
        self.hub.update("progress", {"value": value, "max": total, "prompt_id": self.job.id, "node": self.node})
        self._state()
        if left is not None and (moment - self.said >= SAYING or value >= total):
            self.said = moment
            rest = f", {duration(left)} left" if value < total else ""
            self._text(f"{self.notes}\nStep {value:g} of {total:g}{rest}".strip())

    def _text(self, text: str) -> None:
        self.hub.frames("text", "supports_progress_text_metadata", *wire.text_frames(self.job.id, self.node, text))

    def _show(self, picture: Any) -> None:
        jpeg = _encoded(picture.convert("RGB"), "JPEG", quality=90)
        self.hub.frames("preview", "supports_preview_metadata", *wire.preview_frames(self.job.id, self.node, jpeg))


def _encoded(picture: Any, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
