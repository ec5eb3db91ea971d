"""What captions take for granted: what kind of thing each subject is, its colours, and when a scene is seen.

A kind picks verbs ("swims", "drives") and Chinese measure words; colours are those that a caption names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What kind of thing a subject is, and how it is painted."""

    kind: str  # animal, bird, fish, insect, face, vehicle, boat, aircraft, ball, food, plant, person or thing
    colours: tuple[str, ...]  # in the order in which a caption names them


def _table(text: str) -> dict[str, Look]:
    """Read lines "name|kind|colour,colour"."""
    rows = (line.split("|") for line in text.strip().splitlines())
    return {name: Look(kind, tuple(colours.split(","))) for name, kind, colours in rows}


LOOKS: dict[str, Look] = _table("""
cat|animal|orange
balloon|thing|red
elephant|animal|grey
car|vehicle|red
penguin|bird|purple,white
rocket|aircraft|white,red
fish|fish|blue
pig|animal|pink
butterfly|insect|orange,purple
turtle|animal|green
duck|bird|white,green
dog|face|brown
soccer ball|ball|blue,white
star|thing|yellow
astronaut|person|white
sailboat|boat|orange,yellow
apple|food|red
banana|food|yellow
tractor|vehicle|green
sunflower|plant|yellow,brown
zebra|animal|black,white
crab|animal|pink
panda|face|black,white
train|vehicle|black,red
rabbit|animal|white
giraffe|animal|orange,brown
lion|face|brown,yellow
tiger|animal|orange,black
horse|animal|brown,black
cow|animal|white,black
sheep|animal|white
rooster|bird|brown,red
chick|bird|yellow
owl|bird|brown
peacock|bird|green,blue
flamingo|bird|pink
parrot|bird|red,yellow
snake|animal|green
dinosaur|animal|green
whale|fish|blue
dolphin|fish|blue
shark|fish|grey
octopus|fish|orange,pink
snail|animal|brown
bee|insect|yellow,black
ladybug|insect|red,black
bear|face|brown
fox|face|orange
frog|face|green
monkey|face|brown
koala|face|grey
mouse|face|grey,pink
unicorn|face|purple,blue
camel|animal|brown
kangaroo|animal|orange
bus|vehicle|yellow,white
taxi|vehicle|yellow
fire engine|vehicle|red
truck|vehicle|orange,yellow
scooter|vehicle|red
helicopter|aircraft|orange
airplane|aircraft|blue,white
ufo|aircraft|grey
ship|boat|white,red
pizza|food|yellow,red
hamburger|food|brown,green
cake|food|yellow,white
donut|food|brown
cookie|food|brown
ice cream|food|yellow,orange
strawberry|food|red
watermelon|food|red,green
carrot|food|orange
pumpkin|food|orange
mushroom|plant|red,white
rose|plant|red
basketball|ball|orange
umbrella|thing|purple
gift|thing|yellow,red
teddy bear|thing|brown
crown|thing|yellow
robot|face|grey,red
alien|face|green
ghost|thing|white
snowman|person|white,blue
house|thing|orange,yellow
castle|thing|white,red
heart|thing|red
diamond|thing|blue
light bulb|thing|yellow
candle|thing|white,yellow
drum|thing|red,white
guitar|thing|red
clock|thing|red,white
moon|thing|yellow
runner|person|orange
surfer|person|orange,blue
wizard|person|blue
princess|person|purple,yellow
superhero|person|blue,red
kite|thing|red,green
tower|thing|red,blue
""")
# The time of day that nobody mentions; "day" for the other scenes.
USUAL_TIMES = {"city at night": "night", "outer space": "night", "sunset": "dusk", "volcano": "night"}
