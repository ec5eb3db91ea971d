"""The types without a widget: what flows along the links."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from .base import ComfyType, ComfyTypeIO, Input, Output, WidgetInput, without_none


class Model(ComfyTypeIO, io_type="MODEL"): ...


class Clip(ComfyTypeIO, io_type="CLIP"): ...


class Vae(ComfyTypeIO, io_type="VAE"): ...


class Conditioning(ComfyTypeIO, io_type="CONDITIONING"): ...


class Latent(ComfyTypeIO, io_type="LATENT"): ...


class Sampler(ComfyTypeIO, io_type="SAMPLER"): ...


class Sigmas(ComfyTypeIO, io_type="SIGMAS"): ...


class Noise(ComfyTypeIO, io_type="NOISE"): ...


class Guider(ComfyTypeIO, io_type="GUIDER"): ...


class Image(ComfyTypeIO, io_type="IMAGE"): ...


class Mask(ComfyTypeIO, io_type="MASK"): ...


class Video(ComfyTypeIO, io_type="VIDEO"): ...


class Audio(ComfyTypeIO, io_type="AUDIO"): ...


class ClipVision(ComfyTypeIO, io_type="CLIP_VISION"): ...


class ClipVisionOutput(ComfyTypeIO, io_type="CLIP_VISION_OUTPUT"): ...


class ControlNet(ComfyTypeIO, io_type="CONTROL_NET"): ...


class StyleModel(ComfyTypeIO, io_type="STYLE_MODEL"): ...


class UpscaleModel(ComfyTypeIO, io_type="UPSCALE_MODEL"): ...


class LoraModel(ComfyTypeIO, io_type="LORA_MODEL"): ...


class Hooks(ComfyTypeIO, io_type="HOOKS"): ...


class Dict(ComfyTypeIO, io_type="DICT"): ...


class Array(ComfyTypeIO, io_type="ARRAY"): ...


class AnyType(ComfyTypeIO, io_type="*"): ...


class _MultiTypeInput(Input):
    """An input that takes several types. Given an `Input` in place of the id, it keeps that one's widget."""

    def __init__(
        self,
        id: str | Input,
        types: list[type[ComfyType]],
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        **common: Any,
    ):
        self.input_override: Input | None = None
        if isinstance(id, Input):
            self.input_override = copy.copy(id)
            display_name = id.display_name or display_name
            optional, tooltip = id.optional or optional, id.tooltip or tooltip
            lazy = id.lazy if id.lazy is not None else lazy
            if isinstance(self.input_override, WidgetInput):
                self.input_override.widget_type = self.input_override.get_io_type()
            id = id.id
        super().__init__(id, display_name, optional, tooltip, lazy, **common)
        self.io_types = [t if isinstance(t, type) else type(t) for t in types]

    def get_io_type(self) -> str:
        names = [t.io_type for t in self.io_types]
        if self.input_override is not None:
            names.insert(0, self.input_override.get_io_type())
        return ",".join(dict.fromkeys(names))

    def as_dict(self) -> dict[str, Any]:
        widget = self.input_override.as_dict() if self.input_override is not None else {}
        return widget | super().as_dict()


class MultiType(ComfyType, io_type="COMFY_MULTITYPED_V3"):
    Input = _MultiTypeInput


class _Template:
    """Sockets of one node that share a template must carry the same type."""

    def __init__(self, template_id: str, allowed_types: Any = AnyType):
        self.template_id = template_id
        self.allowed_types = list(allowed_types) if isinstance(allowed_types, Iterable) else [allowed_types]

    def as_dict(self) -> dict[str, str]:
        return {"template_id": self.template_id, "allowed_types": ",".join(t.io_type for t in self.allowed_types)}


class _MatchTypeInput(Input):
    def __init__(
        self,
        id: str,
        template: _Template,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        **common: Any,
    ):
        super().__init__(id, display_name, optional, tooltip, lazy, **common)
        self.template = template

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | without_none({"template": self.template.as_dict()})


class _MatchTypeOutput(Output):
    def __init__(
        self,
        template: _Template,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ):
        super().__init__(id, display_name or (None if id else "MATCHTYPE"), tooltip, is_output_list)
        self.template = template


class MatchType(ComfyTypeIO, io_type="COMFY_MATCHTYPE_V3"):
    Template = _Template
    Input = _MatchTypeInput
    Output = _MatchTypeOutput
