"""Laws whose labels a policy may ask for, and what a policy must say with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import SoraError, expect

if TYPE_CHECKING:
    from .policy import ProvenancePolicy

LAWS = {"cn": "China, GB 45438-2025", "eu": "EU, AI Act, Article 50(2)", "ca": "California, SB 942"}
AIGC_TEXT = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # what a text of China's label may hold


def read_laws(value: Any, name: str) -> tuple[str, ...]:
    """Read one law or a list of laws; "" is none. Raises SoraError for one that is not known."""
    found = [law for law in (value if isinstance(value, list) else [value]) if law != ""]
    for law in found:
        if not isinstance(law, str) or law not in LAWS:
            known = ", ".join(f"{key} ({law})" for key, law in LAWS.items())
            raise SoraError(f"Policy: {name} is {law!r}: use {known}, or a list of them.")
    return tuple(dict.fromkeys(found))


def check_labels(chosen: ProvenancePolicy) -> None:
    """Raise SoraError for labels that could not be written, or would say what is not so."""
    for law in chosen.label:
        expect(
            law not in ("eu", "ca") or chosen.c2pa != "off",
            f"Policy: provenance.label is {law!r}, which lies in signed metadata: set provenance.c2pa to on.",
        )
    expect(
        "eu" not in chosen.label or chosen.watermark,
        "Policy: provenance.label is 'eu', which asks for a watermark too: set provenance.watermark to true.",
    )
    expect(
        not chosen.visible_label or "cn" in chosen.label,
        "Policy: provenance.visible_label is China's: set provenance.label to cn with it.",
    )
    expect(
        "cn" not in chosen.label or not chosen.provider or bool(AIGC_TEXT.fullmatch(chosen.provider)),
        f"Policy: provenance.provider is {chosen.provider!r}, which the AIGC label cannot hold: use letters, digits "
        "and signs of ASCII without spaces, quotes and backslashes, such as the code that you registered.",
    )
