"""Where a video comes from: signed Content Credentials (C2PA), the watermark in its frames, and the detector of both.

    video.save("cat.mp4")       # signed and marked, as the policy says
    print(verify("cat.mp4"))    # who signed, what was done, what was changed since

`credentials.keys` finds who signs: the user's certificate and key, or else a pair that is made on this machine.
`credentials.history` notes what is stated: that a model made the video, the model's name and hash, what was done to
which files. `credentials.sign` writes it, without the prompt unless asked; `credentials.verify` reads it.
`saving` plans what a file gets: `watermark` marks its frames, but for those that are a user's own (`media.origin`), and
the credentials tell of a mark that was read back. `detector` asks all of these whether a video was made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .credentials.history import History, Model
    from .saving import Saving, plan

_HOMES = {"History": "credentials.history", "Model": "credentials.history", "Saving": "saving", "plan": "saving"}
__all__ = ["History", "Model", "Saving", "plan"]


def __getattr__(name: str) -> object:
    # What signs takes 0.2 s to import; asking for a history should not.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
