"""Names of files: values of nodes and dates in them, and what no name may hold."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from drawn_graphs import canvas, node, refusal, write
from host_support import api, make_host

from sora_core.host.packs import own_pack

GOOD = {"value": ["1", 0]}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = make_host(Path(tmp_path_factory.mktemp("host")))
    host.registry.load_pack(own_pack())
    return host


def name_of(host, prefix, settings=()):
    nodes = [
        node(1, "TinyNumber", [3], title="My number", properties={"Node name for S&R": "Number"}),
        node(2, "TinySeeded", [42, "fixed", "fancy", 8.0], [("scale", "FLOAT", 2, True)]),
        node(3, "PrimitiveNode", ["a/b:c"], title="Word"),
        write(1, prefix=prefix),
    ]
    return host.run(host.load(canvas(nodes, [[1, 1, 0, 9, 0, "INT"]]), settings)).files[0].name


def test_file_names_ask_for_values_of_nodes(host):
    assert name_of(host, "a%Number.value%_%TinySeeded.kind%_%TinySeeded.scale%").startswith("a3_fancy_8_00")
    assert name_of(host, "b%My number.value%%Word.value%").startswith("b3a_b_c_00")
    assert name_of(host, "c%Number.value%", ["1.value=5"]).startswith("c5_00")
    # What names nothing stays, as in the frontend.
    assert name_of(host, "d%Number.valeu%%Nobody.value%").startswith("d%Number.valeu%%Nobody.value%_00")


def test_dates_of_file_names_as_the_frontend_writes_them(host, monkeypatch):
    from sora_core.host.desk import folders

    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 3, 9, 7, 5, 2)

    monkeypatch.setattr(folders, "datetime", Then)
    made = folders.expand_prefix("%date:yyyy-M-d%|%date:yy-MM-dd hh:mm:ss%|%date:h:m:s%|%date:yyy%|%date:yyyyMMdd%")
    assert made == "2026-3-9|26-03-09 07:05:02|7:5:2|yyy|20260309"


BAD_NAMES = ["a\nb", "a\x1b[31mred", "\ud800", "a\x7f", "a\x9bb", "a\u202egnp.exe"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_command_a_terminal_are_refused(host, name):
    for kind, inputs in (("SaveImage", {"images": ["1", 0]}), ("SoraSaveVideo", {"images": ["1", 0], "fps": 8})):
        flow = api(n1=("TinyImage", {}), n2=(kind, {**inputs, "filename_prefix": name}))
        message = refusal(host, flow)
        assert "control character" in message and message.isprintable(), message


def test_a_name_that_leads_out_is_refused_before_the_work(host):
    inputs = {"images": ["1", 0], "fps": 8, "filename_prefix": "../../x"}
    assert "leads out" in refusal(host, api(n1=("TinyImage", {}), n2=("SoraSaveVideo", inputs)))


def test_messages_hold_no_commands_for_a_terminal(host):
    flow = api(n1=("TinyNumber", {"value": 99}), n2=("TinyWrite", GOOD))
    flow["1"]["_meta"] = {"title": "a\x1b]0;title\x07b"}
    assert "\x1b" not in refusal(host, flow) and "\\x1b" in refusal(host, flow)
