"""Loading, saving and arranging pictures. IMAGE is `[B,H,W,3]` float 0..1."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from ...media.origin import taken
from ...media.sizes import check_pixels
from ...pipeline import progress
from ...safety.gate import check_frames
from ..api import io, ui
from ..desk.folders import IMAGE_SUFFIXES, current
from ..images import load_image
from .files import ReadsInput, WritesOutput

MAX_SIZE = 16384  # ComfyUI's


class LoadImage(ReadsInput):
    """Reads a picture and its mask, all frames of one that moves."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "LoadImage",
            display_name="Load Image",
            category="image",
            inputs=[
                io.Combo.Input(
                    "image",
                    options=current().files("input", IMAGE_SUFFIXES),
                    upload=io.UploadType.image,
                    tooltip="A picture from the input folder, or upload one.",
                )
            ],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        return io.NodeOutput(*load_image(current().existing(image), own=not current().is_made(image)))


class SaveImage(WritesOutput):
    """Saves pictures as PNG files that carry the workflow."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SaveImage",
            display_name="Save Image",
            category="image",
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The pictures to save."),
                io.String.Input(
                    "filename_prefix", default="ComfyUI", tooltip="Name before the counter; %date:yyyy-MM-dd% works."
                ),
            ],
            outputs=[io.Image.Output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.ImageSaveHelper.get_save_images_ui(images, filename_prefix, cls))


class PreviewImage(io.ComfyNode):
    """Shows pictures, from files in the temp folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "PreviewImage",
            display_name="Preview Image",
            category="image",
            is_output_node=True,
            inputs=[io.Image.Input("images")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, images: Tensor) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.PreviewImage(images, cls=cls))


def resize(
    images: Tensor, width: int, height: int, method: str, crop: Literal["disabled", "center"] = "disabled"
) -> Tensor:
    """Scale `images` `[B,H,W,C]` to `width` x `height` pixels. Crop "center" cuts them to the new aspect first."""
    pixels = _crop(images, width, height) if crop == "center" else images
    made = pixels.new_empty(len(pixels), height, width, pixels.shape[-1])
    # A plane at a time: the result may be as large as memory allows, and there is none for a second one.
    for image, result in zip(pixels, made, strict=True):
        for channel in range(image.shape[-1]):
            result[..., channel] = _resize_plane(image[..., channel], width, height, method)
    return taken(made.clamp_(0, 1), (images, None))


def _resize_plane(plane: Tensor, width: int, height: int, method: str) -> Tensor:
    if method == "lanczos":
        import numpy as np
        from PIL import Image

        drawn = Image.fromarray(plane.float().cpu().numpy()).resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.asarray(drawn).copy()).to(plane)
    # torch has antialiasing for these two; "area" needs none.
    options = {"antialias": True} if method in ("bilinear", "bicubic") else {}
    return F.interpolate(plane[None, None], size=(height, width), mode=method, **options)[0, 0]


def _crop(images: Tensor, width: int, height: int) -> Tensor:
    """Cut the middle of `images` `[B,H,W,C]` out, in the aspect `width` to `height`."""
    old_height, old_width = images.shape[1:3]
    # Compared as products: two aspects that are equal must not differ by rounding.
    if old_width * height > old_height * width:
        keep = max(1, round(old_height * width / height))
        left = (old_width - keep) // 2
        return images[:, :, left : left + keep]
    keep = max(1, round(old_width * height / width))
    top = (old_height - keep) // 2
    return images[:, top : top + keep]


class ImageScale(io.ComfyNode):
    """Scales pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "ImageScale",
            display_name="Upscale Image",
            category="image/upscaling",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("upscale_method", options=["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
                io.Int.Input("width", default=512, min=0, max=MAX_SIZE, step=1, tooltip="0 keeps the aspect."),
                io.Int.Input("height", default=512, min=0, max=MAX_SIZE, step=1, tooltip="0 keeps the aspect."),
                io.Combo.Input("crop", options=["disabled", "center"]),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(
        cls, image: Tensor, upscale_method: str, width: int, height: int, crop: Literal["disabled", "center"]
    ) -> io.NodeOutput:
        old_height, old_width = image.shape[1:3]
        if width == 0 and height == 0:
            return io.NodeOutput(image)
        # Both 0 was answered above: the one that is given decides the other.
        width = width or max(1, round(old_width * height / old_height))
        height = height or max(1, round(old_height * width / old_width))
        check_pixels(image.shape[0], width, height)
        return io.NodeOutput(resize(image, width, height, upscale_method, crop))


class ImageBatch(io.ComfyNode):
    """Puts pictures behind others, scaled and cut to their size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "ImageBatch",
            display_name="Batch Images",
            category="image",
            inputs=[io.Image.Input("image1"), io.Image.Input("image2")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image1: Tensor, image2: Tensor) -> io.NodeOutput:
        check_pixels(image1.shape[0] + image2.shape[0], image1.shape[2], image1.shape[1])
        if image1.shape[1:3] != image2.shape[1:3]:
            image2 = resize(image2, image1.shape[2], image1.shape[1], "bilinear", "center")
        # One may have transparency where the other has none.
        channels = min(image1.shape[-1], image2.shape[-1])
        both = torch.cat([image1[..., :channels], image2[..., :channels]])
        return io.NodeOutput(taken(both, (image1, None), (image2, None)))


class ImageFromBatch(io.ComfyNode):
    """Takes pictures out of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "ImageFromBatch",
            display_name="Get Image from Batch",
            category="image/batch",
            inputs=[
                io.Image.Input("image"),
                io.Int.Input(
                    "batch_index",
                    default=0,
                    min=-MAX_SIZE,
                    max=MAX_SIZE,
                    tooltip="First picture, from 0; negative counts from the end.",
                ),
                io.Int.Input("length", default=1, min=1, max=4096),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: Tensor, batch_index: int, length: int) -> io.NodeOutput:
        count = image.shape[0]
        expect(count > 0, "There are no pictures in the batch.")
        start = min(max(batch_index + count if batch_index < 0 else batch_index, 0), count - 1)
        # Not a slice: without memory of its own it would keep the whole batch.
        picks = torch.arange(start, min(start + length, count))
        return io.NodeOutput(taken(image[picks], (image, picks)))


class SaveImageWebsocket(io.ComfyNode):
    """Hands pictures to whoever runs the graph, in place of files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SaveImageWebsocket",
            display_name="Save Image (Websocket)",
            category="api/image",
            is_output_node=True,
            inputs=[io.Image.Input("images", tooltip="The pictures to send, as PNG.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Tensor | None) -> float:
        return float("nan")  # sent anew each time

    @classmethod
    def execute(cls, images: Tensor) -> io.NodeOutput:
        from PIL import Image

        for image in check_frames(images):
            pixels = (image.detach().float().cpu().clamp(0, 1).numpy() * 255).round().astype("uint8")
            progress.hand_over(Image.fromarray(pixels))
        return io.NodeOutput()


NODES = [LoadImage, SaveImage, SaveImageWebsocket, PreviewImage, ImageScale, ImageBatch, ImageFromBatch]
