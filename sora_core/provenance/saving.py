"""What is put into a file that is saved: the watermark into its frames, the signed credentials around them.

saving = plan(history)                      # as the policy says; checks the certificate, before any work
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

from ..errors import SoraError
from ..files import written_beside
from ..safety.policy import load_policy, policy_in_force
from .credentials.history import History
from .credentials.keys import Signer, config_folder, load_signer, user_pair
from .credentials.sign import check_signer, library, sign

WATERMARK_KEY = "SORA_WATERMARK_KEY"


@dataclass
class Saving:
    """signer: None for no credentials. required: whether a file without them is worse than none. mark: the
    watermark's payload, None for no watermark. notes: what a person should know, in sentences.
    """

    history: History = field(default_factory=History)
    signer: Signer | None = None
    required: bool = False
    mark: int | None = None
    include_prompt: bool = False
    notes: list[str] = field(default_factory=list)
    _marks: bool = field(default=False, init=False)

    def marked(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """`frames` (pieces `[t,H,W,3]`, float 0..1 or uint8) with the mark in all that are not a user's own."""
        if self.mark is None:
            yield from frames
            return
        from .kept import is_kept
        from .watermark.embedding import SMALLEST_SIDE, Embedder

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

        Raises SoraError where they are required and cannot be had; else the file stays as it is, with a note.
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
                    mark=self.mark if self._marks else None,
                    include_prompt=self.include_prompt,
                )
        except SoraError as error:
            if self.required:
                raise
            self.notes.append(f"Not signed: {error}")


def plan(
    history: History,
    *,
    credentials: bool | None = None,
    watermark: bool | None = None,
    include_prompt: bool | None = None,
) -> Saving:
    """What saving does for `history`: as the policy in force says, changed by what is not None.

    Raises SoraError where the policy is locked against the change, for a certificate or key of the user's that
    cannot be used, and where the policy requires credentials that cannot be had. So call it before the work, too.
    """
    policy = policy_in_force() or load_policy()
    wanted = {True: "on", False: "off", None: None}[credentials]
    if credentials and policy.provenance.c2pa == "required":
        wanted = None
    chosen = policy.override(
        {"provenance.c2pa": wanted, "provenance.watermark": watermark, "provenance.include_prompt": include_prompt}
    ).provenance
    saving = Saving(history, required=chosen.c2pa == "required", include_prompt=chosen.include_prompt)
    if chosen.c2pa != "off":
        _choose_signer(saving)
    if chosen.watermark and history.generated:
        saving.mark = payload(history)
    return saving


def payload(history: History) -> int:
    """The watermark's 32 bits: which model. The start of its weights' hash, or without any, one of its name."""
    model = history.models[0] if history.models else None
    digest = model.sha256() if model is not None else None
    if digest is not None:
        return int(digest[:8], 16)
    return zlib.crc32((model.name if model is not None else "sora-nodes").encode())


def watermark_key() -> str | None:
    """The secret of the user's own watermarks, from SORA_WATERMARK_KEY; None for the key that everybody knows."""
    return os.environ.get(WATERMARK_KEY) or None


def _choose_signer(saving: Saving) -> None:
    try:
        library()
        saving.signer = load_signer()
    except SoraError as error:
        if saving.required or user_pair() is not None:
            raise
        saving.notes.append(f"Not signed: {error}")
        return
    if saving.signer.self_made:
        saving.notes.append(
            "Signed with this machine's own certificate, which verifiers call untrusted: it shows "
            f"whether the file was changed, not who made it. Yours would lie in {config_folder()}."
        )
    else:
        _check_once(saving.signer)
        saving.notes.append(f"Signed by {saving.signer.name}.")


@functools.lru_cache(8)
def _check_once(signer: Signer) -> None:
    check_signer(signer)
