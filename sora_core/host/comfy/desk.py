"""ComfyUI's files, metadata and node texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ...errors import SoraError
from ...files import is_file
from ...loading.checkpoint import embedded_models
from ...loading.lora import embedded_loras
from ...provenance.credentials.history import only_files
from ..desk.desk import metadata_of
from ..desk.folders import Folders, claim_next

FOLDER = "sora"  # of checkpoints of ours, in ComfyUI's models folder


class ComfyDesk:
    """What ComfyUI's own folders hold, as its own nodes see them."""

    def __init__(self) -> None:
        folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))

    def model_files(self) -> dict[str, Path]:
        """List the embedded models, and checkpoints in ComfyUI's folder models/sora."""
        return embedded_models() | _weights_in(FOLDER)

    def lora_files(self) -> dict[str, Path]:
        """List the embedded LoRAs, and those in ComfyUI's folder models/loras, which its LoraLoader offers too."""
        return embedded_loras() | _weights_in("loras")

    def weights(self, name: str) -> Path | None:
        """Find the file that a loader of ComfyUI means by `name`."""
        # Names are unique within a kind only; what makes the picture counts before what changes it.
        for kind in ("diffusion_models", "checkpoints", "loras"):
            path = folder_paths.get_full_path(kind, name)
            if path is not None:
                return Path(path)
        return None

    def folders(self) -> Folders:
        """Return ComfyUI's folders of inputs, outputs and previews."""
        kinds = ("input", "output", "temp")
        return Folders(*(Path(getattr(folder_paths, f"get_{kind}_directory")()) for kind in kinds))

    def output_path(self, prefix: str, suffix: str, width: int, height: int) -> tuple[Path, str]:
        """Choose the next free file of a prefix, as ComfyUI's own savers do, and claim its name.

        ComfyUI counts what lies in the folder. That alone would give one number to two servers with one folder.
        """
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
        return claim_next(Path(folder), name, suffix, counter), subfolder

    def metadata(self, hidden: Any) -> dict[str, str]:
        """Write `prompt` and `workflow` as JSON, nothing where ComfyUI was started with --disable-metadata."""
        return {} if args.disable_metadata else metadata_of(hidden)

    def shows_files(self, hidden: Any, name: str) -> bool:
        """Tell whether only nodes that read, cut, scale or join lie between a user's files and the input `name`."""
        prompt, node = getattr(hidden, "prompt", None), getattr(hidden, "unique_id", None)
        return only_files(prompt, node, name, self._find_input)

    def _find_input(self, name: str) -> Path | None:
        """Find the file that a loader's widget names, None where there is none in ComfyUI's folders."""
        try:
            path = self.folders().resolve(name)
        except SoraError:
            return None
        return path if is_file(path) else None

    def show_text(self, node_id: str | None, text: str) -> None:
        """Show `text` on a node while it runs."""
        from server import PromptServer  # imports the whole web server, which a test has not

        if node_id is not None and PromptServer.instance is not None:
            PromptServer.instance.send_progress_text(text, node_id)


def _weights_in(kind: str) -> dict[str, Path]:
    names = [name for name in folder_paths.get_filename_list(kind) if name.endswith(".safetensors")]
    return {name: Path(folder_paths.get_full_path(kind, name)) for name in names}
