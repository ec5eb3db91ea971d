"""Models are named by what they hold."""

from __future__ import annotations

import torch

from sora_core.loading.identity import identity


def test_names_of_models_go_by_content():
    def model(value: float) -> torch.nn.Module:
        torch.manual_seed(0)
        made = torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Linear(40, 2))
        made[0].weight.data += value
        return made

    def around(strength: float):
        return lambda x: x * strength

    assert identity(model(0)) == identity(model(0)) != identity(model(1e-4))
    assert identity(around(1.0)) == identity(around(1.0)) != identity(around(2.0))
    assert identity({"a": [1, 2]}) != identity({"a": [1, 3]})
    words = torch.zeros(1, 100, 32)
    words[0, 10, 5] = 1
    assert identity([words], whole=True) != identity([torch.zeros(1, 100, 32)], whole=True)
    loop: list = [1]
    loop.append(loop)
    assert identity(loop) == identity(loop)
