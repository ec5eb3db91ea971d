"""Spatial tiles that are computed with as much around them as what is kept of them depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Tile(NamedTuple):
    """Slices of rows and columns: of the whole to `read`, of what was read to `keep`, of the whole it is put `at`."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    at: tuple[slice, slice]


def tiles(rows: int, columns: int, side: int, reach: int) -> Iterator[Tile]:
    """Cover `rows` x `columns` cells with tiles of at most `side`, read with `reach` cells around them."""
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            read, keep, at = zip(*(_span(first, n, side, reach) for first, n in ((y, rows), (x, columns))), strict=True)
            yield Tile(read, keep, at)


def _span(first: int, length: int, side: int, reach: int) -> tuple[slice, slice, slice]:
    last = min(first + side, length)
    begin, end = max(0, first - reach), min(length, last + reach)
    return slice(begin, end), slice(first - begin, last - begin), slice(first, last)


def scaled(cut: tuple[slice, slice], ratio: int) -> tuple[slice, slice]:
    """The same place in cells that are `ratio` times as fine."""
    return tuple(slice(s.start * ratio, s.stop * ratio) for s in cut)
