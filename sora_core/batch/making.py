"""From a line's draft to a job: files and models found and hashed, settings held to what the model can do."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..errors import SoraError, expect
from ..files import is_file
from ..loading.checkpoint import PRECISIONS, resolve
from ..loading.lora import embedded_loras, parse_lora
from ..media.sizes import plan_frames
from ..pipeline.loaded import BETWEEN
from ..pipeline.make import CallSettings, check_sampling
from ..tasks.storyboard import MAX_LONG_SHOTS, MAX_SHOTS, shots_of
from ..words import did_you_mean, no_such, short
from .estimate import cost_of, memory_of
from .graphs import Graphs
from .jobs import Input, Job, Needs, Weights, name_of, read_input, sha256, slug
from .paper import Paper, on_paper
from .reading import Draft
from .tasks import COMMON, NOT_GIVEN, TASKS, WORKFLOW, arguments_of, signature_of

FAST = "sora-mini-4step"  # the LoRA of "fast"
# Of every call, left out or not.
USUAL = {
    "seed": 0, "negative": "", "scheduler": "simple", "expand": "auto", "interval": [0, 1], "cache": 0, "gate": 0
}  # fmt: skip
_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(GiB|GB|MiB|MB)\s*", re.IGNORECASE)
_UNITS = {"gib": 1 << 30, "gb": 10**9, "mib": 1 << 20, "mb": 10**6}


class Maker:
    """Makes jobs of the lines of one batch. What several lines name is read and hashed once."""

    def __init__(self, batch: Path, graphs: Graphs, cpus: float = 1.0, gpus: float | None = None) -> None:
        """batch: its file, from whose folder inputs are named. cpus, gpus: of jobs that do not say."""
        self.folder = batch.parent
        self.graphs, self.cpus, self.gpus = graphs, cpus, gpus
        self.input = functools.cache(self._input)
        self.weights = functools.cache(self._weights)
        self.paper = functools.cache(on_paper)

    def make(self, draft: Draft) -> Job:
        """Make a job. Raises SoraError for what cannot be worked on, before any work."""
        fields = {name: value for name, value in draft.fields.items() if value is not None}
        name = fields.get("name", "")
        expect(isinstance(name, str), f"name is {short(name)}: use a text.")
        settings = {key: value for key, value in fields.items() if key not in COMMON}
        made = self._graph(draft, settings) if draft.task == WORKFLOW else self._call(draft, fields, settings)
        words = name or (made.texts() or [Path(str(settings.get("workflow", draft.task))).stem])[0]
        # Without a name of its own a job is called by its prompt already.
        varied = tuple((key, value) for key, value in draft.varied if name or key not in ("prompt", "workflow"))
        given = self._needs(fields)
        needs = replace(given, memory=given.memory or made.needs.memory)
        return replace(made, name=slug(words, varied), needs=needs)

    # -- calls -----------------------------------------------------------------------------------------------
    def _call(self, draft: Draft, fields: Mapping[str, Any], settings: dict[str, Any]) -> Job:
        task = TASKS[draft.task]
        models = self._models(fields)
        precision = fields.get("precision", "auto")
        known = ("auto", *PRECISIONS)
        expect(precision in known, f"precision is {short(precision)}: use {', '.join(known)}.")
        for name in ("prompt", "negative"):
            expect(isinstance(settings.get(name, ""), str), f"{name} is {short(settings.get(name))}: use a text.")
        arguments = arguments_of(draft.task, settings)
        paper = self.paper(models)
        _check(draft.task, arguments, paper)
        inputs = self._inputs(task.files, settings)
        # By content, and with what the call would fill in: the same video has the same name.
        told = {**_usual(draft.task, paper), **settings, **{each.key: each.digest for each in inputs}}
        if isinstance(told.get("image"), Mapping):
            del told["image"]
        told = _as_made(draft.task, told, arguments, paper)
        job = Job("", "", draft.line, draft.task, settings, inputs, models, precision)
        cost, memory = cost_of(draft.task, arguments, paper), memory_of(draft.task, arguments, paper, precision)
        digest = name_of(draft.task, told, models, precision)
        return replace(job, id=digest, cost=cost, needs=Needs(memory=memory))

    def _models(self, fields: Mapping[str, Any]) -> tuple[Weights, ...]:
        model, loras, fast = fields.get("model", "sora-mini"), fields.get("lora", []), fields.get("fast", False)
        expect(isinstance(model, str), f"model is {short(model)}: use a name or a path.")
        expect(isinstance(fast, bool), f"fast is {short(fast)}: use true or false.")
        loras = loras if isinstance(loras, list) else [loras]
        expect(
            all(isinstance(each, str) for each in loras), f'lora is {short(loras)}: write "FILE" or "FILE:STRENGTH".'
        )
        return tuple(
            self.weights(each) for each in ((model, False), *((lora, True) for lora in [*loras, *[FAST] * fast]))
        )

    def _weights(self, named: tuple[str, bool]) -> Weights:
        text, is_lora = named
        path, strength = parse_lora(text) if is_lora else (Path(text), None)
        beside = self.folder / path
        if is_lora:
            known = embedded_loras()
            file = known.get(str(path)) or (beside if is_file(beside) else path)
            expect(is_file(file), no_such("LoRA", str(path), known, "give the path of a .safetensors file"))
        else:
            file = resolve(beside if path.suffix == ".safetensors" and is_file(beside) else path)
        stat = file.stat()
        return Weights(path.name, file, sha256(file), stat.st_size, strength, stat.st_mtime_ns)

    def _inputs(self, names: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[Input, ...]:
        found = []
        for name in names:
            value = settings.get(name)
            if value is None:
                continue
            several = value.items() if isinstance(value, Mapping) and name == "image" else [("", value)]
            for frame, each in several:
                expect(isinstance(each, str) and bool(each), f"{name} is {short(each)}: give the name of a file.")
                found.append(replace(self.input(each), key=f"{name}.{frame}" if frame else name))
        return tuple(found)

    def _input(self, name: str) -> Input:
        try:
            path = self.folder / Path(name).expanduser()
            there = is_file(path)
        except (RuntimeError, ValueError):
            path, there = Path(name), False
        if not there:
            try:
                names = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]  # a link to nowhere
            except (OSError, ValueError):
                names = []
            hint = did_you_mean(path.name, names) or f"names are meant from {self.folder.absolute()}."
            raise SoraError(f"there is no file {short(name)}: {hint}")
        return read_input("", path)

    # -- graphs ----------------------------------------------------------------------------------------------
    def _graph(self, draft: Draft, settings: dict[str, Any]) -> Job:
        name = settings["workflow"]
        expect(
            isinstance(name, str) and bool(name), f"workflow is {short(name)}: give a file, or a name of the package's."
        )
        path = self.graphs.find(name, self.folder)
        graph = self.graphs.read(path, settings.get("set") or {}, self.folder)
        told = {"graph": graph.named}
        digest = name_of(WORKFLOW, told, graph.models, "auto")
        inputs = (replace(self.input(str(path)), key="workflow"), *graph.inputs)
        return Job(digest, "", draft.line, WORKFLOW, settings, inputs, graph.models)

    def _needs(self, fields: Mapping[str, Any]) -> Needs:
        numbers = {}
        for name, usual in (("cpus", self.cpus), ("gpus", self.gpus)):
            value = fields.get(name, usual)
            fits = value is None or (
                isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e5
            )
            expect(
                fits and not (name == "cpus" and not value), f"{name} is {short(value)}: use a number, as of a worker."
            )
            numbers[name] = value
        return Needs(float(numbers["cpus"]), numbers["gpus"], _bytes(fields.get("memory", 0)))


def _bytes(value: Any) -> int:
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    expect(value == 0 or match is not None, f'memory is {short(value)}: write for example "12 GiB".')
    return round(float(match[1]) * _UNITS[match[2].lower()]) if match else 0


def _usual(task: str, paper: Paper) -> dict[str, Any]:
    """Return what a call fills in where nothing is given."""
    steps, cfg, sampler = paper.pipe.habits()
    own = {name: each.default for name, each in signature_of(task).parameters.items() if name not in NOT_GIVEN}
    made = {**USUAL, **{name: value for name, value in own.items() if value not in (None, inspect.Parameter.empty)}}
    made |= {"steps": steps, "sampler": sampler}
    # Between frames that are kept there is less guidance, see `LoadedModel.between`.
    return {**made, "cfg": min(BETWEEN, cfg) if task in ("infill", "connect", "loop") else cfg}


def _as_made(task: str, told: dict[str, Any], given: Mapping[str, Any], paper: Paper) -> dict[str, Any]:
    """Return the settings that a job is named by, as the call comes to have them, whichever way they were written."""
    pipe, made = paper.pipe, {key: value for key, value in told.items() if key not in ("size", "width", "height")}
    if not made.get("options"):
        made.pop("options", None)
    if "size" in given:
        made["size"] = list(given["size"])
    if task in ("generate", "storyboard", "long"):
        made["size"] = list(pipe.sides(given.get("width"), given.get("height")))
        made["fps"] = pipe.rate(given.get("fps"))
    if task == "generate":
        made["frames"] = pipe.frames_of(given.get("frames"), given.get("seconds"), made["fps"])
        made.pop("seconds", None)
    return made


def _check(task: str, given: Mapping[str, Any], paper: Paper) -> None:
    """Raise SoraError for settings that the model cannot work with."""
    pipe = paper.pipe
    how = cast(CallSettings, {name: given[name] for name in CALL if name in given})
    check_sampling(pipe.engine, pipe.model, pipe.settings(how).sampling)
    fps = pipe.rate(given.get("fps"))
    if task in ("generate", "storyboard", "long"):
        pipe.sides(given.get("width"), given.get("height"))
    if task == "generate":
        pipe.frames_of(given.get("frames"), given.get("seconds"), fps)
    elif given.get("seconds") is not None and task != "long":
        plan_frames(given["seconds"], fps, pipe.space.temporal_ratio)
    if task == "storyboard":
        shots_of(given["shots"], MAX_SHOTS)
    elif task == "long":
        shots_of(given["prompt"], MAX_LONG_SHOTS, 10.0)
    else:
        expect(bool(given["prompt"].strip()), "the prompt is empty: say what the video should show.")


CALL = tuple(name for name in CallSettings.__annotations__ if name != "progress")
