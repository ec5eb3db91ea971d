"""Which latents of an earlier render are kept, which belong to a join, and how the gaps between them are filled."""

from __future__ import annotations

import pytest
import torch
from long_support import toy_roller

from sora_core.tasks.long.joins import Filling
from sora_core.tasks.long.rolling import Rolling
from sora_core.tasks.long.spans import SOURCE, Span, keep


def spans(*shots: tuple[str, int]) -> list[Span]:
    found, begin = [], 0
    for key, count in shots:
        found.append(Span(key, begin, begin + count))
        begin += count
    return found


def numbered(count: int) -> torch.Tensor:
    """A latent whose values are its own number."""
    return torch.arange(count).float().view(1, 1, -1, 1, 1).expand(1, 4, -1, 6, 6).contiguous()


FIVE = spans(("a", 5), ("b", 4), ("c", 4), ("d", 4), ("e", 4))


@pytest.mark.parametrize(
    ("now", "kept", "gaps", "note"),
    [
        # Its number of before for each latent that is kept. Gaps: begin, end, overlap before, overlap after.
        (
            spans(("a", 5), ("b", 4), ("x", 4), ("d", 4), ("e", 4)),
            [0, 1, 2, 3, 4, 5, 6, 7, *"......", 14, 15, 16, 17, 18, 19, 20],
            [(8, 14, 1, 1)],
            "Shots 1, 2, 4, 5 kept from the earlier render; shot 3 and 2 joins made.",
        ),
        (
            spans(("a", 5), ("b", 4), ("c longer", 6), ("d", 4), ("e", 4)),
            [0, 1, 2, 3, 4, 5, 6, 7, *"........", 14, 15, 16, 17, 18, 19, 20],
            [(8, 16, 1, 1)],
            "Shots 1, 2, 4, 5 kept from the earlier render; shot 3 and 2 joins made.",
        ),
        (
            spans(("a", 5), ("b", 4), ("d", 4), ("e", 4)),
            [0, 1, 2, 3, 4, 5, 6, 7, *"..", 14, 15, 16, 17, 18, 19, 20],
            [(8, 10, 1, 1)],
            "Shots 1, 2, 3, 4 kept from the earlier render; 1 join made.",
        ),
        (
            spans(("a", 5), ("b", 4), ("new", 1), ("c", 4), ("d", 4), ("e", 4)),
            [0, 1, 2, 3, 4, 5, 6, 7, *"...", 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
            [(8, 11, 1, 1)],
            "Shots 1, 2, 4, 5, 6 kept from the earlier render; shot 3 and 2 joins made.",
        ),
        (
            spans(("x", 5), ("b", 4), ("c", 4), ("d", 4), ("e", 4)),
            [*"......", *range(6, 21)],
            [(0, 6, 0, 1)],
            "Shots 2, 3, 4, 5 kept from the earlier render; shot 1 and 1 join made.",
        ),
        (
            spans(("a", 5), ("b", 4), ("c", 4), ("d", 4), ("x", 4)),
            [*range(16), *"....."],
            [(16, 21, 1, 0)],
            "Shots 1, 2, 3, 4 kept from the earlier render; shot 5 and 1 join made.",
        ),
        (
            spans(("a", 5), ("x", 4), ("c", 4), ("y", 3), ("e", 4)),
            [0, 1, 2, 3, *"......", 10, 11, *"......"[:5], 18, 19, 20],
            [(4, 10, 1, 1), (12, 17, 1, 1)],
            "Shots 1, 3, 5 kept from the earlier render; shots 2, 4 and 4 joins made.",
        ),
        # The first latent of a video is a single frame: what becomes the first is made, what was it is not used.
        (
            spans(("b", 5), ("c", 4), ("d", 4), ("e", 4)),
            [*"..", *range(6, 21)],
            [(0, 2, 0, 1)],
            "Shots 1, 2, 3, 4 kept from the earlier render; the video's start made.",
        ),
        (
            spans(("new", 5), ("a", 4), ("b", 4), ("c", 4), ("d", 4), ("e", 4)),
            [*"......", 2, 3, 4, *range(5, 21)],
            [(0, 6, 0, 1)],
            "Shots 2, 3, 4, 5, 6 kept from the earlier render; shot 1 and 1 join made.",
        ),
        (
            spans(("new", 5), ("a", 5), ("b", 4), ("c", 4), ("d", 4), ("e", 4)),
            [*"......", 1, 2, 3, 4, *range(5, 21)],
            [(0, 6, 0, 0)],
            "Shots 2, 3, 4, 5, 6 kept from the earlier render; shot 1 and 1 join made.",
        ),
        # A cut that is rounded to another latent leaves the shot one short: its end is made with the join.
        (
            spans(("a", 5), ("b", 5), ("c", 4), ("d", 4), ("e", 4)),
            [*range(8), *"...", *range(10, 21)],
            [(8, 11, 1, 1)],
            "Shots 1, 2, 3, 4, 5 kept from the earlier render; 1 join made.",
        ),
        (
            spans(("a", 5), ("b", 4), ("c", 4), ("d", 4), ("e", 4), ("new", 4)),
            [*range(20), *"....."],
            [(20, 25, 1, 0)],
            "Shots 1, 2, 3, 4, 5 kept from the earlier render; shot 6 and 1 join made.",
        ),
    ],
)
def test_what_is_kept_and_what_is_a_join(now, kept, gaps, note):
    reuse = keep(numbered(21), FIVE, now, overlap=1)
    values = reuse.latents[0, 0, :, 0, 0].int().tolist()
    assert [v if k else "." for v, k in zip(values, reuse.kept.tolist(), strict=True)] == kept
    assert [(g.begin, g.end, g.before, g.after) for g in reuse.gaps()] == gaps
    assert reuse.note() == note


def test_another_video_is_not_taken_for_an_earlier_one():
    assert keep(numbered(21), FIVE, spans(("a", 5), ("x", 4), ("y", 4), ("z", 4), ("e", 4)), 1) is None
    assert keep(numbered(21), FIVE, spans(("x", 5), ("y", 4)), 1) is None
    # Nothing but joins would be left of a shot of two latents.
    board = spans(("x", 5), ("d", 2), ("y", 4))
    assert keep(numbered(11), spans(("a", 5), ("d", 2), ("c", 4)), board, 1) is None


def test_the_users_own_video_is_never_made_again():
    board = spans((SOURCE, 4), ("a", 4), ("b", 4), ("c", 4))
    changed = spans((SOURCE, 4), ("x", 4), ("b", 4), ("c", 4))
    reuse = keep(numbered(16), board, changed, 1)
    assert reuse.kept[:4].all() and [(g.begin, g.end, g.before) for g in reuse.gaps()] == [(4, 9, 0)]
    assert "Shots 2, 3 kept" in reuse.note() and "shot 1 and 2 joins" in reuse.note()


@pytest.mark.parametrize("rolling", [Rolling(), Rolling(3, 1, 0), Rolling(3), Rolling(8, 2, 2), Rolling(21, 2, 3)])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 30])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_gaps_of_any_length_are_filled_and_the_rest_is_untouched(rolling, length, place):
    """Each window knows what is kept around it, and the last one of a gap knows both sides."""
    names = ["a", "b", "c"]
    before = spans(*((name, 9) for name in names))
    names[place] = "new"
    now = spans(*((name, length if name == "new" else 9) for name in names))
    reuse = keep(numbered(27) + 100, before, now, rolling.overlap)
    seen: list = []
    roller = toy_roller(rolling, seen=seen)
    roller.shot_of = lambda latent: next((i for i, s in enumerate(now) if s.begin <= latent < s.end), 2)
    filling = Filling(reuse, roller)
    (gap,) = reuse.gaps()
    for segment in filling.make(0, lambda index: None):
        assert torch.isfinite(segment.final).all()
    video = torch.cat(list(filling.pieces()), 2)
    assert video.shape[2] == now[-1].end and torch.equal(video[:, :, reuse.kept], reuse.latents[:, :, reuse.kept])
    assert all((video[0, :, i] != reuse.latents[0, :, i]).any() for i in range(gap.begin, gap.end))
    fewest = rolling.context * 2 + rolling.overlap + max(1, rolling.overlap) + 1
    assert all(latent["samples"].shape[2] <= max(rolling.window, fewest) for latent, _ in seen)
    first, last = (seen[i][0]["noise_mask"][0, 0, :, 0, 0].tolist() for i in (0, -1))
    assert (first[0] == 0) == (place > 0) and (last[-1] == 0) == (place < 2)


def test_many_shots_are_told_in_few_words():
    board = spans(*((str(i), 4) for i in range(30)))
    changed = spans(*(("new" if i == 9 else str(i), 4) for i in range(30)))
    told = keep(numbered(120), board, changed, 1).note()
    assert told == "Shots 1 to 9, 11 to 30 kept from the earlier render; shot 10 and 2 joins made."
