"""Workflows as jobs: read, changed by the line's settings, run on the embedded host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SoraError, expect
from ..files import is_file, make_private, own_temp
from ..host.desk.folders import Folders
from ..host.host import Host
from ..host.packs import own_pack
from ..host.saving import find_input, find_model
from ..pipeline import reuse
from ..words import no_such
from .jobs import Input, Weights, read_input, sha256


@dataclass(frozen=True)
class Graph:
    """A workflow that was read, with its settings."""

    named: dict[str, Any]  # in API format, with the content of files in place of their names: what it makes
    inputs: tuple[Input, ...]  # the user's files that it reads
    models: tuple[Weights, ...]


@dataclass
class Graphs:
    """The embedded host, made when a workflow comes. Its loaders keep the model from one job to the next."""

    _host: Host | None = field(default=None, init=False)

    def find(self, name: str, folder: Path) -> Path:
        """Find a workflow: a file beside the batch, or one of that name that comes with the package."""
        if is_file(folder / name):
            return folder / name
        pack = own_pack()
        shared = {path.stem: path for path in sorted((pack / "workflows").glob("*.json"))} if pack else {}
        expect(name in shared, no_such("workflow", name, shared, "give the path of a JSON"))
        return shared[name]

    def host(self, inputs: Path, output: Path, samples: Path | None) -> Host:
        """Return the host, with these folders."""
        if self._host is None:
            pack = own_pack()
            # Below the process's own: a worker makes jobs in that, and this one goes after each graph.
            self._host = Host(Folders(temp=own_temp() / "graphs"), [pack] if pack else [])
        self._host.folders.input, self._host.folders.output = inputs, output
        self._host.folders.samples = samples
        return self._host

    def read(self, path: Path, settings: Mapping[str, Any], folder: Path) -> Graph:
        """Read a workflow and check it. Raises SoraError for what it lacks, and for settings that do not fit."""
        host = self.host(folder, folder, path.parent / "inputs")
        workflow = host.load(path, as_text(settings))
        host.plan(workflow)
        inputs: dict[str, Input] = {}
        models: dict[str, Weights] = {}
        named: dict[str, Any] = {}
        with host.active():
            for node_id, node in workflow.prompt().items():
                told = {}
                for name, value in node["inputs"].items():
                    told[name] = value
                    if not isinstance(value, str):
                        continue
                    # A file counts by its content, wherever it lies and whatever it is called.
                    if (model := find_model(value)) is not None and model.file is not None and is_file(model.file):
                        stat, digest = model.file.stat(), sha256(model.file)
                        weights = Weights(value, model.file, digest, stat.st_size, stamp=stat.st_mtime_ns)
                        models.setdefault(value, weights)
                        told[name] = models[value].digest
                    elif (file := find_input(value)) is not None:
                        inputs.setdefault(value, read_input(value, file))
                        told[name] = inputs[value].digest
                named[node_id] = {"class_type": node["class_type"], "inputs": told}
        return Graph(named, tuple(inputs.values()), tuple(models.values()))

    def run(
        self,
        path: Path,
        settings: Mapping[str, Any],
        inputs: Path,
        samples: Path | None,
        output: Path,
        listen: Callable,
    ) -> tuple[list[Path], list[str]]:
        """Run a workflow; returns its files, and what a person should know."""
        reuse.forget()  # what a job makes must not depend on those before it
        host = self.host(inputs, output, samples)
        make_private(own_temp())
        host.folders.temp.mkdir(exist_ok=True)
        try:
            result = host.run(host.load(path, as_text(settings)), listener=listen)
        finally:
            host.folders.discard_temp()
        notes = [*result.blocked.values(), *result.left_out.values()]
        if not result.files:
            why = f" ({notes[0]})" if notes else ": add SaveVideo or SaveImage"
            raise SoraError(f"the workflow {path.stem!r} saved no file{why}.")
        return result.files, notes


def as_text(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as `sora run --set` takes them."""
    return [f"{name}={_word(value)}" for name, value in settings.items()]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "true" if value is True else "false" if value is False else str(value)
