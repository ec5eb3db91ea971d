"""Learning from judged clips: what is asked in training is no test's, and the model moves towards what was right."""

import json
import shutil

import pytest
import torch
from nodes_support import save_tiny
from safetensors.torch import load_file, save_file
from training_support import adapter_settings

pytest.importorskip("cv2")

import sora_core
from sora_core.errors import SoraError
from sora_core.observer.network import Observer
from sora_core.training import cli
from sora_core.training.evaluate.cases import ABILITIES, Draw
from sora_core.training.evaluate.run import Maker
from sora_core.training.recipes.finetune import merge
from sora_core.training.recipes.observer import observer_config
from sora_core.training.recipes.reward import RewardTrainer, RewardTraining
from sora_core.training.recipes.rollouts import JUDGED, advantages, practice_cases, read_rollouts, roll_out, rollouts_of
from sora_core.training.world.split import held_out, shows_held_out

PROMPT = "a cat walks left on a beach"
SHAPE = (16, 2, 8, 8)


@pytest.fixture(scope="module")
def draw():
    return Draw(None, "stage", practice=3)


def written(folder, rewards, latents, prompt=PROMPT):
    """One file of one prompt's clips."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"ability": "words", "prompt": prompt, "group": 0, "seed": i, "seen": {"subject": bool(reward)}}
        for i, reward in enumerate(rewards)
    ]
    number = len(list(folder.iterdir()))
    save_file({"latents": latents.half()}, folder / f"{number:04d}.safetensors", {"rollouts": json.dumps(rows)})


def config(root, folder, **changes):
    how = {"tokens": 128, "decay": 10, "steps": 40, "log_every": 20, "lr": 1e-2, "ema": 0.9, "ordinary": 0.0}
    paths = {"out": str(folder / "run"), "rollouts": str(folder / "rollouts")}
    return RewardTraining(**adapter_settings(root, "", **{**how, **paths, **changes}))


@pytest.mark.slow
def test_practice_is_no_test(draw):
    test, other = Draw(None, "stage"), Draw(None, "stage", practice=4)
    for name in JUDGED:
        cases, asked = practice_cases(draw, name, 2, 6), ABILITIES[name](test, 8)
        assert not any(shows_held_out(case.facts) for case in cases)
        assert not {case.truth[1] for case in cases} & {case.truth[1] for case in asked}
        assert cases == practice_cases(draw, name, 0, 8)[2:] != practice_cases(other, name, 2, 6)
        assert [set(c.must) - {"subject"} for c in cases] == [set(c.must) - {"subject"} for c in asked[2:]]
    for name in ("words", "motions", "gravity"):
        fixed = [c.truth[2] for c in ABILITIES[name](draw, 60)]
        assert not any(held_out(f["subject"], f["scene"], f["motion"]) for f in fixed)
    falls = practice_cases(draw, "gravity", 0, 40)
    assert all(case.must["subject"] == case.facts["subjects"][0]["name"] for case in falls)
    assert 1 <= sum(any("一" <= c <= "鿿" for c in case.prompts[0]) for case in falls) < 20
    with pytest.raises(SoraError, match="practice"):
        practice_cases(test, "words", 0, 1)
    with pytest.raises(SoraError, match="practice is -1"):
        Draw(None, "stage", practice=-1)
    with pytest.raises(SoraError, match="no world"):
        Draw(None, "nowhere")


@pytest.mark.slow
def test_clips_are_made_judged_and_kept_once(tmp_path, draw):
    save_tiny(tmp_path / "tiny.safetensors")
    torch.manual_seed(0)
    observer = Observer(observer_config("stage"))
    maker = Maker(sora_core.load(tmp_path / "tiny.safetensors", device="cpu"), 1, 1.0, "euler", "simple", side=32)
    told = []
    for _ in range(2):
        roll_out(tmp_path / "out", maker, observer, draw, ("gravity", "words", "gravity"), 3, 12, told.append)
    assert len(told) == 3 and sorted(p.name[:9] for p in (tmp_path / "out").iterdir()) == [
        "0003-0000",
        "0003-0001",
        "0003-0002",
    ]
    from safetensors import safe_open

    prompts = []
    for file in sorted((tmp_path / "out").iterdir()):
        with safe_open(file, "pt") as opened:
            rows = json.loads(opened.metadata()["rollouts"])
            latents = opened.get_tensor("latents")
        assert latents.shape == (24, 16, 5, 4, 4) and len({r["seed"] for r in rows}) == 24
        assert [r["group"] for r in rows] == [0] * 12 + [1] * 12
        assert all(r["seen"] for r in rows)
        prompts += [rows[0]["prompt"], rows[12]["prompt"]]
    assert len(set(prompts)) == 6  # the second turn of an ability goes on where its first one ended


def test_what_a_prompt_shares_cancels():
    a = advantages([1.0, 0.0, 0.0, 0.0])
    assert abs(float(a.sum())) < 1e-6 and abs(float(a.square().mean()) - 1) < 1e-5
    assert float(a[0]) > 0 > float(a[1])


@pytest.mark.slow
def test_the_model_moves_towards_what_was_right(root, tmp_path):
    """Clips of one prompt differ by a known direction: what is sampled afterwards has more of it, and what is sampled
    of no prompt has not."""
    generator = torch.Generator().manual_seed(5)
    way = torch.randn(SHAPE, generator=generator)
    base = sora_core.load(root / "tiny.safetensors", device="cpu")

    def mean(pipe, prompt: str) -> torch.Tensor:
        x = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(1))
        keys = pipe.text.encode([prompt] * len(x))
        with torch.no_grad():
            for i in range(8):
                x = x - pipe.model.dit(x, torch.full((len(x),), 1000 * (1 - i / 8)), keys) / 8
        return x.mean(0)

    middle = mean(base, PROMPT)
    for right in range(4):
        rewards = [float(k == right) for k in range(4)]
        signs = torch.tensor([1.0 if r else -1.0 for r in rewards]).view(-1, 1, 1, 1, 1)
        written(tmp_path / "rollouts", rewards, middle + 0.5 * signs * way)
    trainer = RewardTrainer(config(root, tmp_path, silent=0.3, steps=120))
    trainer.train()
    tuned = base.with_lora(trainer.file)

    def along(prompt: str) -> float:
        return float(((mean(tuned, prompt) - mean(base, prompt)) * way).mean())

    assert along(PROMPT) > 0.01 and abs(along("")) < 0.4 * along(PROMPT)


def test_a_group_shares_noise_and_level(root, tmp_path):
    written(tmp_path / "rollouts", [1, 0, 0], torch.randn(3, *SHAPE))
    trainer = RewardTrainer(config(root, tmp_path, tokens=96, silent=0.0))
    b = trainer.draw_judged(3)
    assert len(b.latents) == 3 and float(b.advantage.sum().abs()) < 1e-5
    assert all(torch.equal(b.noise[0], n) for n in b.noise) and len(set(b.sigma.tolist())) == 1
    assert all(torch.equal(value, vars(trainer.draw_judged(3))[key]) for key, value in vars(b).items())
    assert not torch.equal(b.noise, trainer.draw_judged(4).noise)


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_been(root, tmp_path):
    for rewards in ([1, 0, 0], [0, 1]):
        written(tmp_path / "rollouts", rewards, torch.randn(len(rewards), *SHAPE))
    how = {"steps": 4, "decay": 2, "save_every": 2, "ordinary": 0.5}
    whole = RewardTrainer(config(root, tmp_path, **how))
    whole.train()
    part = RewardTrainer(config(root, tmp_path, out=str(tmp_path / "part"), **how))
    loss = part.loss

    def stopped(step):
        if step == 3:
            raise KeyboardInterrupt
        return loss(step)

    part.loss = stopped
    with pytest.raises(KeyboardInterrupt):
        part.train()
    part = RewardTrainer(config(root, tmp_path, out=str(tmp_path / "part"), **how))
    assert part.step == 2
    part.train()
    for name, change in whole.changes().items():
        assert torch.equal(change.up, part.changes()[name].up) and torch.equal(change.down, part.changes()[name].down)


def test_what_cannot_be_learned_from_is_refused(root, tmp_path):
    written(tmp_path / "rollouts", [1, 1], torch.randn(2, *SHAPE))
    with pytest.raises(SoraError, match="sora train rollouts"):
        read_rollouts(tmp_path / "rollouts")
    written(tmp_path / "rollouts", [1, 0], torch.randn(2, *SHAPE))
    for change in ({"ordinary": 1.0}, {"silent": -0.1}, {"step_size": 0.0}):
        with pytest.raises(SoraError, match=next(iter(change))):
            RewardTrainer(config(root, tmp_path, **change))
    shutil.copy(root / "tiny.safetensors", tmp_path / "rollouts" / "zz.safetensors")
    with pytest.raises(SoraError, match="zz.safetensors holds no rollouts"):
        read_rollouts(tmp_path / "rollouts")


@pytest.mark.slow
def test_a_lora_is_merged(root, tmp_path):
    written(tmp_path / "rollouts", [1, 0], torch.randn(2, *SHAPE))
    trainer = RewardTrainer(config(root, tmp_path, steps=2))
    trainer.train()
    out = tmp_path / "merged.safetensors"
    assert cli.main(["merge", str(root / "tiny.safetensors"), f"{trainer.file}:0.5", "--out", str(out)]) == 0
    merged = sora_core.load(out, device="cpu")
    wanted = sora_core.load(root / "tiny.safetensors", device="cpu").with_lora(trainer.file, 0.5)
    x = torch.randn(1, *SHAPE)
    keys = merged.text.encode([PROMPT])
    with torch.no_grad():
        results = [pipe.model.dit(x, torch.full((1,), 500.0), keys) for pipe in (merged, wanted)]
    assert torch.allclose(*results, atol=2e-3) and merged.bundle.info["name"] == "tiny"
    asked = {"only": ("words",), "batches": 1, "each": 1, "steps": 1}
    for name, model, loras in (("a", out, ()), ("b", root / "tiny.safetensors", [f"{trainer.file}:0.5"])):
        rollouts_of(tmp_path / name, str(model), loras=loras, **asked)
    by_file = [load_file(tmp_path / name / "0000-0000.safetensors")["latents"].float() for name in "ab"]
    assert len(by_file[0]) == 25 and torch.allclose(*by_file, atol=0.2)
    with pytest.raises(SoraError, match="strength.*nan"):
        merge(root / "tiny.safetensors", f"{trainer.file}:nan", out)


@pytest.mark.slow
def test_the_command_makes_rollouts_and_refuses_what_it_cannot_make(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny.safetensors")
    command = ["rollouts", "--model", "tiny.safetensors", "--steps", "1", "--batches", "1", "--each", "12"]
    assert cli.main([*command, "--only", "words", "--out", "out"]) == 0
    assert "0000-0000.safetensors: words" in capsys.readouterr().out
    for bad, words in (
        (["--only", "wrods"], "wrods"),
        (["--each", "0"], "0 clips"),
        (["--batches", "0"], "0 files"),
        (["--lora", "nowhere.safetensors"], "nowhere"),
        (["--seed", "1001"], "1001"),
        (["--sprites", "nowhere"], "nowhere"),
        (["--preset", "nix"], "nix"),
    ):
        with pytest.raises(SoraError, match=words):
            cli.main([*command, "--out", "out", *bad])
