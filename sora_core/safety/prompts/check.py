"""Texts against the policy: a prompt, or all that a request says (prompt, negative prompt, shots)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...errors import SoraError
from ..policy import Policy, load_policy, policy_in_force
from .classifier import Judgement
from .guards import classifier_for
from .languages import unread
from .lexicon import load_lexicon

CATEGORY_WORDS = {
    "violence": "violence",
    "sexual": "sexual content",
    "hate": "hate",
    "likeness": "the likeness of a real person",
    "ip": "others' characters or brands",
}
UNDRESSING_SCORE = 0.75  # of wishing clothes away from a person: over the thresholds of both policies of the package

# fmt: off
# What people write into negative prompts to keep it out. Such words alone ask for nothing.
_KEPT_OUT = frozenset((
    "nsfw", "nude", "nudity", "naked", "nudes", "topless", "sexual", "sex", "porn", "nipples", "cleavage", "suggestive",
    "erotic", "explicit", "lewd", "uncensored", "underwear", "lingerie",
    "blood", "bloody", "gore", "gory", "violence", "violent", "weapon", "weapons", "gun", "knife", "wound", "wounds",
    "injury", "corpse", "dead", "death", "horror", "scary", "mutilated", "dismembered", "disfigured", "deformed",
    "severed",
    "hate", "racist", "racism",
    "logo", "logos", "brand", "brands", "celebrity", "watermark",
    "裸体", "裸露", "裸", "露点", "色情", "性感", "成人",
    "血腥", "血", "暴力", "武器", "尸体", "恐怖",
    "仇恨", "种族歧视",
    "标志", "商标",
))
# What makes a negative prompt ask for a naked person, where the prompt shows somebody.
_CLOTHES = frozenset((
    "clothes", "clothing", "clothed", "dressed", "dress", "underwear", "lingerie", "bra", "panties", "bikini",
    "swimsuit", "shirt",
    "censored", "censorship", "censor",
    "衣服", "穿衣", "穿着", "内衣", "内裤", "泳衣", "胸罩",
    "打码", "马赛克", "遮挡",
))
# fmt: on


class PromptBlocked(SoraError):  # noqa: N818 (says what happened to the prompt, as FramesBlocked does)
    """The policy does not let this prompt through."""


@dataclass(frozen=True)
class PromptReport:
    """What a check found in one text. What is done about it is the policy's `prompt.action`."""

    allowed: bool  # no score reaches its threshold
    scores: dict[str, float] = field(default_factory=dict)  # category -> 0..1
    thresholds: dict[str, float] = field(default_factory=dict)  # of the categories that the policy checks
    evidence: dict[str, list[str]] = field(default_factory=dict)  # category -> the words that decided
    classifier: str = "builtin"
    policy: str = "default"  # its name
    unread: list[str] = field(default_factory=list)  # words of languages that are not read, where the policy minds
    text_name: str = "prompt"  # which text of a request this is: "prompt", "negative", "shot 2"

    @property
    def blocked(self) -> list[str]:
        """Categories whose score reaches the threshold."""
        return [name for name, limit in self.thresholds.items() if self.scores.get(name, 0.0) >= limit]

    def message(self) -> str:
        """Return what was found, in one or two lines for a person."""
        if self.allowed:
            return f"The {self.text_name} passes the policy {self.policy!r}."
        reasons = []
        if self.unread:
            words = ", ".join(f'"{word}"' for word in self.unread)
            reasons.append(f"a language that the check does not read ({words}); it reads English and Chinese")
        for name in self.blocked:
            words = ", ".join(f'"{word}"' for word in self.evidence.get(name, []))
            about = f"{CATEGORY_WORDS[name]} ({self.scores[name]:.2f}, limit {self.thresholds[name]:g}"
            reasons.append(about + (f": {words})" if words else ")"))
        return (
            f"The {self.text_name} is against the policy {self.policy!r}: {'; '.join(reasons)}.\n"
            "Say it without that, or ask whoever set the policy."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "allowed": self.allowed,
            "scores": self.scores,
            "evidence": self.evidence,
            "thresholds": self.thresholds,
            "classifier": self.classifier,
            "policy": self.policy,
            "unread": self.unread,
        }


def chosen_policy(name: str = "") -> Policy:
    """Return the policy that a user names, unless a locked one is in force; for "" the one in force, or the default."""
    in_force = policy_in_force()
    if in_force is not None and (in_force.locked or not name):
        return in_force
    return load_policy(name or None)


def check_prompt(text: str, policy: Policy | None = None, name: str = "prompt") -> PromptReport:
    """Judge one text as a prompt. `policy`: None is the one in force, or the default.

    `name` is what the report calls the text. With the action "off" nothing is judged. Raises SoraError when the check
    that the policy asks for cannot run: nothing passes unchecked.
    """
    policy = policy or chosen_policy()
    if policy.prompt.action == "off":
        return PromptReport(True, classifier="none", policy=policy.name, text_name=name)
    classifier = classifier_for(policy.prompt.classifier, policy.prompt.model, policy.locked)
    judged = classifier.judge(text) if text.strip() else Judgement({}, {})
    return _report(judged, classifier.name, policy, name, unread(text) if _minds(policy) else [])


def _minds(policy: Policy) -> bool:
    """Return whether the policy refuses what the embedded check cannot read."""
    return policy.prompt.other_languages == "block" and policy.prompt.classifier == "builtin"


def _report(judged: Judgement, classifier: str, policy: Policy, name: str, words: list[str]) -> PromptReport:
    limits = dict(policy.prompt.thresholds)
    scores = {category: judged.scores.get(category, 0.0) for category in CATEGORY_WORDS}
    allowed = all(scores[category] < limit for category, limit in limits.items()) and not words
    return PromptReport(allowed, scores, limits, judged.evidence, classifier, policy.name, words, name)


def check_request(
    prompt: str = "", negative: str = "", shots: str | Iterable[str] = (), policy: Policy | None = None
) -> list[PromptReport]:
    """Judge all that a request says: the prompt, the negative prompt, and the shots of a storyboard.

    Shots are judged each by itself and all together: a sentence may be spread over them. Reports are in that order;
    what is empty is left out. `shots` has one shot a line, or is a list of them.

    In a negative prompt, bare words that name what to keep out ("nudity, blood, watermark") are fine; anything said at
    more length is judged as a prompt, for the two are easily swapped. Wishing clothes away from a person is sexual.
    """
    policy = policy or chosen_policy()
    lines = [line for line in (shots.splitlines() if isinstance(shots, str) else shots) if line.strip()]
    reports = []
    if prompt.strip() or not lines:
        reports.append(check_prompt(prompt, policy))
    if negative.strip():
        reports.append(_check_negative(negative, "\n".join([prompt, *lines]), policy))
    reports += [check_prompt(line, policy, f"shot {number}") for number, line in enumerate(lines, 1)]
    if len(lines) > 1:
        reports.append(check_prompt(" ".join(lines), policy, "storyboard as a whole"))
    return reports


def _check_negative(negative: str, positive: str, policy: Policy) -> PromptReport:
    """Judge a negative prompt, by what it says beyond the names of things and by what it takes away from `positive`."""
    if policy.prompt.action == "off":
        return check_prompt(negative, policy, "negative")
    lexicon = load_lexicon()
    items = [item.strip() for item in re.split(r"[,，、;；\n]", negative) if item.strip()]
    words = {item: " ".join(unit.text for unit in lexicon.units(lexicon.tokens(item))) for item in items}
    rest = ", ".join(item for item in items if words[item] not in _KEPT_OUT)
    report = check_prompt(rest, policy, "negative")
    taken = [item for item in items if words[item] in _CLOTHES]
    people = any("person" in unit.classes for unit in lexicon.units(lexicon.tokens(positive)))
    if taken and people:
        scores = report.scores | {"sexual": max(report.scores.get("sexual", 0.0), UNDRESSING_SCORE)}
        evidence = report.evidence | {"sexual": [*report.evidence.get("sexual", []), *taken]}
        report = _report(Judgement(scores, evidence), report.classifier, policy, "negative", report.unread)
    return report


def require_allowed(reports: Iterable[PromptReport], action: str) -> list[str]:
    """Return messages about what is not allowed. Raises PromptBlocked with the first where the action is "block"."""
    messages = [report.message() for report in reports if not report.allowed]
    if messages and action == "block":
        raise PromptBlocked(messages[0])
    return messages
