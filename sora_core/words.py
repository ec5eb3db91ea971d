"""Small helpers for messages that tell people what to do."""

from __future__ import annotations

import difflib
import unicodedata
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
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def printable(text: str) -> str:
    """Return `text` with what would command a terminal, or cannot be written, spelt out: control characters and such.

    Line breaks and tabs stay.
    """
    return "".join(c if c in "\n\t" or not _commands(c) else repr(c)[1:-1] for c in text)


def controls(text: str) -> str:
    """Return the control characters of a text, and what cannot be written: no name of a file may hold them."""
    return "".join(c for c in text if _commands(c))


def _commands(character: str) -> bool:
    # Controls, invisible marks that turn the direction of writing, line and paragraph separators, halves of characters.
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
