"""Inputs that bring more inputs with them: a combo whose choice has its own options, and growing lists.

On the wire a nested input is named `parent.child`. `execute` gets one dict per parent: a `DynamicCombo`
"sampler" set to "euler_ancestral" arrives as `{"sampler": "euler_ancestral", "eta": 1.0}`, an `Autogrow`
"clips" as `{"clip0": ..., "clip1": ...}`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from .base import ComfyTypeI, Input, Named, WidgetInput, without_none

MAX_NAMES = 100  # as in ComfyUI: longer lists are cut


def input_table(inputs: list[Input]) -> dict[str, dict[str, Any]]:
    """Describe inputs as the frontend wants it: `{"required": {id: (type, options)}, "optional": {...}}`."""
    table: dict[str, dict[str, Any]] = {"required": {}}
    for entry in inputs:
        options = entry.as_dict()
        options.pop("optional", None)
        table.setdefault("optional" if entry.optional else "required", {})[entry.id] = (entry.get_io_type(), options)
    return table


def nested(parent: str, entry: Input) -> Input:
    """Copy `entry` under its name on the wire."""
    child = copy.copy(entry)
    child.id = f"{parent}.{entry.id}"
    return child


def _as_socket(entry: Input) -> Input:
    """Copy `entry` without its widget: an input that comes and goes is there to be linked."""
    made = copy.copy(entry)
    if isinstance(made, WidgetInput):
        made.force_input = True
    return made


class DynamicInput(Input):
    """Base of inputs whose nested inputs depend on the values given."""

    def expand(self, values: dict[str, Any]) -> list[Input]:
        """Return the nested inputs in force for `values` (wire name to value or link), under their wire names."""
        raise NotImplementedError


@dataclass(eq=False)
class Option:
    """One choice of a `DynamicCombo`, and the inputs that it brings."""

    key: str
    inputs: list[Input]

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets."""
        return {"key": self.key, "inputs": input_table(self.inputs)}


@dataclass(eq=False)
class _Options(Named):
    options: list[Option]


@dataclass(eq=False)
class DynamicComboInput(DynamicInput, _Options):
    """A list of choices, each with inputs of its own."""

    def get_all(self) -> list[Input]:
        """Return this input and those of every choice."""
        return [self] + [entry for option in self.options for entry in option.inputs]

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the choices among them."""
        return super().as_dict() | {"options": [option.as_dict() for option in self.options]}

    @property
    def choices(self) -> list[str]:
        """The values to choose from."""
        return [option.key for option in self.options]

    def expand(self, values: dict[str, Any]) -> list[Input]:
        """Return the inputs of the choice in `values`."""
        for option in self.options:
            if option.key == values.get(self.id):
                return [nested(self.id, entry) for entry in option.inputs]
        return []


class DynamicCombo(ComfyTypeI, io_type="COMFY_DYNAMICCOMBO_V3"):
    """A choice with its own options: `{its id: choice, option: value, ...}`."""

    Type = dict
    Option = Option
    Input = DynamicComboInput


class AutogrowTemplate:
    """What the inputs of a growing list are like."""

    def __init__(self, input: Input, names: list[str], min: int) -> None:
        self.input = _as_socket(input)
        self.names = names[:MAX_NAMES]
        self.min = min

    def inputs(self) -> list[Input]:
        """Return all inputs that the list can grow to; the first `min` are required unless the template is optional."""
        made = []
        for index, name in enumerate(self.names):
            entry = copy.copy(self.input)
            entry.id = name
            entry.optional = self.input.optional or index >= self.min
            made.append(entry)
        return made

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets."""
        return {"input": input_table([self.input]), "min": self.min}


class TemplatePrefix(AutogrowTemplate):
    """A list whose inputs are numbered: `clip0`, `clip1`."""

    def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:
        super().__init__(input, [f"{prefix}{index}" for index in range(max)], min)
        self.prefix = prefix
        self.max = max

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets."""
        return super().as_dict() | {"prefix": self.prefix, "max": self.max}


class TemplateNames(AutogrowTemplate):
    """A list whose inputs have names of their own."""

    def __init__(self, input: Input, names: list[str], min: int = 1) -> None:
        super().__init__(input, names, min)

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets."""
        return super().as_dict() | {"names": self.names}


@dataclass(eq=False)
class _Template(Named):
    template: AutogrowTemplate


@dataclass(eq=False)
class AutogrowInput(DynamicInput, _Template):
    """A list of inputs that grows as links come in."""

    def get_all(self) -> list[Input]:
        """Return this input and all that it can grow to."""
        return [self, *self.template.inputs()]

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the template among them."""
        return super().as_dict() | {"template": self.template.as_dict()}

    def expand(self, values: dict[str, Any]) -> list[Input]:
        """Return all inputs that the list can grow to."""
        return [nested(self.id, entry) for entry in self.template.inputs()]


class Autogrow(ComfyTypeI, io_type="COMFY_AUTOGROW_V3"):
    """A growing list of inputs: `{name: value, ...}`."""

    Type = dict
    TemplatePrefix = TemplatePrefix
    TemplateNames = TemplateNames
    Input = AutogrowInput


class DynamicSlotInput(DynamicInput):
    """A socket that brings further inputs once something is linked to it."""

    def __init__(
        self,
        slot: Input,
        inputs: list[Input],
        display_name: str | None = None,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
    ) -> None:
        display_name, tooltip = slot.display_name or display_name, slot.tooltip or tooltip
        super().__init__(slot.id, display_name, True, tooltip, lazy, extra_dict=extra_dict)
        self.slot = _as_socket(slot)
        self.inputs = inputs

    def get_all(self) -> list[Input]:
        """Return the socket and the further inputs."""
        return [self.slot, *self.inputs]

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the further inputs among them."""
        force = True if isinstance(self.slot, WidgetInput) else None
        return super().as_dict() | without_none(
            {"slotType": self.slot.get_io_type(), "inputs": input_table(self.inputs), "forceInput": force}
        )

    def expand(self, values: dict[str, Any]) -> list[Input]:
        """Return the further inputs where something is linked."""
        if values.get(self.id) is None:
            return []
        return [nested(self.id, entry) for entry in self.inputs]


class DynamicSlot(ComfyTypeI, io_type="COMFY_DYNAMICSLOT_V3"):
    """A socket with its own options: `{its id: value, option: value, ...}`."""

    Type = dict
    Input = DynamicSlotInput


def active_inputs(inputs: list[Input], values: dict[str, Any]) -> list[Input]:
    """List every input in force for `values`, depth first, under wire names.

    A dynamic input comes before its nested inputs. An `Autogrow` has no value of its own: only its nested inputs are
    listed.
    """
    active: list[Input] = []
    for entry in inputs:
        if not isinstance(entry, AutogrowInput):
            active.append(entry)
        if isinstance(entry, DynamicInput):
            active.extend(active_inputs(entry.expand(values), values))
    return active


def nest_values(inputs: list[Input], values: dict[str, Any]) -> dict[str, Any]:
    """Turn wire names into the dicts that `execute` takes (see the top of this module)."""
    paths: dict[str, tuple[str, ...]] = {}
    for entry in active_inputs(inputs, values):
        parts = tuple(entry.id.split("."))
        # A dynamic input's own value stands within its dict, beside those that it brings.
        paths[entry.id] = (*parts, parts[-1]) if isinstance(entry, DynamicInput) else parts
    # A list that nobody connected still reaches `execute`, empty; an unset optional combo does not.
    result: dict[str, Any] = {entry.id: {} for entry in inputs if isinstance(entry, AutogrowInput)}
    for name, value in values.items():
        *parents, last = paths.get(name, (name,))
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return result
