"""What the failed checks of C2PA mean, and what lies in a file as bytes, whatever a library makes of it.

A failed check is of one of four kinds. Only the first says that somebody changed the file:

- what was signed is not what is there (of the media data, of a statement, of the signature);
- the certificate or its time stamp is not good, or no more: nobody knows then who signed, but nothing was changed;
- an identity that somebody stated besides (CAWG) could not be checked: nothing else depends on it;
- any other: nothing is known then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a failed check (C2PA 2.2, section 15) means to a person.
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
    "signingCredential.expired": "the certificate has expired, and no trusted time stamp says that it was valid when "
    "the file was signed",
    "signingCredential.invalid": "the certificate may not sign content",
    "signingCredential.ocsp.revoked": "the certificate was revoked",
    "claimSignature.outsideValidity": "the certificate was not valid at the time of the signature",
    "timeStamp.mismatch": "the time stamp is of something else: the time of the signature is not proven",
    "timeStamp.malformed": "the time stamp cannot be read: the time of the signature is not proven",
    "timeStamp.outsideValidity": "the time stamp's certificate was not valid then: the time of the signature is not "
    "proven",
    "timeStamp.untrusted": "the time stamp is by nobody who is trusted: the time of the signature is not proven",
}
UNTRUSTED = "signingCredential.untrusted"
CHANGED, CERTIFICATE, IDENTITY, OTHER = "changed", "certificate", "identity", "other"
_CHANGES = ("assertion.", "claim.", "claimSignature.", "ingredient.", "manifest.", "hashedURI.")
_CERTIFICATES = ("signingCredential.", "timeStamp.", "timeOfSigning.", "claimSignature.outsideValidity")

# The manifest store as bytes: a JUMBF box with the type that C2PA gave it (C2PA 2.2, section 11.1).
_STORE = re.compile(rb"(.{4})jumb.{4}jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71", re.DOTALL)
_LONGEST = 32  # bytes that the pattern matches


def one_line(text: Any) -> str:
    """Return `text` of an unknown author as one line that does nothing to a terminal."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:600]


def kind_of(status: dict[str, Any]) -> str:
    """Say of which of the four kinds a failed check is."""
    code = str(status.get("code"))
    if code.startswith("cawg."):
        return IDENTITY
    if code.startswith(_CERTIFICATES):
        return CERTIFICATE
    return CHANGED if code.startswith(_CHANGES) else OTHER


def problem(status: dict[str, Any]) -> str:
    """Put a failed check into words, with C2PA's code for it."""
    code = str(status.get("code"))
    meaning = MEANINGS.get(code) or status.get("explanation") or "a check failed"
    if kind_of(status) == IDENTITY:
        meaning = f"an identity is stated besides, which could not be checked: {meaning}"
    return f"{one_line(meaning)} ({one_line(code)})"


def unreadable(error: object) -> str:
    """Put into words why the library cannot read the credentials of a file."""
    text = one_line(error)
    if "more than one manifest store" in text:
        return f"it holds two manifests, and nothing says which one counts ({text})"
    if "extends beyond" in text or "out of range" in text:
        return f"a part of it says that it is longer than the file ({text})"
    return text


def stores(path: Path) -> list[int]:
    """List the manifest stores in a file: of each how many bytes it says that it has more than the file.

    The file is read as a stream, whatever container it is.
    """
    size, found = path.stat().st_size, []
    for at, length in _stores(path):
        # 1: a length of 64 bits, which no manifest needs; 0: up to the end.
        found.append(max(0, at + length - size))
    return found


def _stores(path: Path) -> Iterator[tuple[int, int]]:
    with path.open("rb") as data:
        before, offset = b"", 0  # the end of the block before, in which a store may begin
        while block := data.read(1 << 20):
            whole = before + block
            for match in _STORE.finditer(whole):
                yield offset - len(before) + match.start(), int.from_bytes(match.group(1), "big")
            before = whole[-(_LONGEST - 1) :]
            offset += len(block)
