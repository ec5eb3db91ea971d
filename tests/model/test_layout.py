"""Layouts: what tokens are told of them, how they are planned, and when a run has one."""

import pytest
import torch

from sora_core.diffusion.sampling import DiffusionModel, sample
from sora_core.diffusion.schedules import get_sigmas
from sora_core.errors import SoraError
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.layout import FIGURES, LONGEST, SLOTS, UNTOLD, read_figures, stays, token_channels, write_figures

CONFIG = DiTConfig(48, 96, num_heads=2, num_layers=2, text_dim=24, text_len=8, coordinates=True, planner=32)
SIGMAS = get_sigmas("simple", 3, shift=3.0)


@pytest.fixture
def dit():
    torch.manual_seed(3)
    return DiT(CONFIG).eval().requires_grad_(False)


def one_subject(latents=3, x=0.25, y=0.5, size=0.3):
    layout = torch.zeros(1, latents, SLOTS, FIGURES)
    layout[:, :, 0] = torch.tensor((x, y, size, 1, 0.1, 0, 1, 1))
    return layout


def noise(seed=0, batch=1, latents=3, h=8, w=8):
    return torch.randn(batch, 16, latents, h, w, generator=torch.Generator().manual_seed(seed))


def words(seed=0, shots=1):
    return torch.randn(1, shots * 8, 24, generator=torch.Generator().manual_seed(seed))


def made(dit, latent=None, sigmas=SIGMAS, cfg=3.0, seed=5, context=None, **given):
    model = DiffusionModel(dit, shift=3.0)
    latent = {"samples": torch.zeros(1, 16, 3, 8, 8)} if latent is None else latent
    context = words() if context is None else context
    negative = [[torch.zeros(1, 8, 24), {}]]
    positive = context if isinstance(context, list) else [[context, {}]]
    run = {"seed": seed, "sampler": "euler", "sigmas": sigmas, "cfg": cfg, **given}
    return sample(model, latent, positive, negative, **run)["samples"]


def free(dit):
    """A copy that plans nothing."""
    other = DiT(CONFIG).eval().requires_grad_(False)
    other.load_state_dict(dit.state_dict())
    other.plan = lambda *_: None
    return other


def test_figures_survive_the_way_to_the_planner_and_back():
    layout = one_subject()
    layout[:, 1, 1] = torch.tensor((0.7, 0.2, 0.5, -1, 0, 0.2, 0.4, 1))
    again = read_figures(write_figures(layout).unflatten(-1, (SLOTS, FIGURES)))
    there = layout[..., 7] > 0
    torch.testing.assert_close(again[there], layout[there])
    assert torch.equal(again[..., 7], layout[..., 7])


def test_tokens_at_a_subject_are_told_which_part_of_it_they_show():
    told = token_channels(one_subject(), (3, 8, 8)).view(1, 3, 8, 8, SLOTS, -1)
    near = told[0, 0, ..., 0, 0]  # 1 where the subject is
    assert near[3:5, 1:3].min() > 0.98 and near[:, 6:].max() < 1e-3
    assert not told[..., 1, :].any()  # nobody is in the second slot
    u = told[0, 0, 4, :, 0, 1]
    assert u[1] < 0 < u[2] and abs(float(u[1] + u[2])) < 1e-5  # its middle lies between these two
    wide = token_channels(one_subject(size=0.6), (3, 4, 8)).view(1, 3, 4, 8, SLOTS, -1)[0, 0, ..., 0, 0]
    assert (wide > 0.5).sum(1).max() == (wide > 0.5).sum(0).max()  # as wide as high, whatever the frame


def test_what_is_untold_adds_nothing(dit):
    layout = one_subject()
    layout[:, 1] = UNTOLD
    told = dit.told(layout, (3, 4, 4), 2)
    assert told.shape == (2, 48, 48) and not told[:, 16:32].any() and told[:, :16].any() and told[:, 32:].any()
    x, t = noise(), torch.tensor([700.0])
    plain = dit(x, t, context=words())
    assert torch.equal(dit(x, t, context=words(), layout=torch.full_like(layout, UNTOLD)), plain)
    assert not torch.allclose(dit(x, t, context=words(), layout=one_subject()), plain)


def test_a_layout_of_another_clip_is_refused(dit):
    with pytest.raises(SoraError, match="does not fit"):
        dit(noise(), torch.tensor([700.0]), context=words(), layout=one_subject(latents=2))


def test_a_plan_follows_from_noise_and_prompt(dit, told):
    plan = dit.plan(noise(), [words()], [3])
    assert plan.shape == (1, 3, SLOTS, FIGURES)
    assert torch.equal(plan, dit.plan(noise(), [words()], [3]))
    assert not torch.equal(plan, dit.plan(noise(1), [words()], [3]))
    assert not torch.equal(plan, dit.plan(noise(), [words(1)], [3]))
    assert set(plan[..., 7].unique().tolist()) <= {0.0, 1.0} and plan[..., 2].min() >= 0.05
    # A clip is planned alike alone and among others, and a prompt alike however far it is padded.
    both = dit.plan(torch.cat((noise(), noise(1))), [words()], [3])
    torch.testing.assert_close(both[:1], plan)
    padded = torch.cat((words(), torch.zeros(1, 20, 24)), 1)
    torch.testing.assert_close(dit.plan(noise(), [padded], [3]), plan)


def test_a_lone_subject_that_stays_is_left_to_the_tokens(dit, monkeypatch):
    moving, other, grown, two = (one_subject() for _ in range(4))
    moving[:, 2, 0, 1] += 0.2
    grown[:, 2, 0, 2] += 0.2
    two[:, :, 1] = two[:, :, 0]
    other[:, 1, 0, :3] += 0.05
    assert stays(torch.cat((one_subject(), other, moving, grown, two))).tolist() == [True, True, False, False, False]
    plans = torch.cat((other, moving))
    monkeypatch.setattr(dit.layout.planner, "plan", lambda *_: plans)
    plan = dit.plan(noise(batch=2), [words()], [3])
    assert (plan[0] == UNTOLD).all() and torch.equal(plan[1], moving[0])
    # In a storyboard it is told where it is as soon as it moves in one shot.
    board = dit.plan(noise(batch=2, latents=6), [words(), words(1)], [3, 3])
    assert (board[0] == UNTOLD).all() and torch.equal(board[1], torch.cat((moving[0], moving[0])))


@pytest.fixture
def told(monkeypatch):
    """Layouts are told whatever a planner that has learned nothing makes of them."""
    monkeypatch.setattr("sora_core.model.dit.stays", lambda layout: torch.zeros(len(layout), dtype=torch.bool))


def test_shots_are_planned_one_by_one(dit, told):
    whole = dit.plan(noise(), [words(), words(1)], [2, 1])
    first, second = dit.plan(noise()[:, :, :2], [words()], [2]), dit.plan(noise()[:, :, 2:], [words(1)], [1])
    torch.testing.assert_close(whole, torch.cat((first, second), 1))


def test_long_clips_and_other_models_are_left_to_the_tokens(dit):
    assert dit.plan(noise(latents=LONGEST + 1), [words()], [LONGEST + 1]) is None
    assert DiT(DiTConfig(48, 96, num_heads=2, num_layers=1, text_dim=24)).plan(noise(), [words()], [3]) is None
    tiny = torch.randn(1, 16, 3, 1, 1)[:, :8]
    assert dit.plan(tiny, [words()], [3]) is None  # too little noise to draw from


def test_a_run_from_noise_has_a_layout(dit, told):
    given = made(dit)
    assert torch.equal(given, made(dit)) and not torch.allclose(given, made(free(dit)))
    # ... whatever the latent holds: all of it is noise.
    assert torch.equal(given, made(dit, {"samples": torch.ones(1, 16, 3, 8, 8)}))
    # A prompt with nothing in it names nobody.
    silent = torch.zeros(1, 8, 24)
    assert torch.equal(made(dit, context=silent), made(free(dit), context=silent))


@pytest.mark.parametrize("case", ["kept", "begun", "continued"])
def test_a_run_that_has_something_in_sight_plans_nothing(dit, case):
    clean = noise(8)
    latent, given = {"samples": clean}, {}
    if case == "kept":
        latent["noise_mask"] = torch.ones(1, 1, 3, 8, 8)
        latent["noise_mask"][:, :, 0] = 0
    elif case == "begun":
        given["sigmas"] = SIGMAS[1:]
    else:
        given["add_noise"] = False
    assert torch.equal(made(dit, latent, **given), made(free(dit), latent, **given))
    if case == "kept":  # a mask that keeps nothing is none
        latent["noise_mask"][:] = 1
        assert torch.equal(made(dit, latent), made(dit, {"samples": clean}))


def test_a_storyboard_is_planned_by_its_shots(dit, told):
    board = [[torch.cat((words(), words(1)), 1), {"sora_shots": (2, 1)}]]
    given = made(dit, context=board)
    assert not torch.allclose(given, made(free(dit), context=board))


def test_half_precision_plans_too(told):
    torch.manual_seed(3)
    half = DiT(CONFIG).eval().requires_grad_(False).to(torch.bfloat16)
    assert torch.isfinite(made(half)).all()
