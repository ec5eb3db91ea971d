"""When a file was signed, by the word of an authority (RFC 3161): asked only where the policy names one.

The library that signs asks for the stamp itself. What is done here comes before and after: whether the authority
answers at all, since the library would wait for ever, and whether the stamp that lies in the signed file holds.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from typing import Any

from ...errors import SoraError

PATIENCE = 10  # seconds


class StampError(SoraError):
    """An authority gave no time stamp that holds."""


def ask(address: str) -> None:
    """Ask an authority for a stamp of nothing in particular. Raises StampError where no answer comes in time."""
    # TimeStampReq: version 1, SHA-256 of something, and the certificate is wanted.
    imprint = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(b"sora").digest()
    query = b"\x30\x39\x02\x01\x01" + imprint + b"\x01\x01\xff"
    kind = {"Content-Type": "application/timestamp-query"}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, query, kind), timeout=PATIENCE) as answer:
            answer.read(1 << 20)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StampError(f"{address} gave no time stamp ({' '.join(str(error).split())}).") from error


def check_stamp(store: dict[str, Any]) -> None:
    """Raise StampError unless the credentials of a file have a stamp that fits, whoever it is by.

    store: what the library that signs reads of the file.
    """
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    listed = [*(active.get("failure") or []), *(active.get("informational") or [])]
    codes = [str(each.get("code")) for each in listed]
    bad = [code for code in codes if code.startswith("timeStamp.") and code != "timeStamp.untrusted"]
    signature = (store["manifests"][store["active_manifest"]]).get("signature_info") or {}
    if bad or not signature.get("time"):
        raise StampError(f"the authority's time stamp does not hold ({bad[0] if bad else 'there is none'}).")
