"""The error-correcting code of the watermark: 32 bits as 128 signs, and back from soft values.

A tail-biting convolutional code of rate 1/4 and constraint length 9, generators 463, 535, 733, 745 octal, free
distance 24 (Larsen, "Short convolutional codes with maximal free distance for rates 1/2, 1/3, and 1/4", IEEE Trans.
Inf. Theory 19(3), 1973). Tail-biting spends no bits on closing the trellis. It is decoded by going round the trellis
until the start no longer matters (the wrap-around Viterbi algorithm of Shao, Lin and Fossorier, "Two decoding
algorithms for tailbiting codes", IEEE Trans. Commun. 51(10), 2003).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BITS = 32
RATE = 4  # signs sent for a bit
LENGTH = BITS * RATE
MEMORY = 8  # bits before the newest that a sign depends on: the constraint length less 1
STATES = 1 << MEMORY
GENERATORS = (0o463, 0o535, 0o733, 0o745)
LOOPS = 3  # rounds of the trellis: one to forget the start, one that is read, one to settle its end


def _outputs() -> np.ndarray:
    """Return the signs `[512,4]` that each content of the 9-bit register sends."""
    register = np.arange(2 * STATES)
    taps = register[:, None] & np.asarray(GENERATORS)
    parity = np.zeros_like(taps)
    for shift in range(MEMORY + 1):
        parity ^= taps >> shift & 1
    return 1.0 - 2.0 * parity


OUTPUTS = _outputs()
_STATE = np.arange(STATES)
# The two states that lead to a state: its bits shifted right, with a 0 or a 1 coming in on the left.
_BEFORE = np.stack((_STATE >> 1, _STATE >> 1 | STATES >> 1))


@lru_cache(1024)  # what is looked for by name is asked for at each place
def encode(payload: int) -> np.ndarray:
    """Encode a payload of 32 bits, most significant first, as signs `[128]` (+1, -1)."""
    bits = [payload >> (BITS - 1 - i) & 1 for i in range(BITS)]
    register = 0
    for bit in bits[-MEMORY:]:  # tail-biting: start in the state in which the word ends
        register = register << 1 | bit
    signs = []
    for bit in bits:
        register = (register << 1 | bit) & (2 * STATES - 1)
        signs.append(OUTPUTS[register])
    made = np.concatenate(signs)
    made.flags.writeable = False  # it is shared
    return made


def decode(soft: np.ndarray, force: np.ndarray | None = None) -> np.ndarray:
    """Decode soft signs `[N,128]`: the payloads `[N]` (uint32) whose signs correlate best with them.

    force: `[N,32]` of 0, 1 or -1 (free): bits that are given.
    """
    count = len(soft)
    branches = soft.reshape(count, BITS, RATE) @ OUTPUTS.T
    metric = np.zeros((count, STATES))
    choices = np.empty((LOOPS * BITS, count, STATES), bool)
    for step in range(LOOPS * BITS):
        branch = branches[:, step % BITS]
        zero = metric[:, _BEFORE[0]] + branch[:, :STATES]
        one = metric[:, _BEFORE[1]] + branch[:, STATES:]
        choices[step] = one > zero
        metric = np.maximum(zero, one)
        if force is not None:
            wanted = force[:, step % BITS, None]
            metric[(wanted >= 0) & (wanted != (_STATE & 1))] = -1e9
        metric -= metric.max(1, keepdims=True)  # only differences count
    state, rows = metric.argmax(1), np.arange(count)
    bits = np.zeros((count, BITS), np.uint64)
    for step in reversed(range(LOOPS * BITS)):
        # The round in the middle is read: the trellis has gone round once before it, and goes on behind it.
        if BITS <= step < 2 * BITS:
            bits[:, step - BITS] = state & 1
        state = _BEFORE[choices[step, rows, state].astype(int), state]
    return (bits << np.arange(BITS - 1, -1, -1, dtype=np.uint64)).sum(1).astype(np.uint32)
