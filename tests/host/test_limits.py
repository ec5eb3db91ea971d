"""Cost grows with a graph no faster than the graph, and what is too much is refused before it is done."""

from __future__ import annotations

import contextlib
import time

import pytest
from hostile_inputs import chain, doubling, many_prompts, reroutes, subgraphs
from hostile_shared import node
from large_graphs import LARGE, groups, wide_instances
from PIL import Image

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.graph.problems import WorkflowError
from sora_core.host.graph.scopes import MAX_DETAILS
from sora_core.host.graph.workflow import MAX_NODES
from sora_core.host.host import Host

CUT = {"batch_index": 0, "length": 1}
START = node("LoadImage", image="ok.png")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    (folder / "input").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "input" / "ok.png")
    return Host(Folders(folder / "input", folder / "output", folder / "temp"), keep_results=False)


def spent(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def planned_or_refused(host, graph):
    with contextlib.suppress(WorkflowError):  # what cannot run is told of each place, which takes time too
        host.plan(host.load(graph))


@pytest.mark.slow
@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(lambda n: chain("ImageFromBatch", "image", n, START, **CUT), id="chain"),
        pytest.param(lambda n: chain("PreviewAny", "source", n, node("PrimitiveInt", value=1)), id="types that match"),
        pytest.param(lambda n: reroutes(n // 2, n // 2), id="reroutes that many links lead through"),
        *(pytest.param(drawn, id=name) for name, drawn in LARGE.items()),
    ],
)
def test_planning_takes_time_in_proportion_to_the_nodes(host, graph):
    def planned(count: int) -> float:
        drawn = graph(count)
        return min(spent(lambda: planned_or_refused(host, drawn)) for _ in range(2))

    few, many = planned(1_200), planned(9_600)
    assert many < 24 * max(few, 0.02)  # eight times the nodes; as a square it would be 64 times


def test_texts_are_judged_in_time_with_many_prompts(host, monkeypatch):
    from sora_core.host.run import guard

    monkeypatch.setattr(guard.gate, "enforced", lambda: object())
    monkeypatch.setattr(guard.gate, "check_text", lambda text, told=None: None)

    def judged(count: int) -> float:
        plan = host.plan(host.load(many_prompts(count)))
        return spent(lambda: guard.check_plan(plan))

    monkeypatch.setattr(guard.gate, "prepare", lambda: None)
    assert judged(1_600) < 24 * max(judged(200), 0.02)


def test_a_long_chain_of_conditioning_is_followed(host):
    from sora_core.host.run.guard import _directions

    plan = host.plan(host.load(chain("ImageFromBatch", "image", 3_000, START, **CUT)))
    assert len(_directions(plan).fed) == 3_001  # a call a node would be deeper than Python's stack


@pytest.mark.parametrize(("count", "instances"), [(40, 2), (90, 2), (6, 10)])
def test_subgraphs_of_subgraphs_have_a_limit(host, count, instances):
    with pytest.raises(SoraError, match=f"more than {MAX_NODES} nodes"):
        host.load(subgraphs(count, instances))


@pytest.mark.parametrize("graph", [wide_instances(9_000, 100), groups(9_000, 100)], ids=["subgraph", "group node"])
def test_wide_subgraphs_and_groups_have_a_limit(host, graph):
    def refused():
        with pytest.raises(SoraError, match=f"more than .*{MAX_DETAILS} inputs, outputs and values"):
            host.load(graph)

    assert spent(refused) < 2


@pytest.mark.slow
def test_a_workflow_has_a_limit_too(host):
    with pytest.raises(SoraError, match=f"100001 nodes; at most {MAX_NODES}"):
        host.plan(host.load(chain("ImageFromBatch", "image", 100_000, START, **CUT)))


@pytest.mark.parametrize("count", [20, 40, 3_000])
def test_doubling_batches_are_refused_before_the_run(host, count):
    told = []
    words = r"(?s)Node \d+ \(ImageBatch\): \d+ frames of 64x64 need .*GiB"
    with pytest.raises(WorkflowError, match=words) as error:
        host.run(host.load(doubling(count)), listener=lambda event, data: told.append(event))
    (problem,) = error.value.problems
    assert not told and problem.node_type == "ImageBatch" and f"Node {problem.node_id} " in problem.message


def test_a_long_ring_is_told_in_a_line(host):
    ring = chain("ImageFromBatch", "image", 5_000, node("ImageFromBatch", image=["4999", 0], **CUT), **CUT)
    with pytest.raises(SoraError, match=r"The links form a cycle \(4999 -> 4998 .* 4993 more.*: remove one") as told:
        host.plan(host.load(ring))
    assert len(str(told.value)) < 300


def test_doublings_that_fit_are_run(host):
    assert host.run(host.load(doubling(3))).outputs["end"]


def test_a_batch_of_unknown_size_is_refused_where_it_is_made(host, monkeypatch):
    from sora_core.host.run import memory
    from sora_core.media import sizes

    monkeypatch.setattr(memory, "_given", lambda planned, known: None)
    monkeypatch.setattr(sizes, "MAX_BYTES", 1 << 20)
    with pytest.raises(SoraError, match=r"ImageBatch.*32 frames of 64x64"):
        host.run(host.load(doubling(6)))


@pytest.mark.parametrize("size", [{"width": 16_384, "height": 16_384, "batch_size": 64}])
def test_empty_latents_of_core_are_refused(host, size):
    graph = {"1": node("EmptyLatentImage", **size), "2": node("PreviewAny", source=["1", 0])}
    with pytest.raises(SoraError, match="64 frames of 16384x16384 need"):
        host.run(host.load(graph))
