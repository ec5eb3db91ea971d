"""Training of the diffusion transformer and its text encoder on latent shards.

Rectified flow (arXiv 2209.03003) with logit-normal timesteps (SD3, arXiv 2403.03206) shifted towards noise. What the
world's ground truth adds is in `network` (heads) and `losses.flow` (weights of tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import SoraError, expect
from ...language.lexicon import load_lexicon
from ...loading.checkpoint import load_parts, save
from ...model.compiling import compile_blocks
from ...model.dit import DiT, DiTConfig
from ...model.registry import DIT_CONFIGS
from ...model.text.concepts import TextConfig, TextEncoder, Vocabulary
from ..checkpoints import part_of
from ..data.batch import Batch
from ..data.latent_batches import BatchSettings, LatentBatches, latent_buckets
from ..loop.config import LoopConfig
from ..loop.trainer import Trainer
from ..losses.flow import FlowLoss, FlowSettings
from ..network import ADAM_NAMES, DiTWithHeads, HeadSettings, initialize, zero_detail, zero_layout
from .prompt_sheet import PromptSheet, SheetSettings


@dataclass(frozen=True)
class DiTTraining(HeadSettings, FlowSettings, SheetSettings, BatchSettings, LoopConfig):
    """Settings of `sora train dit`."""

    compiled: tuple[str, ...] = ()  # with `compile`, the buckets that are worth it, others run as they are; none: all
    init: str = ""  # a model to go on from
    heads: str = ""  # the state of the run that it is from, whose heads are gone on with too
    only: str = ""  # "heads": the model of `init` stays as it is, and its heads are learned anew
    detail: int = 0  # channels of the detailer that a model of `init` gets which has none, see `model.detail`
    planner: int = 0  # width of the planner that a model of `init` gets which has none, see `model.layout`
    model: DiTConfig = DIT_CONFIGS["sora-mini"]  # of a new transformer
    text: TextConfig = TextConfig(reach=3)  # of a new text encoder; `reach` also of one that has none


class DiTTrainer(Trainer[DiTWithHeads]):
    """Trains all weights of a transformer and its text encoder. Raises SoraError without latents to learn from."""

    adam_names = ADAM_NAMES
    config: DiTTraining

    def __init__(self, config: DiTTraining) -> None:
        expect(config.only in ("", "heads"), f"only={config.only}: give heads, or leave it out.")
        expect(config.init != "" or not config.only, "only=heads needs init: the model whose heads to learn.")
        buckets = latent_buckets(config.data)
        super().__init__(config)
        self.batches = LatentBatches(config, buckets, self.model.text, config.seed, config.steps, self.ranks)
        self.objective = FlowLoss(self.wrapped, config, config.classes, self.autocast)
        self.prompt_sheet = PromptSheet(config, config.seed, self.device, self.autocast)

    def build(self) -> DiTWithHeads:
        """Make new weights, or take those of `init` and `heads`."""
        cfg = self.config
        if cfg.init:
            parts, _ = load_parts(cfg.init)
            dit = extended(part_of(parts, DiT, cfg.init), cfg.detail, cfg.planner)
            text = widened(part_of(parts, TextEncoder, cfg.init), cfg.text.reach)
            for part in (dit, text):
                part.train().requires_grad_(not cfg.only)
        else:
            dit = DiT(cfg.model)
            initialize(dit)
            text = TextEncoder(cfg.text, Vocabulary.from_lexicon(load_lexicon()))
        if cfg.compile:
            # Each bucket's shape is a graph of its own.
            torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
            compile_blocks(dit)
        model = DiTWithHeads(dit, text, cfg.classes + 1, cfg.label_block)
        if cfg.heads:
            model.load_state_dict(heads_of(Path(cfg.heads)), strict=False)
        return model

    def draw(self, step: int) -> Batch:
        """Draw a step's batch, see `LatentBatches`."""
        return self.batches.draw(step)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step, whose blocks run compiled where its bucket is worth it."""
        with self._compiler_stance(step):
            return super().loss(step)

    def _compiler_stance(self, step: int) -> AbstractContextManager:
        """Return whether the compiler may see this step's batch."""
        worth_it = self.config.compiled
        skip = worth_it and self.batches.bucket_of(step).name not in worth_it
        return torch.compiler.set_stance("force_eager" if skip else "default")

    # -- evaluation ------------------------------------------------------------------------------------------
    def averaged(self) -> tuple[DiT, TextEncoder]:
        """Return transformer and text encoder with the weights of the moving average, frozen."""
        dit = DiT(self.model.dit.config)
        text = TextEncoder(self.model.text.config, self.model.text.tokenizer.vocabulary)
        for name, part in (("dit.", dit), ("text.", text)):
            part.load_state_dict({k[len(name) :]: v for k, v in self.ema.state.items() if k.startswith(name)})
            part.to(self.device).eval().requires_grad_(False)
        return dit, text

    def sheet(self, step: int) -> None:
        """Write a sheet of what the moving average makes of fixed prompts, with a VAE to decode it."""
        if self.config.vae:
            self.prompt_sheet.write(self.out / f"sheet_{step:06d}.png", *self.averaged())

    def export(self, path: Path) -> None:
        """Write the moving average as a checkpoint of transformer and text encoder, in float32."""
        dit, text = self.averaged()
        save(path, {"dit": dit, "text": text}, {"step": self.step}, dtype=torch.float32)


def extended(dit: DiT, detail: int, planner: int) -> DiT:
    """Return `dit` with a detailer of `detail` channels, and layouts with a planner `planner` wide, where it has none.

    It computes alike so far and can learn to correct itself, and to follow layouts. 0: as it is.
    """
    config = replace(dit.config, detail=dit.config.detail or detail, planner=dit.config.planner or planner)
    if config == dit.config:
        return dit
    new = DiT(config)
    zero_detail(new)
    zero_layout(new)
    new.load_state_dict(dit.state_dict(), strict=False)
    return new


def widened(text: TextEncoder, reach: int) -> TextEncoder:
    """Return `text` if its words see their neighbours already, or none shall (reach 0).

    Otherwise one that reads alike so far and can learn to see `reach` words on either side.
    """
    if text.config.reach or not reach:
        return text
    new = TextEncoder(replace(text.config, reach=reach), text.tokenizer.vocabulary)
    new.load_state_dict(text.state_dict(), strict=False)
    return new


def heads_of(state: Path) -> Mapping[str, Tensor]:
    """Read the heads of the run whose `state.safetensors` this is. Raises SoraError for what is none."""
    try:
        with safe_open(state, "pt") as file:
            keys = [key for key in file.keys() if key.startswith(("ema/labels.", "ema/places."))]  # noqa: SIM118
            heads = {key.removeprefix("ema/"): file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise SoraError(f"heads: {state} cannot be read ({error}). Give a run's state.safetensors.") from None
    expect(bool(heads), f"heads: {state.name} holds none. Give the state.safetensors of a DiT run.")
    return heads
