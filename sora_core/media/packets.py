"""Packets and frames out of files that may be damaged or cut short: all that a player would get of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..interrupt import check_interrupted
from .structure import cut_short

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream


@dataclass
class Damage:
    """What went wrong on the way through a file."""

    most: int | None = None  # packets after which decoding ends, None for all
    broken: int = 0  # packets that could not be decoded
    ended: str = ""  # why the file could not be read to its end
    reason: str = ""  # of the last packet that could not be decoded
    read: int = 0  # packets that went into the decoder
    frames: int = 0  # that came out
    spoiled: int = 0  # of them, which the decoder had to guess a part of

    def __bool__(self) -> bool:
        return self.broken > 0 or bool(self.ended)

    def begin_anew(self) -> None:
        """Forget what was counted."""
        self.broken = self.read = self.frames = self.spoiled = 0
        self.ended = self.reason = ""

    def note(self, path: Path) -> str:
        """Say in a sentence what is missing of a file; "" where nothing is known to be."""
        if cut_short(path):
            return f"{path.name} is cut short or damaged: {self.frames} frames of it could be read."
        if self:
            why = self.ended or self.reason
            return f"{path.name} is damaged ({why}): {self.frames} frames could be read, others are missing or spoiled."
        if self.spoiled:
            return f"{path.name} is damaged: {self.spoiled} of its {self.frames} frames are spoiled."
        return ""


def demuxed(container: InputContainer, *streams: Stream, damage: Damage | None = None) -> Iterator[Packet]:
    """Yield the packets of a file in its order, empty ones at its end.

    Where it cannot be read on it ends, as it does for players.
    """
    import av

    packets = container.demux(*streams)
    while True:
        check_interrupted()
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            if damage is not None:
                damage.ended = error.strerror or "it cannot be read on"
            return
        yield packet


def decoded(
    container: InputContainer, stream: Any, damage: Damage, decoder: Any = None, numbered: bool = False
) -> Iterator[Any]:
    """Decode a track: whatever can be of it. What cannot is counted in `damage`.

    decoder: another than the stream's own. numbered: the stamp of each frame is the number of its packet, from 0.
    """
    import av

    decoder = decoder or stream.codec_context
    for packet in demuxed(container, stream, damage=damage):
        if damage.most is not None and damage.read >= damage.most:
            break
        if packet.size:  # an empty one would be taken for the end
            if numbered:
                packet.pts = packet.dts = damage.read
            damage.read += 1
            yield from _frames(decoder, packet, damage)
    end = av.Packet()
    end.time_base = stream.time_base
    yield from _frames(decoder, end, damage)


def _frames(decoder: Any, packet: Packet, damage: Damage) -> list[Any]:
    import av

    try:
        frames = decoder.decode(packet)
    except EOFError:
        return []
    except (av.FFmpegError, ValueError) as error:
        damage.broken += 1
        damage.reason = getattr(error, "strerror", None) or str(error)
        return []
    damage.frames += len(frames)
    damage.spoiled += sum(frame.is_corrupt for frame in frames)
    return list(frames)
