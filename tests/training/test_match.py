"""Distribution matching: the student is moved towards what the teacher finds likely, and by nothing else."""

from dataclasses import replace

import pytest
import torch
from training_support import adapter_settings, as_words

from sora_core.errors import SoraError
from sora_core.loading.checkpoint import load_parts, save
from sora_core.loading.lora import Change, save_lora
from sora_core.training import cli
from sora_core.training.recipes.deepen import deepened
from sora_core.training.recipes.match import MatchTrainer, MatchTraining


def config(root, **changes):
    return MatchTraining(**adapter_settings(root, "match", **{"few": 2, "alone": 0, "lr": 1e-2, **changes}))


def test_a_critic_that_agrees_with_the_teacher_moves_nothing(root):
    trainer = MatchTrainer(config(root, cfg=1.0, mask_share=1.0))
    step = next(s for s in range(50) if not trainer.batch(s).generate.all())
    b = trainer.batch(step)
    level, noise = torch.rand(len(b.latents)), torch.randn_like(b.latents)
    assert float(trainer.objective.score_difference(b.latents, b, level, noise).abs().max()) < 1e-3
    with torch.no_grad():
        trainer.critic.dit.head.head.weight.add_(0.3)
    way = trainer.objective.score_difference(b.latents, b, level, noise)
    generate = b.generate[:, None, :, None, None].expand_as(way)
    assert float(way[generate].abs().mean()) > 0.01 and float(way[~generate].abs().max()) == 0


def test_the_student_samples_as_it_will_be_sampled(root):
    trainer = MatchTrainer(config(root, mask_share=1.0))
    b = trainer.batch(next(s for s in range(50) if not trainer.batch(s).generate.all()))
    clip = trainer.objective.generate(b, 2, torch.Generator().manual_seed(1), learn=True)
    kept = ~b.generate[:, None, :, None, None].expand_as(clip)
    assert torch.equal(clip[kept], b.latents[kept]) and clip.requires_grad
    assert not trainer.objective.generate(b, 2, torch.Generator().manual_seed(1), learn=False).requires_grad


def test_only_student_and_critic_learn(root):
    trainer = MatchTrainer(config(root, ahead=2))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    teacher = {name: p.clone() for name, p in trainer.objective.teacher.state_dict().items()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert any(name.endswith(".up") for name in moved) and any(name.startswith("critic.dit.blocks") for name in moved)
    assert all(".parametrizations." in name or name.startswith("critic.dit.") for name in moved)
    assert all(torch.equal(p, teacher[name]) for name, p in trainer.objective.teacher.state_dict().items())


@pytest.mark.slow
def test_the_student_comes_closer_to_what_the_teacher_makes(root):
    """One call from noise: the mean of its clips, which an untrained one call misses, comes to the teacher's."""
    how = {"few": 1, "cfg": 1.0, "mask_share": 0.0, "steps": 120, "decay": 60, "alone": 20, "lr": 3e-3, "tokens": 512}
    trainer = MatchTrainer(config(root, out=str(root / "closer"), log_every=60, ahead=1, **how))
    b = trainer.batch(3)
    noise = torch.randn(b.noise.shape, generator=torch.Generator().manual_seed(2))
    b = replace(b, ids=b.ids[:1].expand(len(b.ids), -1, -1), noise=noise)
    with torch.no_grad():
        x, steps = b.noise, 24
        for i in range(steps):
            level = torch.full((len(x),), 1 - i / steps)
            clean = trainer.objective.predict(trainer.objective.teacher, x, level, b)
            x = clean + (1 - 1 / (steps - i)) * (x - clean)

        def far() -> float:
            clip = trainer.objective.generate(b, 1, torch.Generator(), learn=False)
            return float((clip.mean(0) - x.mean(0)).square().mean())

        before = far()
    trainer.train()
    with torch.no_grad():
        assert far() < 0.7 * before


@pytest.mark.slow
def test_a_discriminator_tells_the_students_clips_from_the_worlds_and_says_where_to_go(root):
    how = {"adversarial": 0.5, "taps": (1, 2), "mask_share": 1.0, "tokens": 256, "adam_lr": 1e-2}
    trainer = MatchTrainer(config(root, out=str(root / "told"), steps=40, alone=40, log_every=40, ahead=1, **how))
    b = trainer.batch(next(s for s in range(50) if not trainer.batch(s).generate.all()))
    level, noise = torch.full((len(b.latents),), 0.3), torch.randn_like(b.latents)
    clip = trainer.objective.generate(b, 1, torch.Generator(), learn=False)
    before, right = trainer.objective.adversary.loss(clip, b, level, noise)
    trainer.train()
    after, then_right = trainer.objective.adversary.loss(clip, b, level, noise)
    assert after.item() < 0.8 * before.item() and then_right > 0.75
    way = torch.randn_like(clip) * b.generate[:, None, :, None, None]
    step = trainer.objective.adversary.gradient(clip, b, level, noise, way)
    kept = ~b.generate[:, None, :, None, None].expand_as(clip)
    assert float(step[kept].abs().max()) == 0
    assert torch.allclose(step.flatten(1).norm(dim=1), 0.5 * way.flatten(1).norm(dim=1), rtol=1e-4)
    with torch.no_grad():
        there, here = (
            trainer.objective.adversary.logits(x, b, level, noise).mean() for x in (clip - 0.05 * step, clip)
        )
    assert there > here


def test_a_discriminators_own_teacher_learns_and_is_no_part_of_the_lora(root, tmp_path):
    plain = {"adversarial": 0.5, "taps": (1,), "steps": 3, "alone": 3, "lr": 1e-2}
    trainer = MatchTrainer(config(root, out=str(tmp_path), judge_rank=4, **plain))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    judged = {name for name in moved if name.startswith("judge.")}
    assert judged and all(name.startswith("judge.dit.blocks.0.") for name in judged)
    assert all(".parametrizations." in name for name in judged)
    again = MatchTrainer(config(root, out=str(tmp_path / "b"), **plain))
    assert trainer.changes().keys() == again.changes().keys()


@pytest.mark.parametrize(
    "bad",
    [
        *({"adversarial": -1.0}, {"adversarial": 11.0}, {"judged_noise": 0.0}, {"judged_noise": 1.5}),
        *({"judge_rank": -1}, {"judge_rank": 257}),
        *({"taps": ()}, {"taps": (2, 1)}, {"taps": (0,)}, {"taps": (1, 99)}),
    ],
)
def test_a_discriminator_that_cannot_be_is_refused(root, tmp_path, bad):
    with pytest.raises(SoraError, match=next(iter(bad))):
        MatchTrainer(config(root, out=str(tmp_path), **{"adversarial": 0.5, "taps": (1,), **bad}))


@pytest.mark.slow
def test_it_goes_on_from_what_distillation_made(root, tmp_path):
    how = {"few": 2, "decay": 1, "lr": 1e-2, "alone": 0, "ahead": 1, "save_every": 2, "compile": False, "start": ""}
    words = as_words(adapter_settings(root, "", **{**how, "out": str(tmp_path / "a")}))
    assert cli.main(["match", *words]) == 0
    file = tmp_path / "a" / "lora.safetensors"
    trainer = MatchTrainer(config(root, out=str(tmp_path / "b"), start=str(file)))
    first, second = trainer.changes(), MatchTrainer(config(root, out=str(tmp_path / "a"))).changes()
    for name, change in first.items():
        shape = (change.up.shape[0], change.down.shape[1])
        assert torch.allclose(change.delta(shape), second[name].delta(shape), atol=2e-3)
    wider = MatchTrainer(config(root, out=str(tmp_path / "c"), start=str(file), rank=8)).changes()
    for name, change in first.items():
        shape = (change.up.shape[0], change.down.shape[1])
        assert torch.allclose(change.delta(shape), wider[name].delta(shape), atol=2e-3)
    with pytest.raises(SoraError, match="rank"):
        MatchTrainer(config(root, out=str(tmp_path / "d"), start=str(file), rank=1))


def test_a_lora_that_teaches_words_is_no_start(root, tmp_path):
    """A row of the embedding is no low-rank change, though its shape may be that of one."""
    trainer = MatchTrainer(config(root, out=str(tmp_path / "a"), rank=1))
    width = trainer.model.text.embedding.weight.shape
    row = Change(torch.zeros(width[0], 1), torch.zeros(1, width[1]))
    save_lora(tmp_path / "words.safetensors", {**trainer.changes(), "text_encoders.embedding": row}, ("gryphon",))
    with pytest.raises(SoraError, match="text_encoders.embedding is not what rank=1"):
        MatchTrainer(config(root, out=str(tmp_path / "b"), start=str(tmp_path / "words.safetensors"), rank=1))


@pytest.mark.slow
def test_a_lora_goes_on_after_the_model_was_deepened(root, tmp_path):
    """Each change stays with the block that it was made for, and the deeper model's clips are at first the same."""
    file = tmp_path / "a" / "lora.safetensors"
    MatchTrainer(config(root, out=str(file.parent), lr=1e-1)).train()
    parts, info = load_parts(root / "tiny.safetensors")
    count = len(parts["dit"].blocks)
    after = [0, count - 1]
    save(tmp_path / "deep.safetensors", parts | {"dit": deepened(parts["dit"], after)}, info, torch.float32)
    shallow = MatchTrainer(config(root, out=str(tmp_path / "b"), start=str(file)))
    how = {"init": str(tmp_path / "deep.safetensors"), "start": str(file)}
    deep = MatchTrainer(config(root, out=str(tmp_path / "c"), deepened=after, **how))
    b = shallow.batch(0)
    clips = [t.objective.generate(b, 2, torch.Generator().manual_seed(1), learn=False) for t in (shallow, deep)]
    assert torch.allclose(*clips, atol=1e-4)
    untold = MatchTrainer(config(root, out=str(tmp_path / "d"), **how))
    assert not torch.allclose(
        untold.objective.generate(b, 2, torch.Generator().manual_seed(1), learn=False), clips[0], atol=1e-4
    )
