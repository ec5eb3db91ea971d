"""Checkpoints under the id of ComfyUI's loader, so that its API's examples and older workflows find one."""

from __future__ import annotations

from ..api import io
from ..current import desk, own_engine
from ..desk.desk import resolve_model


class CheckpointLoaderSimple(io.ComfyNode):
    """Loads a checkpoint of ours, or one in the models folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "CheckpointLoaderSimple",
            display_name="Load Checkpoint",
            category="loaders",
            inputs=[
                io.Combo.Input(
                    "ckpt_name",
                    options=list(desk().model_files()),
                    tooltip="sora-mini, or a .safetensors file in the models folder.",
                )
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def fingerprint_inputs(cls, ckpt_name: str) -> tuple:
        path = desk().model_files().get(ckpt_name)
        # A file that was replaced under its name is loaded again.
        stat = path.stat() if path is not None and path.is_file() else None
        return ckpt_name, stat and (stat.st_mtime_ns, stat.st_size)

    @classmethod
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        loaded = own_engine().load_model(resolve_model(ckpt_name, desk().model_files()), "auto")
        return io.NodeOutput(loaded.model, loaded.clip, loaded.vae)


NODES = [CheckpointLoaderSimple]
