"""What a call in Python gives back: a finished video, with its sound and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..media.clips import Clip
from ..media.write import SAVED_CRF, write_video
from ..provenance import plan
from ..provenance.credentials.history import History


@dataclass(frozen=True)
class VideoResult:
    """A finished video."""

    frames: Tensor  # [T,H,W,3] float 0..1
    fps: float  # frames per second
    latent: Tensor  # [B,C,1+k,h,w], as sampled, for further work
    seed: int
    history: History = field(default_factory=History)  # how it was made, for its credentials
    audio: dict[str, Any] | None = None  # {"waveform": [1,channels,samples], "sample_rate"}, or None for none
    notes: list[str] = field(default_factory=list)  # what a person should know, in sentences; `save` adds its own

    # Whether the frames are what the latent decodes to, one by one but for the user's own: not where a policy has
    # concealed some, or where the latent is of a part of the video, or has its end before its start.
    faithful: bool = True

    # What the model read in place of a prompt, where it was told in other words.
    read_as: tuple[str, ...] = ()

    # Those of the notes that are of files, not of the video.
    saved: list[str] = field(default_factory=list, init=False, repr=False)

    def clip(self) -> Clip:
        """Take the video as one to be worked on further, with its sound and what is to be said of it."""
        notes = tuple(note for note in self.notes if note not in self.saved)
        return Clip(self.frames, self.fps, self.audio, notes, self.latent if self.faithful else None)

    def save(
        self,
        path: str | Path,
        *,
        credentials: bool | None = None,
        watermark: bool | None = None,
        include_prompt: bool | None = None,
        **options: Any,
    ) -> Path:
        """Write an mp4 with its sound, signed and marked as `sora_core.provenance.plan` decides.

        options: those of `sora_core.media.video.write_video` ("crf", "metadata", "audio" in place of the video's own).
        What was done about signing goes to `notes`. Raises SoraError as `plan` and `write_video` do.
        """
        options = {"audio": self.audio, "crf": SAVED_CRF, **options}
        saving = plan(self.history, credentials=credentials, watermark=watermark, include_prompt=include_prompt)
        write_video(path, self.frames, self.fps, saving=saving, **options)
        saving.tell()
        new = [note for note in dict.fromkeys(saving.notes) if note not in self.notes]
        self.notes.extend(new)
        self.saved.extend(new)
        return Path(path)
