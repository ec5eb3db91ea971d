"""How a call of a `Pipeline` made its video, for the credentials: which model, which files, what was done to them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..loading.checkpoint import ModelBundle
from ..provenance.credentials.history import History, Model
from ..safety import gate
from .given import check_given
from .result import VideoResult

Given = ParamSpec("Given")
Item = TypeVar("Item")


class HasBundle(Protocol):
    """What makes videos with a model that was read from files."""

    bundle: ModelBundle


Maker = TypeVar("Maker", bound=HasBundle)
Call = Callable[Concatenate[Maker, Given], VideoResult]


def recorded(kind: str | None, *files: str) -> Callable[[Call[Maker, Given]], Call[Maker, Given]]:
    """Decorate a method that makes a video: note on its result how it was made, and what the policy said of it.

    What the call is given is held to its signature first, see `check_given`. kind: a key of `history.EDITS`, None for
    what is made from words alone. files: the parameters that may name a file.
    """

    def wrap(method: Call[Maker, Given]) -> Call[Maker, Given]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def call(self: Maker, *args: Given.args, **kwargs: Given.kwargs) -> VideoResult:
            given = signature.bind(self, *args, **kwargs).arguments
            check_given(signature, given)
            said: list[str] = []
            with gate.noting(said):
                result = method(self, *args, **kwargs)
            prompt = given.get("prompt", given.get("shots"))
            history = of_call(self.bundle, kind, [given.get(name) for name in files], prompt)
            history = with_read(history, result.read_as)
            return replace(result, history=history, notes=[*result.notes, *said])

        return call

    return wrap


def of_call(bundle: ModelBundle, kind: str | None, inputs: Sequence[Any], prompt: Any) -> History:
    """Return the history of a call in Python with a model.

    inputs: what was edited, files or frames (or several of them by key), None for nothing. What a call gave back brings
    its own history; of bare frames only the edit is known, not where they come from. prompt: a text, or shots.
    """
    flat = [each for value in inputs for each in (value.values() if isinstance(value, Mapping) else [value])]
    before = [value.history for value in flat if isinstance(value, VideoResult)]
    files = [Path(value) for value in flat if isinstance(value, (str, Path))]
    edits = [kind] if kind is not None and any(value is not None for value in flat) else []
    models = [
        Model(str(bundle.info.get("name", "model")), bundle.file),
        *(Model(path.stem, path) for path in bundle.loras),
    ]
    # The model of this call first, whose name the watermark carries; all else from the source to the result.
    return History(
        _unique(models, *(history.models for history in before)),
        True,
        _unique(*(history.edits for history in before), edits),
        _unique(*(history.sources for history in before), files),
        _unique(*(history.prompts for history in before), _prompts(prompt)),
    )


def with_read(history: History, read_as: Sequence[str]) -> History:
    """Add to a history what the model read in place of the prompts that were written."""
    return replace(history, prompts=_unique(history.prompts, read_as))


def _unique(*lists: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(item for each in lists for item in each))


def _prompts(prompt: Any) -> tuple[str, ...]:
    """List the texts of a prompt or of shots, (prompt, seconds) pairs among them."""
    if isinstance(prompt, str):
        return (prompt,) if prompt.strip() else ()
    shots = [getattr(shot, "prompt", None) or shot[0] for shot in prompt or ()]
    return tuple(dict.fromkeys(text for text in shots if text.strip()))
