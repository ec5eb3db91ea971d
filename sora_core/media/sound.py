"""Sound of videos, as ComfyUI's AUDIO has it: `{"waveform": [1,channels,samples] float, "sample_rate": int}`.

AUDIO begins where the picture does. What a file plays before its first frame is cut off, and what begins later has
silence in front.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from .timing import read_timing
from .tracks import open_video, sound_stream

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer, OutputContainer

# What AAC knows, in samples per second (ISO/IEC 14496-3, table 1.18).
AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
# FFmpeg's names of the speakers by their number, which is all that AUDIO says of them.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
HALF = math.sqrt(0.5)
# Gains (left, right) of each speaker in a stereo downmix: -3 dB for centre and surround, none of the low frequency
# effects (ITU-R BS.775, table 2). A rear centre goes to both surrounds at -3 dB first.
LEFT, RIGHT, CENTRE, LOW, SURROUND_L, SURROUND_R = (1, 0), (0, 1), (HALF, HALF), (0, 0), (HALF, 0), (0, HALF)
DOWNMIX = {
    3: (LEFT, RIGHT, CENTRE),
    4: (LEFT, RIGHT, SURROUND_L, SURROUND_R),
    5: (LEFT, RIGHT, CENTRE, SURROUND_L, SURROUND_R),
    6: (LEFT, RIGHT, CENTRE, LOW, SURROUND_L, SURROUND_R),
    7: (LEFT, RIGHT, CENTRE, LOW, (0.5, 0.5), SURROUND_L, SURROUND_R),
    8: (LEFT, RIGHT, CENTRE, LOW, SURROUND_L, SURROUND_R, SURROUND_L, SURROUND_R),
}
GAP = 0.05  # seconds without a packet of sound that are a hole, and no rounding of its time stamps


def read_audio(path: str | Path) -> dict[str, Any] | None:
    """Read the sound of a video as AUDIO, in step with its picture; None if it has none.

    Raises SoraError for what is no video, and for sound that cannot be decoded at all.
    """
    with open_video(path) as container:
        stream = sound_stream(container)
        if stream is None:
            return None
        name, timing = Path(path).name, read_timing(path)
        chunks = list(_chunks(name, container, stream))
    if not chunks:
        return None
    audio = _placed(chunks, chunks[0].sample_rate, timing.start, timing.duration)
    return audio if audio["waveform"].shape[-1] else None  # all of it is over before the picture begins


def _chunks(name: str, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decode a track to float, channels side by side, in the layout and at the rate with which it begins.

    PyAV reads past the end of eight planes of their own, and crashes.

    Packets that are broken are left out. Raises SoraError where all are.
    """
    import av

    codec = stream.codec_context
    expect(codec is not None, f"The sound of {name} has a codec that cannot be read: convert it to AAC.")
    resampler, setup, target, count, broken = None, None, None, 0, None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            broken = error
            continue
        for frame in frames:
            given = frame.format.name, frame.layout.name, frame.sample_rate
            # The rate of the frames, not of the header, which may leave out that HE-AAC doubles it.
            target = target or (_layout(frame), frame.sample_rate)
            if resampler is None or given != setup:
                setup, resampler = given, av.AudioResampler("flt", *target)
            for chunk in resampler.resample(frame):
                count += 1
                yield chunk
    if resampler is not None:
        yield from resampler.resample(None)
    expect(
        count > 0 or broken is None,
        f"The sound of {name} cannot be decoded ({codec.name}): encode it again, or leave it out.",
    )


def _layout(frame: AudioFrame) -> str:
    """Name the speakers that sound is brought to: those that their number alone stands for, where they have names."""
    channels = frame.layout.nb_channels
    named = "channels" not in frame.layout.name and "ambisonic" not in frame.layout.name
    return LAYOUTS.get(channels, frame.layout.name) if named else frame.layout.name


def _placed(chunks: list[AudioFrame], rate: int, start: float, seconds: float) -> dict[str, Any]:
    """Join decoded chunks at their times, less `start`. What begins after the picture's `seconds` is left out."""
    pieces: list[np.ndarray] = []
    at = 0  # samples that are placed
    channels = chunks[0].layout.nb_channels
    for chunk in chunks:
        piece = chunk.to_ndarray().reshape(-1, channels).T
        where = at if chunk.time is None else round((chunk.time - start) * rate)
        if not pieces:
            piece = piece[:, max(-where, 0) :]
        if where > (seconds + 1) * rate and where - at > GAP * rate:
            break  # a stamp that makes no sense, or nothing that is heard with the picture
        if where - at > (GAP * rate if pieces else 0):
            pieces.append(np.zeros((channels, where - at), np.float32))
            at = where
        if piece.shape[1]:
            pieces.append(piece)
            at += piece.shape[1]
    wave = np.concatenate(pieces, axis=1) if pieces else np.zeros((channels, 0), np.float32)
    return {"waveform": torch.from_numpy(wave)[None], "sample_rate": rate}


def add_audio_stream(container: OutputContainer, audio: dict[str, Any]) -> AudioStream:
    """Add an AAC track for AUDIO, at a rate that AAC has. Raises SoraError for what is no AUDIO."""
    rate, wave = int(audio["sample_rate"]), audio["waveform"]
    expect(
        rate > 0 and isinstance(wave, Tensor) and wave.ndim == 3 and wave.shape[0] > 0 and 0 < wave.shape[1] <= 8,
        f"Sound has the shape [1,channels,samples] with 1 to 8 channels, not {list(getattr(wave, 'shape', ()))} at "
        f"{rate} samples per second.",
    )
    stream = container.add_stream("aac", rate=aac_rate(rate))
    stream.layout = "mono" if wave.shape[1] == 1 else "stereo"
    return stream


def encode_audio(container: OutputContainer, stream: AudioStream, audio: dict[str, Any], seconds: Fraction) -> None:
    """Encode AUDIO, cut to `seconds`. More than two channels are mixed to stereo."""
    import av

    rate = int(audio["sample_rate"])
    wave = audio["waveform"][0, :, : round(seconds * rate)].float().cpu()
    if wave.shape[0] > 2:
        wave = downmixed(wave)
    wave = resampled(wave, rate, stream.rate)
    if wave.shape[1]:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave.numpy()), format="fltp", layout=LAYOUTS[wave.shape[0]]
        )
        frame.sample_rate = stream.rate
        frame.pts = 0
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def aac_rate(rate: int) -> int:
    """Return the rate at which AAC holds sound of `rate`: its own, or one that loses nothing that is heard."""
    if rate in AAC_RATES:
        return rate
    return next((known for known in AAC_RATES if known >= rate and known <= 48000), 96000 if rate > 96000 else 48000)


def downmixed(wave: Tensor) -> Tensor:
    """Mix `[channels,samples]` of 3 to 8 channels to stereo, by ITU-R BS.775: what is in front keeps its level."""
    return torch.tensor(DOWNMIX[wave.shape[0]], dtype=wave.dtype).T @ wave


def resampled(wave: Tensor, rate: int, wanted: int) -> Tensor:
    """Bring `[channels,samples]` from a rate to another, without what the lower one cannot hold."""
    import av

    count = round(wave.shape[1] * wanted / rate)
    if rate == wanted or not count:
        return wave[:, :count]
    # Its filter looks around: both ends are held for a while, which is cut off again.
    whole = math.gcd(rate, wanted)
    often = math.ceil(whole / 20)
    skip = often * wanted // whole
    wave = torch.nn.functional.pad(wave[None], [often * rate // whole] * 2, mode="replicate")[0]
    made = []
    for channel in wave:  # one by one, whatever speakers they are
        frame = av.AudioFrame.from_ndarray(channel[None].contiguous().numpy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=wanted)
        try:
            pieces = [chunk.to_ndarray() for given in (frame, None) for chunk in resampler.resample(given)]
            made.append(np.concatenate(pieces, axis=1)[:, skip : skip + count])
        except (av.FFmpegError, ValueError) as error:
            raise SoraError(f"Sound of {rate} samples per second cannot be brought to {wanted}: use 48000.") from error
    return torch.from_numpy(np.concatenate(made))


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
            given = resampled(sound["waveform"][0].float().cpu(), int(sound["sample_rate"]), rate)
            given = _in_channels(given, channels)
            # What is shorter than its part ends in silence, so that the next part stays in step with its picture.
            count = min(length, given.shape[-1])
            wave[0, :, :count] = given[:, :count]
        waves.append(wave)
    return {"waveform": torch.cat(waves, -1), "sample_rate": rate}


def _in_channels(wave: Tensor, channels: int) -> Tensor:
    """Bring `[channels,samples]` to another number of them: mixed down as needed, or the same in all."""
    if wave.shape[0] == channels:
        return wave
    if wave.shape[0] > 2:
        wave = downmixed(wave)
    if channels > 2 and wave.shape[0] == 2:  # to front left and right
        return torch.cat((wave, wave.new_zeros(channels - 2, wave.shape[1])))
    return wave if wave.shape[0] == channels else wave.mean(0, keepdim=True).expand(channels, -1)
