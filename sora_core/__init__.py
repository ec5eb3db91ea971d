"""Text to video with a diffusion transformer over spacetime patches.

Begin with:

    import sora_core
    sora_core.load().generate("a cat moving right on a beach", seed=1).save("cat.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .about import VERSION
from .errors import SoraError

if TYPE_CHECKING:
    from .pipeline.pipeline import Pipeline, VideoResult, load

__all__ = ["Pipeline", "SoraError", "VideoResult", "__version__", "load"]
__version__ = VERSION


def __getattr__(name: str) -> object:
    # torch takes a second to import; asking for the version or for help should not.
    if name in ("Pipeline", "VideoResult", "load"):
        from .pipeline import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
