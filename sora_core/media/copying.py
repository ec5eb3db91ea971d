"""A video copied from container to container, packet by packet: its picture is not encoded again.

Matroska stores no times of decoding, and AVI no times of showing. An mp4 needs both, so what is missing is made here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .packets import Damage, decoded, demuxed
from .sound import add_audio_stream, encode_audio, read_audio
from .stamps import BACK, JUMPING, Shown, senseless
from .timing import Timing, read_timing
from .tracks import open_video, picture_stream, sound_stream

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

# Sound that mp4 holds and players play from it, by FFmpeg's names of decoders.
COPIED_SOUND = ("aac", "mp3", "mp3float", "opus", "libopus", "flac", "ac3", "eac3", "alac")
TICK = Fraction(1, 90000)  # seconds, of stamps that are made anew
LEAST_TICKS = 10_000  # of a second, where stamps count frames
Stamps = list[tuple[int, int]]  # (shown, decoded), in the order of the file


@dataclass(frozen=True)
class CopyPlan:
    """What is copied."""

    stamps: Stamps  # of each packet of the picture
    tick: Fraction  # seconds that a stamp counts
    length: int  # ticks that a frame stands, 0 where they differ
    heard: list[int | None]  # when each packet of the sound is decoded, in its own ticks; None for one that is left out
    zero: Fraction  # second of the file's clock that becomes 0
    audio: dict[str, Any] | None  # sound that is encoded again
    notes: tuple[str, ...] = ()  # what a person should know, one sentence each

    @property
    def frames(self) -> int:
        """Return the number of packets, which is that of frames unless some hold none, or half of one."""
        return len(self.stamps)


def plan_copy(source: Path) -> CopyPlan | None:
    """Plan the copy of a video; None where it cannot be told which packet is shown when.

    Raises SoraError for what is no video.
    """
    timing = read_timing(source)
    with open_video(source) as given:
        stream, sound = picture_stream(given), sound_stream(given)
        tick = Fraction(stream.time_base or TICK)
        zero = Fraction(given.start_time or 0, 1_000_000)
        codec = None if sound is None or sound.codec_context is None else sound.codec_context.name
        fits = sound is None or codec in COPIED_SOUND
        jumping = given.format.name in JUMPING
        shown, sounds = _stamps(given, stream, sound)
    count, length = len(shown), 0
    if timing.by_order:
        stamps, tick, length = _ordered(source, timing, count)
    else:
        stamps = _with_decoding([pts for pts, _, _ in shown])
    if stamps is None:
        return None
    if fits:
        heard = _heard(sounds, Fraction(sound.time_base or TICK), timing.joins, jumping) if sound is not None else []
        return CopyPlan(stamps, tick, length, heard, zero, None)
    note = f"{source.name}: its sound ({codec or 'an unknown codec'}) was encoded again as AAC, for mp4 cannot hold it."
    # Sound that is read begins where the picture does.
    return CopyPlan(stamps, tick, length, [], Fraction(timing.start), read_audio(source), (note,))


def _stamps(given: InputContainer, stream: Stream, sound: Stream | None) -> tuple[list[Shown], list[Shown]]:
    """List the stamps of all packets of the picture, and of the sound."""
    found: dict[int, list[Shown]] = {stream.index: []}
    if sound is not None:
        found[sound.index] = []
    for packet in demuxed(given, *(given.streams[index] for index in found)):
        if packet.size:
            found[packet.stream.index].append((packet.pts, packet.dts, packet.duration or 0))
    return found.pop(stream.index), next(iter(found.values()), [])


def _heard(shown: list[Shown], tick: Fraction, joins: tuple[float, ...], jumping: bool) -> list[int | None]:
    """Give each packet of sound its time, rising: on one clock with the picture, and by its neighbours for nonsense."""
    wrong = senseless([dts for _, dts, _ in shown], tick, jumping)
    made: list[int | None] = []
    add, left, end, top = 0, list(joins), None, None
    for index, (_, dts, length) in enumerate(shown):
        if dts is None or (index in wrong and end is None):
            made.append(None)
            continue
        if top is not None and left and index not in wrong and (dts + add - top) * tick < -BACK:
            add = round(Fraction(left.pop(0)) / tick)
        at = end if index in wrong and end is not None else dts + add
        # Where clips were joined, the sound of one ends a little after that of the next begins. What lies in both is
        # left out where their clocks were put together, and squeezed where nothing is known of them.
        if add and end is not None and at < end - length / 2:
            made.append(None)
            continue
        top = at if top is None else max(at, top + 1)
        end = top + length
        made.append(top)
    return made


def copy_packets(given: InputContainer, made: OutputContainer, plan: CopyPlan) -> bool:
    """Write the packets of `given` as planned; returns whether there is sound among them."""
    stream, sound = picture_stream(given), sound_stream(given)
    tracks: dict[int, Stream] = {stream.index: made.add_stream_from_template(stream)}
    encoded = None
    if plan.audio is not None:
        encoded = add_audio_stream(made, plan.audio)
    elif sound is not None:
        tracks[sound.index] = made.add_stream_from_template(sound)
    stamps, heard = iter(plan.stamps), iter(plan.heard)
    for packet in demuxed(given, *(given.streams[index] for index in tracks)):
        if not packet.size:
            continue
        if packet.stream.index == stream.index:
            if packet.time_base != plan.tick:
                packet.duration, packet.time_base = plan.length, plan.tick
            packet.pts, packet.dts = next(stamps)
        else:
            at, dts = next(heard), packet.dts
            if at is None or dts is None:
                continue
            packet.pts = at if packet.pts is None or at != dts else max(packet.pts, at)
            packet.dts = at
        back = round(plan.zero / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - back
        packet.dts = None if packet.dts is None else packet.dts - back
        packet.stream = tracks[packet.stream.index]
        made.mux(packet)
    if encoded is not None and plan.audio is not None:
        samples, rate = plan.audio["waveform"].shape[-1], int(plan.audio["sample_rate"])
        encode_audio(made, encoded, plan.audio, Fraction(samples, rate))
    return len(tracks) > 1 or encoded is not None


def _with_decoding(shown: list[int | None]) -> Stamps | None:
    """Give each packet a time of decoding: rising, and never after it is shown. None where one has no time."""
    known = [stamp for stamp in shown if stamp is not None]
    if len(known) < len(shown):
        return None
    decoded = sorted(known)
    for i in range(1, len(decoded)):
        decoded[i] = max(decoded[i], decoded[i - 1] + 1)  # a container may repeat a stamp
    early = max((at - stamp for at, stamp in zip(decoded, known, strict=True)), default=0)
    return [(stamp, at - early) for stamp, at in zip(known, decoded, strict=True)]


def _ordered(source: Path, timing: Timing, packets: int) -> tuple[Stamps | None, Fraction, int]:
    """Find out by decoding which packet is shown when; returns stamps, their tick, and a frame's ticks if constant.

    None where packets and frames do not go in pairs.
    """
    order: list[int | None] = []
    damage = Damage()
    with open_video(source) as given:
        # A decoder hands the stamp on to the frame.
        order += [frame.pts for frame in decoded(given, picture_stream(given), damage, numbered=True)]
    tick, length = TICK, 0
    if timing.constant:
        # Whole ticks for each frame, or the rate would not be the one that it is.
        tick = Fraction(1, timing.rate.numerator * math.ceil(LEAST_TICKS / timing.rate.numerator))
        length = int(1 / timing.rate / tick)
        begin = round(timing.start / tick)
        times = [begin + i * length for i in range(packets)]
    else:
        times = [round((time + timing.start) / tick) for time in timing.stamps]
    if damage.broken or len(times) != packets or set(order) != set(range(packets)) or len(order) != packets:
        return None, tick, length
    shown = {packet: times[place] for place, packet in enumerate(order)}
    return _with_decoding([shown[packet] for packet in range(packets)]), tick, length
