"""The executor: order, caching, lazy inputs, lists, interrupts, errors."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from host_support import api, make_host, pack_module

from sora_core.cli.main import _words_for
from sora_core.errors import NO_MEMORY, SoraError
from sora_core.host.run.executor import NodeError, _explain
from sora_core.pipeline.progress import Interrupted


@pytest.fixture
def host(tmp_path: Path):
    return make_host(tmp_path)


def written(result) -> list[str]:
    return [path.read_text().split()[0] for path in result.files]


SUM = api(
    n1=("TinyNumber", {"value": 3}),
    n2=("TinyAdd", {"a": ["1", 0], "b": 4}),
    n3=("TinyWrite", {"value": ["2", 0], "filename_prefix": "out/sum"}),
)


def test_runs_in_order_and_names_files_as_comfyui_does(host):
    result = host.run(SUM)
    assert written(result) == ["7"]
    assert result.files[0] == (host.folders.output / "out" / "sum_00001_.txt").resolve()
    assert "['1', '2', '3'] 3" in result.files[0].read_text()  # hidden prompt and unique_id
    assert set(result.timings) == {"1", "2", "3"}


def test_optional_inputs_are_left_to_the_node(host):
    without = api(n1=("TinyAdd", {"a": 1}), n2=("TinyWrite", {"value": ["1", 0]}))
    assert written(host.run(without)) == ["101"]


def test_second_run_reuses_what_did_not_change(host):
    runs = pack_module(host).RUNS
    host.run(SUM)
    host.run(SUM, ["2.b=5"])
    assert runs == [("TinyNumber", 3), ("TinyAdd", 3, 4), ("TinyAdd", 3, 5)]
    again = host.run(SUM, ["2.b=5"])
    assert set(again.cached) == {"1", "2", "3"} and written(again) == ["8"]


def test_a_deleted_file_is_saved_again(host):
    first = host.run(SUM)
    first.files[0].unlink()
    assert "3" not in (second := host.run(SUM)).cached
    assert written(second) == ["7"]


def test_a_changed_fingerprint_runs_the_node_and_what_follows(host):
    module = pack_module(host)
    flow = api(
        n1=("TinyStamp", {"value": 2}), n2=("TinyAdd", {"a": ["1", 0], "b": 1}), n3=("TinyWrite", {"value": ["2", 0]})
    )
    host.run(flow)
    assert len(host.run(flow).cached) == 3
    module.STATE["stamp"] += 1
    assert host.run(flow).cached == []
    module.STATE["stamp"] = float("nan")
    host.run(flow)
    assert host.run(flow).cached == []


def test_lazy_inputs_run_only_when_asked_for(host):
    flow = api(
        n1=("TinyNumber", {"value": 1}),
        n2=("TinyNumber", {"value": 2}),
        n3=("TinyPick", {"first": False, "a": ["1", 0], "b": ["2", 0]}),
        n4=("TinyWrite", {"value": ["3", 0]}),
    )
    assert written(host.run(flow)) == ["2"]
    assert pack_module(host).RUNS == [("TinyNumber", 2)]


def test_async_nodes(host):
    flow = api(n1=("TinyWait", {"value": 6}), n2=("TinyWrite", {"value": ["1", 0]}))
    assert written(host.run(flow)) == ["6"]


def test_lists_map_over_nodes_and_collect(host):
    flow = api(
        n1=("TinyList", {}),
        n2=("TinyAdd", {"a": ["1", 0], "b": 10}),
        n3=("TinySum", {"values": ["2", 0]}),
        n4=("TinyWrite", {"value": ["3", 0]}),
    )
    assert written(host.run(flow)) == ["36"]


def test_growing_inputs_arrive_as_a_dict(host):
    flow = api(
        n1=("TinyNumber", {"value": 1}),
        n2=("TinyNumber", {"value": 2}),
        n3=("TinyGather", {"items.item0": ["1", 0], "items.item1": ["2", 0]}),
        n4=("TinyWrite", {"value": ["3", 0]}),
    )
    assert written(host.run(flow)) == ["3"]


def test_dynamic_combo_brings_its_own_options(host):
    flow = api(n1=("TinyMode", {"mode": "noisy", "mode.eta": 0.25}), n2=("TinyWrite", {"value": ["1", 0]}))
    expected = "[('eta', 0.25), ('mode', 'noisy'), ('seed', 3)]"
    assert host.run(flow).files[0].read_text().startswith(expected)
    plain = host.run(flow, ["1.mode=plain"])
    assert plain.files[0].read_text().startswith("[('mode', 'plain')]")


def test_a_chain_of_a_thousand_nodes(host):
    flow = api(n0=("TinyNumber", {"value": 0}))
    for index in range(1, 1001):
        flow[str(index)] = {"class_type": "TinyAdd", "inputs": {"a": [str(index - 1), 0], "b": 1}}
    flow["end"] = {"class_type": "TinyWrite", "inputs": {"value": ["1000", 0]}}
    assert written(host.run(flow)) == ["1000"]


def test_without_a_cache_outputs_are_dropped_when_used_up(tmp_path):
    host = make_host(tmp_path, keep_results=False)
    assert written(host.run(SUM)) == ["7"]
    assert host.run(SUM).cached == []


def test_events_tell_names_and_steps(host):
    told = []
    host.run(
        api(n1=("TinySlow", {"value": 1, "steps": 2}), n2=("TinyWrite", {"value": ["1", 0]})),
        listener=lambda event, data: told.append((event, data)),
    )
    assert [event for event, _ in told] == [
        "execution_start",
        "execution_cached",
        "executing",
        "progress",
        "progress",
        "executed",
        "executing",
        "executed",
        "execution_success",
    ]
    assert told[2][1]["title"] == "TinySlow" and told[2][1]["total"] == 2
    assert (told[4][1]["value"], told[4][1]["max"]) == (2, 2)


def test_interrupt_stops_within_a_node_and_leaves_no_file(host):
    flow = api(n1=("TinySlow", {"value": 1, "steps": 10_000}), n2=("TinyWrite", {"value": ["1", 0]}))
    told = []

    def listener(event, data):
        told.append(event)
        if event == "progress" and data["value"] == 2:
            threading.Thread(target=host.executor.interrupt).start()

    with pytest.raises(Interrupted):
        host.run(flow, listener=listener)
    assert told[-1] == "execution_interrupted" and told.count("progress") < 50
    assert not list(host.folders.output.rglob("*.txt"))
    assert written(host.run(SUM)) == ["7"]  # the next run is not stopped


def test_one_run_stops_and_another_on_the_same_host_goes_on(host):
    stop, both = threading.Event(), threading.Barrier(2, timeout=60)
    flow = api(n1=("TinySlow", {"value": 1, "steps": 10}), n2=("TinyWrite", {"value": ["1", 0]}))

    def meet(event, data):
        if event == "progress" and data["value"] == 1:
            both.wait()

    def meet_and_stop(event, data):
        meet(event, data)
        if event == "progress":
            stop.set()

    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(host.run, flow, listener=meet_and_stop, stop=stop)
        other = pool.submit(host.run, flow, listener=meet)
        assert isinstance(stopped.exception(), Interrupted)
        assert written(other.result()) == ["1"]


def test_a_run_that_begins_does_not_undo_an_interrupt(host):
    told = []

    def listener(event, data):
        told.append(event)
        if event == "progress" and data["value"] == 1:
            host.executor.interrupt()
            assert written(host.run(SUM)) == ["7"]

    flow = api(n1=("TinySlow", {"value": 1, "steps": 100}), n2=("TinyWrite", {"value": ["1", 0]}))
    with pytest.raises(Interrupted):
        host.run(flow, listener=listener)
    assert told.count("progress") == 1


def test_interrupt_stops_all_runs(host):
    both = threading.Barrier(2, timeout=60)

    def listener(event, data):
        if event == "progress" and data["value"] == 1 and both.wait() == 0:
            host.executor.interrupt()

    flow = api(n1=("TinySlow", {"value": 1, "steps": 500}), n2=("TinyWrite", {"value": ["1", 0]}))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(host.run, flow, listener=listener) for _ in range(2)]
        assert all(isinstance(run.exception(), Interrupted) for run in runs)


def test_a_run_that_was_stopped_before_it_began_runs_no_node(host):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        host.run(SUM, stop=stop)
    assert pack_module(host).RUNS == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("Allocation on device"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_memory_that_ran_out_is_told_in_the_same_words_by_a_node_and_the_command(error):
    assert _explain(error) == _words_for(error) == NO_MEMORY
    assert "memory" not in _explain(RuntimeError("shapes differ"))


def test_errors_name_the_node(host):
    flow = api(n7=("TinyFail", {"value": 1, "how": "user"}), n8=("TinyWrite", {"value": ["7", 0]}))
    with pytest.raises(NodeError, match=r"^Node 7 \(TinyFail\): the value is not to my"):
        host.run(flow)
    with pytest.raises(SoraError, match="ZeroDivisionError") as failed:
        host.run(flow, ["7.how=bug"])
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_a_blocking_node_skips_what_follows(host):
    flow = api(
        n1=("TinyFail", {"value": 1, "how": "block"}),
        n2=("TinyAdd", {"a": ["1", 0]}),
        n3=("TinyWrite", {"value": ["2", 0]}),
        n4=("TinyWrite", {"value": 5, "filename_prefix": "other"}),
    )
    result = host.run(flow)
    assert result.blocked["3"] == "it looked away"
    assert [path.name for path in result.files] == ["other_00001_.txt"]


def test_runs_inside_a_running_event_loop(host):
    async def notebook():
        return host.run(SUM)

    result = asyncio.run(notebook())
    assert written(result) == ["7"] and result.files[0].is_relative_to(host.folders.output)
