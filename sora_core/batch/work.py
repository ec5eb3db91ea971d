"""One job, made: the same here and on every worker. A model is loaded once, a prompt encoded once, a clip too."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..loading.checkpoint import PRECISIONS
from ..loading.fingerprint import read_all
from ..media.stills import read_still
from ..model.text.emphasis import check_length
from ..pipeline import progress
from ..pipeline.engine import Conditioning, Latent
from ..pipeline.own import ClipSocket, OwnEngine, VaeSocket
from ..pipeline.pipeline import Pipeline, load
from ..safety import gate
from .graphs import Graphs
from .jobs import Job, Weights
from .tasks import TASKS, WORKFLOW, arguments_of

KEPT_TEXTS = 512  # encoded prompts
KEPT_CLIPS = 4  # encoded clips: of a grid over seeds all jobs read the same
Find = Callable[[Any], Path]  # where the file of an `Input` or of `Weights` lies on this machine
Report = Callable[[int, int], None]  # (steps done, steps in all)


@dataclass
class Made:
    """What a job came to."""

    files: list[Path]
    seconds: float
    latent: str = ""  # sha256 of what was sampled, "" where nobody saw it
    notes: list[str] = field(default_factory=list)


class KeepingEngine(OwnEngine):
    """The engine, which remembers what it encoded. The policy judges a prompt each time that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: OrderedDict[Any, tuple[Conditioning, list[str]]] = OrderedDict()
        self._clips: OrderedDict[Any, Latent] = OrderedDict()
        self.encoded = 0  # prompts that were encoded, not remembered

    def encode_text(self, clip: ClipSocket, text: str) -> tuple[Conditioning, list[str]]:
        """Encode a prompt, once."""
        check_length(text)
        gate.check_text(text)

        def encode() -> tuple[Conditioning, list[str]]:
            self.encoded += 1
            return super(KeepingEngine, self).encode_text(clip, text)

        return _kept(self._texts, (id(clip), text), KEPT_TEXTS, encode)

    def encode(self, vae: VaeSocket, images: Tensor, refine: int = 0, corrections: int | None = None) -> Latent:
        """Encode a clip, once."""
        key = id(vae), tuple(images.shape), hashlib.sha256(read_all(images)).digest(), refine, corrections
        encode = super().encode
        made = _kept(self._clips, key, KEPT_CLIPS, lambda: encode(vae, images, refine, corrections))
        return {name: value.clone() if isinstance(value, Tensor) else value for name, value in made.items()}


def _kept(known: OrderedDict, key: Any, most: int, make: Callable[[], Any]) -> Any:
    """Return what is remembered under `key`, or make it; what was used longest ago makes way."""
    if key not in known:
        known[key] = make()
        while len(known) > most:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]


class Workshop:
    """Makes jobs, one after the other, and keeps the model that the last one used."""

    def __init__(self) -> None:
        """Make a workshop, empty."""
        self._loaded: tuple[Any, Pipeline] | None = None
        self.graphs = Graphs()
        self.loads = 0  # models that were loaded

    def make(self, job: Job, folder: Path, find: Find, report: Report | None = None) -> Made:
        """Make a job's files in `folder`, which is made anew, under the policy in force.

        find: where inputs and models lie. report: is told of steps. Raises SoraError for what cannot be made.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        said: list[str] = []
        with _depending_on_nothing(), gate.noting(said):
            made = (
                self._graph(job, folder, find, report)
                if job.task == WORKFLOW
                else self._call(job, folder, find, report)
            )
        made.seconds = time.monotonic() - start
        made.notes = list(dict.fromkeys([*made.notes, *said]))
        return made

    def pipeline(self, models: tuple[Weights, ...], precision: str, find: Find) -> Pipeline:
        """Load a model with its LoRAs, unless it is the one that is loaded."""
        key = tuple((weights.digest, weights.strength) for weights in models), precision
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # its memory goes before the next comes
            model, *loras = models
            pipe = load(find(model), dtype=PRECISIONS.get(precision), engine=KeepingEngine())
            for lora in loras:
                pipe = pipe.with_lora(find(lora), 1.0 if lora.strength is None else lora.strength)
            self._loaded, self.loads = (key, pipe), self.loads + 1
        return self._loaded[1]

    def _call(self, job: Job, folder: Path, find: Find, report: Report | None) -> Made:
        pipe = self.pipeline(job.models, job.precision, find)
        given = arguments_of(job.task, _placed(job, find))
        method = getattr(pipe, TASKS[job.task].method)
        path = folder / f"{job.stem}.mp4"
        tags = {"sora_job": job.id}
        if job.task == "long":
            notes: list[str] = []

            def told(done: Any) -> None:
                if report is not None:
                    report(done.segment, done.segments)

            method(given.pop("prompt"), path, progress=told, metadata=tags, notes=notes, reuse=False, **given)
            return Made([path], 0.0, notes=notes)
        if isinstance(given.get("region"), str):
            given["region"] = read_still(given["region"])[:1, ..., :3].float().mean(-1)
        if job.task == "storyboard":
            given["reuse"] = False
        video = method(**given, progress=report)
        video.save(path, metadata=tags)
        latent = video.latent.detach()
        digest = hashlib.sha256(f"{list(latent.shape)} {latent.dtype}".encode() + read_all(latent)).hexdigest()
        return Made([path], 0.0, digest, list(video.notes))

    def _graph(self, job: Job, folder: Path, find: Find, report: Report | None) -> Made:
        graph, *files = job.inputs
        # Under the names that the graph has for them.
        inputs, output = folder / "in", folder / "out"
        output.mkdir()
        inputs.mkdir()
        for each in files:
            place = inputs / each.key
            expect(inputs.resolve() in place.resolve().parents, f"the workflow reads {each.key!r}, outside its folder.")
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(find(each).absolute(), place)

        def listen(event: str, data: Mapping[str, Any]) -> None:
            if event == "progress" and report is not None:
                report(data["value"], data["max"])

        listen.shows_previews = False  # type: ignore[attr-defined]  # how the host asks, see `Executor`
        path, settings = find(graph), job.settings.get("set") or {}
        files_made, notes = self.graphs.run(path, settings, inputs, None, output, listen)
        named = []
        for number, file in enumerate(files_made, 1):
            more = f"_{number}" if len(files_made) > 1 else ""
            named.append(folder / f"{job.stem}{more}{file.suffix}")
            os.replace(file, named[-1])
        for made in (inputs, output):
            shutil.rmtree(made, ignore_errors=True)
        return Made(named, 0.0, notes=notes)


def _link(source: Path, place: Path) -> None:
    """Put a file in a place without copying it, where the system can."""
    try:
        place.symlink_to(source)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, place)


def _placed(job: Job, find: Find) -> dict[str, Any]:
    """Return a job's settings with its files as they lie on this machine."""
    placed = dict(job.settings)
    for each in job.inputs:
        name, _, frame = each.key.partition(".")
        if frame:
            placed[name] = {**placed[name], frame: str(find(each))}
        else:
            placed[name] = str(find(each))
    return placed


@contextmanager
def _depending_on_nothing() -> Iterator[None]:
    """Keep shots of earlier renders out within the block: what a job makes must not depend on those before it."""
    name = "SORA_KEPT_RENDERS"
    before = os.environ.get(name)
    os.environ[name] = ""
    try:
        with torch.no_grad(), progress.listening(None):
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
