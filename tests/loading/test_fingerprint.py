"""Models are named by what they hold."""

from __future__ import annotations

import torch

from sora_core.loading.fingerprint import fingerprint


def test_names_of_models_go_by_content():
    def model(value: float) -> torch.nn.Module:
        torch.manual_seed(0)
        made = torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Linear(40, 2))
        made[0].weight.data += value
        return made

    def around(strength: float):
        return lambda x: x * strength

    assert fingerprint(model(0)) == fingerprint(model(0)) != fingerprint(model(1e-4))
    assert fingerprint(around(1.0)) == fingerprint(around(1.0)) != fingerprint(around(2.0))
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [1, 3]})
    words = torch.zeros(1, 100, 32)
    words[0, 10, 5] = 1
    assert fingerprint([words], whole=True) != fingerprint([torch.zeros(1, 100, 32)], whole=True)
    loop: list = [1]
    loop.append(loop)
    assert fingerprint(loop) == fingerprint(loop)
