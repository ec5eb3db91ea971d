"""The types that have a widget: numbers, text, switches and lists of choices."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .base import (
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    FolderType,
    NumberDisplay,
    Output,
    UploadType,
    WidgetInput,
    without_none,
)


class RemoteOptions:
    """Choices that the frontend asks of a route of the host."""

    def __init__(
        self,
        route: str,
        refresh_button: bool,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
    ):
        self.options = without_none(
            {
                "route": route,
                "refresh_button": refresh_button,
                "control_after_refresh": control_after_refresh,
                "timeout": timeout,
                "max_retries": max_retries,
                "refresh": refresh,
            }
        )

    def as_dict(self) -> dict[str, Any]:
        return dict(self.options)


class _BooleanInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: bool | None = None,
        label_on: str | None = None,
        label_off: str | None = None,
        **common: Any,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, default, **common)
        self.label_on = label_on
        self.label_off = label_off

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none({"label_on": self.label_on, "label_off": self.label_off})


class _IntInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: int | None = None,
        min: int | None = None,
        max: int | None = None,
        step: int | None = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        display_mode: NumberDisplay | None = None,
        **common: Any,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, default, **common)
        self.min = min
        self.max = max
        self.step = step
        self.control_after_generate = control_after_generate
        self.display_mode = display_mode

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none(
            {
                "min": self.min,
                "max": self.max,
                "step": self.step,
                "control_after_generate": self.control_after_generate,
                "display": self.display_mode.value if self.display_mode else None,
            }
        )


class _FloatInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: float | None = None,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        round: float | None = None,
        display_mode: NumberDisplay | None = None,
        gradient_stops: list[dict] | None = None,
        **common: Any,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, default, **common)
        self.min = min
        self.max = max
        self.step = step
        self.round = round
        self.display_mode = display_mode
        self.gradient_stops = gradient_stops

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none(
            {
                "min": self.min,
                "max": self.max,
                "step": self.step,
                "round": self.round,
                "display": self.display_mode.value if self.display_mode else None,
                "gradient_stops": self.gradient_stops,
            }
        )


class _StringInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        multiline: bool = False,
        placeholder: str | None = None,
        default: str | None = None,
        dynamic_prompts: bool | None = None,
        **common: Any,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, default, **common)
        self.multiline = multiline
        self.placeholder = placeholder
        self.dynamic_prompts = dynamic_prompts

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none(
            {"multiline": self.multiline, "placeholder": self.placeholder, "dynamicPrompts": self.dynamic_prompts}
        )


class _ComboInput(WidgetInput):
    multiselect = False

    def __init__(
        self,
        id: str,
        options: list | type[Enum] | None = None,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        upload: UploadType | None = None,
        image_folder: FolderType | None = None,
        remote: RemoteOptions | None = None,
        **common: Any,
    ):
        if isinstance(options, type) and issubclass(options, Enum):
            options = [member.value for member in options]
        if isinstance(default, Enum):
            default = default.value
        super().__init__(id, display_name, optional, tooltip, lazy, default, **common)
        self.options = options
        self.control_after_generate = control_after_generate
        self.upload = upload
        self.image_folder = image_folder
        self.remote = remote

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none(
            {
                "multiselect": self.multiselect,
                "options": self.options,
                "control_after_generate": self.control_after_generate,
                **({self.upload.value: True} if self.upload else {}),
                "image_folder": self.image_folder.value if self.image_folder else None,
                "remote": self.remote.as_dict() if self.remote else None,
            }
        )


class _MultiComboInput(_ComboInput):
    multiselect = True

    def __init__(
        self,
        id: str,
        options: list,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: list | None = None,
        placeholder: str | None = None,
        chip: bool | None = None,
        **common: Any,
    ):
        super().__init__(id, options, display_name, optional, tooltip, lazy, default, **common)
        self.placeholder = placeholder
        self.chip = chip

    def as_dict(self) -> dict[str, Any]:
        widget = without_none({"placeholder": self.placeholder, "chip": self.chip})
        return super().as_dict() | {"multi_select": widget}


class _ComboOutput(Output):
    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        options: list | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ):
        super().__init__(id, display_name, tooltip, is_output_list)
        self.options = options or []


class Boolean(ComfyTypeIO, io_type="BOOLEAN"):
    Type = bool
    Input = _BooleanInput


class Int(ComfyTypeIO, io_type="INT"):
    Type = int
    Input = _IntInput


class Float(ComfyTypeIO, io_type="FLOAT"):
    Type = float
    Input = _FloatInput


class String(ComfyTypeIO, io_type="STRING"):
    Type = str
    Input = _StringInput


class Combo(ComfyTypeIO, io_type="COMBO"):
    Type = str
    Input = _ComboInput
    Output = _ComboOutput


class MultiCombo(ComfyTypeI, io_type="COMBO"):
    Type = list
    Input = _MultiComboInput


class _ColorInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        socketless: bool = True,
        advanced: bool | None = None,
        default: str = "#ffffff",
    ):
        super().__init__(id, display_name, optional, tooltip, default=default, socketless=socketless, advanced=advanced)


class Color(ComfyTypeIO, io_type="COLOR"):
    Type = str
    Input = _ColorInput
