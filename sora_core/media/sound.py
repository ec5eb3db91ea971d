"""Sound of videos, as ComfyUI's AUDIO has it: `{"waveform": [1,channels,samples] float, "sample_rate": int}`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .video import open_video

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import OutputContainer


def read_audio(path: str | Path) -> dict[str, Any] | None:
    """Read the first sound track of a video as AUDIO; None if it has none. Raises SoraError for what is no video."""
    import av

    with open_video(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        # Planar float is what AUDIO holds; layout and rate stay.
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        chunks = [chunk.to_ndarray() for frame in container.decode(stream) for chunk in resampler.resample(frame)]
        if not chunks:
            return None
        wave = torch.from_numpy(np.concatenate(chunks, axis=1))
        return {"waveform": wave[None], "sample_rate": stream.rate}


def encode_audio(container: OutputContainer, stream: AudioStream, audio: dict[str, Any], seconds: Fraction) -> None:
    """Encode AUDIO, cut to `seconds`. More than two channels are mixed to one."""
    import av

    rate = int(audio["sample_rate"])
    wave = audio["waveform"][0, :, : round(seconds * rate)].float().cpu()
    if wave.shape[0] > 2:
        wave = wave.mean(0, keepdim=True)
    layout = "mono" if wave.shape[0] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.numpy()), format="fltp", layout=layout)
    frame.sample_rate = rate
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def join_audio(parts: list[tuple[dict[str, Any] | None, float]]) -> dict[str, Any] | None:
    """Join the sound of a video made of parts; None if all are silent.

    parts: AUDIO (None for silence) and seconds of each. Rate and channels are those of the first that has sound.
    """
    sounds = [sound for sound, _ in parts if sound is not None]
    if not sounds:
        return None
    rate, channels = int(sounds[0]["sample_rate"]), sounds[0]["waveform"].shape[1]
    waves = []
    for sound, seconds in parts:
        length = round(seconds * rate)
        wave = torch.zeros(1, channels, length)
        if sound is not None:
            given = sound["waveform"][:1].float()
            if int(sound["sample_rate"]) != rate:
                scaled = round(given.shape[-1] * rate / int(sound["sample_rate"]))
                given = torch.nn.functional.interpolate(given, size=max(scaled, 1), mode="linear")
            if given.shape[1] != channels:
                given = given.mean(1, keepdim=True).expand(-1, channels, -1)
            # What is shorter than its part ends in silence, so that the next part stays in step with its picture.
            count = min(length, given.shape[-1])
            wave[..., :count] = given[..., :count]
        waves.append(wave)
    return {"waveform": torch.cat(waves, -1), "sample_rate": rate}
