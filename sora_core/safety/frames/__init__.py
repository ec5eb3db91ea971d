"""The check of frames: every one is looked at before anybody sees it.

checker = FrameChecker(load_policy("strict"))
report = checker.review(frames)              # [T,H,W,3]; report.frames is what may be shown
for piece in checker.stream(pieces): ...     # a long video, piece by piece
"""

from .check import FrameChecker, FrameReport, FramesBlocked, checker_for

__all__ = ["FrameChecker", "FrameReport", "FramesBlocked", "checker_for"]
