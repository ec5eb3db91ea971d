"""The trainers on a tiny world: they learn, resume exactly, and two processes equal one with twice the batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from marks import with_slow
from safetensors.torch import load_file
from training_support import dit_config, resumes_exactly, vae_config

from sora_core.diffusion.shots import read_shots
from sora_core.errors import SoraError
from sora_core.loading.checkpoint import load_model, load_parts, save
from sora_core.model.dit import DiT, DiTConfig
from sora_core.training import cli
from sora_core.training.data.latents import encode_shards
from sora_core.training.data.masks import frame_mask
from sora_core.training.data.shards import BucketSampler, open_buckets, render_shards, token_labels
from sora_core.training.loop.draws import Ranks
from sora_core.training.loop.optim import build_optimizers
from sora_core.training.losses.flow import box_positions, importance
from sora_core.training.recipes.assemble import mean_parts
from sora_core.training.recipes.deepen import deepened, deepened_name
from sora_core.training.recipes.dit import DiTTrainer
from sora_core.training.recipes.match import MatchTrainer
from sora_core.training.recipes.vae import VAETrainer


def test_shards_hold_the_rendered_clips(world):
    buckets = {b.name: b for b in open_buckets(world / "data")}
    assert set(buckets) == {"9x64x64", "1x64x96"}
    b = buckets["9x64x64"]
    assert b.frames.shape == (10, 9, 64, 64, 3) and b.labels.shape == (10, 3, 4, 4) and len(b.facts) == 10
    assert b.labels.max() > 0, "no subject is labelled in any clip"


def test_token_labels_name_the_dominant_subject():
    labels = np.zeros((5, 32, 32), np.uint8)
    labels[:, :16, :16] = 7
    labels[1:, 16:, 16:20] = 3  # a quarter of the token
    labels[1:, 16:, 0:2] = 5  # too little of it
    out = token_labels(labels, 10)
    assert out.tolist() == [[[7, 0], [0, 0]], [[7, 0], [0, 3]]]


@pytest.mark.parametrize("kind", with_slow(["vae", "dit"], ["dit"]))
def test_resume_is_exact(world, kind):
    trainer, config = (VAETrainer, vae_config) if kind == "vae" else (DiTTrainer, dit_config)
    resumes_exactly(world, kind, trainer, config)


@pytest.mark.slow
def test_one_half_of_a_vae_is_trained_on_and_the_other_stays(world):
    start = world / "vae" / "model.safetensors"
    dit = world / "dit-alone.safetensors"
    DiTTrainer(dit_config(world, "dit-alone", steps=1)).export(dit)
    known = {"init": str(start), "steps": 3}
    for wrong, message in (
        ({"only": "decoder"}, "only=decoder needs init"),
        ({"only": "decoder", "init": str(dit)}, "holds no VAE"),
        ({"only": "stem", **known}, "give encoder or decoder"),
    ):
        with pytest.raises(SoraError, match=message):
            VAETrainer(vae_config(world, "vae-wrong", **wrong))
    before = load_parts(start)[0]["vae"]
    video = torch.rand(1, 3, 5, 32, 48) * 2 - 1
    latent = before.encode(video)

    VAETrainer(vae_config(world, "vae-decoder", only="decoder", **known)).train()
    after = load_parts(world / "vae-decoder" / "model.safetensors")[0]["vae"]
    assert torch.equal(after.encode(video), latent)
    assert not torch.equal(after.decode(latent), before.decode(latent))

    VAETrainer(vae_config(world, "vae-encoder", only="encoder", **known)).train()
    after = load_parts(world / "vae-encoder" / "model.safetensors")[0]["vae"]
    assert torch.equal(after.decode(latent), before.decode(latent))
    assert not torch.equal(after.encode(video), latent)


@pytest.mark.slow
def test_a_detailer_is_added_to_a_model_that_computes_alike_at_first(world):
    start = world / "dit-tokens.safetensors"
    DiTTrainer(dit_config(world, "dit-tokens", steps=1)).export(start)
    plain = load_parts(start)[0]["dit"]
    trainer = DiTTrainer(dit_config(world, "dit-detailed", steps=3, init=str(start), detail=8))
    x, t, context = torch.randn(1, 16, 3, 8, 8), torch.tensor([500.0]), torch.randn(1, 8, plain.config.text_dim)
    assert torch.equal(trainer.model.dit(x, t, context), plain.train()(x, t, context))
    trainer.train()
    assert trainer.model.dit.detail.head.weight.abs().max() > 0
    made = load_parts(world / "dit-detailed" / "model.safetensors")[0]["dit"]
    assert made.config.detail == 8 and not torch.equal(made.eval()(x, t, context), plain.eval()(x, t, context))
    again = DiTTrainer(dit_config(world, "dit-again", init=str(world / "dit-detailed" / "model.safetensors"), detail=8))
    assert torch.equal(again.model.dit.detail.head.weight, made.detail.head.weight)


@pytest.mark.slow
def test_heads_are_learned_anew_for_weights_that_stay(world):
    start = world / "dit-kept.safetensors"
    DiTTrainer(dit_config(world, "dit-kept", steps=1)).export(start)
    for wrong, message in (({"only": "heads"}, "needs init"), ({"only": "blocks", "init": str(start)}, "give heads")):
        with pytest.raises(SoraError, match=message):
            DiTTrainer(dit_config(world, "dit-wrong", **wrong))
    heads = DiTTrainer(dit_config(world, "dit-heads", steps=3, init=str(start), only="heads"))
    fresh = heads.model.labels[2].weight.clone(), heads.model.places.weight.clone()
    heads.train()
    assert not torch.equal(heads.model.labels[2].weight, fresh[0])
    assert not torch.equal(heads.model.places.weight, fresh[1])
    before, after = load_parts(start)[0], load_parts(world / "dit-heads" / "model.safetensors")[0]
    for part in ("dit", "text"):
        states = zip(before[part].state_dict().values(), after[part].state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in states)
    state = world / "dit-heads" / "state.safetensors"
    known = DiTTrainer(dit_config(world, "dit-known", steps=3, init=str(start), heads=str(state)))
    assert torch.equal(known.model.labels[2].weight, heads.ema.state["labels.2.weight"])


@pytest.mark.slow
def test_a_deeper_model_begins_as_the_one_it_is_made_of(world):
    start, state_file = world / "dit-shallow.safetensors", world / "dit-shallow" / "state.safetensors"
    shallow = DiTTrainer(dit_config(world, "dit-shallow", steps=3))
    shallow.train()
    shallow.export(start)
    deeper = world / "dit-deeper.safetensors"
    with pytest.raises(SoraError, match="one or more of the blocks 0 to 1"):
        cli.main(["deepen", str(start), "--after", "2", "--out", str(deeper)])
    with pytest.raises(SoraError, match="holds no transformer"):
        cli.main(["deepen", str(world / "vae" / "model.safetensors"), "--after", "0", "--out", str(deeper)])
    with pytest.raises(SoraError, match="There is no folder"):
        cli.main(["deepen", str(start), "--after", "0", "--out", str(world / "nowhere" / "deep.safetensors")])
    assert cli.main(["deepen", str(start), "--after", "0", "1", "1", "--out", str(deeper)]) == 0
    for heads, why in (("nowhere.safetensors", "cannot be read"), (str(deeper), "holds none")):
        with pytest.raises(SoraError, match=why):
            DiTTrainer(dit_config(world, "dit-deep", init=str(deeper), heads=heads))
    deep = DiTTrainer(dit_config(world, "dit-deep", steps=3, init=str(deeper), heads=str(state_file)))
    assert len(deep.model.dit.blocks) == len(shallow.model.dit.blocks) + 3 == deep.model.dit.config.num_layers
    x, t, ids = torch.randn(2, 16, 3, 8, 8), torch.full((2, 3), 400.0), torch.randint(2, 9, (2, 1, 64))
    shot = torch.zeros(2, 3, dtype=torch.long)
    like = DiTTrainer(dit_config(world, "dit-like", init=str(start), heads=str(state_file)))
    for ours, theirs in zip(deep.model(x, t, ids, shot), like.model(x, t, ids, shot), strict=True):
        assert torch.equal(ours, theirs)
    deep.train()
    new = deep.model.dit.blocks[1].ffn[2].weight
    assert bool(new.any()), "the new block has learned nothing"
    assert load_parts(world / "dit-deep" / "model.safetensors")[0]["dit"].config.num_layers == 5


def test_a_deeper_transformer_keeps_its_detailer():
    dit = DiT(DiTConfig(16, 32, 2, 2, in_dim=4, text_dim=8, text_len=4, detail=8, detail_blocks=3)).eval()
    deep = deepened(dit, (0, 1)).eval()
    x, t, context = torch.randn(1, 4, 2, 4, 6), torch.tensor([500.0]), torch.randn(1, 4, 8)
    assert torch.equal(deep(x, t, context), dit(x, t, context))
    # Its blocks are none of the transformer's.
    for name in ("dit.detail.blocks.1.conv1", "diffusion_model.detail.blocks.1.conv1"):
        assert deepened_name(name, (0, 0)) == name
    assert deepened_name("diffusion_model.blocks.1.ffn.0", (0, 0)) == "diffusion_model.blocks.3.ffn.0"


@pytest.mark.parametrize("trainer", [DiTTrainer, MatchTrainer])
def test_first_and_last_layers_of_a_detailer_are_no_matrices_of_muon(trainer):
    dit = DiT(DiTConfig(16, 32, 2, 1, text_dim=8, text_len=4, detail=8, detail_blocks=1))
    muon, _ = build_optimizers(dit, 1e-3, 1e-3, 0.0, trainer.adam_names)
    turned = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in dit.detail.named_parameters() if id(p) in turned}
    assert names == {"tokens.weight", "blocks.0.conv1.weight", "blocks.0.conv2.weight"}


@pytest.mark.slow
def test_dit_learns_and_exports(world):
    trainer = DiTTrainer(
        dit_config(world, "dit-learn", steps=40, lr=1e-2, adam_lr=1e-2, text_drop=0.0, sheet_every=40, sheet_steps=2)
    )
    before = np.mean([float(trainer.loss(s)[0].detach()) for s in range(1000, 1006)])
    trainer.train()
    after = np.mean([float(trainer.loss(s)[0].detach()) for s in range(1000, 1006)])
    assert after < 0.9 * before
    exported, info = load_parts(world / "dit-learn" / "model.safetensors")
    assert set(exported) == {"dit", "text"} and info["step"] == 40
    assert (world / "dit-learn" / "sheet_000040.png").exists()
    assert (world / "dit-learn" / "metrics.csv").read_text().count("\n") == 41
    joining = ["assemble", "--data", str(world / "data"), "--out", str(world / "whole.safetensors")]
    joining += ["--vae", str(world / "vae" / "model.safetensors")]
    joining += ["--dit", str(world / "dit-learn" / "model.safetensors")]
    with pytest.raises(SoraError, match="shift is -1"):
        cli.main([*joining, "--shift", "-1"])
    cli.main([*joining, "--shift", "5"])
    model = load_model(world / "whole.safetensors")
    assert model.info["shift"] == 5 and model.info["latent_rgb"]
    assert model.text.unknown_words("a cat and a qwxz") == ["qwxz"]
    # Of several exports, the mean.
    first = world / "dit-learn" / "model.safetensors"
    other, doubled = load_parts(first)[0], world / "doubled.safetensors"
    with torch.no_grad():
        for weight in other["dit"].parameters():
            weight.mul_(2)
    save(doubled, other, info, dtype=torch.float32)
    mean, _ = mean_parts([first, doubled])
    for name, weight in mean["dit"].named_parameters():
        torch.testing.assert_close(weight, 1.5 * exported["dit"].state_dict()[name])
    with pytest.raises(SoraError, match="layers differ"):
        mean_parts([first, world / "vae" / "model.safetensors"])


def test_parts_tell_where_in_its_subject_a_token_lies():
    labels = torch.zeros(1, 2, 4, 6, dtype=torch.long)
    labels[0, 1, 1:3, 2:5] = 7
    labels[0, 1, 3, 0] = 2
    found = box_positions(labels)
    assert found.shape == (1, 2, 4, 6, 4)
    assert torch.allclose(found[0, 1, 1, 2], torch.tensor([1 / 6, 1 / 4, 3 / 6, 2 / 4]))  # the top left of a 3 x 2 box
    assert torch.allclose(found[0, 1, 2, 4], torch.tensor([5 / 6, 3 / 4, 3 / 6, 2 / 4]))
    assert torch.allclose(found[0, 1, 3, 0], torch.tensor([1 / 2, 1 / 2, 1 / 6, 1 / 4]))


def test_what_is_bitten_off_counts_more_than_what_was_never_there():
    labels = torch.tensor([[[5, 5, 0], [5, 0, 0]]]).flatten(1)  # two latents of three tokens
    assert importance(labels, 2, 0.5).tolist() == [[1, 1, 0, 1, 0.5, 0]]
    assert importance(labels, 2, 0.0).tolist() == [[1, 1, 0, 1, 0, 0]]


def test_masks_hide_gaps_of_every_size_between_what_moves():
    rng = np.random.default_rng(3)
    masks = [frame_mask(rng, 5, 1.0) for _ in range(600)]
    assert all(mask.any() and not mask.all() for mask in masks)
    gaps = {tuple(np.flatnonzero(mask)) for mask in masks}
    assert {(1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3)} <= gaps, "one and more frames are kept on either side"
    assert frame_mask(rng, 1, 1.0).all() and frame_mask(rng, 5, 0.0).all()


def facts_of(trainer: DiTTrainer, step: int) -> list[dict]:
    """Of the clips that a step draws."""
    bucket, indices = trainer.batches.sampler(step).draw(step)
    return [trainer.batches.buckets[bucket].facts[i] for i in indices]


def test_a_subjects_word_is_told_where_it_is(world):
    trainer = DiTTrainer(dit_config(world, "dit-place", steps=1, text_drop=0.0, tokens=4096))
    batch, facts = trainer.batch(0), facts_of(trainer, 0)
    assert len(batch.words) >= 1
    for (clip, at), place in zip(batch.words.tolist(), batch.places, strict=True):
        fact = facts[clip]
        named = {trainer.model.text.tokenizer.ids(s["name"], 2)[0]: s for s in fact["subjects"]}
        subject = named[int(batch.ids[clip, 0, at])]
        (x, y, size), (end_x, *_) = subject["path"][0], subject["path"][-1]
        side = min(fact["width"], fact["height"])
        wanted = [x / fact["width"], y / fact["height"], size / side, end_x / fact["width"]]
        assert place[:4].tolist() == pytest.approx(np.clip(wanted, 0, 1).tolist(), abs=1e-4)


def test_kept_frames_do_not_enter_the_loss(world):
    trainer = DiTTrainer(dit_config(world, "dit-mask", steps=1, mask_share=1.0))
    step = next(s for s in range(100) if not trainer.batch(s).generate.all())
    batch = trainer.batch(step)
    base = trainer.loss(step)[1]["flow"]
    batch.noise = torch.where(batch.generate[:, None, :, None, None], batch.noise, 99.0)
    trainer.batch = lambda _: batch
    assert trainer.loss(step)[1]["flow"] == base


@pytest.mark.slow
def test_what_is_kept_may_hold_a_little_noise_of_which_the_model_is_not_told(world):
    trainer = DiTTrainer(dit_config(world, "dit-context", steps=1, mask_share=1.0, context_noise=0.2, tokens=768))
    seen, run = [], trainer.objective.network
    trainer.objective.network = lambda x, t, *rest: (seen.append((x, t)), run(x, t, *rest))[1]
    noisy = clean = 0
    for step in range(12):
        batch = trainer.batch(step)
        trainer.loss(step)
        x, t = seen[-1]
        kept = ~batch.generate
        assert not t[kept].any() and t[batch.generate].all()
        off = ((x - batch.latents).abs().amax((1, 3, 4)) * kept).amax(1)[kept.any(1)]
        noisy, clean = noisy + int((off > 1e-4).sum()), clean + int((off <= 1e-4).sum())
    assert noisy >= 3 and clean >= 3


RANK = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from training_support import dit_config
from sora_core.training.recipes.dit import DiTTrainer
from pathlib import Path
root = Path(sys.argv[2])
trainer = DiTTrainer(dit_config(root, sys.argv[3], steps=1, tokens=int(sys.argv[4]), bf16=False))
trainer.backward(5)
if trainer.ranks.rank == 0:
    from safetensors.torch import save_file
    grads = {n: p.grad for n, p in trainer.model.named_parameters() if p.grad is not None}
    save_file(grads, root / (sys.argv[3] + ".grads"))
trainer.close()
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(world):
    script = world / "rank.py"
    script.write_text(RANK)
    support = str(Path(__file__).resolve().parents[1] / "support")
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    jobs = [
        [*launch, str(script), support, str(world), "two", "96"],
        [sys.executable, str(script), support, str(world), "one", "192"],
    ]
    for job in jobs:
        done = subprocess.run(job, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two = load_file(world / "one.grads"), load_file(world / "two.grads")
    assert one.keys() == two.keys() and len(one) > 20
    for name, grad in one.items():
        assert torch.allclose(grad, two[name], atol=1e-6 + 1e-4 * float(grad.abs().max())), name


def test_ranks_share_one_draw():
    whole = BucketSampler([100, 50], [8, 6], [1, 1], seed=1)
    drawn = [BucketSampler([100, 50], [4, 3], [1, 1], seed=1, ranks=Ranks(r, 2)) for r in (0, 1)]
    for step in range(5):
        bucket, indices = whole.draw(step)
        draws = [p.draw(step) for p in drawn]
        assert [d[0] for d in draws] == [bucket, bucket]
        assert np.concatenate([d[1] for d in draws]).tolist() == indices.tolist()


@pytest.mark.parametrize(
    "argv, word",
    [
        (["vae", "--config", "nowhere"], "vae-mini"),
        (["vae", "stepz=3"], "stepz"),
        (["vae", "steps=many"], "steps"),
        (["data", "--out", "x", "--shape", "16x128x128=3"], "1 + 4k"),
        (["data", "--out", "x", "--shape", "wide"], "FRAMESxHEIGHTxWIDTH"),
        (["dit", "data=missing-folder"], "sora train data"),
    ],
)
def test_bad_settings_are_named(argv, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SoraError, match=word.replace("+", r"\+")):
        cli.main(argv)


@pytest.mark.slow
def test_a_latent_reads_the_prompt_of_its_shot(tmp_path, world):
    """What the trainer tells the model of a clip with a cut is what a storyboard of its prompts tells it."""
    render_shards(tmp_path / "data", "shots", None, {(17, 64, 64): 6}, seed=4, label="shots")
    encode_shards(tmp_path / "data", tmp_path / "latents", world / "vae" / "model.safetensors", batch=2)
    trainer = DiTTrainer(dit_config(tmp_path, "dit", data=str(tmp_path / "latents"), text_drop=0.0, shot_prompts=1.0))
    batch = trainer.batch(0)
    (slots,) = trainer.batches.slots
    assert batch.ids.shape[1] == slots > 1
    for fact, shots, ids in zip(facts_of(trainer, 0), batch.shot, batch.ids, strict=True):
        assert shots.tolist() == [
            next(n for n, s in enumerate(fact["shots"]) if s["start"] <= 4 * i < s["end"]) for i in range(5)
        ]
        assert [bool(row.any()) for row in ids] == [n < len(fact["shots"]) for n in range(slots)]
    model = trainer.model.eval()
    with torch.no_grad():
        # The head starts at zero: only another one lets the prompt be seen in the velocity.
        torch.nn.init.normal_(model.dit.head.head.weight)
        torch.nn.init.normal_(model.dit.blocks[0].cross_attn.o.weight)
        x, t = batch.latents[:1], torch.full((1, 5), 500.0)
        trained, *_ = model(x, t, batch.ids[:1], batch.shot[:1])
        counts = torch.bincount(batch.shot[0]).tolist()
        contexts = model.text(batch.ids[0, : len(counts)])
        told = model.dit(x, t, **read_shots(model.dit, contexts, counts, x.shape))
        changed = batch.ids[:1].clone()
        changed[0, 1] = 0
        other, *_ = model(x, t, changed, batch.shot[:1])
    torch.testing.assert_close(trained, told, atol=1e-4, rtol=1e-4)
    assert not torch.equal(other[:, :, counts[0] :], trained[:, :, counts[0] :])
