"""Training of the embedded check of prompts: minutes on one core.

The model is linear in hashed features (`safety.prompts.features`); a text's logit is that of its worst window, as in
multiple-instance learning: a harmful prompt has at least one harmful window, a harmless one has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from ...files import written_beside
from ...safety.prompts.classifier import FORMAT
from ...safety.prompts.features import BUCKETS, unit_features, windows
from ...safety.prompts.lexicon import Lexicon, load_lexicon
from .sentences import LABELS, Sentences, world_captions

MISSED_COSTS = 3.0  # as much as a false alarm


@dataclass
class Packed:
    """Texts as flat arrays. A window is a half-open range of units."""

    ids: Tensor  # features of all units; those of unit u are ids[starts[u]:starts[u+1]]
    starts: Tensor  # [units+1]
    begins: Tensor  # [windows] first unit
    ends: Tensor  # [windows] unit after the last
    owner: Tensor  # [windows] number of the text
    labels: Tensor  # [texts,LABELS] 0 or 1


def pack(lexicon: Lexicon, texts: Sequence[tuple[str, tuple[str, ...]]]) -> Packed:
    """Pack texts and the names of their labels."""
    ids: list[int] = []
    starts, begins, ends, owner = [0], [], [], []
    labels = np.zeros((len(texts), len(LABELS)), np.float32)
    for number, (text, names) in enumerate(texts):
        for name in names:
            labels[number, LABELS.index(name)] = 1
        units = lexicon.units(lexicon.tokens(text))
        first = len(starts) - 1
        for features in unit_features(units):
            ids += features
            starts.append(len(ids))
        for begin, end in windows(units):
            begins.append(first + begin)
            ends.append(first + end)
            owner.append(number)
    return Packed(
        torch.tensor(ids),
        torch.tensor(starts),
        torch.tensor(begins),
        torch.tensor(ends),
        torch.tensor(owner),
        torch.from_numpy(labels),
    )


def logits(table: nn.EmbeddingBag, bias: Tensor, packed: Packed) -> Tensor:
    """Return the logits `[texts,labels]` of the worst window of each text; table: weights of the features' buckets."""
    units = table(packed.ids, packed.starts[:-1])
    sums = torch.cat([units.new_zeros(1, units.shape[1]), units.cumsum(0)])
    per_window = sums[packed.ends] - sums[packed.begins] + bias
    worst = per_window.new_full(packed.labels.shape, -1e4)
    return worst.scatter_reduce(0, packed.owner[:, None].expand_as(per_window), per_window, "amax")


def train(out: Path, texts: int = 40_000, epochs: int = 6, batch: int = 256, seed: int = 0) -> dict[str, float]:
    """Train on `texts` sentences and write `out`.

    Returns the figures of sentences that it did not train on: "recall_LABEL" and "false_positives".
    """
    torch.manual_seed(seed)
    lexicon, maker = load_lexicon(), Sentences(seed)
    drawn = [maker.draw() for _ in range(texts)] + [(text, ()) for text in world_captions(texts // 20, seed)]
    order = np.random.default_rng(seed).permutation(len(drawn))
    drawn = [drawn[i] for i in order]
    held = pack(lexicon, drawn[: texts // 20])
    packs = [pack(lexicon, drawn[i : i + batch]) for i in range(texts // 20, len(drawn), batch)]
    table = nn.EmbeddingBag(BUCKETS, len(LABELS), mode="sum")
    nn.init.zeros_(table.weight)
    bias = nn.Parameter(torch.full((len(LABELS),), -3.0))  # at first, nothing is harmful
    optimizer = torch.optim.Adam([*table.parameters(), bias], lr=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, epochs * len(packs))
    for epoch in range(epochs):
        total = 0.0
        for i in torch.randperm(len(packs)).tolist():
            found = logits(table, bias, packs[i])
            loss = nn.functional.binary_cross_entropy_with_logits(
                found, packs[i].labels, pos_weight=torch.tensor(MISSED_COSTS)
            )
            # Small weights: what the sentences do not teach should say nothing.
            loss = loss + 1e-5 * table.weight.square().sum() / len(LABELS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(packs):.4f}", flush=True)
    with torch.no_grad():
        found, wanted = logits(table, bias, held) > 0, held.labels > 0
    with written_beside(out) as part:
        save_file(
            {"table": table.weight.detach().half().numpy(), "bias": bias.detach().numpy()},
            part,
            {"format": FORMAT, "labels": " ".join(LABELS), "texts": str(texts), "seed": str(seed)},
        )
    harmless = ~wanted.any(1)
    figures = {f"recall_{name}": float(found[wanted[:, i], i].float().mean()) for i, name in enumerate(LABELS)}
    return figures | {"false_positives": float(found[harmless].any(1).float().mean())}
