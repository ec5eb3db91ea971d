"""Inputs that bring more inputs with them: a combo whose choice has its own options, and growing lists.

On the wire a nested input is named `parent.child`. `execute` gets one dict per parent: a `DynamicCombo`
"sampler" set to "euler_ancestral" arrives as `{"sampler": "euler_ancestral", "eta": 1.0}`, an `Autogrow`
"clips" as `{"clip0": ..., "clip1": ...}`.
"""

from __future__ import annotations

import copy
from typing import Any

from .base import ComfyTypeI, Input, WidgetInput, without_none

MAX_NAMES = 100


def input_table(inputs: list[Input]) -> dict[str, dict[str, tuple[str, dict]]]:
    """`{"required": {id: (type, options)}, "optional": {...}}`, as the frontend wants it."""
    table: dict[str, dict[str, tuple[str, dict]]] = {"required": {}}
    for entry in inputs:
        options = entry.as_dict()
        options.pop("optional", None)
        table.setdefault("optional" if entry.optional else "required", {})[entry.id] = (entry.get_io_type(), options)
    return table


def nested(parent: str, entry: Input) -> Input:
    """`entry` under its name on the wire."""
    child = copy.copy(entry)
    child.id = f"{parent}.{entry.id}"
    return child


class DynamicInput(Input):
    """Base of inputs whose nested inputs depend on the values given."""

    def expand(self, values: dict[str, Any]) -> list[Input]:
        """The nested inputs in force for `values` (wire name to value or link), under their wire names."""
        raise NotImplementedError

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Where this input's own value goes in the dict that `execute` gets; empty when it has none."""
        return {}


class _Option:
    def __init__(self, key: str, inputs: list[Input]):
        self.key = key
        self.inputs = inputs

    def as_dict(self) -> dict[str, Any]:
        return {"key": self.key, "inputs": input_table(self.inputs)}


class _DynamicComboInput(DynamicInput):
    def __init__(
        self,
        id: str,
        options: list[_Option],
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict)
        self.options = options

    def get_all(self) -> list[Input]:
        return [self] + [entry for option in self.options for entry in option.inputs]

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"options": [option.as_dict() for option in self.options]}

    def keys(self) -> list[str]:
        return [option.key for option in self.options]

    def expand(self, values: dict[str, Any]) -> list[Input]:
        for option in self.options:
            if option.key == values.get(self.id):
                return [nested(self.id, entry) for entry in option.inputs]
        return []

    def paths(self) -> dict[str, tuple[str, ...]]:
        parts = tuple(self.id.split("."))
        return {self.id: parts + parts[-1:]}


class DynamicCombo(ComfyTypeI, io_type="COMFY_DYNAMICCOMBO_V3"):
    Type = dict
    Option = _Option
    Input = _DynamicComboInput


class _AutogrowTemplate:
    def __init__(self, input: Input, names: list[str], min: int):
        self.input = copy.copy(input)
        if isinstance(self.input, WidgetInput):
            self.input.force_input = True
        self.names = names[:MAX_NAMES]
        self.min = min

    def inputs(self) -> list[Input]:
        made = []
        for index, name in enumerate(self.names):
            entry = copy.copy(self.input)
            entry.id = name
            entry.optional = self.input.optional or index >= self.min
            made.append(entry)
        return made

    def as_dict(self) -> dict[str, Any]:
        return {"input": input_table([self.input]), "min": self.min}


class _TemplatePrefix(_AutogrowTemplate):
    def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10):
        super().__init__(input, [f"{prefix}{index}" for index in range(max)], min)
        self.prefix = prefix
        self.max = max

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"prefix": self.prefix, "max": self.max}


class _TemplateNames(_AutogrowTemplate):
    def __init__(self, input: Input, names: list[str], min: int = 1):
        super().__init__(input, names, min)

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"names": self.names}


class _AutogrowInput(DynamicInput):
    def __init__(
        self,
        id: str,
        template: _AutogrowTemplate,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict)
        self.template = template

    def get_all(self) -> list[Input]:
        return [self] + self.template.inputs()

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"template": self.template.as_dict()}

    def expand(self, values: dict[str, Any]) -> list[Input]:
        return [nested(self.id, entry) for entry in self.template.inputs()]


class Autogrow(ComfyTypeI, io_type="COMFY_AUTOGROW_V3"):
    Type = dict
    TemplatePrefix = _TemplatePrefix
    TemplateNames = _TemplateNames
    Input = _AutogrowInput


class _DynamicSlotInput(DynamicInput):
    def __init__(
        self,
        slot: Input,
        inputs: list[Input],
        display_name: str | None = None,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict | None = None,
    ):
        self.slot = copy.copy(slot)
        if isinstance(self.slot, WidgetInput):
            self.slot.force_input = True
        super().__init__(slot.id, slot.display_name or display_name, True, slot.tooltip or tooltip, lazy, extra_dict)
        self.inputs = inputs

    def get_all(self) -> list[Input]:
        return [self.slot, *self.inputs]

    def as_dict(self) -> dict[str, Any]:
        force = True if isinstance(self.slot, WidgetInput) else None
        return super().as_dict() | without_none(
            {"slotType": self.slot.get_io_type(), "inputs": input_table(self.inputs), "forceInput": force}
        )

    def expand(self, values: dict[str, Any]) -> list[Input]:
        if values.get(self.id) is None:
            return []
        return [nested(self.id, entry) for entry in self.inputs]

    def paths(self) -> dict[str, tuple[str, ...]]:
        parts = tuple(self.id.split("."))
        return {self.id: parts + parts[-1:]}


class DynamicSlot(ComfyTypeI, io_type="COMFY_DYNAMICSLOT_V3"):
    Type = dict
    Input = _DynamicSlotInput


def active_inputs(inputs: list[Input], values: dict[str, Any]) -> list[Input]:
    """Every input in force for `values`, depth first, under wire names.

    A dynamic input comes first as itself (an `Autogrow`, which has no value of its own, does not) and then
    its nested inputs.
    """
    active: list[Input] = []
    for entry in inputs:
        if not isinstance(entry, DynamicInput):
            active.append(entry)
            continue
        if not isinstance(entry, _AutogrowInput):
            active.append(entry)
        active.extend(active_inputs(entry.expand(values), values))
    return active


def nest_values(inputs: list[Input], values: dict[str, Any]) -> dict[str, Any]:
    """Turn wire names into the dicts that `execute` takes (see the top of this module)."""
    paths: dict[str, tuple[str, ...]] = {}
    result: dict[str, Any] = {}
    for entry in active_inputs(inputs, values):
        own = entry.paths() if isinstance(entry, DynamicInput) else {entry.id: tuple(entry.id.split("."))}
        paths.update(own)
    for entry in inputs:
        # A list that nobody connected still reaches `execute`, empty; an unset optional combo does not.
        if isinstance(entry, _AutogrowInput):
            result[entry.id] = {}
    for name, value in values.items():
        *parents, last = paths.get(name, (name,))
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return result
