"""What a video model is told of an edit, in its own language: one module a family, and the table of whom it serves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import expect
from . import cogvideox, cosmos, hunyuan, kandinsky, ltx, minimax, tokens, wan_i2v, wan_vace
from .known import Encoder, Known, ModelKind, Tell, Told

__all__ = ["Encoder", "Family", "Known", "ModelKind", "Told", "family_of", "notes_of", "tell"]


@dataclass(frozen=True)
class Family:
    """One language, and the models that speak it."""

    name: str
    models: tuple[str, ...]  # names of their classes, see `ModelKind`
    tell: Tell
    sees: bool = True  # whether the model sees what is kept
    beside: bool = True  # whether it is told beside the latent, and the sampler holds what is kept besides
    extra: tuple[int, ...] = ()  # channels in beside the latent's; any where there are none
    pixels: bool = False  # whether frames have to be encoded for it
    begins: bool = False  # whether its models are made to begin with a picture
    picture: bool = False  # whether it takes a reference picture
    # Keys of a condition by which core's own nodes tell the model: where one is there, it has been told.
    keys: tuple[str, ...] = ()


# The first that serves a model counts.
FAMILIES = (
    Family("Wan VACE", ("WAN21_Vace",), wan_vace.tell, pixels=True, picture=True, keys=("vace_frames",)),
    Family("Wan I2V", ("WAN21",), wan_i2v.tell, extra=(20,), pixels=True, begins=True, keys=("concat_latent_image",)),
    # Fun Inpaint of 5B: timesteps by token, and frames beside the latent.
    Family(
        "Wan 2.2 5B Inpaint",
        ("WAN22",),
        wan_i2v.tell,
        extra=(52,),
        pixels=True,
        begins=True,
        keys=("concat_latent_image",),
    ),
    Family("timesteps by token", ("SoraModel", "WAN22"), tokens.tell, beside=False),
    Family("Cosmos Predict 2", ("CosmosPredict2",), cosmos.tell, beside=False),
    # Its network reads the mask, and ComfyUI gives it what is kept clean.
    Family("Cosmos 1 I2V", ("CosmosVideo",), tokens.tell, extra=(1,), beside=False),
    Family("LTX", ("LTXV", "LTXAV"), ltx.tell, beside=False, keys=("keyframe_idxs",)),
    Family("MiniMax H3", ("MiniMaxH3",), minimax.tell, keys=("minimax_keyframes",)),
    Family(
        "HunyuanVideo I2V",
        ("HunyuanVideoI2V", "HunyuanVideoSkyreelsI2V"),
        hunyuan.tell_beside,
        begins=True,
        keys=("concat_latent_image",),
    ),
    Family(
        "HunyuanVideo 1.5 I2V", ("HunyuanVideo15",), hunyuan.tell_beside, extra=(33,), keys=("concat_latent_image",)
    ),
    Family(
        "HunyuanVideo",
        ("HunyuanVideo",),
        hunyuan.tell_in_place,
        beside=False,
        keys=("guiding_frame_index", "ref_latent"),
    ),
    Family("Kandinsky 5 I2V", ("Kandinsky5",), kandinsky.tell, keys=("time_dim_replace",)),
    Family("CogVideoX I2V", ("CogVideoX",), cogvideox.tell, extra=(16,), begins=True, keys=("concat_latent_image",)),
)
OTHERS = Family("noise mask", (), tokens.tell, sees=False, beside=False)


def family_of(kind: ModelKind) -> Family:
    """Return the language of a model: that of any video model that takes a mask where it has none of its own."""
    return next((f for f in FAMILIES if kind.name in f.models and (not f.extra or kind.extra in f.extra)), OTHERS)


def tell(known: Known, encode: Encoder) -> Told:
    """Tell a model what is kept, in its language, and note how much of it the model sees.

    Raises SoraError for a reference picture that it cannot take.
    """
    family, name = family_of(known.kind), known.kind.space.name
    expect(
        known.picture is None or family.picture,
        f"picture: {name} takes no reference picture. Disconnect it, or use a model that does, such as Wan VACE.",
    )
    told = family.tell(known, encode)
    return replace(told, notes=(*told.notes, *notes_of(family, name, bool((~told.mask).any()))))


def notes_of(family: Family, name: str, held: bool) -> tuple[str, ...]:
    """Say what a model sees of what is kept, and whether the sampler holds it. name: of the model."""
    if not family.sees:
        return (f"{name} does not see what is kept: the sampler blends it in at every step.",) if held else ()
    if not family.beside:
        return ()
    also = "and the sampler holds the kept latents at every step" if held else "and makes all latents itself"
    return (f"{name} is told what is kept beside its latents, {also}.",)
