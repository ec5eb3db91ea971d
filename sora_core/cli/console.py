"""The streams of a command, where there may be no console: services, `pythonw`, a closed or a full stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any, TextIO


class Unfailing:
    """A stream of text for people: what cannot be written is lost, and the work goes on."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written. A character that the stream has no code for is spelt out."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            except (OSError, ValueError):  # full, or closed
                pass
        return len(text)

    def flush(self) -> None:
        """Hand on what is written, where that is possible."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                silence(self._stream)  # else Python complains of it when it ends

    def isatty(self) -> bool:
        """Return whether a person is looking on."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False


@contextlib.contextmanager
def console() -> Iterator[None]:
    """Within the block, stdout and stderr are there, and nothing that is said on stderr can stop the work."""
    # A file that is opened next would get the number of a closed stream, and a library's warnings would go into it.
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    nowhere: IO[str] | None = None
    if before[0] is None:
        sys.stdout = nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    sys.stderr = Unfailing(before[1])
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        if nowhere is not None:
            nowhere.close()


def silence(stream: Any) -> None:
    """Lead a stream that cannot be written to into nothing, with what it still holds."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
