"""The pictures and clips that the shared workflows start from, brought into a host's input folder.

ComfyUI's loaders know one folder, and what a workflow names must lie in it before the workflow is opened: a missing
file is a red node. `sora run` needs no copy, it reads the samples where they lie (`Folders.samples`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ...errors import SoraError
from ...files import written_beside


def bring_samples(source: Path, folder: Path) -> str | None:
    """Copy each file of `source` into `folder` where there is none of its name. What is there stays as it is.

    Returns what went wrong, in one line, or None: a folder that cannot be written keeps nobody from working.
    """
    for sample in sorted(source.iterdir()) if source.is_dir() else []:
        target = folder / sample.name
        # A link to nowhere is somebody's too.
        if not sample.is_file() or target.exists() or target.is_symlink():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Renamed into place: a start that is killed leaves no half file, which later starts would keep.
            with written_beside(target) as path:
                shutil.copyfile(sample, path)
        except (SoraError, OSError) as error:
            return f"The samples of the shared workflows could not be copied: {error} Copy them from {source} by hand."
    return None
