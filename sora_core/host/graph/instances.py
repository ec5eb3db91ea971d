"""Values that are typed on a subgraph's instance, read as the frontend reads them.

The widgets of an instance stand for inputs of the subgraph's definition. Frontends from 1.47 on save their values in
the order of the definition's inputs, and since 1.49 by name too; 1.28 to 1.46 name each in `properties.proxyWidgets`.
The instance's own inputs say nothing of it: frontends 1.47 to 1.57 leave out what is neither linked nor renamed.
"""

from __future__ import annotations

from typing import Any

OWN = "-1"  # stands for the instance itself where an inner node's id may stand


def typed_values(instance: dict[str, Any], inputs: list[str]) -> dict[tuple[str, str], Any]:
    """Read the values typed on an instance, by `(OWN, its input)` or `(inner node's id, widget)`.

    inputs: those of the definition that have a widget, in order. Where nothing is typed, the inner node's own value is
    in force.
    """
    names, values = _names(instance, inputs), instance.get("widgets_values")
    named = instance.get("widgets_values_named")
    read: dict[tuple[str, str], Any] = {}
    if isinstance(named, dict):
        read = {(OWN, name): value for name, value in named.items()}
    # A list of another length was made for another definition: then the names alone are sure.
    if isinstance(values, list) and (not read or len(values) == len(names)):
        read |= dict(zip(names, values, strict=False))
    return {name: value for name, value in (read | _kept(instance)).items() if value is not None}


def type_value(instance: dict[str, Any], inputs: list[str], name: str, value: Any, shown: dict[str, Any]) -> bool:
    """Type `value` for the input `name` on an instance. Returns False where it has no place for it.

    shown: what its widgets show, by input; a frontend that reads the file takes an empty place for an empty value.
    """
    names, saved = _names(instance, inputs), instance.get("widgets_values")
    values = list(saved) if isinstance(saved, list) else []
    values += [shown.get(widget) for node, widget in names[len(values) :] if node == OWN]
    if (OWN, name) not in names or len(values) != len(names):
        return False
    values[names.index((OWN, name))] = value
    if None in values:
        return False
    instance["widgets_values"] = values
    if isinstance(instance.get("widgets_values_named"), dict):
        instance["widgets_values_named"][name] = value
    return True


def _names(instance: dict[str, Any], inputs: list[str]) -> list[tuple[str, str]]:
    """Name what each entry of `widgets_values` belongs to."""
    proxies = (instance.get("properties") or {}).get("proxyWidgets")
    if proxies is None:
        return [(OWN, name) for name in inputs]
    return [(str(entry[0]), entry[1]) for entry in proxies]


def _kept(instance: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Read what a newer frontend kept of an older file because it found no widget for it; its first entry counts."""
    entries = (instance.get("properties") or {}).get("proxyWidgetErrorQuarantine") or []
    found = {(str(e["originalEntry"][0]), e["originalEntry"][1]): e.get("hostValue") for e in reversed(entries)}
    return {name: value for name, value in found.items() if name[0] == OWN and value is not None}
