"""Facts are read from what the network says: here from logits that say it clearly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sora_core.observer.facts import least, read_facts, shots_of
from sora_core.observer.network import GRID, ObserverConfig, cell_centres, groups

CONFIG = ObserverConfig(
    subjects=("cat", "dog", "pig"),
    scenes=("beach", "forest"),
    motions=("still", "left", "right", "orbit"),
    cameras=("static", "zoom in"),
    styles=("flat",),
    times=("day", "night"),
    weathers=("clear", "rain"),
    relations=("none", "side", "follow", "orbit"),
    events=("occlusion", "pop"),
)
SURE = 9.0


def clip_of(places: dict[str, list[float]], frames: int = 9, **said: object) -> tuple[dict, dict]:
    """Logits and tracks of a clip. places: each subject's x (0..1) in each map; said: the class of each head."""
    logits = {name: torch.zeros(frames, count) for name, count in CONFIG.heads().items()}
    for name, index in {"number": len(places) - 1, **said}.items():
        if name in logits:
            logits[name][:, index] = SURE
    logits["cut"] = torch.full((frames,), -SURE)
    for start in said.get("cuts", ()):
        logits["cut"][start] = SURE
    logits["states"] = torch.full((frames, len(CONFIG.events)), -SURE)
    logits["states"][said.get("event", slice(0, 0))] = SURE
    maps = groups(frames)
    logits["subjects"] = torch.zeros(maps, 1 + len(CONFIG.subjects), GRID, GRID)
    logits["subjects"][:, 0] = SURE
    logits["motions"] = torch.zeros(maps, len(CONFIG.motions), GRID, GRID)
    for name, way in places.items():
        for group, x in enumerate(way):
            column = int(x * GRID)
            logits["subjects"][group, 1 + CONFIG.subjects.index(name), 3:6, column] = 2 * SURE
            moves = "still" if len(set(way)) == 1 else "right" if way[-1] > way[0] else "left"
            logits["motions"][group, CONFIG.motions.index(moves), 3:6, column] = SURE
    area = logits["subjects"].softmax(1)[:, 1:].flatten(2)
    tracks = {
        "cut": logits["cut"].sigmoid().numpy(),
        "states": logits["states"].sigmoid().numpy(),
        "subjects": area.mean(-1).numpy(),
        "places": (area @ cell_centres() / area.sum(-1, keepdim=True)).numpy(),
    }
    return logits, tracks


def test_a_lone_subject_with_an_event():
    clip = clip_of({"dog": [0.2, 0.4, 0.6]}, scene=1, camera=1, event=(slice(3, 6), 0))
    facts, confidence = read_facts(*clip, CONFIG)
    assert (facts["scene"], facts["camera"], facts["frames"]) == ("forest", "zoom in", 9)
    (subject,) = facts["subjects"]
    assert (subject["name"], subject["motion"]) == ("dog", "right")
    assert facts["events"] == [{"kind": "occlusion", "subject": 0, "frame": 3, "end": 6}]
    assert min(confidence[name] for name in ("subject", "scene", "motion", "camera", "event")) > 0.9
    assert confidence["time"] == pytest.approx(0.5)  # of which nothing was said
    parts = np.prod([confidence[name] for name in ("subject", "scene", "motion", "camera")])
    assert confidence["overall"] == pytest.approx(parts)


def test_who_follows_is_named_first_in_both_directions():
    """The cat is always on the left: going right it is behind, going left it leads."""
    for step, first, moves in ((0.15, "cat", "right"), (-0.15, "dog", "left")):
        ways = {"cat": [0.3 + step * i for i in (-1, 0, 1)], "dog": [0.7 + step * i for i in (-1, 0, 1)]}
        facts, _ = read_facts(*clip_of(ways, relation=2), CONFIG)
        assert facts["subjects"][0]["name"] == first and facts["relations"] == [[0, "follow", 1]]
        assert [s["motion"] for s in facts["subjects"]] == [moves, moves]


def test_what_a_relation_rules_out_is_not_said():
    facts, confidence = read_facts(*clip_of({"cat": [0.5] * 3, "pig": [0.8] * 3}, relation=3), CONFIG)
    assert [s["motion"] for s in facts["subjects"]] == ["orbit", "still"] and confidence["motion"] == 1.0
    facts, _ = read_facts(*clip_of({"cat": [0.2] * 3, "pig": [0.8] * 3}, relation=0), CONFIG)
    assert facts["relations"] != []  # two subjects stand in some relation, whatever the head says


def test_shots_are_read_apart_and_the_longest_are_told():
    logits, tracks = clip_of({"cat": [0.5] * 6}, frames=21, cuts=(4, 8, 16))
    logits["scene"][:8, 0] = logits["scene"][8:, 1] = SURE
    facts, confidence = read_facts(logits, tracks, CONFIG)
    assert [(s["start"], s["end"]) for s in facts["shots"]] == [(0, 4), (8, 16), (16, 21)]
    assert [s["scene"] for s in facts["shots"]] == ["beach", "forest", "forest"]
    assert facts["events"] == [] and {"number", "event"}.isdisjoint(confidence)


def test_shots_are_peaks_apart():
    cut = np.zeros(17)
    cut[[5, 6, 12, 16]] = 0.9, 0.7, 0.8, 0.9
    assert shots_of(cut) == [(0, 5), (5, 12), (12, 17)]
    assert shots_of(np.full(9, 0.3)) == [(0, 9)]


def test_a_fact_is_as_sure_as_where_it_is_least_sure():
    assert least({"style": 0.9}, {"scene": 0.8}, {"scene": 0.4}, {}) == {"style": 0.9, "scene": 0.4}
