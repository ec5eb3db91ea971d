"""Who is let in, what is served, and that nothing leads out of the folders."""

from __future__ import annotations

import io
import json
import re
import uuid
from pathlib import Path

import pytest
from host_support import api
from PIL import Image
from studio_support import Client, serving

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders, contained
from sora_core.host.desk.places import Places
from sora_core.host.web.security import Gate, is_loopback

SECRET = "nobody may read this"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("studio") / "base", page=True) as made:
        made.folders.output.mkdir(parents=True, exist_ok=True)
        (made.folders.output / "page.html").write_text("<script>alert(1)</script>")
        (made.folders.output / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        (made.folders.output / "clip.mp4").write_bytes(bytes(range(100)))
        Image.new("RGBA", (4, 4), (255, 0, 0, 9)).save(made.folders.output / "red.png")
        outside = made.settings.base.parent / "secret.txt"
        outside.write_text(SECRET)
        for folder in (made.folders.input, made.folders.output, made.settings.base / "user" / "default"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "link.txt").symlink_to(outside)
            (folder / "linked").symlink_to(outside.parent)
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port, uuid.uuid4().hex)


# -- who asks ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("192.168.1.7", 403),
        ("[::1", 403),
        ("localhost.", 403),
    ],
)
def test_a_name_that_is_not_ours_is_refused(client, host, status):
    assert client.get("/users", Host=host).status == status


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://localhost", "http://[", ""]
)
def test_another_sites_page_is_refused(client, method, origin):
    assert client.ask(method, "/settings", b"{}", Origin=origin).status == 403


def test_our_own_page_is_let_in(client):
    assert (
        client.post("/settings", {}, Origin=f"http://127.0.0.1:{client.port}", Sec_Fetch_Site="same-origin").status
        == 200
    )


@pytest.mark.parametrize(
    ("path", "mode", "status"),
    [("/", "navigate", 200), ("/", "no-cors", 403), ("/view", "navigate", 403), ("/ws", "websocket", 403)],
)
def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(client, path, mode, status):
    assert client.get(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode=mode).status == status


def test_a_socket_of_another_site_is_refused(studio):
    with Client(studio.port, headers={"Origin": "http://evil.example"}).connect() as socket:
        assert socket.status == 403


@pytest.mark.parametrize("path", ["/", "/object_info", "/view?filename=red.png", "/nothing/there", "/api/jobs", "/ws"])
def test_every_answer_says_that_it_is_not_to_be_guessed_at_or_framed(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "SAMEORIGIN"
    assert (
        "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        and "connect-src 'self'" in headers["Content-Security-Policy"]
    )
    scripts = re.search(r"script-src ([^;]*)", headers["Content-Security-Policy"])[1]
    assert "'unsafe-inline'" not in scripts and "'unsafe-eval'" not in scripts
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


# -- from other machines -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("remote"), page=True, address="0.0.0.0") as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/users", "/view?filename=x.png", "/ws", "/api/jobs", "/scripts/app.js"])
def test_without_the_token_nothing_is_served(remote, path):
    client = Client(remote.port)
    assert client.get(path).status == 401
    assert client.get(path, Authorization="Bearer wrong", Cookie=f"sora_127001{remote.port}=wrong").status == 401


def test_the_token_of_the_address_becomes_a_cookie(remote):
    client = Client(remote.port)
    answer = client.get(f"/?template=x&token={remote.gate.token}")
    assert answer.status == 303 and answer.headers["Location"] == "/?template=x"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    inside = Client(remote.port, headers={"Cookie": cookie.split(";")[0]})
    assert inside.get("/").status == inside.get("/users").status == 200
    with inside.connect() as socket:
        assert socket.status == 101
    assert client.get("/users", Authorization=f"Bearer {remote.gate.token}").status == 200
    assert client.get(f"/users?token={remote.gate.token}").status == 200


def test_over_the_network_a_text_is_packed_and_says_nothing_of_this_machine(remote):
    client = Client(remote.port, headers={"Authorization": f"Bearer {remote.gate.token}"})
    assert client.get("/extensions/core/widgetInputs.js", Accept_Encoding="gzip").status == 200
    assert client.get("/object_info", Accept_Encoding="gzip").headers["Content-Encoding"] == "gzip"
    prompt = api(n1=("LoadImage", {"image": "missing.png"}), n2=("PreviewImage", {"images": ["1", 0]}))
    refused = client.post("/prompt", {"prompt": prompt})
    assert refused.status == 400 and b"missing.png" in refused.body
    prompt = api(n1=("TinyFail", {"how": "bug"}), n2=("TinyWrite", {"value": ["1", 0]}))
    failed = client.wait(client.queue(prompt))
    for told in (
        refused.body.decode(),
        json.dumps(failed["execution_error"]),
        client.get("/system_stats").body.decode(),
    ):
        for place in (str(remote.settings.base), str(Path(__file__).parents[3]), str(Path.home())):
            assert place not in told


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("::", False)],
)
def test_what_only_this_machine_reaches(address, expected):
    assert is_loopback(address) is expected and (Gate(address, Places({})).token is None) is expected


# -- paths ---------------------------------------------------------------------------------------------------
LEADING_OUT = [
    "../secret.txt", "..%2Fsecret.txt", "..%5Csecret.txt", "....//secret.txt", "a/../../secret.txt", "/etc/passwd",
    "%2Fetc%2Fpasswd", "link.txt", "linked/secret.txt", "C:/Windows/win.ini", "C:%5CWindows%5Cwin.ini", "c:secret.txt",
    "%5C%5Cserver%5Cshare%5Cfile", "secret.txt%00.png", "red.png%00", "CON", "nul.png", "%2e%2e/secret.txt",
    "..%c0%afsecret.txt", "a%0ab", "x" * 300, "a/" * 600, "./../secret.txt", "~/secret.txt", "file:///etc/passwd",
    "%E2%80%AEgnp.exe", ".", "", "red.png::$DATA", "red.png:hidden:$DATA", "conin$", "CONOUT$.png", "com%C2%B9.png",
    "lpt%C2%B3", "nul%20.png", "con:x",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADING_OUT)
@pytest.mark.parametrize(
    "route",
    [
        "/view?filename={}",
        "/view?filename={}&type=input",
        "/view?filename=secret.txt&subfolder={}",
        "/api/userdata/{}",
        "/userdata?dir={}",
        "/extensions/Sora/{}",
        "/extensions/core/{}",
        "/templates/{}",
        "/workflow_templates/tiny/{}",
        "/{}",
        "/assets/{}",
        "/internal/files/{}",
        "/view?filename=x.png&type={}",
    ],
)
def test_no_name_leads_out_of_its_folder(client, route, name):
    answer = client.get(route.format(name))
    assert SECRET.encode() not in answer.body and b"root:" not in answer.body
    assert answer.status in (200, 400, 404)


@pytest.mark.parametrize("name", LEADING_OUT)
def test_nothing_is_written_outside(studio, client, name):
    before = sorted(path.name for path in studio.settings.base.parent.rglob("*") if "default" not in path.parts)
    for method, path in (
        ("POST", f"/userdata/{name}"),
        ("DELETE", f"/userdata/{name}"),
        ("POST", f"/userdata/none/move/{name}"),
    ):
        assert client.ask(method, path, b"{}").status in (200, 204, 400, 404, 405, 409)
    for fields in ({"subfolder": name.replace("%2F", "/").replace("%5C", "\\")}, {"type": name}):
        client.upload("new.png", b"picture", **fields)
    after = sorted(
        path.name
        for path in studio.settings.base.parent.rglob("*")
        if "default" not in path.parts and "input" not in path.parts
    )
    assert set(after) <= set(before)
    assert (studio.settings.base.parent / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize("name", ["a.png::$DATA", "a:b:$DATA", "conin$", "CONOUT$.txt", "com¹.png", "LPT³", "nul .png"])
def test_names_that_windows_takes_for_something_else_are_refused(tmp_path, name):
    for path in (name, f"folder/{name}"):
        with pytest.raises(SoraError, match="not the name of a file"):
            contained(tmp_path, path)
    # Names of output files, where somebody's prefix was a time of day.
    assert contained(tmp_path, "12:30_00001_.png").name == "12:30_00001_.png"


# -- what is served ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["page.html", "picture.svg"])
def test_what_could_run_as_a_page_of_ours_is_handed_out_as_a_download(client, name):
    headers = client.get(f"/view?filename={name}").headers
    assert headers["Content-Type"] == "application/octet-stream" and headers["Content-Disposition"].startswith(
        "attachment"
    )


def test_a_video_is_served_in_parts(client):
    answer = client.get("/view?filename=clip.mp4", Range="bytes=10-19")
    assert (
        answer.status == 206
        and answer.body == bytes(range(10, 20))
        and answer.headers["Content-Range"] == "bytes 10-19/100"
    )
    assert client.get("/view?filename=clip.mp4", Range="bytes=0-").status == 206
    assert client.get("/view?filename=clip.mp4", Range="bytes=500-").status == 416
    assert client.get("/view?filename=clip.mp4").headers["Content-Type"] == "video/mp4"


def test_a_picture_is_served_as_it_is_wanted(client):
    def opened(query: str) -> Image.Image:
        return Image.open(io.BytesIO(client.get(f"/view?filename=red.png&{query}").body))

    assert (
        opened("").format == "PNG"
        and opened("preview=webp;50").format == "WEBP"
        and opened("preview=jpeg").format == "JPEG"
    )
    assert opened("channel=rgb").mode == "RGB" and opened("channel=a").getpixel((0, 0)) == (0, 0, 0, 9)
    assert client.get("/view?filename=red.png [output]&type=input".replace(" ", "%20")).status == 200
    assert client.get("/view?filename=clip.mp4&preview=webp").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/users",
        "/object_info",
        "/view?filename=clip.mp4",
        "/scripts/app.js",
        "/api/jobs",
        "/history",
        "/queue",
        "/templates/index.json",
    ],
)
def test_head_answers_wherever_get_does(client, path):
    got, head = client.get(path), client.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"") and head.headers["Content-Type"] == got.headers["Content-Type"]


# -- the policy ----------------------------------------------------------------------------------------------
def test_a_locked_policy_holds_here_too(tmp_path, monkeypatch):
    policy = tmp_path / "locked.toml"
    policy.write_text('name = "locked"\nlocked = true\n[prompt]\naction = "block"\n')
    monkeypatch.setenv("SORA_POLICY", str(policy))
    with serving(tmp_path) as studio:
        client = Client(studio.port)
        prompt = api(
            n1=("CheckpointLoaderSimple", {"ckpt_name": "sora-mini"}),
            n2=("CLIPTextEncode", {"clip": ["1", 1], "text": "explicit pornography of a naked woman"}),
            n3=("PreviewAny", {"source": ["2", 0]}),
        )
        refused = client.post("/prompt", {"prompt": prompt})
        assert refused.status == 400
        ((node_id, about),) = refused.json["node_errors"].items()
        (wrong,) = about["errors"]
        assert (node_id, wrong["extra_info"]["input_name"]) == ("2", "text") and about["dependent_outputs"] == ["3"]
        assert "against the policy 'locked'" in wrong["details"]
        prompt["2"]["inputs"]["text"] = "a cat on a beach"
        assert client.post("/prompt", {"prompt": prompt}).status == 200


def test_the_same_folder_has_one_server(studio):
    from sora_core.errors import SoraError

    with pytest.raises(SoraError, match="Another server uses"), serving(studio.settings.base):
        pass


def test_samples_of_the_pack_are_inputs(tmp_path):
    samples = tmp_path / "samples"
    samples.mkdir()
    Image.new("RGB", (5, 5)).save(samples / "sample.png")
    with serving(tmp_path / "base", samples=samples) as studio:
        client = Client(studio.port)
        assert isinstance(studio.folders, Folders) and client.get("/view?filename=sample.png&type=input").status == 200
        assert "sample.png" in str(client.get("/object_info/LoadImage").json)
