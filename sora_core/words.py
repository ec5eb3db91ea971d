"""Small helpers for messages that tell people what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: object, choices: Iterable[object], most: int = 3) -> list[str]:
    """Find the names among `choices` that are most like `word`, best first; capitals do not count."""
    by_lower = {str(choice).lower(): str(choice) for choice in choices}
    return [by_lower[name] for name in difflib.get_close_matches(str(word).lower(), by_lower, n=most, cutoff=0.6)]


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """Return "did you mean A or B?", or "" when nothing is close."""
    names = closest(word, choices)
    return f"did you mean {' or '.join(names)}?" if names else ""


def listing(choices: Iterable[object], limit: int = 12) -> str:
    """Return "a, b, c", and after `limit` names how many more there are."""
    names = [str(choice) for choice in choices]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def no_such(what: str, name: object, choices: Iterable[object], otherwise: str = "") -> str:
    """Return "There is no model 'x': " and what to use instead: a name that is close, or the names there are.

    what: how the message calls it. otherwise: what else can be done, as "give a file".
    """
    known = list(choices)
    listed = f"choose one of {listing(known)}" if known else "none is installed"
    hint = did_you_mean(name, known) or f"{listed}{otherwise and f', or {otherwise}'}."
    return f"There is no {what} {str(name)!r}: {hint}"


def short(value: object, limit: int = 60) -> str:
    """Return `repr(value)`, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
