"""The trained part of the detector: a small network over the traces of a frame. Trained by `sora train detector`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import SoraError
from ...files import WEIGHTS as FOLDER

WEIGHTS = FOLDER / "detector.safetensors"


@dataclass(frozen=True)
class Classifier:
    """Two layers over standardised traces; scale and bias turn the mean logit of a video into a calibrated one.

    info: what it was trained on, and its figures on clips that it did not see.
    """

    tensors: dict[str, np.ndarray]
    info: dict

    def frame_logits(self, traces: np.ndarray) -> np.ndarray:
        """Traces `[T,F]` -> logits `[T]`; above 0 is "made by this decoder"."""
        t = self.tensors
        hidden = np.tanh(((traces - t["mean"]) / t["std"]).clip(-4, 4) @ t["w1"] + t["b1"])
        return hidden @ t["w2"] + t["b2"]

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probability of a mean logit."""
        scale, bias = self.tensors["calibration"]
        return 1 / (1 + np.exp(-np.clip(scale * np.asarray(logits) + bias, -50, 50)))

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        part = Path(path).with_suffix(".part")
        tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in self.tensors.items()}
        save_file(tensors, part, {"sora": json.dumps({"detector": self.info})})
        part.replace(path)


@lru_cache(4)
def load_classifier(path: Path = WEIGHTS) -> Classifier:
    """The classifier in a file of `sora train detector`. Raises SoraError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            info = json.loads((file.metadata() or {}).get("sora", "{}")).get("detector")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise SoraError(
            f"{Path(path).name} cannot be read as a detector ({error}): train one with `sora train detector`."
        ) from None
    if info is None or set(tensors) != {"mean", "std", "w1", "b1", "w2", "b2", "calibration"}:
        raise SoraError(f"{Path(path).name} holds no detector: give a file of `sora train detector`.")
    return Classifier(tensors, info)
