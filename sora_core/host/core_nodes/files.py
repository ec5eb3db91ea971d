"""What all nodes share that read files of the input folder, or write into the output folder."""

from __future__ import annotations

from ..api import io
from ..desk.folders import current


class ReadsInput(io.ComfyNode):
    """A node whose only input is the name of a file in the input folder."""

    @classmethod
    def validate_inputs(cls, **file: str | None) -> bool | str:
        for name in file.values():
            current().check_input(name)
        return True

    @classmethod
    def fingerprint_inputs(cls, **file: str) -> tuple[int, int]:
        (name,) = file.values()
        return current().stamp(name)


class WritesOutput(io.ComfyNode):
    """A node that saves under a prefix in the output folder."""

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None) -> bool | str:
        current().check_prefix(filename_prefix)
        return True
