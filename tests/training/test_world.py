"""The procedural world: what a clip shows is what its facts say."""

import json

import numpy as np
import pytest

pytest.importorskip("cv2")

from sora_core.errors import SoraError
from sora_core.training.world import PRESETS, SUBJECTS, World, WorldConfig

ONE = {"event": "none", "shots": "1", "n_subjects": "1", "style": "plain", "camera": "static"}


@pytest.fixture(scope="module")
def starter() -> World:
    return World(PRESETS["starter"])


@pytest.fixture(scope="module")
def full() -> World:
    return World(PRESETS["full"])


def centroid(labels: np.ndarray) -> tuple[float, float]:
    ys, xs = np.nonzero(labels)
    return float(xs.mean()), float(ys.mean())


def test_a_clip_is_its_seed(starter):
    a, b, c = starter.sample(5), starter.sample(5), starter.sample(6)
    assert np.array_equal(a.frames, b.frames) and a.facts == b.facts
    assert not np.array_equal(a.frames, c.frames)
    assert a.frames.shape == (17, 128, 128, 3) and a.frames.dtype == np.uint8
    assert a.alpha.shape == a.labels.shape == (17, 128, 128)
    assert json.loads(json.dumps(a.facts)) == a.facts
    assert World(PRESETS["starter"]).sample(5).facts == a.facts


@pytest.mark.parametrize("size", [(128, 128), (72, 128), (128, 72), (96, 128)])
@pytest.mark.parametrize("frames", [1, 9, 33])
def test_any_shape(full, size, frames):
    for seed in range(3):
        clip = full.sample(seed, *size, frames)
        assert clip.frames.shape == (frames, *size, 3)
        assert all(len(s["path"]) == frames for s in clip.facts["subjects"])
        assert clip.labels[0].any()


@pytest.mark.parametrize("motion,axis,sign", [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_direction_is_seen_in_the_pixels(starter, motion, axis, sign):
    for seed in range(6):
        clip = starter.sample(seed, fixed={**ONE, "motion": motion})
        travel = centroid(clip.labels[-1])[axis] - centroid(clip.labels[0])[axis]
        assert sign * travel > 0.33 * 128, (clip.facts["subjects"][0]["name"], travel)
        path = np.array(clip.facts["subjects"][0]["path"])
        assert abs(path[-1, axis] - path[0, axis]) >= (0.45 if axis == 0 else 0.40) * 128
        steps = np.diff(path[:, axis])
        assert steps.std() < 0.05 * abs(steps.mean()) + 1e-6


def test_subject_faces_where_it_goes(starter):
    config = WorldConfig(subjects=("fish",))
    left = World(config).sample(3, fixed={"motion": "left", "scene": "desert"})
    right = World(config).sample(3, fixed={"motion": "right", "scene": "desert"})
    assert left.facts["subjects"][0]["facing"] == -1 and right.facts["subjects"][0]["facing"] == 1
    i = 8  # the drawn fish has its white eye on the side that it faces
    for clip, sign in ((left, -1), (right, 1)):
        inside = clip.labels[i] > 0
        white = inside & (clip.frames[i].min(axis=2) > 215)
        assert sign * (centroid(white)[0] - centroid(inside)[0]) > 3


@pytest.mark.parametrize("motion,bigger", [("grow", True), ("shrink", False)])
def test_growth(starter, motion, bigger):
    clip = starter.sample(2, fixed={**ONE, "motion": motion})
    areas = (clip.labels > 0).sum(axis=(1, 2)).astype(float)
    ratio = areas[-1] / areas[0]
    assert ratio > 2.5 if bigger else ratio < 0.4


def test_gravity_is_a_parabola_that_touches_the_ground(full):
    for seed in range(5):
        clip = full.sample(seed, fixed={**ONE, "motion": "fall", "subject": "apple"})
        subject = clip.facts["subjects"][0]
        y = np.array(subject["path"])[:, 1]
        first = subject["contacts"][0]
        assert 6 <= first < 17
        flight = y[:first]
        second = np.diff(flight, 2)
        assert second.min() > 0 and second.std() < 0.02 * second.mean() + 0.02  # constant acceleration
        assert y.max() <= max(y[c] for c in subject["contacts"]) + 3
    bounce = full.sample(1, fixed={**ONE, "motion": "bounce", "subject": "apple"}).facts["subjects"][0]
    path = np.array(bounce["path"])[:, 1]
    assert bounce["contacts"] and all(path[c] > path.max() - 4 for c in bounce["contacts"])


def test_camera_moves_the_background(starter):
    config = {"motion": "still", "scene": "meadow"}
    pan = starter.sample(4, fixed={**config, "camera": "pan right"})
    x = np.array(pan.facts["subjects"][0]["path"])[:, 0]
    assert x[-1] < x[0] - 0.28 * 128  # the still subject leaves to the left
    zoom = starter.sample(4, fixed={**config, "camera": "zoom in"})
    size = np.array(zoom.facts["subjects"][0]["path"])[:, 2]
    assert size[-1] > 1.4 * size[0]
    both = World(PRESETS["full"]).sample(4, fixed={**ONE, **config, "camera": "pan left, zoom in"})
    cam = np.array(both.facts["shots"][0]["camera_path"])
    assert cam[8, 0] < cam[0, 0] and cam[8, 2] == pytest.approx(1, abs=0.01) and cam[-1, 2] > 1.4
    still = starter.sample(4, fixed={**config, "camera": "static"})
    floor = still.frames[:, 120:, :8].astype(int)
    assert np.abs(floor - floor[0]).max() == 0


@pytest.mark.parametrize("relation", ["left", "right", "above"])
def test_relations_hold_in_every_frame(full, relation):
    for seed in range(4):
        clip = full.sample(seed, fixed={**ONE, "n_subjects": "2", "relation": relation})
        facts = clip.facts
        assert facts["relations"] == [[0, relation, 1]]
        names = PRESETS["full"].subjects
        one, two = (names.index(s["name"]) + 1 for s in facts["subjects"])
        for labels in clip.labels:
            a, b = centroid(labels == one), centroid(labels == two)
            apart = {"left": b[0] - a[0], "right": a[0] - b[0], "above": b[1] - a[1]}[relation]
            assert apart > 15


def test_three_subjects_follow_orbit_and_behind(full):
    row = full.sample(1, fixed={**ONE, "n_subjects": "3"}).facts
    assert len(row["subjects"]) == 3 and len(row["relations"]) == 2
    follow = full.sample(1, fixed={**ONE, "n_subjects": "2", "relation": "follow"}).facts
    a, b = (np.array(s["path"])[:, 0] for s in follow["subjects"])
    sign = 1 if follow["subjects"][0]["motion"] == "right" else -1
    assert (sign * (b - a) > 20).all() and sign * (a[-1] - a[0]) > 30
    orbit = full.sample(1, fixed={**ONE, "n_subjects": "2", "relation": "orbit"}).facts
    a, b = (np.array(s["path"]) for s in orbit["subjects"])
    angle = np.unwrap(np.arctan2(a[:, 1] - b[:, 1], a[:, 0] - b[:, 0]))
    assert abs(angle[-1] - angle[0]) > np.radians(280)
    behind = full.sample(1, fixed={**ONE, "n_subjects": "2", "relation": "behind", "subject": "house"})
    back = PRESETS["full"].subjects.index("house") + 1
    alone = full.sample(1, fixed={**ONE, "subject": "house", "motion": "still"})
    assert 0 < (behind.labels[0] == back).sum() < (alone.labels[0] == back).sum()


@pytest.mark.parametrize("event", ["bite", "pop", "blow out", "knock over"])
def test_events_leave_a_lasting_effect(full, event):
    for seed in range(4):
        clip = full.sample(seed, fixed={**ONE, "event": event, "weather": "clear", "scene": "desert"})
        (fact,) = clip.facts["events"]
        at = fact["frame"]
        area = (clip.labels > 0).sum(axis=(1, 2)).astype(float)
        assert fact["kind"] == event and 0 < at < 17
        if event == "knock over":
            angle_seen = [np.ptp(np.nonzero(f)[0]) < np.ptp(np.nonzero(f)[1]) for f in clip.labels]
            assert not any(angle_seen[:at]) and angle_seen[-1]
            continue
        assert np.ptp(area[:at]) < 0.05 * area[0]
        after = area[min(at + 2, 16) :]
        if event == "pop":
            assert (after == 0).all()
        elif event == "bite":
            assert (after < 0.95 * area[0]).all()
        else:
            light = clip.frames.mean(axis=(1, 2, 3))
            assert (after < 0.98 * area[0]).all() and light[-1] < 0.5 * light[0]


def test_occlusion_hides_and_gives_back(full):
    clip = full.sample(3, fixed={**ONE, "event": "occlusion", "subject": "apple"})
    (fact,) = clip.facts["events"]
    seen = np.array(clip.facts["subjects"][0]["visible"])
    middle = (fact["frame"] + fact["end"]) // 2
    assert seen[middle] < 0.25 * seen[0] and seen[-1] > 0.8 * seen[0]
    assert (clip.alpha[middle] >= 128).sum() == (clip.labels[middle] > 0).sum()


@pytest.mark.parametrize("count", ["2", "3"])
def test_cuts(full, count):
    for seed in range(4):
        clip = full.sample(seed, fixed={**ONE, "shots": count, "motion": "still"})
        shots = clip.facts["shots"]
        assert len(shots) == int(count) and len(clip.facts["subjects"]) == 1
        change = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
        cuts = [s["start"] for s in shots[1:]]
        assert all((c - 1) % 4 == 0 for c in cuts)
        assert sorted(np.argsort(change)[-len(cuts) :] + 1) == cuts
        assert all(a["scene"] != b["scene"] for a, b in zip(shots[:-1], shots[1:], strict=True))


def test_light_weather_and_style(full):
    base = {**ONE, "scene": "meadow", "motion": "still", "weather": "clear", "time": "day"}
    day, night = (full.sample(0, fixed={**base, "time": t}).frames.mean() for t in ("day", "night"))
    assert night < 0.7 * day
    for weather in ("rain", "fog", "cloudy"):
        clip = full.sample(0, fixed={**base, "weather": weather})
        assert clip.facts["weather"] == weather
        assert not np.array_equal(clip.frames, full.sample(0, fixed=base).frames)
    grey = full.sample(0, fixed={**base, "style": "black and white"}).frames
    assert (grey.max(axis=3) == grey.min(axis=3)).all()
    green = full.sample(0, fixed={**base, "style": "night vision"}).frames.mean(axis=(0, 1, 2))
    assert green[1] > 2 * max(green[0], green[2])
    blocks = full.sample(0, fixed={**base, "style": "pixel art"}).frames
    assert np.array_equal(blocks[:, ::4], blocks[:, 3::4])


def test_subject_table_and_errors():
    assert len(SUBJECTS) >= 60 and len({s.name for s in SUBJECTS}) == len(SUBJECTS)
    with pytest.raises(SoraError, match="unknown"):
        WorldConfig(subjects=("gryphon",))
    with pytest.raises(SoraError, match="frames"):
        World().sample(0, frames=34)
    with pytest.raises(SoraError, match="picture"):
        World(WorldConfig(subjects=("zebra",))).sample(0)


def test_animated_subjects_change_shape():
    config = WorldConfig(subjects=("fish",), animate=1.0)
    fixed = {"motion": "still", "scene": "desert", "camera": "static"}
    bent = World(config).sample(1, fixed=fixed).labels
    rigid = World(WorldConfig(subjects=("fish",))).sample(1, fixed=fixed).labels
    assert (rigid[0] == rigid[8]).all() and (bent[0] != bent[3]).sum() > 40
