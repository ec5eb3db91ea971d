"""The embedded classifier: names count by themselves, everything else is judged by what stands together.

Linear in hashed features, so that every score is a sum of contributions and the words that decided can be named.
Trained by `sora train prompts` on sentences that the package makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np

from ...errors import SoraError
from ...files import WEIGHTS as FOLDER
from ..policy import PROMPT_CATEGORIES
from .features import BUCKETS, unit_features, windows
from .lexicon import Lexicon, Unit, load_lexicon
from .normalise import MAX_TEXT, Token

WEIGHTS = FOLDER / "prompt_safety.safetensors"
FORMAT = "sora prompt check 1"

NAME_SCORE = 0.97
HISTORIC_SCORE = 0.4  # long dead: between the thresholds of a strict and the default policy
STUDY_SCORE = 0.4  # a painter's nude study, likewise
STUDY_SHARE = 0.45  # how much of the model's belief in a nude study counts as sexual
MINOR_SCORE = 0.99
_BY_LIST = {
    "name likeness": ("likeness", NAME_SCORE),
    "name historic": ("likeness", HISTORIC_SCORE),
    "name ip": ("ip", NAME_SCORE),
    "study": ("sexual", STUDY_SCORE),
}
_MINOR_REACH = 12  # units
_WORDS_SHOWN = 5  # as evidence: more would not make a message clearer
_SURE = 99.0  # how telling a word of the lists is, against contributions to a logit: first of all

Evidence = dict[str, list[tuple[float, Unit]]]  # category -> (how telling, unit)


@dataclass(frozen=True)
class Judgement:
    """What a classifier makes of a text."""

    scores: dict[str, float]  # category -> 0..1
    evidence: dict[str, list[str]]  # category -> words as they stand in the text, most telling first


class BuiltinClassifier:
    """A linear model over hashed features, lists of names, and a rule about minors; the highest score counts."""

    name = "builtin"  # what a report calls it

    def __init__(self, lexicon: Lexicon, table: np.ndarray, bias: np.ndarray, labels: Sequence[str]) -> None:
        """`table`: `[BUCKETS, labels]`, what each feature adds to each logit; `bias`: `[labels]`."""
        self.lexicon, self.table, self.bias, self.labels = lexicon, table, bias, tuple(labels)

    def judge(self, text: str) -> Judgement:
        """Score the worst window of `text`. Raises SoraError for a text that is too long to be read."""
        if len(text) > MAX_TEXT:
            raise SoraError(f"The prompt has {len(text)} characters; the check reads at most {MAX_TEXT}. Shorten it.")
        tokens = self.lexicon.tokens(text)
        units = self.lexicon.units(tokens)
        scores = dict.fromkeys(PROMPT_CATEGORIES, 0.0)
        words: Evidence = {name: [] for name in PROMPT_CATEGORIES}
        if units:
            # The lists come after the model: their words take the place of less telling ones.
            self._by_classifier(units, scores, words)
            self._by_name(units, scores, words)
            self._minors(units, scores, words)
        return Judgement(
            {name: round(score, 4) for name, score in scores.items()},
            {name: _quoted(found, tokens, text) for name, found in words.items() if found},
        )

    def _by_classifier(self, units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
        """Raise `scores` to what the model says: contributions of units, summed over windows; the worst one decides."""
        features = unit_features(units)
        sizes = [len(ids) for ids in features]
        flat = np.fromiter((i for ids in features for i in ids), np.int64, sum(sizes))
        rows = np.concatenate([np.zeros((1, len(self.labels)), np.float32), self.table[flat].astype(np.float32)])
        # Running sums give every window's logits by one subtraction each.
        running = rows.cumsum(0)
        ends = np.fromiter(accumulate(sizes, initial=0), np.int64, len(units) + 1)
        sums = running[ends]
        ranges = np.array(windows(units))
        logits = sums[ranges[:, 1]] - sums[ranges[:, 0]] + self.bias
        worst = logits.argmax(0)
        found = 1 / (1 + np.exp(-np.clip(logits.max(0), -30, 30)))
        parts = np.diff(sums, axis=0)
        for column, label in enumerate(self.labels):
            score = float(found[column])
            category = "sexual" if label == "study" else label
            score *= STUDY_SHARE if label == "study" else 1
            if score > scores[category]:
                scores[category] = score
                begin, end = ranges[worst[column]]
                words[category] = [
                    (float(parts[i, column]), units[i])
                    for i in range(begin, end)
                    if units[i].classes and parts[i, column] > 0.5
                ]

    @staticmethod
    def _by_name(units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
        """Raise `scores` to what the lists decide alone. Their words take the place of less telling ones."""
        for unit in units:
            for name in unit.classes & _BY_LIST.keys():
                category, score = _BY_LIST[name]
                if score > scores[category]:
                    scores[category], words[category] = score, []
                if score == scores[category]:
                    words[category].append((_SURE, unit))

    @staticmethod
    def _minors(units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
        """Raise the score where somebody under age is near anything sexual: no context or style makes that harmless."""
        young = [i for i, unit in enumerate(units) if "minor" in unit.classes]
        bare = [
            i
            for i, unit in enumerate(units)
            if not unit.classes.isdisjoint(("porn", "nude", "study")) and "calm" not in unit.classes
        ]
        for i in young:
            near = [k for k in bare if abs(k - i) <= _MINOR_REACH]
            if near:
                scores["sexual"] = max(scores["sexual"], MINOR_SCORE)
                words["sexual"] += [(_SURE, units[i]), *((_SURE - 1, units[k]) for k in near)]


def _quoted(found: list[tuple[float, Unit]], tokens: list[Token], text: str) -> list[str]:
    """Quote the most telling units as they are written, with the word that is meant where that differs."""
    quotes = []
    for _, unit in sorted(found, key=lambda pair: -pair[0]):
        begin, end = unit.tokens
        written = " ".join(text[tokens[begin].start : tokens[end - 1].end].split())
        quotes.append(written if _same(written, unit.text) else f"{written} ({unit.text})")
    return list(dict.fromkeys(quotes))[:_WORDS_SHOWN]


def _same(written: str, meant: str) -> bool:
    """Return whether a word needs no explanation: it is written as it is meant, but for capitals and hyphens."""
    return written.isprintable() and written.casefold().replace("-", " ") == meant


@lru_cache(maxsize=1)
def builtin() -> BuiltinClassifier:
    """Load the classifier with the embedded weights. Raises SoraError when they are missing or of another version."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(WEIGHTS, "np") as file:
            about = file.metadata() or {}
            table, bias = file.get_tensor("table"), file.get_tensor("bias")
    except (OSError, SafetensorError) as error:
        raise SoraError(
            f"The check of prompts cannot run: its weights {WEIGHTS.name} cannot be read ({error}). "
            "Install the package again."
        ) from error
    labels = about.get("labels", "").split()
    if about.get("format") != FORMAT or table.shape != (BUCKETS, len(labels)):
        raise SoraError(
            f"The check of prompts cannot run: {WEIGHTS.name} is of another version. Install the package again, or "
            "train it: sora train prompts."
        )
    return BuiltinClassifier(load_lexicon(), table, bias, labels)
