"""Which inputs have a widget, what its default is, and how to read values for it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from ...words import did_you_mean, listing, short
from ..api.base import ControlAfterGenerate, Input, WidgetInput
from ..api.dynamic import DynamicComboInput, DynamicInput
from ..api.sockets import MatchTypeInput, MultiTypeInput
from ..api.widgets import BooleanInput, ComboInput, FloatInput, IntInput, MultiComboInput, StringInput

# What the widget "control after generate" that the frontend puts behind a seed can hold.
CONTROL_WORDS = tuple(ControlAfterGenerate)
# What the frontend saves for an upload button.
UPLOAD_WORDS = ("image", "audio", "video", "upload")
# What stood before the names of samplers in early files.
OLD_SAMPLER = "sample_"
# What people write for a switch after `--set`, and what JSON's own values are as texts.
TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")


def widget_of(entry: Input) -> WidgetInput | DynamicComboInput | None:
    """Find the input that defines the widget of `entry`; None for a plain socket."""
    shown = entry.input_override if isinstance(entry, MultiTypeInput) else entry
    if isinstance(shown, DynamicComboInput):
        return shown
    return shown if isinstance(shown, WidgetInput) and not shown.force_input else None


def default_of(entry: Input, guess: bool = False) -> Any:
    """Return the value of an untouched widget, or None if the schema names none.

    With `guess`, what the frontend would show: the first choice, an empty text, zero.
    """
    widget = widget_of(entry)
    if widget is None:
        return None
    if isinstance(widget, DynamicComboInput):
        return widget.choices[0] if widget.choices else None
    return widget.default if widget.default is not None or not guess else _guess(widget)


def _guess(widget: WidgetInput) -> Any:
    match widget:
        case MultiComboInput():
            return []
        case ComboInput():
            return widget.choices[0] if widget.choices else None
        case BooleanInput():
            return False
        case IntInput() | FloatInput():
            return max(0, widget.min) if widget.min is not None else 0
        case StringInput():
            return ""
    return None


def read_widget_values(inputs: list[Input], saved: Any) -> dict[str, Any]:
    """Read a saved node's `widgets_values` as values by input name.

    The list has no names: values stand in the order in which the frontend makes widgets, required inputs
    before optional ones, with extra entries for widgets that the schema does not mention (the control behind
    a seed, the upload button). A list that ends early, saved before a widget was added, leaves the rest at
    their defaults.
    """
    if isinstance(saved, dict):
        result = saved
    else:
        result = {}
        _take(inputs, deque(saved if isinstance(saved, list) else []), result, {})
    return {name: value for name, value in result.items() if value is not None}


def take_widget_values(inputs: list[Input], values: deque[Any]) -> dict[str, Any]:
    """Take the values of these inputs from the front of `values`, by name.

    Where they end, what an untouched widget shows.
    """
    taken: dict[str, Any] = {}
    for place, entry in enumerate(inputs):
        behind = widget_of(inputs[place + 1]) if place + 1 < len(inputs) else None
        _take_one(entry, values, taken, {}, behind)
        last = place + 1 == len(inputs) or bool(inputs[place + 1].optional)
        if last and not entry.optional and _upload_button(inputs) and values and values[0] in UPLOAD_WORDS:
            values.popleft()
    return taken


def write_widget_values(inputs: list[Input], saved: Any, changes: dict[str, Any]) -> Any:
    """Return a saved node's `widgets_values` with `changes` by input name, as `read_widget_values` reads them."""
    if isinstance(saved, dict):
        return {**saved, **changes}
    values: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    made: list[Any] = []
    _take(inputs, deque(saved if isinstance(saved, list) else []), values, extras)
    _put(inputs, values | changes, extras, made)
    return made


def _groups(entries: list[Input]) -> tuple[list[Input], list[Input]]:
    """Sort inputs as the frontend does: required ones before optional ones."""
    return [e for e in entries if not e.optional], [e for e in entries if e.optional]


def _upload_button(group: list[Input]) -> str | None:
    """Name the upload button behind these inputs, if there is one: behind required ones only."""
    return next((f"{e.id} upload" for e in group if getattr(e, "upload", None) and not e.optional), None)


def _take(entries: list[Input], values: deque[Any], result: dict[str, Any], extras: dict[str, Any]) -> None:
    """Move the values of `entries` from the front of `values` to `result`, what the schema does not have to `extras`.

    There the control behind a seed has the seed's name, an upload button that of `_upload_button`.
    """
    for group in _groups(entries):
        shown = [entry for entry in group if widget_of(entry) is not None]
        for place, entry in enumerate(shown):
            behind = widget_of(shown[place + 1]) if place + 1 < len(shown) else None
            _take_one(entry, values, result, extras, behind)
        button = _upload_button(group)
        if button and values and values[0] in UPLOAD_WORDS:
            extras[button] = values.popleft()


def _take_one(
    entry: Input, values: deque[Any], result: dict[str, Any], extras: dict[str, Any], behind: Input | None
) -> None:
    """Move the value of one widget, and that of the control behind it. `behind` is the next widget of the schema."""
    widget = widget_of(entry)
    value = values.popleft() if values else None
    result[entry.id] = default_of(entry, guess=True) if value is None else _renamed(widget, value)
    if isinstance(widget, DynamicInput):
        _take(widget.expand(result), values, result, extras)
    elif widget is not None and _has_control(widget) and values and is_control(values[0], behind):
        extras[entry.id] = values.popleft()


def is_control(value: Any, behind: Input | None = None) -> bool:
    """Return whether a value behind a seed is its control: a word, or the switch that it was in 2023."""
    return value in CONTROL_WORDS or (isinstance(value, bool) and not isinstance(behind, BooleanInput))


def _renamed(widget: Input | None, value: Any) -> Any:
    """Return a choice under its name of today: samplers were `sample_euler` once."""
    if isinstance(widget, ComboInput) and isinstance(value, str) and value.startswith(OLD_SAMPLER):
        choices = widget.choices or []
        if value not in choices and value.removeprefix(OLD_SAMPLER) in choices:
            return value.removeprefix(OLD_SAMPLER)
    return value


def _put(entries: list[Input], values: dict[str, Any], extras: dict[str, Any], made: list[Any]) -> None:
    """Add to `made` what `_take` takes."""
    for group in _groups(entries):
        for entry in group:
            widget = widget_of(entry)
            if widget is None:
                continue
            made.append(values[entry.id] if entry.id in values else default_of(entry, guess=True))
            if isinstance(widget, DynamicInput):
                _put(widget.expand(values), values, extras, made)
            elif entry.id in extras:
                made.append(extras[entry.id])
        button = _upload_button(group)
        if button in extras:
            made.append(extras[button])


def _has_control(widget: Input) -> bool:
    control = getattr(widget, "control_after_generate", None)
    if control is None and isinstance(widget, IntInput):
        # The frontend gives these names a control unasked.
        return widget.id.split(".")[-1] in ("seed", "noise_seed")
    return bool(control)


def input_type(entry: Input) -> str:
    """Return what an input takes: for one that must match others, the types that its template allows."""
    return entry.template.io_types if isinstance(entry, MatchTypeInput) else entry.get_io_type()


class BadValueError(Exception):
    """Why a value does not fit an input; `kind` is ComfyUI's name for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_value(entry: Input, value: Any, check_range: bool = True) -> Any:
    """Convert `value` to the input's type. Raises BadValueError when it is of another type or out of range.

    Texts are read as numbers or switches where those are asked for. `check_range` is off for inputs that the
    node checks itself.
    """
    widget = widget_of(entry)
    match widget:
        case IntInput() | FloatInput():
            number = _number(widget, value)
            if check_range:
                _in_range(widget, number)
            return number
        case BooleanInput():
            return _boolean(value)
        case StringInput():
            if isinstance(value, (dict, list)):
                raise BadValueError("invalid_input_type", f"{short(value)} is not a text: give a text.")
            return value if isinstance(value, str) else str(value)
        case DynamicComboInput():
            return _choice(value, widget.choices)
        case MultiComboInput():
            chosen, choices = value if isinstance(value, list) else [value], widget.choices
            return [_choice(v, choices) for v in chosen] if check_range and choices is not None else chosen
        case ComboInput():
            if isinstance(value, (dict, list)):
                raise BadValueError("invalid_input_type", f"{short(value)} is not one choice: give a name.")
            if check_range and widget.choices is not None:
                return _choice(value, widget.choices)
            # What is checked by the node itself is the name of a file.
            return str(value) if isinstance(value, (int, float)) and widget.choices is not None else value
    if widget is None and "*" not in entry.get_io_type().split(","):
        raise BadValueError(
            "invalid_input_type",
            f"{short(value)} is a value, but this input takes a link of type {input_type(entry)}: connect one.",
        )
    return value


def _number(widget: IntInput | FloatInput, value: Any) -> int | float:
    kind = "a whole number" if isinstance(widget, IntInput) else "a number"
    try:
        return _whole(value) if isinstance(widget, IntInput) else _finite(value)
    except (ValueError, TypeError, OverflowError):
        raise BadValueError(
            "invalid_input_type", f"{short(value)} is not {kind}: give {kind}{_range_words(widget)}."
        ) from None


def _whole(value: Any) -> int:
    """Convert to a whole number. Raises ValueError, TypeError or OverflowError for what is none."""
    number = int(value) if isinstance(value, (int, str)) else int(float(value))
    if isinstance(value, bool) or (isinstance(value, float) and number != value):
        raise ValueError
    return number


def _finite(value: Any) -> float:
    """Convert to a number. Raises ValueError, TypeError or OverflowError for what is none, nan or infinite."""
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _in_range(widget: IntInput | FloatInput, number: int | float) -> None:
    if widget.min is not None and number < widget.min:
        raise BadValueError(
            "value_smaller_than_min", f"{short(number)} is too small: use a value{_range_words(widget)}."
        )
    if widget.max is not None and number > widget.max:
        raise BadValueError(
            "value_bigger_than_max", f"{short(number)} is too large: use a value{_range_words(widget)}."
        )


def _range_words(widget: IntInput | FloatInput) -> str:
    if widget.min is not None and widget.max is not None:
        return f" from {widget.min} to {widget.max}"
    if widget.min is not None:
        return f" of at least {widget.min}"
    return f" of at most {widget.max}" if widget.max is not None else ""


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return word in TRUE_WORDS
    raise BadValueError("invalid_input_type", f"{short(value)} is not a switch: give true or false.")


def _choice(value: Any, options: list[Any]) -> Any:
    """Find the option that `value` means: a workflow may hold a number as a text. Raises BadValueError."""
    if value in options:
        return value
    for option in options:
        if str(option) == str(value):
            return option
    hint = did_you_mean(value, options)
    if not hint:
        hint = f"choose one of {listing(options)}." if options else "there is none to choose yet."
    raise BadValueError("value_not_in_list", f"{short(value)} is not among the choices: {hint}")
