"""The subjects: what each is called, its picture's code point, which way it natively faces, and what it is.

The first 24 differ most in shape and colour; they make the starter preset. Pictures are 3-D emoji drawn by
others and never part of this package: `sprites` loads them from a folder, and draws stand-ins without one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """facing: -1 left, 1 right, 0 symmetric. kind picks verbs. colours: those a caption names."""

    name: str
    code: str
    kind: str  # animal, bird, fish, insect, face, vehicle, boat, aircraft, ball, food, plant, person, thing
    facing: int
    colours: tuple[str, ...]


def _table(text: str) -> tuple[Subject, ...]:
    rows = (line.split("|") for line in text.strip().splitlines())
    return tuple(Subject(n, c, k, int(f), tuple(col.split(","))) for n, c, k, f, col in rows)


ALL: tuple[Subject, ...] = _table("""
cat|1f408|animal|-1|orange
balloon|1f388|thing|0|red
elephant|1f418|animal|-1|grey
car|1f697|vehicle|-1|red
penguin|1f427|bird|0|purple,white
rocket|1f680|aircraft|1|white,red
fish|1f41f|fish|-1|blue
pig|1f416|animal|-1|pink
butterfly|1f98b|insect|0|orange,purple
turtle|1f422|animal|-1|green
duck|1f986|bird|-1|white,green
dog|1f436|face|0|brown
soccer ball|26bd|ball|0|blue,white
star|2b50|thing|0|yellow
astronaut|1f9d1-200d-1f680|person|0|white
sailboat|26f5|boat|-1|orange,yellow
apple|1f34e|food|0|red
banana|1f34c|food|0|yellow
tractor|1f69c|vehicle|-1|green
sunflower|1f33b|plant|0|yellow,brown
zebra|1f993|animal|-1|black,white
crab|1f980|animal|0|pink
panda|1f43c|face|0|black,white
train|1f682|vehicle|-1|black,red
rabbit|1f407|animal|-1|white
giraffe|1f992|animal|-1|orange,brown
lion|1f981|face|0|brown,yellow
tiger|1f405|animal|-1|orange,black
horse|1f40e|animal|-1|brown,black
cow|1f404|animal|-1|white,black
sheep|1f411|animal|-1|white
rooster|1f413|bird|-1|brown,red
chick|1f424|bird|-1|yellow
owl|1f989|bird|0|brown
peacock|1f99a|bird|0|green,blue
flamingo|1f9a9|bird|-1|pink
parrot|1f99c|bird|-1|red,yellow
snake|1f40d|animal|-1|green
dinosaur|1f996|animal|-1|green
whale|1f433|fish|-1|blue
dolphin|1f42c|fish|-1|blue
shark|1f988|fish|-1|grey
octopus|1f419|fish|0|orange,pink
snail|1f40c|animal|-1|brown
bee|1f41d|insect|-1|yellow,black
ladybug|1f41e|insect|0|red,black
bear|1f43b|face|0|brown
fox|1f98a|face|0|orange
frog|1f438|face|0|green
monkey|1f435|face|0|brown
koala|1f428|face|0|grey
mouse|1f42d|face|0|grey,pink
unicorn|1f984|face|-1|purple,blue
camel|1f42b|animal|-1|brown
kangaroo|1f998|animal|-1|orange
bus|1f68c|vehicle|-1|yellow,white
taxi|1f695|vehicle|-1|yellow
fire engine|1f692|vehicle|-1|red
truck|1f69a|vehicle|-1|orange,yellow
scooter|1f6f5|vehicle|-1|red
helicopter|1f681|aircraft|-1|orange
airplane|2708-fe0f|aircraft|1|blue,white
ufo|1f6f8|aircraft|0|grey
ship|1f6a2|boat|-1|white,red
pizza|1f355|food|0|yellow,red
hamburger|1f354|food|0|brown,green
cake|1f382|food|0|yellow,white
donut|1f369|food|0|brown
cookie|1f36a|food|0|brown
ice cream|1f366|food|0|yellow,orange
strawberry|1f353|food|0|red
watermelon|1f349|food|0|red,green
carrot|1f955|food|0|orange
pumpkin|1f383|food|0|orange
mushroom|1f344|plant|0|red,white
rose|1f339|plant|0|red
basketball|1f3c0|ball|0|orange
umbrella|2602-fe0f|thing|0|purple
gift|1f381|thing|0|yellow,red
teddy bear|1f9f8|thing|0|brown
crown|1f451|thing|0|yellow
robot|1f916|face|0|grey,red
alien|1f47d|face|0|green
ghost|1f47b|thing|0|white
snowman|26c4|person|0|white,blue
house|1f3e0|thing|0|orange,yellow
castle|1f3f0|thing|0|white,red
heart|2764-fe0f|thing|0|red
diamond|1f48e|thing|0|blue
light bulb|1f4a1|thing|0|yellow
candle|1f56f-fe0f|thing|0|white,yellow
drum|1f941|thing|0|red,white
guitar|1f3b8|thing|0|red
clock|23f0|thing|0|red,white
moon|1f319|thing|0|yellow
runner|1f3c3|person|-1|orange
surfer|1f3c4|person|-1|orange,blue
wizard|1f9d9|person|0|blue
princess|1f478|person|0|purple,yellow
superhero|1f9b8|person|0|blue,red
kite|1fa81|thing|0|red,green
tower|-|thing|0|red,blue
""")
BY_NAME: dict[str, Subject] = {subject.name: subject for subject in ALL}
STARTER: tuple[str, ...] = tuple(subject.name for subject in ALL[:24])
