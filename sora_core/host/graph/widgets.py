"""Which inputs have a widget, what its default is, and how to read values for it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from ...words import did_you_mean, listing, short
from ..api.base import Input, WidgetInput
from ..api.dynamic import DynamicCombo, DynamicInput
from ..api.sockets import MultiType
from ..api.widgets import Boolean, Combo, Float, Int, MultiCombo, String

# What the widget "control after generate" that the frontend puts behind a seed can hold.
CONTROL_WORDS = ("fixed", "increment", "decrement", "randomize")
TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")


def widget_of(entry: Input) -> Input | None:
    """The input that defines the widget of `entry`, or None for a plain socket."""
    if isinstance(entry, MultiType.Input):
        entry = entry.input_override
    if isinstance(entry, DynamicCombo.Input):
        return entry
    if isinstance(entry, WidgetInput) and not entry.force_input:
        return entry
    return None


def default_of(entry: Input, guess: bool = False) -> Any:
    """The value of an untouched widget, or None if the schema names none.

    With `guess`, what the frontend would show: the first choice, an empty text, zero.
    """
    widget = widget_of(entry)
    if widget is None:
        return None
    if isinstance(widget, DynamicCombo.Input):
        return widget.keys()[0] if widget.options else None
    if widget.default is not None:
        return widget.default
    if not guess:
        return None
    if isinstance(widget, MultiCombo.Input):
        return []
    if isinstance(widget, Combo.Input):
        return widget.options[0] if widget.options else None
    if isinstance(widget, Boolean.Input):
        return False
    if isinstance(widget, (Int.Input, Float.Input)):
        return max(0, widget.min) if widget.min is not None else 0
    return "" if isinstance(widget, String.Input) else None


def read_widget_values(inputs: list[Input], saved: Any) -> dict[str, Any]:
    """Widget values by input name from a saved node's `widgets_values`.

    The list has no names: values stand in the order in which the frontend makes widgets, required inputs
    before optional ones, with extra entries for widgets that the schema does not mention (the control behind
    a seed, the upload button). A list that ends early, saved before a widget was added, leaves the rest at
    their defaults.
    """
    if isinstance(saved, dict):
        return {name: value for name, value in saved.items() if value is not None}
    values = deque(saved if isinstance(saved, list) else [])
    result: dict[str, Any] = {}

    def take(entries: Iterable[Input]) -> None:
        entries = list(entries)
        for group in ([e for e in entries if not e.optional], [e for e in entries if e.optional]):
            for entry in group:
                take_one(entry)
            # The upload button is a required widget behind the other required ones.
            if any(getattr(e, "upload", None) and not e.optional for e in group) and values:
                if values[0] in ("image", "audio", "video", "upload"):
                    values.popleft()

    def take_one(entry: Input) -> None:
        widget = widget_of(entry)
        if widget is None:
            return
        value = values.popleft() if values else None
        result[entry.id] = default_of(entry, guess=True) if value is None else value
        if isinstance(widget, DynamicInput):
            take(widget.expand(result))
        elif _has_control(widget) and values and values[0] in CONTROL_WORDS:
            values.popleft()

    take(inputs)
    return {name: value for name, value in result.items() if value is not None}


def _has_control(widget: Input) -> bool:
    control = getattr(widget, "control_after_generate", None)
    if control is None and isinstance(widget, Int.Input):
        return widget.id.split(".")[-1] in ("seed", "noise_seed")
    return bool(control)


class BadValue(Exception):
    """Why a value does not fit an input; `kind` is ComfyUI's name for it."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def check_value(entry: Input, value: Any, check_range: bool = True) -> Any:
    """`value` as the input's type. Raises BadValue when it is of another type or out of range.

    Texts are read as numbers or switches where those are asked for. `check_range` is off for inputs that the
    node checks itself.
    """
    widget = widget_of(entry)
    if isinstance(widget, (Int.Input, Float.Input)):
        value = _number(widget, value)
        if check_range:
            _in_range(widget, value)
    elif isinstance(widget, Boolean.Input):
        value = _boolean(value)
    elif isinstance(widget, String.Input):
        if isinstance(value, (dict, list)):
            raise BadValue("invalid_input_type", f"{short(value)} is not a text: give a text.")
        value = value if isinstance(value, str) else str(value)
    elif isinstance(widget, DynamicCombo.Input):
        value = _choice(value, widget.keys())
    elif isinstance(widget, MultiCombo.Input):
        chosen = value if isinstance(value, list) else [value]
        value = [_choice(v, widget.options) for v in chosen] if check_range else chosen
    elif isinstance(widget, Combo.Input) and check_range and widget.options is not None:
        value = _choice(value, widget.options)
    elif widget is None and "*" not in entry.get_io_type().split(","):
        raise BadValue(
            "invalid_input_type",
            f"{short(value)} is a value, but this input takes a link of type {entry.get_io_type()}: connect one.",
        )
    return value


def _number(widget: Input, value: Any) -> int | float:
    whole = isinstance(widget, Int.Input)
    kind = "a whole number" if whole else "a number"
    try:
        if isinstance(value, bool):
            raise ValueError
        if whole:
            number = int(value) if isinstance(value, (int, str)) else int(float(value))
            if isinstance(value, float) and number != value:
                raise ValueError
        else:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise BadValue(
            "invalid_input_type", f"{short(value)} is not {kind}: give {kind}{_range_words(widget)}."
        ) from None
    return number


def _in_range(widget: Input, number: int | float) -> None:
    if widget.min is not None and number < widget.min:
        raise BadValue("value_smaller_than_min", f"{number} is too small: use a value{_range_words(widget)}.")
    if widget.max is not None and number > widget.max:
        raise BadValue("value_bigger_than_max", f"{number} is too large: use a value{_range_words(widget)}.")


def _range_words(widget: Input) -> str:
    if widget.min is not None and widget.max is not None:
        return f" from {widget.min} to {widget.max}"
    if widget.min is not None:
        return f" of at least {widget.min}"
    return f" of at most {widget.max}" if widget.max is not None else ""


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return word in TRUE_WORDS
    raise BadValue("invalid_input_type", f"{short(value)} is not a switch: give true or false.")


def _choice(value: Any, options: list) -> Any:
    if value in options:
        return value
    for option in options:
        if str(option) == str(value):
            return option
    hint = did_you_mean(value, options)
    if not hint:
        hint = f"choose one of {listing(options)}." if options else "there is none to choose yet."
    raise BadValue("value_not_in_list", f"{short(value)} is not among the choices: {hint}")
