"""What the benchmarks share with `sora eval`, where adherence to prompts is measured."""

from __future__ import annotations

from sora_core.training.evaluate.measures import layout, proportion

__all__ = ["PLACES", "layout", "score"]

PLACES = {
    "meadow": "in a meadow",
    "beach": "on a beach",
    "desert": "in the desert",
    "snowy mountains": "in the snowy mountains",
    "city at night": "in a city at night",
    "outer space": "in outer space",
    "underwater": "underwater",
    "sunset": "at sunset",
    "forest": "in the forest",
    "volcano": "in front of a volcano",
}


def score(pairs: list[tuple]) -> dict:
    """(seen, wanted) pairs -> per cent that are equal, its 95% interval, and how many there were."""
    return proportion([seen == wanted for seen, wanted in pairs])
