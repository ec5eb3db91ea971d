"""Stand-in for `comfy_api.latest.ui`: what a node can show under itself in the frontend."""

from __future__ import annotations

import uuid
from typing import Any

from .base import FolderType
from .schema import UIOutput


class SavedResult(dict):
    """A file in one of the host's folders."""

    def __init__(self, filename: str, subfolder: str, type: FolderType | str) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)

    @property
    def filename(self) -> str:
        """The name, less its folders."""
        return self["filename"]

    @property
    def subfolder(self) -> str:
        """Where it lies in the folder, "" for the top."""
        return self["subfolder"]

    @property
    def type(self) -> FolderType:
        """Which of the host's folders it lies in."""
        return FolderType(self["type"])


class SavedImages(UIOutput):
    """Shows saved pictures."""

    def __init__(self, results: list[SavedResult], is_animated: bool = False) -> None:
        self.results = results
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        """Return the pictures' files."""
        return {"images": self.results, **({"animated": (True,)} if self.is_animated else {})}


class PreviewVideo(UIOutput):
    """Shows saved videos."""

    def __init__(self, values: list[SavedResult | dict[str, Any]], **_: Any) -> None:
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        """Return the videos' files, where the frontend looks for moving pictures."""
        return {"images": self.values, "animated": (True,)}


class PreviewText(UIOutput):
    """Shows a text."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        """Return the text."""
        return {"text": (self.value,)}


class ImageSaveHelper:
    """Images to PNG files, with the workflow in them so that dropping one on the canvas restores it."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: FolderType, cls: Any, compress_level: int = 4
    ) -> list[SavedResult]:
        """Save `images` `[B,H,W,3 or 4]` float 0..1 for the node `cls`; None has no workflow to put in.

        Returns one result per image.
        """
        # Pillow, numpy and torch: a pack that only declares nodes does without.
        from ..images import save_pngs

        hidden, kind = getattr(cls, "hidden", None), FolderType(folder_type)
        saved = save_pngs(images, filename_prefix, kind.value, hidden, compress_level)
        return [SavedResult(name, subfolder, kind) for name, subfolder in saved]

    @staticmethod
    def get_save_images_ui(images: Any, filename_prefix: str, cls: Any, compress_level: int = 4) -> SavedImages:
        """Save `images` to the output folder, to be shown."""
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level))


class PreviewImage(UIOutput):
    """Saves `image` `[B,H,W,3]` to the temp folder and shows it."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        # A name of its own each time, or a browser would show the one that it remembers.
        prefix = f"preview_{uuid.uuid4().hex[:8]}"
        self.values = ImageSaveHelper.save_images(image, prefix, FolderType.temp, cls, compress_level=1)
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        """Return the pictures' files."""
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Shows a mask `[B,H,W]` in grey."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **kwargs: Any) -> None:
        grey = mask.reshape(-1, mask.shape[-2], mask.shape[-1], 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **kwargs)
