"""The text encoder of sora-mini: a closed vocabulary of concepts, English and Chinese surfaces, two layers.

A token is a concept. "cat", "kitten" and their Chinese words are one embedding, so a second language costs word order
alone, and the tokenizer knows exactly which words it does not know. The vocabulary lives in the checkpoint:
weights and words cannot part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import SoraError

PAD, UNKNOWN, SPECIALS = 0, 1, 2  # token ids, and how many there are before the first concept's
MAX_CHARACTERS = 4000  # of a prompt: more is pasted by mistake, and would only be refused for its words later
# English words and numbers, or single Chinese characters; all else separates. A possessive is its noun.
_PIECES = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]")
_POSSESSIVE = re.compile(r"['’]s\b")


def split(text: str) -> list[str]:
    """Split a text into lower-case words and Chinese characters, after compatibility normalisation."""
    return _PIECES.findall(_POSSESSIVE.sub("", unicodedata.normalize("NFKC", text).lower()))


class _Concept(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


class _Lexicon(Protocol):
    # As far as a vocabulary needs it: the room `language` stands beside this one, which must not look in.
    @property
    def concepts(self) -> Sequence[_Concept]: ...

    def surface(self, language: str) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Vocabulary:
    """The closed set of concepts that a model knows, and the words that mean them."""

    concepts: tuple[str, ...]  # names, in the order of their ids
    kinds: tuple[str, ...]  # of each concept
    surfaces: Mapping[str, int]  # words in lower case -> index into concepts

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, ready for JSON."""
        return {"concepts": list(self.concepts), "kinds": list(self.kinds), "surfaces": dict(self.surfaces)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """Read what `as_dict` gave."""
        return cls(tuple(data["concepts"]), tuple(data["kinds"]), dict(data["surfaces"]))

    @classmethod
    def from_lexicon(cls, lexicon: _Lexicon) -> Vocabulary:
        """Take over the concepts of a `sora_core.language.lexicon.Lexicon`, with their English and Chinese words."""
        names = tuple(c.name for c in lexicon.concepts)
        index = {name: i for i, name in enumerate(names)}
        surfaces: dict[str, int] = {}
        for language in ("en", "zh"):
            for surface, concept in lexicon.surface(language).items():
                # English first: where two languages write the same word, it means what it means there.
                surfaces.setdefault(" ".join(split(surface)), index[concept])
        return cls(names, tuple(c.kind for c in lexicon.concepts), surfaces)


class Tokenizer:
    """Longest match first over words (English) and characters (Chinese)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        # Words of the longest surface, which is as far as `match` has to look ahead.
        self.longest = max((s.count(" ") + 1 for s in vocabulary.surfaces), default=1)

    def pieces(self, prompt: str) -> list[str]:
        """Split a prompt as `split` does. Raises SoraError for more than `MAX_CHARACTERS`."""
        if len(prompt) > MAX_CHARACTERS:
            raise SoraError(f"The prompt has {len(prompt)} characters; at most {MAX_CHARACTERS} are read. Shorten it.")
        return split(prompt)

    def match(self, prompt: str) -> list[tuple[str, int | None]]:
        """Find the surfaces of the prompt in order, with their concept index or None where unknown."""
        pieces, i = self.pieces(prompt), 0
        out: list[tuple[str, int | None]] = []
        while i < len(pieces):
            for n in range(min(self.longest, len(pieces) - i), 0, -1):
                surface = " ".join(pieces[i : i + n])
                if surface in self.vocabulary.surfaces:
                    out.append((surface, self.vocabulary.surfaces[surface]))
                    i += n
                    break
            else:
                out.append((pieces[i], None))
                i += 1
        return out

    def unknown_words(self, prompt: str) -> list[str]:
        """List the words of the prompt that the vocabulary does not hold, in order, once each."""
        return list(dict.fromkeys(s for s, c in self.match(prompt) if c is None))

    def ids(self, prompt: str, length: int) -> list[int]:
        """Turn a prompt into token ids, at most `length`.

        A longer one first loses its function words. Raises SoraError when it is still too long.
        """
        ids = [UNKNOWN if c is None else c + SPECIALS for _, c in self.match(prompt)]
        if len(ids) > length:
            kinds = self.vocabulary.kinds
            ids = [i for i in ids if i == UNKNOWN or kinds[i - SPECIALS] != "function"]
        if len(ids) > length:
            raise SoraError(f"The prompt has {len(ids)} words that count; this model reads {length}. Shorten it.")
        return ids


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a `TextEncoder`."""

    dim: int = 256  # of a token
    num_heads: int = 4
    num_layers: int = 2
    length: int = 64  # tokens of a context
    # Words on either side that a convolution lets a word see before the first layer, 0 for none. Attention with learned
    # positions finds out who is on the left of whom, and which of two moves comes first, only after very long.
    reach: int = 0


class Layer(nn.Module):
    """A pre-norm transformer layer (arXiv 2002.04745)."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.heads = cfg.num_heads
        self.norm1, self.norm2 = nn.LayerNorm(cfg.dim), nn.LayerNorm(cfg.dim)
        self.qkv, self.o = nn.Linear(cfg.dim, 3 * cfg.dim), nn.Linear(cfg.dim, cfg.dim)
        self.ffn = nn.Sequential(nn.Linear(cfg.dim, 4 * cfg.dim), nn.GELU(), nn.Linear(4 * cfg.dim, cfg.dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the layer on tokens `[B,N,dim]`; mask: bool `[B,1,1,N]`, True = attend."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        return x + self.ffn(self.norm2(x))


class TextEncoder(nn.Module):
    """Prompts to a context `[B,length,dim]`, which is zero after the prompt's end."""

    def __init__(self, config: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.tokenizer = config, Tokenizer(vocabulary)
        self.embedding = nn.Embedding(SPECIALS + len(vocabulary.concepts), config.dim)
        self.position = nn.Parameter(torch.randn(config.length, config.dim) * 0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        # Large beside the positions: what a word means counts before where it stands.
        nn.init.normal_(self.embedding.weight, std=0.5)
        if config.reach:
            size = 2 * config.reach + 1
            self.neighbours = nn.Conv1d(config.dim, config.dim, size, padding=config.reach, bias=False)
            nn.init.zeros_(self.neighbours.weight)

    def token_ids(self, prompts: Sequence[str]) -> Tensor:
        """Turn prompts into token ids `[B,length]` int64, padded with PAD. Raises SoraError for one too long."""
        out = torch.zeros(len(prompts), self.config.length, dtype=torch.long)
        for row, prompt in zip(out, prompts, strict=True):
            ids = self.tokenizer.ids(prompt, self.config.length)
            row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
        return out

    def forward(self, ids: Tensor) -> Tensor:
        """Encode token ids `[B,length]` as a context `[B,length,dim]`."""
        length = ids.shape[1]
        # Most prompts are far shorter than the context: encode what is there, in steps of 16 so that shapes recur.
        used = int((ids != PAD).sum(1).max()) if ids.numel() else 0
        ids = ids[:, : min(length, max(16, -(-used // 16) * 16))]
        valid = ids != PAD
        # An empty prompt attends to its padding, so that its softmax is defined; its output is zeroed below.
        mask = (valid | ~valid.any(1, keepdim=True))[:, None, None, :]
        x = self.embedding(ids) + self.position[: ids.shape[1]]
        if self.config.reach:
            # Padding is nobody's neighbour: a prompt reads the same however long those beside it are.
            x = x + self.neighbours((x * valid[..., None]).mT).mT
        for layer in self.layers:
            x = layer(x, mask)
        return F.pad(self.norm(x) * valid[..., None], (0, 0, 0, length - ids.shape[1]))

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Encode prompts as a context `[B,length,dim]`; that of an empty prompt, the unconditional one, is all zeros.

        Raises SoraError for a prompt that is too long.
        """
        device = self.position.device
        return self(self.token_ids(prompts).to(device))

    def unknown_words(self, prompt: str) -> list[str]:
        """List the words of the prompt that the model has never seen, in order, once each."""
        return self.tokenizer.unknown_words(prompt)
