"""LoRA (arXiv 2106.09685): small low-rank changes to a model's weights, in the file that ComfyUI's LoraLoader takes.

    diffusion_model.blocks.0.self_attn.q.lora_up.weight   [out,rank]     the transformer
                                        .lora_down.weight [rank,in]
                                        .alpha            []
    text_encoders.layers.0.qkv.lora_up.weight ...                        the text encoder

A weight becomes `W + strength * alpha / rank * up @ down`. `lora_A`/`lora_B` in place of down/up and
`lora_unet_blocks_0_...` in place of the module's path are read too.

A new word: the tokenizer knows a closed set of concepts, and reads every other word as the one token UNKNOWN. A LoRA
for a new subject moves that token's embedding (`text_encoders.embedding`), so that core's loader makes any unknown word
mean the subject. Here the file's metadata names the words that captions used, and each gets an embedding of its own:
several such LoRAs can be loaded side by side.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import SoraError, expect
from ..files import is_file, written_beside
from ..model.dit import DiT
from ..model.text.concepts import SPECIALS, UNKNOWN, TextEncoder, Vocabulary, split
from ..words import no_such, short
from . import checkpoint
from .checkpoint import ModelBundle
from .parts import build, describe

PREFIXES = {"dit": "diffusion_model.", "text": "text_encoders."}  # of a part's weights, as ComfyUI names them
EMBEDDING = "embedding.weight"  # the text encoder's table of concepts
# How a model with a LoRA samples best, where the file says so, and of what type that is.
HABITS: dict[str, type | tuple[type, ...]] = {"steps": int, "cfg": (int, float), "sampler": str}
_KOHYA = "lora_unet_"  # what kohya's trainers write before a path whose dots are underscores
BLOCK = re.compile(r"(?<!detail\.)\bblocks\.(\d+)\.")  # of the transformer, which the detailer has too
_PAIRS = (("lora_up.weight", "lora_down.weight"), ("lora_B.weight", "lora_A.weight"))


@dataclass(frozen=True)
class Change:
    """A low-rank change of one weight: `scale * up @ down`."""

    up: Tensor  # `[out,rank,...]`
    down: Tensor  # `[rank,in,...]`
    scale: float = 1.0  # alpha / rank

    def delta(self, shape: torch.Size) -> Tensor:
        """Multiply the change out, float32 of `shape`. Raises RuntimeError when it does not fit."""
        # A convolution's extra axes lie behind the first two, and belong to what goes in.
        whole = self.up.flatten(1).float() @ self.down.flatten(1).float()
        return (self.scale * whole).reshape(shape)


@dataclass(frozen=True)
class LoRA:
    """A LoRA file, read. One with habits or a base is of our own trainers, which change every block."""

    name: str
    changes: Mapping[str, Change]  # by name of the module, as in the file without "lora_up.weight" and the like
    words: tuple[str, ...] = ()  # what it teaches
    habits: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # see `HABITS`
    base: str = ""  # the model that it was trained on
    file: Path | None = None  # where it was read from


def embedded_loras() -> dict[str, Path]:
    """List the LoRAs that come with the package, by name."""
    return {path.stem: path for path in sorted((checkpoint.WEIGHTS / "loras").glob("*.safetensors"))}


def read_lora(path: str | Path) -> LoRA:
    """Read a LoRA: a file, or the name of one that comes with the package. Raises SoraError for what is none."""
    known, name = embedded_loras(), path
    path = known.get(str(name), Path(name))
    if not is_file(path):
        raise SoraError(no_such("LoRA", str(name), known, "give the path of a .safetensors file"))
    told, tensors = checkpoint.read_tensors(path, "sora_lora")
    meta = told or {}
    words = meta.get("words", [])
    expect(
        isinstance(words, list) and all(isinstance(word, str) for word in words),
        f"{path.name} has metadata that cannot be read (words: {short(words)}): fetch the file again.",
    )
    changes = _changes(tensors, path.name)
    habits = {key: meta[key] for key, kind in HABITS.items() if isinstance(meta.get(key), kind)}
    return LoRA(path.stem, changes, tuple(words), habits, str(meta.get("base", "")), path)


def _changes(tensors: Mapping[str, Tensor], file: str) -> dict[str, Change]:
    """Pair up the tensors of a LoRA file. Raises SoraError for half a pair, and for anything else in the file."""
    changes: dict[str, Change] = {}
    used: set[str] = set()
    for up_name, down_name in _PAIRS:
        for key in [k for k in tensors if k.endswith("." + up_name)]:
            name = key.removesuffix("." + up_name)
            down = tensors.get(f"{name}.{down_name}")
            if down is None:
                raise SoraError(f"{file}: {name} has {up_name} and no {down_name}. Fetch the file again.")
            changes[name] = _change(tensors[key], down, tensors.get(f"{name}.alpha"), f"{file}: {name}")
            used |= {key, f"{name}.{down_name}", f"{name}.alpha"}
    rest = sorted(set(tensors) - used)
    expect(
        bool(changes) and not rest,
        f"{file} is no LoRA that can be read here: it holds {', '.join((rest or ['nothing'])[:3])}.",
    )
    return changes


def _change(up: Tensor, down: Tensor, alpha: Tensor | None, what: str) -> Change:
    """Make a change of three tensors. Raises SoraError for those that make none."""
    expect(
        min(up.ndim, down.ndim) >= 2 and up.is_floating_point() and down.is_floating_point() and down.shape[0] > 0,
        f"{what} is no low-rank change: it is {list(up.shape)} x {list(down.shape)}. Fetch the file again.",
    )
    if alpha is None:
        return Change(up, down)
    expect(alpha.numel() == 1, f"{what}.alpha is {list(alpha.shape)}, not one number. Fetch the file again.")
    expect(math.isfinite(alpha.item()), f"{what}.alpha is {alpha.item()}, not a number. Fetch the file again.")
    return Change(up, down, float(alpha) / down.shape[0])


def save_lora(
    path: Path, changes: Mapping[str, Change], words: tuple[str, ...] = (), info: Mapping[str, Any] | None = None
) -> None:
    """Write a LoRA file; scales go into `alpha`. `words` are those that the base model does not know."""
    tensors = {}
    for name, change in changes.items():
        rank = change.down.shape[0]
        tensors[f"{name}.lora_up.weight"] = change.up.detach().cpu().half().contiguous()
        tensors[f"{name}.lora_down.weight"] = change.down.detach().cpu().half().contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(change.scale * rank)
    meta = {**(info or {}), "words": list(words)}
    with written_beside(path) as part:
        save_file(tensors, part, {"sora_lora": json.dumps(meta, ensure_ascii=False)})


def apply_lora(bundle: ModelBundle, lora: LoRA, strength: float = 1.0) -> ModelBundle:
    """Merge a LoRA's changes into a model's weights; `bundle` stays as it is, and both share what did not change.

    Raises SoraError when the LoRA is of another model (names that it lacks, or shapes that do not fit), and for a
    strength that is no number.
    """
    expect(math.isfinite(strength), f"The strength of {lora.name} is {strength}: use a number (1: as it was trained).")
    parts: dict[str, nn.Module] = {"dit": bundle.dit, "text": bundle.text}
    weights = {part: module.state_dict() for part, module in parts.items()}
    keys = _keys(weights)
    _check_base(bundle, lora, keys)
    changed: dict[str, dict[str, Tensor]] = {}
    rows: Tensor | None = None
    for name, change in lora.changes.items():
        part, key = keys[name]
        weight = weights[part][key]
        try:
            delta = strength * change.delta(weight.shape).to(weight.device)
        except RuntimeError:
            raise SoraError(
                f"The LoRA {lora.name} is of another model: its {name} is {list(change.up.shape)} x "
                f"{list(change.down.shape)}, the model's {list(weight.shape)}."
            ) from None
        if (part, key) == ("text", EMBEDDING) and lora.words:
            rows = delta[UNKNOWN]  # goes to the words that it is meant for, and unknown words stay unknown
            continue
        # Added in float32: in 16 bits a small change of a large weight is lost before it is rounded.
        changed.setdefault(part, {})[key] = (weight.float() + delta).to(weight.dtype)
    for part, new in changed.items():
        module = build(part, describe(part, parts[part]))
        parts[part] = checkpoint.assign(module, {**weights[part], **new}, part)
    dit, text = cast(DiT, parts["dit"]), cast(TextEncoder, parts["text"])
    if lora.words:
        text = add_words(text, lora.words, rows)
    # At strength 0 the model is the one that it was, and samples best as it did.
    info = {**bundle.info, **(lora.habits if strength else {})}
    loras = bundle.loras if lora.file is None else (*bundle.loras, lora.file)
    return dataclasses.replace(bundle, dit=dit, text=text, info=info, loras=loras)


def _check_base(bundle: ModelBundle, lora: LoRA, keys: Mapping[str, tuple[str, str]]) -> None:
    """Raise SoraError when the LoRA names what the model lacks, or changes fewer blocks than it has."""
    missing = [name for name in lora.changes if name not in keys]
    expect(
        not missing,
        f"The LoRA {lora.name} is of another model: this one has no {', '.join(missing[:3])} "
        f"({len(missing)} of {len(lora.changes)} names). Use the model that it was trained on.",
    )
    blocks, own = len(bundle.dit.blocks), {block[1] for name in lora.changes if (block := BLOCK.search(name))}
    # Others may leave blocks out as they like; ours never do, so it was made for a model of fewer.
    expect(
        len(own) in (0, blocks) or not (lora.base or lora.habits),
        f"The LoRA {lora.name} is of another model: it was trained on {len(own)} blocks and this one has {blocks}. "
        "Train it again.",
    )


def _keys(weights: Mapping[str, Mapping[str, Tensor]]) -> dict[str, tuple[str, str]]:
    """Map every name that a LoRA may call a weight by to its part and key."""
    keys = {}
    for part, state in weights.items():
        for key in state:
            if key.endswith(".weight"):
                path = key.removesuffix(".weight")
                keys[PREFIXES[part] + path] = part, key
                if part == "dit":
                    keys[_KOHYA + path.replace(".", "_")] = part, key
    return keys


def add_words(text: TextEncoder, words: tuple[str, ...], change: Tensor | None = None) -> TextEncoder:
    """Teach a copy of a text encoder `words`, each as a subject of its own.

    Its embedding is that of UNKNOWN plus `change` `[dim]`; a word that the encoder knows already is moved by `change`.
    Raises SoraError for a word without letters.
    """
    old = text.tokenizer.vocabulary
    concepts, kinds, surfaces = list(old.concepts), list(old.kinds), dict(old.surfaces)
    state = dict(text.state_dict())
    table = state[EMBEDDING]
    change = torch.zeros_like(table[0]) if change is None else change.to(table.dtype)
    new = []
    table = table.clone()
    for word in words:
        surface = " ".join(split(word))
        expect(bool(surface), f"The new word {word!r} has no letters.")
        if surface in surfaces:
            table[surfaces[surface] + SPECIALS] += change
            continue
        surfaces[surface] = len(concepts)
        concepts.append(surface)
        kinds.append("subject")
        new.append(table[UNKNOWN] + change)
    state[EMBEDDING] = torch.cat((table, torch.stack(new))) if new else table
    vocabulary = Vocabulary(tuple(concepts), tuple(kinds), surfaces)
    wider = build("text", {**describe("text", text), "vocabulary": vocabulary.as_dict()})
    return cast(TextEncoder, checkpoint.assign(wider, state, "text encoder"))


def parse_lora(text: str) -> tuple[Path, float]:
    """Read `FILE` or `FILE:STRENGTH` as a path and a strength."""
    name, colon, number = text.rpartition(":")
    if colon:
        try:
            return Path(name), float(number)
        except ValueError:
            pass  # a colon of the file's own
    return Path(text), 1.0
