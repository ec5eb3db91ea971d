"""Few-step distillation: the teacher's path is the sampler's own, and the student gets there in fewer calls."""

import torch
from training_support import adapter_settings, as_words

import sora_core
from sora_core.diffusion.sampling import sample
from sora_core.loading.lora import read_lora
from sora_core.training import cli
from sora_core.training.recipes.distill import DistillTrainer, DistillTraining

FEW = 2


def config(root, **changes):
    return DistillTraining(**adapter_settings(root, "run", **{"few": FEW, "substeps": 4, "batches": 2, **changes}))


def test_the_teacher_is_the_model_with_guidance(root):
    trainer = DistillTrainer(config(root, mask_share=0.0, few=1, substeps=8))
    b = trainer.latent_batch(5)
    states = trainer.teacher.follow(b)
    model = sora_core.load(root / "tiny.safetensors", device="cpu")
    with torch.no_grad():
        made = sample(
            model.model,
            {"samples": torch.zeros_like(b.latents)},
            model.text(b.ids[:, 0]),
            model.text(torch.zeros_like(b.ids[:, 0])),
            seed=0,
            sampler="dpmpp_2m",
            sigmas=trainer.teacher.sigmas,
            cfg=4.0,
            noise=b.noise,
        )["samples"]
    assert len(states) == 2 and torch.equal(states[0], b.noise) and trainer.sigmas == [1, 0]
    assert torch.allclose(states[-1], made, atol=1e-4)


def test_kept_latents_stay(root):
    trainer = DistillTrainer(config(root, mask_share=1.0))
    step = next(s for s in range(50) if not trainer.latent_batch(s).generate.all())
    b = trainer.latent_batch(step)
    assert len(trainer.sigmas) == FEW + 1 and trainer.sigmas[0] == 1 and trainer.sigmas[-1] == 0
    kept = ~b.generate[:, None, :, None, None].expand_as(b.latents)
    states = trainer.teacher.follow(b)
    assert len(states) == FEW + 1 and not torch.equal(states[1], states[2])
    assert torch.equal(states[-1][kept], b.latents[kept])


def test_the_student_comes_closer(root):
    how = {"few": FEW, "batches": 2, "lr": 1e-2, "mask_share": 0.0, "decay": 40, "steps": 80, "log_every": 40}
    how["sampler"] = "dpmpp_2m"  # without fresh noise on the way, the noise alone decides what comes
    words = as_words(adapter_settings(root, "learn", **how))
    assert cli.main(["distill", *words]) == 0
    file = root / "learn" / "lora.safetensors"
    assert read_lora(file).habits == {"steps": FEW, "cfg": 1.0, "sampler": "lcm"}
    base = sora_core.load(root / "tiny.safetensors", device="cpu")
    student = base.with_lora(file)
    teacher = DistillTrainer(config(root, out=str(root / "fresh"), mask_share=0.0, sampler="dpmpp_2m"))
    b = teacher.latent_batch(1000)
    target = teacher.teacher.follow(b)[-1]

    def far(pipe) -> float:
        with torch.no_grad():
            made = sample(
                pipe.model,
                {"samples": torch.zeros_like(b.latents)},
                pipe.text(b.ids[:, 0]),
                None,
                seed=0,
                sampler="euler",
                sigmas=torch.tensor([1.0, 0.0]),
                noise=b.noise,
            )["samples"]
        return float((made - target).square().mean())

    assert far(student) < 0.6 * far(base)  # in one call, from noise
    assert base.habits() == (25, 4.0, "euler") and student.habits() == (FEW, 1.0, "lcm")
    assert student.habits(steps=8, sampler="euler") == (8, 1.0, "euler")
