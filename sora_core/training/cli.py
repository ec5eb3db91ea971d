"""`sora train data | vae | latents | dit | observer | assemble`: the stages of the recipe in training/README.md."""

from __future__ import annotations

import argparse
import dataclasses
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
        elif (
            isinstance(kind, type)
            and not isinstance(value, kind)
            and not (kind is float and isinstance(value, int))
        ):
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
            raise SoraError(
                f"Shape {item!r}: write FRAMESxHEIGHTxWIDTH=CLIPS, for example 17x128x128=6000."
            ) from None
        if (t - 1) % 4 or h % 16 or w % 16:
            raise SoraError(f"Shape {name}: frames must be 1 + 4k, height and width multiples of 16.")
    return shapes


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="sora train", description="Train sora-mini; see sora_core/training/README.md."
    )
    stages = top.add_subparsers(dest="stage", required=True)
    data = stages.add_parser("data", help="render clips of the world")
    data.add_argument("--out", type=Path, required=True)
    data.add_argument("--preset", default="starter")
    data.add_argument(
        "--sprites", type=Path, help="unpacked sprite package; without it, subjects drawn by code"
    )
    data.add_argument("--shape", action="append", required=True, metavar="TxHxW=CLIPS")
    data.add_argument("--seed", type=int, default=0)
    data.add_argument("--workers", type=int, default=1)
    data.add_argument("--label", default="", help="ends the folders' names: clips of several presets side by side")
    data.add_argument(
        "--excerpts", type=float, default=0.0, help="share of clips that begin and end in mid-motion, 0 to 1"
    )
    latents = stages.add_parser("latents", help="encode rendered clips with a VAE")
    latents.add_argument("--data", type=Path, required=True)
    latents.add_argument("--out", type=Path, required=True)
    latents.add_argument("--vae", type=Path, required=True)
    latents.add_argument("--device", default="cpu")
    for name in ("vae", "dit", "observer"):
        stage = stages.add_parser(name, help=f"train the {name}; resumes when its folder holds a state")
        stage.add_argument("--config", default=f"{name}-mini", help="TOML file or a name in training/configs")
        stage.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    assemble = stages.add_parser("assemble", help="join VAE and DiT weights into one model file")
    assemble.add_argument("--vae", type=Path, required=True)
    assemble.add_argument("--dit", type=Path, required=True)
    assemble.add_argument("--data", type=Path, required=True, help="rendered clips, for the preview colours")
    assemble.add_argument("--out", type=Path, required=True)
    assemble.add_argument("--name", default="sora-mini")
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.stage == "data":
        from .data import render_shards

        shapes = parse_shapes(args.shape)
        render_shards(
            args.out, args.preset, args.sprites, shapes, args.seed, args.workers, args.label, args.excerpts
        )
    elif args.stage == "latents":
        from .latents import encode_shards

        encode_shards(args.data, args.out, args.vae, args.device)
    elif args.stage == "vae":
        from .vae import VAETrainer, VAETraining

        VAETrainer(load_config(VAETraining, args.config, args.overrides)).train()
    elif args.stage == "dit":
        from .dit import DiTTrainer, DiTTraining

        DiTTrainer(load_config(DiTTraining, args.config, args.overrides)).train()
    elif args.stage == "observer":
        from .observer import ObserverTrainer, ObserverTraining

        ObserverTrainer(load_config(ObserverTraining, args.config, args.overrides)).train()
    else:
        from .assemble import assemble

        assemble(args.vae, args.dit, args.data, args.out, args.name)
    return 0
