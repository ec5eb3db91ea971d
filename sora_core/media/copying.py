"""A video copied from container to container, packet by packet: its picture is not encoded again.

Matroska stores no times of decoding, and AVI no times of showing. An mp4 needs both, so what is missing is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .sound import add_audio_stream, encode_audio, read_audio
from .timing import Timing, is_frame, read_timing
from .tracks import open_video, picture_stream, sound_stream

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

# Sound that mp4 holds and players play from it, by FFmpeg's names of decoders.
COPIED_SOUND = ("aac", "mp3", "mp3float", "opus", "libopus", "flac", "ac3", "eac3", "alac")
TICK = Fraction(1, 90000)  # seconds, of stamps that are made anew
Stamps = list[tuple[int, int]]  # (shown, decoded), in the order of the file


@dataclass(frozen=True)
class CopyPlan:
    """What is copied."""

    stamps: Stamps  # of each packet of the picture
    tick: Fraction  # seconds that a stamp counts
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
        packets = [(p.pts, is_frame(p)) for p in given.demux(stream) if p.size]
    if timing.by_order:
        stamps, tick = _ordered(source, timing, len(packets)), TICK
    else:
        stamps = _with_decoding([pts for pts, _ in packets])
    if stamps is None:
        return None
    if fits:
        return CopyPlan(stamps, tick, zero, None)
    note = f"{source.name}: its sound ({codec or 'an unknown codec'}) was encoded again as AAC, for mp4 cannot hold it."
    # Sound that is read begins where the picture does.
    return CopyPlan(stamps, tick, Fraction(timing.start), read_audio(source), (note,))


def copy_packets(given: InputContainer, made: OutputContainer, plan: CopyPlan) -> bool:
    """Write the packets of `given` as planned; returns whether there is sound among them."""
    stream, sound = picture_stream(given), sound_stream(given)
    tracks: dict[int, Stream] = {stream.index: made.add_stream_from_template(stream)}
    encoded = None
    if plan.audio is not None:
        encoded = add_audio_stream(made, plan.audio)
    elif sound is not None:
        tracks[sound.index] = made.add_stream_from_template(sound)
    stamps, heard = iter(plan.stamps), None
    for packet in given.demux(*(given.streams[index] for index in tracks)):
        index = packet.stream.index
        if not packet.size or (index != stream.index and packet.dts is None):
            continue
        if index == stream.index:
            if packet.time_base != plan.tick:
                packet.duration, packet.time_base = 0, plan.tick
            packet.pts, packet.dts = next(stamps)
        elif packet.dts is not None:
            # Where clips were joined, the sound of one ends a little after that of the next begins.
            if heard is not None and packet.dts <= heard:
                packet.dts = heard + 1
                packet.pts = None if packet.pts is None else max(packet.pts, packet.dts)
            heard = packet.dts
        back = round(plan.zero / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - back
        packet.dts = None if packet.dts is None else packet.dts - back
        packet.stream = tracks[index]
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


def _ordered(source: Path, timing: Timing, packets: int) -> Stamps | None:
    """Find out by decoding which packet is shown when. None where packets and frames do not go in pairs."""
    order: list[int | None] = []
    with open_video(source) as given:
        index = 0
        for packet in given.demux(picture_stream(given)):
            if packet.size:
                packet.pts = packet.dts = index  # a decoder hands the stamp on to the frame
                index += 1
            order += [frame.pts for frame in packet.decode()]
    times = timing.stamps or [i / float(timing.rate) for i in range(packets)]
    if len(times) != packets or set(order) != set(range(packets)) or len(order) != packets:
        return None
    shown = {packet: round((times[place] + timing.start) / TICK) for place, packet in enumerate(order)}
    return _with_decoding([shown[packet] for packet in range(packets)])
