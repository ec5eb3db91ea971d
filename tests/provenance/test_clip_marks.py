"""A mark is of one clip: what is copied from it onto other pictures is known for that, and old marks are still read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from old_marks import embed_old
from video_attacks import ATTACKS, h264

from sora_core.media.video import iter_frames
from sora_core.provenance.detector.detect import detect_frames
from sora_core.provenance.watermark import clipcode, content, tie
from sora_core.provenance.watermark.clipcode import NUMBERS, clip_code
from sora_core.provenance.watermark.embedding import Embedder, detect, embed
from sora_core.provenance.watermark.places import BOXED, UNMOVED, Place, sources
from sora_core.provenance.watermark.reading import read_back
from sora_core.training.world import PRESETS, World

DATA = Path(__file__).parents[1] / "data"
KEY = "a secret"


def drawn(seed: int, frames: int = 5) -> torch.Tensor:
    """A clip of the training world, float `[T,128,128,3]`."""
    clip = World(PRESETS["full"]).sample(seed, height=128, width=128, frames=frames).frames
    return torch.from_numpy(clip.copy()).float() / 255


def to_bytes(frames: torch.Tensor) -> np.ndarray:
    return (frames.clamp(0, 1) * 255).round().byte().numpy()


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    return [drawn(seed) for seed in range(60, 66)]


@pytest.fixture(scope="module")
def marked(clips) -> list[torch.Tensor]:
    return [embed(clip, KEY) for clip in clips]


# -- copying -------------------------------------------------------------------------------------------------
def test_a_mark_that_is_copied_with_a_subtraction_is_of_other_pictures(clips, marked):
    for i in range(2):
        stolen = (marked[i] - clips[i]).mean(0)
        own, copied = detect(to_bytes(marked[i]), KEY), detect(to_bytes(clips[i + 3] + stolen), KEY)
        assert own.found and own.tie == tie.HOLDS
        assert copied.found and copied.payload == own.payload and copied.tie == tie.OTHER
        told = detect_frames(to_bytes(clips[i + 3] + stolen), key=KEY)
        assert not told.witnesses[1].speaks and told.evidence == "classifier" and "copied or cut" in told.text()
        # Of before, it passed for the clip's own.
        old = (embed_old(clips[i], 77, KEY) - clips[i]).mean(0)
        assert detect_frames(to_bytes(clips[i + 3] + old), key=KEY).witnesses[1].speaks


def test_what_many_clips_of_a_key_have_in_common_is_no_mark_of_another(clips, marked):
    """Of before, it was the mark itself. Here the attacker even has each clip without the mark."""
    for mark, passes in ((lambda clip: embed_old(clip, 77, KEY), True), (lambda clip: embed(clip, KEY), False)):
        shared = torch.stack([(mark(clip) - clip).mean(0) for clip in clips[1:]]).mean(0)
        shared = shared / shared.square().mean().sqrt() * 2 / 255
        assert detect_frames(to_bytes(clips[0] + shared), key=KEY).witnesses[1].speaks == passes


def test_a_mark_is_not_moved_to_other_pictures_by_painting_them_over(marked, clips):
    """The mark's pictures shine through too little to be seen: a fifth of them, and all of the mark."""
    stolen = (marked[0] - clips[0]).mean(0)
    assert detect(to_bytes(clips[4] * 0.8 + clips[0] * 0.2 + stolen), KEY).tie != tie.HOLDS


def test_the_mark_of_a_clip_says_nothing_of_its_signs_for_other_pictures():
    code, rng = clip_code(b"k"), np.random.default_rng(0)
    looks = rng.integers(0, content.LOOKS, (2, content.REGIONS))
    one, other = (code.whole(9, each)[code.tied] for each in looks)
    same = looks[0] == looks[1]
    assert (one[same] == other[same]).all() and abs((one[~same] * other[~same]).mean()) < 0.25
    assert abs((code.tie_signs(9) * code.tie_signs(10)).mean()) < 0.1


def test_two_clips_have_two_numbers_and_one_that_is_made_again_has_its_own(clips):
    numbers = []
    for clip in (*clips, clips[0]):
        embedder = Embedder(KEY)
        embedder(clip[0])
        numbers.append(embedder.number)
    assert numbers[0] == numbers[-1] and len(set(numbers)) == len(clips)
    other = Embedder("another")
    other(clips[0][0])
    assert other.number != numbers[0]


# -- what the tie survives -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["H.264 crf 28", "pillarbox", "stretched 1.25 across", "mirrored"])
def test_a_tie_holds_where_its_own_pictures_were_changed(marked, name):
    report = detect(ATTACKS[name](to_bytes(marked[0])), KEY)
    assert report.found and report.tie == tie.HOLDS and report.tie_p <= tie.CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turned by 3 degrees", "20% crop, size restored", "H.264 crf 33", "gif"])
def test_own_pictures_are_never_said_to_be_others(marked, name):
    for each in marked[:3]:
        report = detect(ATTACKS[name](to_bytes(each)), KEY)
        assert report.found and report.tie != tie.OTHER


def test_a_cut_to_another_scene_ties_the_mark_anew(clips):
    joined = torch.cat((clips[0], clips[1]))
    made = to_bytes(embed(joined, KEY))
    report = detect(h264(20)(made), KEY)
    assert report.found and report.tie == tie.HOLDS
    # One scene of it alone is tied as well, and other pictures in its place are not.
    assert detect(made[5:], KEY).tie == tie.HOLDS
    stolen = embed(joined, KEY)[5:] - joined[5:]
    assert detect(to_bytes(clips[2] + stolen), KEY).tie == tie.OTHER


def test_more_scenes_than_are_kept_are_read_all_the_same(clips):
    """A slide show of other pictures in every frame: memory does not grow, and the number is read."""
    rng = torch.Generator().manual_seed(3)
    slides = torch.nn.functional.interpolate(torch.rand(30, 3, 6, 6, generator=rng), (64, 64), mode="bicubic")
    report = detect(to_bytes(embed(slides.movedim(1, -1).clamp(0, 1), KEY, 5)), KEY)
    assert report.payload == 5 and report.tie != tie.OTHER


def test_flat_pictures_have_a_mark_and_no_tie_that_is_shown():
    grey = torch.full((3, 96, 96, 3), 0.5)
    report = detect(to_bytes(embed(grey, KEY, 7)), KEY)
    assert report.payload == 7 and report.tie in (tie.NOT_SHOWN, tie.HOLDS)


# -- marks of before -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "key", "payload"), [("public", None, "0badcafe"), ("secret", "an old secret", "1fbc5c2f")]
)
def test_files_that_were_saved_before_are_read(name, key, payload):
    file = DATA / f"old_mark_{name}.mp4"
    report = detect(iter_frames(file), key)
    assert report.found and report.kind == "model" and report.name == payload and len(report.bit_confidence) == 32
    told = detect_frames(iter_frames(file), key=key)
    assert told.verdict == "signs" and f"payload {payload}, of before" in told.text()
    back = read_back(iter_frames(file), key)  # a copy of it needs no second mark
    assert back is not None and back.name == payload
    assert read_back(iter_frames(file), key, number=5) is None


# -- the bound -----------------------------------------------------------------------------------------------
def test_the_best_number_is_found_among_all():
    code, rng = clip_code(b"k"), np.random.default_rng(0)
    values = rng.normal(0, 1, (3, len(code.signs)))
    scores = code.numbers(values)
    assert scores.shape == (3, NUMBERS) and len(np.unique(code.columns)) == len(code.columns)
    for number in (0, 1, 777, NUMBERS - 1):
        given = (values[:, code.coded] * code.signs[code.coded]) @ code.number_signs(number)
        assert np.allclose(scores[:, number], given, atol=1e-3)
    places = [code.pilot, code.coded, code.tied.ravel()]
    assert len(np.unique(np.concatenate(places))) == sum(map(len, places)) == len(code.signs)


def test_scores_of_wrong_keys_keep_the_bound_with_the_tie_too():
    """P(S >= t) <= exp(-t^2 / 2) for a number and a place: the signs of 400 keys on one video's projections."""
    rng = np.random.default_rng(0)
    values = rng.standard_t(2, len(clip_code(b"k").signs))
    looks = content.likely_looks(rng.normal(0, 2, (content.CELLS, content.CELLS)))
    scores = []
    for i in range(400):
        code = clip_code(f"key {i}".encode())
        clip_code.cache_clear()
        weights = looks[:, :, None] * (values * code.signs)[code.tied][:, None]
        plain = code.number_signs(9) @ (values * code.signs)[code.coded] + code.piloted(values[None])[0]
        spread = (weights**2).sum() + (values[np.concatenate((code.pilot, code.coded))] ** 2).sum()
        scores.append((plain + (weights * code.tie_signs(9)).sum()) / np.sqrt(spread))
    for t in (1.0, 2.0, 3.0):
        assert (np.asarray(scores) >= t).mean() <= np.exp(-t * t / 2)
    assert np.std(scores) == pytest.approx(1, abs=0.15)


def test_no_mark_is_seen_in_noise_and_clips_without_one(clips):
    noise = torch.rand(3, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    for frames in (noise, clips[0], torch.zeros(2, 64, 64, 3)):
        report = detect(to_bytes(frames), KEY)
        assert not report.found and report.payload is None and report.p_value > 1e-3


@pytest.mark.parametrize(
    "place", [UNMOVED, Place(0.8, (9, 12), False), Place(1.0, (0, 0), True), Place(1.0, (0, 0), False, 1.25)]
)
def test_cells_are_found_where_the_picture_was_moved(place, clips):
    luma = clips[0][0].mean(-1) * 255
    if place.mirrored:
        luma = luma.flip(1)
    seen = content.contrasts_at(luma, place, None)
    assert seen.shape == (8, 8) and (not np.isnan(seen).any() or place.scale != 1)
    if place in (UNMOVED, Place(1.0, (0, 0), True)):
        assert np.allclose(seen, content.contrasts(clips[0][0].mean(-1) * 255), atol=1.5)
    rows, columns = sources(BOXED, (128, 160), (slice(0, 128), slice(16, 144)), 4)
    assert columns.min() == pytest.approx(32) and rows.max() == pytest.approx(112)


def test_what_is_the_same_scene_is_told_from_a_cut(clips):
    first, second = (content.contrasts(clip[0].mean(-1) * 255) for clip in clips[:2])
    assert content.is_same_scene(first, first * 0.5 + 0.3) and not content.is_same_scene(first, second)
    flat = np.zeros_like(first)
    assert content.is_same_scene(flat, flat) and not content.is_same_scene(first, flat)
    assert clipcode.BITS == 16
