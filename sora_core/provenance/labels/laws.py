"""What is written because a law asks for it, by the policy's `provenance.label`.

| label | written |
|---|---|
| `cn` | GB 45438-2025: the AIGC metadata, and the visible label where `visible_label` is true |
| `eu` | AI Act, Article 50(2): signed metadata and a watermark, both or no file |
| `ca` | SB 942: provider, system and version, time, a unique number, created or altered, in the signed metadata |
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from torch import Tensor

from ...about import GENERATOR, VERSION
from ...safety.policy import ProvenancePolicy
from . import aigc
from .visible import Stamp, frames_labelled, text_height

ASSERTION = "org.sora-nodes.labels"  # in the credentials
NEED_SIGNATURE = ("eu", "ca")


def new_identifier() -> str:
    """Return a number that no other content has."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Labels:
    """The labels of one file."""

    laws: tuple[str, ...] = ()
    provider: str = ""  # "" for this program's own name
    visible: bool = False
    altered: bool = False  # whether a file of the user's went into it
    identifier: str = field(default_factory=new_identifier)  # of the content
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def signed(self) -> bool:
        """Whether no file may be without a signature."""
        return any(law in NEED_SIGNATURE for law in self.laws)

    @property
    def marked(self) -> bool:
        """Whether no file may be without a watermark."""
        return "eu" in self.laws

    def notes(self, *, stamped: bool = False) -> Iterator[str]:
        """Yield what a person should know. stamped: whether an authority is asked to stamp the time."""
        if "cn" in self.laws:
            shown = f", the visible label on the first {frames_labelled(1)} seconds" if self.visible else ""
            by = "" if self.provider else f"; it names {self._producer()} as producer: set provenance.provider to yours"
            yield f"Labelled for China (GB 45438-2025): AIGC metadata{shown}{by}."
        if "eu" in self.laws:
            # An authority that gives none has a note of its own.
            time = "" if stamped else " (not time-stamped: the policy names no authority)"
            yield f"Labelled for the EU (AI Act, Article 50): signed metadata{time} and a watermark."
        if "ca" in self.laws:
            yield "Labelled for California (SB 942): provider, system, time and number, in the signed metadata."

    def check_size(self, width: int, height: int) -> None:
        """Raise SoraError where frames of this size have no room for the visible label."""
        if self.visible:
            text_height(width, height)

    def tags(self) -> dict[str, str]:
        """Return the tags of a container."""
        return {aigc.KEY: aigc.write(self._producer(), self.identifier)} if "cn" in self.laws else {}

    def xmp(self) -> str | None:
        """Return the XMP packet of a png; None for none."""
        return aigc.xmp(self.tags()[aigc.KEY]) if "cn" in self.laws else None

    def assertion(self) -> dict[str, Any] | None:
        """Return what the credentials say of the labels; None for nothing."""
        if not self.laws:
            return None
        said: dict[str, Any] = {"laws": list(self.laws), "id": self.identifier}
        if "ca" in self.laws:
            said |= {
                "provider": self.provider or GENERATOR,
                "system": GENERATOR,
                "version": VERSION,
                "time": self.made.isoformat(timespec="seconds"),
                "kind": "altered" if self.altered else "created",
            }
        return {"label": ASSERTION, "data": said}

    def shown(self, frames: Iterable[Tensor], fps: float | Fraction | None) -> Iterator[Tensor]:
        """Yield `frames` (pieces `[t,H,W,3]`, float 0..1) with the visible label on those that open the video.

        fps: frames per second; None for pictures, all of which are labelled. Raises SoraError for frames that are too
        small, at the first of them.
        """
        left = frames_labelled(fps) if fps is not None else None
        stamp: Stamp | None = None
        for piece in frames:
            if not self.visible or left == 0:
                yield piece
                continue
            stamp = stamp or Stamp(piece.shape[2], piece.shape[1])
            for frame in piece:
                yield (frame if left == 0 else stamp(frame))[None]
                left = left and left - 1

    def _producer(self) -> str:
        return self.provider or GENERATOR.replace(" ", "-")


def labels_of(chosen: ProvenancePolicy, *, generated: bool, altered: bool) -> Labels:
    """Return the labels that the policy asks for. What no model made gets none.

    generated: whether a model made any of it. altered: whether files of the user's went into it.
    """
    if not generated:
        return Labels()
    return Labels(chosen.label, chosen.provider, chosen.visible_label and "cn" in chosen.label, altered)
