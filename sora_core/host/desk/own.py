"""The desk of the embedded host, and of nodes that run without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...loading.checkpoint import embedded_models
from ...loading.lora import embedded_loras
from ...pipeline import progress
from .desk import metadata_of
from .folders import Folders, current


class OwnDesk:
    """Files of the folders in force; models and LoRAs that come with the package, or lie where it was started."""

    def model_files(self) -> dict[str, Path]:
        """List the embedded models, and checkpoints in the folder `models` where the program was started."""
        return embedded_models() | _weights_in(Path("models"))

    def lora_files(self) -> dict[str, Path]:
        """List the embedded LoRAs, and files in the folder `models/loras`."""
        return embedded_loras() | _weights_in(Path("models/loras"))

    def weights(self, name: str) -> Path | None:
        """There are no loaders besides ours."""
        return None

    def folders(self) -> Folders:
        """Return the folders in force."""
        return current()

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        """Choose the next free file of a prefix in the output folder."""
        return current().next_file(prefix, suffix, "output", width, height)

    def metadata(self, hidden: Any) -> dict[str, str]:
        """Write `prompt` and `workflow` as JSON."""
        return metadata_of(hidden)

    def shows_files(self, hidden: Any, name: str) -> bool:
        """Answer no: here the frames say it themselves."""
        return False

    def show_text(self, node_id: str | None, text: str) -> None:
        """Tell whoever runs the node."""
        progress.say(text)


def _weights_in(folder: Path) -> dict[str, Path]:
    """List the .safetensors files of a folder by name; none where it is not there."""
    return {path.name: path for path in sorted(folder.glob("*.safetensors"))}
