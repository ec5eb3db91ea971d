"""The edits that are tried on ComfyUI's own models, and what core's own nodes make of the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SIDE = 64
FPS = 8.0


def drawn(frames: int, seed: int) -> Tensor:
    """Frames `[T,H,W,3]` float 0..1 of soft blobs that drift."""
    coarse = torch.rand(1, 3, frames, 5, 5, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (frames, SIDE, SIDE), mode="trilinear", align_corners=True)
    return fine[0].permute(1, 2, 3, 0).contiguous()


CLIP, OTHER = drawn(13, 1), drawn(17, 2)
REGION = torch.zeros(17, SIDE, SIDE)
REGION[:, 16:48, 16:48] = 1


# -- tasks ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Task:
    """An edit of ours, and the same pixels as core's nodes take them."""

    edit: Callable[[Any, Any], Any]  # (engine, VAE) -> Edit
    length: int  # frames of the window
    start: Tensor | None = None  # known from the first frame on
    end: Tensor | None = None  # known up to the last frame
    region: bool = False
    picture: Tensor | None = None  # a reference


def tasks() -> dict[str, Task]:
    from sora_core.media.clips import Clip
    from sora_core.pipeline import editing

    clip, other, nine = Clip(CLIP, FPS), Clip(OTHER, FPS), Clip(CLIP[:9], FPS)
    first, last = CLIP[0], OTHER[3]
    wide = {"window": 21}
    still = {"frames": 17, "fps": FPS}
    return {
        "image": Task(lambda e, v: editing.animate(e, v, {0: first}, **still), 17, first[None]),
        "last image": Task(lambda e, v: editing.animate(e, v, {-1: last}, **still), 17, None, last[None]),
        "both images": Task(
            lambda e, v: editing.animate(e, v, {0: first, -1: last}, **still), 17, first[None], last[None]
        ),
        "any frame": Task(lambda e, v: editing.animate(e, v, {6: first}, **still), 17),
        "extend": Task(lambda e, v: editing.extend(e, v, clip, 1.0, **wide), 21, CLIP),
        "extend backwards": Task(
            lambda e, v: editing.extend(e, v, clip, 1.0, "backwards", window=5), 17, None, CLIP[:8]
        ),
        "extend both ways": Task(lambda e, v: editing.extend(e, v, clip, 1.0, "both", window=5), 17),
        "infill": Task(lambda e, v: editing.infill(e, v, other, range(5, 13), **wide), 17, OTHER[:5], OTHER[13:]),
        "infill, odd": Task(lambda e, v: editing.infill(e, v, other, range(5, 11), **wide), 17, OTHER[:5], OTHER[11:]),
        "region": Task(lambda e, v: editing.infill(e, v, other, region=REGION, **wide), 17, region=True),
        "connect": Task(lambda e, v: editing.connect(e, v, nine, other, 1.0, window=7), 25, CLIP[:9], OTHER[:8]),
        "loop": Task(lambda e, v: editing.loop(e, v, nine, 1.0, **wide), 25, CLIP[:9], CLIP[:8]),
        "reference": Task(lambda e, v: editing.animate(e, v, {0: first}, **still), 17, first[None], picture=last[None]),
    }


# -- core's own nodes ----------------------------------------------------------------------------------------
Sockets = tuple[Any, Any, dict[str, Any]]  # positive, negative, LATENT
SIZE = {"width": SIDE, "height": SIDE, "batch_size": 1}


def wan_first_last(task: Task, vae: Any, positive: Any, negative: Any, **extra: Any) -> Sockets | None:
    from comfy_extras.nodes_wan import WanFirstLastFrameToVideo as Core

    if task.region or task.picture is not None or (task.start is None and task.end is None):
        return None
    ends = {"start_image": task.start, "end_image": task.end}
    return Core.execute(positive, negative, vae, length=task.length, **SIZE, **ends, **extra).args


def wan_first_last_seen(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    seen = {}
    if task.start is not None:
        seen["clip_vision_start_image"] = Sight().encode_image(task.start[:1])
    if task.end is not None:
        seen["clip_vision_end_image"] = Sight().encode_image(task.end[-1:])
    return wan_first_last(task, vae, positive, negative, **seen)


def wan_vace(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    from comfy_extras.nodes_wan import WanVaceToVideo as Core

    video, mask = torch.full((task.length, SIDE, SIDE, 3), 0.5), torch.ones(task.length, SIDE, SIDE)
    if task.region:
        video, mask = torch.where(REGION[..., None] > 0, 0.5, OTHER), REGION
    elif task.start is None and task.end is None:
        return None
    if task.start is not None:
        video[: len(task.start)], mask[: len(task.start)] = task.start, 0
    if task.end is not None:
        video[-len(task.end) :], mask[-len(task.end) :] = task.end, 0
    known = {"control_video": video, "control_masks": mask, "reference_image": task.picture}
    made = Core.execute(positive, negative, vae, length=task.length, strength=1.0, **SIZE, **known)
    return made.args[:3]


def wan22_latent(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    from comfy_extras.nodes_wan import Wan22ImageToVideoLatent as Core

    if task.start is None or task.end is not None or task.picture is not None:
        return None
    return positive, negative, Core.execute(vae, length=task.length, start_image=task.start, **SIZE).args[0]


def cosmos_latent(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    from comfy_extras.nodes_cosmos import CosmosPredict2ImageToVideoLatent as Core

    # It takes one frame at the end, and counts in groups of eight where there are four.
    whole = (task.start is None or len(task.start) == 1) and (task.end is None or len(task.end) == 1)
    if task.region or task.picture is not None or not whole or (task.start is None and task.end is None):
        return None
    ends = {"start_image": task.start, "end_image": task.end}
    return positive, negative, Core.execute(vae, length=task.length, **SIZE, **ends).args[0]


def from_start(task: Task) -> bool:
    return task.start is not None and task.end is None and not task.region and task.picture is None


def hunyuan_concat(task: Task, vae: Any, positive: Any, negative: Any, kind: str = "v1 (concat)") -> Sockets | None:
    from comfy_extras.nodes_hunyuan import HunyuanImageToVideo as Core

    if not from_start(task):
        return None
    made = Core.execute(positive, vae, length=task.length, guidance_type=kind, start_image=task.start, **SIZE).args
    return made[0], negative, made[1]


def hunyuan_replace(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    return hunyuan_concat(task, vae, positive, negative, "v2 (replace)")


def hunyuan15(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    from comfy_extras.nodes_hunyuan import HunyuanVideo15ImageToVideo as Core

    if not from_start(task):
        return None
    seen = Sight().encode_image(task.start[:1])
    known = {"start_image": task.start, "clip_vision_output": seen}
    return Core.execute(positive, negative, vae, length=task.length, **SIZE, **known).args


def kandinsky(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    from comfy_extras.nodes_kandinsky5 import Kandinsky5ImageToVideo as Core

    if not from_start(task):
        return None
    return Core.execute(positive, negative, vae, length=task.length, start_image=task.start, **SIZE).args[:3]


def cogvideox(task: Task, vae: Any, positive: Any, negative: Any) -> Sockets | None:
    """CogVideoX has no node: its class puts latents that are shorter at the start, zeros behind them."""
    import node_helpers

    if not from_start(task):
        return None
    image = {"concat_latent_image": vae.encode(task.start)}
    both = [node_helpers.conditioning_set_values(c, image) for c in (positive, negative)]
    return both[0], both[1], {"samples": torch.zeros(1, 16, 1 + (task.length - 1) // 4, SIDE // 8, SIDE // 8)}


class Sight:
    """A CLIP_VISION that sees little: random tokens times the picture's mean, as wide as the models read them."""

    def encode_image(self, image: Tensor, crop: bool = True) -> Any:
        import comfy.clip_vision

        made = comfy.clip_vision.Output()
        tokens = torch.randn(1, 257, 1280, generator=torch.Generator().manual_seed(7)) * image.mean()
        made.penultimate_hidden_states, made.last_hidden_state = tokens, tokens[..., :1152]
        return made


@dataclass(frozen=True)
class Oracle:
    """Core's own way for a family."""

    node: str
    build: Callable[..., Sockets | None]
    sees: bool = False  # through CLIP vision
    cfg: float = 3.0  # 1 where core's node leaves the negative prompt alone


ORACLES = {
    "wan_i2v": Oracle("WanFirstLastFrameToVideo", wan_first_last_seen, sees=True),
    "wan_flf2v": Oracle("WanFirstLastFrameToVideo", wan_first_last_seen, sees=True),
    "wan22_i2v": Oracle("WanFirstLastFrameToVideo", wan_first_last),
    "wan_vace": Oracle("WanVaceToVideo", wan_vace),
    "wan22_5b": Oracle("Wan22ImageToVideoLatent", wan22_latent),
    "cosmos_predict2": Oracle("CosmosPredict2ImageToVideoLatent", cosmos_latent),
    "hunyuan_t2v": Oracle("HunyuanImageToVideo, v2 (replace)", hunyuan_replace, cfg=1.0),
    "hunyuan_i2v": Oracle("HunyuanImageToVideo, v1 (concat)", hunyuan_concat, cfg=1.0),
    "hunyuan15": Oracle("HunyuanVideo15ImageToVideo", hunyuan15, sees=True),
    "kandinsky5": Oracle("Kandinsky5ImageToVideo", kandinsky),
    "cogvideox_i2v": Oracle("its class, concat_cond", cogvideox),
}
