"""The judge that agrees with blind naming: it learns, and it reads clues of shapes."""

import json

import numpy as np
import pytest
from nodes_support import tiny_parts

pytest.importorskip("cv2")

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.loading import checkpoint
from sora_core.observer.network import load_observer
from sora_core.training.evaluate import cases as asked
from sora_core.training.evaluate import viewer
from sora_core.training.evaluate.clues import NAMES, Pictures, fits
from sora_core.training.evaluate.run import watching
from sora_core.training.world.standins import DRAWN, draw
from sora_core.training.world.subjects import BY_NAME


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    """Return a sprite package whose pictures are those that the world draws by code."""
    import cv2  # optional, as the world that needs it

    folder = tmp_path_factory.mktemp("sprites")
    for name in DRAWN:
        picture = (draw(name) * 255).round().clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{BY_NAME[name].code}.webp"), picture[..., [2, 1, 0, 3]])
    return folder


def torn(video: np.ndarray, tile: int = 8) -> np.ndarray:
    """Shuffle tiles of a video, the same in all frames: colours stay about where they were, shapes do not."""
    t, h, w, c = video.shape
    cells = video.reshape(t, h // tile, tile, w // tile, tile, c).copy()
    rng = np.random.default_rng(0)
    for y in range(0, h // tile, 4):
        for x in range(0, w // tile, 4):
            block = cells[:, y : y + 4, :, x : x + 4].transpose(1, 3, 0, 2, 4, 5)
            mixed = block.reshape(-1, *block.shape[2:])[rng.permutation(16)].reshape(block.shape)
            cells[:, y : y + 4, :, x : x + 4] = mixed.transpose(2, 0, 3, 1, 4, 5)
    return cells.reshape(video.shape)


def test_a_viewer_is_learned_and_kept(tmp_path):
    rng = np.random.default_rng(1)
    rows = [{"a": float(x), "b": float(y)} for x, y in rng.normal(size=(200, 2))]
    asked = [("cat" if i % 2 else "star", "left") for i in range(200)]
    named = [row["a"] + (pair[0] == "star") > 0.5 for row, pair in zip(rows, asked, strict=True)]
    learned = viewer.fit(rows, asked, named, ("a", "b"), 0.01)
    said = [learned.names_it(*pair) for pair in zip(rows, asked, strict=True)]
    assert np.mean(np.array(said) == named) > 0.97 and learned.subjects["star"] > learned.subjects["cat"]
    viewer.save(learned, tmp_path / "viewer.json")
    assert viewer.load_viewer(tmp_path / "viewer.json") == learned
    (tmp_path / "viewer.json").write_text(json.dumps({"names": []}))
    with pytest.raises(SoraError, match="no fitted viewer.*blind.py fit"):
        viewer.load_viewer(tmp_path / "viewer.json")


def test_a_picture_fits_its_own_clip_best(sprites):
    drawn = asked.Draw(sprites)
    pictures = Pictures(drawn.worlds["cast"].bank, drawn.subjects)
    case = drawn.one(7, {}, subject="car", scene="beach", motion="left")
    clip = drawn.truth(case)
    (subject,) = case.facts["subjects"]
    centre = np.asarray(subject["path"]) / 128
    own, other = (fits(clip, centre, name, pictures, False) for name in ("car", "pig"))
    broken = fits(torn(clip), centre, "car", pictures, False)
    assert own["fit"] > 0.8 > 0.7 > max(other["fit"], broken["fit"])
    assert own["lead"] > 0 > other["lead"] and own["detail"] > broken["detail"] + 0.2


@pytest.mark.slow
def test_truths_are_named_and_torn_ones_less_surely(sprites):
    observer = load_observer()
    drawn = asked.Draw(sprites)
    eyes = viewer.Eyes(drawn, watching(observer), observer.config)
    cases = asked.words(drawn, 6)
    clips = [drawn.truth(case) for case in cases]
    assert sum(filter(None, eyes.named(cases, clips))) >= 5
    # These subjects are drawn by code, as no viewer saw them: that the chances fall is what is asked.
    model, pairs = viewer.load_viewer(), [viewer.lone(case) for case in cases]
    whole, broken = (eyes.clues(pairs, videos) for videos in (clips, [torn(clip) for clip in clips]))
    falls = [model.chance(a, pair) - model.chance(b, pair) for a, b, pair in zip(whole, broken, pairs, strict=True)]
    assert np.mean(falls) > 0.15 and sum(fall > 0 for fall in falls) >= 5, falls


def test_only_lone_subjects_are_asked_for():
    drawn = asked.Draw(None)
    assert all(viewer.lone(case) for case in (*asked.words(drawn, 3), *asked.gravity(drawn, 3)))
    others = (*asked.company(drawn, 3), *asked.shots(drawn, 3), *asked.effects(drawn, 3), *asked.occlusion(drawn, 3))
    assert not any(viewer.lone(case) for case in others)
    assert viewer.load_viewer().names == NAMES


@pytest.mark.slow
def test_the_command_says_what_a_viewer_would_name(sprites, tmp_path, capsys):
    checkpoint.save(tmp_path / "tiny.safetensors", tiny_parts(), {"name": "tiny", "shift": 3.0, "fps": 8})
    command = ["eval", "--model", str(tmp_path / "tiny.safetensors"), "--clips", "2", "--steps", "1", "--cfg", "1"]
    assert main([*command, "--only", "words,company", "--sprites", str(sprites), "--json"]) == 0
    abilities = json.loads(capsys.readouterr().out)["abilities"]
    named = abilities["words"]["scores"]["named by a viewer"]
    assert named["model"]["clips"] == named["truth"]["clips"] == 2
    assert named["chance"] is None and "named by a viewer" not in abilities["company"]["scores"]
