"""Stand-in for `comfy_api.latest.io`: the names that node packs use, in one place."""

from .base import (
    ComfyType,
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    Custom,
    FolderType,
    Input,
    NumberDisplay,
    Output,
    UploadType,
    WidgetInput,
    comfytype,
)
from .dynamic import Autogrow, DynamicCombo, DynamicInput, DynamicSlot
from .schema import ComfyNode, Hidden, HiddenHolder, NodeOutput, Schema
from .schema import UIOutput as _UIOutput
from .sockets import (
    AnyType,
    Array,
    Audio,
    Clip,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    ControlNet,
    Dict,
    Guider,
    Hooks,
    Image,
    Latent,
    LoraModel,
    Mask,
    MatchType,
    Model,
    MultiType,
    Noise,
    Sampler,
    Sigmas,
    StyleModel,
    UpscaleModel,
    Vae,
    Video,
)
from .widgets import Boolean, Color, Combo, Float, Int, MultiCombo, RemoteOptions, String

__all__ = [
    "AnyType", "Array", "Audio", "Autogrow", "Boolean", "Clip", "ClipVision", "ClipVisionOutput", "Color",
    "Combo", "ComfyNode", "ComfyType", "ComfyTypeI", "ComfyTypeIO", "Conditioning", "ControlAfterGenerate",
    "ControlNet", "Custom", "Dict", "DynamicCombo", "DynamicInput", "DynamicSlot", "Float", "FolderType",
    "Guider", "Hidden", "HiddenHolder", "Hooks", "Image", "Input", "Int", "Latent", "LoraModel", "Mask",
    "MatchType", "Model", "MultiCombo", "MultiType", "NodeOutput", "Noise", "NumberDisplay", "Output",
    "RemoteOptions", "Sampler", "Schema", "Sigmas", "String", "StyleModel", "UpscaleModel", "UploadType",
    "Vae", "Video", "WidgetInput", "_UIOutput", "comfytype",
]
