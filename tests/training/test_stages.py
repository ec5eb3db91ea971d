"""The stages of `sora train`: each is a module that says its options at once, and every config that we give loads."""

import importlib
import subprocess
import sys
from dataclasses import is_dataclass

import pytest

from sora_core.training import cli
from sora_core.training.loop.config import CONFIGS, load_config
from sora_core.training.recipes.corrector import CorrectorTraining
from sora_core.training.recipes.distill import DistillTraining
from sora_core.training.recipes.dit import DiTTraining
from sora_core.training.recipes.lora import LoRATraining
from sora_core.training.recipes.match import MatchTraining
from sora_core.training.recipes.observer import ObserverTraining
from sora_core.training.recipes.planner import PlannerTraining
from sora_core.training.recipes.reward import RewardTraining
from sora_core.training.recipes.vae import VAETraining

RUNS = {
    "corrector": CorrectorTraining,
    "distill": DistillTraining,
    "dit": DiTTraining,
    "lora": LoRATraining,
    "match": MatchTraining,
    "observer": ObserverTraining,
    "planner": PlannerTraining,
    "reward": RewardTraining,
    "tune": DiTTraining,
    "vae": VAETraining,
}


@pytest.mark.parametrize("stage", cli.STAGES)
def test_a_stage_says_its_options(stage, capsys):
    module = importlib.import_module(f"sora_core.training.stages.{stage}")
    assert module.__doc__.startswith(f"`sora train {stage}`: ") and callable(module.run)
    with pytest.raises(SystemExit) as ended:
        cli.main([stage, "--help"])
    assert ended.value.code == 0 and f"usage: sora train {stage}" in capsys.readouterr().out


def test_help_needs_no_heavy_library():
    heavy = ("torch", "cv2", "numpy", "PIL", "av")
    code = (
        "import sys; from sora_core.training import cli\n"
        "for stage in cli.STAGES:\n"
        "    try: cli.main([stage, '--help'])\n"
        "    except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_every_config_that_we_give_loads(name):
    config = load_config(RUNS[name.partition("-")[0]], name, ["seed=5", "out=runs/elsewhere"])
    assert is_dataclass(config) and config.seed == 5 and config.out == "runs/elsewhere"
