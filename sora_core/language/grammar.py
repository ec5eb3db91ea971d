"""Who does what, in which relation to whom: the clauses of a shot without its place, camera and events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .lexicon import Concept, load_lexicon
from .phrases_en import English, finite, participle
from .phrases_zh import Chinese
from .tokens import Clause, Token

MOST_SUBJECTS = 3
# Words that turn what follows into its opposite; the model knows none of them.
NEGATIONS = frozenset({"no", "not", "without", "never", "neither", "nor", "non", "没", "不", "无", "别"})
_BOTH = ("both", "都", "两个", "俩", "两")
_SIDES = ("left", "right")
_TURNS = ("clockwise", "anticlockwise")


@dataclass
class NounPhrase:
    """A subject as the prompt names it."""

    name: str  # of its concept
    said: str  # its noun's surface form
    adjectives: list[tuple[str, str]] = field(default_factory=list)  # (surface form, kind) in order
    colours: list[str] = field(default_factory=list)  # the concepts among them that are colours
    turn: str = ""  # "clockwise", "anticlockwise", or "" where that is not said
    verb: str = ""  # how it moves, where the prompt says more than that it does


class ShotParser:
    """Parses one shot, token by token.

    English says "A above B, both moving left", Chinese "A is at B's above-side": there the relation comes after both.
    """

    def __init__(self, language: str, cast: list[NounPhrase], left_over: list[str]) -> None:
        """Append whom the shot names to `cast`, and what cannot be placed to `left_over`."""
        self.chinese, self.cast, self.left_over = language == "zh", cast, left_over
        self.later = bool(cast)  # a later shot: the same cast again
        self.mentions: list[int] = []  # indices into the cast, in the order of the text
        self.current: int | None = None  # of whom motions are said now
        self.moves: dict[int, list[str]] = {}
        self.early: list[tuple[str, str]] = []  # motions said before anybody was named: (concept, surface form)
        self.both = False  # what comes is said of the first two
        self.pending: str = ""  # a relation that waits for the second one
        self.relations: list[tuple[int, str, int]] = []
        self.adjectives: list[Token] = []  # that wait for their noun

    def parse(self, clauses: list[Clause]) -> tuple[list[str], list[list[Any]]]:
        """Parse the clauses of a shot.

        Returns the motion of each of the cast ("" where none is said, "move" for one without a direction) and the
        relations [i, kind, j].
        """
        for clause in clauses:
            self.both = False
            for i, token in enumerate(clause):
                self.take(token, clause, i)
            self.drop_adjectives()
        if self.early or self.pending:
            self.left_over += [surface for _, surface in self.early] or [self.pending]
        return self.motions(), [list(r) for r in self.relations]

    # -- tokens --------------------------------------------------------------------------------------------
    def take(self, token: Token, clause: Clause, i: int) -> None:
        """Take token `i` of a clause."""
        kind, concept = token.kind, token.concept
        if kind == "function":
            return
        if kind in ("colour", "size", "mood") or concept == "black and white":
            self.adjectives.append(token)
        elif kind == "unknown":
            before = clause[i - 1] if i else None
            describes = before is not None and (before.concept == "a" or before in self.adjectives)
            if describes and token.surface not in NEGATIONS:
                self.adjectives.append(token)
            else:
                self.left_over.append(token.surface)
        elif kind == "subject":
            self.subject(token)
        else:
            self.drop_adjectives()
            if kind == "relation" or (concept in _SIDES and self.is_relation(token, clause, i)):
                self.relation(concept, token.surface)
            elif kind in ("motion", "direction"):
                self.motion(concept, token.surface)
            elif concept == "sky" and self.current is not None and "fall" in self.moves.get(self.current, ()):
                pass  # "drops from the sky"
            elif concept == "two" and token.surface in _BOTH and len(self.cast) > 1:
                self.both = True
            else:
                self.left_over.append(token.surface)

    def drop_adjectives(self) -> None:
        """Leave adjectives over whose noun did not come."""
        self.left_over += [t.surface for t in self.adjectives]
        self.adjectives = []

    def subject(self, token: Token) -> None:
        """Take a noun: somebody new, or one of the cast again. What was said before it is now said of it."""
        given, self.adjectives = self.adjectives, []
        index = next((i for i, noun in enumerate(self.cast) if noun.name == token.concept), None)
        if index is None:
            if self.later or len(self.cast) == MOST_SUBJECTS:
                self.left_over.append(token.surface)
                return
            index = len(self.cast)
            self.cast.append(_noun_phrase(token, given))
            if is_plural(token.surface, load_lexicon()[token.concept]):
                self.left_over.append(token.surface)
        elif {t.surface for t in given} - {surface for surface, _ in self.cast[index].adjectives}:
            self.left_over += [t.surface for t in given]
        early, self.early = self.early, []
        for concept, surface in early:
            self.move(index, concept, surface)
        if self.pending and self.current is not None:
            self.relations.append((self.current, self.pending, index))
            follows = self.pending in ("follow", "orbit")
            self.pending = ""
            self.current = self.current if follows else index
        else:
            self.current = index
        self.mentions.append(index)

    def is_relation(self, token: Token, clause: Clause, i: int) -> bool:
        """Return whether "left" says where somebody is, not where he goes."""
        if self.chinese:
            words = [t for t in clause[:i] if t.kind == "subject"]
            last = clause[i - 1] if i else None
            near = last is not None and (last.concept == "of" or last.kind == "subject")
            return near and len(words) > 1 and token.surface[-1] in "边侧面方"
        after = clause[i + 1 : i + 2]
        return bool(after) and after[0].concept == "of" and any(t.kind == "subject" for t in clause[i:])

    def relation(self, kind: str, surface: str) -> None:
        """Take a relation: it waits for the second one in English, and holds of the last two in Chinese."""
        if kind not in ("left", "right", "above", "behind", "orbit", "follow") or self.current is None:
            self.left_over.append(surface)
        elif not self.chinese or kind in ("orbit", "follow"):
            self.pending = kind
        elif len(self.mentions) < 2:
            self.left_over.append(surface)
        else:
            a, b = self.mentions[-2:]
            self.relations.append((a, kind, b))
            self.current = a

    def motion(self, concept: str, surface: str) -> None:
        """Take a motion or a direction, of whom the text speaks."""
        if self.current is None:
            self.early.append((concept, surface))
        else:
            for index in (0, 1) if self.both else (self.current,):
                self.move(index, concept, surface)

    def move(self, index: int, concept: str, surface: str) -> None:
        """Note a motion of one of the cast, and its verb if that is the first."""
        self.moves.setdefault(index, []).append(concept)
        if concept == "move" and not self.later:
            self.cast[index].verb = self.cast[index].verb or base_form(surface)

    # -- the sum -------------------------------------------------------------------------------------------
    def motions(self) -> list[str]:
        """Return the one motion of each of the cast. What does not go together is left over."""
        if len(self.cast) < 2:
            return [self.resolve(self.moves.get(i, []), noun) for i, noun in enumerate(self.cast)]
        if [(a, b) for a, _, b in self.relations] != [(i, i + 1) for i in range(len(self.cast) - 1)]:
            self.left_over.append("relation")
        kinds = {kind for _, kind, _ in self.relations}
        if kinds & {"orbit", "follow"}:
            return self.pair(next(iter(kinds)))
        found = [self.resolve(self.moves.get(i, []), noun) or "still" for i, noun in enumerate(self.cast)]
        if "move" in found or found[2:] not in ([], ["still"]):
            self.left_over.append("move")
        return found

    def pair(self, kind: str) -> list[str]:
        """Return the motions of one that circles around another, or comes after him."""
        said = [m for moves in self.moves.values() for m in moves if m not in ("move", "orbit")]
        if kind == "orbit" and set(said) <= {"spin"}:
            return ["orbit", "still"]
        if kind == "follow" and len(set(said)) == 1 and said[0] in ("left", "right"):
            return [said[0], said[0]]
        self.left_over.append(kind)
        return ["", ""]

    def resolve(self, said: list[str], noun: NounPhrase) -> str:
        """Make one motion out of "move" + "left", "fall" + "down" and the like."""
        turns = [m for m in said if m in _TURNS]
        kinds = list(dict.fromkeys(m for m in said if m not in _TURNS and m != "move"))
        if kinds and kinds[0] == "fall":
            kinds = [m for m in kinds if m != "down"]
        if kinds and kinds[0] == "bounce":
            kinds = [m for m in kinds if m not in ("up", "down")]
        if turns and kinds == ["spin"] and (not self.later or noun.turn == turns[0]):
            noun.turn = turns[0]
        elif turns:
            self.left_over += turns
        if len(kinds) > 1:
            self.left_over += kinds
        return kinds[0] if kinds else ("move" if "move" in said else "")


def _noun_phrase(token: Token, adjectives: list[Token]) -> NounPhrase:
    """Join a noun and its adjectives; "black and white", elsewhere a style, is two colours here."""
    colours: list[str] = []
    for t in adjectives:
        if t.concept == "black and white":
            colours += ["black", "white"]
        elif t.kind == "colour":
            colours.append(t.concept)
    kinds = [(t.surface, "colour" if t.kind == "style" else t.kind) for t in adjectives]
    return NounPhrase(token.concept, token.surface, kinds, colours)


def base_form(verb: str) -> str:
    """Return the base form of "walks" and "walking"; a Chinese verb as it is; "" for what no caption's verb is."""
    known = {v for verbs in (English if verb.isascii() else Chinese).phrases.verbs.values() for v in verbs}
    if not verb.isascii():
        return verb if verb in known else ""
    return next((base for base in known if verb in (base, finite(base), participle(base))), "")


def is_plural(surface: str, concept: Concept) -> bool:
    """Return whether an English surface form names several."""
    if surface in concept.say_en or not surface.isascii():
        return False
    one = [surface[:-1], surface[:-2], surface[:-3] + "y"] if surface.endswith("s") else []
    one += [surface[:-2] + "an"] if surface.endswith("en") else []
    return surface == "mice" or any(form in concept.en for form in one)
