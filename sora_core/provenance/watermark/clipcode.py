"""What the waves of a mark carry: a fifth the pilot, some the number of the clip, the rest the tie to its pictures.

The number has 16 bits. Each of its waves has a column of 16 bits that the key drew, and the sign is the parity of the
bits that column and number share: a random linear code. All 65536 numbers are compared at once with what was read, by a
Walsh-Hadamard transform, so the best is the best of all.

The tie's waves are shared out to the 16 regions of the frame. Their signs are a hash of key, number, region, and the
look of the region (`.content`). Who has the mark of a clip knows them for its number and its pictures, and nothing of
those of other pictures.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .carrier import Carrier, carrier_of
from .content import LOOKS, REGIONS

BITS = 16
NUMBERS = 1 << BITS
TIED = 10  # waves' signs to a region


@dataclass(frozen=True)
class ClipCode:
    """Which sign of the 2n of a carrier says what."""

    key: bytes
    carrier: Carrier
    signs: np.ndarray  # [2n], +1 or -1, the key's
    pilot: np.ndarray  # places of the signs that are the key's alone
    coded: np.ndarray  # [m] places of those that carry the number
    columns: np.ndarray  # [m] of the code, 16 bits each, all different
    tied: np.ndarray  # [16,10] places of those that are tied to each region

    def number_signs(self, number: int) -> np.ndarray:
        """Return the signs `[m]` of a number, without the key's."""
        return _signs_of(self.columns & np.uint16(number))

    def tie_signs(self, number: int) -> np.ndarray:
        """Return the signs of a number for each region and look, `[16,16,10]`."""
        count = REGIONS * LOOKS * TIED
        # The number first, as its length is fixed: no two pairs of number and key give the same text.
        text = b"sora watermark 2 tie\0" + number.to_bytes(2, "big") + self.key
        bits = np.unpackbits(np.frombuffer(hashlib.shake_256(text).digest(-(-count // 8)), np.uint8))[:count]
        return (1.0 - 2.0 * bits).reshape(REGIONS, LOOKS, TIED)

    def whole(self, number: int, looks: np.ndarray) -> np.ndarray:
        """Return all signs `[2n]` of a number, for pictures with these looks `[16]`."""
        made = self.signs.copy()
        made[self.coded] *= self.number_signs(number)
        made[self.tied] *= self.tie_signs(number)[np.arange(REGIONS), looks]
        return made

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return how well each number fits projections `[N,2n]`: `[N,65536]`, sums of signs times projections."""
        half = 1 << BITS // 2
        given = np.zeros((len(values), NUMBERS), np.float32)
        given[:, self.columns] = values[:, self.coded] * self.signs[self.coded]
        # A transform of 2^16 is one of 2^8 by rows and one by columns.
        return (_hadamard() @ given.reshape(-1, half, half) @ _hadamard()).reshape(len(values), NUMBERS)

    def piloted(self, values: np.ndarray) -> np.ndarray:
        """Return how well the pilot fits projections `[N,2n]`: `[N]`."""
        return values[:, self.pilot] @ self.signs[self.pilot]


@lru_cache(1)
def _hadamard() -> np.ndarray:
    size = np.arange(1 << BITS // 2, dtype=np.uint16)
    return _signs_of(size[:, None] & size).astype(np.float32)


def _signs_of(words: np.ndarray) -> np.ndarray:
    """Return -1 where an odd number of the 16 bits is set, else 1."""
    odd = words
    for shift in (8, 4, 2, 1):
        odd = odd ^ odd >> shift
    return 1.0 - 2.0 * (odd & 1)


@lru_cache(8)
def clip_code(key: bytes) -> ClipCode:
    """Draw what a key determines. The pilot is that of marks of before, so that both are aligned at once."""
    carrier = carrier_of(key)
    pilot, others = (np.flatnonzero(mask) for mask in (carrier.carries < 0, carrier.carries >= 0))
    count = len(others)
    stream = hashlib.shake_256(b"sora watermark 2\0" + key).digest(5 * count + 8 * count)
    signs = carrier.signs.copy()
    signs[others] = 1.0 - 2.0 * (np.frombuffer(stream[:count], np.uint8) & 1)
    # Stable, so that equal numbers are ordered alike everywhere: the order is part of the mark.
    mixed = others[np.argsort(np.frombuffer(stream[count : 5 * count], "<u4"), kind="stable")]
    tied, coded = mixed[: REGIONS * TIED].reshape(REGIONS, TIED), mixed[REGIONS * TIED :]
    drawn = np.frombuffer(stream[5 * count :], "<u2")
    drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    columns = drawn[drawn > 0][: len(coded)].astype(np.uint16)
    return ClipCode(key, carrier, signs, pilot, coded, columns, tied)
