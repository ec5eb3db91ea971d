"""English captions: the phrases, and the grammar that joins them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .composer import OPPOSITES, Composer, Phrases

PHRASES = Phrases(
    places={
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
    },
    # Without these, "over" would be a word of company alone: a second balloon appeared.
    skies={
        "meadow": ("over a meadow", "above a green meadow", "over the grass"),
        "beach": ("over a beach", "above the beach", "over the sandy beach"),
        "desert": ("over a desert", "above the desert", "over the sand dunes"),
        "snowy mountains": ("over snowy mountains", "above the snowy mountains"),
        "city at night": ("over a city at night", "above the night city"),
        "forest": ("over a forest", "above the forest", "over the woods"),
        "volcano": ("over a volcano", "above a volcano", "over an erupting volcano"),
    },
    details={
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
    },
    moods={
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
    },
    times={
        "day": ("in the daytime", "by day"),
        "night": ("at night", "by night"),
        "dawn": ("at dawn", "at sunrise"),
        "dusk": ("at dusk", "in the evening"),
    },
    weathers={
        "rain": ("in the rain", "while it rains"),
        "snow": ("while it snows", "while snow falls"),
        "fog": ("in the fog", "in the mist"),
        "cloudy": ("under a cloudy sky", "under heavy clouds"),
    },
    styles={
        "pencil": ("a pencil drawing of", "a pencil sketch of"),
        "pixel art": ("pixel art of", "a pixel art scene of"),
        "night vision": ("night vision footage of", "a night vision video of"),
        "black and white": ("a black and white film of", "black and white footage of"),
        "sepia": ("a sepia video of", "old film footage of"),
        "watercolor": ("a watercolor painting of", "a watercolor of"),
    },
    verbs={
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
    },
    sideways=(
        "{v} {d}",
        "{v} {d}",
        "{v} to the {d}",
        "{v} {d}wards",
        "{v} toward the {d}",
        "{v} from {o} to {d}",
        "head {d}",
        "travel {d}",
    ),
    motions={
        "up": ("move up", "go up", "rise", "float up", "ascend", "move upwards", "fly up"),
        "down": ("move down", "go down", "descend", "float down", "move downwards", "come down"),
        "still": ("stand still", "stay still", "rest", "stay in place"),
        "bounce": ("bounce", "bounce up and down", "jump up and down", "hop up and down"),
        "fall": ("fall to the ground", "drop to the ground", "fall", "drop from the sky"),
        "spin": ("spin", "spin around", "rotate", "turn around"),
        "grow": ("grow", "get bigger", "grow larger", "become larger"),
        "shrink": ("shrink", "get smaller", "become smaller"),
        "orbit": ("circle around {b}", "orbit around {b}", "fly around {b}"),
    },
    cameras={
        "static": ("the camera is static", "static camera", "the camera stays still", "fixed camera"),
        "pan": ("the camera pans {d}", "camera panning {d}", "the camera pans to the {d}"),
        "tilt": ("the camera tilts {d}", "camera tilting {d}"),
        "zoom in": ("the camera zooms in", "camera zooming in", "the camera slowly zooms in"),
        "zoom out": ("the camera zooms out", "camera zooming out", "the camera slowly zooms out"),
    },
    next_cameras={
        "pan": "then pans {d}",
        "tilt": "then tilts {d}",
        "zoom in": "then zooms in",
        "zoom out": "then zooms out",
    },
    events={
        "bite": (
            "a bite is taken out of the {s}, the bite mark stays",
            "suddenly the {s} is bitten and a bite mark remains",
        ),
        "pop": ("suddenly the {s} pops and is gone", "the {s} pops and vanishes"),
        "blow out": ("the {s} is blown out and it gets dark", "then the {s} goes out and it turns dark"),
        "knock over": ("the {s} falls over and stays down", "then the {s} is knocked over and stays down"),
        "occlusion": ("the {s} passes behind a tree and comes out again", "passing behind a tree, the {s} reappears"),
    },
    brief_events={
        "bite": ("a bite is taken out of {s}", "{s} is bitten"),
        "pop": ("{s} pops", "{s} bursts"),
        "blow out": ("{s} is blown out", "{s} goes out"),
        "knock over": ("{s} falls over", "{s} topples"),
    },
)
RELATIONS = {
    "left": ("to the left of", "on the left of"),
    "right": ("to the right of", "on the right of"),
    "above": ("above", "over"),
    "behind": ("behind", "partly behind"),
}
_DOUBLED = {"run", "swim", "hop", "get", "spin", "drop"}  # their last letter, in the participle


def finite(phrase: str) -> str:
    """Put a verb phrase into the third person singular: "move left" -> "moves left"."""
    verb, _, rest = phrase.partition(" ")
    if verb.endswith(("sh", "ch", "s", "x", "o")):
        verb += "es"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "s"
    return f"{verb} {rest}".strip()


def participle(phrase: str) -> str:
    """Put a verb phrase into the present participle: "move left" -> "moving left"."""
    verb, _, rest = phrase.partition(" ")
    if verb in _DOUBLED:
        verb += verb[-1]
    elif verb.endswith("e"):
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def article(noun: str) -> str:
    """Put the indefinite article before a noun; "ufo" and "unicorn" start with a consonant's sound."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("ufo", "uni"))
    return f"{'an' if vowel else 'a'} {noun}"


class English(Composer):
    """Composes one caption of `facts` in English."""

    language = "en"
    phrases = PHRASES

    def noun(self, i: int) -> str:
        """Name subject `i` with an article: "an orange cat"."""
        if not self.with_colour:
            return article(self.names[i])
        colours = self.facts["subjects"][i]["colours"]
        return article(f"{' and '.join(colours)} {self.names[i]}")

    def action(self, i: int, motion: str) -> str:
        """Say what subject `i` does, as a verb phrase in its base form: "walk to the left"."""
        subject = self.facts["subjects"][i]
        if motion in ("left", "right"):
            return self.pick(self.phrases.sideways).format(
                v=self.pick(self.phrases.verbs[subject["kind"]]), d=motion, o=OPPOSITES[motion]
            )
        if motion == "spin" and self.length == "long":
            return f"{self.pick(self.phrases.motions['spin'][:3:2])} {subject['turn']}"
        return self.pick(self.phrases.motions[motion])

    def clause(self, shot: dict[str, Any], place: str, verb: Callable[[str], str] | None = None) -> str:
        """Say who does what where: "a cat walks left on a beach". `verb` gives the form of the verb."""
        verb = verb or (participle if self.rng.random() < 0.6 else finite)
        motions = shot["motions"]
        if len(motions) > 1:
            return f"{self.company(shot, verb)} {place}"
        said = f"{self.noun(0)} {verb(self.action(0, motions[0]))}"
        if self.rng.random() < 0.2 and verb is finite and self.facts["style"] == "plain":
            return f"{place}, {said}"
        return f"{said} {place}"

    def company(self, shot: dict[str, Any], verb: Callable[[str], str]) -> str:
        """Say who does what, in which relation to whom: "a cat to the left of a dog, both rising"."""
        motions = shot["motions"]
        (a, kind, b), *others = shot["relations"]
        if kind == "orbit":
            said = f"{self.noun(a)} {verb(self.pick(self.phrases.motions['orbit']).format(b=self.noun(b)))}"
        elif kind == "follow":
            to = "" if self.rng.random() < 0.5 else "to the "
            said = f"{self.noun(a)} {verb(f'follow {self.noun(b)} {to}{motions[a]}')}"
        elif motions[a] == motions[b]:
            said = f"{self.noun(a)} {self.pick(RELATIONS[kind])} {self.noun(b)}"
            if motions[a] != "still" or self.length != "short":
                said += f", both {participle(self.action(a, motions[a]))}"
        else:
            said = (
                f"{self.noun(a)} {participle(self.action(a, motions[a]))} {self.pick(RELATIONS[kind])} {self.noun(b)}"
            )
            if motions[b] != "still":
                said += f" {participle(self.action(b, motions[b]))}"
        for c, other, d in others:
            said += f", and the {self.names[c]} is {self.pick(RELATIONS[other])} {self.noun(d)}"
        return said

    def place(self, shot: dict[str, Any]) -> str:
        """Say where, and what is not ordinary about the time and weather."""
        words = [self.where(shot)]
        if self.says_time(shot):
            words.append(self.pick(self.phrases.times[shot["time_of_day"]]))
        if shot["weather"] != "clear":
            words.append(self.pick(self.phrases.weathers[shot["weather"]]))
        return " ".join(words)

    def first_cameras(self, kind: str, alone: bool) -> tuple[str, ...]:
        """List the phrases for the camera's first move: only the first has a verb that "then zooms in" can follow."""
        options = self.phrases.cameras[kind]
        return options if alone else options[:1]

    def shot(self, shot: dict[str, Any], number: int) -> list[str]:
        """Describe shot `number`, from 0; in later shots the subject is "the same cat"."""
        brief, place = self.brief_event(), self.place(shot)
        said = f"{brief} {place}" if brief else self.clause(shot, place)
        if number:
            said = said.replace(self.noun(0), f"the same {self.names[0]}", 1)
        camera = self.camera(shot)
        if len(self.facts["shots"]) > 1:
            said = self.pick(("then cut to ", "next shot: ") if number else ("first ", "the first shot: ")) + said
        return [said, *camera]

    def in_style(self, style: str, part: str) -> str:
        """Put the style first: "a pencil drawing of a cat", or a heading where there are several shots."""
        return f"{style} {part}" if len(self.facts["shots"]) == 1 else f"{style.removesuffix(' of')}: {part}"

    def background(self, shot: dict[str, Any]) -> str:
        """Say what the background of a shot shows: "blue sea in the background"."""
        said = self.pick(("{} in the background", "the background: {}"))
        return said.format(self.pick(self.phrases.details[shot["scene"]]))

    def mood(self, shot: dict[str, Any]) -> str:
        """Say the mood of a shot's scene: "the mood is calm"."""
        mood = self.pick(self.phrases.moods[shot["scene"]])
        return self.pick(("{} mood", "the mood is {}", "a {} atmosphere")).format(mood)

    def join(self, parts: list[str]) -> str:
        """Join the parts: to sentences in long captions, with commas in others; short ones have no full stop."""
        if self.length == "short":
            return ", ".join(parts)
        sentences = (". " if self.length == "long" else ", ").join(parts).split(". ")
        return ". ".join(s[0].upper() + s[1:] for s in sentences) + "."
