"""The types that have a widget: numbers, text, switches and lists of choices."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Any

from .base import (
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    FolderType,
    Named,
    NumberDisplay,
    Output,
    UploadType,
    WidgetInput,
    without_none,
)


@dataclass
class RemoteOptions:
    """Choices that the frontend asks of a route of the host."""

    route: str
    refresh_button: bool
    control_after_refresh: str = "first"  # or "last": which choice is taken after a refresh
    timeout: int | None = None  # milliseconds
    max_retries: int | None = None
    refresh: int | None = None  # milliseconds until the choices are asked for again

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets."""
        return without_none(vars(self))


@dataclass(eq=False)
class BooleanInput(WidgetInput):
    """A switch."""

    default: bool | None = None
    label_on: str | None = None
    label_off: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the switch's among them."""
        return super().as_dict() | self._given("label_on", "label_off")


@dataclass(eq=False)
class IntInput(WidgetInput):
    """A whole number."""

    default: int | None = None
    min: int | None = None
    max: int | None = None
    step: int | None = None  # of the widget's arrows; other values stay allowed
    control_after_generate: bool | ControlAfterGenerate | None = None
    display_mode: NumberDisplay | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the number's among them."""
        number = self._given("min", "max", "step", "control_after_generate", display=value_of(self.display_mode))
        return super().as_dict() | number


@dataclass(eq=False)
class FloatInput(WidgetInput):
    """A number."""

    default: float | None = None
    min: float | None = None
    max: float | None = None
    step: float | None = None  # of the widget's arrows; other values stay allowed
    round: float | None = None  # what the widget rounds to
    display_mode: NumberDisplay | None = None
    gradient_stops: list[dict[str, Any]] | None = None  # colours of a gradient slider

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the number's among them."""
        number = self._given("min", "max", "step", "round", display=value_of(self.display_mode))
        return super().as_dict() | number | self._given("gradient_stops")


@dataclass(eq=False)
class StringInput(WidgetInput):
    """A text."""

    _: KW_ONLY
    default: str | None = None
    multiline: bool = False
    placeholder: str | None = None
    dynamic_prompts: bool | None = None  # the frontend picks one of `{a|b}` before it sends the text

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the text's among them."""
        return super().as_dict() | self._given("multiline", "placeholder", dynamicPrompts=self.dynamic_prompts)


@dataclass(eq=False)
class _Options(Named):
    options: list[Any] | type[Enum] | None = None


@dataclass(eq=False)
class ComboInput(WidgetInput, _Options):
    """A list of choices, of which one is taken."""

    control_after_generate: bool | ControlAfterGenerate | None = None
    upload: UploadType | None = None
    image_folder: FolderType | None = None
    remote: RemoteOptions | None = None

    def __post_init__(self) -> None:
        self.options = self.choices
        self.default = value_of(self.default)

    @property
    def choices(self) -> list[Any] | None:
        """The values to choose from; None where the frontend asks a route for them."""
        return [member.value for member in self.options] if isinstance(self.options, type) else self.options

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the list's among them."""
        upload = {self.upload.value: True} if self.upload else {}
        return super().as_dict() | {
            "multiselect": isinstance(self, MultiComboInput),
            **self._given("options", "control_after_generate", **upload),
            **self._given(image_folder=value_of(self.image_folder), remote=self.remote and self.remote.as_dict()),
        }


@dataclass(eq=False)
class MultiComboInput(ComboInput):
    """A list of choices, of which any number is taken."""

    default: list[Any] | None = None
    _: KW_ONLY
    placeholder: str | None = None
    chip: bool | None = None  # drawn as chips

    def as_dict(self) -> dict[str, Any]:
        """Return the options, those for several choices among them."""
        return super().as_dict() | {"multi_select": self._given("placeholder", "chip")}


@dataclass(eq=False)
class ColorInput(WidgetInput):
    """A colour."""

    default: str = "#ffffff"
    _: KW_ONLY
    socketless: bool | None = True


class ComboOutput(Output):
    """A choice; `options` says which ones there are."""

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        options: list[Any] | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        super().__init__(id, display_name, tooltip, is_output_list)
        self.options = options or []


def value_of(choice: Any) -> Any:
    """Return the value of an Enum's member, anything else as it is."""
    return choice.value if isinstance(choice, Enum) else choice


class Boolean(ComfyTypeIO, io_type="BOOLEAN"):
    """True or false."""

    Type = bool
    Input = BooleanInput


class Int(ComfyTypeIO, io_type="INT"):
    """A whole number."""

    Type = int
    Input = IntInput


class Float(ComfyTypeIO, io_type="FLOAT"):
    """A number."""

    Type = float
    Input = FloatInput


class String(ComfyTypeIO, io_type="STRING"):
    """A text."""

    Type = str
    Input = StringInput


class Combo(ComfyTypeIO, io_type="COMBO"):
    """One of a list of choices."""

    Type = str
    Input = ComboInput
    Output = ComboOutput


class MultiCombo(ComfyTypeI, io_type="COMBO"):
    """Several of a list of choices."""

    Type = list
    Input = MultiComboInput


class Color(ComfyTypeIO, io_type="COLOR"):
    """A colour, as `#rrggbb`."""

    Type = str
    Input = ColorInput
