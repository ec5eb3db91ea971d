"""What a world may contain, and how often: `WorldConfig` and the presets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ...errors import SoraError
from .scenes import SCENES
from .subjects import ALL, BY_NAME, STARTER

Weights = tuple[tuple[str, float], ...]

MOTIONS = ("left", "right", "up", "down", "still", "bounce", "spin", "grow", "shrink", "fall")
CAMERAS = (
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "pan left, zoom in",
    "pan right, zoom in",
    "zoom in, pan left",
    "zoom in, pan right",
    "zoom out, pan left",
    "zoom out, pan right",
    "pan left, zoom out",
    "pan right, zoom out",
)
STYLES = ("plain", "pencil", "pixel art", "night vision", "black and white", "sepia", "watercolor")
EVENTS = ("none", "bite", "pop", "blow out", "knock over", "occlusion")
RELATIONS = ("left", "right", "above", "behind", "follow", "orbit")


@dataclass(frozen=True)
class WorldConfig:
    """Everything that a clip is drawn from. Weights are (name, weight) pairs and need not sum to one.

    Raises SoraError for unknown names.
    """

    subjects: tuple[str, ...] = STARTER
    scenes: tuple[str, ...] = tuple(SCENES)
    motions: Weights = (
        ("left", 20),
        ("right", 20),
        ("up", 13),
        ("down", 13),
        ("still", 8),
        ("bounce", 9),
        ("spin", 6),
        ("grow", 6),
        ("shrink", 5),
    )
    cameras: Weights = (("static", 80), ("pan left", 5), ("pan right", 5), ("zoom in", 5), ("zoom out", 5))
    n_subjects: Weights = (("1", 1.0),)  # "1", "2", "3"
    relations: Weights = tuple((name, 1.0) for name in RELATIONS)
    styles: Weights = (("plain", 1.0),)
    shots: Weights = (("1", 1.0),)  # "1", "2", "3"
    events: Weights = (("none", 1.0),)
    times: float = 0.0  # chance that a scene shows another time of day than its natural one
    weathers: float = 0.0  # chance that a scene shows another weather than its natural one
    animate: float = 0.0  # chance that wings beat, swimmers bend and walkers sway
    fps: int = 8

    def __post_init__(self) -> None:
        known = {
            "subjects": tuple(BY_NAME),
            "scenes": tuple(SCENES),
            "motions": MOTIONS,
            "cameras": CAMERAS,
            "n_subjects": ("1", "2", "3"),
            "relations": RELATIONS,
            "styles": STYLES,
            "shots": ("1", "2", "3"),
            "events": EVENTS,
        }
        for field in fields(self):
            if field.name not in known:
                continue
            value = getattr(self, field.name)
            names = [item if isinstance(item, str) else item[0] for item in value]
            bad = [name for name in names if name not in known[field.name]]
            if bad or not names:
                raise SoraError(
                    f"world config {field.name}: unknown {bad or 'empty list'}. Known: {', '.join(known[field.name])}."
                )


_SINGLE_MOVES = tuple((name, 3.5) for name in CAMERAS[1:7])
_DOUBLE_MOVES = tuple((name, 0.75) for name in CAMERAS[7:])
# Everything that can happen, to a small cast.
_STAGE = WorldConfig(
    subjects=(*STARTER, "cookie", "donut", "candle", "tower", "owl", "robot", "airplane", "snowman"),
    motions=(*WorldConfig.motions, ("fall", 5)),
    cameras=(("static", 73), *_SINGLE_MOVES, *_DOUBLE_MOVES),
    n_subjects=(("1", 82), ("2", 18)),
    styles=(("plain", 88), *((name, 2) for name in STYLES[1:])),
    events=(("none", 75), ("bite", 5), ("pop", 3), ("blow out", 4), ("knock over", 4), ("occlusion", 9)),
    times=0.12,
    weathers=0.1,
    animate=0.3,
)

# 64 subjects that differ in shape or colour at a few dozen pixels, and more of what has lasting effects.
_CAST = replace(
    _STAGE,
    subjects=(
        *_STAGE.subjects,
        *("rabbit", "giraffe", "lion", "tiger", "horse", "cow", "sheep", "chick", "flamingo", "parrot", "snake"),
        *("dinosaur", "whale", "dolphin", "shark", "octopus", "snail", "bee", "ladybug", "bear", "fox", "frog"),
        *("monkey", "koala", "unicorn", "bus", "helicopter", "ufo", "ship", "pizza", "watermelon", "pumpkin"),
    ),
    events=(("none", 72), ("bite", 6), ("pop", 4), ("blow out", 4), ("knock over", 4), ("occlusion", 10)),
)


def _in_shots(config: WorldConfig) -> WorldConfig:
    """Return a world of the same cast in two or three shots, each cut to another scene."""
    return replace(
        config,
        cameras=(("static", 90), *((name, 2.5) for name in ("pan left", "pan right", "zoom in", "zoom out"))),
        n_subjects=(("1", 1.0),),
        events=(("none", 1.0),),
        shots=(("2", 40), ("3", 60)),
    )


_TURNS: Weights = (("bounce", 8), ("spin", 7), ("grow", 6), ("shrink", 6))

# What a clip of the cast seldom shows, often: falls, moving cameras, things that pass behind a tree.
_PRACTICE = replace(
    _CAST,
    motions=(
        *(("fall", 35), ("bounce", 30), ("spin", 7)),
        *(("left", 7), ("right", 7), ("up", 4), ("down", 4), ("still", 6)),
    ),
    cameras=(("static", 45), *((name, 4) for name in CAMERAS[1:7]), *((name, 4) for name in CAMERAS[7:])),
    n_subjects=(("1", 1.0),),
    events=(("none", 82), ("bite", 3), ("pop", 1.5), ("blow out", 1.5), ("knock over", 2), ("occlusion", 10)),
)

PRESETS: dict[str, WorldConfig] = {
    "starter": WorldConfig(),
    "stage": _STAGE,
    "cast": _CAST,
    "shots": _in_shots(_STAGE),
    "cast-shots": _in_shots(_CAST),
    "cast-practice": _PRACTICE,
    # One subject that moves, and nothing else happens: what shapes are learned from.
    "cast-single": replace(
        _CAST,
        motions=(*(("left", 22), ("right", 22), ("up", 13), ("down", 13), ("still", 3)), *_TURNS),
        n_subjects=(("1", 1.0),),
        events=(("none", 1.0),),
    ),
    # Nothing but falls and bounces, in front of a camera that does not move.
    "cast-gravity": replace(
        _CAST,
        motions=(("fall", 55), ("bounce", 45)),
        cameras=(("static", 1.0),),
        n_subjects=(("1", 1.0),),
        events=(("none", 1.0),),
    ),
    # Something happens in every clip, most often a bite: it changes least of a picture.
    "cast-effects": replace(
        _CAST,
        cameras=(("static", 1.0),),
        n_subjects=(("1", 1.0),),
        events=(("bite", 64), ("pop", 9), ("blow out", 9), ("knock over", 9), ("occlusion", 9)),
    ),
    # Candles above all: to be blown out is what a prompt's candle did least.
    "cast-events": replace(
        _CAST,
        cameras=(("static", 1.0),),
        n_subjects=(("1", 1.0),),
        events=(("bite", 40), ("pop", 12), ("blow out", 36), ("knock over", 12)),
    ),
    # Something passes behind a tree in every clip.
    "cast-occlusion": replace(
        _CAST, cameras=(("static", 1.0),), n_subjects=(("1", 1.0),), events=(("occlusion", 1.0),)
    ),
    # Two of the cast in every clip.
    "cast-pairs": replace(
        _CAST,
        n_subjects=(("2", 1.0),),
        relations=(("left", 3), ("right", 3), ("above", 1), ("behind", 1), ("follow", 1), ("orbit", 1)),
        events=(("none", 1.0),),
    ),
    "full": WorldConfig(
        subjects=tuple(subject.name for subject in ALL),
        motions=(
            ("left", 18),
            ("right", 18),
            ("up", 11),
            ("down", 11),
            ("still", 10),
            ("bounce", 10),
            ("spin", 6),
            ("grow", 5),
            ("shrink", 5),
            ("fall", 6),
        ),
        cameras=(("static", 62), *((name, 4.5) for name in CAMERAS[1:7]), *((name, 1.6) for name in CAMERAS[7:])),
        n_subjects=(("1", 66), ("2", 26), ("3", 8)),
        relations=(("left", 3), ("right", 3), ("above", 2), ("behind", 2), ("follow", 2), ("orbit", 1.5)),
        styles=(("plain", 76), *((name, 4) for name in STYLES[1:])),
        shots=(("1", 82), ("2", 13), ("3", 5)),
        events=(("none", 80), ("bite", 4), ("pop", 4), ("blow out", 4), ("knock over", 4), ("occlusion", 5)),
        times=0.3,
        weathers=0.25,
        animate=0.5,
    ),
}
