"""Small helpers for messages that tell people what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """'did you mean A or B?', or '' when nothing is close."""
    by_lower = {str(choice).lower(): str(choice) for choice in choices}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=3, cutoff=0.6)
    names = [by_lower[c] for c in close]
    return f"did you mean {' or '.join(names)}?" if names else ""


def listing(choices: Iterable[object], limit: int = 12) -> str:
    """'a, b, c' and how many more."""
    names = [str(choice) for choice in choices]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def short(value: object, limit: int = 60) -> str:
    """`repr(value)`, cut."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
