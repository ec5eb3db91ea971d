"""The trained part of the detector: a small network over the traces of a frame. `sora train detector` trains it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SoraError
from ...files import WEIGHTS as FOLDER
from ...files import written_beside

WEIGHTS = FOLDER / "detector.safetensors"
TENSORS = ("mean", "std", "w1", "b1", "w2", "b2", "calibration")


@dataclass(frozen=True)
class TraceClassifier:
    """Two layers over standardised traces.

    A scale and a bias turn the mean logit of a video into a calibrated one (Platt scaling).
    """

    # mean, std: `[F]` of the traces; w1 `[F,H]`, b1 `[H]`, w2 `[H]`, b2: the layers; calibration `[2]`: scale, bias
    tensors: dict[str, np.ndarray]
    info: dict[str, Any]  # what it was trained on, and its figures on clips that it did not see

    def frame_logits(self, traces: np.ndarray) -> np.ndarray:
        """Compute logits `[T]` of traces `[T,F]`; above 0 is "made by this decoder"."""
        t = self.tensors
        # Clipped as in training: one odd trace must not decide alone.
        hidden = np.tanh(((traces - t["mean"]) / t["std"]).clip(-4, 4) @ t["w1"] + t["b1"])
        return hidden @ t["w2"] + t["b2"]

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of mean logits of any shape."""
        scale, bias = self.tensors["calibration"]
        return 1 / (1 + np.exp(-np.clip(scale * np.asarray(logits) + bias, -50, 50)))

    def save(self, path: Path) -> None:
        """Write the tensors as safetensors, `info` in the metadata. Raises SoraError where that cannot be written."""
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in self.tensors.items()}
        with written_beside(path) as part:
            save_file(tensors, part, {"sora": json.dumps({"detector": self.info})})


@lru_cache(4)
def load_classifier(path: Path = WEIGHTS) -> TraceClassifier:
    """Load the classifier in a file of `sora train detector`. Raises SoraError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            info = json.loads((file.metadata() or {}).get("sora", "{}")).get("detector")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise SoraError(
            f"{Path(path).name} cannot be read as a detector ({error}): train one with `sora train detector`."
        ) from None
    if info is None or set(tensors) != set(TENSORS):
        raise SoraError(f"{Path(path).name} holds no detector: give a file of `sora train detector`.")
    return TraceClassifier(tensors, info)
