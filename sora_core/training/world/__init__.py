"""The procedural captioned video world that sora-mini learns from.

Needs OpenCV: `pip install sora-nodes[train]`.
"""

from .config import PRESETS, WorldConfig
from .subjects import ALL as SUBJECTS
from .world import RenderedClip, World

__all__ = ["PRESETS", "SUBJECTS", "RenderedClip", "World", "WorldConfig"]
