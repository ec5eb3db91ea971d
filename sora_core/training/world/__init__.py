"""The procedural captioned video world that sora-mini learns from.

Needs OpenCV: `pip install sora-nodes[train]`.
"""

from sora_core.training.world.config import PRESETS, WorldConfig
from sora_core.training.world.subjects import ALL as SUBJECTS
from sora_core.training.world.world import Clip, World

__all__ = ["PRESETS", "SUBJECTS", "Clip", "World", "WorldConfig"]
