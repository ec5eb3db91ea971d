"""Training of the diffusion transformer and its text encoder on latent shards.

Rectified flow (arXiv 2209.03003) with logit-normal timesteps (SD3, arXiv 2403.03206) shifted towards noise. Three
things that the world's ground truth makes possible speed learning up: tokens that show a subject count more in
the loss, and a small head on the features of a middle block must name the subject of each token and tell which part
of it the token shows, which asks of the features what REPA (arXiv 2410.06940) takes from a pretrained encoder. Without
the second, tokens agree on what they show and not on who shows which end of it: textures are right, shapes are not.
And the text encoder must tell, at a subject's word, where that subject is at the start and at the end: without it,
"a tiger on the left of a koala" makes a tiger and a koala, and who stands where is a matter of chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...diffusion.shots import join_shots, own_shot
from ...errors import SoraError, expect
from ...language import caption
from ...language.lexicon import load_lexicon
from ...loading.checkpoint import load_parts, save
from ...model.dit import DiT, DiTConfig
from ...model.registry import DIT_CONFIGS
from ...model.text.concepts import UNKNOWN, TextConfig, TextEncoder, Vocabulary
from ..data.batch import Batch
from ..data.masks import frame_mask
from ..data.shards import Bucket, BucketSampler, open_buckets
from ..loop.loop import LoopConfig, Trainer, ranked, step_generator
from ..loop.sheets import save_sheet
from ..world.facts import shot_facts

PARTS = 4  # figures that `parts` gives a token
PLACES = 6  # where a subject is and how large: x, y and size in the first frame, and in the last

PROMPTS = (
    "a cat moving right on a beach",
    "a red car drives left through the desert",
    "an elephant in a forest",
    "a rocket flies up in outer space",
    "a fish swims right underwater",
    "a balloon rises over a meadow",
    "一只企鹅在雪山向左走",
    "a star spins above a volcano",
)


@dataclass(frozen=True)
class DiTTraining(LoopConfig):
    """`tokens` is a batch's budget; `weights_start`/`weights_end` are shares of steps per bucket name.

    shot_prompts: share of the clips in several shots whose tokens read the prompt of their own shot; the others read
    one caption of the whole. left_behind: how much what a subject covers at another time counts, of what itself
    does (`subject_weight`). context_noise: the most noise in what half of the masked clips keep, of which the
    model is not told: what it goes on from at run time is its own work, and its small errors must not be gone on with
    (GameNGen, arXiv 2408.14837).
    compiled: with `compile`, the buckets that are worth it (none: all); others run as they are.
    init: a model to go on from. heads: the state of the run that it is from, whose heads are gone on with too.
    """

    vae: str = ""
    tokens: int = 6400
    weights_start: tuple[tuple[str, float], ...] = ()
    weights_end: tuple[tuple[str, float], ...] = ()
    shift: float = 2.0
    text_drop: float = 0.1
    mask_share: float = 0.25
    context_noise: float = 0.0
    shot_prompts: float = 0.75
    chinese: float = 0.25
    lengths: tuple[float, ...] = (0.4, 0.3, 0.3)
    subject_weight: float = 2.0
    left_behind: float = 0.0
    label_weight: float = 0.1
    place_weight: float = 1.0
    label_block: int = 3
    classes: int = 128
    compiled: tuple[str, ...] = ()
    init: str = ""
    heads: str = ""
    sheet_steps: int = 20
    sheet_cfg: float = 4.0
    model: DiTConfig = DIT_CONFIGS["sora-mini"]
    text: TextConfig = TextConfig(reach=3)


class Denoiser(nn.Module):
    """DiT, text encoder and label head in one forward, so that DDP and the optimisers see one module."""

    def __init__(self, dit: DiT, text: TextEncoder, classes: int, tap: int) -> None:
        super().__init__()
        self.dit, self.text, self.tap = dit, text, min(tap, len(dit.blocks))
        self.labels = nn.Sequential(
            nn.Linear(dit.config.dim, dit.config.dim), nn.SiLU(), nn.Linear(dit.config.dim, classes + PARTS)
        )
        self.places = nn.Linear(text.config.dim, PLACES)

    def forward(self, x: Tensor, t: Tensor, ids: Tensor, shot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Velocity; of every token logits of the classes and its part `[B,N,classes+PARTS]`; of every word of the
        first prompt, were it a subject's, where that subject is `[B,L,PLACES]`.
        """
        v, (features,), words = self.tapped(x, t, ids, shot, (self.tap,))
        return v, self.labels(features), self.places(words.unflatten(0, (-1, ids.shape[1]))[:, 0])

    def tapped(
        self, x: Tensor, t: Tensor, ids: Tensor, shot: Tensor, taps: tuple[int, ...]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Velocity, the features `[B,N,D]` after each block of `taps`, and the words of all prompts `[B*S,L,D]`."""
        count = ids.shape[1]
        words = self.text(ids.flatten(0, 1))
        text, mask = self.dit.text_keys(words), None
        if count > 1:
            text = join_shots(text, count)
            tokens = shot.repeat_interleave(x.shape[-2] * x.shape[-1] // 4, 1)
            mask = own_shot(tokens, count, text[0][0].shape[1])
        v, features = self.dit(x, t, text=text, text_mask=mask, taps=taps)
        return v, features, words


def parts(labels: Tensor) -> Tensor:
    """Subject class per token `[B,T,h,w]`, 0 = none -> `[B,T,h,w,PARTS]` in 0..1: where in the box of its subject in
    its frame a token lies (x, y), and how large that box is (width, height, as parts of the frame's).
    """
    h, w = labels.shape[2:]
    flat = labels.flatten(2)
    same = flat[..., None] == flat[..., None, :]
    out = []
    for place, size in ((torch.arange(w).repeat(h), w), (torch.arange(h).repeat_interleave(w), h)):
        place = place.to(labels.device).float()
        first = torch.where(same, place, size).amin(-1)
        last = torch.where(same, place, -1).amax(-1)
        out.append(((place - first + 0.5) / (last - first + 1), (last - first + 1) / size))
    (x, width), (y, height) = out
    return torch.stack((x, y, width, height), -1).unflatten(2, (h, w))


def importance(labels: Tensor, frames: int, left_behind: float) -> Tensor:
    """How much each token of `frames` latents counts beside the background, 0..1 `[B,N]`: those that show a subject
    (labels `[B,N]` > 0) wholly, those where one is at another time by `left_behind`. A bite is a change of the little
    that is gone.
    """
    shows = (labels > 0).float().unflatten(1, (frames, -1))
    return torch.maximum(shows, left_behind * shows.amax(1, keepdim=True)).flatten(1)


def initialize(dit: DiT) -> None:
    """Xavier weights; the branches' last layers and the head start at zero, so blocks start as identities."""
    for module in dit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for block in dit.blocks:
        for layer in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
            nn.init.zeros_(layer.weight)
    nn.init.zeros_(dit.head.head.weight)
    nn.init.zeros_(dit.time_projection[1].weight)
    nn.init.xavier_uniform_(dit.patch_embedding.weight.flatten(1))


def widened(text: TextEncoder, reach: int) -> TextEncoder:
    """`text` itself, or if its words do not see their neighbours, one that reads alike so far and can learn to."""
    if text.config.reach or not reach:
        return text
    new = TextEncoder(replace(text.config, reach=reach), text.tokenizer.vocabulary)
    new.load_state_dict(text.state_dict(), strict=False)
    return new


def heads_of(state: Path) -> dict[str, Tensor]:
    """The heads of the run whose `state.safetensors` this is. Raises SoraError for what is none."""
    try:
        with safe_open(state, "pt") as file:
            keys = [key for key in file.keys() if key.startswith(("ema/labels.", "ema/places."))]  # noqa: SIM118
            heads = {key.removeprefix("ema/"): file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise SoraError(f"heads: {state} cannot be read ({error}). Give a run's state.safetensors.") from None
    expect(bool(heads), f"heads: {state.name} holds none. Give the state.safetensors of a DiT run.")
    return heads


def shifted(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels towards noise: `s sigma / (1 + (s-1) sigma)` (SD3, eq. 23)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


class DiTTrainer(Trainer):
    adam_names = ("embedding", "head", "labels", "places", "position", "modulation", "time_")
    config: DiTTraining

    def __init__(self, config: DiTTraining) -> None:
        self.buckets = [b for b in open_buckets(Path(config.data)) if b.latents is not None]
        if not self.buckets:
            raise SoraError(f"{config.data} holds no latents. Make them with `sora train latents`.")
        super().__init__(config)
        self.batch_sizes = [max(1, config.tokens // b.tokens) for b in self.buckets]
        # A bucket in which clips are cut gives every clip as many prompts as its longest storyboard has.
        self.slots = [max(len(f.get("shots", (0,))) for f in b.facts) for b in self.buckets]
        self.vae = None

    def build(self) -> nn.Module:
        cfg = self.config
        if cfg.init:
            parts, _ = load_parts(cfg.init)
            dit, text = parts["dit"], widened(parts["text"], cfg.text.reach)
            dit.train().requires_grad_(True)
            text.train().requires_grad_(True)
        else:
            dit = DiT(cfg.model)
            initialize(dit)
            text = TextEncoder(cfg.text, Vocabulary.from_lexicon(load_lexicon()))
        if cfg.compile:
            # One block compiled is compiled for all; the whole model would take minutes for every shape.
            # Each bucket's shape is a graph of its own.
            torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
            for block in dit.blocks:
                block.compile(dynamic=False)
        model = Denoiser(dit, text, cfg.classes + 1, cfg.label_block)
        if cfg.heads:
            model.load_state_dict(heads_of(Path(cfg.heads)), strict=False)
        return model

    # -- data ----------------------------------------------------------------------------------------------
    def sampler(self, step: int) -> BucketSampler:
        """Bucket shares move linearly from `weights_start` to `weights_end` over the run."""
        start, end = dict(self.config.weights_start), dict(self.config.weights_end)
        a = min(1.0, step / max(1, self.config.steps - 1))
        sizes = [len(b) for b in self.buckets]
        weights = [(1 - a) * start.get(b.name, 0.0) + a * end.get(b.name, 0.0) for b in self.buckets]
        if not any(weights):
            weights = sizes
        return BucketSampler(sizes, self.batch_sizes, weights, self.config.seed, self.rank, self.world_size)

    def caption_of(self, fact: dict, rng: np.random.Generator) -> str:
        if "captions" in fact:
            return str(rng.choice(fact["captions"]))
        kind = ("short", "medium", "long")[rng.choice(3, p=self.config.lengths)]
        return caption(fact, rng, "zh" if rng.random() < self.config.chinese else "en", kind)

    def prompt_ids(self, fact: dict, rng: np.random.Generator, slots: int, latents: int) -> tuple[Tensor, list[int]]:
        """Text tokens `[slots,L]` of the prompts of a clip of `latents`, and which of them each latent reads."""
        cfg, length = self.config, self.model.text.config.length
        out = torch.zeros(slots, length, dtype=torch.long)
        shots = fact.get("shots", ())
        ends = [1 + (shot["end"] - 1) // 4 for shot in shots] if slots > 1 else [latents]
        reads = [number for number, n in enumerate(np.diff([0, *ends])) for _ in range(n)]
        if rng.random() < cfg.text_drop:
            return out, reads
        if slots > 1 and rng.random() < cfg.shot_prompts:
            texts = [self.caption_of(shot_facts(fact, i), rng) for i in range(len(shots))]
        else:
            texts = [self.caption_of(fact, rng)] * len(ends)
        for row, text in zip(out, texts, strict=False):
            ids = np.array(self.model.text.tokenizer.ids(text, length))
            # A few words are hidden, so that an unknown word at run time is a familiar sight.
            ids[rng.random(len(ids)) < 0.02] = UNKNOWN
            row[: len(ids)] = torch.from_numpy(ids)
        return out, reads

    def told(self, facts: list[dict], ids: Tensor) -> tuple[Tensor, Tensor]:
        """Words that name a subject, and where that is: see `Batch`. Of clips of the world in one shot."""
        words, places = [], []
        for clip, fact in enumerate(facts):
            for subject in fact.get("subjects", ()) if len(fact.get("shots", ())) == 1 else ():
                path = np.asarray(subject.get("path", ()), float)
                named = self.model.text.tokenizer.ids(subject["name"], 2)
                if len(named) != 1 or path.ndim != 2 or not np.isfinite(path[[0, -1]]).all():
                    continue
                frame = (fact["width"], fact["height"], min(fact["width"], fact["height"]))
                place = (path[[0, -1]] / frame).clip(0, 1).ravel()
                for at in (ids[clip, 0] == named[0]).nonzero().flatten().tolist():
                    words.append((clip, at))
                    places.append(place)
        shape = (len(words), PLACES)
        return torch.tensor(words, dtype=torch.long).view(-1, 2), torch.tensor(np.array(places)).float().view(shape)

    def draw(self, step: int) -> Batch:
        cfg = self.config
        bucket_index, indices = self.sampler(step).draw(step)
        data: Bucket = self.buckets[bucket_index]
        whole = len(indices) * self.world_size
        rng = np.random.default_rng([cfg.seed, step, 2])
        # Drawn for all ranks and sliced, so that n ranks together see one process's batch.
        masks = np.stack([frame_mask(rng, data.latents.shape[2], cfg.mask_share) for _ in range(whole)])
        seeds = rng.integers(0, 2**63, whole)
        generator = step_generator(cfg.seed, step)
        noise = torch.randn(whole, *data.latents.shape[1:], generator=generator)
        sigma = shifted(torch.sigmoid(torch.randn(whole, generator=generator)), cfg.shift)
        context = torch.from_numpy(rng.random(whole) * (rng.random(whole) < 0.5)).float() * cfg.context_noise
        part = slice(self.rank * len(indices), (self.rank + 1) * len(indices))
        facts = [data.facts[i] for i in indices]
        slots = self.slots[bucket_index]
        prompts = [
            self.prompt_ids(f, np.random.default_rng(s), slots, data.latents.shape[2])
            for f, s in zip(facts, seeds[part], strict=True)
        ]
        ids = torch.stack([ids for ids, _ in prompts])
        words, places = self.told(facts, ids)
        return Batch(
            torch.from_numpy(data.latents[indices].astype(np.float32)),
            torch.from_numpy(data.labels[indices].reshape(len(indices), -1).astype(np.int64)),
            ids,
            torch.tensor([reads for _, reads in prompts]),
            torch.from_numpy(masks[part]),
            context[part],
            ranked(noise, self.rank, self.world_size),
            ranked(sigma, self.rank, self.world_size),
            words,
            places,
        )

    def stance(self, step: int):
        """Whether the compiler may see this step's batch."""
        wanted = self.config.compiled
        skip = wanted and self.buckets[self.sampler(step).draw(step)[0]].name not in wanted
        return torch.compiler.set_stance("force_eager" if skip else "default")

    # -- loss ----------------------------------------------------------------------------------------------
    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        cfg, b = self.config, self.batch(step)
        sigma = b.sigma[:, None] * b.generate  # [B,T]: kept frames are at noise level 0
        # ... or all but there.
        s = torch.where(b.generate, sigma, b.context[:, None])[:, None, :, None, None]
        with self.autocast(), self.stance(step):
            v, logits, told = self.wrapped((1 - s) * b.latents + s * b.noise, 1000 * sigma, b.ids, b.shot)
        t, h, w = b.latents.shape[2:]
        error = (v.float() - (b.noise - b.latents)).pow(2).mean(1)  # [B,T,H,W]
        error = error.view(-1, t, h // 2, 2, w // 2, 2).mean((3, 5)).flatten(1)
        generated = b.generate.repeat_interleave(h * w // 4, 1)
        weight = (1 + cfg.subject_weight * importance(b.labels, t, cfg.left_behind)) * generated
        flow = (error * weight).mean()
        # Most tokens show no subject: weigh that class down, or naming nothing is a good guess.
        classes = torch.ones(cfg.classes + 1, device=self.device)
        classes[0] = 0.2
        names, where = logits.float().split((cfg.classes + 1, PARTS), -1)
        naming = F.cross_entropy(names.flatten(0, 1), b.labels.flatten(), classes, reduction="none")
        # Not the weighted mean, whose divisor would differ between ranks.
        naming = naming.mean() / 0.4
        shown = (b.labels > 0).unsqueeze(-1)
        wanted = parts(b.labels.view(len(b.labels), t, h // 2, w // 2)).flatten(1, 3)
        part = ((where - wanted).abs() * shown).mean() / 0.4
        metrics = {
            "flow": float((error * generated).sum().detach() / generated.sum()),
            "naming": float(naming.detach()),
            "part": float(part.detach()),
        }
        # A mean over the clips of all ranks, as the flow is: not over the words, of which a rank may have none.
        place = (told.float()[b.words[:, 0], b.words[:, 1]] - b.places).abs().sum() / (PLACES * len(b.ids))
        metrics["place"] = float(place.detach())
        return flow + cfg.label_weight * (naming + 5 * part) + cfg.place_weight * place, metrics

    # -- evaluation ------------------------------------------------------------------------------------------
    def averaged(self) -> tuple[DiT, TextEncoder]:
        dit = DiT(self.model.dit.config)
        text = TextEncoder(self.model.text.config, self.model.text.tokenizer.vocabulary)
        for name, part in (("dit.", dit), ("text.", text)):
            part.load_state_dict({k[len(name) :]: v for k, v in self.ema.state.items() if k.startswith(name)})
            part.to(self.device).eval().requires_grad_(False)
        return dit, text

    @torch.no_grad()
    def sheet(self, step: int) -> None:
        """Sample `PROMPTS` with the moving average, by Euler, and decode them."""
        cfg = self.config
        if not cfg.vae:
            return
        if self.vae is None:
            self.vae = load_parts(cfg.vae, device=str(self.device))[0]["vae"]
        dit, text = self.averaged()
        x = torch.randn(len(PROMPTS), 16, 5, 16, 16, generator=step_generator(cfg.seed, 0)).to(self.device)
        sigmas = shifted(torch.linspace(1, 0, cfg.sheet_steps + 1), 3.0)
        with self.autocast():
            keys = dit.text_keys(torch.cat((text.encode(PROMPTS), text.encode([""] * len(PROMPTS)))))
            for now, after in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
                t = torch.full((2 * len(x),), 1000 * now, device=self.device)
                cond, uncond = dit(torch.cat((x, x)), t, text=keys).float().chunk(2)
                x = x + (after - now) * (uncond + cfg.sheet_cfg * (cond - uncond))
            video = self.vae.decode(x).float().clamp(-1, 1)
        clips = ((video + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
        save_sheet(self.out / f"sheet_{step:06d}.png", list(clips), columns=5, labels=list(PROMPTS), rows_across=2)

    def export(self, path: Path) -> None:
        dit, text = self.averaged()
        save(path, {"dit": dit, "text": text}, {"step": self.step}, dtype=torch.float32)
