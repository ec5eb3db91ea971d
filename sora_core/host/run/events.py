"""What a run tells while it goes on, and to whom.

A listener gets `(event, data)`, with ComfyUI's event names; it may be a progress bar, a web socket, a test:

    execution_start {nodes}   execution_cached {nodes}   executing {node, title, type, index, total}
    progress {node, value, max, preview}   progress_text {node, text}   executed {node, output, seconds}
    execution_success {seconds}   execution_interrupted {node, executed}
    execution_error {node, type, message}   picture {node, picture}

Nodes are named by id. `preview` is a `latents.previews.Preview` or None, `output` what the node shows, as JSON,
`picture` a PIL image that is handed over in place of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Listener(Protocol):
    """Hears a run's events, in the thread of the run, and says whether it has any use for previews."""

    # Where False, previews are neither checked nor handed over: that would be work for nothing.
    shows_previews: bool

    def __call__(self, event: str, data: dict[str, Any], /) -> None:
        """Hear an event. What it raises ends the run."""


# A plain function hears everything, previews too.
AnyListener = Listener | Callable[[str, dict[str, Any]], None]
