"""What the official frontend asks for first, of the pack that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from studio_support import Client, serving

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    from sora_core.host.packs import own_pack

    own = own_pack()
    base = tmp_path_factory.mktemp("page")
    with serving(base, page=True, packs=[own], samples=own / "workflows" / "inputs") as made:
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port)


def test_the_requests_of_its_start_are_all_answered(client):
    for path in (
        "/", "/user.css", "/api/userdata/user.css", "/api/features", "/api/users", "/api/system_stats", "/api/settings",
        "/api/userdata?dir=workflows&recurse=true&split=false&full_info=true", "/api/i18n", "/api/extensions",
        "/api/userdata?dir=subgraphs&recurse=true&split=false&full_info=true", "/api/global_subgraphs",
        "/api/userdata/comfy.templates.json", "/api/object_info", "/api/jobs?status=in_progress,pending&limit=200",
        "/api/jobs?status=completed,failed,cancelled&limit=64&offset=0", "/api/node_replacements", "/api/embeddings",
        "/api/workflow_templates", "/templates/index.json", "/templates/index_logo.json", "/api/experiment/models",
        "/templates/index.zh.json", "/templates/index.pt-BR.json",
        "/internal/folder_paths", "/scripts/app.js", "/extensions/core/widgetInputs.js",
    ):  # fmt: skip
        assert client.get(path).status == 200, path
    assert client.get("/api/features").json["assets"] is False
    assert client.get("/api/users").json == {"storage": "server", "migrated": True}


def test_the_page_is_asked_for_anew_and_what_it_loads_is_kept(client):
    assert client.get("/").headers["Cache-Control"] == "no-store"
    asset = client.get("/").body.split(b'src="./')[1].split(b'"')[0].decode()
    script = client.get(f"/{asset}")
    assert "immutable" in script.headers["Cache-Control"] and script.headers["Content-Type"] == "text/javascript"
    info = client.get("/object_info")
    again = client.get("/object_info", If_None_Match=info.headers["ETag"])
    assert again.status == 304 and again.body == b""


def test_the_first_template_is_ours_and_each_is_shown_once(client):
    (started,) = client.get("/templates/index.json").json
    assert started["title"] == "Getting Started" and started["isEssential"]
    names = [template["name"] for template in started["templates"]]
    assert names[0] == "text_to_video" and len(names) == len(set(names)) >= 10
    assert client.get("/workflow_templates").json == {}
    known = client.get("/object_info").json.keys() | {"MarkdownNote", "Note", "Reroute", "PrimitiveNode"}
    for name in names:
        graph = client.get(f"/templates/{name}.json").json
        inner = (graph.get("definitions") or {}).get("subgraphs") or []
        subgraphs = {sub["id"] for sub in inner}
        assert {node["type"] for one in (graph, *inner) for node in one["nodes"]} <= known | subgraphs, name
        assert client.get(f"/templates/{name}-1.jpg").body[:3] == b"\xff\xd8\xff"
        assert client.get(f"/api/workflow_templates/Sora/{name}.json").json == graph
    assert client.get("/templates/wan22_5b_extend.json").status == 404


def test_files_that_templates_name_are_there(client):
    info = client.get("/object_info").json
    for template in client.get("/templates/index.json").json[0]["templates"]:
        for node in client.get(f"/templates/{template['name']}.json").json["nodes"]:
            if node["type"] in ("LoadImage", "LoadVideo"):
                (entry,) = info[node["type"]]["input"]["required"].values()
                assert node["widgets_values"][0] in entry[1]["options"], template["name"]
                assert client.get(f"/view?type=input&filename={node['widgets_values'][0]}").status == 200


def test_the_pack_is_named_and_brings_its_help_and_its_scripts(client):
    info = client.get("/object_info").json
    ours = {node: about for node, about in info.items() if node.startswith("Sora")}
    assert {about["python_module"] for about in ours.values()} == {"custom_nodes.Sora"} and len(ours) > 20
    for node in ours:
        for language in ("en", "zh"):
            assert client.get(f"/extensions/Sora/docs/{node}/{language}.md").body.startswith(b"#"), node
    listed = client.get("/extensions").json
    assert listed == [
        f"/extensions/Sora/{path.relative_to(ROOT / 'web').as_posix()}" for path in sorted((ROOT / "web").rglob("*.js"))
    ]
    assert all(client.get(path).headers["Content-Type"] == "text/javascript" for path in listed)


def test_translations_and_blueprints_come_along(client):
    words = client.get("/i18n").json
    assert {"en", "zh"} <= words.keys() and words["zh"]["nodeDefs"]["SoraSampler"] != words["en"]["nodeDefs"][
        "SoraSampler"
    ]
    listed = client.get("/global_subgraphs").json
    assert {entry["info"]["node_pack"] for entry in listed.values()} == {"custom_nodes.Sora"}
    for key, entry in listed.items():
        whole = client.get(f"/global_subgraphs/{key}").json
        assert json.loads(whole["data"])["definitions"] and whole["name"] == entry["name"]
    assert client.get("/global_subgraphs/none").json is None


def test_object_info_is_quick(client):
    import time

    client.get("/object_info")
    began = time.process_time()  # of client and server: what other processes take does not count
    for _ in range(5):
        client.get("/object_info")
    assert (time.process_time() - began) / 5 < 0.5
