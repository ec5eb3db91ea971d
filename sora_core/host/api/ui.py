"""Stand-in for `comfy_api.latest.ui`: what a node can show under itself in the frontend."""

from __future__ import annotations

import uuid
from typing import Any

from .base import FolderType
from .schema import UIOutput


class SavedResult(dict):
    """A file in one of the host's folders."""

    def __init__(self, filename: str, subfolder: str, type: FolderType):
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)

    @property
    def filename(self) -> str:
        return self["filename"]

    @property
    def subfolder(self) -> str:
        return self["subfolder"]

    @property
    def type(self) -> FolderType:
        return FolderType(self["type"])


class SavedImages(UIOutput):
    def __init__(self, results: list[SavedResult], is_animated: bool = False):
        self.results = results
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.results, **({"animated": (True,)} if self.is_animated else {})}


class PreviewVideo(UIOutput):
    def __init__(self, values: list[SavedResult | dict], **_: Any):
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (True,)}


class PreviewText(UIOutput):
    def __init__(self, value: str, **_: Any):
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


class ImageSaveHelper:
    """Images to PNG files, with the workflow in them so that dropping one on the canvas restores it."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: FolderType, cls: type | None, compress_level: int = 4
    ) -> list[SavedResult]:
        """`images` `[B,H,W,3 or 4]` float 0..1. Returns one result per image."""
        from ..images import save_pngs

        return [
            SavedResult(name, subfolder, folder_type)
            for name, subfolder in save_pngs(
                images, filename_prefix, FolderType(folder_type).value, getattr(cls, "hidden", None), compress_level
            )
        ]

    @staticmethod
    def get_save_images_ui(images: Any, filename_prefix: str, cls: type | None, compress_level: int = 4) -> SavedImages:
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level))


class PreviewImage(UIOutput):
    """Saves `image` `[B,H,W,3]` to the temp folder and shows it."""

    def __init__(self, image: Any, animated: bool = False, cls: type | None = None, **_: Any):
        prefix = f"preview_{uuid.uuid4().hex[:8]}"
        self.values = ImageSaveHelper.save_images(image, prefix, FolderType.temp, cls, compress_level=1)
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Shows a mask `[B,H,W]` in grey."""

    def __init__(self, mask: Any, animated: bool = False, cls: type | None = None, **kwargs: Any):
        grey = mask.reshape(-1, mask.shape[-2], mask.shape[-1], 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **kwargs)
