"""Every route, with whatever may come: no fault of the server, no file from outside."""

from __future__ import annotations

import json
import os
import re

import pytest
from host_support import api
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studio_support import Client, serving

SECRET = "nobody may read this"
REQUESTS = int(os.environ.get("SORA_FUZZ", "500"))

QUERIES = ["filename", "type", "subfolder", "preview", "channel", "dir", "recurse", "full_info", "overwrite", "split"]
CALM: dict = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
QUERIES += ["status", "limit", "offset", "max_items", "clientId", "sort_by", "sort_order", "workflow_id", "id"]

HEADERS = ["Origin", "Range", "If-None-Match", "If-Range", "If-Modified-Since", "Accept-Encoding", "Cookie"]
HEADERS += ["Authorization", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Upgrade", "Connection", "Sec-WebSocket-Key", "Host"]
ODD = ["null", "http://[", "bytes=9-1", "bytes=-", "bytes=0-1,3-4", "*", "gzip;q=x", "a=b;;=", "Bearer", "Bearer \xff"]
ODD += ["navigate", "Thu, 99 Foo 2026", "cross-site", "websocket", "Upgrade", "127.0.0.1", "[::1", "", '"x", W/']

words = st.sampled_from(
    ["..", ".", "%2e%2e", "%00", "a.png", "secret.txt", "input", "output", "temp", "default", "C:", "CON", "link",
     "x" * 300, "Sora", "core", "workflows", "%F0%9F%90%88", "%ff", "%", "0", "-1", "1e999", "text_to_video.json",
     "index.json", "*", " ", "\\"]
)  # fmt: skip
names = st.lists(words | st.text(max_size=8), min_size=1, max_size=4).map("/".join) | st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
links = st.tuples(st.sampled_from(["1", "2", "9", ""]), st.integers(-2, 3)).map(list)
nodes = st.fixed_dictionaries(
    {},
    optional={
        "class_type": st.sampled_from(
            ["TinyNumber", "TinyAdd", "TinyWrite", "TinyMode", "LoadImage", "SaveImage", "PreviewAny", "x"]
        )
        | values,
        "inputs": st.dictionaries(
            st.sampled_from(["value", "a", "b", "image", "images", "source", "filename_prefix", "mode", "x"]),
            values | links,
            max_size=3,
        )
        | values,
        "_meta": values,
    },
)
prompts = st.dictionaries(st.sampled_from(["1", "2", "3", "prompt", "class_type"]), nodes | values, max_size=3)
bodies = st.one_of(
    values,
    st.fixed_dictionaries(
        {"prompt": prompts | values},
        optional={"extra_data": values, "client_id": values, "prompt_id": values, "number": values, "front": values,
                  "partial_execution_targets": values},
    ),
    st.fixed_dictionaries({}, optional={"clear": values, "delete": values, "job_ids": values, "prompt_id": values}),
)  # fmt: skip


def path_of(pattern: str, parts: list[str], query: dict[str, str]) -> str:
    """A path for a route, its variables filled in, as it could stand in a request's first line."""
    fixed = re.split(r"\{[^}]*\}", pattern)
    path = fixed[0] + "".join(part + more for part, more in zip(parts, fixed[1:], strict=False))
    path += "?" * bool(query) + "&".join(f"{name}={value}" for name, value in query.items())
    return "".join(c if 32 < ord(c) < 127 else "".join(f"%{b:02X}" for b in c.encode(errors="replace")) for c in path)


def routes(studio) -> list[tuple[str, str]]:
    found = [(route.method, route.resource.canonical) for route in studio.app.router.routes()]
    return sorted(set(found) - {("HEAD", "/{path}")})


@pytest.mark.slow
def test_no_request_is_a_fault_and_none_reads_what_it_may_not(tmp_path):
    with serving(tmp_path / "base", page=True) as studio:
        (tmp_path / "secret.txt").write_text(SECRET)
        studio.folders.output.mkdir(parents=True, exist_ok=True)
        (studio.folders.output / "link").symlink_to(tmp_path)
        client = Client(studio.port)
        client.wait(client.queue(api(n1=("TinyNumber", {"value": 1}), n2=("TinyWrite", {"value": ["1", 0]}))))
        every = routes(studio)
        assert len(every) > 100

        # A number of requests for each route: one choice of a route would favour the first.
        @settings(max_examples=-(-REQUESTS // len(every)), **CALM)
        @given(
            parts=st.lists(names, min_size=3, max_size=3),
            query=st.dictionaries(st.sampled_from(QUERIES), names | values.map(str), max_size=3),
            body=bodies.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60),
            kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "multipart/form-data", "x"]),
            headers=st.just({}) | st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(ODD), max_size=2),
        )
        def fuzz(method, pattern, parts, query, body, kind, headers):
            path = path_of(pattern, parts, query)
            answer = client.ask(
                method, path, body if method in ("POST", "DELETE") else None, **{"Content-Type": kind, **headers}
            )
            assert answer.status < 500, (method, path, body, answer.body)
            assert SECRET.encode() not in answer.body and b"root:x:0" not in answer.body

        for method, pattern in every:
            fuzz(method, pattern)
        assert (tmp_path / "secret.txt").read_text() == SECRET
        assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "secret.txt"]
