"""What happens to pages that are slow, gone or too many."""

from __future__ import annotations

import asyncio
import socket
import uuid
from urllib.parse import urlsplit

import pytest
from host_support import api
from studio_support import Client, serving, until

from sora_core.host.web import live
from sora_core.host.web.app import Settings, Studio, run


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port, uuid.uuid4().hex)


@pytest.mark.parametrize(("limit", "most"), [("MOST_WAITING", 50), ("MOST_BYTES", 10_000_000)])
def test_who_is_too_far_behind_is_let_go_and_the_others_hear_on(studio, client, monkeypatch, limit, most):
    monkeypatch.setattr(live, limit, most)
    with client.connect() as slow, client.connect() as page:
        slow.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        big = "x" * 200_000
        for number in range(200):
            studio.hub.call(studio.hub._begin, client.name)
            studio.hub.tell("execution_start", {"prompt_id": str(number), "text": big})
            page.until("execution_start", prompt_id=str(number))
        until(lambda: len(studio.hub.clients) < 2, "the one that is behind is gone")
        assert [each.name for each in studio.hub.clients] == [client.name]
    studio.hub.begin(None)


def test_newer_progress_takes_the_place_of_older(studio):
    one = live.Client("x", None, None)
    one.put("a")
    one.replace("progress", "1")
    one.replace("preview", b"old")
    one.replace("progress", "2")
    one.replace("preview", b"new")
    assert one.newest == {"progress": "2", "preview": b"new"}
    one.put("executing")  # of the next node: a preview of the one before must not come after it
    assert list(one.waiting) == ["a", "2", "executing"] and one.newest == {}


def test_what_was_sent_counts_no_longer(studio, client):
    with client.connect() as page:
        studio.hub.call(studio.hub._begin, client.name)
        studio.hub.update("progress", {"value": 1})
        studio.hub.tell("execution_start", {"text": "x" * 1000})
        page.until("execution_start")
        (one,) = [each for each in studio.hub.clients if each.name == client.name]
        assert one.size == 0 and not one.waiting
    studio.hub.begin(None)


def test_there_is_an_end_to_pages(studio, client, monkeypatch):
    until(lambda: not studio.hub.clients, "pages of other tests are gone")
    monkeypatch.setattr(live, "MOST_CLIENTS", 1)
    with client.connect() as first, client.connect() as second:
        assert (first.status, second.status) == (101, 503)


def test_what_a_page_says_beyond_its_features_is_passed_over(client):
    with client.connect() as page:
        for odd in ([], 3, {"type": "feature_flags"}, {"type": "feature_flags", "data": [1]}, {"type": 7}):
            page.say(odd)
        page.say({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        told = page.until("feature_flags")
        assert told[-1]["data"]["assets"] is False and told[-1]["data"]["extension"]["sora"]["requeue"]
        prompt = api(n1=("TinyFilm", {"steps": 20}), n2=("TinyWrite", {"value": ["1", 0]}))
        assert any(isinstance(m, bytes) and m[:4] == b"\0\0\0\4" for m in page.ended(client.queue(prompt)))


def test_a_plain_request_for_the_socket_is_told_so(client):
    assert client.get("/ws").status == 426 and client.ask("HEAD", "/ws").status == 426


def test_who_is_not_let_in_is_shown_out_and_the_others_stay(tmp_path, monkeypatch):
    from sora_core.host.web import security

    monkeypatch.setattr(security, "PATIENCE", 0.2)
    studio = Studio(Settings(tmp_path, address="", port=0, page=False, packs=[]))

    async def visit() -> list[bool]:
        told, stopped = asyncio.get_running_loop().create_future(), asyncio.Event()
        server = asyncio.create_task(run(studio, stopped, told.set_result))
        opened = urlsplit(await told)
        port = opened.port
        assert opened.hostname == "127.0.0.1"
        ask = f"GET /users HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        known = f"{ask}Authorization: Bearer {studio.gate.token}\r\n\r\n"
        ends, writers = [], []
        for said in ("", "GET / HT", f"{ask}\r\n", known, f"{known}{ask}"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said.encode())
            ends.append(reader)
            writers.append(writer)  # which closes what it wrote to when it is forgotten
        reading = [asyncio.create_task(end.read()) for end in ends]  # up to its end
        await asyncio.wait(reading[:3], timeout=20)
        await asyncio.sleep(1)  # five times what they were given: who is let in stays beyond it
        closed = [task.done() for task in reading]
        stopped.set()
        await server
        await asyncio.wait(reading, timeout=20)
        return closed

    assert asyncio.run(visit()) == [True, True, True, False, False]


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "::1", "localhost", "127.0.0.1"])
def test_the_address_that_is_told_can_be_opened(tmp_path, address):
    """At all addresses a port of 0 becomes one port for each kind of address."""
    if ":" in address:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine knows no IPv6")
    studio = Studio(Settings(tmp_path, address=address, port=0, page=False, packs=[]))

    async def visit() -> None:
        told, stopped = asyncio.get_running_loop().create_future(), asyncio.Event()
        server = asyncio.create_task(run(studio, stopped, told.set_result))
        opened = urlsplit(await told)
        _, writer = await asyncio.open_connection(opened.hostname, opened.port)
        writer.close()
        stopped.set()
        await server

    asyncio.run(visit())
