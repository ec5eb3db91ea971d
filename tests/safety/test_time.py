"""The check of prompts takes time in proportion to the prompt, whatever it is made of."""

from __future__ import annotations

import time

import pytest

from sora_core.errors import SoraError
from sora_core.language.expand import expand
from sora_core.safety.prompts import check_prompt


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda n: ":" + "1" * n, id="digits of a weight"),
        pytest.param(lambda n: ":" + " " * n, id="spaces of a weight"),
        pytest.param(lambda n: ":1" + " " * n + ")", id="spaces behind a weight"),
        pytest.param(lambda n: "a " * (n // 2), id="spaced letters"),
        pytest.param(lambda n: "q." * (n // 2), id="letters in no word"),
        pytest.param(lambda n: "(" * n, id="brackets"),
    ],
)
def test_checking_takes_time_in_proportion(draw):
    check_prompt("warm up")

    def spent(length: int) -> float:
        start = time.process_time()
        check_prompt(draw(length))
        return time.process_time() - start

    few, many = (min(spent(n) for _ in range(3)) for n in (2_400, 19_200))
    assert many < 24 * max(few, 0.01)  # eight times as long; as a square it would be 64 times


def test_expanding_refuses_what_nobody_has_written():
    with pytest.raises(SoraError, match="1400000 characters; at most 16000"):
        expand("cat on a beach" * 100_000)
