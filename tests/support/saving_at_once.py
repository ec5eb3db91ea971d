"""Many processes that save into one folder at once, as `sora run` and the nodes do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SAVER = """
import sys
import torch
from sora_core.host.desk.folders import Folders, current, using
from sora_core.media.write import write_video

frames = torch.rand(3, 32, 32, 3)
for _ in range(int(sys.argv[2])):
    with using(Folders(output=sys.argv[1])):
        path, _ = current().next_file("clip", ".mp4")
        write_video(path, frames, 8)
        print(path.name)
"""


def save_at_once(folder: Path, processes: int, clips: int) -> list[str]:
    """Let `processes` save `clips` each; returns the names that they report."""
    command = [sys.executable, "-c", SAVER, str(folder), str(clips)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    said = [process.communicate()[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    return [name for text in said for name in text.split()]
