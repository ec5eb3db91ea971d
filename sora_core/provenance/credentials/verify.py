"""What the Content Credentials of a file say, and what was changed since it was signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...files import is_file
from ...words import printable
from ..labels.laws import ASSERTION
from ..labels.reading import lines, read_aigc
from .sign import INGREDIENT_FORMATS, OURS, SETTINGS, SOURCE_TYPE, library

# What a failed check of C2PA (specification 2.2, section 15) means to a person.
MEANINGS = {
    "assertion.bmffHash.mismatch": "the media data (picture, sound or index) was changed after signing",
    "assertion.dataHash.mismatch": "the media data was changed after signing",
    "assertion.boxesHash.mismatch": "the media data was changed after signing",
    "assertion.hashedURI.mismatch": "a statement of the credentials was changed after signing",
    "assertion.missing": "a statement of the credentials was removed",
    "assertion.cbor.invalid": "a statement of the credentials is damaged",
    "claimSignature.mismatch": "the signature does not fit: the credentials were changed, or the key is another's",
    "claimSignature.missing": "the signature was removed",
    "ingredient.manifest.mismatch": "the credentials of an ingredient were changed after signing",
    "ingredient.manifest.missing": "the credentials of an ingredient were removed",
    "signingCredential.expired": "the certificate had expired when the file was signed",
    "signingCredential.invalid": "the certificate may not sign content",
    "claimSignature.outsideValidity": "the certificate was not valid at the time of the signature",
}
UNTRUSTED = "signingCredential.untrusted"
KINDS = {
    "trainedAlgorithmicMedia": "made by AI",
    "compositeWithTrainedAlgorithmicMedia": "partly made by AI",
    "digitalCapture": "a camera's recording",
}
MAX_DEPTH = 20  # of ingredients in ingredients: a file may claim a circle


@dataclass(frozen=True)
class Manifest:
    """What one signer states."""

    name: str  # of the file, or of the ingredient as its user titled it
    signer: str | None = None  # organisation and name in the certificate, None where there are no credentials
    generator: str | None = None  # the software that wrote it
    actions: tuple[str, ...] = ()  # what was done, one sentence each
    problems: tuple[str, ...] = ()  # what was wrong with an ingredient when it was used, one sentence each
    relationship: str | None = None  # C2PA's word for what an ingredient was to the whole; None for the file itself
    ingredients: tuple[Manifest, ...] = ()  # what went in
    labels: dict[str, Any] | None = None  # what it states of the labels that laws ask for (`labels.laws`)


@dataclass(frozen=True)
class Report:
    """What the credentials of a file say, and whether they hold."""

    file: str
    # "intact", "tampered" (changed after signing), "broken" (credentials that cannot be read), "none"
    state: str
    trusted: bool = False  # whether the signer's certificate leads to one of the roots that were given
    problems: tuple[str, ...] = ()  # what was changed, one sentence each, with C2PA's code for it
    manifest: Manifest | None = None
    labels: tuple[str, ...] = ()  # that laws ask for, a line each: in the credentials or not

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the report for a person, line by line."""
        heads = {
            "intact": "not changed since it was signed",
            "tampered": "TAMPERED WITH after it was signed",
            "broken": "its Content Credentials are broken and prove nothing",
            "none": "carries no Content Credentials",
        }
        # A name can hold line breaks, which would look like lines of the report.
        name = printable(self.file).replace("\n", "\\n")
        yield f"{name}: {heads[self.state]}"
        for problem in self.problems:
            yield f"  ! {problem}"
        if self.manifest is not None:
            if self.manifest.signer is not None:
                trust = "trusted by your roots" if self.trusted else "not trusted: anybody can make such a name"
                yield f"  signed by {self.manifest.signer} ({trust})"
            yield from _tell(self.manifest, "  ")
        for label in self.labels:
            yield f"  label: {label}"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)


def _tell(manifest: Manifest, indent: str) -> Iterator[str]:
    """Yield what a manifest states, and those of its ingredients further in."""
    if manifest.generator:
        yield f"{indent}written with {manifest.generator}"
    for action in manifest.actions:
        yield f"{indent}- {action}"
    for part in manifest.ingredients:
        signed = f"signed by {part.signer}" if part.signer else "without credentials of its own"
        yield f"{indent}from {part.name} ({signed})"
        for problem in part.problems:
            yield f"{indent}  ! when it was used, {problem}"
        yield from _tell(part, indent + "  ")


def verify(path: str | Path, trust: str | Path | None = None) -> Report:
    """Read and check the Content Credentials of a picture, video or sound, and read its labels.

    trust: PEM file of the certificates whose signatures are trusted; none are otherwise.

    Nothing is looked up over the network. Raises SoraError for a file that is not there or is none of these.
    """
    path = Path(path)
    expect(is_file(path), f"There is no file {str(path)!r}: check the name.")
    report = _verified(path, trust)
    stated = None if report.manifest is None else report.manifest.labels
    intact = report.state == "intact"
    return replace(report, labels=tuple(lines(read_aigc(path), stated, intact=intact, stamped=False)))


def _verified(path: Path, trust: str | Path | None) -> Report:
    c2pa = library()
    context = c2pa.Context.from_dict(_settings(trust))
    kind = INGREDIENT_FORMATS.get(path.suffix.lower())
    try:
        with path.open("rb") as data, c2pa.Reader(kind, data, context=context) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        _check_media(path)
        return Report(path.name, "none")
    except c2pa.C2paError.RemoteManifest as error:
        return Report(path.name, "none", problems=(f"they are kept elsewhere, and not fetched: {_clean(error)}",))
    except (c2pa.C2paError, ValueError) as error:
        # What cannot be parsed is a broken manifest, or no media file at all.
        if not _carries_manifest(path):
            _check_media(path)
        return Report(path.name, "broken", problems=(_clean(error),))
    return _report(path, store)


def _settings(trust: str | Path | None) -> dict[str, Any]:
    """Return c2pa's settings with the roots of the PEM file `trust`. Raises SoraError where it holds none."""
    if trust is None:
        return SETTINGS
    from cryptography import x509

    try:
        roots = Path(trust).read_text("utf-8")
        x509.load_pem_x509_certificates(roots.encode())
    except (OSError, ValueError) as error:
        raise SoraError(f"{trust} holds no certificates in PEM format ({error}).") from error
    return SETTINGS | {"trust": {"user_anchors": roots}}


def _carries_manifest(path: Path) -> bool:
    """Return whether the label of a manifest store is in the file, read as a stream."""
    with path.open("rb") as data:
        before = b""
        while block := data.read(1 << 20):
            if b"jumb" in before + block and b"c2pa" in before + block:
                return True
            before = block[-4096:]  # the label may lie across two blocks
    return False


def _check_media(path: Path) -> None:
    """Raise SoraError unless `path` is a picture or has a track of picture or sound."""
    import av
    from PIL import Image, UnidentifiedImageError

    try:
        Image.open(path).close()
        return
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    try:
        with av.open(str(path)) as container:
            found = bool(container.streams.video or container.streams.audio)
    except (av.FFmpegError, OSError, ValueError):
        found = False
    expect(found, f"{path.name} is no video, picture or sound that can be read: there is nothing to verify.")


def _report(path: Path, store: dict[str, Any]) -> Report:
    """Turn the library's JSON into a report."""
    results = store.get("validation_results") or {}
    active = results.get("activeManifest") or {}
    failures = list(active.get("failure") or [])
    for delta in results.get("ingredientDeltas") or []:
        failures += (delta.get("validationDeltas") or {}).get("failure") or []
    # Older versions of the library have one flat list.
    if "validation_results" not in store:
        failures += store.get("validation_status") or []
    problems = tuple(dict.fromkeys(_problem(each) for each in failures if each.get("code") != UNTRUSTED))
    trusted = any(each.get("code") == "signingCredential.trusted" for each in active.get("success") or [])
    manifests = store.get("manifests") or {}
    label = store.get("active_manifest")
    manifest = _manifest(manifests, label, path.name, None, (), 0) if label in manifests else None
    if manifest is None:
        return Report(path.name, "broken", problems=("its credentials name no manifest",))
    return Report(path.name, "tampered" if problems else "intact", trusted and not problems, problems, manifest)


def _problem(status: dict[str, Any]) -> str:
    """Put a failed check into words, with C2PA's code for it."""
    code = str(status.get("code"))
    meaning = MEANINGS.get(code) or status.get("explanation") or "a check failed"
    return f"{_clean(meaning)} ({_clean(code)})"


def _manifest(
    manifests: dict[str | None, dict[str, Any]],
    label: str | None,
    name: str,
    relationship: str | None,
    problems: tuple[str, ...],
    depth: int,
) -> Manifest:
    """Turn the manifest `label` of the library's JSON into ours, and those of its ingredients with it."""
    data = manifests.get(label) or {}
    signature = data.get("signature_info") or {}
    names = [signature[key] for key in ("issuer", "common_name") if signature.get(key)]
    generators = [
        f"{each.get('name')} {each.get('version', '')}".strip() for each in data.get("claim_generator_info") or []
    ]
    actions = [
        _action(each)
        for assertion in data.get("assertions") or []
        if str(assertion.get("label")).startswith("c2pa.actions")
        for each in (assertion.get("data") or {}).get("actions") or []
    ]
    parts = []
    for part in (data.get("ingredients") or []) if depth < MAX_DEPTH else []:
        found = ((part.get("validation_results") or {}).get("activeManifest") or {}).get("failure") or []
        told = [_problem(each) for each in found if each.get("code") != UNTRUSTED]
        if part.get("description"):
            told.append(_clean(part["description"]))
        parts.append(
            _manifest(
                manifests,
                part.get("active_manifest"),
                _clean(part.get("title") or "an unnamed file"),
                part.get("relationship"),
                tuple(told),
                depth + 1,
            )
        )
    signer = ", ".join(_clean(each) for each in names) or "an unnamed signer" if data else None
    stated = [each.get("data") for each in data.get("assertions") or [] if each.get("label") == ASSERTION]
    return Manifest(
        name,
        signer,
        _clean(", ".join(generators)) or None,
        tuple(actions),
        problems,
        relationship,
        tuple(parts),
        stated[0] if stated and isinstance(stated[0], dict) else None,
    )


def _action(action: dict[str, Any]) -> str:
    """Put one action into a line."""
    text = str(action.get("action", "?")).removeprefix("c2pa.")
    parts = [str(action[key]) for key in ("description",) if action.get(key)]
    source = str(action.get("digitalSourceType", "")).removeprefix(SOURCE_TYPE)
    if source:
        parts.append(KINDS.get(source, source))
    parameters = action.get("parameters") or {}
    for model in parameters.get(OURS + "models") or []:
        digest = f", sha256 {model['sha256']}" if model.get("sha256") else ""
        parts.append(f"by the model {model.get('name')}{digest}")
    parts += [f"prompt {prompt!r}" for prompt in parameters.get(OURS + "prompts") or []]
    if OURS + "watermark" in parameters:
        parts.append(f"carrying {parameters[OURS + 'watermark']}")
    if action.get("when"):
        parts.append(f"at {action['when']} by the signer's clock")
    return _clean(f"{text}: {'; '.join(parts)}" if parts else text)


def _clean(text: Any) -> str:
    """Return `text` of an unknown author as one line that does nothing to a terminal."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:600]
