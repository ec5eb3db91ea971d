"""One clip over several processes, each with a device of its own: a wrapper of the model call shares the call out.

    process 0   the sampler, and all that stands around it; for each call of the model it tells the others x, sigma
                and the prompts
    the others  `serve`: they make the same model call for their part, and nothing else

So there is one noise, one sampler, one step cache and one policy, however many processes take part, and whatever
changes from step to step is told. A call is shared out in two ways, which may be combined:

    guidance    the prompts, positive and negative, are dealt among one or two parts of the processes
    tokens      each part shares the tokens of its clip, see `exchange`

Or process 0 takes no part, and has its device for other work, such as decoding (`Layout.apart`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import SoraError, expect
from ..interrupt import check_interrupted
from .exchange import LostError, Ulysses, check_heads, check_sharing, shared_by, talk
from .experts import ExpertsVelocity, Turns, place
from .prompts import Prompt
from .velocity import Kept, ModelVelocity, Network, Velocity


@dataclass(frozen=True)
class Layout:
    """Which process does what. Processes of a part follow each other in rank."""

    cfg: int = 1  # parts among which prompts are dealt: 1 or 2
    sequence: int = 1  # processes that share the tokens of a clip
    apart: bool = False  # process 0 takes no part in the model calls

    @classmethod
    def plan(
        cls, world: int, cfg: int | None = None, sequence: int | None = None, apart: bool = False, guided: bool = True
    ) -> Layout:
        """Plan for `world` processes. Where it is not said, guidance takes two parts if there is any and they are even.

        guided: whether there is guidance. Raises SoraError for numbers that do not fit.
        """
        workers = world - apart
        expect(
            workers >= 1,
            "Decoding apart needs at least 2 processes: one decodes, the others sample. Start more, or leave it out.",
        )
        if cfg is None:
            cfg = 2 if guided and workers % (2 * (sequence or 1)) == 0 else 1
        expect(cfg in (1, 2), f"The prompts cannot be dealt among {cfg} parts: there are two, so use 1 or 2.")
        sequence = max(1, workers // cfg) if sequence is None else sequence
        needed = cfg * sequence + apart
        expect(
            sequence >= 1 and needed == world,
            f"{world} processes do not make {cfg} (prompts) x {sequence} (tokens){' and one that decodes' * apart}: "
            f"start {max(needed, 1 + apart)} processes, or choose another split.",
        )
        return cls(cfg, sequence, apart)

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.cfg * self.sequence + self.apart

    @property
    def parts(self) -> list[list[int]]:
        """Ranks of the processes of each part; the first of them leads it."""
        ranks = list(range(int(self.apart), self.world))
        return [ranks[i * self.sequence : (i + 1) * self.sequence] for i in range(self.cfg)]

    def deal(self, prompts: int) -> list[range]:
        """Deal the numbers of `prompts` prompts among the parts, the first of which get more."""
        ends = [-(-prompts * i // self.cfg) for i in range(self.cfg + 1)]
        return [range(a, b) for a, b in itertools.pairwise(ends)]


@dataclass(frozen=True)
class Call:
    """What process 0 tells of a model call, besides x."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    sigma: Tensor  # [B]
    which: list[int]  # numbers of the prompts, of all that were told in this run
    prompts: list[Prompt] = field(default_factory=list)  # those that are new
    run: tuple[Kept | None, Turns | None] | None = None  # of a run that begins: what it keeps, and whose turn it is


class Team:
    """The processes of a run as one of them sees them."""

    def __init__(
        self, layout: Layout, device: torch.device, control: dist.ProcessGroup, timeout: timedelta | None = None
    ) -> None:
        """Join the processes of the default group, in which every one makes a team of the same layout.

        device: where this process computes. control: a group of all on the CPU, in which one waits for as long as
        process 0 has other things to do. timeout: after which a process that does not answer is given up.
        """
        self.layout, self.device, self.rank = layout, device, dist.get_rank()
        self.sent = 0  # bytes of x and of velocities that left this process
        self.busy = False  # whether this process is in the middle of a call
        self._control = control
        self.part: int | None = None  # number of the part that this process belongs to
        self.shard: Ulysses | None = None
        for number, ranks in enumerate(layout.parts):
            group = talk(dist.new_group, ranks, timeout=timeout)
            if self.rank in ranks:
                self.part, self.shard = number, Ulysses(group, len(ranks), ranks.index(self.rank))

    def tell(self, message: Call | None) -> None:
        """Tell all others of a call, or that there are no more (None)."""
        talk(dist.broadcast_object_list, [message], 0, group=self._control)

    def hear(self) -> Call | None:
        """Wait for what process 0 tells."""
        told: list[Call | None] = [None]
        talk(dist.broadcast_object_list, told, 0, group=self._control)
        return told[0]

    def share(self, x: Tensor | None, call: Call) -> Tensor:
        """Give x of process 0 to all."""
        x = torch.empty(call.shape, dtype=call.dtype, device=self.device) if x is None else x.contiguous()
        talk(dist.broadcast, x, 0)
        self.sent += x.numel() * x.element_size() * (self.layout.world - 1) if self.rank == 0 else 0
        return x

    def give(self, velocities: Sequence[Tensor]) -> None:
        """Give the velocities of this process's part to process 0."""
        made = torch.stack(tuple(velocities)).contiguous()
        talk(dist.send, made, 0)
        self.sent += made.numel() * made.element_size()

    def take(self, part: int, count: int, like: Tensor) -> list[Tensor]:
        """Take `count` velocities from the process that leads a part."""
        made = like.new_empty(count, *like.shape)
        talk(dist.recv, made, self.layout.parts[part][0])
        return list(made)

    @property
    def exchanged(self) -> int:
        """Bytes that this process sent within its part."""
        return 0 if self.shard is None else self.shard.sent

    def wrap(self, velocity: Velocity) -> Velocity:
        """Share the calls of `velocity` out among the processes: a wrapper for process 0, the innermost of a run."""
        return SharedVelocity(self, velocity)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Let the others go at the end of the block, if this process is not stopped in the middle of a call.

        Those that have gone already, as by the same Ctrl-C, need not be told: what ended the block counts.
        """
        try:
            yield
        finally:
            if not self.busy:
                with suppress(LostError):
                    self.tell(None)


class SharedVelocity:
    """The model call of process 0, which all make together."""

    def __init__(self, team: Team, velocity: Velocity) -> None:
        self.team, self.velocity = team, velocity
        self.networks = networks_of(velocity)
        self.run: tuple[Kept | None, Turns | None] | None = told_of(velocity)
        self.known: list[Prompt] = []

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`."""
        check_interrupted()
        team = self.team
        shares = team.layout.deal(len(prompts))
        # What a signal interrupts from here on leaves the others in the middle of a call.
        team.busy = True
        call = self._tell(x, sigma, prompts)
        x = team.share(x, call)
        made: dict[int, list[Tensor]] = {}
        if team.part is not None:
            with shared_by(team.shard, *self.networks):
                made[team.part] = self.velocity(x, sigma, [prompts[i] for i in shares[team.part]])
        for number, share in enumerate(shares):
            if share and number not in made:
                made[number] = team.take(number, len(share), x)
        team.busy = False
        return [v for number in sorted(made) for v in made[number]]

    def _tell(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> Call:
        new = [p for p in prompts if not any(p is known for known in self.known)]
        self.known += new
        which = [next(i for i, known in enumerate(self.known) if known is p) for p in prompts]
        call = Call(tuple(x.shape), x.dtype, sigma.cpu(), which, [_on_cpu(p) for p in new], self.run)
        self.run = None
        self.team.tell(call)
        return call


def _on_cpu(prompt: Prompt) -> Prompt:
    layout = None if prompt.layout is None else prompt.layout.cpu()
    return replace(prompt, context=prompt.context.cpu(), layout=layout)


def told_of(velocity: Velocity) -> tuple[Kept | None, Turns | None]:
    """Return what another process needs to make a call of its own. Raises SoraError for what is no model call."""
    if isinstance(velocity, ExpertsVelocity):
        return _kept_on_cpu(velocity.calls["high"].kept), velocity.turns
    if isinstance(velocity, ModelVelocity):
        return _kept_on_cpu(velocity.kept), None
    raise SoraError("A wrapper stands between the model and what shares its calls out: make the latter the last one.")


def networks_of(velocity: Velocity) -> list[Network]:
    """List the networks of a model call."""
    calls = velocity.calls.values() if isinstance(velocity, ExpertsVelocity) else [velocity]
    return [call.dit for call in calls if isinstance(call, ModelVelocity)]


def _kept_on_cpu(kept: Kept | None) -> Kept | None:
    return None if kept is None else _kept_on(kept, torch.device("cpu"))


def _kept_on(kept: Kept, device: torch.device) -> Kept:
    return Kept(*(part.to(device) for part in (kept.clean, kept.generate, kept.tokens, kept.noised)))


@torch.no_grad()
def serve(team: Team, high: Network, low: Network | None = None) -> None:
    """Make model calls for process 0 until it has no more. low: the network that takes turns with `high`.

    Raises LostError where process 0 has ended.
    """
    velocity: ModelVelocity | ExpertsVelocity = ModelVelocity(high)
    known: list[Prompt] = []
    while (call := team.hear()) is not None:
        if call.run is not None:
            velocity, known = _rebuild(team, high, low, *call.run), []
        known += call.prompts
        x = team.share(None, call)
        part = team.part
        share = range(0) if part is None else team.layout.deal(len(call.which))[part]
        sigma = call.sigma.to(team.device)
        if not share:
            if isinstance(velocity, ExpertsVelocity):
                velocity.turns.take(float(call.sigma.flatten()[0]))  # the turns are counted by calls
            continue
        with shared_by(team.shard, *networks_of(velocity)):
            made = velocity(x, sigma, [known[call.which[i]] for i in share])
        if part is not None and team.rank == team.layout.parts[part][0]:
            team.give(made)


def _rebuild(
    team: Team, high: Network, low: Network | None, kept: Kept | None, turns: Turns | None
) -> ModelVelocity | ExpertsVelocity:
    """Make the model call of a run."""
    kept = None if kept is None else _kept_on(kept, team.device)
    if low is None or turns is None:
        place(high)  # it may have been one of two experts before
        return ModelVelocity(high, kept)
    return ExpertsVelocity(ModelVelocity(high, kept), ModelVelocity(low, kept), turns)


def check_shared(layout: Layout, network: Any) -> None:
    """Raise SoraError for a network that cannot share its tokens among so many processes."""
    if layout.sequence > 1:
        check_sharing(network)
        check_heads(network.config.num_heads, layout.sequence)
