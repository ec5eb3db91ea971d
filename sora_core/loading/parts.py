"""The kinds of parts that a checkpoint holds: how a file's metadata describes each, and how it is built from that.

A further part, such as another VAE or text encoder, is one more entry of `PARTS`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import SoraError
from ..model.dit import DiT, DiTConfig
from ..model.text.concepts import TextConfig, TextEncoder, Vocabulary
from ..model.vae.mini import VAEConfig, VideoVAE
from ..words import short


@dataclass(frozen=True)
class Part:
    """One kind of part."""

    role: str  # the field of `checkpoint.ModelBundle` that it fills
    config: type  # a dataclass: its sizes, which a module carries as `config`
    construct: Callable[..., nn.Module]  # `(config, **extras)`
    # What the description holds besides the config: name of the entry -> how to get it, ready for JSON, of a module.
    extras: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def describe(self, module: nn.Module) -> dict[str, Any]:
        """Describe a module, ready for JSON."""
        return describe_config(module) | {name: of(module) for name, of in self.extras.items()}

    def build(self, data: Mapping[str, Any], values: int | None = None) -> nn.Module:
        """Build a module from `describe`'s output on the meta device: weights are assigned, not initialised and copied.

        values: numbers that there are to fill it with. Raises SoraError for entries that this version does not know,
        and for a network of more numbers than that.
        """
        if values is not None:
            _check_sizes(data, max(values, _SLACK))
        extras = {name: data[name] for name in self.extras}
        config = read_config(self.config, {name: value for name, value in data.items() if name not in extras})
        with torch.device("meta"), _Unfilled(values):
            return self.construct(config, **extras)


class TooLargeError(SoraError):
    """A config describes more than its file holds. The words begin in the middle: who knows the file names it."""


class _Unfilled(TorchFunctionMode):
    """Leaves new weights unfilled, as those of a file take their place.

    To draw random numbers on the meta device, torch imports its compiler: a second of every cold start.
    """

    def __init__(self, values: int | None = None) -> None:
        """Raise SoraError once more than `values` numbers, and a little for buffers, have been asked for."""
        super().__init__()
        self.values, self.asked = values, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if self.values is not None and func in (torch.empty, torch.randn, torch.zeros, torch.ones):
            sizes = args or (given.get("size", ()),)
            sides = [side for size in sizes for side in (size if isinstance(size, (tuple, list)) else (size,))]
            # A layer of nothing takes time too.
            self.asked += max(1, math.prod(sides))
            if self.asked > self.values + _SLACK:
                raise TooLargeError(
                    f"its config describes a network of more numbers than the {self.values} in the file"
                )
        if func is torch.randn:
            return torch.empty(*args, **{"device": "cpu", **given})
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


_SLACK = 1 << 16  # numbers of buffers, which no file holds, and what a config may say besides sizes


def _check_sizes(data: Any, most: int) -> None:
    """Raise SoraError where a config holds a whole number that no side of a tensor can be."""
    if isinstance(data, Mapping):
        for value in data.values():
            _check_sizes(value, most)
    elif isinstance(data, (list, tuple)):
        for value in data:
            _check_sizes(value, most)
    elif isinstance(data, int) and not -1 <= data <= most:
        raise TooLargeError(f"its config holds the size {short(data)}, and the file {most} numbers at most")


def _text_encoder(config: TextConfig, vocabulary: dict[str, Any]) -> TextEncoder:
    return TextEncoder(config, Vocabulary.from_dict(vocabulary))


# By name: in a file's metadata, and before the keys of its tensors ("dit.blocks.0...").
PARTS: dict[str, Part] = {
    "dit": Part("dit", DiTConfig, DiT),
    "vae": Part("vae", VAEConfig, VideoVAE),
    # Words and weights cannot part: token ids mean nothing without the vocabulary.
    "text": Part("text", TextConfig, _text_encoder, {"vocabulary": lambda text: text.tokenizer.vocabulary.as_dict()}),
}


def read_config(cls: type, data: Mapping[str, Any]) -> Any:
    """Read a config dataclass from JSON, where tuples are lists. Raises SoraError for entries that it does not know."""
    known = {f.name for f in dataclasses.fields(cls)}
    if extra := sorted(set(data) - known):
        raise SoraError(
            f"Unknown {cls.__name__} entries {extra}: the file was written by a newer version. Update the pack."
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def describe_config(module: Any) -> dict[str, Any]:
    """Describe a module by its config alone, a dataclass."""
    return dataclasses.asdict(module.config)


def describe(name: str, module: nn.Module) -> dict[str, Any]:
    """Describe the part called `name`, ready for JSON. One that is not in `PARTS`, an observer say, is its config."""
    return PARTS[name].describe(module) if name in PARTS else describe_config(module)


def build(name: str, data: Mapping[str, Any], values: int | None = None, file: str = "The file") -> nn.Module:
    """Build the part called `name` from `describe`'s output, see `Part.build`. file: names it in errors."""
    if values is None:
        return PARTS[name].build(data)
    try:
        return PARTS[name].build(data, values)
    except TooLargeError as error:
        raise SoraError(f"{file} ({name}): {error}. It is broken, or made to harm: fetch it again.") from error
    except SoraError:
        raise
    except Exception as error:  # whatever sizes that make no sense do to torch
        line = (str(error).strip().splitlines() or [""])[0]
        raise SoraError(
            f"{file} ({name}): its config describes no network ({type(error).__name__}: {short(line)}). Fetch it again."
        ) from error
