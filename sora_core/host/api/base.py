"""What a node's input or output is: the base classes behind every type in `io`.

The class and argument names are those of ComfyUI's V3 node API, so that one node file serves both hosts.
A type is a class with an `io_type` (the socket's name on the wire) and nested `Input` and `Output` classes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class FolderType(StrEnum):
    input = "input"
    output = "output"
    temp = "temp"


class UploadType(StrEnum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(StrEnum):
    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(StrEnum):
    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """The entries that say something; `None` means "leave it to the frontend"."""
    return {key: value for key, value in values.items() if value is not None}


class Input:
    """One input socket of a node."""

    io_type: str = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.lazy = lazy
        self.extra_dict = extra_dict or {}
        self.rawLink = raw_link
        self.advanced = advanced

    def get_io_type(self) -> str:
        return self.io_type

    def get_all(self) -> list[Input]:
        """This input and the ones nested in it."""
        return [self]

    def as_dict(self) -> dict[str, Any]:
        """The options half of the pair `(type, options)` that the frontend gets."""
        return without_none(
            {
                "display_name": self.display_name,
                "optional": self.optional,
                "tooltip": self.tooltip,
                "lazy": self.lazy,
                "rawLink": self.rawLink,
                "advanced": self.advanced,
                **self.extra_dict,
            }
        )


class WidgetInput(Input):
    """An input that the frontend draws as a widget; its value travels in the workflow."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        extra_dict: dict | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.default = default
        self.socketless = socketless
        self.widget_type = widget_type
        self.force_input = force_input

    def get_io_type(self) -> str:
        return self.widget_type or self.io_type

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none(
            {
                "default": self.default,
                "socketless": self.socketless,
                "widgetType": self.widget_type,
                "forceInput": self.force_input,
            }
        )


class Output:
    """One output socket of a node."""

    io_type: str = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ):
        self.id = id
        self.display_name = display_name or id
        self.tooltip = tooltip
        self.is_output_list = is_output_list

    def get_io_type(self) -> str:
        return self.io_type


class ComfyType:
    """A socket type. A subclass made with `io_type=...` gets its own `Input` and `Output` bound to it."""

    Type: Any = Any
    io_type: str = "*"

    def __init_subclass__(cls, io_type: str | None = None, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if io_type is None:
            return
        cls.io_type = io_type
        for part in ("Input", "Output"):
            base = getattr(cls, part, None)
            if base is not None:
                bound = type(
                    part,
                    (base,),
                    {
                        "io_type": io_type,
                        "Parent": cls,
                        "__module__": cls.__module__,
                        "__qualname__": f"{cls.__qualname__}.{part}",
                    },
                )
                setattr(cls, part, bound)


class ComfyTypeI(ComfyType):
    """A type with inputs only."""

    Input = Input


class ComfyTypeIO(ComfyTypeI):
    """A type with inputs and outputs."""

    Output = Output


def comfytype(io_type: str, **_: Any):
    """Decorator that gives a hand-written type its socket name."""

    def bind(cls: type) -> type:
        bases = (cls,) if issubclass(cls, ComfyType) else (cls, ComfyTypeIO)
        return type(cls)(cls.__name__, bases, {"__module__": cls.__module__, "__doc__": cls.__doc__}, io_type=io_type)

    return bind


def Custom(io_type: str) -> type[ComfyTypeIO]:  # noqa: N802 - the API's name
    """A type of a pack's own, with nothing but a name."""
    return type(f"Custom_{io_type}", (ComfyTypeIO,), {}, io_type=io_type)
