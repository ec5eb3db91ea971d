"""A job: what makes it, and the name that follows from that.

The name is a hash of the kind of job, its settings, the content of its inputs and of its models, and `RECIPE`. So the
same work has the same name in every batch and on every machine, wherever files lie, and other work never has it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SoraError, expect
from ..provenance.credentials.history import Model
from ..words import controls, printable

RECIPE = 1  # to be raised when the same settings come to make another video
SLUG = 60  # characters of a job's words in a file name
_NO_WORD = re.compile(r"[^\w.+=-]+")


@dataclass(frozen=True)
class Input:
    """A file of the user's that goes into a job."""

    key: str  # of the setting, "image.0" for one of several; of a workflow the name that it has there
    path: Path  # on the machine that reads the batch
    digest: str  # sha256 of its content, hex
    size: int  # bytes
    stamp: int  # nanoseconds, when it was last changed

    def changed(self) -> bool:
        """Tell whether the file is another one by now, or away."""
        try:
            stat = self.path.stat()
            same = (stat.st_size, stat.st_mtime_ns) == (self.size, self.stamp)
            return not same and sha256(self.path) != self.digest
        except (OSError, SoraError):
            return True


@dataclass(frozen=True)
class Weights:
    """A model's file, or a LoRA's."""

    name: str  # as the batch has it
    path: Path  # on the machine that reads the batch
    digest: str
    size: int  # bytes
    strength: float | None = None  # of a LoRA; None for a model
    stamp: int = field(default=0, compare=False)  # nanoseconds, when it was last changed

    def changed(self) -> bool:
        """Tell whether the file is another one by now, or away."""
        try:
            stat = self.path.stat()
            same = (stat.st_size, stat.st_mtime_ns) == (self.size, self.stamp)
            return not same and sha256(self.path) != self.digest
        except (OSError, SoraError):
            return True


@dataclass(frozen=True)
class Needs:
    """What a job takes of a worker."""

    cpus: float = 1.0
    gpus: float | None = None  # None: one where the workers have any
    memory: int = 0  # bytes, an estimate


@dataclass(frozen=True)
class Job:
    """One job, ready to be made here or elsewhere: plain data, without keys."""

    id: str  # 16 hex digits
    name: str  # for people and in file names
    line: int  # of the batch
    task: str
    settings: Mapping[str, Any]  # as the line has them, one value each
    inputs: tuple[Input, ...] = ()
    models: tuple[Weights, ...] = ()  # the model first, then LoRAs
    precision: str = "auto"
    needs: Needs = field(default_factory=Needs)
    cost: float = 0.0  # floating-point operations of all model calls, 0 where nobody knows

    @property
    def seed(self) -> int | None:
        """The seed; None for a workflow, which has its own."""
        return self.settings.get("seed", 0) if self.task != "workflow" else None

    @property
    def stem(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.name}-{self.id}"

    def texts(self) -> list[str]:
        """List what it asks for in words."""
        shots = self.settings.get("shots")
        listed = [shot[0] for shot in shots] if isinstance(shots, list) else [shots] if shots else []
        return [text for text in (self.settings.get("prompt"), *listed) if isinstance(text, str)]


LARGE = 64 << 20  # bytes from which on a file's hash is remembered: it takes longer to read than to look up


def content_hash(path: Path) -> str:
    """Read a file and return its sha256, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """Return the sha256 of a file, hex; of a large one remembered in the user's cache by path, size and time."""
    try:
        if path.is_file() and path.stat().st_size < LARGE:
            return content_hash(path)
        found = Model(path.name, path).sha256()
    except OSError as error:
        raise SoraError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    expect(found is not None, f"There is no file {str(path)!r}: check the name.")
    return str(found)


def read_input(key: str, path: Path) -> Input:
    """Take a file as it is now. Raises SoraError where there is none."""
    digest = sha256(path)
    stat = path.stat()
    return Input(key, path, digest, stat.st_size, stat.st_mtime_ns)


def name_of(task: str, settings: Mapping[str, Any], models: tuple[Weights, ...], precision: str) -> str:
    """Hash what makes a job. settings: with the content of files in place of their names."""
    told = {
        "recipe": RECIPE,
        "task": task,
        "settings": {name: _canonical(value) for name, value in settings.items() if value is not None},
        "models": [[weights.digest, weights.strength] for weights in models],
        "precision": precision,
    }
    text = json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """Write a value the one way: 4 and 4.0 are the same number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(name): _canonical(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    return value


def slug(words: str, varied: tuple[tuple[str, Any], ...] = ()) -> str:
    """Make a part of a file name of words: letters and digits of any language, and what differs in a grid."""
    told = [words, *(f"{'' if name == 'prompt' else name.rpartition('.')[2]}{_brief(value)}" for name, value in varied)]
    text = "_".join(unicodedata.normalize("NFC", printable(part)) for part in told if part)
    text = "".join(c for c in text if not controls(c))
    text = _NO_WORD.sub("_", text).strip("._-")[:SLUG].strip("._-")
    while len(text.encode()) > 2 * SLUG:  # file systems count bytes
        text = text[:-1]
    return text or "job"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Path(text).stem[:16] if isinstance(value, str) else text[:16]
