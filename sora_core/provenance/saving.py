"""What is put into a file that is saved: the watermark into its frames, the signed credentials around them.

saving = plan(history)    # as the policy says; checks the certificate, before any work
write_video(path, frames, fps, saving=saving)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..files import written_beside
from ..media.origin import NONE, Digests, digest, digests_of
from ..safety import gate
from ..safety.policy import load_policy, policy_in_force
from .credentials.binding import Stated, runs_of
from .credentials.history import History
from .credentials.keys import Signer, config_folder, load_signer, user_pair
from .credentials.sign import check_signer, library, sign
from .credentials.stamp import StampError
from .labels.laws import Labels, labels_of, new_identifier
from .watermark.secret import about_key, watermark_key

if TYPE_CHECKING:
    from .watermark.reading import WatermarkReport

_LOOKED_AT = 8  # frames of what was made before, in which its mark is looked for


@dataclass
class Saving:
    """What one file gets when it is saved. `plan` makes it, a writer of files calls `marked` and then `seal`."""

    history: History = field(default_factory=History)
    signer: Signer | None = None  # None for no credentials
    required: bool = False  # whether a file without credentials is worse than none
    mark: bool = False  # whether what was made gets a watermark
    include_prompt: bool = False
    time_stamp: str = ""  # address of a time stamp authority, "" for none
    notes: list[str] = field(default_factory=list)  # what a person should know, one sentence each
    lacking: list[str] = field(default_factory=list)  # those of the notes that say what the file did not get
    labels: Labels = field(default_factory=Labels)  # what laws ask for
    own: Digests = NONE  # of the frames that are a user's, see `keep`
    signed_note: str = ""  # what is said where the file was signed, "" for nothing
    marked_note: str = ""  # the same of the mark
    sealed: bool = field(default=False, init=False)  # whether the file did get credentials
    settled: bool = field(default=False, init=False)  # whether the file that was sealed needs no further mark
    _marked: list[bool] = field(default_factory=list, init=False)  # of each frame of the file: whether it got the mark
    _size: tuple[int, int] = field(default=(0, 0), init=False)  # of the marked frames: height and width
    _number: int | None = field(default=None, init=False)  # of the clip that was marked

    def keep(self, frames: Any) -> None:
        """Leave those of `frames` unmarked that are known to be a user's own (`media.origin`), wherever they come."""
        self.own |= digests_of(frames)

    def marked(self, frames: Iterable[Tensor], fps: float | Fraction | None = None) -> Iterator[Tensor]:
        """Yield `frames` (pieces `[t,H,W,3]`, float 0..1 or uint8) with the mark in all that are not a user's own.

        fps: frames per second, None for pictures: a law's visible label stands on those that open a video, and on every
        picture. Raises SoraError, at the first frame, where a law's label has no room on them.
        """
        yield from self.labels.shown(self._with_mark(frames), fps)

    def _with_mark(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        self._marked, self._number = [], None
        if not self.mark:
            yield from frames
            return
        from .watermark.carrier import SMALLEST_SIDE
        from .watermark.embedding import Embedder

        if self.history.inherited:
            # What was made and marked before is not marked a second time.
            frames, first = itertools.tee(frames)
            if self._has_mark(first):
                yield from frames
                return
        embed = Embedder(watermark_key())
        for piece in frames:
            if min(piece.shape[1:3]) < SMALLEST_SIDE:
                self._lacks_mark(f"frames of less than {SMALLEST_SIDE} pixels a side cannot carry it")
                self._unsay(self.marked_note)
                self._lacks(f"No watermark: frames of less than {SMALLEST_SIDE} pixels a side cannot carry it.")
                yield piece
                yield from frames
                return
            for frame in piece.float() / 255 if piece.dtype == torch.uint8 else piece:
                own = bool(self.own) and digest(frame) in self.own
                self._marked.append(not own)
                self._size = frame.shape[0], frame.shape[1]
                made = frame if own else embed(frame)
                self._number = embed.number
                yield made[None]

    def _has_mark(self, pieces: Iterable[Tensor]) -> bool:
        """Tell whether the first made frames have a mark of this key. It is where one is looked for that costs time."""
        from .watermark.reading import read_back

        frames = (frame for piece in pieces for frame in (piece.float() / 255 if piece.dtype == torch.uint8 else piece))
        made = (frame for frame in frames if not self.own or digest(frame) not in self.own)
        try:
            return read_back(itertools.islice(made, _LOOKED_AT), watermark_key()) is not None
        except SoraError:
            return False  # too small for any

    def tags(self) -> dict[str, str]:
        """Return the tags that labels put into a video."""
        return self.labels.tags()

    def next_label(self) -> str | None:
        """Return the XMP packet of the next picture, which has a number of its own; None for no label."""
        self.labels = replace(self.labels, identifier=new_identifier())
        return self.labels.xmp()

    def is_marked(self, path: Path) -> bool:
        """Tell whether the video `path` needs no mark, or has it in all its frames, as far as they can be read."""
        return not self.mark or self._read_back(path, None) is not None

    def _read_back(self, path: Path, marked: list[bool] | None) -> WatermarkReport | None:
        """Read the mark in the file `path`, None for none. marked: which of its frames have it, None for all."""
        if not self.mark:
            return None
        from .watermark.files import frames_of
        from .watermark.reading import read_back

        frames = frames_of(path)
        if marked is not None:
            height, width = self._size
            # What was added to make a side even would move the mark.
            frames = (frame[:height, :width] for frame in itertools.compress(frames, marked))
        try:
            return read_back(frames, watermark_key(), None if marked is None else self._number)
        except SoraError:
            return None  # too small for any; and what cannot be read at all is for others to say

    def seal(self, path: Path, title: str) -> None:
        """Put the credentials into the finished file `path`, in place and atomically.

        Where they cannot be had, the file stays as it is, with a note. Raises SoraError if they are required.
        """
        # A mark that is stated and not there would be a false statement: so it is read from what was written.
        # What was copied, or is of a file that was saved before, may have it already.
        here, known = any(self._marked), bool(self._marked)
        if known and not here:
            self._unsay(self.marked_note)  # all frames are a user's own
        mark = self._read_back(path, self._marked if here else None)
        self.settled = not self.history.generated or mark is not None or (self.mark and known and not here)
        if mark is None and here:
            self._lacks_mark("it cannot be read in the file: its frames are too few, too plain or too compressed")
            self._unsay(self.marked_note)
            self._lacks(
                "The watermark cannot be read in the file, so its credentials state none: its frames are too few, too "
                "plain or too strongly compressed."
            )
        stated = None if mark is None else Stated(mark.kind, mark.name, runs_of(self._marked) if here else "")
        try:
            self._sign(path, title, stated, self.time_stamp)
        except StampError as error:
            # Nobody loses a signature because an authority is down. That there is no stamp can be seen in the file.
            self._lacks(f"No time stamp: {error}")
            self._try(path, title, stated)
        except SoraError as error:
            self._unsigned(error)

    def _try(self, path: Path, title: str, mark: Stated | None) -> None:
        try:
            self._sign(path, title, mark, "")
        except SoraError as error:
            self._unsigned(error)

    def _sign(self, path: Path, title: str, mark: Stated | None, time_stamp: str) -> None:
        if self.signer is None:
            return
        with written_beside(path) as part:
            sign(
                path,
                part,
                replace(self.history, kept=bool(self.own)),
                self.signer,
                title=title,
                mark=mark,
                include_prompt=self.include_prompt,
                labels=self.labels.assertion(),
                time_stamp=time_stamp,
            )
        self.sealed = True

    def _unsigned(self, error: SoraError) -> None:
        if self.required:
            raise error
        self._unsay(self.signed_note)
        self._lacks(f"Not signed: {error}")

    def _unsay(self, note: str) -> None:
        if note in self.notes:
            self.notes.remove(note)

    def _lacks(self, note: str) -> None:
        self.notes.append(note)
        self.lacking.append(note)

    def tell(self) -> None:
        """Say what the file did not get, to whoever listens (`safety.gate.noting`), or else in the log."""
        for note in dict.fromkeys(self.lacking):
            gate.tell(note)

    def _lacks_mark(self, why: str) -> None:
        """Raise SoraError where a law asks for the watermark that a file cannot have."""
        expect(
            not self.labels.marked,
            f"The policy's label 'eu' asks for a watermark, and {why}. Make larger or richer frames, or take 'eu' out "
            "of provenance.label.",
        )


def plan(
    history: History,
    *,
    credentials: bool | None = None,
    watermark: bool | None = None,
    include_prompt: bool | None = None,
) -> Saving:
    """Plan how a file with `history` is saved: as the policy in force says, changed by what is not None.

    Raises SoraError where the policy is locked against the change, for a certificate or key of the user's that cannot
    be used, and where the policy requires credentials that cannot be had. Call it before the work, too, so that these
    come while nothing is lost.
    """
    policy = policy_in_force() or load_policy()
    wanted = {True: "on", False: "off", None: None}[credentials]
    if credentials and policy.provenance.c2pa == "required":
        wanted = None  # "on" would be weaker than what is required already
    chosen = policy.override(
        {"provenance.c2pa": wanted, "provenance.watermark": watermark, "provenance.include_prompt": include_prompt}
    ).provenance
    labels = labels_of(chosen, generated=history.generated, altered=bool(history.sources))
    saving = Saving(
        history,
        required=chosen.c2pa == "required" or labels.signed,
        include_prompt=chosen.include_prompt,
        time_stamp=chosen.time_stamp,
        labels=labels,
    )
    if chosen.c2pa != "off":
        _choose_signer(saving)
    # What no model made has no business with a mark that says so.
    if chosen.watermark and history.generated:
        saving.mark = True
        saving.marked_note = about_key() or ""
        saving.notes += [saving.marked_note] if saving.marked_note else []
    saving.notes += labels.notes(stamped=bool(chosen.time_stamp))
    return saving


def _choose_signer(saving: Saving) -> None:
    """Set the signer, and note who that is. Raises SoraError where one is required, or the user's own is no good."""
    try:
        library()
        saving.signer = load_signer()
    except SoraError as error:
        # Whoever has set up a certificate counts on it. Without one, an unsigned file is better than none.
        if saving.required or user_pair() is not None:
            raise
        saving._lacks(f"Not signed: {error}")
        return
    if saving.signer.exposed is not None:
        saving.notes.append(
            f"Others on this machine can read the key {saving.signer.exposed}, and sign in its name: take their rights "
            "from it (chmod 600)."
        )
    if saving.signer.self_made:
        saving.signed_note = (
            "Signed with this machine's own certificate, which verifiers call untrusted: it shows whether the file was "
            f"changed, not who made it. Yours would lie in {config_folder()}."
        )
    else:
        _check_once(saving.signer)
        saving.signed_note = f"Signed by {saving.signer.name}."
    saving.notes.append(saving.signed_note)


@functools.lru_cache(8)  # the check signs a picture, and a plan is made for every file
def _check_once(signer: Signer) -> None:
    check_signer(signer)
