"""The types without a widget: what flows along the links."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .base import ComfyType, ComfyTypeIO, Input, Named, Output, WidgetInput


class Model(ComfyTypeIO, io_type="MODEL"):
    """A diffusion model."""


class Clip(ComfyTypeIO, io_type="CLIP"):
    """A text encoder."""


class Vae(ComfyTypeIO, io_type="VAE"):
    """An autoencoder between frames and latents."""


class Conditioning(ComfyTypeIO, io_type="CONDITIONING"):
    """Encoded prompts, with what else steers the model."""


class Latent(ComfyTypeIO, io_type="LATENT"):
    """Latents and what belongs to them: a dict with `samples`."""


class Sampler(ComfyTypeIO, io_type="SAMPLER"):
    """A sampling method with its options."""


class Sigmas(ComfyTypeIO, io_type="SIGMAS"):
    """Noise levels, first to last, `[steps+1]`."""


class Noise(ComfyTypeIO, io_type="NOISE"):
    """A source of noise."""


class Guider(ComfyTypeIO, io_type="GUIDER"):
    """A model with its prompts and how it is guided."""


class Image(ComfyTypeIO, io_type="IMAGE"):
    """Pictures or frames, `[B,H,W,3]` float 0..1."""


class Mask(ComfyTypeIO, io_type="MASK"):
    """Masks, `[B,H,W]` float 0..1."""


class Video(ComfyTypeIO, io_type="VIDEO"):
    """Frames with their rate and sound, in memory or in a file."""


class Audio(ComfyTypeIO, io_type="AUDIO"):
    """Sound: a dict with `waveform` `[B,C,samples]` and `sample_rate`."""


class ClipVision(ComfyTypeIO, io_type="CLIP_VISION"):
    """An encoder of pictures."""


class ClipVisionOutput(ComfyTypeIO, io_type="CLIP_VISION_OUTPUT"):
    """Encoded pictures."""


class ControlNet(ComfyTypeIO, io_type="CONTROL_NET"):
    """A ControlNet."""


class StyleModel(ComfyTypeIO, io_type="STYLE_MODEL"):
    """A style model."""


class UpscaleModel(ComfyTypeIO, io_type="UPSCALE_MODEL"):
    """A model that enlarges pictures."""


class LoraModel(ComfyTypeIO, io_type="LORA_MODEL"):
    """A LoRA."""


class Hooks(ComfyTypeIO, io_type="HOOKS"):
    """Changes to models that hold for a part of the sampling."""


class Dict(ComfyTypeIO, io_type="DICT"):
    """A dict."""


class Array(ComfyTypeIO, io_type="ARRAY"):
    """A list."""


class AnyType(ComfyTypeIO, io_type="*"):
    """Any type."""


class MultiTypeInput(Input):
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
    ) -> None:
        self.input_override: Input | None = None
        if isinstance(id, Input):
            self.input_override = copy.copy(id)
            display_name = id.display_name or display_name
            optional, tooltip = id.optional or optional, id.tooltip or tooltip
            lazy = id.lazy if id.lazy is not None else lazy
            if isinstance(self.input_override, WidgetInput):
                # The type on the wire will be a list of types, which is no widget's.
                self.input_override.widget_type = self.input_override.get_io_type()
            id = id.id
        super().__init__(id, display_name, optional, tooltip, lazy, **common)
        self.io_types = [t if isinstance(t, type) else type(t) for t in types]

    def get_io_type(self) -> str:
        """Return the names of all types, comma between: `LATENT,SORA_PATCHES`."""
        names = [t.io_type for t in self.io_types]
        if self.input_override is not None:
            names.insert(0, self.input_override.get_io_type())
        return ",".join(dict.fromkeys(names))

    def as_dict(self) -> dict[str, Any]:
        """Return the options, over those of the widget."""
        widget = self.input_override.as_dict() if self.input_override is not None else {}
        return widget | super().as_dict()


class MultiType(ComfyType, io_type="COMFY_MULTITYPED_V3"):
    """One of several types."""

    Input = MultiTypeInput


class MatchTemplate:
    """What sockets of one node share that must all carry the same type."""

    def __init__(self, template_id: str, allowed_types: type[ComfyType] | Iterable[type[ComfyType]] = AnyType) -> None:
        self.template_id = template_id
        self.allowed_types = list(allowed_types) if isinstance(allowed_types, Iterable) else [allowed_types]

    @property
    def io_types(self) -> str:
        """The names of the allowed types, comma between."""
        return ",".join(t.io_type for t in self.allowed_types)

    def as_dict(self) -> dict[str, str]:
        """Return what the frontend gets."""
        return {"template_id": self.template_id, "allowed_types": self.io_types}


@dataclass(eq=False)
class _Template(Named):
    template: MatchTemplate


@dataclass(eq=False)
class MatchTypeInput(Input, _Template):
    """An input whose type must be that of the other sockets of its template."""

    def as_dict(self) -> dict[str, Any]:
        """Return the options, the template among them."""
        return super().as_dict() | {"template": self.template.as_dict()}


class MatchTypeOutput(Output):
    """An output of the type that the inputs of its template get."""

    def __init__(
        self,
        template: MatchTemplate,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        super().__init__(id, display_name or (None if id else "MATCHTYPE"), tooltip, is_output_list)
        self.template = template


class MatchType(ComfyTypeIO, io_type="COMFY_MATCHTYPE_V3"):
    """The type that the other sockets of a template have."""

    Template = MatchTemplate
    Input = MatchTypeInput
    Output = MatchTypeOutput
