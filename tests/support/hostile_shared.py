"""What hostile inputs of all kinds share: a host, a model, and the command as a user meets it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from sora_core.errors import SoraError

Made: TypeAlias = Iterator[tuple[str, Callable[[], Any]]]  # names, and what reads the input of that name


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def sora(*arguments: str) -> None:
    """Run the command. Raises SoraError with what it prints where it fails, as a user reads it."""
    from sora_core.cli.main import main

    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        code = main(list(arguments))
    if code:
        told = printed.getvalue()
        raise SoraError(told[told.rindex("sora: ") + 6 :].strip() if "sora: " in told else told)


_hosts: dict[Path, Any] = {}
_models: list[Any] = []


def host_in(folder: Path) -> Any:
    from sora_core.host.desk.folders import Folders
    from sora_core.host.host import Host

    if folder not in _hosts:
        _hosts[folder] = Host(Folders(folder / "input", folder / "output", folder / "temp"), keep_results=False)
    return _hosts[folder]


def loaded_model() -> Any:
    from sora_core.loading.checkpoint import load_model

    if not _models:
        _models.append(load_model())
    return _models[0]
