"""One `.safetensors` file per model: weights of its parts, their configs and provenance in the metadata.

Loading is strict and by memory map. A file that is no safetensors file (a pickle, say), that is cut short, or
whose tensors do not fit its config is refused with a message that lists the first keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import SoraError
from ..files import WEIGHTS, exists, is_file, is_folder, written_beside
from ..model.dit import DiT
from ..model.text.concepts import TextEncoder
from ..model.vae.mini import VideoVAE
from ..words import no_such
from .parts import PARTS, build, describe
from .placement import header_of, plan_file

FORMAT = 1  # of the metadata; a file of another is refused
ROLES = ("dit", "vae", "text")  # what a model needs to make video: the fields of a `ModelBundle` that `PARTS` fill
# By the names that users choose them by; "auto" is none of them, the host's choice.
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_PICKLES = (b"\x80\x02", b"\x80\x04", b"PK")  # how one begins, bare or in the archive that torch.save writes

M = TypeVar("M", bound=nn.Module)


@dataclass
class ModelBundle:
    """The parts of a loaded model."""

    dit: DiT
    vae: VideoVAE
    text: TextEncoder
    info: dict[str, Any] = field(default_factory=dict)  # what the file says of itself: name, shift, fps, provenance
    file: Path | None = None  # where the parts were read from
    loras: tuple[Path, ...] = ()  # what was merged into them since


def save(
    path: Path, parts: Mapping[str, nn.Module], info: dict[str, Any] | None = None, dtype: torch.dtype = torch.float16
) -> None:
    """Write parts, by their names in `PARTS`, to `path` in `dtype`: beside it first, and renamed when complete."""
    tensors = {
        f"{p}.{k}": v.detach().to("cpu", dtype).contiguous()
        for p, m in parts.items()
        for k, v in m.state_dict().items()
    }
    meta = {"format": FORMAT, "info": info or {}, "parts": {p: describe(p, m) for p, m in parts.items()}}
    with written_beside(path) as part:
        save_file(tensors, part, {"sora": json.dumps(meta, ensure_ascii=False)})


def save_part(
    path: Path, name: str, module: nn.Module, info: dict[str, Any] | None = None, dtype: torch.dtype = torch.float16
) -> None:
    """Write a checkpoint of one part, see `save`."""
    save(path, {name: module}, info, dtype)


def embedded_models() -> dict[str, Path]:
    """List the models that come with the package, by name."""
    found = {path.stem: path for path in sorted(WEIGHTS.glob("sora-*.safetensors"))}
    # Always named, so that a workflow which asks for it stays valid and is told what is missing.
    return {"sora-mini": WEIGHTS / "sora-mini.safetensors", **found}


def resolve(name: str | Path, what: str = "model") -> Path:
    """Find a model's file: an existing path, or a name among the embedded weights. Raises SoraError for neither.

    what: makes videos, as a "model" does, or is the name of another embedded network.
    """
    path = Path(name)
    if path.suffix != ".safetensors" and not exists(path):
        path = WEIGHTS / f"{name}.safetensors"
    if is_folder(path):
        raise SoraError(f"{path} is a folder: give the path of a .safetensors file.")
    if not is_file(path):
        choices = embedded_models() if what == "model" else {what: WEIGHTS / f"{what}.safetensors"}
        known = sorted(choice for choice, file in choices.items() if file.is_file())
        raise SoraError(no_such(what, name, known, "give the path of a .safetensors file"))
    return path


def read(path: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the metadata and the tensors of a checkpoint.

    dtype: what the caller will bring them to, which counts among the memory that is needed. Raises SoraError for what
    is no checkpoint, and before anything is read where it does not fit into memory.
    """
    meta, tensors = read_tensors(path, "sora", device, dtype)
    return _checked_meta(path, meta), tensors


def _checked_meta(path: Path, meta: Any) -> dict[str, Any]:
    """Return the metadata of a checkpoint. Raises SoraError where they are none of ours."""
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise SoraError(f"{path.name} carries no Sora Nodes config (format {FORMAT}) in its metadata.")
    fits = all(isinstance(meta.get(key), dict) for key in ("info", "parts"))
    if not fits or not all(isinstance(part, dict) for part in meta["parts"].values()):
        raise SoraError(f"{path.name} has metadata that say nothing of its parts: fetch the file again.")
    return meta


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself, without its weights."""

    info: dict[str, Any]  # name, shift, fps, provenance
    parts: dict[str, dict[str, Any]]  # their descriptions, by name in `PARTS`
    values: dict[str, int]  # how many numbers the file holds of each part


def read_header(path: Path) -> Header:
    """Read what a checkpoint says of itself. Raises SoraError as `read` does; no weights are read."""
    try:
        with safe_open(path, "pt") as f:
            meta = json.loads((f.metadata() or {}).get("sora", "null"))
            shapes = header_of(f)
    except (ValueError, RecursionError):  # of the metadata: no JSON
        raise SoraError(f"{path.name} has metadata that cannot be read (sora): fetch the file again.") from None
    except (SafetensorError, OSError) as error:
        raise SoraError(_not_safetensors(path, error)) from None
    meta = _checked_meta(path, meta)
    values = dict.fromkeys(meta["parts"], 0)
    for key, (shape, _) in shapes.items():
        part = key.partition(".")[0]
        values[part] = values.get(part, 0) + math.prod(shape)
    return Header(meta["info"], meta["parts"], values)


def read_tensors(
    path: Path, key: str, device: str = "cpu", dtype: torch.dtype | None = None
) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """Read a safetensors file: the JSON object under `key` in its metadata, None where there is none, and its tensors.

    dtype: see `read`. Raises SoraError that says what the file is instead, or that it does not fit into memory.
    """
    try:
        plan_file(path, dtype, device).check()
        with safe_open(path, "pt", device=device) as f:
            meta = json.loads((f.metadata() or {}).get(key, "null"))
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (ValueError, RecursionError):  # of the metadata: no JSON
        raise SoraError(f"{path.name} has metadata that cannot be read ({key}): fetch the file again.") from None
    except (SafetensorError, OSError) as error:
        raise SoraError(_not_safetensors(path, error)) from None
    return meta if isinstance(meta, dict) else None, tensors


def _not_safetensors(path: Path, error: Exception) -> str:
    """Say what a file is that cannot be read as safetensors, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as unread:
        return f"{path.name} cannot be read ({unread.strerror}): check its path and rights."
    if head.startswith(_PICKLES):
        return f"{path.name} is a pickle, which can run code when opened. Convert it to safetensors."
    if head.startswith(b"GGUF"):
        return f"{path.name} is a GGUF file, which is not read here: use the model as safetensors."
    if head.startswith(b"version https://git-lfs"):
        return f"{path.name} is the pointer of Git LFS, not the file itself: fetch it with `git lfs pull`."
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"{path.name} is a web page, not a model: download the file itself."
    return f"{path.name} cannot be read as safetensors ({error}). It may be cut short: fetch it again."


def assign(module: M, state: Mapping[str, Tensor], what: str) -> M:
    """Return a module the tensors `state` as they are, on their device, and freeze it.

    what: names the module in errors. Raises SoraError that lists the first keys or shapes that do not fit.
    """
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(state))
    unexpected = sorted(set(state) - set(wanted))
    shapes = [
        f"{k} {list(state[k].shape)} for {list(v.shape)}"
        for k, v in wanted.items()
        if k in state and state[k].shape != v.shape
    ]
    for label, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes)):
        if keys:
            raise SoraError(
                f"{what}: {len(keys)} tensors {label}: {', '.join(keys[:4])}{' ...' if len(keys) > 4 else ''}."
            )
    module.load_state_dict(state, assign=True)
    if state:
        # Buffers that no file holds were made on the CPU: they follow the weights.
        module.to(next(iter(state.values())).device)
    return module.eval().requires_grad_(False)


def load_parts(
    name: str | Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """Load every part that a checkpoint holds, by name, and its info. Raises SoraError for parts of something else."""
    path = resolve(name)
    meta, tensors = read(path, device, dtype)
    if other := sorted(set(meta["parts"]) - set(PARTS)):
        raise SoraError(f"{path.name} holds {', '.join(other)}: that is no part of a model that makes video.")
    parts: dict[str, nn.Module] = {}
    for part, data in meta["parts"].items():
        prefix = part + "."
        state = {k[len(prefix) :]: v.to(dtype) for k, v in tensors.items() if k.startswith(prefix)}
        made = build(part, data, sum(tensor.numel() for tensor in state.values()), path.name)
        parts[part] = assign(made, state, f"{path.name} ({part})")
    return parts, meta["info"] | {"file": path.name}


def load_model(name: str | Path = "sora-mini", dtype: torch.dtype = torch.float32, device: str = "cpu") -> ModelBundle:
    """Load a complete model. Raises SoraError when parts are missing or anything does not fit."""
    parts, info = load_parts(name, dtype, device)
    by_role = {PARTS[part].role: module for part, module in parts.items()}
    if lacking := sorted(set(ROLES) - set(by_role)):
        raise SoraError(
            f"{info['file']} lacks {', '.join(lacking)}: it is part of a model, not one that can make video."
        )
    dit, vae, text = (by_role[role] for role in ROLES)
    return ModelBundle(cast(DiT, dit), cast(VideoVAE, vae), cast(TextEncoder, text), info=info, file=resolve(name))
