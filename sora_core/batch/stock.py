"""What a worker keeps: models, found by their hash wherever they lie, and inputs, brought once a machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import SoraError, expect
from ..files import (
    DiskFullError,
    ensure_writable,
    is_file,
    make_private,
    own_temp,
    user_cache,
    write_error,
    written_beside,
)
from ..loading.checkpoint import embedded_models
from ..loading.lora import embedded_loras
from .jobs import Input, Weights, content_hash, sha256

FOLDERS = "SORA_MODELS"  # environment: folders in which a worker's models lie
KEPT_DAYS = 30  # of inputs that no job used
COMING = ".coming"  # ending of a model of which not all pieces are here
ABANDONED = 3600.0  # seconds after the last piece


def models_folder() -> Path:
    """Return where models that were sent are kept."""
    return user_cache() / "models"


def find_weights(wanted: Weights) -> Path | None:
    """Find a model here by its hash: under its own path, among those of the package, of SORA_MODELS, or sent before."""
    for path in _candidates(wanted):
        with contextlib.suppress(OSError, SoraError):
            if path.is_file() and path.stat().st_size == wanted.size and sha256(path) == wanted.digest:
                return path
    return None


def _candidates(wanted: Weights) -> Iterator[Path]:
    yield from embedded_models().values()
    yield from embedded_loras().values()
    yield wanted.path
    yield models_folder() / f"{wanted.digest}.safetensors"
    for folder in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        yield from sorted(Path(folder).expanduser().rglob("*.safetensors"))


def lacking(wanted: Iterable[Weights]) -> list[Weights]:
    """List the models that are not here."""
    return [weights for weights in wanted if find_weights(weights) is None]


def append_part(wanted: Weights, offset: int, data: bytes, node: str = "") -> None:
    """Write a piece of a model that is sent; the last one, where it is whole, gives it its name.

    node: who takes it: workers that share a home are sent it at the same time. A piece may come twice, where the
    process that took it died. Raises SoraError for a model that arrives changed, and where there is no room for it.
    """
    folder = models_folder()
    ensure_writable(folder)
    part, whole = folder / f".{wanted.digest}.{node}{COMING}", folder / f"{wanted.digest}.safetensors"
    try:
        if offset == 0:
            part.write_bytes(b"")
        elif not part.exists() and is_file(whole):
            return
        follows = part.is_file() and part.stat().st_size >= offset
        expect(follows, f"{wanted.name} arrives in pieces that do not follow each other: send it again.")
        with part.open("r+b") as file:
            file.seek(offset)
            file.truncate()
            file.write(data)
        if offset + len(data) >= wanted.size:
            expect(content_hash(part) == wanted.digest, f"{wanted.name} arrived changed: send it again.")
            os.replace(part, whole)
    except (OSError, SoraError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise write_error(folder, error) if isinstance(error, OSError) else error from error


def inputs_folder() -> Path:
    """Return where inputs that came with jobs are kept."""
    return user_cache() / "inputs"


def keep_input(wanted: Input, fetch: Callable[[], bytes]) -> Path:
    """Return an input's file on this machine; what is not here yet is fetched, once for all its jobs.

    Raises SoraError for one that arrives changed, and where there is no room.
    """
    path = inputs_folder() / f"{wanted.digest}{wanted.path.suffix.lower()}"
    if path.is_file() and path.stat().st_size == wanted.size and content_hash(path) == wanted.digest:
        with contextlib.suppress(OSError):
            os.utime(path)
        return path
    try:
        ensure_writable(path.parent)
    except DiskFullError:
        raise
    except SoraError:  # a worker without a home of its own: kept as long as this process lives
        path = own_temp() / "inputs" / path.name
        if path.is_file():
            return path
        make_private(own_temp())
        path.parent.mkdir(exist_ok=True)
    with written_beside(path) as part:
        part.write_bytes(fetch())
        expect(
            content_hash(part) == wanted.digest, f"The input {wanted.path.name} arrived changed: start the batch again."
        )
    return path


def tidy() -> None:
    """Let go of inputs that no job has used for long, and of models whose sender was stopped on the way."""
    for folder, pattern, seconds in (
        (inputs_folder(), "*", KEPT_DAYS * 86400),
        (models_folder(), f".*{COMING}", ABANDONED),
    ):
        with contextlib.suppress(OSError):
            for path in folder.glob(pattern):
                if path.is_file() and time.time() - path.stat().st_mtime > seconds:
                    path.unlink()
