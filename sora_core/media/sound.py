"""Sound of videos, as ComfyUI's AUDIO has it: `{"waveform": [1,channels,samples] float, "sample_rate": int}`.

AUDIO begins where the picture does. What a file plays before its first frame is cut off, and what begins later has
silence in front.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..interrupt import check_interrupted
from ..memory import expect_memory
from ..safety.gate import tell
from .packets import Damage, decoded
from .placing import placed
from .structure import codec_of
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
MOST_CHANNELS = 64  # of sound that is saved
BLOCK = 1 << 18  # samples that are resampled and encoded at a time
LEAST_BYTES = 50  # of a second of sound, as a file's header is believed


def read_audio(path: str | Path) -> dict[str, Any] | None:
    """Read the sound of a video as AUDIO, in step with its picture; None if it has none.

    Raises SoraError for what is no video, and for sound that cannot be decoded at all.
    """
    with open_video(path) as container:
        stream = sound_stream(container)
        if stream is None:
            return None
        name, timing = Path(path).name, read_timing(path)
        codec = stream.codec_context
        if codec is None:
            raise SoraError(_no_codec(Path(path)))
        seconds = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / 1_000_000
        seconds = min(seconds, Path(path).stat().st_size / LEAST_BYTES)
        needed = int(seconds * codec.sample_rate) * codec.channels * 4
        expect_memory(needed, f"The sound of {name}, {seconds:.0f} s in {codec.channels} channels,", "cut it.")
        pieces = _chunks(name, container, stream)
        first = next(pieces, None)
        if first is None:
            return None
        rate, whole = first.sample_rate, itertools.chain([first], pieces)
        wave = placed(whole, rate, timing.start, timing.duration, timing.joins)
    if wave is None or not wave.shape[1]:
        return None  # all of it is over before the picture begins
    return {"waveform": torch.from_numpy(wave)[None], "sample_rate": rate}


def _no_codec(path: Path) -> str:
    code = codec_of(path, sound=True)
    return (
        f"{path.name}: its sound has {f'the codec {code}' if code else 'a codec'}, which cannot be read: convert it to "
        "AAC, or leave it out."
    )


def _chunks(name: str, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decode a track to float, channels side by side, in the layout and at the rate with which it begins.

    PyAV reads past the end of eight planes of their own, and crashes.

    Packets that are broken are left out. Raises SoraError where all are.
    """
    import av

    resampler, setup, target, count, damage = None, None, None, 0, Damage()
    for frame in decoded(container, stream, damage):
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
        count > 0 or not damage.broken,
        f"The sound of {name} cannot be decoded ({stream.codec_context.name}): encode it again, or leave it out.",
    )


def _layout(frame: AudioFrame) -> str:
    """Name the speakers that sound is brought to: those that their number alone stands for, where they have names."""
    channels = frame.layout.nb_channels
    named = "channels" not in frame.layout.name and "ambisonic" not in frame.layout.name
    return LAYOUTS.get(channels, frame.layout.name) if named else frame.layout.name


def add_audio_stream(container: OutputContainer, audio: dict[str, Any]) -> AudioStream:
    """Add an AAC track for AUDIO, at a rate that AAC has. Raises SoraError for what is no AUDIO."""
    rate, wave = int(audio["sample_rate"]), audio["waveform"]
    expect(
        rate > 0
        and isinstance(wave, Tensor)
        and wave.ndim == 3
        and wave.shape[0] > 0
        and 0 < wave.shape[1] <= MOST_CHANNELS,
        f"Sound has the shape [1,channels,samples] with 1 to {MOST_CHANNELS} channels, not "
        f"{list(getattr(wave, 'shape', ()))} at {rate} samples per second.",
    )
    stream = container.add_stream("aac", rate=aac_rate(rate))
    stream.layout = "mono" if wave.shape[1] == 1 else "stereo"
    return stream


def encode_audio(container: OutputContainer, stream: AudioStream, audio: dict[str, Any], seconds: Fraction) -> None:
    """Encode AUDIO, cut to `seconds`. More than two channels are mixed to stereo, and told of if that is not plain."""
    import av

    rate = int(audio["sample_rate"])
    wave = audio["waveform"][0, :, : round(seconds * rate)].float().cpu()
    if wave.shape[0] > 2:
        wave = _in_stereo(wave)
    wave = resampled(wave, rate, stream.rate)
    for begin in range(0, wave.shape[1], BLOCK):
        check_interrupted()
        block = np.ascontiguousarray(wave[:, begin : begin + BLOCK].numpy())
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=LAYOUTS[wave.shape[0]])
        frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
        frame.pts = begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def aac_rate(rate: int) -> int:
    """Return the rate at which AAC holds sound of `rate`: its own, or one that loses nothing that is heard."""
    if rate in AAC_RATES:
        return rate
    return next((known for known in AAC_RATES if known >= rate and known <= 48000), 96000 if rate > 96000 else 48000)


def downmixed(wave: Tensor) -> Tensor:
    """Mix `[channels,samples]` of 3 channels and more to stereo, by ITU-R BS.775: what is in front keeps its level.

    Of more than 8 channels the first 8 are taken for 7.1, and the others for pairs above or around it.
    """
    gains = torch.tensor(gains_of(wave.shape[0]), dtype=wave.dtype)
    made = wave.new_zeros(2, wave.shape[1])
    for begin in range(0, wave.shape[1], BLOCK):
        check_interrupted()
        made[:, begin : begin + BLOCK] = gains.T @ wave[:, begin : begin + BLOCK]
    return made


def gains_of(channels: int) -> list[tuple[float, float]]:
    """List the gains (left, right) of each of 3 channels and more in a stereo downmix."""
    if channels in DOWNMIX:
        return list(DOWNMIX[channels])
    more = channels - 8
    pairs = [SURROUND_L, SURROUND_R] * (more // 2)
    return [*DOWNMIX[8], *pairs, *([(0.5, 0.5)] * (more % 2))]


def _in_stereo(wave: Tensor) -> Tensor:
    """Mix `[channels,samples]` to stereo, no louder than a file can hold; tells what was done."""
    mixed, channels = downmixed(wave), wave.shape[0]
    if channels not in DOWNMIX:
        tell(f"Sound of {channels} channels was mixed to stereo: mp4 holds 8 at most.")
    peak = float(mixed.abs().amax()) if mixed.numel() else 0.0
    if peak > 1 and math.isfinite(peak):
        # As much for all of it, so that it stays as it was otherwise.
        mixed /= peak
        tell(
            f"Sound of {channels} channels was mixed to stereo {20 * math.log10(peak):.1f} dB lower, or it would clip."
        )
    return mixed


def resampled(wave: Tensor, rate: int, wanted: int) -> Tensor:
    """Bring `[channels,samples]` from a rate to another, without what the lower one cannot hold."""
    count = round(wave.shape[1] * wanted / rate)
    if rate == wanted or not count:
        return wave[:, :count]
    made = torch.empty(wave.shape[0], count)
    for channel, given in zip(made, wave, strict=True):  # one by one, whatever speakers they are
        _resample_channel(given, channel, rate, wanted)
    return made


def _resample_channel(given: Tensor, made: Tensor, rate: int, wanted: int) -> None:
    """Fill `made` `[count]` with `given` `[samples]` at another rate."""
    import av

    # Its filter looks around: both ends are held for a while, which is cut off again.
    whole = math.gcd(rate, wanted)
    often = math.ceil(whole / 20)
    skip, held = often * wanted // whole, often * rate // whole
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=wanted)
    sent, at = 0, -skip

    def pieces() -> Iterator[Tensor]:
        yield given[:1].expand(held)
        yield from given.split(BLOCK)
        yield given[-1:].expand(held)

    def frames() -> Iterator[Any]:
        nonlocal sent
        for piece in pieces():
            check_interrupted()
            frame = av.AudioFrame.from_ndarray(piece.contiguous()[None].numpy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, sent, Fraction(1, rate)
            sent += piece.shape[0]
            yield frame
        yield None

    try:
        for frame in frames():
            for chunk in resampler.resample(frame):
                part = torch.from_numpy(chunk.to_ndarray()[0])
                part, place = part[max(-at, 0) :], max(at, 0)
                at += chunk.samples
                end = min(place + part.shape[0], made.shape[0])
                if place < end:
                    made[place:end] = part[: end - place]
    except (av.FFmpegError, ValueError) as error:
        raise SoraError(f"Sound of {rate} samples per second cannot be brought to {wanted}: use 48000.") from error
    made[max(at, 0) :] = 0


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
