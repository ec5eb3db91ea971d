"""The embedded classifier: names count by themselves, everything else is judged by what stands together.

Linear in hashed features, so that every score is a sum of contributions and the words that decided can be named.
Trained by `sora train prompts` on sentences that the package makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

import numpy as np

from ...errors import SoraError
from ...files import WEIGHTS as FOLDER
from ..policy import PROMPT_CATEGORIES
from . import rules
from .features import BUCKETS, tells, unit_features, windows
from .lexicon import Lexicon, Unit, load_lexicon
from .normalise import MAX_TEXT, TURN, Token
from .rules import Evidence

WEIGHTS = FOLDER / "prompt_safety.safetensors"
CAUTION = 1.0  # taken from the logit of a window without a word that may decide alone: ordinary texts have such
FORMAT = "sora prompt check 2"
_NAMING = frozenset(("brand", "mark", "fake", "reserved"))  # beside these a word that may be a name is one

STUDY_SHARE = 0.45  # how much of the model's belief in a nude study counts as sexual
_WORDS_SHOWN = 5  # as evidence: more would not make a message clearer


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
        judged = self._judge(text)
        if TURN not in text:
            return judged
        # A sign turns a part around on the screen. Nobody knows whether a model reads what is seen or what is written.
        written = self._judge(text.replace(TURN, ""))
        worse = {name for name, score in written.scores.items() if score > judged.scores[name]}
        evidence = {name: words for name, words in judged.evidence.items() if name not in worse}
        evidence |= {name: words for name, words in written.evidence.items() if name in worse}
        return Judgement({name: max(judged.scores[name], written.scores[name]) for name in judged.scores}, evidence)

    def _judge(self, text: str) -> Judgement:
        """Score a text as it is seen."""
        tokens = self.lexicon.tokens(text)

        def capital(unit: Unit) -> bool:
            return text[tokens[unit.tokens[0]].start].isupper()

        units = _ordinary(self.lexicon.units(tokens), text, capital)
        units = rules.of_things(rules.in_the_kitchen(units))
        scores = dict.fromkeys(PROMPT_CATEGORIES, 0.0)
        words: Evidence = {name: [] for name in PROMPT_CATEGORIES}
        if units:
            # The rules come after the model: their words take the place of less telling ones.
            self._by_classifier(units, scores, words)
            rules.by_word(units, scores, words)
            rules.by_logo(units, capital, scores, words)
            if rules.asks_what_it_is(units, text):
                scores |= {name: min(scores[name], rules.FACT_SCORE) for name in ("violence", "hate")}
            rules.by_name(units, scores, words, rules.is_about_records(units, text))
            rules.minors(units, scores, words)
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
        told = np.cumsum([0, *map(tells, units)])[ranges]
        logits[told[:, 0] == told[:, 1]] -= CAUTION
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


def _ordinary(units: list[Unit], text: str, capital: Callable[[Unit], bool]) -> list[Unit]:
    """Take names that are ordinary words too for those words where they are not written as names.

    A text that uses capitals writes names with them: its `pink` and `up` are no singer and no film, unless the word
    beside it says so ("the logo of shell").
    """
    if not any(char.isupper() for char in text) or text.isupper():
        return units
    found = list(units)
    for i, unit in enumerate(units):
        maybe = {c for c in unit.classes if c.startswith("maybe")}
        if not maybe or not unit.text.isascii() or capital(unit):
            continue
        if any(not u.classes.isdisjoint(_NAMING) for u in units[max(i - 2, 0) : i + 3]):
            continue
        found[i] = replace(unit, classes=unit.classes - maybe)
    return found


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
