"""Settings of a training run: what every run has, and how they are read from TOML and `key=value` words."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from ...errors import SoraError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)

CONFIGS = Path(__file__).parents[1] / "configs"


@dataclass(frozen=True)
class LoopConfig:
    """What every training run needs. The config of a run adds the settings of its parts, all in one flat table."""

    out: str = "runs/run"  # the run's folder
    data: str = "data"  # folder of shards to learn from
    steps: int = 10_000
    budget: float = 0.0  # seconds after which the run ends before its steps, 0 for none
    warmup: int = 100  # steps of linear warm-up
    decay: int = 2_000  # steps of linear decay at the end; with a budget, the same part of its seconds
    lr: float = 1e-3  # of Muon
    adam_lr: float = 1e-3  # of AdamW
    weight_decay: float = 0.01  # of Muon's matrices
    ema: float = 0.999  # decay of the moving average of the weights
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 0
    device: str = "auto"
    bf16: bool = True  # compute in bfloat16 where autocast allows
    compile: bool = False
    workers: int = 0  # processes that draw batches ahead; without any, they are drawn as they are needed
    log_every: int = 20  # steps
    save_every: int = 500  # steps
    sheet_every: int = 1_000  # steps between contact sheets and exports


def from_table(cls: type[Config], table: dict[str, Any], where: str) -> Config:
    """Build a (nested) config dataclass from a TOML table.

    Raises SoraError, naming the setting, for unknown keys and values of a wrong type.
    """
    hints = get_type_hints(cls)
    known = {field.name for field in fields(cls)}
    if extra := sorted(set(table) - known):
        raise SoraError(f"{where}: unknown settings {', '.join(extra)}. Known: {', '.join(sorted(known))}.")
    values = {}
    for key, value in table.items():
        kind = hints[key]
        if isinstance(kind, type) and is_dataclass(kind):
            value = from_table(kind, value, f"{where}, [{key}]")
        elif isinstance(value, list):
            value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        elif isinstance(kind, type) and not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise SoraError(f"{where}: {key} = {value!r} must be {kind.__name__}.")
        values[key] = value
    return cls(**values)


def load_config(cls: type[Config], name: str, overrides: Sequence[str]) -> Config:
    """Read a TOML file (or the name of one in training/configs) and apply `key=value` overrides.

    An override's value is read as TOML, and as plain text where it is none: `out=runs/a` needs no quotes.
    `model.dim=64` reaches into a table. Raises SoraError for a file that is missing or no TOML, and for what
    `from_table` refuses.
    """
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
