"""A third of the hostile inputs of `tests/benchmarks/hostile.py`: each ends soon, small, and in a line or two."""

from __future__ import annotations

import pytest
from hostile_support import measure


@pytest.mark.slow
def test_hostile_inputs_end_in_a_result_or_a_refusal():
    outcomes = list(measure(short=True))
    assert len(outcomes) >= 50
    assert not [(o.name, o.fault) for o in outcomes if o.fault]
