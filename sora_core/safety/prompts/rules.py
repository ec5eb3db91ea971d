"""What decides without the model: words that say it all, and words that do so in company.

Each rule raises a score and names the words that raised it. What stands beside them may put them in another light (a
nurse, a game, a museum): then the model decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .features import REACH, sentences
from .lexicon import Unit

Evidence = dict[str, list[tuple[float, Unit]]]  # category -> (how telling, unit)

NAME_SCORE = 0.97
HISTORIC_SCORE = 0.4  # long dead: between the thresholds of a strict and the default policy
STUDY_SCORE = 0.4  # a painter's nude study, likewise
FACT_SCORE = 0.4  # a name in a question of fact, which asks for no picture; likewise
MINOR_SCORE = 0.99
WORD_SCORE = 0.6  # of words that say it all
SURE = 99.0  # how telling a word of the lists is, against contributions to a logit: first of all
_MINOR_REACH = 12  # units
_FEW_WORDS = 9
_SHOWN = frozenset(("person", "victim", "minor", "weapon", "assault", "vital", "part", "animal"))  # what pictures show
_NEAR_LIGHT = 4  # how far what puts two words that belong together in another light may stand

_BY_LIST = {
    "name likeness": ("likeness", NAME_SCORE),
    "name historic": ("likeness", HISTORIC_SCORE),
    "name ip": ("ip", NAME_SCORE),
    "study": ("sexual", STUDY_SCORE),
}


@dataclass(frozen=True)
class Rule:
    """Words of some classes, perhaps only in the company of others, and what leaves them to the model."""

    category: str
    first: str  # class of the word
    second: frozenset[str] = frozenset()  # classes of its company; empty: it needs none
    before: int = 0  # how far the company may stand before and after it, in words of any kind
    after: int = 0
    unless: frozenset[str] = frozenset()  # classes that may not stand near
    only: frozenset[str] = frozenset()  # which words of the first class; empty: all
    but: frozenset[str] = frozenset()  # words that are no such company
    many: bool = False  # whether the company must be all of a kind: "lazy germans", not "a lazy german"


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HARMLESS = _set("medical play stage remember not art food kitchen")
_PRONOUNS = _set("he she they his her 他 她 他们 她们 人")
_BESIDE = _set("beside besides behind near around above below between")
_ALIVE = _set("part vital death gore blood")
_PEOPLE = _set("person victim minor group prey demonym office")
# Places where people are: they put no deed in another light, as what is cooked there does.
_PLACES = _set("market markets restaurant restaurants cafe cafes table tables 市场 餐厅 咖啡馆 桌子")
# Groups that are everybody's words, or adjectives of a place that animals and dishes have too.
_BROAD = _set(
    "african asian mexican indian chinese latino hispanic women disabled minority minorities tribe mosque mosques "
    "synagogue synagogues christian christians feminist feminists buddhist 女性 女人 老人 非洲 亚洲"
) | {"elderly people", "homeless people", "ethnic group", "native american", "disabled people", "people of color"}
_LOATHING = _set(
    "hate hates hated hating despise despises despised despising mock mocks mocked mocking ridicule ridicules "
    "ridiculed humiliate humiliates humiliated insult insults insulted insulting persecute persecuted enslave "
    "enslaves enslaved deport deports deported deporting exterminate eradicate subjugate expel expels"
)
_SCUM = _set(
    "scammer scammers rapist rapists terrorist terrorists vermin scum parasite parasites filth swine savages "
    "subhuman subhumans criminals thieves invaders"
)
RULES = (
    Rule("violence", "gore", unless=_HARMLESS),
    Rule("violence", "grave", unless=_set("medical play stage remember not art sport object")),
    Rule("violence", "blood", unless=_HARMLESS | _set("nature")),
    Rule("violence", "grave", _PEOPLE, 2, 3, _HARMLESS),
    Rule("violence", "slay", unless=_HARMLESS | _set("sport object nature")),
    Rule("violence", "assault", _PEOPLE, 0, 3, _HARMLESS | _set("sport camera")),
    Rule("violence", "assault", _set("vital"), 2, 4, _HARMLESS | _set("sport camera")),
    Rule("violence", "killer", _set("firing weapon"), 6, 6, _HARMLESS | _set("camera")),
    Rule("violence", "cruelty", _set("animal"), 0, 3, _HARMLESS | _set("sport")),
    Rule("violence", "firearm", _set("firing vital"), 5, 6, _HARMLESS | _set("sport camera")),
    Rule("violence", "weapon", _set("blood gore grave death"), 6, 6, _HARMLESS),
    Rule("violence", "blood", _set("blood gore grave death killer"), 0, 6, _HARMLESS | _set("nature animal")),
    Rule("sexual", "rape", unless=_set("not remember")),
    Rule("sexual", "porn", unless=_set("medical remember not animal nature")),
    Rule("sexual", "nude", unless=_set("medical art animal not remember play nature")),
    Rule("sexual", "lewd", unless=_set("medical food kitchen animal art sport not remember nature")),
    Rule("sexual", "bodysex", _set("person lust body nude uncover touching bed underwear porn"), 6, 6,
         _set("medical food kitchen animal art sport not remember nature")),
    Rule("sexual", "lust", _set("underwear strip nude porn"), 7, 7, _set("medical food animal art not stage nature")),
    Rule("hate", "reich", unless=_set("remember not")),
    Rule("hate", "slur", unless=_set("remember not")),
    Rule("hate", "vermin", _set("group"), 5, 3, _set("remember not nature")),
    Rule("hate", "belittle", _set("group"), 0, 2, _set("remember not object food nature"), but=_BROAD),
    Rule("hate", "belittle", _set("group demonym"), 0, 2, _set("remember not object food nature animal"), many=True),
    Rule("hate", "looks", _set("group demonym"), 0, 2, _set("remember not"), but=_BROAD, many=True),
    Rule("hate", "servitude", _set("group demonym"), 6, 2, _set("remember not film object")),
    Rule("hate", "dehuman", _set("group"), 1, 0, _set("remember not nature play"), but=_BROAD),
    Rule("hate", "dehuman", _set("demonym group"), 1, 0, _set("remember not"), only=_SCUM),
    Rule("hate", "hateact", _set("group demonym"), 0, 3, _set("remember not food"), only=_LOATHING),
    Rule("hate", "deride", _set("group"), 0, 3, _set("remember not play animal")),
    Rule("hate", "shun", _set("group demonym"), 4, 4, _set("remember food animal")),
    Rule("ip", "reserved", unless=_set("not fiction")),
)  # fmt: skip


def by_word(units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
    """Raise `scores` where a word stands that says it all, or does so beside another."""
    number = sentences(units)
    for i, unit in enumerate(units):
        if not unit.classes or not unit.classes.isdisjoint(("calm", "study")):
            continue
        for rule in _RULES_OF.get(unit.classes, ()) or _rules_of(unit.classes):
            if "everyday" in unit.classes and not rule.second or "film" in unit.classes:
                continue  # a film's shot
            if rule.category == "violence" and _hunts(units, i):
                continue
            near = [k for k in range(max(i - REACH, 0), min(i + REACH + 1, len(units))) if number[k] == number[i]]
            if rule.only and unit.text not in rule.only:
                continue
            company = [k for k in near if -rule.before <= k - i <= rule.after and _keeps(units[k], rule.second)]
            company = [k for k in company if units[k].text not in rule.but and (not rule.many or _many(units, k))]
            # What burns beside somebody does nothing to them.
            company = [k for k in company if k != i and units[k - 1].text not in _BESIDE]
            found = [units[k] for k in sorted(company, key=lambda k: abs(k - i))[:1]]
            if rule.second and not found:
                continue
            light = [k for k in near if k != i and units[k] not in found and (not found or abs(k - i) <= _NEAR_LIGHT)]
            if any(units[k].text not in _PLACES and not units[k].classes.isdisjoint(rule.unless) for k in light):
                continue
            raise_to(WORD_SCORE, rule.category, [unit, *found], scores, words)


_DEEDS = frozenset(("gore", "grave", "slay", "assault", "harm", "cruelty", "killer"))
_CATCH = _set(
    "prawn prawns shrimp shrimps lobster lobsters crab crabs squid fish cod salmon tuna trout mackerel sardine "
    "sardines anchovy anchovies oyster oysters clam clams mussel mussels dandelion dandelions flower flowers weed "
    "weeds tulip tulips rose roses 虾 龙虾 螃蟹 鱼 花"
)


# What is said of a thing's looks and state, and becomes contempt beside people.
_SPITE = _set(
    "dirty filthy disgusting stupid lazy greedy savage primitive evil ugly smelly dumb backward hideous barbaric "
    "pathetic weak violent criminal creepy"
)
_ORIGINS = _set("african asian mexican indian chinese latino hispanic christian buddhist feminist refugee")
_IS = _set("is are was were be being all so such as these those like you")
_NEVER_THINGS = _PEOPLE | _set("dehuman vermin servitude slur reich gore")
_LITTLE = _set("in on at with and for of to into over before behind then while under from as by beside 在 和")


def in_the_kitchen(units: list[Unit]) -> list[Unit]:
    """Take for calm what is done to food, seafood or a flower, and to nobody: "a cook beheads a prawn"."""
    found = list(units)
    for i, unit in enumerate(units):
        if unit.classes.isdisjoint(_DEEDS) or "person" in unit.classes:
            continue
        end = next((k for k in range(i + 1, min(i + 4, len(units))) if units[k].gap), min(i + 4, len(units)))
        done_to = [k for k in range(i + 1, end) if units[k].text in _CATCH or "food" in units[k].classes]
        # "The fish seller" is no fish: what is done to something goes on with a little word, or not at all.
        after = units[done_to[-1] + 1] if done_to and done_to[-1] + 1 < len(units) else None
        if not done_to or after is not None and not after.gap and after.text not in _LITTLE:
            continue
        # Whoever stands between, or comes after in the sentence, may be the one it is done to.
        rest = units[i + 1 : i + 1 + REACH]
        rest = rest[: next((n for n, each in enumerate(rest) if each.gap == 2), len(rest))]
        if all(each.classes.isdisjoint(_PEOPLE | _ALIVE) or each.text in _CATCH for each in rest):
            found[i] = replace(unit, classes=frozenset(("calm",)))
    return found


def of_things(units: list[Unit]) -> list[Unit]:
    """Take for calm what is said of a thing, wherever it comes from: "an ugly mexican sweater", "a dirty road"."""
    found = list(units)
    for i, unit in enumerate(units):
        if unit.text not in _SPITE or any(each.text in _IS for each in units[max(i - 2, 0) : i]):
            continue
        end = next((k for k in range(i + 1, len(units)) if units[k].gap or units[k].text in _LITTLE), len(units))
        said = [each for each in units[i + 1 : min(end, i + 5)] if not _is_origin(each)]
        if said and all(each.classes.isdisjoint(_NEVER_THINGS) or each.text == "tribe" for each in said):
            found[i] = replace(unit, classes=frozenset(("calm",)))
    return found


def _is_origin(unit: Unit) -> bool:
    """Return whether a word says where something comes from, be it a person or a vase: "chinese", "african"."""
    return unit.text in _ORIGINS or "demonym" in unit.classes and not unit.text.endswith("s")


def _many(units: list[Unit], k: int) -> bool:
    """Return whether the word at `k` means all of a group: "germans", "german people". Chinese does not tell."""
    after = units[k + 1 : k + 2]
    # An origin alone means everybody from there, and before a noun as many as the noun.
    if _is_origin(units[k]) and after and not after[0].gap and after[0].text not in _IS | _LITTLE:
        return "person" in after[0].classes and _plural(after[0].text)
    return not units[k].text.isascii() or _plural(units[k].text)


def _plural(word: str) -> bool:
    return word.endswith(("s", "people", "men", "folk")) and not word.endswith("ss")


def _hunts(units: list[Unit], i: int) -> bool:
    """Return whether an animal does what stands at `i`, and to nobody: "a hawk kills a pigeon"."""
    doer, verb = units[i - 1] if i else None, units[i].text.split()[0]
    if doer is None or "animal" not in doer.classes or units[i].gap or not verb.endswith("s"):
        return False
    return all(unit.classes.isdisjoint(_PEOPLE) for unit in units[i + 1 : i + 6])


def _keeps(unit: Unit, classes: frozenset[str]) -> bool:
    """Return whether a word may be the company that a rule asks for. `his` and `she` stand beside everything."""
    return "calm" not in unit.classes and unit.text not in _PRONOUNS and not unit.classes.isdisjoint(classes)


_RULES_OF: dict[frozenset[str], tuple[Rule, ...]] = {}


def _rules_of(classes: frozenset[str]) -> tuple[Rule, ...]:
    """Find the rules that begin with a word of these classes, and remember them."""
    _RULES_OF[classes] = found = tuple(rule for rule in RULES if rule.first in classes)
    return found


def raise_to(score: float, category: str, units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
    """Raise a score, and name the words in place of less telling ones."""
    if score > scores[category]:
        scores[category], words[category] = score, []
    if score == scores[category]:
        words[category] += [(SURE, unit) for unit in units]


def by_name(units: list[Unit], scores: dict[str, float], words: Evidence, fact: bool) -> None:
    """Raise `scores` to what the lists decide alone. `fact`: the text asks about somebody and wants no picture."""
    for unit in units:
        for name in unit.classes & _BY_LIST.keys():
            category, score = _BY_LIST[name]
            if fact and name.startswith("name"):
                score = min(score, FACT_SCORE)
            raise_to(score, category, [unit], scores, words)


def minors(units: list[Unit], scores: dict[str, float], words: Evidence) -> None:
    """Raise the score where somebody under age is near anything sexual: no context or style makes that harmless."""
    young = [i for i, unit in enumerate(units) if "minor" in unit.classes]
    bare = {i for i, unit in enumerate(units) if _bare(unit)} if young else set()
    for i in young:
        near = [k for k in range(i - _MINOR_REACH, i + _MINOR_REACH + 1) if k in bare]
        if near:
            scores["sexual"] = max(scores["sexual"], MINOR_SCORE)
            words["sexual"] += [(SURE, units[i]), *((SURE - 1, units[k]) for k in near)]


def _bare(unit: Unit) -> bool:
    return not unit.classes.isdisjoint(("porn", "nude", "study")) and "calm" not in unit.classes


def is_question(units: list[Unit], text: str) -> bool:
    """Return whether a text is one question, which begins as one."""
    asks = text.strip().rstrip("\"'” ").endswith(("?", "？"))
    return asks and bool(units) and "asking" in units[0].classes and all(unit.gap < 2 for unit in units[1:])


def is_about_records(units: list[Unit], text: str) -> bool:
    """Return whether a text asks for somebody's records, which no picture answers: "what is ...'s birthday?"."""
    return is_question(units, text) and any("record" in unit.classes for unit in units)


def asks_what_it_is(units: list[Unit], text: str) -> bool:
    """Return whether a text asks in a few words what something is or was."""
    if not is_question(units, text) or len(units) > _FEW_WORDS or units[0].text not in ("what", "什么"):
        return False
    if any(not unit.classes.isdisjoint(_SHOWN) for unit in units):
        return False
    return len(units) > 1 and units[1].text in ("is", "was", "were", "are", "happened", "constitutes")


def by_logo(units: list[Unit], capital: Callable[[Unit], bool], scores: dict[str, float], words: Evidence) -> None:
    """Raise the score of `ip` where a logo has a name that is written as one: "the Acme logo"."""
    for before, unit in zip(units, units[1:], strict=False):
        if "mark" in unit.classes and not unit.gap and not before.classes and before.gap != 2 and capital(before):
            raise_to(WORD_SCORE, "ip", [before, unit], scores, words)
