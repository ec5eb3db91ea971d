"""Content Credentials (C2PA) into finished mp4 and png files.

A manifest says that a model made the file (IPTC digital source type), which one and the hash of its weights, what was
done (C2PA actions), and which files went in (ingredients, with the manifests that they carry, checked as they are now).
Our own words are under `org.sora-nodes.`.

The manifest is signed together with a hash of the whole file but for the boxes that hold the manifest itself, the file
type and free space (C2PA 2.2, sections 9.2 and 18). Nothing goes over the network.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ...about import GENERATOR, VERSION
from ...errors import SoraError
from ...files import PHONE_PICTURE_TYPES, PICTURE_TYPES, SOUND_TYPES, SOUNDS, VIDEO_TYPES
from ...words import printable
from .binding import OURS, Stated
from .history import ALL_NEW, EDITS, History
from .keys import Signer
from .stamp import StampError, check_stamp, relay

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, PARTLY = SOURCE_TYPE + "trainedAlgorithmicMedia", SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia"
# In these c2pa knows no place for a manifest, so that they go in as files of no known kind.
NO_MANIFEST = (".webm", ".mkv", ".bmp", ".ogg", ".aac", ".opus")
INGREDIENT_FORMATS = {
    suffix: kind
    for suffix, kind in (VIDEO_TYPES | PICTURE_TYPES | PHONE_PICTURE_TYPES | SOUND_TYPES).items()
    if suffix not in NO_MANIFEST
}
FORMATS = {suffix: INGREDIENT_FORMATS[suffix] for suffix in (".mp4", ".png")}  # what we write
SETTINGS = {
    "version": 1,
    # Whoever looks at a file must not be known to the server that it names.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
}


def library() -> Any:
    """Return the module `c2pa`. Raises SoraError where it is not installed."""
    try:
        import c2pa
    except ImportError as error:
        raise SoraError(
            "Content Credentials need the package c2pa-python, which is not installed: `pip install c2pa-python` "
            f"({error})."
        ) from error
    return c2pa


def read_store(path: Path, kind: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Read and check the credentials of a file, as the library's JSON. Raises its errors. kind: None to find it out."""
    c2pa = library()
    context = c2pa.Context.from_dict(settings)
    with path.open("rb") as data, c2pa.Reader(kind, data, context=context) as reader:
        return json.loads(reader.json())


def actions(history: History, *, mark: Stated | None = None, include_prompt: bool = False) -> list[dict[str, Any]]:
    """Return the C2PA actions of a history, first to last. Ingredient number n is called "n".

    One video or picture that went in is opened and edited; several are placed into something new.

    mark: the watermark, as it was read back; None where there is none.
    """
    made: dict[str, Any] = {}
    if history.generated and history.models:
        known = [(model.name, model.sha256()) for model in history.models]
        made["softwareAgent"] = {"name": known[0][0]}
        made["parameters"] = {
            OURS + "models": [{"name": name, **({"sha256": digest} if digest else {})} for name, digest in known]
        }
    if history.generated and include_prompt and history.prompts:
        made.setdefault("parameters", {})[OURS + "prompts"] = list(history.prompts)
    parent = _parent(history)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    all_new = not history.sources or (not history.kept and any(edit in ALL_NEW for edit in history.edits))
    kind = {"digitalSourceType": MADE if all_new else PARTLY} if history.generated else {}
    steps: list[dict[str, Any]] = []
    if parent is None:
        # What was only put together is still composed by something: the standard wants a source type here.
        source = kind or {"digitalSourceType": SOURCE_TYPE + "composite"}
        steps.append({"action": "c2pa.created", "when": when, **source, **made})
        made = {}  # said once is enough
    else:
        steps.append({"action": "c2pa.opened", "when": when, "parameters": {"ingredientIds": [str(parent)]}})
    steps += [
        {"action": "c2pa.placed", "parameters": {"ingredientIds": [str(n)]}}
        for n in range(len(history.sources))
        if n != parent
    ]
    words = [EDITS[edit] for edit in history.edits]
    if history.sources and not words:  # some other node's work
        words = ["changed by a model" if history.generated and not history.inherited else "encoded again"]
    # Of several sources that were only put together, "created" and "placed" say all there is.
    for text in words if history.generated or parent is not None else []:
        steps.append({"action": "c2pa.edited", "description": text, **kind, **made})
    if mark is not None:
        steps.append(mark.action())
    return steps


def _parent(history: History) -> int | None:
    """Return the number of the one video or picture that this is a version of; None for several, or none."""
    seen = [n for n, path in enumerate(history.sources) if path.suffix.lower() not in SOUNDS]
    return seen[0] if len(seen) == 1 else None


def check_signer(signer: Signer) -> None:
    """Raise SoraError unless C2PA's rules let `signer` sign: tried on a picture of one pixel, in memory."""
    import io

    from PIL import Image

    # Only the library itself knows all of the standard's rules for certificates.
    source, made = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(source, "PNG")
    source.seek(0)
    _sign(source, made, "image/png", History(), "check.png", signer, None, False)


def sign(
    source: Path,
    target: Path,
    history: History,
    signer: Signer,
    *,
    title: str,
    mark: Stated | None = None,
    include_prompt: bool = False,
    labels: Mapping[str, Any] | None = None,
    time_stamp: str = "",
) -> None:
    """Write `source` (mp4 or png, by the suffix of `target`) with its credentials as `target`.

    The file is streamed: memory holds what is hashed at a time, twice the file and at most half a gigabyte.

    title: the name of the file, for whoever reads the credentials. mark: the watermark, as it was read back.
    time_stamp: address of an authority that says when it was signed, "" for none. labels: what is said of the labels
    that laws ask for, as an assertion.

    Raises StampError when that authority gives no stamp that holds, SoraError when the certificate is not one that C2PA
    allows, and for a full disk.
    """
    made: _Told | None = None
    try:
        with source.open("rb") as given, target.open("w+b") as file:
            made = _Told(file)
            _sign(
                given,
                made,
                FORMATS[target.suffix.lower()],
                history,
                title,
                signer,
                mark,
                include_prompt,
                labels,
                time_stamp,
            )
            file.flush()
            if time_stamp:
                check_stamp(read_store(target, FORMATS[target.suffix.lower()], SETTINGS))
    except (OSError, SoraError) as error:
        # The library only says that a call failed, and what fails then is no fault of the certificate.
        cause = error if made is None or made.failed is None else made.failed
        if not isinstance(cause, OSError):
            raise
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else cause.strerror or str(cause)
        raise SoraError(
            f"The credentials of {printable(title)} could not be written ({what}): free some space or use another "
            "folder."
        ) from error


class _Told:
    """A file that remembers what went wrong with it, where the library that writes it forgets."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.failed: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write `data`, and remember an error."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.failed = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _sign(
    source: Any,
    target: Any,
    kind: str,
    history: History,
    title: str,
    signer: Signer,
    mark: Stated | None,
    include_prompt: bool,
    labels: Mapping[str, Any] | None = None,
    time_stamp: str = "",
) -> None:
    c2pa = library()
    steps = actions(history, mark=mark, include_prompt=include_prompt)
    parent = _parent(history)
    manifest = {
        "claim_generator_info": [{"name": GENERATOR, "version": VERSION}],
        "title": printable(title),  # JSON has no name of another encoding
        "format": kind,
        "assertions": [
            {"label": "c2pa.actions.v2", "created": True, "data": {"actions": steps}},
            *([{**labels, "created": True}] if labels else []),
            *([mark.assertion()] if mark is not None and mark.bound else []),
        ],
    }
    asked = None
    try:
        context = c2pa.Context.from_dict(SETTINGS)
        builder = c2pa.Builder(manifest, context)
        for number, path in enumerate(history.sources):
            _add_ingredient(c2pa, builder, path, number, "parentOf" if number == parent else "componentOf")
        with relay(time_stamp) as asked:
            info = c2pa.C2paSignerInfo(signer.algorithm, signer.certificates, signer.key, asked.address or None)
            builder.sign(c2pa.Signer.from_info(info), kind, source, target)
    except c2pa.C2paError as error:
        if time_stamp:
            why = (asked and asked.failed) or error
            raise StampError(f"{time_stamp} gave no time stamp ({why}).") from error
        raise SoraError(
            f"Content Credentials could not be signed with the certificate of {signer.name!r} ({error}): use one that "
            "C2PA allows, or none."
        ) from error


def _add_ingredient(c2pa: Any, builder: Any, path: Path, number: int, relationship: str) -> None:
    """Add a file that went in, with its own manifest; without, and with a note, where that cannot be read."""
    about = {"title": printable(path.name), "relationship": relationship, "label": str(number)}
    kind = INGREDIENT_FORMATS.get(path.suffix.lower(), "application/octet-stream")
    with path.open("rb") as data:
        try:
            builder.add_ingredient(about, kind, data)
        except c2pa.C2paError as error:
            note = {"description": f"Its Content Credentials could not be read: {error}"[:400]}
            builder.add_ingredient(about | note, "application/octet-stream", data)
