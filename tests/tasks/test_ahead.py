"""Segments that are made ahead while what is there is decoded: the same file, and both at the same time."""

from __future__ import annotations

import threading

import pytest
import torch
from long_support import Stop, same_video, stop_after, toy_roller

from sora_core.errors import SoraError
from sora_core.interrupt import asking
from sora_core.tasks.long.ahead import made_ahead
from sora_core.tasks.long.render import Job, render
from sora_core.tasks.long.rolling import Rolling

ROLLING = Rolling(window=5, context=1, overlap=1, hold=0.2)


def decode(pieces):
    """Frames of 24 x 24 pixels, with a memory of the piece before."""
    last = torch.zeros(1)
    for piece in pieces:
        frames = piece[0, :3].movedim(0, -1).repeat_interleave(4, 1).repeat_interleave(4, 2)
        yield (frames / 8 + 0.5 + 0.1 * last.mean()).clamp(0, 1)
        last = frames


def job(sample=None):
    roller = toy_roller(ROLLING)
    if sample is not None:
        own = roller.sample
        object.__setattr__(roller, "sample", lambda *args: sample(own, *args))
    return Job(roller, 14, 8.0, {"model": "toy"})


def test_the_file_is_the_same_and_goes_on_where_it_stopped(tmp_path):
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    render(one, job(), decode)
    with pytest.raises(Stop):
        render(two, job(), decode, progress=stop_after(2), ahead=True)
    assert len(list((tmp_path / ".two.segments").glob("segment_*"))) == 2 and not two.exists()
    told = []
    render(two, job(), decode, progress=lambda done: told.append(done.segment), ahead=True)
    assert same_video(one, two) and told[0] == 2 and told[-1] == job().segments
    assert not [t for t in threading.enumerate() if t.daemon and "_make" in t.name]


def test_a_segment_is_sampled_while_the_one_before_is_decoded(tmp_path):
    """The third call of the sampler waits for the decoder to begin, which waits for that call to end."""
    begun, ended, waited, calls = threading.Event(), threading.Event(), [], iter(range(100))

    def sample(own, *args):
        call = next(calls)
        if call == 2:
            waited.append(begun.wait(10))
        made = own(*args)
        if call == 2:
            ended.set()
        return made

    def slowly(pieces):
        for piece in pieces:
            if not begun.is_set():
                begun.set()
                waited.append(ended.wait(10))
            yield from decode([piece])

    render(tmp_path / "a.mp4", job(sample), slowly, ahead=True)
    assert waited == [True, True]


def test_what_goes_wrong_in_sampling_is_told_with_what_is_kept(tmp_path):
    calls = iter(range(20))

    def sample(own, *args):
        if next(calls) == 4:
            raise SoraError("Another process has ended.")
        return own(*args)

    with pytest.raises(SoraError, match=r"has ended\. \d finished segments are kept"):
        render(tmp_path / "a.mp4", job(sample), decode, ahead=True)
    assert not (tmp_path / "a.mp4").exists()


def test_a_stop_is_heard_while_nothing_comes():
    begun, let_go = threading.Event(), threading.Event()

    def made():
        begun.set()
        let_go.wait(20)
        yield 1

    def check():
        if begun.is_set():
            let_go.set()
            raise Stop

    with asking(check), pytest.raises(Stop), made_ahead(made) as pieces:
        list(pieces)
