"""Spatial tiles that are computed with as much around them as what is kept of them depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Tile(NamedTuple):
    """One tile, as slices of rows and columns."""

    read: tuple[slice, slice]  # of the whole, with what lies around the tile
    keep: tuple[slice, slice]  # of what was read
    at: tuple[slice, slice]  # of the whole again: where that is put


def tiles(rows: int, columns: int, side: int, reach: int) -> Iterator[Tile]:
    """Cover `rows` x `columns` cells with tiles of at most `side`, read with `reach` cells around them."""
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            down, along = _span(y, rows, side, reach), _span(x, columns, side, reach)
            yield Tile(*zip(down, along, strict=True))


def _span(first: int, length: int, side: int, reach: int) -> tuple[slice, slice, slice]:
    """Return what to read, to keep and where to put it, along one axis of `length` cells."""
    last = min(first + side, length)
    begin, end = max(0, first - reach), min(length, last + reach)
    return slice(begin, end), slice(first - begin, last - begin), slice(first, last)


def scaled(cut: tuple[slice, slice], ratio: int) -> tuple[slice, slice]:
    """Return the same place in cells that are `ratio` times as fine."""
    rows, columns = (slice(s.start * ratio, s.stop * ratio) for s in cut)
    return rows, columns
