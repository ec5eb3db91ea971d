"""Distribution matching: a student's clips move to where the teacher finds them more likely (DMD, arXiv 2311.18828).

The direction is the difference of two scores of a clip, noised. One is the teacher's, with guidance; the other is a
critic's, which is trained on the student's clips all along. There is no regression loss, the student's calls are
simulated as they are sampled, and the critic is ahead of the student (DMD2, arXiv 2405.14867).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.batch import Batch
from ..data.latent_batches import shift_noise
from ..loop.draws import step_generator
from ..loop.trainer import Autocast
from ..network import DiTWithHeads
from .adversary import Adversary

# Noise levels at which scores are compared: at either end they say nothing, or divide by almost nothing.
_LOWEST, _HIGHEST = 0.02, 0.98


@dataclass(frozen=True)
class MatchSettings:
    """How student and critic take turns."""

    ahead: int = 2  # steps of the critic to one of the student
    alone: int = 40  # steps at the start that only the critic takes
    cfg: float = 3.0  # the teacher's guidance
    # The most noise, 0 to 1, in what a discriminator sees: little shows it detail, much the shapes that detail hides.
    judged_noise: float = 0.6


class _Draws:
    """Random numbers of a step, in the shape of its clips."""

    def __init__(self, generator: torch.Generator, clip: Tensor, shift: float) -> None:
        self.generator, self.clip, self.shift = generator, clip, shift

    def levels(self, low: float, high: float) -> Tensor:
        """Draw noise levels `[B]` between `low` and `high`, then shift them."""
        return shift_noise(self._uniform() * (high - low) + low, self.shift)

    def judged_levels(self, most: float) -> Tensor:
        """Draw noise levels `[B]` for a discriminator, up to `most`."""
        return self._uniform() * most

    def noise(self) -> Tensor:
        """Draw Gaussian noise in the clips' shape."""
        return torch.randn(self.clip.shape, generator=self.generator, device=self.clip.device)

    def _uniform(self) -> Tensor:
        return torch.rand(len(self.clip), generator=self.generator, device=self.clip.device)


class MatchingLoss:
    """The losses of student, critic and discriminator, in one."""

    def __init__(
        self,
        student: DiTWithHeads,
        critic: DiTWithHeads,
        teacher: DiTWithHeads,  # frozen
        levels: Sequence[float],  # noise levels of the student's calls, and 0
        settings: MatchSettings,
        shift: float,  # of the noise levels at which clips are scored
        seed: int,
        autocast: Autocast,
        adversary: Adversary | None = None,
    ) -> None:
        self.student, self.critic, self.teacher = student, critic, teacher
        self.levels, self.settings, self.shift, self.seed = levels, settings, shift, seed
        self.autocast, self.adversary = autocast, adversary

    # -- the three models ----------------------------------------------------------------------------------
    def predict(self, network: DiTWithHeads, x: Tensor, level: Tensor, b: Batch) -> Tensor:
        """Return the clean latents that `network` names from `x` at noise levels `[B]`; kept ones as they are."""
        with self.autocast():
            v = network(x, 1000 * level[:, None] * b.generate, b.ids, b.shot, b.layout)[0]
        return torch.where(b.generate_mask, x - level.view(-1, 1, 1, 1, 1) * v.float(), b.latents)

    @torch.no_grad()
    def predict_guided(self, x: Tensor, level: Tensor, b: Batch) -> Tensor:
        """Return the clean latents that the teacher names with guidance."""
        both = replace(
            b,
            latents=b.latents.repeat(2, 1, 1, 1, 1),
            ids=torch.cat((b.ids, torch.zeros_like(b.ids))),
            shot=b.shot.repeat(2, 1),
            generate=b.generate.repeat(2, 1),
            layout=b.layout.repeat(2, 1, 1, 1),
        )
        cond, uncond = self.predict(self.teacher, x.repeat(2, 1, 1, 1, 1), level.repeat(2), both).chunk(2)
        return uncond + self.settings.cfg * (cond - uncond)

    def generate(self, b: Batch, calls: int, generator: torch.Generator, learn: bool) -> Tensor:
        """Make clips by the student's first `calls` calls, as `lcm` samples them.

        learn: keep the gradients of the last call.
        """
        x = b.noise
        for i in range(calls):
            level = torch.full((len(x),), self.levels[i], device=x.device)
            with torch.set_grad_enabled(learn and i == calls - 1):
                clip = self.predict(self.student, torch.where(b.generate_mask, x, b.latents), level, b)
            noise = torch.randn(clip.shape, generator=generator, device=clip.device)
            x = (1 - self.levels[i + 1]) * clip + self.levels[i + 1] * noise
        return clip

    # -- losses --------------------------------------------------------------------------------------------
    def score_difference(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Return the critic's score less the teacher's: a step against it makes the clip more likely (DMD, eq. 7, 8).

        Of about unit size; zero where latents are kept.
        """
        x = b.noised(clip, level, noise)
        with torch.no_grad():
            real, fake = self.predict_guided(x, level, b), self.predict(self.critic, x, level, b)
        generate = b.generate_mask.expand_as(clip)
        size = ((clip - real).abs() * generate).flatten(1).sum(1) / generate.flatten(1).sum(1).clamp_min(1)
        return (fake - real) / size.clamp_min(1e-3).view(-1, 1, 1, 1, 1)

    def __call__(self, step: int, b: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures: "critic", "told apart", and where the student learns "way"."""
        cfg, device = self.settings, b.latents.device
        generator = step_generator(self.seed + 1, step, str(device))
        learn = step >= cfg.alone and step % cfg.ahead == 0
        few = len(self.levels) - 1
        # The last call decides what is seen: it is trained as often as all others together.
        weights = torch.tensor([1.0] * (few - 1) + [max(1.0, few - 1.0)], device=device)
        calls = torch.multinomial(weights, 1, generator=generator)
        clip = self.generate(b, int(calls) + 1, generator, learn)
        draws, fixed = _Draws(generator, clip, self.shift), clip.detach()
        total = self._critic_loss(fixed, b, draws)
        metrics = {"critic": float(total.detach())}
        if self.adversary:
            level, noise = draws.judged_levels(cfg.judged_noise), draws.noise()
            loss, metrics["told apart"] = self.adversary.loss(fixed, b, level, noise)
            total = total + loss
        if learn:
            gradient = self.score_difference(fixed, b, draws.levels(_LOWEST, _HIGHEST), draws.noise())
            if self.adversary:
                level, noise = draws.judged_levels(cfg.judged_noise), draws.noise()
                gradient = gradient + self.adversary.gradient(fixed, b, level, noise, gradient)
            share = b.generate_mask.expand_as(clip).float()
            # The clip's gradient is `gradient`; the value says nothing.
            total = total + (clip * (gradient * share)).sum() / share.sum()
            metrics["way"] = float((gradient.abs() * share).sum() / share.sum())
        return total, metrics

    def _critic_loss(self, clip: Tensor, b: Batch, draws: _Draws) -> Tensor:
        """Return the loss of the critic, which learns what the student makes as any model of flow does."""
        level, noise = draws.levels(0.0, 1.0), draws.noise()
        named = self.predict(self.critic, b.noised(clip, level, noise), level, b)
        share = b.generate_mask.expand_as(clip).float()
        # The error of the velocity: that of the named clip over the noise level.
        error = ((named - clip) / level.clamp_min(_LOWEST).view(-1, 1, 1, 1, 1)).square() * share
        return error.sum() / share.sum()
