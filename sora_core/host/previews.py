"""Previews that move: ComfyUI's frontend shows a still picture for each message, so a thread sends one frame each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING

from ..latents.previews import Preview

if TYPE_CHECKING:
    from PIL import Image


class PreviewLoop:
    """Sends the frames of the latest preview in turn, from a thread, until closed.

    When `send(picture)` raises (the user interrupts, a connection is gone) the loop ends, and the next `show` raises
    the same.
    """

    def __init__(self, send: Callable[[Image.Image], None]) -> None:
        """Show with `send(picture)`, which gets one picture at a time, in the loop's own thread."""
        self.send = send
        self.latest: Preview | None = None
        self.error: BaseException | None = None
        self._changed, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, preview: Preview | None) -> None:
        """Show a preview from now on; None leaves what is shown. Raises what `send` raised before."""
        if self.error is not None:
            raise self.error
        self.latest = preview if preview is not None else self.latest
        self._changed.set()
        if self._thread is None and preview is not None:
            # The host finds the running node through context variables, which a new thread does not inherit.
            context = copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._run, preview), daemon=True)
            self._thread.start()

    def _run(self, preview: Preview) -> None:
        index = 0
        try:
            while not self._closed.is_set():
                preview = preview if self.latest is None else self.latest
                self.send(preview.picture(index))
                index += 1
                if len(preview) == 1:
                    self._changed.wait()
                    self._changed.clear()
                else:
                    self._closed.wait(1 / preview.fps)
        except BaseException as error:
            # An interrupt is told once, to whoever asks first: the run must hear of it too.
            self.error = error

    def close(self) -> None:
        """End the loop; wait for the picture that is being sent, but not for one that hangs."""
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
