"""What a node's input or output is: the base classes behind every type in `io`.

The class and argument names are those of ComfyUI's V3 node API, so that one node file serves both hosts.
A type is a class with an `io_type` (the socket's name on the wire) and nested `Input` and `Output` classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias, TypeVar


class FolderType(StrEnum):
    """One of the host's three folders."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(StrEnum):
    """What the upload button of a list of files takes; the value is the frontend's name for the button."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(StrEnum):
    """How the frontend draws a number."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(StrEnum):
    """What the frontend does to a seed after each run."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the entries that say something; `None` means "leave it to the frontend"."""
    return {key: value for key, value in values.items() if value is not None}


@dataclass(eq=False)
class Named:
    """What has an id.

    An input with one more positional argument, between `id` and `display_name`, takes it from a mixin that derives from
    this: dataclasses order their fields base by base.
    """

    id: str


@dataclass(eq=False)
class Input(Named):
    """One input socket of a node."""

    io_type: ClassVar[str] = "*"

    display_name: str | None = None
    optional: bool = False
    tooltip: str | None = None
    lazy: bool | None = None  # its source runs only if `check_lazy_status` asks for it
    _: KW_ONLY
    extra_dict: dict[str, Any] | None = None  # further options for the frontend, as they are
    raw_link: bool | None = None
    advanced: bool | None = None  # hidden until the user opens the advanced ones

    def get_io_type(self) -> str:
        """Return the name of the type on the wire."""
        return self.io_type

    def get_all(self) -> list[Input]:
        """Return this input and the ones nested in it."""
        return [self]

    def as_dict(self) -> dict[str, Any]:
        """Return the options half of the pair `(type, options)` that the frontend gets."""
        given = self._given(
            "display_name", "optional", "tooltip", "lazy", rawLink=self.raw_link, advanced=self.advanced
        )
        return without_none(given | (self.extra_dict or {}))

    def _given(self, *names: str, **renamed: Any) -> dict[str, Any]:
        """Collect the fields `names` that are not None, and those that have another name on the wire."""
        return without_none({name: getattr(self, name) for name in names} | renamed)


@dataclass(eq=False)
class WidgetInput(Input):
    """An input that the frontend draws as a widget; its value travels in the workflow."""

    default: Any = None
    _: KW_ONLY
    socketless: bool | None = None  # a widget only: nothing can be linked to it
    widget_type: str | None = None  # the widget to draw, where it is not the one of `io_type`
    force_input: bool | None = None  # a socket only, without its widget

    def get_io_type(self) -> str:
        """Return the type whose widget the frontend draws."""
        return self.widget_type or self.io_type

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the widget's among them."""
        return super().as_dict() | self._given(
            "default", "socketless", widgetType=self.widget_type, forceInput=self.force_input
        )


@dataclass(eq=False)
class Output:
    """One output socket of a node."""

    io_type: ClassVar[str] = "*"

    id: str | None = None
    display_name: str | None = None
    tooltip: str | None = None
    is_output_list: bool = False  # `execute` returns a list, and what follows runs once per entry

    def __post_init__(self) -> None:
        self.display_name = self.display_name or self.id

    def get_io_type(self) -> str:
        """Return the name of the type on the wire."""
        return self.io_type


# Within a type, `Input` and `Output` are its own.
AnyInput: TypeAlias = Input
AnyOutput: TypeAlias = Output


class ComfyType:
    """A socket type. A subclass made with `io_type=...` gets its own `Input` and `Output` bound to it."""

    Type: Any = Any
    io_type: str = "*"

    def __init_subclass__(cls, io_type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if io_type is None:
            return
        cls.io_type = io_type
        for part in ("Input", "Output"):
            base = getattr(cls, part, None)
            if base is not None:
                body = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.{part}"}
                setattr(cls, part, type(part, (base,), {"io_type": io_type, "Parent": cls, **body}))


class ComfyTypeI(ComfyType):
    """A type with inputs only."""

    Input: ClassVar[type[AnyInput]] = AnyInput


class ComfyTypeIO(ComfyTypeI):
    """A type with inputs and outputs."""

    Output: ClassVar[type[AnyOutput]] = AnyOutput


T = TypeVar("T")


def comfytype(io_type: str, **_: Any) -> Callable[[type[T]], type[T]]:
    """Return a hand-written type its socket name, as a decorator."""

    def bind(cls: type[T]) -> type[T]:
        bases = (cls,) if issubclass(cls, ComfyType) else (cls, ComfyTypeIO)
        made: Any = type(cls)
        return made(cls.__name__, bases, {"__module__": cls.__module__, "__doc__": cls.__doc__}, io_type=io_type)

    return bind


def Custom(io_type: str) -> type[ComfyTypeIO]:  # noqa: N802 (the API's name)
    """Make a type of a pack's own, with nothing but a name."""
    return type(f"Custom_{io_type}", (ComfyTypeIO,), {}, io_type=io_type)
