"""Contact sheets."""

from __future__ import annotations

from sora_core.training.loop.sheets import drawable


def test_labels_that_the_font_cannot_show_are_told_in_english() -> None:
    assert drawable("a cat, moving left") == "a cat, moving left"
    told = drawable("一只企鹅在雪山向左走")
    assert told.isascii() and told.startswith("zh: ") and {"penguin", "left", "snowy"} <= set(told.split()), told
    assert drawable("café") == "caf?"
