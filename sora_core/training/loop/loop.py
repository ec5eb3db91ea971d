"""The training loop that the VAE and the DiT share: steps, checkpoints, CSV, distribution.

Every random draw of a step comes from a generator seeded by (seed, step), so a checkpoint holds weights, moving
average, optimiser moments and the step number, and nothing else: resuming is exact. The learning rate is warm-up,
plateau, linear decay (arXiv 2405.18392), so a finished run can go on from before its decay.
Several processes (`torchrun`) split each step's draw; DDP averages the gradients. As a draw depends on its step alone,
`workers` processes can make those to come while a GPU works on the present one; the result is the same.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from ...errors import SoraError, expect
from .optim import EMA, build_optimizers


@dataclass(frozen=True)
class LoopConfig:
    """What every trainer needs. Times are in steps. budget: seconds after which a run ends before its steps (0: none);
    its learning rate then falls by the clock, over as large a part as `decay` is of `steps`. workers: processes that
    draw batches ahead; without any, they are drawn as they are needed.
    """

    out: str = "runs/run"
    data: str = "data"
    steps: int = 10_000
    budget: float = 0.0
    warmup: int = 100
    decay: int = 2_000
    lr: float = 1e-3
    adam_lr: float = 1e-3
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    device: str = "auto"
    bf16: bool = True
    compile: bool = False
    workers: int = 0
    log_every: int = 20
    save_every: int = 500
    sheet_every: int = 1_000


def wsd(step: int, total: int, warmup: int, decay: int) -> float:
    """Learning-rate factor: linear warm-up, plateau, linear decay to 2%."""
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, max(0.02, (total - step) / max(1, decay)))


def step_generator(seed: int, step: int, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) % 2**63)


def ranked(draw: Tensor, rank: int, world_size: int) -> Tensor:
    """This rank's slice of a draw that was made for the batches of all ranks."""
    n = draw.shape[0] // world_size
    return draw[rank * n : (rank + 1) * n]


def moved(drawn: Any, device: torch.device) -> Any:
    """A tensor, or what has `to` as it has, or a sequence or a dict of them, on `device`."""
    if isinstance(drawn, (tuple, list)):
        return tuple(moved(part, device) for part in drawn)
    if isinstance(drawn, dict):
        return {key: moved(part, device) for key, part in drawn.items()}
    return drawn.to(device, non_blocking=True)


class Draws(Dataset):
    """Batches by their step, for the processes that draw them ahead."""

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self.draw = draw

    def __getitem__(self, step: int) -> tuple[int, Any]:
        return step, self.draw(step)


class Trainer:
    """Subclasses give `build()`, `loss(step)` and may give `draw(step)`, `sheet(step)` and `export(path)`."""

    adam_names: tuple[str, ...] = ()

    def __init__(self, config: LoopConfig) -> None:
        self.config = config
        self.rank = int(os.environ.get("RANK", 0))
        self.world_size = int(os.environ.get("WORLD_SIZE", 1))
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and self.world_size > 1:
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
            torch.cuda.set_device(device)
        self.device = torch.device(device)
        torch.backends.cudnn.benchmark = True  # a run has few shapes, and many steps of each
        if self.world_size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        expect(config.budget >= 0 and config.workers >= 0, "budget and workers must be 0 or more.")
        expect(
            not config.workers or "fork" in torch.multiprocessing.get_all_start_methods(),
            "workers are forked, which this system cannot do: leave them out.",
        )
        expect(not config.budget or self.world_size == 1, "A budget is for one process: the clocks of several differ.")
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.model = self.build().to(self.device)
        self.ema = EMA(self.model, config.ema)
        self.optimizers = build_optimizers(self.model, config.lr, config.adam_lr, config.weight_decay, self.adam_names)
        self.step, self.seconds = 0, 0.0
        self.ahead: Iterator[tuple[int, Any]] | None = None
        if self.checkpoint.exists():
            self.restore()
        self.wrapped = (
            DistributedDataParallel(self.model, find_unused_parameters=False) if self.world_size > 1 else self.model
        )

    # -- what a subclass says ------------------------------------------------------------------------------
    def build(self) -> nn.Module:
        raise NotImplementedError

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        raise NotImplementedError

    def draw(self, step: int) -> Any:
        """What step `step` learns from, in main memory: see `moved`. What is no tensor has `pin_memory` too."""
        return ()

    def sheet(self, step: int) -> None:
        """Write a contact sheet of the current weights."""

    def export(self, path: Path) -> None:
        """Write the weights as users load them."""

    # -- checkpoint ----------------------------------------------------------------------------------------
    @property
    def checkpoint(self) -> Path:
        return self.out / "state.safetensors"

    def save(self) -> None:
        """Write the whole state beside the old one and rename it: a kill leaves one of the two."""
        if self.rank:
            return
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema/{k}": v for k, v in self.ema.state.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"opt{i}/{j}/{k}": torch.as_tensor(v) for k, v in state.items()}
        meta = {"step": self.step, "seconds": self.seconds}
        part = self.checkpoint.with_suffix(".part")
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, part, {"loop": json.dumps(meta)}
        )
        os.replace(part, self.checkpoint)

    def restore(self) -> None:
        with safe_open(self.checkpoint, "pt", device=str(self.device)) as f:
            meta = json.loads((f.metadata() or {}).get("loop", "{}"))
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (safe_open is no dict)
        try:
            self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model/")})
        except RuntimeError as error:
            raise SoraError(f"{self.checkpoint} is of another model ({error}). Use another `out` folder.") from None
        self.ema.state = {k[4:]: v.float() for k, v in tensors.items() if k.startswith("ema/")}
        for i, optimizer in enumerate(self.optimizers):
            state: dict[int, dict] = {}
            for key, value in tensors.items():
                if key.startswith(f"opt{i}/"):
                    _, j, name = key.split("/")
                    state.setdefault(int(j), {})[name] = value
            whole = optimizer.state_dict()
            whole["state"] = state
            optimizer.load_state_dict(whole)
        self.step, self.seconds = meta["step"], meta["seconds"]

    # -- the loop ------------------------------------------------------------------------------------------
    def batch(self, step: int) -> Any:
        """What `draw(step)` gives, on the device; from the workers where they run."""
        if self.ahead is None:
            drawn = self.draw(step)
        else:
            # A trainer may leave a step's batch alone: those are passed over.
            drawn = next(drawn for at, drawn in self.ahead if at == step)
        return moved(drawn, self.device)

    def over(self) -> bool:
        """Whether the budget is spent."""
        return 0 < self.config.budget <= self.seconds

    def factor(self) -> float:
        """Of the learning rate, for the step to come."""
        cfg = self.config
        factor = wsd(self.step, cfg.steps, cfg.warmup, cfg.decay)
        left = 1 - self.seconds / cfg.budget if cfg.budget else 1.0
        return min(factor, max(0.02, left * cfg.steps / max(1, cfg.decay)))

    def drawn_ahead(self) -> Iterator[tuple[int, Any]] | None:
        """The batches of the steps to come, or None without workers."""
        cfg = self.config
        if not cfg.workers:
            return None
        # They are forked: a draw reads maps of the data and the tokenizer, and touches no device.
        return iter(
            DataLoader(
                Draws(self.draw),
                batch_size=None,
                sampler=range(self.step, cfg.steps),
                num_workers=cfg.workers,
                prefetch_factor=4,
                pin_memory=self.device.type == "cuda",
                multiprocessing_context="fork",
            )
        )

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16) if self.config.bf16 else nullcontext()

    def backward(self, step: int) -> dict[str, float]:
        """One forward and backward pass; leaves the (rank-averaged) gradients on the model."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, metrics = self.loss(step)
        loss.backward()
        return {"loss": float(loss.detach()), **metrics}

    def train(self) -> None:
        """Run to `config.steps`. Raises `SoraError` when the loss is not a number."""
        cfg, totals = self.config, {}
        self.ahead = self.drawn_ahead()
        start = time.monotonic() - self.seconds
        while self.step < cfg.steps and not self.over():
            factor = self.factor()
            for optimizer, lr in zip(self.optimizers, (cfg.lr, cfg.adam_lr), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = lr * factor
            metrics = self.backward(self.step)
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), cfg.clip)
            if not torch.isfinite(norm):
                raise SoraError(
                    f"Step {self.step}: the gradient is not finite. Lower lr, then resume from {self.checkpoint}."
                )
            for optimizer in self.optimizers:
                optimizer.step()
            self.ema.update(self.model, self.step)
            self.step += 1
            self.seconds = time.monotonic() - start
            metrics["grad_norm"] = float(norm)
            for key, value in metrics.items():
                totals.setdefault(key, []).append(value)
            if self.step % cfg.log_every == 0 and self.rank == 0:
                self.log({k: sum(v) / len(v) for k, v in totals.items()}, factor)
                totals = {}
            last = self.step == cfg.steps or self.over()
            if self.step % cfg.save_every == 0 or last:
                self.save()
            if self.rank == 0 and (self.step % cfg.sheet_every == 0 or last):
                self.sheet(self.step)
                self.export(self.out / "model.safetensors")
        self.ahead = None

    def close(self) -> None:
        """Leave the process group together: a process that goes while another still talks to it aborts both."""
        if self.world_size > 1:
            dist.barrier()
            dist.destroy_process_group()

    def log(self, metrics: dict[str, float], factor: float) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "lr_factor": round(factor, 4)}
        row |= {k: round(v, 5) for k, v in sorted(metrics.items())}
        print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        path = self.out / "metrics.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as f:
            writer = csv.DictWriter(f, fieldnames=list(row), extrasaction="ignore")
            if fresh:
                writer.writeheader()
            writer.writerow(row)
