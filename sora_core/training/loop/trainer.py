"""The training loop that all networks share: steps, checkpoints, CSV, distribution.

Every random draw of a step comes from a generator seeded by (seed, step). So a checkpoint holds weights, moving
average, optimiser moments and the step number, and nothing else: resuming is exact. The learning rate is warm-up,
plateau, linear decay (arXiv 2405.18392), so a finished run can go on from before its decay.

Several processes (`torchrun`) split each step's draw; DDP averages the gradients. As a draw depends on its step alone,
`workers` processes can make those to come while a GPU works on the present one; the result is the same.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import SoraError, expect
from .config import LoopConfig
from .draws import Ranks, draw_ahead, to_device
from .optim import EMA, build_optimizers
from .state import read_state, write_state

Network = TypeVar("Network", bound=nn.Module)
Autocast = Callable[[], AbstractContextManager]  # `Trainer.autocast`: what a network computes under
_SLOWEST = 0.02  # of the learning rate, at the end of its decay


class Objective(Protocol):
    """What a run minimises."""

    def __call__(self, step: int, batch: Any, /) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step's batch, a scalar with gradients, and figures to log."""


def warmup_stable_decay(step: int, total: int, warmup: int, decay: int) -> float:
    """Return the learning rate's factor at `step`: linear warm-up, plateau, linear decay to 2%."""
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, max(_SLOWEST, (total - step) / max(1, decay)))


class Trainer(Generic[Network]):
    """A run. Subclasses give `build` and `draw`, set `objective`, and may give `sheet` and `export`.

    Making one resumes the run when its folder holds a state. Raises SoraError for settings that do not go together,
    and for the state of another model.
    """

    adam_names: tuple[str, ...] = ()  # layers with one of these in their names go to AdamW, see `build_optimizers`
    objective: Objective

    def __init__(self, config: LoopConfig) -> None:
        self.config = config
        self.ranks = Ranks.from_environment()
        self.device = _device(config.device, self.ranks)
        torch.backends.cudnn.benchmark = True  # a run has few shapes, and many steps of each
        if self.ranks.world_size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        _check(config, self.ranks)
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
        self.wrapped: nn.Module = self.model
        if self.ranks.world_size > 1:
            self.wrapped = DistributedDataParallel(self.model, find_unused_parameters=False)

    # -- what a subclass says ------------------------------------------------------------------------------
    def build(self) -> Network:
        """Make the network to train; the run's seed is set."""
        raise NotImplementedError

    def draw(self, step: int) -> Any:
        """Draw what step `step` learns from, in main memory: see `to_device`.

        Where workers draw ahead for a GPU, what is no tensor must have `pin_memory` too.
        """
        raise NotImplementedError

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step, with gradients, and figures to log."""
        return self.objective(step, self.batch(step))

    def sheet(self, step: int) -> None:
        """Write a contact sheet of the current weights."""

    def export(self, path: Path) -> None:
        """Write the weights as users load them."""

    # -- checkpoint ----------------------------------------------------------------------------------------
    @property
    def checkpoint(self) -> Path:
        """The file of the run's state."""
        return self.out / "state.safetensors"

    def save(self) -> None:
        """Write the run's state; the first rank does it."""
        if self.ranks.rank == 0:
            progress = {"step": self.step, "seconds": self.seconds}
            write_state(self.checkpoint, self.model, self.ema, self.optimizers, progress)

    def restore(self) -> None:
        """Load the run's state. Raises SoraError for that of another model."""
        progress = read_state(self.checkpoint, self.model, self.ema, self.optimizers, self.device)
        self.step, self.seconds = int(progress["step"]), progress["seconds"]

    # -- the loop ------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Train, then leave the other processes."""
        self.train()
        self.close()

    def batch(self, step: int) -> Any:
        """Return what `draw(step)` gives, on the device; from the workers where they run."""
        if self.ahead is None:
            return to_device(self.draw(step), self.device)
        # A trainer may leave a step's batch alone: those are passed over.
        return to_device(next(drawn for at, drawn in self.ahead if at == step), self.device)

    def autocast(self) -> AbstractContextManager:
        """Compute in bfloat16 where the config says so."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.config.bf16 else nullcontext()

    def backward(self, step: int) -> dict[str, float]:
        """Run one forward and backward pass; leaves the (rank-averaged) gradients on the model."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, metrics = self.loss(step)
        loss.backward()
        return {"loss": float(loss.detach()), **metrics}

    def train(self) -> None:
        """Run to `config.steps`, or to the end of the budget. Raises SoraError when a gradient is not finite."""
        cfg = self.config
        totals: dict[str, list[float]] = {}
        if cfg.workers:
            steps = range(self.step, cfg.steps)
            self.ahead = draw_ahead(self.draw, steps, cfg.workers, pin=self.device.type == "cuda")
        start = time.monotonic() - self.seconds
        while self.step < cfg.steps and not self._budget_spent():
            factor = self._lr_factor()
            metrics = self._update(factor)
            self.step += 1
            self.seconds = time.monotonic() - start
            for key, value in metrics.items():
                totals.setdefault(key, []).append(value)
            if self.step % cfg.log_every == 0 and self.ranks.rank == 0:
                self.log({k: sum(v) / len(v) for k, v in totals.items()}, factor)
                totals = {}
            last = self.step == cfg.steps or self._budget_spent()
            if self.step % cfg.save_every == 0 or last:
                self.save()
            if self.ranks.rank == 0 and (self.step % cfg.sheet_every == 0 or last):
                self.sheet(self.step)
                self.export(self.out / "model.safetensors")
        self.ahead = None

    def close(self) -> None:
        """Leave the process group together: a process that goes while another still talks to it aborts both."""
        if self.ranks.world_size > 1:
            dist.barrier()
            dist.destroy_process_group()

    def log(self, metrics: dict[str, float], factor: float) -> None:
        """Print the means of the last steps and add them to metrics.csv; factor: of the learning rate."""
        row: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1), "lr_factor": round(factor, 4)}
        row |= {k: round(v, 5) for k, v in sorted(metrics.items())}
        print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        path = self.out / "metrics.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as f:
            writer = csv.DictWriter(f, fieldnames=list(row), extrasaction="ignore")
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def _update(self, factor: float) -> dict[str, float]:
        """Take one step of the optimisers and return its figures; factor: of the learning rate."""
        cfg = self.config
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
        return metrics | {"grad_norm": float(norm)}

    def _budget_spent(self) -> bool:
        return 0 < self.config.budget <= self.seconds

    def _lr_factor(self) -> float:
        """Return the learning rate's factor for the step to come: by steps, with a budget by the clock too."""
        cfg = self.config
        factor = warmup_stable_decay(self.step, cfg.steps, cfg.warmup, cfg.decay)
        left = 1 - self.seconds / cfg.budget if cfg.budget else 1.0
        return min(factor, max(_SLOWEST, left * cfg.steps / max(1, cfg.decay)))


def _device(name: str, ranks: Ranks) -> torch.device:
    """Return the device that a config names, a GPU for each process of a machine."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and ranks.world_size > 1:
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(name)
    return torch.device(name)


def _check(config: LoopConfig, ranks: Ranks) -> None:
    """Raise SoraError for settings of the loop that cannot be."""
    expect(config.budget >= 0 and config.workers >= 0, "budget and workers must be 0 or more.")
    expect(
        not config.workers or "fork" in torch.multiprocessing.get_all_start_methods(),
        "workers are forked, which this system cannot do: leave them out.",
    )
    expect(not config.budget or ranks.world_size == 1, "A budget is for one process: the clocks of several differ.")
