"""`sora eval`: its measurements are right about the world's truth and wrong about what is wrong, and it runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from marks import with_slow
from nodes_support import save_tiny, tiny_parts

from sora_core.cli import main
from sora_core.language import load_lexicon
from sora_core.loading import checkpoint
from sora_core.media.frames import cuts
from sora_core.observer.network import Observer, cell_centres, groups, save_observer
from sora_core.observer.watch import Sight, watch
from sora_core.pipeline import load
from sora_core.training.evaluate import cases as asked
from sora_core.training.evaluate.camera import named_camera
from sora_core.training.evaluate.judge import Close, corners, judge, look_closely
from sora_core.training.evaluate.measures import (
    change_for_good,
    contacts,
    falls,
    interval,
    named_direction,
    parabola,
    proportion,
)
from sora_core.training.evaluate.run import NAMES, Maker, batches
from sora_core.training.recipes.observer import observer_config
from sora_core.training.recipes.observer_targets import describe_targets
from sora_core.training.world import PRESETS, World
from sora_core.training.world.config import CAMERAS
from sora_core.training.world.split import held_out, shows_held_out
from sora_core.training.world.sprites import SpriteBank

V = observer_config("stage")


@pytest.fixture(scope="module")
def draw():
    return asked.Draw(None)


def sight_of(clip, labels=None) -> Sight:
    """What a perfect observer would say of a clip of the world, or of the part of it that `labels` shows."""
    facts, labels = clip.facts, clip.labels if labels is None else labels
    total = facts["frames"]
    ends = [0, *range(4, total, 4)]
    cell = labels.shape[1] // 8
    cells = labels[ends].reshape(groups(total), 8, cell, 8, cell).swapaxes(2, 3)
    area = np.stack([(cells == n + 1).mean((3, 4)) for n in range(len(V.subjects))], 1)
    area = torch.from_numpy(area).float().flatten(2)
    targets = describe_targets(facts, cells[..., cell // 2, cell // 2], V).frames
    tracks = {
        "subjects": area.mean(-1).numpy(),
        "places": (area @ cell_centres() / area.sum(-1, keepdim=True).clamp_min(1e-6)).numpy(),
        "states": targets["states"],
        "centre": targets["centre"],
        "scenes": np.eye(len(V.scenes))[targets["scene"]],
    }
    return Sight(facts, {}, tracks)


SLOW = ("camera", "shots", "words", "effects")


@pytest.mark.parametrize("ability", with_slow([name for name in asked.ABILITIES if name != "free"], SLOW))
def test_judges_are_right_about_the_truth(draw, ability):
    """Truth is right; the truth of another case, whose answer differs, is not."""
    for case, other in zip(asked.ABILITIES[ability](draw, 6), asked.ABILITIES[ability](draw, 6)[1:], strict=False):
        preset, seed, fixed = case.truth
        clip = draw.worlds[preset].sample(seed, fixed=fixed)
        frames = clip.frames / np.float32(255)
        whole, *parts = (sight_of(clip, part).tracks["subjects"] for part in (clip.labels, *corners(clip.labels)))
        near = Close(whole, tuple(parts))
        verdict = judge(case.must, frames, sight_of(clip), V, near)
        assert verdict and all(verdict.values()), (case.prompts, verdict)
        if other.must != case.must and ability not in ("gravity", "chinese"):
            assert not all(judge(other.must, frames, sight_of(clip), V, near).values()), (case.prompts, other.must)


def test_what_is_seen_closely_stays_on_its_side():
    """A mark in one corner is evidence of that corner alone, in a mirror as well, and of the whole."""
    for corner, (y, x) in enumerate(((0, 0), (56, 0), (0, 56), (56, 56))):
        video = np.zeros((17, 64, 64, 3), np.float32)
        video[:, y : y + 8, x : x + 8] = 1
        looks = []

        def watch(views, looks=looks):
            looks += views
            return [Sight({}, {}, {"subjects": view.mean((1, 2))}) for view in views]

        near = look_closely(video, watch)
        assert len(looks) == 2 + 2 * 4 * 3 and near.whole.min() == pytest.approx(1 / 64)
        seen = [part.min() for part in near.corners]
        assert int(np.argmax(seen)) == corner and sum(value > 0 for value in seen) == 1
        assert (near.sides[corner // 2] > 0).all() and not near.sides[1 - corner // 2].any()


def test_two_of_one_kind_are_no_pair():
    """The frame shows a cat twice and a dog a little: the pair is both."""
    cat, dog, other = (np.eye(len(V.subjects))[[V.subjects.index(name)] * 5] for name in ("cat", "dog", "car"))
    must = {"subjects": ["cat", "dog"], "relation": ["cat", "left", "dog"]}
    frames = np.zeros((17, 64, 64, 3), np.float32)
    nothing = Sight({"scene": None, "shots": [{"motions": ["still"]}]}, {}, {})

    def verdict(left, right):
        return judge(must, frames, nothing, V, Close(left + right, (left, left, right, right)))

    assert verdict(cat, 0.8 * cat + 0.5 * dog)["both"] is True
    assert verdict(cat, dog)["relation"] is True and verdict(dog, cat)["relation"] is False
    assert verdict(cat, other)["both"] is False and verdict(cat, 0 * cat)["both"] is False


@pytest.mark.parametrize("moves", CAMERAS)
def test_registration_names_every_camera(moves):
    fixed = {"camera": moves, "event": "none", "n_subjects": "1", "scene": "beach", "style": "plain"}
    assert named_camera(World(PRESETS["stage"]).sample(3, fixed=fixed).frames / 255, CAMERAS) == moves


def test_plain_measurements_say_no_where_nothing_happens():
    still = np.random.default_rng(0).random((1, 32, 32, 3)).repeat(17, 0)
    assert named_direction(still) is None and cuts(still) == [] and change_for_good(still) is None
    flicker = still.copy()
    flicker[8] = 0
    assert change_for_good(flicker) is None
    lasting = still.copy()
    lasting[9:, :8, :8] = 0
    assert change_for_good(lasting) == 9
    there_and_back = lasting.copy()
    there_and_back[12] = still[12]
    assert change_for_good(there_and_back) is None


def test_gravity_is_not_any_way_down():
    t = np.arange(17)
    fall = np.minimum(0.2 + 0.005 * t**2, 0.7)
    assert falls(fall, 0.7) == {"parabola": True, "ground": True}
    assert not falls(0.2 + 0.03 * t, 0.7)["parabola"], "a steady descent is no fall"
    assert not falls(np.minimum(0.2 + 0.005 * t**2, 0.45), 0.7)["ground"], "it stops in the air"
    bounce = 0.25 + 0.45 * (((t + 8) % 13 - 6) / 6) ** 2
    assert bounce[-2] < bounce[-1] < 0.7 - 0.12 and contacts(bounce) == [4], "in the last frame it has not landed yet"
    assert falls(bounce, 0.7) == {"parabola": True, "ground": True}
    assert not falls(bounce - 0.15, 0.7)["ground"], "it bounces off the air"
    pull, share = parabola(0.3 - 0.1 * t + 0.006 * t**2)
    assert pull == pytest.approx(0.012) and share == pytest.approx(1)


@pytest.mark.slow
def test_the_embedded_observer_tells_falls_from_other_ways():
    """Also of subjects that it was not trained on: those that the world draws where it has no pictures of them."""
    world = World(PRESETS["cast"])
    fixed = {"style": "plain", "event": "none", "n_subjects": "1", "shots": "1", "camera": "static"}
    right, errors = [], []
    for seed, motion in enumerate((*("fall", "bounce") * 3, "down", "up", "still", "left")):
        clip = world.sample(3_000_000 + seed, fixed={**fixed, "motion": motion})
        (subject,) = clip.facts["subjects"]
        y = np.asarray(subject["path"])[:, 1] / clip.facts["height"]
        seen = watch(torch.from_numpy(clip.frames / np.float32(255))).tracks["centre"][:, 1]
        errors.append(np.abs(seen - y).mean())
        right.append(all(falls(seen, y.max()).values()) == (motion in ("fall", "bounce")))
    assert sum(right) >= 9 and np.mean(errors) < 0.06, (right, errors)


def test_intervals_are_wilsons():
    # Newcombe 1998, table I: 81 of 263 gives 25.5% to 36.6%.
    assert interval(81, 263) == [25.5, 36.6]
    assert proportion([True] * 10)["interval"] == [72.2, 100.0]


def test_one_combination_in_ten_is_held_out(draw):
    every = [(s, p, m) for s in V.subjects for p in V.scenes for m in ("left", "right", "up", "down", "spin")]
    assert 0.08 < np.mean([held_out(*words) for words in every]) < 0.12
    assert held_out("cat", "forest", "spin") == held_out("cat", "forest", "spin")
    for case in (*asked.words(draw, 40), *asked.motions(draw, 20), *asked.gravity(draw, 10)):
        assert shows_held_out(case.facts)
    motions = [case.must["motion"] for case in asked.words(draw, 40)]
    assert {motions.count(m) for m in ("left", "right", "up", "down")} == {10}


def test_free_prompts_ask_for_what_can_be_seen(monkeypatch):
    monkeypatch.setattr(SpriteBank, "available", lambda *_: True)  # prompts need no pictures
    monkeypatch.setattr(SpriteBank, "height", lambda *_: 0.9)
    cases = asked.free(asked.Draw(None), 1000)
    known = {"subject", "scene", "motion", "camera", "style", "time", "weather", "event", "passes", "to"}
    lexicon = load_lexicon()
    assert len(cases) >= 100 and len({case.prompts for case in cases}) == len(cases)
    for case in cases:
        assert set(case.must) <= known | {"subjects", "relation"}
        for name in asked.cast_of(case.must):
            assert name in PRESETS["stage"].subjects and name in lexicon.scan(case.prompts[0])[0], case.prompts
        facts = case.facts
        truth = {
            "scene": facts["scene"],
            "style": facts["style"],
            "time": facts["time_of_day"],
            "weather": facts["weather"],
            "camera": facts["camera"],
        }
        assert all(case.must[key] == value for key, value in truth.items() if key in case.must), case.prompts
        assert "relation" not in case.must or case.must["relation"][2] == facts["subjects"][1]["name"]


def test_cases_of_one_layout_share_a_batch(draw):
    parts = list(batches(asked.shots(draw, 12), 4))
    assert sum(map(len, parts)) == 12 and all(len({c.latents for c in part}) == 1 for part in parts)
    assert all(sum(c.latents) == 5 for part in parts for c in part)


@pytest.mark.slow
def test_the_command_scores_and_shows(tmp_path, monkeypatch, capsys):
    checkpoint.save(tmp_path / "tiny.safetensors", tiny_parts(), {"name": "tiny", "shift": 3.0, "fps": 8})
    torch.manual_seed(0)
    save_observer(tmp_path / "observer.safetensors", Observer(V))
    monkeypatch.chdir(tmp_path)
    command = ["eval", "--model", "tiny.safetensors", "--observer", "observer.safetensors", "--clips", "2"]
    command += ["--steps", "1", "--cfg", "1", "--only", "vae,words,shots,free", "--json"]
    assert main([*command, "--html", "page.html", "--sheet", "sheet.png"]) == 0
    result = json.loads(capsys.readouterr().out)
    scores = result["abilities"]["words"]["scores"]
    assert set(scores) == {"subject", "scene", "motion", "all"} and scores["motion"]["truth"]["percent"] == 100
    assert scores["subject"]["model"]["clips"] == 2 and scores["scene"]["chance"] == 10
    assert result["abilities"]["shots"]["scores"]["cuts"]["truth"]["percent"] >= 0
    assert result["abilities"]["vae"]["figures"]["PSNR, whole (dB)"] < 30
    page = Path("page.html").read_text()
    assert page.count("data:image/jpeg") == 2 * (2 + 2 + 2) and "<script" not in page
    assert "lora none" in page and "sampler euler" in page and "shift 3.0" in page
    assert Path("sheet.png").stat().st_size > 1000
    assert main([*command[:-3], "--only", "words"]) == 0
    said, *_ = capsys.readouterr().out.splitlines()
    assert "steps 1, cfg 1" in said and "shift 3.0" in said and "lora none" in said
    assert main([*command[:-3], "--only", "words", "--cache", "0.5", "--gate", "0.25"]) == 0
    assert "cache 0.5, gate 0.25" in capsys.readouterr().out.splitlines()[0]
    assert main([*command[:-3], "--only", "words", "--cache", "2"]) == 1
    assert "cache is 2.0" in capsys.readouterr().err
    assert main([*command[:-3], "--only", "words,gravty"]) == 1
    assert "gravty" in capsys.readouterr().err
    assert set(NAMES) == {"vae", *asked.ABILITIES}


def test_clips_are_made_with_fewer_calls_where_a_cache_is_asked_for(draw, tmp_path):
    save_tiny(tmp_path / "tiny.safetensors")
    cases, made = asked.ABILITIES["words"](draw, 2), []

    def counting(velocity):
        def call(*given):
            made.append(1)
            return velocity(*given)

        call.inner = velocity
        return call

    for cache, calls in ((0.0, range(12, 13)), (1.0, range(1, 12))):
        maker = Maker(load(tmp_path / "tiny.safetensors"), 12, 4.0, "euler", "simple", 32, cache)
        maker.model.wrappers = (*maker.model.wrappers, counting)
        made.clear()
        assert maker.latents(cases).shape == (2, 16, 5, 4, 4)
        assert len(made) in calls
