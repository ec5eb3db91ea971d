"""Reads JSON that a stranger wrote."""

from __future__ import annotations

import json
from typing import Any

from ...errors import SoraError
from ...words import printable


def read_json(text: str | bytes, name: str) -> Any:
    """Parse JSON. name: of the file, for errors. Raises SoraError for what is none, or too deep or long to be read."""
    name = printable(name)
    try:
        # Editors on Windows put a byte order mark in front.
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (UnicodeDecodeError, RecursionError) as error:
        raise SoraError(f"{name} is not JSON text: give a workflow saved by the frontend.") from error
    except json.JSONDecodeError as error:
        raise SoraError(
            f"{name} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): export the workflow again."
        ) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise SoraError(f"{name} holds a number with thousands of digits: export the workflow again.") from error
