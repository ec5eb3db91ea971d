"""When the frames of a file are shown, and how many there are: by what its packets say, not by its header.

A header's rate may be a mean over frames that are not there, the tick of the clock, or nothing. Time stamps may be
rounded (Matroska, WebM and FLV count milliseconds, GIF hundredths), may be missing, or may be those of decoding (AVI,
which knows no other). So the packets are looked through once, without decoding.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from .packets import demuxed
from .stamps import JUMPING, MOST_RATE, Shown, mended, say_nothing
from .structure import cut_short
from .tracks import open_video, picture_stream

if TYPE_CHECKING:
    import av
    from av import Packet, VideoStream

USUAL_RATE = Fraction(25)  # of a file that says nothing at all
USUAL_MOST = 240  # frames per second: what a header says beyond is a mean over stamps that mean nothing
NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120))
LOOSE = 0.6  # of a step, by which all stamps together may stray before the rate counts as variable
MOSTLY = 0.8  # of the steps are right where a few stamps are wrong
SAME_MOMENT = 1e-4  # seconds between frames that have one time stamp


@dataclass(frozen=True)
class Timing:
    """The times of a picture track."""

    rate: Fraction  # frames per second; the mean where it varies
    frames: int
    start: float  # seconds on the file's clock at which the track begins
    first: float  # stamp of the first frame, seconds: later than the start where AVI stamps the decoding
    stamps: tuple[float, ...]  # seconds after the start, rising; none where the file has none
    last: float  # seconds that the last frame stands
    constant: bool
    by_order: bool  # whether stamps say nothing about single frames, only about all of them in order
    joins: tuple[float, ...] = ()  # seconds to add to the file's clock from each place on where it begins anew

    @property
    def duration(self) -> float:
        """Return the seconds from the first frame to the end of the last."""
        if self.constant or not self.stamps:
            return float(self.frames / self.rate)
        return self.stamps[-1] + self.last

    def timed(
        self, frames: Iterable[av.VideoFrame], lost: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield all decoded `frames` from the first one on with their times in seconds from 0, which rise.

        lost: tells whether frames are missing. From there on those of a constant rate are placed by their stamps too.
        """
        latest, place = -math.inf, -1
        for index, frame in enumerate(frames):
            if self.constant:
                place += 1
                if not self.by_order and frame.time is not None and lost():
                    place = min(max(place, round((frame.time - self.first) * float(self.rate))), self.frames - 1)
                yield place / float(self.rate), frame
                continue
            stamp = None if self.by_order or frame.time is None else frame.time - self.first
            if stamp is None:
                stamp = self.stamps[index] if index < len(self.stamps) else latest + self.last
            latest = max(stamp, latest + SAME_MOMENT) if index else 0.0
            yield latest, frame


def read_timing(path: str | Path) -> Timing:
    """Look through the packets of a video's picture track. Raises SoraError if the file is no video."""
    path = Path(path)
    stat = path.stat() if path.is_file() else None
    return _read(path, stat and (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(32)  # a node asks for length, rate and frames of the same file
def _read(path: Path, stamp: object) -> Timing:
    with open_video(path) as container:
        stream = picture_stream(container)
        shown = [(p.pts, p.dts, p.duration or 0) for p in demuxed(container, stream) if is_frame(p)]
        return timing_of(shown, stream, lambda: cut_short(path))


def is_frame(packet: Packet) -> bool:
    """Return whether a packet is one that a decoder makes a frame of."""
    if not packet.size or packet.is_discard:
        return False  # a frame that AVI repeats; or one before the cut of an edit list
    # VP8 has frames that are only referred to; its first bit of five says so.
    return packet.stream.codec_context.name not in ("vp8", "libvpx") or bool(bytes(packet)[0] & 0x10)


def timing_of(shown: Sequence[Shown], stream: VideoStream, cut: Callable[[], bool] = lambda: False) -> Timing:
    """Make a `Timing` of the (pts, dts, duration) of a track's packets, in the order of the file.

    cut: tells whether packets are missing.
    """
    header = [Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
    header = [rate for rate in header if 0 < rate <= MOST_RATE]
    tick = Fraction(stream.time_base or Fraction(1, 1000))
    said = next(iter(header), USUAL_RATE)
    clock = mended(shown, tick, stream.container.format.name in JUMPING)
    shown = clock.shown
    pts, by_order = _presented([s[0] for s in shown], [s[1] for s in shown], stream)
    by_order |= clock.changed
    if say_nothing(pts, tick):
        # Nor does a mean over them.
        said = next((rate for rate in header if rate <= USUAL_MOST), USUAL_RATE)
        return Timing(said, len(shown), _start(stream, pts, tick), 0.0, (), float(1 / said), True, True)
    if len(pts) < 2:
        # Where nothing is timed, or one frame is all there is, the header is all that is known.
        return Timing(said, len(shown), _start(stream, pts, tick), 0.0, (), float(1 / said), True, True)
    span = (pts[-1] - pts[0]) * tick
    times = [(p - pts[0]) * tick for p in pts]
    step = span / (len(pts) - 1)
    rate = _constant_rate(times, step, tick, header)
    last = next((length for at, _, length in shown if at == pts[-1]), 0) * tick
    # A duration that is far from the steps is the header's tick.
    last = last if last and step / 8 < last else step
    constant = rate is not None
    if rate is not None:
        last = 1 / rate
    else:
        # Of a constant rate with holes no frame may be lost to the mean.
        holes = bool(header) and span > 0 and _on_a_grid(times, said, tick) and cut()
        rate = said if holes else len(pts) / (span + last) if span else said
    start, first, stamps = _start(stream, pts, tick), float(pts[0] * tick), tuple(float(time) for time in times)
    joins = tuple(float(join) for join in clock.joins)
    return Timing(Fraction(rate), len(pts), start, first, stamps, float(last), constant, by_order, joins)


def _start(stream: VideoStream, pts: Sequence[int], tick: Fraction) -> float:
    """Return the second at which a track begins."""
    start = stream.start_time if stream.start_time is not None else next(iter(pts), 0)
    return float(start * tick)


def _presented(pts: list[int | None], dts: list[int | None], stream: VideoStream) -> tuple[list[int], bool]:
    """Sort the stamps of presentation; returns them, and whether they belong to frames by order only."""
    whole = [p for p in pts if p is not None]
    decoded = [d for d in dts if d is not None]
    # AVI has times of decoding only. What FFmpeg makes of them to be times of showing is wrong for some codecs.
    if len(whole) == len(pts) and stream.container.format.name != "avi":
        return sorted(whole), False
    if len(decoded) == len(dts):
        return sorted(decoded), True
    return (sorted(whole), True) if len(whole) == len(pts) else ([], True)


def _constant_rate(
    times: Sequence[Fraction], step: Fraction, tick: Fraction, header: Sequence[Fraction]
) -> Fraction | None:
    """Find the rate of frames at `times`, seconds from 0, that were rounded to ticks; None where it varies."""
    if not step or 1 / step > MOST_RATE:
        return None
    fitted = 1 / step
    near = [Fraction(round(fitted)), *header[1:], *sorted(NTSC, key=lambda rate: abs(rate - fitted))]
    # A mean over rounded stamps is a long fraction, and stands behind the rates that people use.
    usual = bool(header) and (header[0].denominator <= 2 or header[0] in NTSC)
    for rate in (*header[:1], *near) if usual else (*near, *header[:1]):
        if rate > 0 and _spread(times, rate) <= 1.05 * float(tick) and _spread(times, rate) < LOOSE / float(rate):
            return rate
    # What a screen recorder or a phone stamped a little early or late stands in its place.
    fitted = Fraction(fitted).limit_denominator(1001)
    for rate in (*header[:1], fitted):
        if rate > 0 and _spread(times, rate) <= LOOSE / float(rate):
            return rate
    steps = [later - time for time, later in itertools.pairwise(times)]
    if 0 in steps:  # Two frames at once are a mistake, of MPEG program streams for example, and others may be there.
        for rate in header[:1]:
            if sum(abs(step - 1 / rate) <= tick for step in steps) >= MOSTLY * len(steps):
                return rate
    return None


def _on_a_grid(times: Sequence[Fraction], rate: Fraction, tick: Fraction) -> bool:
    """Tell whether frames at `times` stand where those of a constant rate do, of which some are not there."""
    places = [round(time * rate) for time in times]
    near = all(abs(time - place / rate) <= tick for time, place in zip(times, places, strict=True))
    return near and len(set(places)) == len(places)


def _spread(times: Sequence[Fraction], rate: Fraction) -> float:
    """Return by how many seconds the most early and the most late frame differ."""
    inverse = 1 / float(rate)
    strays = [float(time) - index * inverse for index, time in enumerate(times)]
    return max(strays) - min(strays)
