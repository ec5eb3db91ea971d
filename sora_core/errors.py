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


NO_MEMORY = "not enough memory: use a smaller size or fewer frames."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, on a CPU or a GPU."""
    if isinstance(error, MemoryError):
        return True
    # torch's own errors of both are RuntimeErrors. They are known by name and text, because importing torch takes
    # seconds, and a command that needs none must not wait for it.
    named = type(error).__name__ == "OutOfMemoryError"
    told = any(words in str(error).lower() for words in ("can't allocate memory", "out of memory"))
    return isinstance(error, RuntimeError) and (named or told)


def words_for_input(error: BaseException) -> str | None:
    """Return words for what files, texts and disks do to Python and its libraries; None for what is a bug.

    Libraries tell of a file that cannot be opened, written or decoded in errors of their own that have a `strerror`.
    """
    if isinstance(error, UnicodeError):
        return "a text holds a character that cannot be written (half of one): write it again."
    if isinstance(error, RecursionError):
        return "the input is nested too deeply: make it flatter."
    reason = getattr(error, "strerror", None)
    if isinstance(error, OSError) or reason:
        file = getattr(error, "filename", None)
        where = f"{file}: " if file not in (None, "") else ""
        return f"{where}{reason or error}: check the file, its rights and the space on the disk."
    return None
