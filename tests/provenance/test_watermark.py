"""The watermark: invisible, read back after what happens to videos, and never where it is not."""

import hashlib
import math

import numpy as np
import pytest
import torch
from marks import with_slow
from old_marks import embed_old
from video_attacks import ATTACKS, WITHIN, boxed, psnr, ssim, turned

from sora_core.errors import SoraError
from sora_core.loading.checkpoint import embedded_models
from sora_core.provenance.watermark import ecc
from sora_core.provenance.watermark.carrier import LUMA, carrier_of, key_bytes
from sora_core.provenance.watermark.embedding import Embedder, detect, embed
from sora_core.provenance.watermark.payloads import known_payloads
from sora_core.provenance.watermark.places import ANGLES, SCALES, SHARES, STRETCHES, UNMOVED, ZOOMS, Place, log_p
from sora_core.provenance.watermark.reading import OF_MODELS, OF_NUMBERS, OF_TIED, read
from sora_core.provenance.watermark.summing import Accumulator

PAYLOAD = 0xC0FFEE42  # of a mark of before
NUMBER = 0xC0FE  # of a clip
LUMA_32 = np.asarray(LUMA, np.float32)[:, None]


def scene(frames: int = 9, height: int = 128, width: int = 128, seed: int = 0) -> torch.Tensor:
    """A disc that moves over a sloping sky and a textured ground, float `[T,H,W,3]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    base = np.stack([0.35 + 0.3 * y / height, 0.55 + 0.1 * x / width, np.full_like(x, 0.8)], -1)
    base[height // 2 :] = (0.3, 0.55, 0.25) + rng.normal(0, 0.012, (height - height // 2, width, 1))
    video = np.repeat(base[None], frames, 0)
    for i in range(frames):
        disc = np.hypot(y - height * 0.55, x - width * (0.25 + 0.05 * i)) < height * 0.14
        video[i][disc] = (0.85, 0.2, 0.15)
    return torch.from_numpy(video.clip(0, 1)).float()


@pytest.fixture(scope="module")
def marked() -> torch.Tensor:
    return embed(scene(), "a secret", NUMBER)


def to_bytes(frames: torch.Tensor) -> np.ndarray:
    return (frames * 255).round().byte().numpy()


def test_the_code_corrects_errors():
    rng = np.random.default_rng(0)
    payloads = rng.integers(0, 2**32, 60, dtype=np.uint64)
    sent = np.stack([ecc.encode(int(p)) for p in payloads])
    assert set(np.unique(sent)) == {-1.0, 1.0} and sent.shape == (60, ecc.LENGTH)
    assert (ecc.decode(sent) == payloads).all()
    flipped = sent.copy()
    for row in flipped:
        row[rng.choice(ecc.LENGTH, 11, replace=False)] *= -1  # free distance 24: any 11 errors can be put right
    assert (ecc.decode(flipped) == payloads).all()
    for a, b in zip(sent, sent[1:], strict=False):
        assert (a != b).sum() >= 24


def test_a_forced_bit_is_kept():
    force = np.full((1, 32), -1)
    force[0, 5] = 1
    assert int(ecc.decode(ecc.encode(0)[None], force)[0]) >> (31 - 5) & 1 == 1


def test_the_mark_is_invisible_and_read_back(marked):
    before, after = to_bytes(scene()), to_bytes(marked)
    assert psnr(before, after) >= 42 and ssim(before, after) >= 0.99
    report = detect(after, "a secret")
    assert report.found and report.payload == NUMBER and report.p_value < 1e-20
    assert min(report.bit_confidence) > 0.99 and report.scale == 1 and report.frames == 9


def dark_blocks() -> torch.Tensor:
    """Large pixels of dark red, brown and black with a bright one that jumps: little room for a mark, hard to keep."""
    rng = np.random.default_rng(4)
    shades = np.asarray([(90, 0, 0), (60, 10, 0), (35, 0, 45), (0, 0, 0), (110, 40, 0)], np.float32)
    still = shades[rng.integers(0, 5, (8, 8))]
    frames = []
    for i in range(17):
        blocks = still.copy()
        blocks[2 + 3 * (i % 2), 1 + i % 6] = (250, 200, 30)
        frames.append(blocks.repeat(16, 0).repeat(16, 1))
    return torch.from_numpy(np.stack(frames)) / 255


@pytest.mark.slow
def test_a_dark_clip_keeps_its_mark():
    video = dark_blocks()
    made = to_bytes(embed(video, None, NUMBER))
    assert psnr(to_bytes(video), made) >= 42 and ssim(to_bytes(video), made) >= 0.99
    report = detect(ATTACKS["H.264 crf 28"](made))
    assert report.payload == NUMBER and report.p_value < 1e-20


def test_each_frame_is_held_to_the_limits():
    """In colours and in luminance: the embedder measures what it made."""
    for before, after in ((scene(), embed(scene())), (dark_blocks()[:3], embed(dark_blocks()[:3]))):
        a, b = to_bytes(before), to_bytes(after)
        for one, other in ((a, b), (a @ LUMA_32, b @ LUMA_32)):
            for i in range(len(a)):
                assert psnr(one[i : i + 1], other[i : i + 1]) >= 42 and ssim(one[i : i + 1], other[i : i + 1]) >= 0.99


@pytest.mark.slow
def test_only_the_key_reads_it(marked):
    for key in ("another secret", None):
        report = detect(marked, key)
        assert not report.found and report.payload is None and report.p_value > 1e-3
    assert not detect(scene(), "a secret").found


def test_frames_one_by_one_are_the_same_video(marked):
    parts = list(map(Embedder("a secret", NUMBER), scene()))
    assert torch.equal(torch.stack(parts), marked)
    summed = Accumulator()
    for frame in marked:
        summed.add(frame)
    assert read(summed, b"a secret", known=known_payloads()) == detect(marked, "a secret")


@pytest.mark.parametrize("size", with_slow([(96, 160), (160, 96), (256, 256), (360, 640)], [(360, 640)]))
def test_every_size_carries_it(size):
    report = detect(to_bytes(embed(scene(2, *size), None, NUMBER)))
    assert report.found and report.payload == NUMBER


@pytest.mark.parametrize("name", [name for name in ATTACKS if name in WITHIN])
def test_it_survives(marked, name):
    report = detect(ATTACKS[name](to_bytes(marked)), "a secret")
    assert report.found and report.payload == NUMBER


def test_one_frame_and_a_mirror_are_enough(marked):
    assert detect(marked[:1], "a secret").payload == NUMBER
    mirrored = detect(marked.flip(2), "a secret")
    assert mirrored.payload == NUMBER and mirrored.mirrored


def test_the_p_value_is_the_bound_that_the_head_of_the_module_derives():
    assert sum(SHARES.values()) == pytest.approx(1) and OF_MODELS + OF_NUMBERS + OF_TIED <= 1
    all_payloads, rest = 2.0**32, UNMOVED
    assert log_p(12.0, rest, all_payloads) == pytest.approx(32 * math.log(2) - 72 - math.log(SHARES["rest"]))
    counts = {
        Place(1.0, (0, 0), False, boxed=True): ("boxed", 1),
        Place(1.0, (0, 0), False, 1.25): ("stretched", len(STRETCHES)),
        Place(1.1, (0, 0), False, 1.0, 3.0): ("turned", len(ANGLES) * len(ZOOMS)),
        Place(1.2, (3, 4), True): ("moved", 2 * len(SCALES) * 128**2),
    }
    for place, (kind, count) in counts.items():
        bound = math.log(8) - 72 + math.log(count / SHARES[kind])
        assert log_p(12.0, place, 8.0) == pytest.approx(bound)
    assert log_p(3.0, rest, all_payloads) == 0.0


@pytest.mark.parametrize("name", ["turned", "stretched 1.25 across", "stretched 1.25 down", "narrow"])
def test_it_is_read_where_the_picture_was_turned_stretched_or_boxed(name):
    attacks = ATTACKS | {"narrow": boxed(0.4, True), "turned": turned(6)}  # narrow: a tall clip in a wide frame
    frames = to_bytes(embed(scene(6, 128, 96), "a secret", NUMBER))
    report = detect(attacks[name](frames), "a secret")
    assert report.found and report.payload == NUMBER
    assert (abs(report.angle) > 5) == (name == "turned") and report.boxed == (name == "narrow")
    assert (report.stretch != 1) == name.startswith("stretched")


def test_a_payload_that_is_looked_for_by_name_is_found_where_others_are_not():
    frames = scene(1, 128, 128)
    hidden = embed_old(frames, PAYLOAD, "a secret") * 0.3 + frames * 0.7
    noisy = (hidden + torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1)) * 0.02).clamp(0, 1)
    assert not detect(noisy, "a secret", known=()).found and not detect(noisy, "a secret", known=(5, 6)).found
    found = detect(noisy, "a secret", known=(PAYLOAD, 5))
    assert found.found and found.payload == PAYLOAD and 8 < found.score < 9


def test_the_packages_own_model_is_looked_for_by_name():
    file = embedded_models()["sora-mini"]
    assert int(hashlib.sha256(file.read_bytes()).hexdigest()[:8], 16) in known_payloads()


def test_scores_of_wrong_keys_keep_the_bound():
    """P(S >= t) <= exp(-t^2 / 2) for a given payload and place: the signs of 2000 keys on one set of projections."""
    rng = np.random.default_rng(0)
    values = rng.standard_t(2, carrier_of(b"k").signs.size)  # heavy tails: the bound needs no Gaussian
    values /= np.linalg.norm(values)
    code = ecc.encode(7)
    scores = np.asarray([(carrier_of(f"key {i}".encode()).with_code(code) * values).sum() for i in range(2000)])
    for t in (1.0, 2.0, 3.0):
        assert (scores >= t).mean() <= math.exp(-t * t / 2)
    assert abs(scores.mean()) < 0.1 and scores.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: embed(torch.zeros(1, 16, 64, 3)), "too small"),
        (lambda: embed(torch.zeros(1, 64, 64, 3), None, 2**16), "does not fit 16 bits"),
        (lambda: embed(torch.zeros(1, 64, 64, 3), None, -1), "does not fit 16 bits"),
        (lambda: embed(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)), "must be float"),
        (lambda: embed(torch.zeros(1, 64, 64, 3), ""), "key is empty"),
        (lambda: detect([]), "no frames"),
        (lambda: detect(torch.zeros(1, 8, 8, 3)), "too small"),
        (lambda: detect([torch.zeros(64, 64, 3), torch.zeros(64, 96, 3)]), "different sizes"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SoraError, match=words):
        call()


def test_black_frames_stay_in_range_and_hold_no_mark():
    black = embed(torch.zeros(2, 64, 64, 3))
    assert black.min() >= 0 and torch.isfinite(black).all()
    assert not detect(torch.zeros(2, 64, 64, 3)).found


def test_an_embedder_follows_a_change_of_size():
    embedder = Embedder(key_bytes("k"))
    for size in ((64, 64), (96, 64), (64, 64)):
        assert embedder(torch.full((*size, 3), 0.5)).shape == (*size, 3)
