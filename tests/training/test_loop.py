"""Batches that are drawn ahead are those of the loop, and a run that has a budget ends by the clock."""

import pytest
import torch
from training_support import dit_config, vae_config

from sora_core.training.recipes.dit import DiTTrainer
from sora_core.training.recipes.vae import VAETrainer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vae", "dit"])
def test_batches_that_workers_draw_ahead_are_those_of_the_loop(world, kind):
    make, config = (VAETrainer, vae_config) if kind == "vae" else (DiTTrainer, dit_config)
    states = []
    for name, workers in (("alone", 0), ("ahead", 2)):
        trainer = make(config(world, f"{kind}-{name}", steps=4, workers=workers))
        trainer.train()
        states.append(trainer.model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_a_budget_ends_a_run_by_the_clock(world):
    for budget in (3.0, 15.0, 75.0):  # seconds: the first is enough where nothing else is done
        settings = dit_config(world, f"dit-budget{budget:g}", steps=100_000, decay=50_000, budget=budget)
        trainer = DiTTrainer(settings)
        trainer.train()
        if trainer.step > 20:
            break
    assert 20 < trainer.step < 100_000 and budget <= trainer.seconds < 3 * budget
    assert (trainer.out / "model.safetensors").exists() and trainer.checkpoint.exists()
    again = DiTTrainer(settings)
    again.train()
    assert again.step == trainer.step  # it is spent
    rows = (trainer.out / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    at = [names.index(name) for name in ("seconds", "lr_factor")]
    clock, factors = ([float(row.split(",")[i]) for row in rows[1:]] for i in at)
    # By the clock at each step's beginning, however long the steps are: the last half of the budget brings it down.
    wanted = [min(1.0, max(0.02, 2 * (1 - spent / budget))) for spent in clock]
    off = sorted(abs(factor - want) for factor, want in zip(factors[1:], wanted, strict=False))
    assert off[int(0.8 * len(off))] < 0.08  # between the two readings of the clock other processes may run
    assert max(factors) == 1.0 and factors[-1] < 0.5 and factors[1:] == sorted(factors[1:], reverse=True)
