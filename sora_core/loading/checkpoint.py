"""One `.safetensors` file per model: weights of its parts, their configs and provenance in the metadata.

Loading is strict and by memory map. A file that is no safetensors file (a pickle, say), that is cut short, or
whose tensors do not fit its config is refused with a message that lists the first keys.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import SoraError
from ..files import WEIGHTS, written_beside
from ..model.dit import DiT, DiTConfig
from ..model.text.concepts import TextConfig, TextEncoder, Vocabulary
from ..model.vae.mini import VAEConfig, VideoVAE

FORMAT = 1


@dataclass
class ModelBundle:
    """The parts of a loaded model. `info` holds name, shift, fps, provenance: what the file says of itself; `file` is
    where they were read from, `loras` what was merged into them since.
    """

    dit: DiT
    vae: VideoVAE
    text: TextEncoder
    info: dict = field(default_factory=dict)
    file: Path | None = None
    loras: tuple[Path, ...] = ()


def _config(cls, data: dict):
    """A config dataclass from JSON, where tuples are lists."""
    known = {f.name for f in dataclasses.fields(cls)}
    if extra := sorted(set(data) - known):
        raise SoraError(
            f"Unknown {cls.__name__} entries {extra}: the file was written by a newer version. Update the pack."
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def describe(module: nn.Module) -> dict:
    """JSON-able config of a part."""
    data = dataclasses.asdict(module.config)
    if isinstance(module, TextEncoder):
        data["vocabulary"] = module.tokenizer.vocabulary.as_dict()
    return data


def build(part: str, data: dict) -> nn.Module:
    """A part from `describe`'s output, on the meta device: weights are assigned, never initialised and copied."""
    if part == "text":
        data = dict(data)
        vocabulary = Vocabulary.from_dict(data.pop("vocabulary"))
        with torch.device("meta"):
            return TextEncoder(_config(TextConfig, data), vocabulary)
    if part == "vae":
        vae_config = _config(VAEConfig, data)
        with torch.device("meta"):
            vae = VideoVAE(vae_config)
        stats = VideoVAE(dataclasses.replace(vae_config, width=(1, 1), encoder_blocks=(0, 0), decoder_blocks=(0, 0)))
        vae.mean, vae.std = stats.mean, stats.std
        return vae
    with torch.device("meta"):
        return DiT(_config(DiTConfig, data))


def save(path: Path, parts: dict[str, nn.Module], info: dict | None = None, dtype: torch.dtype = torch.float16) -> None:
    """Write `parts` (any of dit, vae, text) to `path` in `dtype`, beside it first and renamed when complete."""
    tensors = {
        f"{p}.{k}": v.detach().to("cpu", dtype).contiguous()
        for p, m in parts.items()
        for k, v in m.state_dict().items()
    }
    meta = {"format": FORMAT, "info": info or {}, "parts": {p: describe(m) for p, m in parts.items()}}
    with written_beside(path) as part:
        save_file(tensors, part, {"sora": json.dumps(meta, ensure_ascii=False)})


def save_part(path: Path, name: str, module: nn.Module, **options) -> None:
    save(path, {name: module}, **options)


def resolve(name: str | Path) -> Path:
    """A model's file: an existing path, or a name among the embedded weights."""
    path = Path(name)
    if path.suffix != ".safetensors" and not path.exists():
        path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))) or "none"
        raise SoraError(f"No model {str(name)!r}. Give a .safetensors file or one of the embedded models: {known}.")
    return path


def embedded_models() -> dict[str, Path]:
    """List the models that come with the package; sora-mini is always named, so that workflows stay valid."""
    found = {path.stem: path for path in sorted(WEIGHTS.glob("sora-*.safetensors"))}
    return {"sora-mini": WEIGHTS / "sora-mini.safetensors", **found}


def read(path: Path, device: str = "cpu") -> tuple[dict, dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint; raises `SoraError` for what is not one."""
    try:
        with safe_open(path, "pt", device=device) as f:
            meta = json.loads((f.metadata() or {}).get("sora", "null"))
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        head = path.read_bytes()[:2] if path.exists() else b""
        if head in (b"\x80\x02", b"\x80\x04", b"PK"):
            raise SoraError(
                f"{path.name} is a pickle, which can run code when opened. Convert it to safetensors."
            ) from None
        raise SoraError(
            f"{path.name} cannot be read as safetensors ({error}). It may be cut short: fetch it again."
        ) from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise SoraError(f"{path.name} carries no Sora Nodes config (format {FORMAT}) in its metadata.")
    return meta, tensors


def assign(module: nn.Module, state: dict[str, Tensor], what: str) -> nn.Module:
    """Strict load by assignment; raises `SoraError` that lists the first keys or shapes that do not fit."""
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
    return module.eval().requires_grad_(False)


def load_parts(
    name: str | Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[dict[str, nn.Module], dict]:
    """Every part that a checkpoint holds, and its info. Raises `SoraError` for parts of something else."""
    path = resolve(name)
    meta, tensors = read(path, device)
    if other := sorted(set(meta["parts"]) - {"dit", "vae", "text"}):
        raise SoraError(f"{path.name} holds {', '.join(other)}: that is no part of a model that makes video.")
    parts = {}
    for part, data in meta["parts"].items():
        prefix = part + "."
        state = {k[len(prefix) :]: v.to(dtype) for k, v in tensors.items() if k.startswith(prefix)}
        parts[part] = assign(build(part, data), state, f"{path.name} ({part})")
    if "vae" in parts:
        vae = parts["vae"]
        vae.mean, vae.std = vae.mean.to(device), vae.std.to(device)
    return parts, meta["info"] | {"file": path.name}


def load_model(name: str | Path = "sora-mini", dtype: torch.dtype = torch.float32, device: str = "cpu") -> ModelBundle:
    """Load a complete model. Raises `SoraError` when parts are missing or anything does not fit."""
    parts, info = load_parts(name, dtype, device)
    if lacking := sorted({"dit", "vae", "text"} - set(parts)):
        raise SoraError(
            f"{info['file']} lacks {', '.join(lacking)}: it is part of a model, not one that can make video."
        )
    return ModelBundle(**parts, info=info, file=resolve(name))
