"""English captions: phrase tables and the grammar that joins them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lexicon import load_lexicon

PLACES = {
    "meadow": ("in a meadow", "on a green meadow", "on the grass", "in a grassy field"),
    "beach": ("on a beach", "on a sandy beach", "at the beach", "at the seaside"),
    "desert": ("in a desert", "in the desert", "among sand dunes"),
    "snowy mountains": ("in snowy mountains", "in front of snowy mountains", "in the snowy mountains"),
    "city at night": ("in a city at night", "in a night city", "on a city street at night"),
    "outer space": ("in outer space", "in space", "in deep space"),
    "underwater": ("underwater", "under the sea", "under water"),
    "sunset": ("at sunset", "under a sunset sky", "in front of the setting sun"),
    "forest": ("in a forest", "in the forest", "in the woods"),
    "volcano": ("near a volcano", "by a volcano", "in front of an erupting volcano"),
}
# The same for what moves in the air. Without them, "over" would be a word of company alone: a second balloon appeared.
SKIES = {
    "meadow": ("over a meadow", "above a green meadow", "over the grass"),
    "beach": ("over a beach", "above the beach", "over the sandy beach"),
    "desert": ("over a desert", "above the desert", "over the sand dunes"),
    "snowy mountains": ("over snowy mountains", "above the snowy mountains"),
    "city at night": ("over a city at night", "above the night city"),
    "forest": ("over a forest", "above the forest", "over the woods"),
    "volcano": ("over a volcano", "above a volcano", "over an erupting volcano"),
}
IN_THE_AIR = ("aircraft", "insect", "face", "ball", "thing")  # kinds of subjects
DETAILS = {
    "meadow": ("blue sky, white clouds and green grass", "white clouds over green hills"),
    "beach": ("blue sea, a palm tree and yellow sand", "waves behind the golden sand"),
    "desert": ("orange dunes, green cactus and a yellow sky", "cacti on warm orange sand"),
    "snowy mountains": ("white snow, grey rocky peaks and dark green pine trees", "icy white peaks"),
    "city at night": ("dark buildings with yellow lit windows", "glowing windows under a dark blue sky"),
    "outer space": ("a planet in a dark purple starry sky", "a starry sky and a large planet"),
    "underwater": ("blue water, bubbles, seaweed and coral", "bubbles and green seaweed in blue water"),
    "sunset": ("a large yellow sun in an orange and purple sky", "purple hills under an orange sky"),
    "forest": ("brown tree trunks and dark green trees", "tall brown trunks on dark green ground"),
    "volcano": ("orange lava, black rocks and a dark red sky", "glowing lava on a dark mountain"),
}
MOODS = {
    "meadow": ("cheerful", "calm"),
    "beach": ("cheerful", "warm"),
    "desert": ("lonely", "hot"),
    "snowy mountains": ("cold", "silent"),
    "city at night": ("quiet", "mysterious"),
    "outer space": ("vast", "mysterious"),
    "underwater": ("peaceful", "dreamy"),
    "sunset": ("warm", "calm"),
    "forest": ("quiet", "mysterious"),
    "volcano": ("dramatic", "dangerous"),
}
TIMES = {
    "day": ("in the daytime", "by day"),
    "night": ("at night", "by night"),
    "dawn": ("at dawn", "at sunrise"),
    "dusk": ("at dusk", "in the evening"),
}
WEATHERS = {
    "rain": ("in the rain", "while it rains"),
    "snow": ("while it snows", "while snow falls"),
    "fog": ("in the fog", "in the mist"),
    "cloudy": ("under a cloudy sky", "under heavy clouds"),
}
STYLES = {
    "pencil": ("a pencil drawing of", "a pencil sketch of"),
    "pixel art": ("pixel art of", "a pixel art scene of"),
    "night vision": ("night vision footage of", "a night vision video of"),
    "black and white": ("a black and white film of", "black and white footage of"),
    "sepia": ("a sepia video of", "old film footage of"),
    "watercolor": ("a watercolor painting of", "a watercolor of"),
}
GO = {
    "animal": ("walk", "run", "move"),
    "bird": ("walk", "go", "move"),
    "fish": ("swim", "move"),
    "insect": ("fly", "move"),
    "face": ("move", "go", "slide"),
    "vehicle": ("drive", "move", "go"),
    "boat": ("sail", "move"),
    "aircraft": ("fly", "move"),
    "ball": ("roll", "move", "slide"),
    "food": ("slide", "move"),
    "plant": ("slide", "move"),
    "person": ("walk", "move", "go"),
    "thing": ("move", "slide", "drift", "glide"),
}
SIDE = (
    "{v} {d}",
    "{v} {d}",
    "{v} to the {d}",
    "{v} {d}wards",
    "{v} toward the {d}",
    "{v} from {o} to {d}",
    "head {d}",
    "travel {d}",
)
MOTIONS = {
    "up": ("move up", "go up", "rise", "float up", "ascend", "move upwards", "fly up"),
    "down": ("move down", "go down", "descend", "float down", "move downwards", "come down"),
    "still": ("stand still", "stay still", "rest", "stay in place"),
    "bounce": ("bounce", "bounce up and down", "jump up and down", "hop up and down"),
    "fall": ("fall to the ground", "drop to the ground", "fall", "drop from the sky"),
    "spin": ("spin", "spin around", "rotate", "turn around"),
    "grow": ("grow", "get bigger", "grow larger", "become larger"),
    "shrink": ("shrink", "get smaller", "become smaller"),
    "orbit": ("circle around {b}", "orbit around {b}", "fly around {b}"),
}
CAMERAS = {
    "static": ("the camera is static", "static camera", "the camera stays still", "fixed camera"),
    "pan": ("the camera pans {d}", "camera panning {d}", "the camera pans to the {d}"),
    "tilt": ("the camera tilts {d}", "camera tilting {d}"),
    "zoom in": ("the camera zooms in", "camera zooming in", "the camera slowly zooms in"),
    "zoom out": ("the camera zooms out", "camera zooming out", "the camera slowly zooms out"),
}
EVENTS = {
    "bite": (
        "a bite is taken out of the {s}, the bite mark stays",
        "suddenly the {s} is bitten and a bite mark remains",
    ),
    "pop": ("suddenly the {s} pops and is gone", "the {s} pops and vanishes"),
    "blow out": ("the {s} is blown out and it gets dark", "then the {s} goes out and it turns dark"),
    "knock over": ("the {s} falls over and stays down", "then the {s} is knocked over and stays down"),
    "occlusion": ("the {s} passes behind a tree and comes out again", "passing behind a tree, the {s} reappears"),
}
# What happens, with nothing else about the one that it happens to: "a balloon pops in the desert".
BRIEF_EVENTS = {
    "bite": ("a bite is taken out of {s}", "{s} is bitten"),
    "pop": ("{s} pops", "{s} bursts"),
    "blow out": ("{s} is blown out", "{s} goes out"),
    "knock over": ("{s} falls over", "{s} topples"),
}
RELATIONS = {
    "left": ("to the left of", "on the left of"),
    "right": ("to the right of", "on the right of"),
    "above": ("above", "over"),
    "behind": ("behind", "partly behind"),
}
_DOUBLED = {"run", "swim", "hop", "get", "spin", "drop"}


def finite(phrase: str) -> str:
    """Third person singular: "move left" -> "moves left"."""
    verb, _, rest = phrase.partition(" ")
    if verb.endswith(("sh", "ch", "s", "x", "o")):
        verb += "es"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "s"
    return f"{verb} {rest}".strip()


def participle(phrase: str) -> str:
    """Present participle: "move left" -> "moving left"."""
    verb, _, rest = phrase.partition(" ")
    if verb in _DOUBLED:
        verb += verb[-1]
    elif verb.endswith("e"):
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def article(noun: str) -> str:
    """The noun with its indefinite article; "ufo" and "unicorn" start with a consonant's sound."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("ufo", "uni"))
    return f"{'an' if vowel else 'a'} {noun}"


def aloft(facts: dict[str, Any], shot: dict[str, Any], rng: np.random.Generator) -> bool:
    """Whether the one subject is said to be over the place rather than in it."""
    can = (
        len(facts["subjects"]) == 1
        and shot["scene"] in SKIES
        and shot["motions"][0] != "fall"  # to fall over is something else
        and (shot["motions"][0] in ("up", "down") or facts["subjects"][0]["kind"] in IN_THE_AIR)
    )
    return can and rng.random() < 0.3


def told_alone(facts: dict[str, Any], rng: np.random.Generator, length: str) -> bool:
    """Whether the event is all that is said of the one that it happens to: half of the time in a short caption."""
    kinds = [event["kind"] for event in facts["events"]]
    can = length == "short" and kinds[:1] and kinds[0] in BRIEF_EVENTS and facts["shots"][0]["motions"] == ["still"]
    return bool(can) and rng.random() < 0.5


class English:
    """Composes one caption of `facts`."""

    def __init__(self, facts: dict[str, Any], rng: np.random.Generator, length: str) -> None:
        self.facts, self.rng, self.length = facts, rng, length
        self.coloured = facts["style"] in ("plain", "pixel art", "watercolor")
        words = load_lexicon()
        self.names = [self.pick(words[s["name"]].say("en")) for s in facts["subjects"]]
        self.in_brief = False
        wanted = {"short": 0.0, "medium": 0.6, "long": 1.0}[length]
        self.with_colour = self.coloured and len(facts["shots"]) < 3 and rng.random() < wanted

    def pick(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def noun(self, i: int) -> str:
        if not self.with_colour:
            return article(self.names[i])
        colours = self.facts["subjects"][i]["colours"]
        return article(f"{' and '.join(colours)} {self.names[i]}")

    def action(self, i: int, motion: str) -> str:
        """The verb phrase's base form."""
        subject = self.facts["subjects"][i]
        if motion in ("left", "right"):
            other = "right" if motion == "left" else "left"
            return self.pick(SIDE).format(v=self.pick(GO[subject["kind"]]), d=motion, o=other)
        if motion == "spin" and self.length == "long":
            return f"{self.pick(MOTIONS['spin'][:3:2])} {subject['turn']}"
        return self.pick(MOTIONS[motion])

    def clause(self, shot: dict[str, Any], place: str, verb: Any = None) -> str:
        """Who does what where: "a cat walks left on a beach"."""
        verb = verb or (participle if self.rng.random() < 0.6 else finite)
        motions, relations = shot["motions"], shot["relations"]
        if len(motions) == 1:
            said = f"{self.noun(0)} {verb(self.action(0, motions[0]))}"
            if self.rng.random() < 0.2 and verb is finite and self.facts["style"] == "plain":
                return f"{place}, {said}"
            return f"{said} {place}"
        a, kind, b = relations[0]
        if kind == "orbit":
            said = f"{self.noun(a)} {verb(self.pick(MOTIONS['orbit']).format(b=self.noun(b)))}"
        elif kind == "follow":
            go = (
                f"follow {self.noun(b)} {motions[a]}"
                if self.rng.random() < 0.5
                else f"follow {self.noun(b)} to the {motions[a]}"
            )
            said = f"{self.noun(a)} {verb(go)}"
        elif motions[a] == motions[b]:
            said = f"{self.noun(a)} {self.pick(RELATIONS[kind])} {self.noun(b)}"
            if motions[a] != "still" or self.length != "short":
                said += f", both {participle(self.action(a, motions[a]))}"
        else:
            said = f"{self.noun(a)} {participle(self.action(a, motions[a]))} {self.pick(RELATIONS[kind])} "
            said += self.noun(b)
            if motions[b] != "still":
                said += f" {participle(self.action(b, motions[b]))}"
        for c, kind2, d in relations[1:]:
            said += f", and the {self.names[c]} is {self.pick(RELATIONS[kind2])} {self.noun(d)}"
        return f"{said} {place}"

    def place(self, shot: dict[str, Any], natural: bool) -> str:
        """Where, and what is not ordinary about the time and weather."""
        words = [self.pick((SKIES if aloft(self.facts, shot, self.rng) else PLACES)[shot["scene"]])]
        if not natural or (
            self.length == "long"
            and len(self.facts["shots"]) == 1
            and shot["time_of_day"] == "day"
            and shot["scene"] != "underwater"
        ):
            words.append(self.pick(TIMES[shot["time_of_day"]]))
        if shot["weather"] != "clear":
            words.append(self.pick(WEATHERS[shot["weather"]]))
        return " ".join(words)

    def camera(self, moves: str) -> str:
        """ "the camera pans left, then zooms in"; "" for a static camera in a short caption."""
        if moves == "static" and (self.length == "short" or self.rng.random() < 0.4):
            return ""
        said = []
        for move in moves.split(", "):
            key, _, direction = move.partition(" ")
            key = move if key in ("zoom", "static") else key
            options = CAMERAS[key]
            if said:  # "..., then zooms in"
                base = f"zoom {direction}" if key.startswith("zoom") else f"pan {direction}"
                said.append(f"then {base.replace('zoom ', 'zooms ').replace('pan ', 'pans ')}")
            else:
                said.append(self.pick(options if ", " not in moves else options[:1]).format(d=direction))
        return ", ".join(said)

    def shot(self, shot: dict[str, Any], first: bool) -> list[str]:
        """The parts of a shot's description."""
        natural = shot["time_of_day"] == shot["usual_time"]
        brief = self.brief()
        place = self.place(shot, natural)
        parts = [f"{brief} {place}" if brief else self.clause(shot, place)]
        if not first:
            parts[0] = parts[0].replace(self.noun(0), f"the same {self.names[0]}", 1)
        camera = self.camera(shot["camera"]) if len(self.facts["shots"]) == 1 or shot["camera"] != "static" else ""
        return parts + ([camera] if camera else [])

    def atmosphere(self, shot: dict[str, Any]) -> list[str]:
        """What a long caption says of the background, where it looks as usual, and of the mood."""
        said = []
        usual = shot["time_of_day"] == shot["usual_time"] and shot["weather"] == "clear"
        if self.coloured and usual:
            details = self.pick(("{d} in the background", "the background: {d}"))
            said.append(details.format(d=self.pick(DETAILS[shot["scene"]])))
        mood = self.pick(MOODS[shot["scene"]])
        return [*said, self.pick(("{m} mood", "the mood is {m}", "a {m} atmosphere")).format(m=mood)]

    def brief(self) -> str:
        """An event as all that is said: "a candle is blown out". "" where there is none, or it is said in full."""
        self.in_brief = told_alone(self.facts, self.rng, self.length)
        return self.pick(BRIEF_EVENTS[self.facts["events"][0]["kind"]]).format(s=self.noun(0)) if self.in_brief else ""

    def compose(self) -> str:
        facts, shots = self.facts, self.facts["shots"]
        parts: list[str] = []
        for n, shot in enumerate(shots):
            said = self.shot(shot, n == 0)
            if len(shots) > 1:
                lead = (
                    self.pick(("first ", "the first shot: ")) if n == 0 else self.pick(("then cut to ", "next shot: "))
                )
                said[0] = lead + said[0]
            parts += said
        if facts["style"] != "plain":
            style = self.pick(STYLES[facts["style"]])
            parts[0] = f"{style} {parts[0]}" if len(shots) == 1 else f"{style.removesuffix(' of')}: {parts[0]}"
        for event in () if self.in_brief else facts["events"]:
            parts.insert(1, self.pick(EVENTS[event["kind"]]).format(s=self.names[event["subject"]]))
        if self.length == "long" and len(shots) == 1 and len(facts["subjects"]) < 3:
            parts += self.atmosphere(shots[0])
        glue = ". " if self.length == "long" else ", "
        text = glue.join(parts)
        return text if self.length == "short" else ". ".join(p[0].upper() + p[1:] for p in text.split(". ")) + "."
