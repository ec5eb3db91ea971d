"""`sora train STAGE`: the stages of training/README.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tomllib
from pathlib import Path
from typing import get_type_hints

from ..errors import SoraError

CONFIGS = Path(__file__).parent / "configs"


def from_table(cls, table: dict, where: str):
    """A (nested) config dataclass from a TOML table; unknown keys and wrong types are refused by name."""
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    if extra := sorted(set(table) - known):
        raise SoraError(f"{where}: unknown settings {', '.join(extra)}. Known: {', '.join(sorted(known))}.")
    values = {}
    for key, value in table.items():
        kind = hints[key]
        if dataclasses.is_dataclass(kind):
            value = from_table(kind, value, f"{where}, [{key}]")
        elif isinstance(value, list):
            value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
        elif isinstance(kind, type) and not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise SoraError(f"{where}: {key} = {value!r} must be {kind.__name__}.")
        values[key] = value
    return cls(**values)


def load_config(cls, name: str, overrides: list[str]):
    """Read a TOML file (or the name of one in training/configs) and apply `key=value` overrides."""
    path = Path(name) if Path(name).suffix == ".toml" else CONFIGS / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise SoraError(f"No training config {name!r}. Give a .toml file or one of: {known}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SoraError(f"{path.name} is not valid TOML: {error}.") from None
    for item in overrides:
        key, _, text = item.partition("=")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text
        target = table
        *parents, leaf = key.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return from_table(cls, table, path.name)


def parse_shapes(items: list[str]) -> dict[tuple[int, int, int], int]:
    """`17x128x128=6000` -> {(17, 128, 128): 6000}."""
    shapes = {}
    for item in items:
        try:
            name, count = item.split("=")
            t, h, w = (int(v) for v in name.split("x"))
            shapes[t, h, w] = int(count)
        except ValueError:
            raise SoraError(f"Shape {item!r}: write FRAMESxHEIGHTxWIDTH=CLIPS, for example 17x128x128=6000.") from None
        if (t - 1) % 4 or h % 16 or w % 16:
            raise SoraError(f"Shape {name}: frames must be 1 + 4k, height and width multiples of 16.")
    return shapes


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="sora train", description="Train sora-mini; see sora_core/training/README.md.")
    stages = top.add_subparsers(dest="stage", required=True)
    data = stages.add_parser("data", help="render clips of the world")
    data.add_argument("--out", type=Path, required=True)
    data.add_argument("--preset", default="starter")
    data.add_argument("--sprites", type=Path, help="unpacked sprite package; without it, subjects drawn by code")
    data.add_argument("--shape", action="append", default=[], metavar="TxHxW=CLIPS")
    data.add_argument("--videos", type=Path, metavar="FOLDER", help="your own videos, each with a .txt, in their place")
    data.add_argument("--caption", default="", help="with --videos: the caption of those that have none")
    data.add_argument("--seed", type=int, default=0)
    data.add_argument("--workers", type=int, default=1)
    data.add_argument("--label", default="", help="ends the folders' names: clips of several presets side by side")
    data.add_argument(
        "--excerpts", type=float, default=0.0, help="share of clips that begin and end in mid-motion, 0 to 1"
    )
    data.add_argument("--whole", action="store_true", help="keep the combinations that `sora eval` asks for")
    latents = stages.add_parser("latents", help="encode rendered clips with a VAE")
    latents.add_argument("--data", type=Path, required=True)
    latents.add_argument("--out", type=Path, required=True)
    latents.add_argument("--vae", type=Path, required=True)
    latents.add_argument("--device", default="cpu")
    latents.add_argument("--batch", type=int, default=8, help="clips at a time (default: 8)")
    rollouts = stages.add_parser("rollouts", help="clips that a model makes of practice prompts, judged")
    rollouts.add_argument("--out", type=Path, required=True)
    rollouts.add_argument("--model", default="sora-mini", help="a name or a checkpoint (default: sora-mini)")
    rollouts.add_argument("--lora", action="append", default=[], metavar="FILE[:STRENGTH]", help="can be repeated")
    rollouts.add_argument("--only", default="company,gravity,occlusion", metavar="A,B", help="abilities")
    rollouts.add_argument("--batches", type=int, default=30, help="files to make, 25 clips each at most (default: 30)")
    rollouts.add_argument("--each", type=int, default=4, help="clips of a prompt, 1 to measure only (default: 4)")
    rollouts.add_argument("--steps", type=int, help="of the sampler (default: the model's)")
    rollouts.add_argument("--sprites", type=Path, help="unpacked sprite package; without it, subjects drawn by code")
    rollouts.add_argument("--preset", default="cast")
    rollouts.add_argument("--seed", type=int, default=0, help="number of the set of prompts, 0 to 1000")
    merge = stages.add_parser("merge", help="a model with a LoRA merged into it")
    merge.add_argument("model", help="a name or a checkpoint")
    merge.add_argument("lora", metavar="FILE[:STRENGTH]")
    merge.add_argument("--out", type=Path, required=True)
    for name in ("vae", "corrector", "dit", "observer", "lora", "distill", "match", "reward"):
        stage = stages.add_parser(name, help=f"train the {name}; resumes when its folder holds a state")
        stage.add_argument("--config", help=f"TOML file or a name in training/configs (default: {name}-mini)")
        stage.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
        if name in ("dit", "lora"):
            tuned = "train the model on" if name == "dit" else "adapt it to"
            stage.add_argument(
                "--data",
                type=Path,
                metavar="FOLDER",
                required=name == "lora",
                help=f"{tuned} these videos, each with a .txt beside it",
            )
            stage.add_argument("--caption", default="", help="the caption of those that have none")
            stage.add_argument("--model", help="what to start from: a name or a checkpoint (default: sora-mini)")
            stage.add_argument("--out", type=Path, metavar="DIR", help="the run's folder")
        if name == "lora":
            stage.add_argument("--rank", type=int, help="of the changes (default: 8)")
    average = stages.add_parser("average", help="the mean of several LoRAs of one model")
    average.add_argument("files", nargs="+", metavar="FILE", help="LoRA files, or names of those inside the package")
    average.add_argument("--out", type=Path, required=True)
    average.add_argument("--rank", type=int, help="of the result (default: the first file's)")
    deepen = stages.add_parser("deepen", help="a model with more blocks, which begins as the one it is made of")
    deepen.add_argument("model", help="a name or a checkpoint")
    deepen.add_argument("--after", type=int, nargs="+", required=True, metavar="BLOCK", help="where each new one goes")
    deepen.add_argument("--out", type=Path, required=True)
    prompts = stages.add_parser("prompts", help="train the embedded check of prompts")
    prompts.add_argument("--out", type=Path, help="where to write the weights; without it, into the package")
    prompts.add_argument("--texts", type=int, default=36_000, help="sentences to train on")
    prompts.add_argument("--epochs", type=int, default=5)
    prompts.add_argument("--seed", type=int, default=0)
    detector = stages.add_parser("detector", help="train the classifier that recognises a VAE's pictures")
    detector.add_argument("--vae", default="sora-mini", help="a model or the export of a VAE run (default: sora-mini)")
    detector.add_argument("--name", help="what reports call the decoder (default: the model's name)")
    detector.add_argument("--out", type=Path, help="where to write the weights; without it, into the package")
    detector.add_argument("--clips", type=int, default=160, help="scenes, each painted by the decoder and not")
    detector.add_argument("--sprites", type=Path, help="unpacked sprite package; without it, subjects drawn by code")
    detector.add_argument("--seed", type=int, default=0)
    assemble = stages.add_parser("assemble", help="join VAE and DiT weights into one model file")
    assemble.add_argument("--vae", type=Path, required=True)
    assemble.add_argument("--dit", type=Path, required=True, nargs="+", help="or several: their mean")
    assemble.add_argument("--data", type=Path, required=True, help="rendered clips, for the preview colours")
    assemble.add_argument("--out", type=Path, required=True)
    assemble.add_argument("--name", default="sora-mini")
    assemble.add_argument("--steps", type=int, help="that the model samples best with")
    assemble.add_argument("--cfg", type=float, help="guidance that suits it")
    assemble.add_argument("--sampler", help="sampler that suits it")
    assemble.add_argument("--shift", type=float, default=3.0, help="of the noise levels that suits it (default: 3)")
    return top


def flags(args: argparse.Namespace) -> list[str]:
    """Options that are settings too, as overrides; what is written KEY=VALUE comes after them and wins."""
    named = {"init": args.model, "out": args.out, "rank": getattr(args, "rank", None)}
    given = {key: value if isinstance(value, int) else str(value) for key, value in named.items() if value is not None}
    return [*(f"{key}={json.dumps(value)}" for key, value in given.items()), *args.overrides]


def trained(trainer) -> None:
    trainer.train()
    trainer.close()


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.stage == "data":
        from .data.shards import render_shards

        if args.videos:
            from .data.videos import import_videos

            print(f"{import_videos(args.videos, args.out, caption=args.caption)} clips in {args.out}")
            return 0
        if not args.shape:
            raise SoraError("Say what to make: --shape 17x128x128=6000 (repeatable), or --videos FOLDER.")
        shapes = parse_shapes(args.shape)
        render_shards(
            args.out, args.preset, args.sprites, shapes, args.seed, args.workers, args.label, args.excerpts, args.whole
        )
    elif args.stage == "latents":
        from .data.latents import encode_shards

        encode_shards(args.data, args.out, args.vae, args.device, args.batch)
    elif args.stage == "vae":
        from .recipes.vae import VAETrainer, VAETraining

        trained(VAETrainer(load_config(VAETraining, args.config or "vae-mini", args.overrides)))
    elif args.stage == "corrector":
        from .recipes.corrector import CorrectorTrainer, CorrectorTraining

        trained(CorrectorTrainer(load_config(CorrectorTraining, args.config or "corrector-mini", args.overrides)))
    elif args.stage == "dit":
        from .recipes.dit import DiTTrainer, DiTTraining

        if args.data:
            from .recipes.finetune import finetune

            print(finetune(load_config(DiTTraining, args.config or "tune-mini", flags(args)), args.data, args.caption))
            return 0
        trained(DiTTrainer(load_config(DiTTraining, args.config or "dit-mini", flags(args))))
    elif args.stage == "lora":
        from .recipes.lora import LoRATraining, train_lora

        print(train_lora(load_config(LoRATraining, args.config or "lora-mini", flags(args)), args.data, args.caption))
    elif args.stage == "distill":
        from .recipes.distill import DistillTraining, distill

        print(distill(load_config(DistillTraining, args.config or "distill-mini", args.overrides)))
    elif args.stage == "match":
        from .recipes.match import MatchTraining, match

        print(match(load_config(MatchTraining, args.config or "match-mini", args.overrides)))
    elif args.stage == "rollouts":
        from .recipes.rollouts import rollouts_of

        print(
            rollouts_of(
                args.out,
                args.model,
                tuple(args.only.split(",")),
                args.batches,
                args.each,
                args.steps,
                args.sprites,
                args.preset,
                args.seed,
                args.lora,
            )
        )
    elif args.stage == "reward":
        from .recipes.reward import RewardTraining, learn_from_rewards

        print(learn_from_rewards(load_config(RewardTraining, args.config or "reward-mini", args.overrides)))
    elif args.stage == "merge":
        from .recipes.finetune import merge

        print(merge(args.model, args.lora, args.out))
    elif args.stage == "observer":
        from .recipes.observer import ObserverTrainer, ObserverTraining

        trained(ObserverTrainer(load_config(ObserverTraining, args.config or "observer-mini", args.overrides)))
    elif args.stage == "average":
        from .recipes.lora import mean_of

        print(mean_of(args.files, args.out, args.rank))
    elif args.stage == "deepen":
        from .recipes.deepen import deepen

        print(deepen(args.model, args.after, args.out))
    elif args.stage == "prompts":
        from ..safety.prompts.classifier import WEIGHTS
        from .prompt_safety.train import train

        print(train(args.out or WEIGHTS, args.texts, args.epochs, seed=args.seed))
    elif args.stage == "detector":
        from ..provenance.detector.classifier import WEIGHTS
        from .recipes.detector import train_detector

        train_detector(
            args.vae, args.out or WEIGHTS, count=args.clips, sprites=args.sprites, name=args.name, seed=args.seed
        )
    else:
        from .recipes.assemble import assemble

        habits = {key: getattr(args, key) for key in ("steps", "cfg", "sampler", "shift")}
        assemble(args.vae, args.dit, args.data, args.out, args.name, **habits)
    return 0
