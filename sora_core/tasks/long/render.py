"""A minute and more: finished segments on disk, flat memory, and a render that survives being killed.

Beside the output stands a folder with one file of latents per finished segment, each written under its name only when
it is complete, and a plan that says what they are of. A render that finds the folder goes on after the last segment in
it. Noise comes from the seed and the segment's number alone, so the result is the one that an uninterrupted render
gives, to the byte. The video is decoded from the files as one stream, so that no segment starts without the decoder's
memory of the one before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import SoraError, expect
from ...files import ensure_mp4, ensure_writable
from ...media.origin import digests_of, passed_on
from ...media.write import SAVED_CRF, write_video
from ...safety.gate import check_pieces
from .ahead import made_ahead
from .finished import Finished, read_reuse, write_reuse
from .joins import Filling
from .rolling import Roller, Segment, join, roll, segments_needed
from .segments import SegmentFolder, digest, pieces_of, segments_beside
from .source import Source, after_source
from .spans import Reuse, Span, lost

if TYPE_CHECKING:
    from ...provenance import Saving

log = logging.getLogger(__name__)
FINISH = "Finish that one, delete the folder, or choose another name."
OF_SHOTS = ("contexts", "counts", "locked")  # settings that belong to single shots
Decode = Callable[[Iterable[Tensor]], Iterable[Tensor]]  # see `render`


@dataclass(frozen=True)
class Progress:
    """How far a render is."""

    segment: int  # how many are finished
    segments: int  # how many there are in all
    seconds_left: float | None  # by the speed so far, None before the first one

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {clock(self.seconds_left)} left"
        return f"segment {self.segment} of {self.segments}{left}"


def clock(seconds: float) -> str:
    """Write seconds as m:ss."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


@dataclass(frozen=True)
class Job:
    """A long video that is to be made, without where it goes."""

    roller: Roller
    total: int  # latents in all
    fps: float
    settings: Mapping[str, Any]  # all that decides the result and is not in `roller`: prompts, sampler, model ...
    source: Source | None = None  # a video to go on from
    audio: dict[str, Any] | None = None  # the source's sound
    spans: tuple[Span, ...] = ()  # where its shots lie, for a render that keeps some of them
    locked: tuple[
        int, ...
    ] = ()  # which of the spans stay as an earlier render has them, whatever seed or sampler follows

    @property
    def given(self) -> int:
        """Latents of the source."""
        return 0 if self.source is None else self.source.final.shape[2]

    @property
    def segments(self) -> int:
        """Segments in all; the source counts as the first."""
        return segments_needed(self.total, self.roller.rolling, self.given)

    def fingerprint(self) -> str:
        """Name everything that decides the result."""
        return digest({**self._shared(), **self.settings, "total": self.total})

    def family(self) -> str:
        """Name what all shots share: what decides the result, but for the shots themselves."""
        return digest({**self._shared(), **{k: v for k, v in self.settings.items() if k not in OF_SHOTS}})

    def kind(self) -> str:
        """Name what a render needs to share so that latents of one fit into the other."""
        shared = self._shared()
        return digest({"model": self.settings.get("model"), **{k: shared[k] for k in ("shape", "fps", "source")}})

    def _shared(self) -> dict[str, Any]:
        roller, source = self.roller, self.source
        return {
            "rolling": asdict(roller.rolling),
            "sigmas": roller.sigmas,
            "seed": roller.seed,
            "shape": roller.shape,
            "still": False,  # a setting that is gone: renders of before it went can go on
            "fps": float(self.fps),
            "source": None if source is None else [source.final, source.context, source.reference],
        }

    def start(self) -> Segment | None:
        """Make the segment of the source, where there is one."""
        source = self.source
        return None if source is None else self.roller.start(source.final, source.context, source.reference)


def render(
    path: str | Path,
    job: Job,
    decode: Decode,
    *,
    folder: Callable[[str], Path] | None = None,
    progress: Callable[[Progress], None] | None = None,
    metadata: dict[str, str] | None = None,
    crf: float = SAVED_CRF,
    keep_segments: bool = False,
    saving: Saving | None = None,
    finished: Path | None = None,
    note: Callable[[str], None] | None = None,
    ahead: bool = False,
) -> Path:
    """Make a long video in segments and write it as the mp4 `path`; go on where an earlier call stopped.

    decode: latents `[1,C,n,h,w]` in pieces -> frames `[t,H,W,3]` in pieces, as one stream. folder: (fingerprint) ->
    where the segments go; by default beside `path`. progress: called after every segment; what it raises stops the
    render, and the finished segments stay. saving: the watermark and the credentials. finished: the folder of finished
    renders, see `finished`; shots that one has are kept from it, and `note` is called with what was. ahead: `_latents`.

    Raises SoraError for a folder of another render, a full disk, and whatever sampling raises; before any segment is
    made, for a name that is no mp4's and a place that cannot be written to.
    """
    path = Path(path)
    ensure_mp4(path)
    ensure_writable(path.parent)
    expect(
        job.total > job.given, f"{job.total} latents are asked for and {job.given} are given: make the video longer."
    )
    fingerprint = job.fingerprint()
    kept = Finished(finished) if finished is not None and job.spans else None
    where = folder(fingerprint) if folder else segments_beside(path)
    reuse = _begin(job, where, fingerprint, kept)
    store = SegmentFolder(where, fingerprint, job.segments)
    with _leftovers(store, int(reuse is None and job.source is not None)), ExitStack() as until_written:
        filling = None
        if reuse is not None:
            filling = Filling(reuse, job.roller, job.start())
            store.segments = len(filling.steps)
        if note is not None:
            _tell_kept(reuse, job, note)
        if filling is None:
            latents = until_written.enter_context(_latents(job, store, decode, progress, ahead))
        else:
            _finish_gaps(filling, store, decode, progress)
            latents = filling.pieces()
        frames = decode(latents)
        if job.source is not None:
            frames = after_source(frames, job.source)
            if saving is not None:
                saving.keep(job.source.frames)
        write_video(path, frames, job.fps, metadata=metadata, crf=crf, audio=job.audio, saving=saving)
        if kept is not None and kept.takes(job.total, job.roller.shape):
            made = torch.cat(list(store.latents(job.total)), 2) if filling is None else filling.latents
            kept.add(fingerprint, job.family(), job.spans, made, filling is not None, job.kind())
    if not keep_segments:
        store.remove()
    return path


def _tell_kept(reuse: Reuse | None, job: Job, note: Callable[[str], None]) -> None:
    """Say which shots are kept from an earlier render, and which of the locked ones no render has."""
    if reuse is not None:
        note(reuse.note())
    if gone := lost(reuse, job.spans, job.locked):
        note(gone)


@contextmanager
def _leftovers(store: SegmentFolder, given: int) -> Iterator[None]:
    """Where a render fails, remove its folder if nothing was made, or say what it keeps. given: segments not made."""
    try:
        yield
    except BaseException as error:
        done = store.finished() - given
        if done <= 0:
            store.remove()
            raise
        kept = f"{done} finished segments are kept in {store.folder}: run it again to go on, or delete them."
        if isinstance(error, SoraError):
            error.args = (f"{error} {kept}",)
        else:
            log.warning(kept)  # who stopped it sees no notes
        raise


def _begin(job: Job, where: Path, fingerprint: str, kept: Finished | None) -> Reuse | None:
    """Find what an earlier render leaves to be made. A render goes on as it began, whatever was finished since."""
    begun = where / "reuse.safetensors"
    if (where / "plan.json").exists() and begun.exists():
        expect(kept is not None, f"{where} holds an unfinished render that keeps shots of an earlier one. {FINISH}")
        reuse = read_reuse(begun)
        expect(reuse is not None, f"{begun} is broken. Delete {where} and start the render again.")
        return reuse
    if (where / "plan.json").exists():
        return None
    if begun.exists():
        begun.unlink()  # left where a render was killed before it had a plan
    if kept is None:
        return None
    asked, overlap = (fingerprint, job.family()), job.roller.rolling.overlap
    if job.locked:
        found = kept.find_locked(*asked, job.kind(), job.spans, overlap, job.locked)
    else:
        found = kept.find(*asked, job.spans, overlap)
    if found is not None:
        ensure_writable(where)
        write_reuse(begun, found)
    return found


def _finish_segments(
    job: Job, store: SegmentFolder, decode: Decode, progress: Callable[[Progress], None] | None
) -> None:
    """Make the segments that are not in the folder yet."""
    done, report = _begin_segments(job, store, progress)
    for index, segment in enumerate(_missing(job, store, done), done):
        _write(store, index, segment, decode)
        report(index)


@contextmanager
def _latents(
    job: Job, store: SegmentFolder, decode: Decode, progress: Callable[[Progress], None] | None, ahead: bool
) -> Iterator[Iterator[Tensor]]:
    """Give the video's latents in pieces, once all segments are made.

    ahead: give them as segments are finished; within the block, those to come are made in a thread of its own.
    """
    if not ahead:
        _finish_segments(job, store, decode, progress)
        yield store.latents(job.total)
        return
    done, report = _begin_segments(job, store, progress)

    def finished(made: Iterator[Segment]) -> Iterator[Segment]:
        for index in range(done):
            yield store.take(index)
        for index, segment in enumerate(made, done):
            _write(store, index, segment, decode)
            report(index)
            yield segment

    with made_ahead(lambda: _missing(job, store, done)) as made:
        yield pieces_of(finished(made), job.segments, job.total)


def _begin_segments(job: Job, store: SegmentFolder, progress: Callable[[Progress], None] | None) -> tuple[int, _Clock]:
    """Count the segments that are there, of which a source is one, and tell of them."""
    done = store.finished()
    report = _Clock(job.segments, done, progress)
    if done == 0 and (start := job.start()) is not None:
        store.write(0, start)
        done = 1
        report(0)
    return done, report


def _missing(job: Job, store: SegmentFolder, done: int) -> Iterator[Segment]:
    """Make the segments after the first `done` ones."""
    if done >= job.segments:
        return iter(())
    return roll(job.roller, job.total, store.take(done - 1) if done else None, max(done - 1, 0))


def _finish_gaps(
    filling: Filling, store: SegmentFolder, decode: Decode, progress: Callable[[Progress], None] | None
) -> None:
    """Make the segments between what is kept that are not in the folder yet."""
    done = store.finished()
    report = _Clock(store.segments, done, progress)
    for index, segment in enumerate(filling.make(done, store.read), done):
        _write(store, index, segment, decode)
        report(index)


def _write(store: SegmentFolder, index: int, segment: Segment, decode: Decode) -> None:
    # A segment that the policy does not let through does not reach the disk, not even as latents.
    check_pieces(decode([torch.cat((segment.final, segment.tail), 2)]))
    store.write(index, segment)


class _Clock:
    """Tells progress, and how long the rest takes.

    It goes by the segments of this call alone: those that were there may have been made on another machine.
    """

    def __init__(self, segments: int, done: int, progress: Callable[[Progress], None] | None) -> None:
        self.segments, self.before, self.progress, self.began = segments, done, progress, time.monotonic()
        if progress is not None:
            progress(Progress(done, segments, None))

    def __call__(self, index: int) -> None:
        if self.progress is None:
            return
        done = index + 1
        each = (time.monotonic() - self.began) / max(1, done - self.before)
        self.progress(Progress(done, self.segments, each * (self.segments - done)))


def in_memory(job: Job, decode: Decode, progress: Callable[[int, int], None] | None) -> tuple[Tensor, Tensor]:
    """Make a long video without writing anything; returns its frames `[T,H,W,3]` and its latent `[1,C,total,h,w]`.

    progress: called with (latents made, latents to make) after every segment. Raises SoraError for a job without a
    source.
    """
    source, start = job.source, job.start()
    if source is None or start is None:
        raise SoraError("There is no video to go on from.")
    segments = [start]
    for segment in roll(job.roller, job.total, segments[0]):
        segments.append(segment)
        if progress is not None:
            # Of the last segment the tail is finished too, and it may be longer than what is left to make.
            last = segment.made + segment.tail.shape[2] >= job.total
            progress((job.total if last else segment.made) - job.given, job.total - job.given)
    latent = join(segments, job.total)
    return passed_on(torch.cat(list(after_source(decode([latent]), source))), digests_of(source.frames)), latent
