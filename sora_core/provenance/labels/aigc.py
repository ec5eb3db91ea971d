"""The label in the metadata that GB 45438-2025 asks for: a JSON object of seven texts under the name AIGC.

In mp4 it is the key `AIGC` of `moov.udta.meta`, in Matroska a SimpleTag of that name, in png the XMP property `AIGC` of
the namespace of TC260. Sources differ on whether an outer `{"AIGC": ...}` stands in the value: it is written without,
and read either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

KEY = "AIGC"
NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
FIELDS = ("Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
MEANINGS = {"1": "is generated", "2": "may be generated", "3": "is suspected to be generated"}
LONGEST = 65_536  # characters of what is read: a label has a few hundred

_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:TC260="{namespace}"><TC260:AIGC>{value}</TC260:AIGC></rdf:Description>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@dataclass(frozen=True)
class Aigc:
    """What the label says."""

    label: str  # "1", "2" or "3", see MEANINGS
    producer: str  # name or code of who had it made
    produced: str  # their number of it
    propagator: str  # name or code of who passes it on
    propagated: str  # their number of it

    def __str__(self) -> str:
        """Say in a line what the label says."""
        meaning = MEANINGS.get(self.label, "with a label that the standard does not know")
        passed = "" if self.propagator == self.producer else f", passed on by {self.propagator} as {self.propagated}"
        return f"Label {self.label} ({meaning}), produced by {self.producer} as {self.produced}{passed}"


def write(producer: str, identifier: str) -> str:
    """Return the label's JSON for content that `producer` has just made, with its number."""
    values = ("1", producer, identifier, "", producer, identifier, "")
    return json.dumps(dict(zip(FIELDS, values, strict=True)), separators=(",", ":"))


def xmp(value: str) -> str:
    """Return an XMP packet that holds the label's JSON `value`, for a png."""
    return _XMP.format(namespace=NAMESPACE, value=escape(value))


def read_tags(tags: Mapping[str, str]) -> Aigc | None:
    """Read the label from a container's tags, None where there is none that can be read."""
    return next((read(text) for name, text in tags.items() if name.upper() == KEY), None)


def read_xmp(packet: str | bytes) -> Aigc | None:
    """Read the label from an XMP packet, where it may be an element or an attribute; None where there is none."""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    # A packet has no document type, and one that has means to fill memory with its entities.
    if len(text) > LONGEST or "<!" in text:
        return None
    try:
        root = ElementTree.fromstring(text.strip("\ufeff\x00 \n"))
    except ElementTree.ParseError:
        return None
    name = f"{{{NAMESPACE}}}{KEY}"
    for element in root.iter():
        value = element.text if element.tag == name else element.get(name)
        if value:
            return read(value)
    return None


def read(text: str) -> Aigc | None:
    """Read the label's JSON, with or without the outer `{"AIGC": ...}`; None for what is no such label."""
    if len(text) > LONGEST:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(data, dict) and isinstance(data.get(KEY), dict):
        data = data[KEY]
    if not isinstance(data, dict) or "Label" not in data:
        return None
    names = ("Label", "ContentProducer", "ProduceID", "ContentPropagator", "PropagateID")
    return Aigc(*(str(data.get(name, "")) for name in names))
