"""Layouts of the world's clips, tokens around their subjects, and how planner and transformer are trained on them."""

import json

import numpy as np
import pytest
import torch

from sora_core.language.lexicon import load_lexicon
from sora_core.loading.checkpoint import load_parts, save
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.layout import FIGURES, SLOTS, UNTOLD, token_channels
from sora_core.model.patch import patchify
from sora_core.model.text.concepts import TextConfig, TextEncoder, Tokenizer, Vocabulary
from sora_core.training.data.layouts import layout_of, shaken, tokens_around
from sora_core.training.data.plans import PlanBatches, PlanSettings, tell_clips
from sora_core.training.data.shards import token_labels
from sora_core.training.loop.draws import Ranks
from sora_core.training.network import DiTWithHeads
from sora_core.training.recipes.dit import extended
from sora_core.training.recipes.planner import PlannerTrainer, PlannerTraining
from sora_core.training.world import PRESETS, World

CONFIG = DiTConfig(32, 64, num_heads=2, num_layers=2, text_dim=16, text_len=64, coordinates=True)


@pytest.fixture(scope="module")
def world():
    return World(PRESETS["cast-single"], None)


@pytest.mark.parametrize("seed", range(4))
def test_subjects_are_where_the_layout_says(world, seed):
    clip = world.sample(90 + seed, 128, 128, 17)
    layout = torch.from_numpy(layout_of(clip.facts, 5))
    assert layout.shape == (5, SLOTS, FIGURES) and not layout[:, 1].any()
    labels = torch.from_numpy(token_labels(clip.labels, len(PRESETS["cast-single"].subjects)) > 0)
    near = token_channels(layout[None], (5, 8, 8)).view(5, 8, 8, SLOTS, -1)[..., 0, 0] > 0.5
    assert labels.any() and (labels & near).sum() > 0.97 * labels.sum()
    assert near.float().mean() < 0.8


def test_a_layout_tells_ways_and_what_hides():
    path = [[40.0 + 4 * i, 64.0, 32.0] for i in range(17)]
    fact = {"width": 128, "height": 128, "subjects": [{"path": path, "facing": -1, "visible": [0.1] * 9 + [0.0] * 8}]}
    layout = layout_of(fact, 5)
    assert np.allclose(layout[:, 0, 4], [0, 0.125, 0.125, 0.125, 0.125]) and not layout[:, 0, 5].any()
    assert np.allclose(layout[:, 0, 0] * 128, [40, 50, 66, 82, 98])  # the middle of one frame, and of four each
    assert np.allclose(layout[:, 0, 6], [1, 1, 1, 0, 0]) and (layout[:, 0, 3] == -1).all()
    fact["subjects"][0]["path"][0] = [np.nan] * 3
    assert not layout_of(fact, 5)[0].any()  # of one that is not there yet
    assert not layout_of({"captions": ["my own clip"]}, 5).any()


def test_what_is_shaken_moves_as_a_whole():
    layout = layout_of({"width": 128, "height": 128, "subjects": [{"path": [[64.0, 64.0, 32.0]] * 9}]}, 3)
    moved = shaken(layout, np.random.default_rng(1), 0.1)
    off = moved - layout
    assert (off[:, 0, :3] == off[0, 0, :3]).all() and 0 < np.abs(off[0, 0, :2]).max() < 0.1
    assert not off[..., 3:].any() and not moved[:, 1].any()


def test_the_tokens_around_subjects_come_first():
    labels = np.zeros((2, 6, 6), np.uint8)
    labels[:, 2, 2] = 7
    rng = np.random.default_rng(0)
    for count in (2, 18, 30):
        chosen = tokens_around(labels.ravel(), (2, 6, 6), count, rng)
        assert len(chosen) == count and (np.diff(chosen) > 0).all() and {14, 50} <= set(chosen.tolist())
    near = np.zeros((2, 6, 6), bool)
    near[:, 1:4, 1:4] = True
    many = np.mean([near.ravel()[tokens_around(labels.ravel(), (2, 6, 6), 30, rng)].mean() for _ in range(50)])
    assert many > 0.5  # 18 of 30, and some of the background in between
    assert len(tokens_around(labels.ravel(), (2, 6, 6), 500, rng)) == 72


def reader():
    """A text encoder that knows one word."""
    return TextEncoder(TextConfig(dim=16, num_layers=1, num_heads=2), Vocabulary(("cat",), ("subject",), {"cat": 0}))


def test_tokens_seen_alone_are_seen_as_in_the_whole():
    torch.manual_seed(1)
    text = reader()
    model = DiTWithHeads(extended(DiT(CONFIG), 0, 16), text, 5, 1).eval()
    torch.nn.init.normal_(model.dit.head.head.weight)
    x, t = torch.randn(2, 16, 2, 4, 4), torch.full((2, 2), 400.0)
    ids, shot = torch.zeros(2, 1, 64, dtype=torch.long), torch.zeros(2, 2, dtype=torch.long)
    layout = torch.full((2, 2, SLOTS, FIGURES), UNTOLD)
    whole = model(x, t, ids, shot, layout)
    every = model(x, t, ids, shot, layout, torch.arange(8).expand(2, 8))
    torch.testing.assert_close(every[0], patchify(whole[0], (1, 2, 2)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(every[1], whole[1], atol=1e-5, rtol=1e-4)
    some = model(x, t, ids, shot, layout, torch.tensor([[0, 3], [5, 6]]))
    assert some[0].shape == (2, 2, 64) and not torch.allclose(some[0][0, 0], every[0][0, 0], atol=1e-3)


def test_a_model_that_gets_a_planner_computes_as_before():
    torch.manual_seed(1)
    dit = DiT(CONFIG)
    new = extended(dit, 0, 16)
    assert extended(dit, 0, 0) is dit and extended(new, 0, 32) is new
    x, t, context = torch.randn(1, 16, 2, 4, 4), torch.tensor([400.0]), torch.randn(1, 16, 16)
    layout = torch.rand(1, 2, SLOTS, FIGURES)
    assert torch.equal(new(x, t, context, layout=layout), dit(x, t, context))


def test_plans_are_drawn_by_step_and_rank(world):
    clips = [[world.facts(seed) for seed in range(6)]]
    text = reader()

    def batch(step, rank=0, ranks=1, size=4):
        settings = PlanSettings(batch=size)
        return PlanBatches(settings, clips, text.tokenizer, 64, 3, Ranks(rank, ranks)).draw(step)

    one, again = batch(5), batch(5)
    assert torch.equal(one.layout, again.layout) and torch.equal(one.noise, again.noise) and one.aspect == 1
    lengths = {batch(step).layout.shape[1] for step in range(40)}
    assert {5} < lengths <= {1, 2, 3, 4, 5}
    known = Tokenizer(Vocabulary.from_lexicon(load_lexicon()))
    names = [{i for s in fact["subjects"] for i in known.ids(s["name"], 64)} for fact in clips[0]]
    bare = PlanBatches(PlanSettings(batch=64, sparse=1.0, text_drop=0.0), clips, known, 64, 3, Ranks(0, 1)).draw(1).ids
    rows = [set(row[row != 0].tolist()) for row in bare]
    assert all(any(name <= row for name in names) for row in rows)
    assert min(map(len, rows)) == 1 and max(map(len, rows)) > 6  # from a name alone to a whole sentence
    facts = tell_clips("cast", 17, 128, 128, range(20))
    assert len(facts) == 20 and not any(fact["events"] for fact in facts)


def test_a_planner_learns_where_its_model_is_left_as_it_is(tmp_path, world):
    torch.manual_seed(2)
    text = TextEncoder(
        TextConfig(dim=16, num_layers=1, num_heads=2, length=24), Vocabulary.from_lexicon(load_lexicon())
    )
    dit = extended(DiT(CONFIG), 0, 32)
    save(tmp_path / "model.safetensors", {"dit": dit, "text": text}, {"name": "tiny"})
    folder = tmp_path / "data" / "17x128x128"
    folder.mkdir(parents=True)
    (folder / "facts.jsonl").write_text("\n".join(json.dumps(world.facts(seed)) for seed in range(40)))
    config = PlannerTraining(
        init=str(tmp_path / "model.safetensors"), data=str(tmp_path / "data"), out=str(tmp_path / "run"), steps=60,
        batch=32, warmup=2, decay=20, lr=5e-3, adam_lr=5e-3, ema=0.9, bf16=False, log_every=20, sheet_every=60,
    )  # fmt: skip
    trainer = PlannerTrainer(config)
    first = trainer.objective(0, trainer.draw(0))[0]
    trainer.train()
    assert trainer.objective(0, trainer.draw(0))[0] < 0.7 * first
    parts, info = load_parts(tmp_path / "run" / "model.safetensors")
    old, new = (p["dit"].state_dict() for p in (load_parts(tmp_path / "model.safetensors")[0], parts))
    moved = {key for key in old if not torch.equal(old[key], new[key])}
    assert moved and all(key.startswith("layout.planner.") for key in moved) and info["name"] == "tiny"
    nothing = text(torch.zeros(1, 64, dtype=torch.long)).expand(8, -1, -1)
    plan = parts["dit"].layout.planner.plan(torch.randn(8, 5, SLOTS * FIGURES), nothing, 1.0)
    # Nearly all of the world's single subjects are there, within the frame.
    assert plan[:, :, 0, 7].mean() > 0.9 and plan[:, :, 1, 7].mean() < 0.1
    assert ((plan[:, :, 0, :2] > -0.2) & (plan[:, :, 0, :2] < 1.2)).float().mean() > 0.9
