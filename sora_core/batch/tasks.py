"""What a line of a batch may ask for: the calls of a `Pipeline`, by name, with the settings that each of them takes."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SoraError, expect
from ..pipeline.given import check_given
from ..pipeline.make import CallSettings
from ..pipeline.pipeline import Pipeline
from ..words import did_you_mean, listing, short


@dataclass(frozen=True)
class Task:
    """One kind of job."""

    method: str  # of `Pipeline`
    needs: tuple[str, ...]  # settings that cannot be left out
    files: tuple[str, ...] = ()  # settings that name files
    size: bool = False  # whether it takes `size`, in place of width and height


TASKS = {
    "generate": Task("generate", ("prompt",)),
    "animate": Task("animate", ("image", "prompt"), ("image",), True),
    "extend": Task("extend", ("video", "prompt"), ("video",), True),
    "infill": Task("infill", ("video", "prompt"), ("video", "region"), True),
    "connect": Task("connect", ("first", "second", "prompt"), ("first", "second"), True),
    "loop": Task("loop", ("video", "prompt"), ("video",), True),
    "remix": Task("remix", ("video", "prompt"), ("video",), True),
    "storyboard": Task("storyboard", ("shots",)),
    "long": Task("long_video", ("prompt",), ("video",)),
}
WORKFLOW = "workflow"  # the kind of job that is a graph
# Arguments of the calls that no line gives: who listens, where the file goes, and what would make a job depend on
# those before it.
NOT_GIVEN = ("self", "how", "progress", "path", "metadata", "notes", "keep_segments", "reuse", "rolling")
# What a line says besides a task's settings.
COMMON = ("name", "task", "grid", "model", "lora", "fast", "precision", "cpus", "gpus", "memory")
LISTS = ("shots", "interval", "hidden", "size", "lora")  # of which one value is a list
WHOLE = ("seed", "steps", "frames")  # of which "0..19" is a range
MOST_STEPS = 10_000


@functools.cache
def signature_of(task: str) -> inspect.Signature:
    """Return the signature of the call that a task is."""
    return inspect.signature(getattr(Pipeline, TASKS[task].method))


@functools.cache
def settings_of(task: str) -> tuple[str, ...]:
    """List the settings that a task takes, in the order in which they are told."""
    if task == WORKFLOW:
        return ("workflow", "set")
    own = [name for name in signature_of(task).parameters if name not in NOT_GIVEN]
    size = [] if "size" in own else ["size"]
    shots = ["shots"] if task == "long" else []
    return (*own, *size, *shots, *(name for name in CallSettings.__annotations__ if name != "progress"))


def task_of(fields: Mapping[str, Any]) -> str:
    """Tell which kind of job a line is: what `task` says, or by what it holds. Raises SoraError where neither tells."""
    given = fields.get("task")
    if given is not None:
        known = [*TASKS, WORKFLOW]
        fits = isinstance(given, str) and given in known
        expect(fits, f"task is {short(given)}: {did_you_mean(given, known) or 'use ' + listing(known) + '.'}")
        return str(given)
    if "workflow" in fields:
        return WORKFLOW
    if files := [name for name in ("video", "image", "first", "second") if name in fields]:
        kinds = [name for name, task in TASKS.items() if files[0] in task.files]
        raise SoraError(
            f'it has {files[0]!r} and does not say what to do with it: add "task", one of {listing(kinds)}.'
        )
    if "shots" in fields:
        return "storyboard"
    expect("prompt" in fields, 'it asks for nothing: give "prompt", "shots" or "workflow".')
    return "generate"


def check_names(task: str, fields: Mapping[str, Any]) -> None:
    """Raise SoraError for a setting that the task does not take, or that it lacks."""
    known = (*COMMON, *settings_of(task))
    for name in fields:
        hint = did_you_mean(name, known) or f"it takes {listing(settings_of(task), 30)}."
        expect(name in known, f"there is no setting {short(name)} of {task!r}: {hint}")
    needs = (WORKFLOW,) if task == WORKFLOW else TASKS[task].needs
    for name in needs:
        told = fields.get(name, fields.get("shots") if task == "long" else None)
        expect(told is not None, f"{task!r} needs {name!r}.")


def arguments_of(task: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the task's call: a size as the call takes it, lists as tuples where it wants those.

    Raises SoraError for a value of another kind than the call takes.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if "size" in given:
        width, height = read_size(given.pop("size"))
        given |= {"size": (width, height)} if TASKS[task].size else {"width": width, "height": height}
    if task == "long" and "shots" in given:
        given["prompt"] = given.pop("shots")
    for name in ("prompt", "shots"):
        if isinstance(given.get(name), list):
            given[name] = [_pair(number, shot) for number, shot in enumerate(given[name], 1)]
    if isinstance(given.get("interval"), list):
        given["interval"] = tuple(given["interval"])
    if isinstance(given.get("image"), Mapping):
        given["image"] = {_frame(number): path for number, path in given["image"].items()}
    for name, value in given.items():
        _check_number(name, value)
    # A mask is a picture in a file here, a tensor there.
    checked = {name: value for name, value in given.items() if name != "region"}
    path = {"path": "long.mp4"} if task == "long" else {}
    bound = signature_of(task).bind(None, **checked, **path)
    check_given(signature_of(task), bound.arguments)
    return given


def _pair(number: int, shot: Any) -> tuple[str, float]:
    fits = isinstance(shot, list) and len(shot) == 2 and isinstance(shot[0], str)
    fits = fits and isinstance(shot[1], (int, float)) and not isinstance(shot[1], bool)
    expect(fits, f'shot {number} is {short(shot)}: write ["a cat on a beach", 2], a prompt and its seconds.')
    return shot[0], float(shot[1])


def _frame(number: Any) -> int:
    try:
        return int(number)
    except (TypeError, ValueError):
        raise SoraError(
            f'image names the frame {short(number)}: use numbers, such as {{"0": "first.png", "-1": "last.png"}}.'
        ) from None


def _check_number(name: str, value: Any) -> None:
    """Raise SoraError for what JSON has and no setting takes: true as a number, and numbers beyond all measure."""
    if isinstance(value, bool) and name not in ("fast",):
        raise SoraError(f"{name} is {str(value).lower()}: use a value of its own kind.")
    if isinstance(value, (int, float)):
        expect(
            abs(value) < 1e30 and math.isfinite(value),
            f"{name} is {short(value)}: use a number that can be worked with.",
        )
    if name == "steps" and isinstance(value, int):
        expect(1 <= value <= MOST_STEPS, f"steps is {value}: use 1 to {MOST_STEPS}.")


def read_size(value: Any) -> tuple[int, int]:
    """Read a size, "160x96" or [160, 96]. Raises SoraError for what is none."""
    sides = value.lower().replace("×", "x").split("x") if isinstance(value, str) else value
    try:
        width, height = (int(side) for side in sides)
        if not isinstance(value, str) and [width, height] != list(value):
            raise ValueError
    except (TypeError, ValueError):
        raise SoraError(f'size is {short(value)}: write "160x96", width and height in pixels.') from None
    expect(width > 0 and height > 0, f"size is {short(value)}: use sides above 0.")
    return width, height
