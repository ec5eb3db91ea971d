"""What the Content Credentials of a file say, and what was changed since it was signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...files import is_file
from ...media.structure import names_others
from ...words import printable
from ..labels.laws import ASSERTION
from ..labels.reading import lines, read_aigc
from .binding import OURS, Stated, compare
from .binding import stated as read_mark
from .checks import CERTIFICATE, CHANGED, OTHER, UNTRUSTED, kind_of, one_line, problem, stores, unreadable
from .keys import known_chain
from .sign import INGREDIENT_FORMATS, SETTINGS, SOURCE_TYPE, library, read_store

HEADS = {
    "intact": "not changed since it was signed",
    "expired": "not changed since it was signed, by a certificate that has expired or is not good",
    "tampered": "TAMPERED WITH after it was signed",
    "none": "carries no Content Credentials",
    "elsewhere": "carries no Content Credentials itself, and names a place where they are kept",
    "broken": "cannot be read: whatever credentials it has prove nothing",
}
KINDS = {
    "trainedAlgorithmicMedia": "made by AI",
    "compositeWithTrainedAlgorithmicMedia": "partly made by AI",
    "digitalCapture": "a camera's recording",
}
MADE_BY = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
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
    generated: bool = False  # whether it says that a model made it, or a part of it
    labels: dict[str, Any] | None = None  # what it states of the labels that laws ask for (`labels.laws`)
    mark: Stated | None = None  # what its soft binding states, None for none


@dataclass(frozen=True)
class Report:
    """What the credentials of a file say, and whether they hold."""

    file: str
    # "intact"; "expired" (intact, but the certificate has expired or is not good); "tampered" (changed after signing);
    # "none"; "elsewhere" (credentials that are not in the file); "broken" (credentials that cannot be read).
    state: str
    trusted: bool = False  # whether the signer's certificate is good and leads to one of the roots that were given
    problems: tuple[str, ...] = ()  # what does not hold, one sentence each, with C2PA's code for it
    manifest: Manifest | None = None
    stamped: str | None = None  # when it was signed by a time stamp, and whether that is trusted
    labels: tuple[str, ...] = ()  # that laws ask for, a line each: in the credentials or not
    mark: str = ""  # what became of comparing the stated mark with the file's, "! " before it where they disagree

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the report for a person, line by line."""
        # A name can hold line breaks, which would look like lines of the report.
        name = printable(self.file).replace("\n", "\\n")
        yield f"{name}: {HEADS[self.state]}"
        for each in self.problems:
            yield f"  ! {each}"
        if self.manifest is not None:
            if self.manifest.signer is not None:
                trust = "trusted by your roots" if self.trusted else "not trusted: anybody can make such a name"
                yield f"  signed by {self.manifest.signer} ({trust})"
            if self.stamped is not None:
                yield f"  at {self.stamped}"
            yield from _tell(self.manifest, "  ")
        for label in self.labels:
            yield f"  label: {label}"
        if self.mark:
            yield f"  {self.mark}"

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
        for each in part.problems:
            yield f"{indent}  ! when it was used, {each}"
        yield from _tell(part, indent + "  ")


def verify(path: str | Path, trust: str | Path | None = None, *, marks: bool = True) -> Report:
    """Read and check the Content Credentials of a picture, video or sound, and read its labels.

    trust: PEM file of the certificates whose signatures are trusted; none are otherwise. marks: whether a mark that is
    stated is looked for in the frames, with the user's key.

    Nothing is looked up over the network. Raises SoraError for a file that is not there or is none of these.
    """
    path = Path(path)
    expect(is_file(path), f"There is no file {str(path)!r}: check the name.")
    report = _verified(path, trust)
    stated = None if report.manifest is None else report.manifest.labels
    intact = report.state in ("intact", "expired")
    bound = None if report.manifest is None else report.manifest.mark
    return replace(
        report,
        labels=tuple(lines(read_aigc(path), stated, intact=intact, stamped=report.stamped is not None)),
        mark=compare(path, bound) if marks and bound is not None else "",
    )


def _verified(path: Path, trust: str | Path | None) -> Report:
    c2pa = library()
    settings = _settings(trust)
    try:
        store = read_store(path, INGREDIENT_FORMATS.get(path.suffix.lower()), settings)
    except c2pa.C2paError.ManifestNotFound:
        _check_media(path)
        return Report(path.name, "none")
    except (c2pa.C2paError, ValueError) as error:
        return _unread(path, error)
    return _report(path, store)


def signed_here(path: Path) -> bool:
    """Tell whether this machine's own key, the user's or the one that was made here, signed what is in a file."""
    try:
        known = known_chain()
        if known is None or not known[1]:
            return False
        serial, above = known
        settings = SETTINGS | {"trust": {"user_anchors": above}}
        store = read_store(path, INGREDIENT_FORMATS.get(path.suffix.lower()), settings)
        report = _report(path, store)
        signature = (store["manifests"][store["active_manifest"]]).get("signature_info") or {}
    except (SoraError, library().C2paError, ValueError, KeyError):
        return False
    # An authority gives each certificate a number of its own, and others may have one of the same authority.
    return report.state == "intact" and report.trusted and signature.get("cert_serial_number") == serial


def _unread(path: Path, error: Exception) -> Report:
    """Report on a file whose credentials the library could not read. Raises SoraError where it is no media file."""
    text = str(error)
    if text.startswith("Remote"):
        return Report(path.name, "elsewhere", problems=(f"they are not fetched: {one_line(error)}",))
    found = stores(path)
    if not found:
        # What cannot be parsed is a broken manifest, or no media file at all.
        _check_media(path)
        if text.startswith("NotSupported"):  # of a container that has no place for credentials
            return Report(path.name, "none")
    return Report(path.name, "broken", problems=(unreadable(error),))


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


def _check_media(path: Path) -> None:
    """Raise SoraError unless `path` is a picture or has a track of picture or sound."""
    import av
    from PIL import Image, UnidentifiedImageError

    try:
        Image.open(path).close()
        return
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    expect(not names_others(path), f"{path.name} is a list of other files: verify those.")
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
    found = [each for each in failures if each.get("code") != UNTRUSTED]
    problems = tuple(dict.fromkeys(problem(each) for each in found))
    trusted = any(each.get("code") == "signingCredential.trusted" for each in active.get("success") or [])
    manifests = store.get("manifests") or {}
    label = store.get("active_manifest")
    manifest = _manifest(manifests, label, path.name, None, (), 0) if label in manifests else None
    if manifest is None:
        return Report(path.name, "broken", problems=("its credentials name no manifest",))
    longer = max(stores(path), default=0)
    if longer:
        text = f"its manifest says that it has {longer} bytes more than the file"
        return Report(path.name, "broken", problems=(*problems, text), manifest=manifest)
    state = _state({kind_of(each) for each in found})
    return Report(path.name, state, trusted and state == "intact", problems, manifest, _stamp(active, manifests[label]))


def _state(kinds: set[str]) -> str:
    """Name the state of a file by the kinds of its failed checks."""
    if CHANGED in kinds:
        return "tampered"
    if OTHER in kinds:
        return "broken"
    return "expired" if CERTIFICATE in kinds else "intact"


def _stamp(active: dict[str, Any], manifest: dict[str, Any]) -> str | None:
    """Return when a file was signed and who says so, if there is a time stamp that fits."""
    codes = {str(each.get("code")) for each in active.get("success") or []}
    when = (manifest.get("signature_info") or {}).get("time")
    if not when or not codes & {"timeStamp.validated", "timeStamp.trusted"}:
        return None
    trust = "that your roots trust" if "timeStamp.trusted" in codes else "of nobody who is trusted"
    return f"{one_line(when)} by a time stamp {trust}"


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
        each
        for assertion in data.get("assertions") or []
        if str(assertion.get("label")).startswith("c2pa.actions")
        for each in (assertion.get("data") or {}).get("actions") or []
    ]
    parts = []
    for part in (data.get("ingredients") or []) if depth < MAX_DEPTH else []:
        found = ((part.get("validation_results") or {}).get("activeManifest") or {}).get("failure") or []
        told = [problem(each) for each in found if each.get("code") != UNTRUSTED]
        if part.get("description"):
            told.append(one_line(part["description"]))
        parts.append(
            _manifest(
                manifests,
                part.get("active_manifest"),
                one_line(part.get("title") or "an unnamed file"),
                part.get("relationship"),
                tuple(told),
                depth + 1,
            )
        )
    signer = ", ".join(one_line(each) for each in names) or "an unnamed signer" if data else None
    generator = one_line(", ".join(generators)) or None
    generated = any(str(each.get("digitalSourceType", "")).removeprefix(SOURCE_TYPE) in MADE_BY for each in actions)
    stated = [each.get("data") for each in data.get("assertions") or [] if each.get("label") == ASSERTION]
    return Manifest(
        name,
        signer,
        generator,
        tuple(map(_action, actions)),
        problems,
        relationship,
        tuple(parts),
        generated,
        stated[0] if stated and isinstance(stated[0], dict) else None,
        read_mark(data.get("assertions") or [], actions),
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
    return one_line(f"{text}: {'; '.join(parts)}" if parts else text)
