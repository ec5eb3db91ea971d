"""What a call in Python is given, held to its signature: what is of another kind is said in words, before any work."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from ..errors import expect
from ..tasks.long.rolling import Rolling
from .make import CallSettings

Given = ParamSpec("Given")
Made = TypeVar("Made")


def _is_number(value: Any) -> bool:
    """Tell whether a value is one number, be it numpy's or torch's. A text is none, even "2"."""
    if isinstance(value, Tensor):
        return value.numel() == 1
    return hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0


def _is_whole(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not (value.is_floating_point() or value.is_complex())
    return _is_number(value) and hasattr(value, "__index__")


def _are(kind: Callable[[Any], bool], value: Any, count: int | None = None) -> bool:
    """Tell whether a value is a list of one kind, of `count` values where that matters."""
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        return False
    listed = list(value) if hasattr(value, "__len__") else None
    return listed is not None and count in (None, len(listed)) and all(map(kind, listed))


# By what a signature says of a parameter, without its "| None": what to use, and whether a value is that. Videos and
# pictures, samplers and shots are checked where they are read, with more to say.
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", lambda value: isinstance(value, str)),
    "str | Path": ("a name or a path", lambda value: isinstance(value, (str, os.PathLike))),
    "int": ("a whole number", _is_whole),
    "float": ("a number", _is_number),
    "tuple[float, float]": ("two numbers, such as (0.0, 0.5)", lambda value: _are(_is_number, value, 2)),
    "Size": ("(width, height) in pixels", lambda value: _are(_is_whole, value, 2)),
    "Sequence[int]": ("numbers of frames, such as range(5, 13)", lambda value: _are(_is_whole, value)),
    "Picture | Mapping[int, Picture]": (
        "a picture, or pictures by the numbers of their frames, such as {0: first, -1: last}",
        lambda value: not isinstance(value, Mapping) or _are(_is_whole, list(value)),
    ),
    "Tensor": ("a torch tensor", lambda value: isinstance(value, Tensor)),
    "torch.dtype": ("a dtype such as torch.float32", lambda value: isinstance(value, torch.dtype)),
    "Mapping[str, Any]": ("a dict of the sampler's options", lambda value: isinstance(value, Mapping)),
    "Rolling": ("a sora_core.tasks.long.rolling.Rolling", lambda value: isinstance(value, Rolling)),
    "dict[str, Any]": (
        "a LATENT, a dict with `samples`",
        lambda value: isinstance(value, dict) and isinstance(value.get("samples"), Tensor),
    ),
    "list[str]": ("a list, which gets the notes", lambda value: isinstance(value, list)),
    "progress.Steps": ("a function progress(step, steps)", callable),
    "Callable[[Progress], None]": ("a function progress(progress)", callable),
}
OWN_WORDS = frozenset({"steps", "sampler", "scheduler", "direction", "expand"})  # are told where they are read
SETTINGS = {name: str(getattr(kind, "__forward_arg__", kind)) for name, kind in CallSettings.__annotations__.items()}


def check_given(signature: inspect.Signature, arguments: Mapping[str, Any]) -> None:
    """Raise SoraError for an argument of another kind than the signature says.

    arguments: as `signature.bind` gives them. A setting that is None is the usual one.
    """
    for name, value in arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is not parameter.VAR_KEYWORD:
            _check(name, value, str(parameter.annotation))
            continue
        for setting, each in value.items():
            if each is not None:
                _check(setting, each, SETTINGS.get(setting, ""))


def _check(name: str, value: Any, said: str) -> None:
    words, fits = KINDS.get(said.removesuffix(" | None"), ("", lambda _: True))
    if name in OWN_WORDS or (value is None and said.endswith(" | None")):
        return
    expect(fits(value), f"{name} is {_shown(value)}. Use {words}.")


def _shown(value: Any) -> str:
    """Show a value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    shown = repr(value)
    return shown if len(shown) <= 60 and "\n" not in shown else f"a {type(value).__name__}"


def checked(method: Callable[Given, Made]) -> Callable[Given, Made]:
    """Decorate a call of Python's: what it is given is held to its signature, see `check_given`."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        check_given(signature, signature.bind(*args, **kwargs).arguments)
        return method(*args, **kwargs)

    return call
