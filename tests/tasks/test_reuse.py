"""A long video that is rendered again with some shots changed: the others are kept, but for their joins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from long_support import Stop, same_video, stop_after
from pipeline_support import tiny_pipeline
from safetensors.torch import save_file

import sora_core
from sora_core.tasks.long import finished
from sora_core.tasks.long.finished import Finished, read_reuse, usual_folder
from sora_core.tasks.long.rolling import Rolling, segments_needed
from sora_core.tasks.storyboard import Shot

pytestmark = pytest.mark.usefixtures("unmarked")
HOW = {"steps": 4, "cfg": 1.0, "width": 32, "height": 32}
BOARD = [
    ("a cat on a beach", 2.0),
    ("a dog in a forest", 2.0),
    ("a car in a desert", 2.0),
    ("a cat", 2.0),
    ("a dog", 2.0),
]
CHANGED = [*BOARD[:2], ("a tree in a field", 2.0), *BOARD[3:]]


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture()
def store(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "renders"
    monkeypatch.setenv("SORA_KEPT_RENDERS", str(folder))
    return folder


class Render:
    """A long video, and what one can know of how it was made."""

    def __init__(self, pipe, store: Path, path: Path, shots, **how) -> None:
        self.notes: list[str] = []
        seen: list = []
        before = set(store.glob("*")) if store.exists() else set()
        self.path = pipe.long_video(shots, path, notes=self.notes, progress=seen.append, **(HOW | how))
        self.segments = seen[-1].segments
        new = set(store.glob("*")) - before if store.exists() else set()
        self.kept = read_reuse(max(new or store.glob("*"), key=lambda file: file.stat().st_mtime_ns))
        self.latents = self.kept.latents

    @property
    def note(self) -> str:
        return " ".join(note for note in self.notes if "earlier render" in note)


def same(a: torch.Tensor, b: torch.Tensor) -> str:
    """One letter a latent: '=' where both are the same bit by bit."""
    pairs = zip(a.unbind(2), b.unbind(2), strict=True)
    return "".join("=" if torch.equal(x, y) else "x" for x, y in pairs)


def locked(*numbers: int) -> list[Shot]:
    return [Shot(prompt, seconds, number in numbers) for number, (prompt, seconds) in enumerate(BOARD, 1)]


def test_a_locked_shot_stays_whatever_else_changes(pipe, store, tmp_path):
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD)
    other = Render(pipe, store, tmp_path / "b.mp4", locked(2, 3), seed=9)
    # Shots 2 and 3 are latents 5 to 12; what is finished together with their neighbours is a join.
    assert same(first.latents, other.latents) == "x" * 6 + "=" * 6 + "x" * 9
    assert other.note == "Shots 2, 3 kept from the earlier render; shots 1, 4, 5 and 2 joins made."
    # From the newest that has it, by another sampler too; the same again is the same.
    third = Render(pipe, store, tmp_path / "c.mp4", locked(2), seed=10, sampler="heun")
    assert same(other.latents, third.latents) == "x" * 6 + "=" * 2 + "x" * 13
    assert same_video(Render(pipe, store, tmp_path / "d.mp4", locked(2, 3), seed=9).path, other.path)
    # What no render has cannot be kept, nor what is of another size.
    new = Render(pipe, store, tmp_path / "e.mp4", [Shot("a boat", 2.0, True), *locked()[1:]], seed=11)
    assert new.note == "To be kept, but in no earlier render that is still known: shot 1. Made anew."
    wide = Render(pipe, store, tmp_path / "f.mp4", locked(2), seed=9, width=48)
    assert wide.note == "To be kept, but in no earlier render that is still known: shot 2. Made anew."


def test_only_the_changed_shot_and_its_joins_are_made(pipe, store, tmp_path):
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD)
    assert first.note == "" and first.segments == segments_needed(21, Rolling())
    again = Render(pipe, store, tmp_path / "b.mp4", CHANGED)
    assert same(first.latents, again.latents) == "=" * 8 + "x" * 6 + "=" * 7
    assert again.note == "Shots 1, 2, 4, 5 kept from the earlier render; shot 3 and 2 joins made."
    assert again.segments == 2
    # Back as it was: what the first render gives, bit by bit.
    back = Render(pipe, store, tmp_path / "c.mp4", BOARD)
    assert same_video(back.path, first.path) and back.note == ""
    # And the changed one once more: nothing is made, and nothing differs.
    once_more = Render(pipe, store, tmp_path / "d.mp4", CHANGED)
    assert once_more.segments == 0 and same_video(once_more.path, again.path)
    assert "nothing had to be made" in once_more.note
    alone = Render(pipe, store, tmp_path / "e.mp4", CHANGED, reuse=False)
    assert alone.note == "" and alone.segments == first.segments


def test_a_shot_that_lasts_longer_moves_the_others(pipe, store, tmp_path):
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD)
    longer = [*BOARD[:2], (BOARD[2][0], 3.0), *BOARD[3:]]
    again = Render(pipe, store, tmp_path / "b.mp4", longer)
    assert again.latents.shape[2] == 23 and again.segments == 3
    assert same(first.latents[:, :, :9], again.latents[:, :, :9]) == "=" * 8 + "x"
    assert same(first.latents[:, :, 9:], again.latents[:, :, 11:]) == "xxxxx" + "=" * 7


def test_a_render_without_an_earlier_one_is_what_it_was(pipe, store, tmp_path, monkeypatch):
    kept = Render(pipe, store, tmp_path / "a.mp4", BOARD)
    monkeypatch.setenv("SORA_KEPT_RENDERS", "")
    assert usual_folder() is None
    alone = pipe.long_video(BOARD, tmp_path / "b.mp4", **HOW)
    assert same_video(kept.path, alone)
    monkeypatch.delenv("SORA_KEPT_RENDERS")
    assert usual_folder().name == "renders"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"steps": 5}, {"cfg": 2.0}, {"width": 48}, {"sampler": "heun"}, {"scheduler": "beta"}, {"fps": 6},
     {"negative": "a dog", "cfg": 3.0}, {"rolling": Rolling(hold=0.5)}],
    ids=lambda change: "-".join(change),
)  # fmt: skip
def test_other_settings_keep_nothing(pipe, store, tmp_path, change):
    Render(pipe, store, tmp_path / "a.mp4", BOARD[:3])
    assert Render(pipe, store, tmp_path / "b.mp4", CHANGED[:3], **change).note == ""
    assert "kept" in Render(pipe, store, tmp_path / "c.mp4", CHANGED[:3]).note


def lora_of(pipe, path: Path) -> Path:
    name, weight = next((n, w) for n, w in pipe.bundle.dit.named_parameters() if n.endswith("self_attn.q.weight"))
    stem = f"diffusion_model.{name.removesuffix('.weight')}"
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    save_file({f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}, path)
    return path


def test_another_lora_keeps_nothing_and_does_not_go_on(pipe, store, tmp_path):
    other = pipe.with_lora(lora_of(pipe, tmp_path / "a.safetensors"))
    Render(pipe, store, tmp_path / "a.mp4", BOARD[:3])
    assert Render(other, store, tmp_path / "b.mp4", CHANGED[:3]).note == ""
    names = [pipe, other, other.with_lora(tmp_path / "a.safetensors", 0.5), tiny_pipeline()]
    found = [p.engine.fingerprint(p.model) for p in names]
    assert len(set(found)) == 3 and found[0] == found[3]
    with pytest.raises(Stop):
        pipe.long_video(BOARD, tmp_path / "c.mp4", progress=stop_after(2), **HOW)
    with pytest.raises(sora_core.SoraError, match="other settings"):
        other.long_video(BOARD, tmp_path / "c.mp4", **HOW)


def test_a_stopped_rerender_goes_on_as_it_began(pipe, store, tmp_path):
    longer = [*BOARD[:2], ("a tree in a field", 5.0), *BOARD[3:]]
    Render(pipe, store, tmp_path / "a.mp4", BOARD)
    earlier = next(store.glob("*"))
    saved = earlier.read_bytes()
    whole = Render(pipe, store, tmp_path / "whole.mp4", longer)
    assert whole.segments == 4
    for file in store.glob("*"):
        file.unlink()
    earlier.write_bytes(saved)
    path = tmp_path / "part.mp4"
    with pytest.raises(Stop):
        pipe.long_video(longer, path, progress=stop_after(2), **HOW)
    with pytest.raises(sora_core.SoraError, match="keeps shots of an earlier"):
        pipe.long_video(longer, path, reuse=False, **HOW)
    # What it was begun from is no longer there, and something else is.
    earlier.unlink()
    Render(pipe, store, tmp_path / "b.mp4", CHANGED)
    seen: list = []
    pipe.long_video(longer, path, progress=seen.append, **HOW)
    assert seen[0].segment == 2 and same_video(path, whole.path)
    assert not list(tmp_path.glob(".*.segments"))


def test_a_first_render_that_was_stopped_goes_on_without_another(pipe, store, tmp_path):
    whole = pipe.long_video(CHANGED, tmp_path / "whole.mp4", reuse=False, **HOW)
    path = tmp_path / "part.mp4"
    with pytest.raises(Stop):
        pipe.long_video(CHANGED, path, progress=stop_after(3), reuse=False, **HOW)
    Render(pipe, store, tmp_path / "a.mp4", BOARD)
    seen: list = []
    pipe.long_video(CHANGED, path, progress=seen.append, **HOW)
    assert seen[0].segment == 3 and same_video(path, whole)


def test_what_is_kept_stays_small_and_nothing_breaks_without_it(pipe, store, tmp_path, monkeypatch):
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD)
    (file,) = store.glob("*")
    size = file.stat().st_size
    assert size < first.latents.nbytes + 4096
    monkeypatch.setattr(finished, "LIMIT", 2 * size + 4096)
    for seed in range(1, 4):
        pipe.long_video(BOARD, tmp_path / "b.mp4", **HOW, seed=seed)
    assert len(list(store.glob("*"))) == 2 and not file.exists()
    monkeypatch.setattr(finished, "DAYS", -1)
    pipe.long_video(BOARD, tmp_path / "b.mp4", **HOW)
    assert not list(store.glob("*"))
    monkeypatch.undo()
    assert not Finished(store).takes(10**6, (16, 60, 104))


def test_a_broken_or_forbidden_store_costs_no_video(pipe, store, tmp_path, monkeypatch):
    Render(pipe, store, tmp_path / "a.mp4", BOARD)
    (file,) = store.glob("*")
    file.write_bytes(file.read_bytes()[:300])
    made = Render(pipe, store, tmp_path / "b.mp4", CHANGED)
    assert made.note == "" and made.segments == 7
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SORA_KEPT_RENDERS", str(tmp_path / "file"))
    alone = pipe.long_video(CHANGED, tmp_path / "c.mp4", **HOW)
    assert same_video(alone, made.path)


def test_few_steps_make_what_comes_after_a_cut_from_noise(pipe, store, tmp_path):
    """They have no step at which an overlap could join in."""
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD, steps=2)
    gone = Render(pipe, store, tmp_path / "b.mp4", [*BOARD[:2], *BOARD[3:]], steps=2)
    assert same(first.latents[:, :, :9], gone.latents[:, :, :9]) == "=" * 9
    assert same(first.latents[:, :, 13:], gone.latents[:, :, 9:]) == "x" + "=" * 7
    assert gone.segments == 1


@pytest.mark.slow
def test_goes_on_from_a_video_with_the_first_shot_changed(pipe, store, tmp_path):
    frames = torch.linspace(0, 1, 17)[:, None, None, None].expand(-1, 32, 32, 3).contiguous()
    how = {"video": frames, "width": None, "height": None}
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD[:3], **how)
    again = Render(pipe, store, tmp_path / "b.mp4", [CHANGED[2], *BOARD[1:3]], **how)
    assert same(first.latents, again.latents) == "=" * 5 + "x" * 6 + "=" * 6
    assert again.note.startswith("Shots 2, 3 kept")
    gone = Render(pipe, store, tmp_path / "c.mp4", BOARD[1:3], **how)
    assert same(first.latents[:, :, :5], gone.latents[:, :, :5]) == "=" * 5
    assert same(first.latents[:, :, 10:14], gone.latents[:, :, 5:9]) == "x==x" and "2 joins made" in gone.note


@pytest.mark.slow
def test_sora_mini_keeps_four_shots_of_five(store, tmp_path):
    pipe = sora_core.load(device="cpu")
    how = {"steps": 8, "width": 64, "height": 64, "cfg": 4.0}
    first = Render(pipe, store, tmp_path / "a.mp4", BOARD, **how)
    again = Render(pipe, store, tmp_path / "b.mp4", CHANGED, **how)
    assert same(first.latents, again.latents) == "=" * 8 + "x" * 6 + "=" * 7
    assert (first.segments, again.segments) == (7, 2)
    shorter = [*BOARD[:2], (BOARD[2][0], 1.5), *BOARD[3:]]
    short = Render(pipe, store, tmp_path / "c.mp4", shorter, **how)
    assert same(first.latents[:, :, :8], short.latents[:, :, :8]) == "=" * 8 and short.segments == 2
    assert same(first.latents[:, :, 14:], short.latents[:, :, 13:]) == "=" * 7
    for change in ({"seed": 1}, {"steps": 3}):
        assert Render(pipe, store, tmp_path / "d.mp4", CHANGED, **(how | change)).segments == 7
    other = pipe.with_lora(lora_of(pipe, tmp_path / "a.safetensors"), 0.1)
    assert Render(other, store, tmp_path / "e.mp4", CHANGED, **how).segments == 7
