"""Calls to servers that answer badly: each ends in time, with a reason, for every caller."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sora_core.calls import CallError, post
from sora_core.errors import SoraError
from sora_core.interrupt import Interrupted, asking
from sora_core.language import language_model
from sora_core.provenance.credentials import stamp
from sora_core.safety.prompts import guards

SOON = 0.3  # seconds that a caller gives
BUSY = 20.0  # seconds more that a busy machine may take: most of these answers have no end
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer every connection with `answer`; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(asked: socket.socket) -> None:
        with asked:
            try:
                read_request(asked)
                answer(asked)
            except OSError:
                pass  # the caller has gone

    def serve() -> None:
        while True:
            try:
                asked, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(asked,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def read_request(asked: socket.socket) -> None:
    """Read all of a request: what is closed with some of it unread is reset, and an answer on its way with it."""
    got = b""
    while b"\r\n\r\n" not in got and (part := asked.recv(1 << 16)):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    told = re.search(rb"(?i)content-length:\s*(\d+)", head)
    left = int(told[1]) - len(body) if told else 0
    while left > 0 and (part := asked.recv(1 << 16)):
        left -= len(part)


def for_ever(asked: socket.socket, first: bytes, piece: bytes, pause: float = 0.02) -> None:
    asked.sendall(first)
    while True:
        asked.sendall(piece)
        time.sleep(pause)


def silent(asked):
    time.sleep(60)


def drips_its_status(asked):
    for_ever(asked, b"HTTP/1.1 200 ", b"O")


def drips_headers(asked):
    for_ever(asked, OK, b"X: y\r\n", 0.002)


def drips_one_header(asked):
    for_ever(asked, OK + b"X: ", b"y")


def has_headers_without_end(asked):
    for_ever(asked, OK, b"X: y\r\n" * 1000, 0)


def goes_on_and_on(asked):
    for_ever(asked, b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0)


def drips_its_body(asked):
    for_ever(asked, OK + b"Content-Length: 100000\r\n\r\n", b" ")


def drips_chunks(asked):
    for_ever(asked, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")


def says_no_and_drips(asked):
    for_ever(asked, b"HTTP/1.1 500 Sorry\r\n\r\n", b" ")


LATE = [silent, drips_its_status, drips_one_header, drips_its_body, drips_chunks, says_no_and_drips, goes_on_and_on]


def has_no_end(asked):
    for_ever(asked, OK + b"\r\n", b" " * 65536, 0)


def has_one_long_header(asked):
    asked.sendall(OK + b"X: " + b"y" * 200_000)


def breaks_off(asked):
    asked.sendall(OK + b"Content-Length: 100\r\n\r\n{}")


def says_nothing(asked):
    pass


def is_no_http(asked):
    asked.sendall(b"220 mail.example ESMTP\r\n")


WRONG = [has_no_end, has_headers_without_end, has_one_long_header, breaks_off, says_nothing, is_no_http, drips_headers]


def name(kind: Callable) -> str:
    return kind.__name__


def call(address: str, seconds: float = SOON):
    return post(address, b"{}", {}, seconds=seconds)


@pytest.mark.parametrize("kind", LATE, ids=name)
def test_an_answer_that_takes_for_ever_ends_in_time(kind):
    with served(kind) as address:
        began = time.monotonic()
        with pytest.raises(CallError, match=f"within {SOON}") as caught:
            call(address)
    assert caught.value.late and time.monotonic() - began < SOON + BUSY


@pytest.mark.parametrize("kind", WRONG, ids=name)
def test_an_answer_that_is_none_or_too_long_is_refused(kind):
    with served(kind) as address, pytest.raises(CallError) as caught:
        call(address, 20)
    assert not caught.value.late and str(caught.value)


@pytest.mark.parametrize(
    "address", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "http://", "x", "http://["]
)
def test_only_http_is_called(address):
    with pytest.raises(CallError):
        call(address)


def test_no_redirect_is_followed_and_nothing_is_unpacked():
    packed = gzip.compress(b" " * 10_000_000)

    def bomb(asked):
        asked.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)

    def wanders(asked):
        asked.sendall(b"HTTP/1.1 307 Over there\r\nLocation: http://127.0.0.1:9/\r\n\r\n")

    with served(bomb) as address:
        assert call(address, 5).body == packed
    with served(wanders) as address:
        answer = call(address, 5)
    assert answer.status == 307 and not answer.good


def test_a_connection_is_ended_when_its_time_is_over():
    ended = threading.Event()

    def listens(asked):
        asked.settimeout(60)
        while asked.recv(100):
            pass
        ended.set()

    with served(listens) as address:
        with pytest.raises(CallError):
            call(address)
        assert ended.wait(BUSY)


def test_who_stops_the_work_does_not_wait_for_a_server():
    def stop() -> None:
        raise Interrupted

    with served(silent) as address, asking(stop), pytest.raises(Interrupted):
        call(address, 60)


# Every caller keeps to it. Nobody may call past `calls`: the house looks for that.
@pytest.mark.parametrize("kind", [drips_its_body, has_no_end, goes_on_and_on], ids=name)
def test_every_caller_stops_in_time(kind, monkeypatch, tmp_path):
    from PIL import Image

    from sora_core.provenance.credentials.history import History
    from sora_core.provenance.credentials.keys import load_signer
    from sora_core.provenance.credentials.sign import sign

    monkeypatch.setattr(guards, "TIMEOUT", SOON)
    monkeypatch.setattr(stamp, "PATIENCE", SOON)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with served(kind) as address:
        began = time.monotonic()
        with pytest.raises(SoraError, match="moderation service"):
            guards.ModerationService(address).judge("a cat")
        with pytest.raises(SoraError, match="The language model at"):
            language_model.reword("a cat on a beach", address, seconds=SOON)
        with pytest.raises(stamp.StampError, match=f"{address} gave no time stamp .*(within {SOON}|more than 65536)"):
            sign(tmp_path / "a.png", tmp_path / "b.png", History(), load_signer(), title="b.png", time_stamp=address)
    assert time.monotonic() - began < 3 * SOON + BUSY


@pytest.mark.parametrize("kind", ["text/html", "", "application/json"])
def test_an_authority_that_answers_something_else_gave_no_stamp(kind, monkeypatch):
    def other(asked):
        asked.sendall(OK + f"Content-Type: {kind}\r\nContent-Length: 4\r\n\r\nwhat".encode())

    with served(other) as address, stamp.relay(address) as relay:
        assert post(relay.address, b"?", {}, seconds=5).status == 502
        assert "no time stamp" in relay.failed
        assert post(relay.address.rpartition("/")[0] + "/guessed", b"?", {}, seconds=5).status == 404
