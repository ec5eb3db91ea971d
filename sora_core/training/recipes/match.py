"""Distribution matching: a few-step student whose clips are as likely to the teacher as the teacher's own.

Distillation to the ends of the teacher's paths (`distill`) teaches the mean of what a state can end in, which is soft
and moves too little. Here the student makes clips by its own calls, and is moved where the teacher finds them more
likely: along the difference of two scores of its clips, noised. One is the teacher's, with guidance; the other is a
critic's, which is trained on the student's clips all along (DMD, Yin et al., arXiv 2311.18828, eq. 7; without a
regression loss, in several steps that are simulated as they are sampled, and with the critic ahead of the student:
DMD2, arXiv 2405.14867).

What four calls make so is still softer than the teacher's clips. With `adversarial`, a discriminator also says what
tells them from the world's: small heads on the frozen teacher's features of both, noised (LADD, Sauer et al., arXiv
2403.12015). Its direction is scaled to that of the scores, so that one setting says how much it counts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import expect
from ...loading.lora import PREFIXES, read_lora
from ..data.batch import Batch
from ..loop.loop import step_generator
from .deepen import deepened_name
from .distill import DistillTrainer, DistillTraining
from .dit import Denoiser, shifted

FAINT = 0.6  # the most noise in what a discriminator sees


@dataclass(frozen=True)
class MatchTraining(DistillTraining):
    """start: the LoRA to go on from, of `rank`. deepened: where the model was deepened since that was made, `after`
    of `deepen`. ahead: steps of the critic to one of the student. alone: steps at the start that only the
    critic takes. cfg: the teacher's guidance. adversarial: how far a clip goes where the discriminator finds it more
    like the world's, as a part of how far it goes along the scores (0: without one). taps: the blocks after which that
    looks at the teacher's features.
    """

    start: str = ""
    deepened: tuple[int, ...] = ()
    ahead: int = 2
    alone: int = 40
    cfg: float = 3.0
    adversarial: float = 0.0
    taps: tuple[int, ...] = (2, 4, 6)


def generated_tokens(b: Batch) -> Tensor:
    """1 for the tokens that are made, 0 for those that are kept `[B,N]`."""
    h, w = b.latents.shape[-2:]
    return b.generate.repeat_interleave(h * w // 4, 1).float()


class Discriminator(nn.Module):
    """Of every token, by each tapped block, how much it looks like the world's: features `[B,N,D]` -> `[taps,B,N]`."""

    def __init__(self, dim: int, taps: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim // 2), nn.SiLU(), nn.Linear(dim // 2, 1))
            for _ in range(taps)
        )
        for part in self.parts:
            nn.init.zeros_(part[3].weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return torch.stack([part(x.float())[..., 0] for part, x in zip(self.parts, features, strict=True)])


class MatchTrainer(DistillTrainer):
    """Student and critic are parts of one module, so that one state holds both; the teacher is the base model."""

    config: MatchTraining
    adam_names = (*DistillTrainer.adam_names, "discriminator")

    def __init__(self, config: MatchTraining) -> None:
        expect(config.ahead >= 1 and config.alone >= 0, "ahead must be at least 1 and alone at least 0.")
        expect(0 <= config.adversarial <= 10, f"adversarial is {config.adversarial}: use 0 to 10.")
        super().__init__(config)
        self.teacher = Denoiser(self.base.dit, self.base.text, 1, config.label_block)
        self.teacher.to(self.device).eval().requires_grad_(False)

    def build(self) -> nn.Module:
        model = super().build()
        if self.config.start:
            self.take_over(model)
        critic = Denoiser(copy.deepcopy(self.base.dit), copy.deepcopy(self.base.text), 1, self.config.label_block)
        critic.requires_grad_(False)
        critic.dit.train().requires_grad_(True)
        model.critic = critic
        if self.config.adversarial:
            blocks, taps = len(critic.dit.blocks), self.config.taps
            expect(
                bool(taps) and sorted({t for t in taps if 1 <= t <= blocks}) == list(taps),
                f"taps are {', '.join(map(str, taps))}: use numbers of blocks that rise, 1 to {blocks}.",
            )
            model.discriminator = Discriminator(critic.dit.config.dim, len(taps))
        if self.config.compile:
            for dit in (self.base.dit, critic.dit):
                for block in dit.blocks:
                    block.compile(dynamic=False)
        return model

    def take_over(self, model: nn.Module) -> None:
        """Begin as the LoRA `start` is."""
        lora = read_lora(self.config.start)
        layers = dict(model.named_modules())
        for name, change in lora.changes.items():
            part = next((p for p, prefix in PREFIXES.items() if name.startswith(prefix)), "")
            known = f"{part}.{name.removeprefix(PREFIXES.get(part, ''))}"
            layer = layers.get(deepened_name(known, self.config.deepened))
            low = layer.parametrizations.weight[0] if hasattr(layer, "parametrizations") else None
            expect(
                low is not None and low.up.shape == change.up.shape and low.down.shape == change.down.shape,
                f"{self.config.start}: {name} is not what rank={self.config.rank} of {self.config.init} trains. "
                f"Its rank is {change.down.shape[0]}.",
            )
            with torch.no_grad():
                low.up.copy_(change.up.float() * (change.scale / low.scale))
                low.down.copy_(change.down.float())

    # -- the three models --------------------------------------------------------------------------------------
    def named(self, model: Denoiser, x: Tensor, level: Tensor, b: Batch) -> Tensor:
        """The clean latents that `model` names from `x` at noise levels `[B]`; kept ones as they are."""
        generate = b.generate[:, None, :, None, None]
        with self.autocast():
            v = model(x, 1000 * level[:, None] * b.generate, b.ids, b.shot)[0]
        return torch.where(generate, x - level.view(-1, 1, 1, 1, 1) * v.float(), b.latents)

    @torch.no_grad()
    def likely(self, x: Tensor, level: Tensor, b: Batch) -> Tensor:
        """What the teacher names, with guidance."""
        both = replace(
            b,
            latents=b.latents.repeat(2, 1, 1, 1, 1),
            ids=torch.cat((b.ids, torch.zeros_like(b.ids))),
            shot=b.shot.repeat(2, 1),
            generate=b.generate.repeat(2, 1),
        )
        cond, uncond = self.named(self.teacher, x.repeat(2, 1, 1, 1, 1), level.repeat(2), both).chunk(2)
        return uncond + self.config.cfg * (cond - uncond)

    def made(self, b: Batch, calls: int, generator: torch.Generator, learn: bool) -> Tensor:
        """Clips by the student's first `calls` calls, as `lcm` samples them; gradients of the last one."""
        generate, x = b.generate[:, None, :, None, None], b.noise
        for i in range(calls):
            level = torch.full((len(x),), self.sigmas[i], device=self.device)
            with torch.set_grad_enabled(learn and i == calls - 1):
                clip = self.named(self.model, torch.where(generate, x, b.latents), level, b)
            noise = torch.randn(clip.shape, generator=generator, device=self.device)
            x = (1 - self.sigmas[i + 1]) * clip + self.sigmas[i + 1] * noise
        return clip

    # -- losses ------------------------------------------------------------------------------------------------
    def noised(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> Tensor:
        s = level.view(-1, 1, 1, 1, 1)
        return torch.where(b.generate[:, None, :, None, None], (1 - s) * clip + s * noise, b.latents)

    def direction(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Where the clip should go, negative: of about unit size (DMD, eq. 8); zero where latents are kept."""
        x = self.noised(clip, b, level, noise)
        with torch.no_grad():
            real, fake = self.likely(x, level, b), self.named(self.model.critic, x, level, b)
        generate = b.generate[:, None, :, None, None].expand_as(clip)
        size = ((clip - real).abs() * generate).flatten(1).sum(1) / generate.flatten(1).sum(1).clamp_min(1)
        return (fake - real) / size.clamp_min(1e-3).view(-1, 1, 1, 1, 1)

    def looks(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """The discriminator's logits of a noised clip `[taps,B,N]`, positive for the world's."""
        x = self.noised(clip, b, level, noise)
        with self.autocast():
            features = self.teacher.tapped(x, 1000 * level[:, None] * b.generate, b.ids, b.shot, self.config.taps)[1]
        return self.model.discriminator(features)

    def discerned(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> tuple[Tensor, float]:
        """The discriminator's loss on a clip of the student and the batch's own, and how often it is right."""
        made = generated_tokens(b)
        fake, real = (self.looks(x, b, level, noise) for x in (clip, b.latents))
        error = nn.functional.softplus(fake) + nn.functional.softplus(-real)
        right = ((fake < 0).float() + (real > 0).float()) / 2
        return (error * made).sum() / made.sum() / len(fake), float((right * made).sum() / made.sum() / len(fake))

    def towards_world(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor, way: Tensor) -> Tensor:
        """Where the discriminator would have the clip go, negative, `adversarial` times as far as `way` in each."""
        with torch.enable_grad():
            clip = clip.detach().requires_grad_()
            looks = self.looks(clip, b, level, noise)
            (slope,) = torch.autograd.grad((nn.functional.softplus(-looks) * generated_tokens(b)).sum(), clip)
        far, length = (x.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1) for x in (way, slope))
        return self.config.adversarial * slope * far / length.clamp_min(1e-8)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        cfg, b = self.config, self.batch(step)
        generator = step_generator(cfg.seed + 1, step, str(self.device))
        learn = step >= cfg.alone and step % cfg.ahead == 0
        # The last call decides what is seen: it is trained as often as all others together.
        weights = torch.tensor([1.0] * (cfg.few - 1) + [max(1.0, cfg.few - 1.0)], device=self.device)
        calls = torch.multinomial(weights, 1, generator=generator)
        clip = self.made(b, int(calls) + 1, generator, learn)

        def levels(low: float, high: float) -> Tensor:
            level = torch.rand(len(clip), generator=generator, device=self.device) * (high - low) + low
            return shifted(level, cfg.shift)

        def faint() -> Tensor:
            # Detail is what is asked of the discriminator, and much noise hides that.
            return torch.rand(len(clip), generator=generator, device=self.device) * FAINT

        def noise() -> Tensor:
            return torch.randn(clip.shape, generator=generator, device=self.device)

        share = b.generate[:, None, :, None, None].expand_as(clip).float()
        # The critic learns what the student makes, as any model of flow does.
        level, fresh, fixed = levels(0.0, 1.0), noise(), clip.detach()
        x = self.noised(fixed, b, level, fresh)
        named = self.named(self.model.critic, x, level, b)
        # The error of the velocity: that of the named clip over the noise level.
        error = ((named - fixed) / level.clamp_min(0.02).view(-1, 1, 1, 1, 1)).square() * share
        total = error.sum() / share.sum()
        metrics = {"critic": float(total.detach())}
        if cfg.adversarial:
            told, metrics["told apart"] = self.discerned(fixed, b, faint(), noise())
            total = total + told
        if learn:
            way = self.direction(fixed, b, levels(0.02, 0.98), noise())
            if cfg.adversarial:
                way = way + self.towards_world(fixed, b, faint(), noise(), way)
            # Its gradient is `way`; the value says nothing.
            total = total + (clip * (way * share)).sum() / share.sum()
            metrics["way"] = float((way.abs() * share).sum() / share.sum())
        return total, metrics

    def train(self) -> None:
        super(DistillTrainer, self).train()


def match(config: MatchTraining) -> Path:
    """Train a few-step LoRA of `config.init`, best from one that `distill` made; returns its file."""
    trainer = MatchTrainer(replace(config, label_weight=0.0))
    trainer.train()
    return trainer.file
