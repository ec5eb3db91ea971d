"""What the 32 bits of marks of before say: which model made the video."""

from __future__ import annotations

import zlib
from functools import cache

from ...about import NAME
from ...loading.checkpoint import embedded_models
from ..credentials.history import History, Model


def payload(history: History) -> int:
    """Return the watermark's 32 bits, which name the model: the start of its weights' hash, or else one of its name."""
    model = history.models[0] if history.models else None
    digest = model.sha256() if model is not None else None
    if digest is not None:
        return int(digest[:8], 16)
    return zlib.crc32((model.name if model is not None else NAME).encode())


@cache
def known_payloads() -> tuple[int, ...]:
    """List the payloads of the models that come with the package, and of none in particular."""
    made = [payload(History((Model(name, path),))) for name, path in embedded_models().items()]
    return tuple(dict.fromkeys([*made, payload(History())]))
