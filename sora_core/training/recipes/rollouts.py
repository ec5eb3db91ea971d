"""Clips that a model makes of practice prompts, each judged: what `sora train reward` learns from.

Every prompt is asked several times, with different noise, and every clip judged as `sora eval` judges: of one prompt
some clips are right and some are not, and what tells them apart is what the model has to learn. Prompts are drawn from
the combinations that tests leave alone, and their seeds are no test's. Where a fall is judged, so is who falls.

    ROLLOUTS/0007-0003.safetensors   latents float16 [B,C,T,h,w]; metadata "rollouts": a row for each, see `Rollout`

The file is the fourth of the set of prompts number 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import SoraError, expect
from ...files import ensure_writable, written_beside
from ...language import caption
from ...loading.lora import parse_lora
from ...observer.network import Observer, load_observer
from ...pipeline.pipeline import load
from ..evaluate.cases import ABILITIES, Case, Draw
from ..evaluate.run import BATCH, Maker, judged

JUDGED = ("company", "gravity", "occlusion", "words", "motions", "camera", "effects")  # prompts of one shot
LANGUAGES, LENGTHS = ("en", "zh"), ("short", "medium", "long")


@dataclass(frozen=True)
class Rollout:
    """What was asked of a clip and what came of it."""

    ability: str
    prompt: str
    group: int  # the prompt's number among those of its file
    seed: int  # of the noise
    seen: dict[str, bool]  # what must be seen, and whether it is

    @property
    def right(self) -> bool:
        """Whether all that must be seen is."""
        return all(self.seen.values())

    @property
    def reward(self) -> float:
        """The share of what must be seen that is: a bounce that fits a parabola and misses the ground is on the way."""
        return sum(self.seen.values()) / len(self.seen)


def practice_cases(draw: Draw, ability: str, first: int, count: int, chinese: float = 0.25) -> list[Case]:
    """Return the cases number `first` to `first + count - 1` of an ability, a share of them in Chinese.

    Raises SoraError for a `draw` of the test's own cases.
    """
    if draw.practice is None:
        raise SoraError("These are a test's own cases: give Draw a number of a set for practice.")
    cases = []
    for i, case in enumerate(ABILITIES[ability](draw, first + count)[first:], first):
        rng = np.random.default_rng([draw.practice, i, 6])
        language = LANGUAGES[int(rng.random() < chinese)]
        prompt = caption(case.facts, rng, language, LENGTHS[i % 3])
        must = dict(case.must)
        if "ground" in must:
            must["subject"] = case.facts["subjects"][0]["name"]
        cases.append(replace(case, prompts=(prompt,), must=must))
    return cases


def roll_out(
    out: Path,
    maker: Maker,
    observer: Observer,
    draw: Draw,
    only: tuple[str, ...],
    batches: int,
    each: int,
    progress: Callable[[str], None] = print,
) -> None:
    """Make `batches` files of at most 25 clips, `each` of a prompt, of the abilities `only` in turn.

    An ability that is named twice has two turns. A file that is there is not made again. Raises SoraError for unknown
    abilities and numbers out of range.
    """
    unknown = [name for name in only if name not in JUDGED]
    expect(bool(only) and not unknown, f"Abilities are {', '.join(JUDGED)}; not {', '.join(unknown) or 'none'}.")
    expect(1 <= each <= BATCH, f"{each} clips of a prompt: use 1 (to measure) or 2 (to learn from) to {BATCH}.")
    expect(batches >= 1, f"{batches} files: use 1 or more.")
    ensure_writable(out)
    prompts = BATCH // each
    for number in range(batches):
        file = out / f"{draw.practice:04d}-{number:04d}.safetensors"
        if file.exists():
            continue
        turn, place = divmod(number, len(only))
        ability = only[place]
        first = (turn * only.count(ability) + only[:place].count(ability)) * prompts
        asked = [
            (group, replace(case, seed=1000 * case.seed + k))
            for group, case in enumerate(practice_cases(draw, ability, first, prompts))
            for k in range(each)
        ]
        cases = [case for _, case in asked]
        latents = maker.latents(cases)
        verdicts = judged(cases, maker.shown(latents), observer)
        rows = [
            Rollout(ability, case.prompts[0], group, case.seed, seen)
            for (group, case), seen in zip(asked, verdicts, strict=True)
        ]
        with written_beside(file) as part:
            about = json.dumps([asdict(row) for row in rows], ensure_ascii=False)
            save_file({"latents": latents.half().contiguous()}, part, {"rollouts": about})
        progress(f"{file.name}: {ability}, {sum(row.right for row in rows)} of {len(rows)} right")


def rollouts_of(
    out: Path,
    model: str,
    only: tuple[str, ...],
    batches: int,
    each: int,
    steps: int | None = None,
    sprites: Path | None = None,
    preset: str = "cast",
    seed: int = 0,
    loras: Sequence[str] = (),
) -> Path:
    """Run `roll_out` with a model and LoRAs ("FILE[:STRENGTH]") as they sample best, in bfloat16; returns `out`.

    steps: of the sampler, None for the model's own; seed: number of the set of prompts. Raises SoraError as `roll_out`
    does, and for a folder of sprites, a model or a LoRA that is not there.
    """
    expect(sprites is None or sprites.is_dir(), f"There is no folder {str(sprites)!r} of sprites.")
    pipe = load(model, dtype=torch.bfloat16)
    for given in loras:
        pipe = pipe.with_lora(*parse_lora(given))
    steps, cfg, sampler = pipe.habits(steps)
    draw, maker = Draw(sprites, preset, seed), Maker(pipe, steps, cfg, sampler, "simple")
    roll_out(out, maker, load_observer(), draw, only, batches, each, lambda text: print(text, flush=True))
    return out


def read_rollouts(folder: Path) -> list[list[tuple[Rollout, Tensor]]]:
    """Read the groups of a folder's files in which some clips are better than others.

    A group is all clips of one prompt, with their latents float16 `[C,T,h,w]`. Raises SoraError when there is none, and
    for files that hold something else.
    """
    groups: list[list[tuple[Rollout, Tensor]]] = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as opened:
                rows = [Rollout(**row) for row in json.loads((opened.metadata() or {})["rollouts"])]
                expect(all(row.seen for row in rows), f"{file.name}: a clip of which nothing was judged.")
                latents = opened.get_tensor("latents")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise SoraError(f"{file.name} holds no rollouts ({error}). Move it out of {folder}.") from None
        of_prompt: dict[int, list[tuple[Rollout, Tensor]]] = {}
        for row, latent in zip(rows, latents, strict=True):
            of_prompt.setdefault(row.group, []).append((row, latent))
        groups += [g for g in of_prompt.values() if len({row.reward for row, _ in g}) > 1]
    expect(
        bool(groups),
        f"No prompt in {folder} has clips that are better than others: make more with `sora train rollouts`.",
    )
    return groups


def advantages(rewards: Sequence[float]) -> Tensor:
    """Return how much better than its group's mean each clip is, in standard deviations (GRPO, arXiv 2402.03300)."""
    r = torch.tensor(rewards, dtype=torch.float32)
    return (r - r.mean()) / r.std(correction=0)
