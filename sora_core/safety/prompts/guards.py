"""Guard models that the user has, behind the same `judge(text) -> Judgement` as the embedded classifier.

- "transformers:FOLDER": a sequence classifier on disk; its labels are matched to the categories by name.
- an http(s) address: a moderation service that speaks OpenAI's `POST /v1/moderations`.

They fail closed: what cannot be asked, or answers something else, raises SoraError and the work stops.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ...calls import CallError, post
from ...errors import SoraError, expect
from ..policy import PROMPT_CATEGORIES
from .classifier import Judgement, builtin

KEY_VARIABLE = "SORA_MODERATION_KEY"
MODEL_VARIABLE = "SORA_MODERATION_MODEL"
TIMEOUT = 20.0  # seconds, for the whole exchange

# What guard models call our categories: the first part of a label that holds one of these words decides.
_LABELS = {
    "sexual": ("sexual", "sex", "porn", "nsfw", "nudity", "erotic"),
    "hate": ("hate", "harassment", "identity", "racis", "toxic", "discriminat", "insult", "obscene"),
    "violence": ("violence", "violent", "gore", "graphic", "threat", "self-harm", "self_harm", "suicide", "weapon"),
    "likeness": ("likeness", "celebrity", "public_figure", "public-figure", "impersonat", "deepfake"),
    "ip": ("copyright", "intellectual", "trademark", "brand"),
}
_HARMLESS = ("safe", "neutral", "non-toxic", "non_toxic", "not_nsfw", "sfw", "clean", "ok", "benign", "none", "normal")


class PromptClassifier(Protocol):
    """What a policy's `prompt.classifier` may name: the embedded one or a guard model."""

    name: str  # what a report calls it

    def judge(self, text: str) -> Judgement:
        """Score a text, and name the words that decided where the classifier can tell. Raises SoraError."""
        ...


def classifier_for(place: str, model: str = "", locked: bool = False) -> PromptClassifier:
    """Return the classifier that a policy's `prompt.classifier` names. Raises SoraError when it cannot be had.

    `model`: the moderation service's, by name. `locked`: no proxy and no other model of the user's stands between.
    """
    if place == "builtin":
        return builtin()
    if place.startswith("transformers:"):
        return _transformers(place.partition(":")[2])
    return ModerationService(place, model, locked)


def category_of(label: str) -> str | None:
    """Match a guard model's label to our category, None for a harmless one.

    Raises SoraError for a label that says nothing.
    """
    low = label.lower().strip()
    if low == "ip":
        return "ip"
    if low in _HARMLESS:
        return None
    for category, words in _LABELS.items():
        if any(word in low for word in words):
            return category
    raise SoraError(
        f"The guard model's label {label!r} fits no category: name its labels (id2label) after "
        f"{', '.join(PROMPT_CATEGORIES)}, or 'safe'."
    )


class TransformersGuard:
    """A transformers sequence classifier in a folder. Long texts are read in overlapping pieces: the worst counts."""

    def __init__(self, folder: str) -> None:
        """Load the model, without any network and without code of its own. Raises SoraError when it cannot run."""
        expect(
            Path(folder, "config.json").is_file(),
            f"The check of prompts cannot run: {folder!r} holds no model of transformers (config.json). "
            "Name its folder in the policy, prompt.classifier.",
        )
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise SoraError(
                "The check of prompts cannot run: the policy asks for a model of transformers. Install it: pip install "
                "transformers."
            ) from error
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, **options)
        except Exception as error:  # whatever is wrong with its files: nothing passes
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            message = f"The check of prompts cannot run: the model in {folder!r} cannot be loaded ({line})."
            raise SoraError(message) from error
        self.model = model.eval()
        self.name = f"transformers:{Path(folder).name}"
        config = model.config
        self.categories = [category_of(config.id2label[i]) for i in range(config.num_labels)]
        self.several = config.problem_type == "multi_label_classification"
        # Tokenizers without a limit say 1e30, and RoBERTa counts two positions that no token can take.
        longest = min(self.tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512))
        self.length = max(16, min(int(longest) - 2, 512))

    def judge(self, text: str) -> Judgement:
        """Score a text by its worst piece. Raises SoraError for an answer that is no number."""
        import torch

        encoded = self.tokenizer(
            text,
            truncation=True,
            max_length=self.length,
            stride=self.length // 4,  # how far pieces overlap
            padding=True,
            return_overflowing_tokens=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = self.model(encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.float()
        found = (torch.sigmoid(logits) if self.several else torch.softmax(logits, -1)).amax(0).tolist()
        expect(
            all(map(math.isfinite, found)),
            f"The check of prompts cannot run: the model {self.name!r} answers with numbers that are none.",
        )
        return Judgement(_worst(zip(self.categories, found, strict=True)), {})


@lru_cache(maxsize=2)
def _transformers(folder: str) -> TransformersGuard:
    """Load a guard once: it takes seconds."""
    return TransformersGuard(folder)


class ModerationService:
    """OpenAI's moderation interface at `address`; the key, if it needs one, is in SORA_MODERATION_KEY."""

    def __init__(self, address: str, model: str = "", locked: bool = False) -> None:
        """`model`: its name there; `locked`: variables of the user's name neither another model nor a proxy."""
        self.model = model or ("" if locked else os.environ.get(MODEL_VARIABLE, ""))
        self.locked = locked
        address = address.rstrip("/")
        self.address = address if address.endswith("/moderations") else f"{address.removesuffix('/v1')}/v1/moderations"
        self.name = address

    def judge(self, text: str) -> Judgement:
        """Ask the service. Raises SoraError when it cannot be reached or answers something else than scores."""
        body = {"input": text}
        if self.model:
            body["model"] = self.model
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        try:
            answer = post(self.address, json.dumps(body).encode(), headers, seconds=TIMEOUT, direct=self.locked)
        except CallError as error:
            raise self._stop(str(error)) from error
        if not answer.good:
            raise self._stop(f"it answers {answer.status} {answer.reason}")
        try:
            result = json.loads(answer.body)["results"][0]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise self._stop("its answer is not one of a moderation service") from error
        return self._read(result)

    def _read(self, result: Any) -> Judgement:
        """Read the one result of an answer. Raises SoraError for what is none."""
        scores = result.get("category_scores") if isinstance(result, Mapping) else None
        flags = result.get("categories", {}) if isinstance(result, Mapping) else {}
        if not isinstance(scores, Mapping) or not scores or not isinstance(flags, Mapping):
            raise self._stop("its answer has no category_scores")
        pairs = []
        for label, score in scores.items():
            number = isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= 1
            if not number:
                raise self._stop(f"its score of {label!r} is {score!r}")
            # The service's own verdict counts too: its thresholds are not ours.
            pairs.append((self._category(label), max(float(score), 0.9 if flags.get(label) is True else 0.0)))
        return Judgement(_worst(pairs), {})

    @staticmethod
    def _category(label: str) -> str | None:
        """Match a label to our category. Services have some that are none of ours (illicit, fraud): None for those."""
        try:
            return category_of(label)
        except SoraError:
            return None

    def _stop(self, why: str) -> SoraError:
        """Make the error that stops the work."""
        return SoraError(
            f"The check of prompts cannot run: the moderation service {self.address} failed ({why}).\n"
            "Nothing is made unchecked: start the service, or change prompt.classifier in the policy."
        )


def _worst(pairs: Iterable[tuple[str | None, float]]) -> dict[str, float]:
    """Take the highest score of each category; pairs without a category do not count."""
    scores = dict.fromkeys(PROMPT_CATEGORIES, 0.0)
    for category, score in pairs:
        if category is not None:
            scores[category] = max(scores[category], round(float(score), 4))
    return scores
