"""The `sora train` command: picks the stage, see `training.stages` and training/README.md."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

_RESUMES = "resumes when its folder holds a state"
# Name, and what `sora train --help` says. The module of the same name in `stages` does the work.
STAGES = {
    "data": "render clips of the world",
    "latents": "encode rendered clips with a VAE",
    "rollouts": "clips that a model makes of practice prompts, judged",
    "merge": "a model with a LoRA merged into it",
    "vae": f"train the vae; {_RESUMES}",
    "corrector": f"train the corrector; {_RESUMES}",
    "dit": f"train the dit; {_RESUMES}",
    "planner": f"train the planner of layouts; {_RESUMES}",
    "observer": f"train the observer; {_RESUMES}",
    "lora": f"train the lora; {_RESUMES}",
    "distill": f"train the distill; {_RESUMES}",
    "match": f"train the match; {_RESUMES}",
    "reward": f"train the reward; {_RESUMES}",
    "average": "the mean of several LoRAs of one model",
    "deepen": "a model with more blocks, which begins as the one it is made of",
    "prompts": "train the embedded check of prompts",
    "detector": "train the classifier that recognises a VAE's pictures",
    "assemble": "join VAE and DiT weights into one model file",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `sora train` with `argv`; returns the exit code. Raises SoraError for what the user can put right."""
    argv = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in argv if not word.startswith("-")), None)
    module = importlib.import_module(f".stages.{called}", __package__) if called in STAGES else None
    args = _parser(called, module).parse_args(argv)
    if module is not None:
        module.run(args)
    return 0


def _parser(called: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    about = "Train sora-mini; see sora_core/training/README.md."
    parser = argparse.ArgumentParser(prog="sora train", description=about)
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, text in STAGES.items():
        stage = stages.add_parser(name, help=text)
        if module is not None and name == called:
            module.add_arguments(stage)
    return parser
