"""What is put into a file that is saved: the watermark into its frames, the signed credentials around them.

saving = plan(history)    # as the policy says; checks the certificate, before any work
write_video(path, frames, fps, saving=saving)
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..about import NAME
from ..errors import SoraError
from ..files import written_beside
from ..safety.policy import load_policy, policy_in_force
from .credentials.history import History
from .credentials.keys import Signer, config_folder, load_signer, user_pair
from .credentials.sign import check_signer, library, sign

WATERMARK_KEY = "SORA_WATERMARK_KEY"


@dataclass
class Saving:
    """What one file gets when it is saved. `plan` makes it, a writer of files calls `marked` and then `seal`."""

    history: History = field(default_factory=History)
    signer: Signer | None = None  # None for no credentials
    required: bool = False  # whether a file without credentials is worse than none
    mark: int | None = None  # payload of the watermark, 32 bits; None for no watermark
    include_prompt: bool = False
    notes: list[str] = field(default_factory=list)  # what a person should know, one sentence each
    sealed: bool = field(default=False, init=False)  # whether the file did get credentials
    _marks: bool = field(default=False, init=False)  # whether the frames did get the mark

    def marked(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield `frames` (pieces `[t,H,W,3]`, float 0..1 or uint8) with the mark in all that are not a user's own."""
        if self.mark is None:
            yield from frames
            return
        from .kept import is_kept
        from .watermark.carrier import SMALLEST_SIDE
        from .watermark.embedding import Embedder

        embed, self._marks = Embedder(self.mark, watermark_key()), True
        for piece in frames:
            if min(piece.shape[1:3]) < SMALLEST_SIDE:
                self._marks = False
                self.notes.append(f"No watermark: frames of less than {SMALLEST_SIDE} pixels a side cannot carry it.")
                yield piece
                yield from frames
                return
            for frame in piece.float() / 255 if piece.dtype == torch.uint8 else piece:
                yield (frame if is_kept(frame) else embed(frame))[None]

    def seal(self, path: Path, title: str) -> None:
        """Put the credentials into the finished file `path`, in place and atomically.

        Where they cannot be had, the file stays as it is, with a note. Raises SoraError if they are required.
        """
        if self.signer is None:
            return
        try:
            with written_beside(path) as part:
                sign(
                    path,
                    part,
                    self.history,
                    self.signer,
                    title=title,
                    # A mark that is stated and not there would be a false statement.
                    mark=self.mark if self._marks else None,
                    include_prompt=self.include_prompt,
                )
        except SoraError as error:
            if self.required:
                raise
            self.notes.append(f"Not signed: {error}")
        else:
            self.sealed = True


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
    saving = Saving(history, required=chosen.c2pa == "required", include_prompt=chosen.include_prompt)
    if chosen.c2pa != "off":
        _choose_signer(saving)
    # What no model made has no business with a mark that says so.
    if chosen.watermark and history.generated:
        saving.mark = payload(history)
    return saving


def payload(history: History) -> int:
    """Return the watermark's 32 bits, which name the model: the start of its weights' hash, or else one of its name."""
    model = history.models[0] if history.models else None
    digest = model.sha256() if model is not None else None
    if digest is not None:
        return int(digest[:8], 16)
    return zlib.crc32((model.name if model is not None else NAME).encode())


def watermark_key() -> str | None:
    """Return the secret of the user's own watermarks, from SORA_WATERMARK_KEY; None for the key that all know."""
    return os.environ.get(WATERMARK_KEY) or None


def _choose_signer(saving: Saving) -> None:
    """Set the signer, and note who that is. Raises SoraError where one is required, or the user's own is no good."""
    try:
        library()
        saving.signer = load_signer()
    except SoraError as error:
        # Whoever has set up a certificate counts on it. Without one, an unsigned file is better than none.
        if saving.required or user_pair() is not None:
            raise
        saving.notes.append(f"Not signed: {error}")
        return
    if saving.signer.self_made:
        saving.notes.append(
            "Signed with this machine's own certificate, which verifiers call untrusted: it shows whether the file was "
            f"changed, not who made it. Yours would lie in {config_folder()}."
        )
    else:
        _check_once(saving.signer)
        saving.notes.append(f"Signed by {saving.signer.name}.")


@functools.lru_cache(8)  # the check signs a picture, and a plan is made for every file
def _check_once(signer: Signer) -> None:
    check_signer(signer)
