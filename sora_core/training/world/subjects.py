"""The subjects: what each is called, its picture's code point, which way it natively faces, and its look.

The first 24 differ most in shape and colour; they make the starter preset. Pictures are 3-D emoji drawn by
others and never part of this package: `sprites` loads them from a folder, and draws stand-ins without one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...language.looks import LOOKS


@dataclass(frozen=True)
class Subject:
    """One subject."""

    name: str
    code: str  # of its picture
    kind: str  # see `sora_core.language.looks`
    facing: int  # of its picture: -1 left, 1 right, 0 symmetric
    colours: tuple[str, ...]  # see `sora_core.language.looks`


def _table(text: str) -> tuple[Subject, ...]:
    """Read lines of name|code|facing."""
    rows = (line.split("|") for line in text.strip().splitlines())
    return tuple(Subject(n, c, LOOKS[n].kind, int(f), LOOKS[n].colours) for n, c, f in rows)


ALL: tuple[Subject, ...] = _table("""
cat|1f408|-1
balloon|1f388|0
elephant|1f418|-1
car|1f697|-1
penguin|1f427|0
rocket|1f680|1
fish|1f41f|-1
pig|1f416|-1
butterfly|1f98b|0
turtle|1f422|-1
duck|1f986|-1
dog|1f436|0
soccer ball|26bd|0
star|2b50|0
astronaut|1f9d1-200d-1f680|0
sailboat|26f5|-1
apple|1f34e|0
banana|1f34c|0
tractor|1f69c|-1
sunflower|1f33b|0
zebra|1f993|-1
crab|1f980|0
panda|1f43c|0
train|1f682|-1
rabbit|1f407|-1
giraffe|1f992|-1
lion|1f981|0
tiger|1f405|-1
horse|1f40e|-1
cow|1f404|-1
sheep|1f411|-1
rooster|1f413|-1
chick|1f424|-1
owl|1f989|0
peacock|1f99a|0
flamingo|1f9a9|-1
parrot|1f99c|-1
snake|1f40d|-1
dinosaur|1f996|-1
whale|1f433|-1
dolphin|1f42c|-1
shark|1f988|-1
octopus|1f419|0
snail|1f40c|-1
bee|1f41d|-1
ladybug|1f41e|0
bear|1f43b|0
fox|1f98a|0
frog|1f438|0
monkey|1f435|0
koala|1f428|0
mouse|1f42d|0
unicorn|1f984|-1
camel|1f42b|-1
kangaroo|1f998|-1
bus|1f68c|-1
taxi|1f695|-1
fire engine|1f692|-1
truck|1f69a|-1
scooter|1f6f5|-1
helicopter|1f681|-1
airplane|2708-fe0f|1
ufo|1f6f8|0
ship|1f6a2|-1
pizza|1f355|0
hamburger|1f354|0
cake|1f382|0
donut|1f369|0
cookie|1f36a|0
ice cream|1f366|0
strawberry|1f353|0
watermelon|1f349|0
carrot|1f955|0
pumpkin|1f383|0
mushroom|1f344|0
rose|1f339|0
basketball|1f3c0|0
umbrella|2602-fe0f|0
gift|1f381|0
teddy bear|1f9f8|0
crown|1f451|0
robot|1f916|0
alien|1f47d|0
ghost|1f47b|0
snowman|26c4|0
house|1f3e0|0
castle|1f3f0|0
heart|2764-fe0f|0
diamond|1f48e|0
light bulb|1f4a1|0
candle|1f56f-fe0f|0
drum|1f941|0
guitar|1f3b8|0
clock|23f0|0
moon|1f319|0
runner|1f3c3|-1
surfer|1f3c4|-1
wizard|1f9d9|0
princess|1f478|0
superhero|1f9b8|0
kite|1fa81|0
tower|-|0
""")
BY_NAME: dict[str, Subject] = {subject.name: subject for subject in ALL}
STARTER: tuple[str, ...] = tuple(subject.name for subject in ALL[:24])
