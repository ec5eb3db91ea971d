"""A minute and more: finished segments on disk, flat memory, and a render that survives being killed.

Beside the output stands a folder with one file of latents per finished segment, each written under its name only
when it is complete, and a plan that says what they are of. A render that finds the folder goes on after the last
segment in it; noise comes from the seed and the segment's number alone, so the result is the one that an
uninterrupted render gives, to the byte. The video is decoded from the files as one stream, so that no segment
starts without the decoder's memory of the one before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import SoraError, expect
from ...files import ensure_writable, written_beside
from ...media.frames import cuts
from ...media.write import write_video
from ...provenance.kept import remember
from ...safety.gate import check_pieces
from ..finish.splice import Trail
from ..layout import VAECodec
from ..storyboard import Shot, plan_shots, shots_conditioning, shots_of_window
from .rolling import Roller, Rolling, SampleFn, Segment, roll, segments_needed

if TYPE_CHECKING:
    from ...provenance import Saving

FORMAT = 4
REMEMBERED = 12  # latents: two per residual block is all that a decoder of sora-mini's depth remembers
MAX_SECONDS = 3600.0
_TENSORS = ("final", "context", "tail", "mean", "std", "places")


@dataclass(frozen=True)
class Progress:
    """segment: those finished, of `segments`; seconds_left: by the speed so far, None before the first one."""

    segment: int
    segments: int
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {clock(self.seconds_left)} left"
        return f"segment {self.segment} of {self.segments}{left}"


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def digest(values: Mapping[str, Any]) -> str:
    """A name for everything that decides the result: numbers, texts, lists, and tensors by their content."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            data = value.detach().cpu().float().contiguous()
            return [list(data.shape), hashlib.sha256(data.numpy().tobytes()).hexdigest()]
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value if isinstance(value, (str, int, float, bool, type(None))) else repr(type(value))

    text = json.dumps(plain(values), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class SegmentFolder:
    """The finished segments of one render. Raises SoraError when the folder holds those of another."""

    def __init__(self, folder: Path, fingerprint: str, segments: int) -> None:
        self.folder, self.segments = Path(folder), segments
        ensure_writable(self.folder)
        plan = self.folder / "plan.json"
        found = _read_plan(plan)
        if found is None:
            with written_beside(plan) as part:
                part.write_text(json.dumps({"format": FORMAT, "render": fingerprint, "segments": segments}))
        else:
            expect(
                found.get("format") == FORMAT and found.get("render") == fingerprint,
                f"{self.folder} holds an unfinished render with other settings. Finish that one, delete the folder, "
                "or choose another name.",
            )

    def path(self, index: int) -> Path:
        return self.folder / f"segment_{index:05d}.safetensors"

    def finished(self) -> int:
        """How many segments are there, from the first on without a gap."""
        count = 0
        while count < self.segments and self.read(count) is not None:
            count += 1
        return count

    def write(self, index: int, segment: Segment) -> None:
        tensors = {name: getattr(segment, name).contiguous() for name in _TENSORS}
        extra = {"made": str(segment.made), "shot": str(segment.shot), "stream": str(int(segment.stream))}
        with written_beside(self.path(index)) as part:
            save_file(tensors, part, extra)

    def read(self, index: int) -> Segment | None:
        """Segment `index`, or None where there is no sound file of it."""
        try:
            with safe_open(self.path(index), "pt") as file:
                extra = file.metadata()
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, SafetensorError):
            return None
        return Segment(**tensors, made=int(extra["made"]), shot=int(extra["shot"]), stream=extra["stream"] == "1")

    def latents(self, total: int) -> Iterator[Tensor]:
        """The latents of the whole video in order, one file at a time."""
        left = total
        for index in range(self.segments):
            segment = self.read(index)
            expect(segment is not None, f"{self.path(index).name} has disappeared. Start the render again.")
            last = index == self.segments - 1
            part = torch.cat((segment.final, segment.tail), 2) if last else segment.final
            if left > 0 and part.shape[2]:
                yield part[:, :, :left]
            left -= part.shape[2]

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _read_plan(path: Path) -> dict | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else {}


def segments_beside(path: Path) -> Path:
    """The folder of a render's segments: hidden, next to the video."""
    return path.with_name(f".{path.stem}.segments")


@dataclass(frozen=True)
class Source:
    """What a long video goes on from. frames `[T,H,W,3]`, the user's; final: latents of the last `covered` of them
    (1 + ratio * k), no more than a decoder remembers; context: latents of their end, as a stream of its own;
    reference: latents of how the last shot of them begins, which is how it should look later on.
    """

    frames: Tensor
    final: Tensor
    context: Tensor
    covered: int
    reference: Tensor


def make_source(codec: VAECodec, frames: Tensor, rolling: Rolling) -> Source:
    """A user's video as something to go on from. What it takes does not grow with the video."""

    def whole(count: int, most: int) -> int:
        """Frames of the longest stream of whole groups among `count`, of at most `most` latents."""
        return 1 + min((count - 1) // codec.ratio, most - 1) * codec.ratio

    length = frames.shape[0]
    covered = whole(length, REMEMBERED + 1)
    shown = min(covered, whole(length, rolling.window - rolling.new))
    begin = max(cuts(frames), default=0)
    first = whole(length - begin, min(rolling.window, REMEMBERED))
    final = codec.encode(frames[-covered:])
    reference = final if (begin, first) == (length - covered, covered) else codec.encode(frames[begin : begin + first])
    return Source(frames, final, codec.encode(frames[-shown:]), covered, reference)


class LongVideo:
    """What a long video shows when: shots with their contexts `[1,L,D]`, over `seconds` after the source.

    total: latents in all; counts: latents of each shot, those of the source with the first.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        contexts: Sequence[Tensor],
        seconds: float,
        fps: float,
        ratio: int = 4,
        source: Source | None = None,
        options: dict | None = None,
    ) -> None:
        given = 0 if source is None else source.final.shape[2]
        new = max(1, round(seconds * fps))
        self.total = given + -(-new // ratio) if given else 1 + max(0, round((new - 1) / ratio))
        counts = plan_shots(shots, fps, ratio)
        self.counts = [counts[0] + given, *counts[1:]]
        self.contexts, self.options = contexts, options

    def conditioning(self, first: int, length: int) -> list:
        """CONDITIONING of the window of `length` latents from `first`."""
        numbers, lengths = shots_of_window(self.counts, first, length)
        if len(numbers) == 1:
            return [[self.contexts[numbers[0]], dict(self.options or {})]]
        return shots_conditioning([self.contexts[n] for n in numbers], lengths, self.options)

    def shot_of(self, latent: int) -> int:
        return shots_of_window(self.counts, latent, 1)[0][0]

    def roller(
        self, sample: SampleFn, sigmas: Tensor, shape: tuple[int, int, int], seed: int, rolling: Rolling
    ) -> Roller:
        return Roller(sample, self.conditioning, sigmas, shape, seed, rolling, self.shot_of)


def render(
    path: str | Path,
    roller: Roller,
    total: int,
    decode: Callable[[Iterable[Tensor]], Iterable[Tensor]],
    fps: float,
    *,
    settings: Mapping[str, Any],
    source: Source | None = None,
    folder: Callable[[str], Path] | None = None,
    progress: Callable[[Progress], None] | None = None,
    metadata: dict[str, str] | None = None,
    crf: float = 16.0,
    audio: dict[str, Any] | None = None,
    look: Callable[[Tensor], Tensor] | None = None,
    keep_segments: bool = False,
    saving: Saving | None = None,
) -> Path:
    """Make `total` latents in segments and write them as the mp4 `path`; goes on where an earlier call stopped.

    decode: latents in pieces `[1,C,n,h,w]` -> frames in pieces `[t,H,W,3]` float 0..1.
    settings: everything that decides the result and is not in `roller` (prompts, sampler, model ...).
    folder: (fingerprint) -> where the segments go; by default beside `path`. look: sees and may change every piece
    of frames.
    saving: the watermark and the credentials of the file.
    progress: called after every segment; what it raises stops the render, and the finished segments stay.

    Raises SoraError for a folder of another render, a full disk, and whatever sampling raises.
    """
    path = Path(path)
    given = source.final.shape[2] if source is not None else 0
    expect(total > given, f"{total} latents are asked for and {given} are given: make the video longer.")
    count = segments_needed(total, roller.rolling, given)
    fingerprint = digest(
        {
            **settings,
            "rolling": asdict(roller.rolling),
            "sigmas": roller.sigmas,
            "seed": roller.seed,
            "shape": roller.shape,
            "still": roller.still is not None,
            "total": total,
            "fps": float(fps),
            "source": None if source is None else [source.final, source.context, source.reference],
        }
    )
    store = SegmentFolder(folder(fingerprint) if folder else segments_beside(path), fingerprint, count)
    done = store.finished()
    report = _Clock(count, done, progress)
    start = store.read(done - 1) if done else None
    if start is None and source is not None:
        start = roller.start(source.final, source.context, source.reference)
        store.write(0, start)
        done = 1
        report(0)
    if done < count:
        for index, segment in enumerate(roll(roller, total, start, max(done - 1, 0)), done):
            # A segment that the policy does not let through does not reach the disk, not even as latents.
            check_pieces(decode([torch.cat((segment.final, segment.tail), 2)]))
            store.write(index, segment)
            report(index)
    frames = _frames(decode(store.latents(total)), source, look)
    write_video(path, frames, fps, metadata=metadata, crf=crf, audio=audio, saving=saving)
    if not keep_segments:
        store.remove()
    return path


class _Clock:
    """Tells progress, and how long the rest takes at the speed of the segments of this call."""

    def __init__(self, segments: int, done: int, tell: Callable[[Progress], None] | None) -> None:
        self.segments, self.before, self.tell, self.began = segments, done, tell, time.monotonic()
        if tell is not None:
            tell(Progress(done, segments, None))

    def __call__(self, index: int) -> None:
        if self.tell is None:
            return
        done = index + 1
        each = (time.monotonic() - self.began) / max(1, done - self.before)
        self.tell(Progress(done, self.segments, each * (self.segments - done)))


def _frames(
    pieces: Iterable[Tensor], source: Source | None, look: Callable[[Tensor], Tensor] | None
) -> Iterator[Tensor]:
    """The finished frames, piece by piece, the user's own pixels first where there are any."""
    if source is not None:
        pieces = _after_source(pieces, source)
    for piece in pieces:
        yield piece if look is None else look(piece)


def _after_source(pieces: Iterable[Tensor], source: Source) -> Iterator[Tensor]:
    """The source's frames, then the decoded ones after them, with the detail of its last one (see `splice`)."""
    given = source.frames
    remember(given)
    for begin in range(0, given.shape[0], 16):
        yield given[begin : begin + 16]
    seen, covered = 0, source.covered
    trail: Trail | None = None
    for piece in pieces:
        new = []
        for frame in piece:
            if seen == covered - 1:
                trail = Trail(frame, given[-1], given[-2] if len(given) > 1 else None)
            elif seen >= covered:
                new.append(frame if trail is None else trail(frame).clamp(0, 1))
            seen += 1
        if new:
            yield torch.stack(new)


def decode_with_history(
    decode: Callable[[Tensor], Tensor],
    pieces: Iterable[Tensor],
    ratio: int = 4,
    history: int = REMEMBERED,
    chunk: int = 12,
) -> Iterator[Tensor]:
    """Latents in pieces -> frames in pieces, by any causal VAE that decodes whole clips: `decode(latent) -> IMAGE`.

    Each chunk is decoded behind the `history` latents before it: all that the decoder remembers, so the frames are
    those of decoding it all at once.
    """
    past = None
    for whole in pieces:
        for part in whole.split(chunk, 2):
            known = part if past is None else torch.cat((past, part), 2)
            frames = decode(known)
            yield frames if past is None else frames[-ratio * part.shape[2] :]
            past = known[:, :, -history:]


def check_long(seconds: float, fps: float) -> None:
    """Raise SoraError for a duration out of range."""
    if not 0 < seconds <= MAX_SECONDS:
        raise SoraError(f"{seconds:g} s cannot be made: use more than 0, at most {MAX_SECONDS:.0f} seconds.")
    expect(0 < fps <= 120, f"{fps} frames per second: use 1 to 120.")


def rolling_for(window: int, **changes: Any) -> Rolling:
    """`Rolling` for a model whose clips have `window` latents."""
    return Rolling(window=max(window, 3), **changes)
