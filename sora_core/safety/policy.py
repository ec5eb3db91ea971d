"""The policy: what is checked, how strictly, what happens then, and what a user may change.

A policy is one TOML file; `policies/default.toml` shows every key with a word on each. A file may leave keys out: they
are as in the default. Where it comes from, strongest first:

1. the machine's: `policy.toml` in `machine_folder()`, which only an administrator can write;
2. the environment's: the variable SORA_POLICY, a file or the name of a policy that comes with the package;
3. the one that a user names (`--policy FILE`).

A locked policy cannot be replaced by a weaker place; among policies that are not locked the user's wins.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import SoraError, expect
from ..files import is_file, read_regular
from ..words import closest
from . import machine
from .laws import check_labels, read_laws

ENVIRONMENT = "SORA_POLICY"
POLICIES = Path(__file__).parent / "policies"
_MOST_BYTES = 1 << 20

PROMPT_CATEGORIES = ("violence", "sexual", "hate", "likeness", "ip")
FRAME_CATEGORIES = ("nsfw", "likeness", "violence", "hate")
# Categories of frames that nothing in the package can judge: the policy names the user's own classifier.
NEED_CLASSIFIER = ("violence", "hate")


@dataclass(frozen=True)
class PromptPolicy:
    """What is done about prompts."""

    action: str = "block"  # or "warn", "off"
    classifier: str = "builtin"  # or "transformers:FOLDER", or an http(s) address that speaks OpenAI's moderation
    model: str = ""  # the moderation service's model by name, "" for its own choice
    other_languages: str = "allow"  # or "block": what the embedded check cannot read is refused
    # By category: a score at the threshold or above counts; a category without one is not checked.
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FramePolicy:
    """What is done about frames."""

    action: str = "block"  # the work stops; "blur", "black": the frame is made unrecognisable, the work goes on; "off"
    faces: str = ""  # folder with pictures of the people whose likeness is protected, "" for none
    face_model: str = ""  # the user's own ONNX face embedding (ArcFace and its like), "" for the package's own
    # By category: a score at the threshold or above counts; a category without one is not checked.
    thresholds: Mapping[str, float] = field(default_factory=dict)
    # By category, the user's own classifier: an ONNX file or a folder of transformers.
    classifiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProvenancePolicy:
    """What is written into saved files."""

    c2pa: str = "on"  # signed when a key can be had; or "off", or "required" (no file without a signature)
    watermark: bool = True  # in the pixels of what was generated
    include_prompt: bool = False  # in the credentials
    time_stamp: str = ""  # address of an authority (RFC 3161) that is asked when a file was signed, "" for none
    label: tuple[str, ...] = ()  # laws whose labels are written: keys of `laws.LAWS`
    visible_label: bool = False  # AI生成 on the opening frames; for "cn" alone
    provider: str = ""  # whom labels name as the one who provides the content, "" for this program


@dataclass(frozen=True)
class NetworkPolicy:
    """Where prompts may be sent, beside the moderation service that the policy itself names."""

    # "127.0.0.1:8080", or a name for all its ports; None, where nobody says: nowhere if the policy is locked, or else
    # wherever the user likes.
    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Policy:
    """A policy as read from a file."""

    name: str = "default"
    locked: bool = False
    overridable: tuple[str, ...] = ()  # what users may change though it is locked: "frames.action", or all of "frames"
    prompt: PromptPolicy = PromptPolicy()
    frames: FramePolicy = FramePolicy()
    provenance: ProvenancePolicy = ProvenancePolicy()
    network: NetworkPolicy = NetworkPolicy()
    source: Path | None = None  # the file
    identity: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)  # its device and number there

    def may_override(self, key: str) -> bool:
        """Return whether a user may change `key` ("frames.action", "frames.thresholds.nsfw")."""
        parts = key.split(".")
        return not self.locked or any(".".join(parts[:n]) in self.overridable for n in (1, 2, 3))

    def allows_host(self, address: str) -> bool:
        """Return whether the http address may be called: its host, or host and port, is one of `network.hosts`."""
        hosts = self.network.hosts
        if hosts is None:
            return not self.locked
        try:
            parts = urlsplit(address)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return False
        host = (parts.hostname or "").rstrip(".")
        named = f"[{host}]" if ":" in host else host
        return bool(host) and not {named, f"{named}:{port}"}.isdisjoint(allowed.lower() for allowed in hosts)

    def override(self, changes: Mapping[str, Any]) -> Policy:
        """Return this policy changed by `{"frames.action": "blur", "prompt.thresholds": {...}}`.

        None leaves a key as it is. Raises SoraError for a key that is locked (unless it stays the same) and for what a
        file could not say.
        """
        policy = self
        for key, value in changes.items():
            section, _, name = key.partition(".")
            old = getattr(getattr(policy, section), name)
            if value is None or value == old:
                continue
            for touched in _touched(key, old, value):
                expect(
                    self.may_override(touched),
                    f"The policy {self.name!r} is locked and keeps {key} at {old!r}: leave that setting as it is, or "
                    "ask whoever set the policy.",
                )
            part = replace(getattr(policy, section), **{name: value})
            policy = replace(policy, **{section: part})
        return _checked(policy)


ACTIONS = {"prompt": ("block", "warn", "off"), "frames": ("block", "blur", "black", "off")}
CATEGORIES = {"prompt": PROMPT_CATEGORIES, "frames": FRAME_CATEGORIES}
SECTIONS = {"prompt": PromptPolicy, "frames": FramePolicy, "provenance": ProvenancePolicy, "network": NetworkPolicy}


def load_policy(path: str | Path | None = None) -> Policy:
    """Read the policy in the TOML file `path`, or the one of that name that comes with the package; None: the default.

    Paths in the file are meant from the file's folder: of a link, from where the real file is. Raises SoraError for a
    file that is none, and for unknown keys, categories, actions and thresholds outside 0..1.
    """
    file = _find(path if path is not None else "default")
    try:
        text, about = read_regular(file, _MOST_BYTES)
        real = file.resolve(strict=True)
        expect(os.path.samestat(about, real.stat()), "another file took its place meanwhile")
        given = tomllib.loads(text.decode("utf-8"))
    except (
        OSError,
        ValueError,
        RecursionError,
        RuntimeError,
        SoraError,
    ) as error:  # no UTF-8, no TOML, too deep, links in a loop
        raise SoraError(f"The policy {str(file)!r} cannot be read as TOML ({error}).") from error
    # What a file leaves out is as in the default; the default itself stands on the bare classes.
    base = Policy() if file == POLICIES / "default.toml" else load_policy()
    top = _known(given, ("name", "locked", "overridable", *SECTIONS), "")
    policy = replace(
        base,
        name=_typed(top.get("name", file.stem), str, "name"),
        locked=_typed(top.get("locked", False), bool, "locked"),
        overridable=_overridable(top.get("overridable", [])),
        source=file,
        identity=(about.st_dev, about.st_ino),
    )
    for section in SECTIONS:
        table = _typed(top.get(section, {}), dict, section)
        place = _Place(real.parent, policy.locked)
        policy = replace(policy, **{section: _section(section, table, getattr(base, section), place)})
    return _checked(policy)


def machine_folder() -> Path:
    """Return the folder where an administrator puts the machine's `policy.toml`. No variable of a user moves it."""
    return machine.folder()


def configured_policy(path: str | Path | None = None) -> Policy | None:
    """Load the policy that somebody set: the machine's, the environment's or `path`, None if nobody did.

    Raises SoraError for a policy that cannot be read, and for a `path` that would replace a locked one.
    """
    places = [machine.find(machine_folder()), os.environ.get(ENVIRONMENT) or None, path]
    found: Policy | None = None
    for policy in (load_policy(place) for place in places if place is not None):
        if found is None or not found.locked:
            found = policy
            continue
        # The one that was read first stays in force, whatever the other name leads to by now.
        expect(
            policy.identity == found.identity,
            f"The policy {found.name!r} ({found.source}) is locked: {policy.source} cannot replace it.",
        )
    return found


@dataclass(frozen=True)
class _InForce:
    policy: Policy
    always: bool  # enforced though it is not locked


# A context variable, not a global: two hosts in one process may run under different policies at the same time.
_in_force: ContextVar[_InForce | None] = ContextVar("policy in force", default=None)


@contextmanager
def in_force(policy: Policy | None, *, enforce: bool = False) -> Iterator[None]:
    """Put `policy` in force within the block; None leaves the one that is.

    `enforce`: everything must pass the policy, though it is not locked; a block within keeps that up.

    The policy holds in this thread and in its asyncio tasks. A new thread starts without it: whoever starts one within
    the block hands the context over, with `threading.Thread(target=contextvars.copy_context().run, args=(work,))`.

    Raises SoraError where a locked policy is in force and `policy` is another.
    """
    strong = policy_in_force() if policy is not None else None
    if strong is not None and policy is not None:
        expect(
            not strong.locked or policy == strong,
            f"The policy {strong.name!r} ({strong.source}) is locked: {policy.name!r} cannot replace it.",
        )
    outer = _in_force.get()
    always = enforce or (outer is not None and outer.always)
    token = _in_force.set(outer if policy is None else _InForce(policy, always))
    try:
        yield
    finally:
        _in_force.reset(token)


def policy_in_force() -> Policy | None:
    """Return the policy of the `in_force` block around, or else what is configured; None if there is none."""
    found = _in_force.get()
    return found.policy if found is not None else configured_policy()


def enforced_policy() -> Policy | None:
    """Return the policy in force if everything must pass it: if it is locked, or its block enforces it."""
    found = _in_force.get()
    if found is not None and found.always:
        return found.policy
    policy = policy_in_force()
    return policy if policy is not None and policy.locked else None


def _touched(key: str, old: Any, value: Any) -> list[str]:
    """Name the keys that differ: of a table those in it."""
    if not isinstance(old, Mapping):
        return [key]
    return [f"{key}.{name}" for name in {**old, **value} if old.get(name) != value.get(name)]


# -- reading -------------------------------------------------------------------------------------------------
def _find(path: str | Path) -> Path:
    """Find the file of a policy: the package's own of that name, or `path`. Raises SoraError where there is none."""
    ours = POLICIES / f"{path}.toml"
    if Path(path).name == str(path) and is_file(ours):
        return ours
    names = ", ".join(sorted(p.stem for p in POLICIES.glob("*.toml")))
    expect(is_file(Path(path)), f"There is no policy {str(path)!r}: give a TOML file, or one of {names}.")
    return Path(path)


@dataclass(frozen=True)
class _Place:
    """Where a policy lies, and whether it is locked: what it names is meant from there."""

    folder: Path
    locked: bool

    def path(self, place: str) -> str:
        """Resolve `place`; "" stays. Raises SoraError for `~` in a locked policy."""
        expect(
            not (self.locked and place.startswith("~")),
            f"Policy: {place!r} is in the home of whoever runs this, who could change it. A locked policy names files "
            "from its own folder, or by their whole path.",
        )
        return str(self.folder / Path(place).expanduser()) if place else ""


def _section(section: str, table: dict[str, Any], base: Any, place: _Place) -> Any:
    """Read a section from its table into its dataclass, over `base`."""
    kinds = {f.name: type(getattr(base, f.name)) for f in fields(base)}
    values: dict[str, Any] = {}
    for key, value in _known(table, kinds, section).items():
        name = f"{section}.{key}"
        if key == "thresholds":
            values[key] = _thresholds(_typed(value, dict, name), dict(base.thresholds), name, CATEGORIES[section])
        elif key == "classifiers":
            known = _known(_typed(value, dict, name), ("nsfw", *NEED_CLASSIFIER), name)
            values[key] = {k: place.path(_typed(v, str, f"{name}.{k}")) for k, v in known.items()}
        elif key == "hosts":
            values[key] = tuple(_typed(v, str, name) for v in _typed(value, list, name))
        elif key == "label":
            values[key] = read_laws(value, name)
        else:
            values[key] = _typed(value, kinds[key], name)
    for key in ("faces", "face_model"):
        if key in values:
            values[key] = place.path(values[key])
    kind, _, where = values.get("classifier", "").partition(":")
    if kind == "transformers":
        values["classifier"] = f"{kind}:{place.path(where)}"
    return replace(base, **values)


def _thresholds(table: dict[str, Any], merged: dict[str, float], name: str, categories: tuple) -> dict[str, float]:
    """Change the default's thresholds by `table`; `false` takes a category out."""
    for category, value in _known(table, categories, name).items():
        if value is False:
            merged.pop(category, None)
            continue
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
        expect(good, f"Policy: {name}.{category} is {value!r}: give a number from 0 to 1, or false for no check.")
        merged[category] = float(value)
    return merged


def _overridable(value: Any) -> tuple[str, ...]:
    """Check a list of keys and sections that users may change. Raises SoraError naming the first that is none."""
    for key in _typed(value, list, "overridable"):
        section, *rest = _typed(key, str, "overridable").split(".")
        known = section in SECTIONS and (not rest or hasattr(SECTIONS[section](), rest[0]))
        known = known and (len(rest) < 2 or rest[0] in ("thresholds", "classifiers") and len(rest) == 2)
        expect(known, f"Policy: overridable names {key!r}, which is no key of a policy.")
    return tuple(value)


def _checked(policy: Policy) -> Policy:
    """Return `policy`. Raises SoraError for values that cannot be, and for a category that nothing could check."""
    for section, actions in ACTIONS.items():
        action = getattr(policy, section).action
        expect(action in actions, f"Policy: {section}.action is {action!r}: use {', '.join(actions)}.")
    c2pa = policy.provenance.c2pa
    expect(c2pa in ("off", "on", "required"), f"Policy: provenance.c2pa is {c2pa!r}: use off, on or required.")
    stamp = policy.provenance.time_stamp
    known = not stamp or stamp.startswith(("http://", "https://"))
    expect(known, f"Policy: provenance.time_stamp is {stamp!r}: use the http address of an authority, or none.")
    check_labels(policy.provenance)
    classifier = policy.prompt.classifier
    other = policy.prompt.other_languages
    expect(other in ("allow", "block"), f"Policy: prompt.other_languages is {other!r}: use allow or block.")
    known = classifier == "builtin" or classifier.startswith(("transformers:", "http://", "https://"))
    expect(known, f"Policy: prompt.classifier is {classifier!r}: use builtin, transformers:FOLDER or an http address.")
    frames = policy.frames
    if frames.action != "off":
        for category in frames.thresholds:
            expect(
                category not in NEED_CLASSIFIER or category in frames.classifiers,
                f"Policy: frames.thresholds.{category} needs a classifier: name yours in "
                f"frames.classifiers.{category}, or set the threshold to false.",
            )
        expect(
            "likeness" not in frames.thresholds or bool(frames.faces),
            "Policy: frames.thresholds.likeness needs a folder of protected faces in frames.faces.",
        )
    return policy


def _known(table: dict[str, Any], known: Collection[str], where: str) -> dict[str, Any]:
    """Return `table`. Raises SoraError naming the first key that is not in `known`."""
    for key in table:
        if key not in known:
            close = closest(key, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"use {', '.join(known)}."
            raise SoraError(f"Policy: unknown key {(where + '.' if where else '') + key!r}: {hint}")
    return table


def _typed(value: Any, kind: type, name: str) -> Any:
    """Return `value`. Raises SoraError where it is not of the `kind` that the key `name` wants."""
    words = {str: "a text", bool: "true or false", dict: "a table", list: "a list"}
    expect(isinstance(value, kind), f"Policy: {name} is {value!r}: give {words[kind]}.")
    return value
