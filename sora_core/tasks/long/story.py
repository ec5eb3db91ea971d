"""Lay the shots of a long video out over its latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ...errors import expect
from ...media.sizes import check_rate
from ..shots import join_prompts
from ..storyboard import Shot, plan_shots, shots_of_window
from .rolling import Conditioning, Roller, Rolling, SampleFn
from .segments import digest
from .source import Source
from .spans import SOURCE, Span

MAX_SECONDS = 3600.0


class LongVideo:
    """What a long video shows when: its shots, over `seconds` after the source."""

    def __init__(
        self,
        shots: Sequence[Shot],
        prompts: Sequence[Conditioning],
        seconds: float,
        fps: float,
        ratio: int = 4,
        source: Source | None = None,
        join: Callable[[Sequence[Conditioning], Sequence[int]], Conditioning] = join_prompts,
    ) -> None:
        """Plan the latents.

        prompts: the CONDITIONING of each shot. ratio: frames of one latent. join: makes one of several, for so many
        latents each, as the model reads them; see `tasks.shots`.
        """
        self.given = 0 if source is None else source.final.shape[2]  # latents of the source
        new = max(1, round(seconds * fps))
        if self.given:
            self.total = self.given + -(-new // ratio)  # latents in all
        else:
            self.total = 1 + max(0, round((new - 1) / ratio))
        counts = plan_shots(shots, fps, ratio)
        self.counts = [counts[0] + self.given, *counts[1:]]  # latents of each shot, the source's with the first
        self.shots, self.prompts, self.join = shots, prompts, join

    def conditioning(self, first: int, length: int) -> Conditioning:
        """Return the CONDITIONING of the window of `length` latents from `first`."""
        numbers, lengths = shots_of_window(self.counts, first, length)
        return self.join([self.prompts[n] for n in numbers], lengths)

    def shot_of(self, latent: int) -> int:
        """Return the number of the shot that shows a latent."""
        return shots_of_window(self.counts, latent, 1)[0][0]

    def spans(self) -> tuple[Span, ...]:
        """List where the source and the shots lie, each named by its prompt and how long it lasts."""
        return tuple(span for span, _ in self._laid_out())

    def locked(self) -> tuple[int, ...]:
        """Tell which spans are those of shots that are to be kept."""
        return tuple(number for number, (_, keep) in enumerate(self._laid_out()) if keep)

    def _laid_out(self) -> list[tuple[Span, bool]]:
        """List the spans, and whether each is to be kept."""
        found = [(Span(SOURCE, 0, self.given), False)] if self.given else []
        begin = self.given
        for number, (shot, count) in enumerate(zip(self.shots, self.counts, strict=True)):
            planned = begin + count - (self.given if number == 0 else 0)
            end = self.total if number == len(self.counts) - 1 else min(planned, self.total)
            if begin < end:
                # Cuts are rounded to latents, so a shot that has moved may be one longer. One that the video's end cuts
                # short, or that fills it, lasts as long as it does.
                lasts = float(shot.seconds) if abs(end - planned) <= 1 else f"{end - begin} latents"
                prompt = self.conditioning(begin, 1)
                found.append((Span(digest({"prompt": prompt, "lasts": lasts}), begin, end), shot.keep))
            begin = end
        return found

    def roller(
        self, sample: SampleFn, sigmas: Tensor, shape: tuple[int, int, int], seed: int, rolling: Rolling
    ) -> Roller:
        """Make what makes the segments. shape: `(C, h, w)` of a latent."""
        return Roller(sample, self.conditioning, sigmas, shape, seed, rolling, self.shot_of)


def check_long(seconds: float, fps: float) -> None:
    """Raise SoraError for a duration or a frame rate out of range."""
    expect(
        0 < seconds <= MAX_SECONDS, f"{seconds:g} s cannot be made: use more than 0, at most {MAX_SECONDS:.0f} seconds."
    )
    check_rate(fps)


def rolling_for(window: int, **changes: Any) -> Rolling:
    """Make the `Rolling` of a model whose clips have `window` latents."""
    return Rolling(window=max(window, 3), **changes)
