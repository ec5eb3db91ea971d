"""The detector: which evidence speaks, what the classifier is worth, and what it says of bad input."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from nodes_support import tiny_parts
from old_marks import embed_old
from provenance_support import issue

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.loading import checkpoint
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials.binding import Stated
from sora_core.provenance.credentials.keys import CERTIFICATE, KEY
from sora_core.provenance.detector.classifier import load_classifier
from sora_core.provenance.detector.detect import Claim, detect_file, detect_frames
from sora_core.provenance.detector.plot import SIZE, draw_frames
from sora_core.provenance.detector.traces import frame_traces
from sora_core.provenance.watermark.embedding import embed
from sora_core.training.recipes.detector import auc, calibrate, dead_leaves, through_codec, through_vae, train_detector
from sora_core.training.world import PRESETS, World


@pytest.fixture(scope="module")
def truths() -> list[np.ndarray]:
    world = World(PRESETS["full"])
    return [world.sample(80 + i, frames=5).frames for i in range(6)]


@pytest.fixture(scope="module")
def painted(truths) -> list[np.ndarray]:
    vae = checkpoint.load_parts("sora-mini")[0]["vae"]
    return [through_vae(vae, clip) for clip in truths]


def mean_logit(frames: np.ndarray) -> float:
    return float(load_classifier().frame_logits(np.stack([frame_traces(frame) for frame in frames])).mean())


@pytest.mark.slow
@pytest.mark.parametrize("crf", [None, 28])
def test_the_embedded_classifier_tells_the_decoder_from_the_truth(truths, painted, crf):
    clips = [*painted, *truths] if crf is None else [through_codec(clip, crf) for clip in (*painted, *truths)]
    labels = np.repeat([1, 0], [len(painted), len(truths)])
    assert auc(np.asarray([mean_logit(clip) for clip in clips]), labels) >= 0.93


def test_the_watermark_speaks_before_the_classifier_and_proves_nothing(truths):
    frames = torch.from_numpy(truths[0].copy()).float() / 255
    plain, marked = detect_frames(frames), detect_frames(embed(frames, None, 77))
    assert plain.evidence == "classifier" and not plain.made_here and plain.probability == plain.classifier
    assert marked.evidence == "watermark" and marked.watermark.payload == 77
    assert marked.probability > 1 - 1e-6 and "clip 004d" in marked.text()
    assert len(marked.frames) == 5
    # Anybody can write a mark of the public key, and who has an old clip of a secret one can copy its mark.
    secret, old = embed(frames, "mine", 77), embed_old(frames, 77, "mine")
    for found, words in (
        (marked, "This key is public: anybody can write its mark"),
        (detect_frames(secret, key="mine"), "Who wrote it had the key, for these pictures"),
        (detect_frames(old, key="mine"), "or copied it from a clip"),
    ):
        assert found.verdict == "signs" and not found.made_here and words in found.text()
        assert found.text().startswith("Not proven, but there are signs that it was made here: the watermark")


PROVEN = ("trusted", "own")


@pytest.mark.parametrize("state", ["none", "elsewhere", "intact", "expired", "tampered", "broken"])
def test_no_credentials_but_proven_ones_change_the_verdict(truths, state):
    frames = torch.from_numpy(truths[0].copy()).float() / 255
    for given in (frames, embed(frames)):
        alone = detect_frames(given)
        for ours in (True, False):
            claimed = detect_frames(given, claim=Claim(("a line",), state, ours, mark=Stated(name="beef")))
            assert (claimed.verdict, claimed.evidence) == (alone.verdict, alone.evidence)
            assert claimed.probability == alone.probability and not claimed.made_here
            assert "Made here" not in claimed.text()


@pytest.mark.parametrize("word", PROVEN)
def test_credentials_of_a_signer_who_is_known_prove_it(truths, word):
    found = detect_frames(truths[0], claim=Claim(("a line",), "intact", True, **{word: True}))
    assert found.made_here and found.probability == 1.0 and found.evidence == "credentials"
    assert found.text().startswith("Made here, and that is proven: the credentials")
    # Of another software, they prove nothing of this one.
    assert not detect_frames(truths[0], claim=Claim(("a line",), "intact", False, **{word: True})).made_here


def test_a_forged_signature_proves_nothing_and_ones_own_does(truths, tmp_path, monkeypatch):
    """The same words, of this machine's own key, of a stranger's, and of one who is named as trusted."""
    path, frames = tmp_path / "a.mp4", torch.from_numpy(truths[0].copy()).float() / 255
    saving = plan(History(), watermark=False)
    write_video(path, frames, 8, saving=saving)
    assert detect_file(path).made_here and "this machine's own key" in detect_file(path).text()
    certificate, key = issue(tmp_path / "keys")
    with monkeypatch.context() as stranger:
        stranger.setenv(CERTIFICATE, str(certificate))
        stranger.setenv(KEY, str(key))
        write_video(path, frames, 8, saving=plan(History(), watermark=False))
        assert detect_file(path).made_here  # to the stranger
    forged = detect_file(path)
    assert not forged.made_here and forged.verdict == "no sign" and "proves nothing" in forged.text()
    assert detect_file(path, trust=certificate).made_here
    # One of another root, if of the same names and number, is not one's own.
    monkeypatch.setenv(CERTIFICATE, str(issue(tmp_path / "others")[0]))
    monkeypatch.setenv(KEY, str(tmp_path / "others/mine.key"))
    assert not detect_file(path).made_here


def test_a_saved_file_is_examined_with_json_and_plot(truths, tmp_path, capsys):
    path, plot = tmp_path / "clip.mp4", tmp_path / "plot.png"
    write_video(path, embed(torch.from_numpy(truths[1].copy()).float() / 255, "k", 0xABCD), 8)
    assert main(["detect", str(path), "--json", "--plot", str(plot), "--key", "k"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evidence"] == "watermark" and found["watermark"]["payload"] == 0xABCD
    assert found["verdict"] == "signs" and [each["name"] for each in found["witnesses"]][1] == "watermark"
    assert found["watermark"]["p_value"] < 1e-6 and len(found["frames"]) == 5
    from PIL import Image

    with Image.open(plot) as picture:
        assert picture.size == SIZE and len(picture.getcolors(SIZE[0] * SIZE[1])) > 4
    assert main(["detect", str(path), "--key", "another"]) == 0
    assert "Watermark: none with this key" in capsys.readouterr().out


def test_a_picture_of_one_frame_says_so(truths, tmp_path):
    from PIL import Image

    path = tmp_path / "one.png"
    Image.fromarray(truths[0][0]).save(path)
    found = detect_file(path)
    assert any("One frame only" in note for note in found.notes) and draw_frames(found).size == SIZE


@pytest.mark.parametrize(
    "name,content,words",
    [
        ("empty.mp4", b"", "0 bytes"),
        ("text.mp4", b"this is not a video" * 50, "cannot be read as a video"),
        ("text.png", b"this is not a picture", "cannot be read as a picture"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, name, content, words, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["detect", str(tmp_path / name)]) == 1
    assert words in capsys.readouterr().err


def test_other_bad_input(tmp_path, capsys):
    with pytest.raises(SoraError, match="no file"):
        detect_file(tmp_path / "missing.mp4")
    with pytest.raises(SoraError, match="too small"):
        detect_frames(torch.zeros(2, 16, 16, 3))
    with pytest.raises(SoraError, match="no frames"):
        detect_frames([])
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(SoraError, match="sora train detector"):
        load_classifier(tmp_path / "weights.safetensors")
    assert main(["detect", str(tmp_path / "a.mp4"), "--plot", str(tmp_path / "plot.jpg")]) == 1
    assert "end its name in .png" in capsys.readouterr().err


@pytest.mark.slow
def test_any_vae_can_be_learned(tmp_path):
    """A VAE with random weights: its pictures look like no other, so a handful of clips is enough."""
    vae, out = tmp_path / "vae.safetensors", tmp_path / "detector.safetensors"
    checkpoint.save_part(vae, "vae", tiny_parts()["vae"])
    train_detector(vae, out, count=8, name="a test", report=lambda *a, **k: None)
    network = load_classifier(out)
    assert network.info["decoder"] == "the decoder of a test" and network.info["auc_seen"] > 0.95
    checkpoint.save_part(tmp_path / "text.safetensors", "text", tiny_parts()["text"])
    with pytest.raises(SoraError, match="holds no VAE"):
        train_detector(tmp_path / "text.safetensors", out)


def test_calibration_puts_even_odds_between_the_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0.0, 1.0], 200)
    logits = rng.normal(4 * labels + 1, 1)
    scale, bias = calibrate(logits, labels)
    assert abs(scale * 3 + bias) < 0.4 and scale > 2
    assert auc(logits, labels) > 0.99 and auc(np.zeros(4), np.asarray([0, 1, 0, 1])) == 0.5


def test_traces_are_finite_for_any_picture():
    rng = np.random.default_rng(0)
    for frame in (np.zeros((32, 33, 3), np.uint8), np.full((600, 40, 3), 255, np.uint8), dead_leaves(rng, 1, 64)[0]):
        found = frame_traces(frame)
        assert np.isfinite(found).all() and found.shape == (54,)
    frame = dead_leaves(rng, 1, 64)[0]
    assert np.allclose(frame_traces(frame), frame_traces(torch.from_numpy(frame).float() / 255), atol=1e-3)
