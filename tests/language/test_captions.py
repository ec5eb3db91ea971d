"""Captions say what the facts say, in words that the lexicon knows."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from sora_core.errors import SoraError
from sora_core.language import LENGTHS, caption, load_lexicon
from sora_core.training.world import PRESETS, SUBJECTS, World
from sora_core.training.world.config import CAMERAS, EVENTS, MOTIONS, STYLES
from sora_core.training.world.scenes import SCENES

LEXICON = load_lexicon()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_word_is_known(facts, language):
    rng = np.random.default_rng(0)
    kinds, longest = set(), 0
    for n, fact in enumerate(facts):
        text = caption(fact, rng, language, LENGTHS[n % 3])
        known, unknown = LEXICON.scan(text)
        assert not unknown, (text, unknown)
        kinds |= {LEXICON[name].kind for name in known}
        longest = max(longest, len(text.split()))
    assert {"subject", "scene", "direction", "camera", "style", "event", "relation", "weather"} <= kinds
    assert longest <= 60  # of the 64 that the text encoder reads


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("length", LENGTHS)
def test_subject_scene_and_direction_are_said(facts, language, length):
    rng = np.random.default_rng(1)
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    checked = 0
    for fact in facts[:600]:
        known, _ = LEXICON.scan(caption(fact, rng, language, length))
        for subject in fact["subjects"]:
            assert subject["name"] in known
        for shot in fact["shots"]:
            assert shot["scene"] in known
            assert shot["weather"] in ("clear", *known)
            if shot["time_of_day"] != shot["usual_time"]:
                assert shot["time_of_day"] in known
        if len(fact["subjects"]) == 1 and len(fact["shots"]) == 1 and fact["camera"] == "static":
            motion = fact["subjects"][0]["motion"]
            # Whom something happens to is still, unless it is said otherwise.
            assert motion in known or (motion == "still" and fact["events"])
            if motion in opposite and not fact["events"]:
                checked += 1
                allowed = {motion} | ({"left", "right"} if motion in ("left", "right") else set())
                assert not ({"left", "right", "up", "down"} & set(known)) - allowed
        if fact["style"] != "plain":
            assert fact["style"] in known
        for event in fact["events"]:
            assert event["kind"] in known or (event["kind"] == "occlusion" and {"behind", "tree"} <= set(known))
    assert checked > 60


@pytest.mark.parametrize("language", ["en", "zh"])
def test_events_are_also_told_in_a_few_words(language):
    """Half of the short captions say "a balloon pops in the desert", and nothing of its standing still."""
    world, told = World(PRESETS["full"]), {"bite": [], "pop": [], "blow out": [], "knock over": []}
    for event, brief in told.items():
        fixed = {"event": event, "shots": "1", "n_subjects": "1", "motion": "still", "style": "plain"}
        fact = world.facts(3, fixed=fixed)
        for seed in range(60):
            text = caption(fact, np.random.default_rng(seed), language, "short")
            known, _ = LEXICON.scan(text)
            assert event in known and fact["subjects"][0]["name"] in known
            brief.append("still" not in known)
        assert 15 < sum(brief) < 45, text
        assert "still" in LEXICON.scan(caption(fact, np.random.default_rng(0), language, "medium"))[0]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_camera_is_said_in_order(language):
    world = World(PRESETS["full"])
    fixed = {"event": "none", "shots": "1", "n_subjects": "1", "motion": "still", "style": "plain"}
    for camera in CAMERAS[1:]:
        fact = world.facts(1, fixed={**fixed, "camera": camera})
        for length in LENGTHS:
            text = caption(fact, np.random.default_rng(2), language, length)
            known = LEXICON.scan(text)[0]
            wanted = [w for move in camera.split(", ") for w in ([move] if "zoom" in move else move.split())]
            if language == "zh":  # says "pan" after the direction
                places = [known.index(w) for w in wanted if w not in ("pan", "tilt")]
            else:
                places = [known.index(w) for w in wanted]
            assert places == sorted(places), text


def test_long_captions_describe_more(facts):
    rng = np.random.default_rng(3)
    lengths = [np.mean([len(caption(f, rng, "en", n).split()) for f in facts[:300]]) for n in LENGTHS]
    assert lengths[0] + 2 < lengths[1] < lengths[2] - 6


def test_captions_follow_their_generator(facts):
    one, two = (caption(facts[0], np.random.default_rng(4), "en", "long") for _ in range(2))
    many = {caption(facts[0], np.random.default_rng(n)) for n in range(30)}
    assert one == two and len(many) > 8


def test_colours_are_left_out_where_there_are_none():
    world = World(PRESETS["full"])
    fixed = {"event": "none", "shots": "1", "n_subjects": "1", "style": "black and white", "subject": "cat"}
    for seed in range(40):
        known, _ = LEXICON.scan(caption(world.facts(seed, fixed=fixed), np.random.default_rng(seed), "en", "long"))
        assert "orange" not in known


def test_lexicon_is_sound():
    names = [c.name for c in LEXICON.concepts]
    assert len(names) == len(set(names))
    for language in ("en", "zh"):
        forms = [f for c in LEXICON.concepts for f in (c.en if language == "en" else c.zh)]
        assert len(forms) == len(set(forms)) == len(LEXICON.surface(language))
    for concept in LEXICON.concepts:
        assert concept.en and concept.zh, concept.name
        assert all(f == f.lower() and len(f.split()) <= 4 for f in concept.en)
        assert set(concept.say_en) <= set(concept.en) and set(concept.say_zh) <= set(concept.zh)
    wanted = {s.name for s in SUBJECTS} | set(SCENES) | set(MOTIONS) | set(STYLES)
    wanted |= set(EVENTS) - {"none", "occlusion"}
    wanted |= {c for s in SUBJECTS for c in s.colours}
    assert wanted <= set(names), wanted - set(names)


@pytest.mark.parametrize(
    "text,concepts",
    [
        ("a kitten walks to the right", {"cat", "move", "right"}),
        ("The puppy drifts leftwards on the seashore.", {"dog", "move", "left", "beach"}),
        ("two balloons rise", {"two", "balloon", "up"}),
        ("一只小猫向右移动", {"cat", "right", "move"}),
        ("小狗在沙滩上往左跑", {"dog", "beach", "left", "move"}),
    ],
)
def test_paraphrases(text, concepts):
    known, unknown = LEXICON.scan(text)
    assert concepts <= set(known) and not unknown


def test_unknown_words_are_named():
    assert LEXICON.scan("a gryphon moves left")[1] == ["gryphon"]
    assert LEXICON.scan("一只麒麟")[1] == ["麒", "麟"]


def test_errors(facts):
    with pytest.raises(SoraError, match="language"):
        caption(facts[0], np.random.default_rng(0), "fr")
    with pytest.raises(SoraError, match="length"):
        caption(facts[0], np.random.default_rng(0), "en", "huge")
