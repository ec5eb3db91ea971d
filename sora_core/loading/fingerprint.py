"""Name what a model computes by its content: the same name in another process, another one for other weights.

Weights are named by samples of them, at both ends and in the middle of each tensor: a LoRA changes all of those that it
is merged into. That takes a few hundredths of a second for a thousand tensors, and reads no more than 3 KiB of each, so
that weights of many gigabytes need not come from the disk.
"""

from __future__ import annotations

import functools
import hashlib
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

RUN = 256  # values of each of the three samples of a tensor
DEPTH = 8  # of objects in objects: what lies deeper is named by its kind


def fingerprint(value: Any, whole: bool = False) -> str:
    """Name a value by its content: numbers, texts, tensors, modules, functions with what they hold, objects.

    whole: read all values of tensors, as for prompts, of which one word may differ.
    """
    digest = hashlib.sha256()
    _feed(value, digest, {}, DEPTH, read_all if whole else read_samples)
    return digest.hexdigest()


def read_all(tensor: Tensor) -> bytes:
    """Read all values of a tensor, or nothing of one that has no plain values."""
    try:
        return tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes()
    except (RuntimeError, TypeError, NotImplementedError, AttributeError):
        return b""  # of a kind that only its own operations read


def read_samples(tensor: Tensor) -> bytes:
    """Read samples of a tensor, or nothing of one that has no plain values."""
    try:
        flat = tensor.detach().flatten()  # no copy, where it is contiguous
        middle = flat.numel() // 2
        return read_all(flat if middle < 2 * RUN else torch.cat((flat[:RUN], flat[middle : middle + RUN], flat[-RUN:])))
    except (RuntimeError, TypeError, NotImplementedError, AttributeError):
        return b""


def _feed(
    value: Any, digest: Any, seen: dict[int, tuple[int, Any]], depth: int, content: Callable[[Tensor], bytes]
) -> None:
    """Feed a value to `digest`. seen: numbers of the objects that were, by their address, which they hold on to."""

    def say(*words: Any) -> None:
        digest.update("\x1f".join(map(str, words)).encode() + b"\x1e")

    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype)):
        say(type(value).__name__, value)
        return
    if id(value) in seen:
        say("again", seen[id(value)][0])
        return
    seen[id(value)] = len(seen), value
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Tensor):
        say("tensor", list(value.shape), value.dtype)
        digest.update(content(value))
    elif depth == 0 or isinstance(value, (uuid.UUID, types.ModuleType, type, torch.device)):
        say(kind, getattr(value, "__qualname__", ""))
    elif isinstance(value, torch.nn.Module):
        say(kind)
        _feed(_settings_of(value), digest, seen, depth - 1, content)
        _feed(value.state_dict(), digest, seen, depth - 1, content)
    elif isinstance(value, Mapping):
        say("mapping", len(value))
        for key in sorted(value, key=str):
            say(key if isinstance(key, (str, int, float, tuple)) else type(key).__name__)
            _feed(value[key], digest, seen, depth - 1, content)
    elif isinstance(value, (set, frozenset)):
        say("set", *sorted(map(str, value)))
    elif isinstance(value, (list, tuple)):
        say("list", len(value))
        for each in value:
            _feed(each, digest, seen, depth - 1, content)
    elif isinstance(value, functools.partial):
        _feed([value.func, value.args, value.keywords], digest, seen, depth, content)
    elif isinstance(value, types.MethodType):
        _feed([value.__func__, value.__self__], digest, seen, depth, content)
    elif isinstance(value, types.FunctionType):
        say("function", value.__module__, value.__qualname__)
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        _feed([cells, value.__defaults__, value.__kwdefaults__], digest, seen, depth - 1, content)
    else:
        say(kind, getattr(value, "__qualname__", ""))
        _feed(_settings_of(value), digest, seen, depth - 1, content)


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _settings_of(value: Any) -> dict[str, Any]:
    """Return an object's own attributes; private ones change as it works, and those of modules are told as weights."""
    own = getattr(value, "__dict__", None)
    return {k: v for k, v in own.items() if not k.startswith("_") and k != "training"} if isinstance(own, dict) else {}
