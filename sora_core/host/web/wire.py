"""What goes over the wire: ComfyUI's JSON shapes of errors, jobs and history, and its binary frames."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

from ..graph.problems import Problem, WorkflowError
from ..graph.workflow import Link, Workflow
from ..run.store import Job
from ..run.worker import failure

# A job's state by the names of `/jobs`. What the server's end interrupted is shown as failed, with its reason.
STATUS = {
    "pending": "pending",
    "running": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "interrupted": "failed",
    "cancelled": "cancelled",
}
INTERRUPTED = "The server ended while this was running. What was finished is there; queue it again for the rest."
SHOWN = ("images", "video", "audio", "text")  # what the panel of jobs can draw
_WORDS = {
    "required_input_missing": "Required input is missing",
    "value_not_in_list": "Value not in list",
    "return_type_mismatch": "Return type mismatch between linked nodes",
    "custom_validation_failed": "Custom validation failed for node",
}


def dump(value: Any) -> str:
    """Write JSON that a browser reads: what is no number becomes null, what is no JSON a text."""
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(value, default=str), parse_constant=lambda _: None))


def as_name(value: Any) -> str | None:
    """Return what a client or a workflow calls itself, as it can be kept; None for nothing."""
    return str(value)[:200].encode(errors="replace").decode() if value else None


# -- errors --------------------------------------------------------------------------------------------------
def error(kind: str, message: str, details: str = "", /, **more: Any) -> dict[str, Any]:
    """Write an error as ComfyUI's server does."""
    return {"type": kind, "message": message, "details": details, "extra_info": more}


def refusal(wrong: Exception, workflow: Workflow | None = None) -> dict[str, Any]:
    """Answer a prompt that cannot run: the error as a whole, and each node's own."""
    if not isinstance(wrong, WorkflowError) or workflow is None:
        return {"error": error("invalid_prompt", str(wrong)), "node_errors": {}}
    first, nodes = wrong.problems[0], node_errors(wrong.problems, workflow)
    if first.kind in ("missing_node_type", "prompt_no_outputs", "dependency_cycle"):
        about: dict[str, Any] = {"node_id": first.node_id, "class_type": first.node_type} if first.node_id else {}
        return {"error": error(first.kind, first.message, **about), "node_errors": nodes}
    details = "\n".join(problem.message for problem in wrong.problems)
    told = error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)
    return {"error": told, "node_errors": nodes}


def node_errors(problems: Iterable[Problem], workflow: Workflow) -> dict[str, Any]:
    """Write what is wrong by node, with the outputs that wait for it."""
    found: dict[str, Any] = {}
    for problem in problems:
        if problem.node_id is None:
            continue
        entry = found.setdefault(
            problem.node_id, {"errors": [], "dependent_outputs": [], "class_type": problem.node_type}
        )
        about = {"input_name": problem.input} if problem.input else {}
        received = workflow.nodes[problem.node_id].inputs.get(problem.input or "")
        if received is not None and not isinstance(received, Link):
            about["received_value"] = received
        words = _WORDS.get(problem.kind) or problem.kind.replace("_", " ").capitalize()
        entry["errors"].append(error(problem.kind, words, problem.message, **about))
    for node_id, ends in workflow.ends(found).items():
        found[node_id]["dependent_outputs"] = ends
    return found


# -- jobs ----------------------------------------------------------------------------------------------------
def queue_entry(job: Job) -> list[Any]:
    """Write a job as the older `/queue` does."""
    return [job.number, job.id, job.prompt, {**job.extra, "client_id": job.client}, job.targets]


def history_entry(job: Job) -> dict[str, Any]:
    """Write a finished job as `/history` does."""
    meta = {n: {"node_id": n, "display_node": n, "parent_node": None, "real_node_id": n} for n in job.outputs}
    done = job.state == "completed"
    status = {"status_str": "success" if done else "error", "completed": done, "messages": job.messages}
    return {"prompt": queue_entry(job), "outputs": job.outputs, "status": status, "meta": meta}


def job_entry(job: Job, whole: bool = False) -> dict[str, Any]:
    """Write a job as `/jobs` does."""
    files = job.files()
    shown = [file for file in files if file["mediaType"] in SHOWN]
    best = [*(file for file in shown if file.get("type") == "output"), *shown]
    wrong = job.error
    if job.state == "interrupted" and not wrong:
        wrong = failure(job.id, INTERRUPTED, "ServerEnded")
    entry = {
        "id": job.id,
        "status": STATUS[job.state],
        "priority": job.number,
        "create_time": job.created,
        "execution_start_time": job.started,
        "execution_end_time": job.ended,
        "execution_error": wrong,
        "outputs_count": len(files),
        "previewable_outputs_count": len(shown),
        "preview_output": best[0] if best else None,
        "workflow_id": job.workflow,
        "interrupted": True if job.state == "interrupted" else None,
    }
    if whole:
        entry["outputs"] = job.outputs
        entry["workflow"] = {"prompt": job.prompt, "extra_data": job.extra}
        entry["execution_status"] = history_entry(job)["status"] if job.ended else None
    return {name: value for name, value in entry.items() if value is not None}


# -- binary frames -------------------------------------------------------------------------------------------
def preview_frames(job_id: str, node_id: str, jpeg: bytes) -> tuple[bytes, bytes]:
    """Write a preview: for a client that knows whose it is, and for one that does not."""
    names = ("node_id", "display_node_id", "parent_node_id", "real_node_id")
    about = json.dumps({**dict.fromkeys(names, node_id), "prompt_id": job_id, "image_type": "image/jpeg"}).encode()
    return struct.pack(">II", 4, len(about)) + about + jpeg, struct.pack(">II", 1, 1) + jpeg


def picture_frame(png: bytes) -> bytes:
    """Write a finished picture, which a client takes in place of a file."""
    return struct.pack(">II", 1, 2) + png


def text_frames(job_id: str, node_id: str, text: str) -> tuple[bytes, bytes]:
    """Write a text for a node: for a client that knows of jobs, and for one that does not."""
    job, node = job_id.encode(), node_id.encode(errors="replace")
    tail = struct.pack(">I", len(node)) + node + text.encode(errors="replace")
    return struct.pack(">II", 3, len(job)) + job + tail, struct.pack(">I", 3) + tail
