"""The one exception that reaches a user as plain words."""

from __future__ import annotations


class SoraError(Exception):
    """Something a user can put right.

    The message is one or two lines: what was wrong, the offending value, and what to do about it.
    Hosts print it without a traceback; anything else that escapes is a bug and keeps its traceback.
    """


def expect(condition: bool, message: str) -> None:
    """Raise `SoraError(message)` unless `condition` holds."""
    if not condition:
        raise SoraError(message)
