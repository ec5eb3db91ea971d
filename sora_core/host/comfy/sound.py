"""Sound that a model of ComfyUI's makes along with its picture: two streams in one LATENT."""

from __future__ import annotations

from typing import Any

from ...errors import expect
from ...latents.space import LatentSpace
from ...latents.streams import is_nested, picture_of
from ...pipeline.engine import Latent

# By the class of a model that makes sound: the shape of its sound latents, without the batch. A number, or where its
# network says it; None is the length.
SOUNDS: dict[str, tuple[str | int | None, ...]] = {
    "LTXAV": ("num_audio_channels", None, "audio_frequency_bins"),
    "MiniMaxH3": ("audio_latents_dim", 2, None),
}


def sound_shape(patcher: Any) -> list[int | None] | None:
    """Return the shape `[C,...]` of a MODEL's sound latents, None for the length; None for one that makes no sound."""
    shape = SOUNDS.get(type(patcher.model).__name__)
    if shape is None:
        return None
    network = patcher.model.diffusion_model
    return [getattr(network, size) if isinstance(size, str) else size for size in shape]


def with_sound(patcher: Any, space: LatentSpace, latent: Latent) -> Latent:
    """Check the sound of a LATENT, and put an empty one beside a picture whose model never goes without.

    ComfyUI's latent formats make it of the right length. Raises SoraError, naming both sides, for sound alone, for
    sound that the model does not make or that is another's, and for more than two streams.
    """
    samples, wanted = latent["samples"], sound_shape(patcher)
    if not is_nested(samples):
        lone = latent.get("type") == "audio" and samples.ndim < 5
        lone = lone or (wanted is not None and _fits(samples, wanted) and samples.shape[1] != space.channels)
        expect(
            not lone,
            f"latent: it is sound alone, {list(samples.shape)}, and {space.name} works on video, "
            f"[B,{space.channels},T,H,W]. Join it to a video latent with LTXVConcatAVLatent, or use Sora Empty Latent.",
        )
        layout = patcher.get_model_object("latent_format")
        # Only a format with more than one stream changes anything here. Older versions of ComfyUI know of none.
        if wanted is None or not hasattr(layout, "fix_empty_latent"):
            return latent
        fitted = space.fit_empty(latent, "the model")
        whole = layout.fix_empty_latent(fitted["samples"])
        return {**fitted, "samples": whole} if is_nested(whole) else latent
    streams = samples.unbind()
    shapes = " and ".join(str(list(stream.shape)) for stream in streams)
    expect(
        wanted is not None,
        f"latent: it has sound beside the picture ({shapes}), and {space.name} makes pictures only. Take its video "
        "with LTXVSeparateAVLatent, or use a model with sound.",
    )
    assert wanted is not None
    space.samples_of(picture_of(latent), "the model", refit=True)
    named = ",".join("T" if size is None else str(size) for size in wanted)
    expect(
        len(streams) == 2 and _fits(streams[1], wanted) and len(streams[0]) == len(streams[1]),
        f"latent: it is {shapes}, {space.name} works on [B,{space.channels},T,H,W] with sound [B,{named}]. Use the "
        "latents that go with this model.",
    )
    return latent


def _fits(sound: Any, wanted: list[int | None]) -> bool:
    """Tell whether latents have the shape of a model's sound."""
    sizes = list(sound.shape[1:])
    return len(sizes) == len(wanted) and all(w in (None, size) for size, w in zip(sizes, wanted, strict=True))
