"""What is sent in: pictures, videos, masks, workflows, settings."""

from __future__ import annotations

import io
import json
import threading
import uuid

import pytest
from PIL import Image
from studio_support import Client, serving

from sora_core.host.desk.views import masked


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("files")) as made:
        made.folders.input.mkdir(parents=True, exist_ok=True)
        yield made


@pytest.fixture()
def client(studio):
    return Client(studio.port, uuid.uuid4().hex)


# -- what is sent in -----------------------------------------------------------------------------------------
def picture(colour: str = "blue") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 3), colour).save(file, "PNG")
    return file.getvalue()


def test_an_upload_is_kept_under_a_name_of_its_own(studio, client):
    assert client.upload("fresh.png", picture()).json == {"name": "fresh.png", "subfolder": "", "type": "input"}
    assert client.upload("fresh.png", picture()).json["name"] == "fresh.png"  # the same
    assert client.upload("fresh.png", picture("red")).json["name"] == "fresh (1).png"
    assert client.upload("fresh.png", picture("green"), overwrite="true").json["name"] == "fresh.png"
    assert (studio.folders.input / "fresh.png").read_bytes() == picture("green")
    assert client.upload("photos/cat.png", picture(), subfolder="mine").json == {
        "name": "cat.png",
        "subfolder": "mine",
        "type": "input",
    }
    assert "fresh.png" in client.get("/internal/files/input").json
    assert "fresh.png" in str(client.get("/object_info/LoadImage").json)
    assert not [path for path in studio.folders.input.glob(".*") if path.is_file()]


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "weights.ckpt",
        "weights.pt",
        "weights.pkl",
        "page.html",
        "picture.svg",
        "run.py",
        "noending",
        ".png",
    ],
)
def test_what_no_node_reads_is_not_taken(studio, client, name):
    before = set(studio.folders.input.iterdir())
    assert client.upload(name, b"data").status == 400
    assert set(studio.folders.input.iterdir()) == before


def test_a_large_file_is_refused_and_nothing_stays(studio, client, monkeypatch):
    from sora_core.host.web import uploads

    monkeypatch.setattr(uploads, "MOST_UPLOADED", 1 << 20)
    assert client.upload("large.png", bytes(3 << 20)).status == 400
    assert client.upload("empty.png", b"").status == 400
    assert not list(studio.folders.input.glob("*large*")) and not list(studio.folders.of("temp").iterdir())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--edge",
        b"--edge\r\n\r\n",
        b"--edge--\r\n",
        b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n--edge--\r\n",
    ],
)
def test_a_broken_form_is_refused(client, body):
    assert client.post("/upload/image", body, Content_Type="multipart/form-data; boundary=edge").status == 400
    assert client.post("/upload/image", body, Content_Type="text/plain").status == 400


def test_a_mask_goes_into_the_picture_that_it_was_painted_on(studio, client):
    client.upload("base.png", picture())
    mask = io.BytesIO()
    Image.new("RGBA", (3, 3), (0, 0, 0, 40)).save(mask, "PNG")
    of = json.dumps({"filename": "base.png", "subfolder": "", "type": "input"})
    answer = client.upload("masked.png", mask.getvalue(), "/upload/mask", original_ref=of)
    assert Image.open(studio.folders.input / answer.json["name"]).getpixel((1, 1)) == (0, 0, 255, 40)
    for odd in (
        "",
        "3",
        '{"filename": "../secret.txt"}',
        '{"filename": "none.png", "type": "input"}',
        '{"filename": 3}',
    ):
        assert client.upload("m.png", mask.getvalue(), "/upload/mask", original_ref=odd).status in (400, 404)


def mask_of(client: Client, size: int = 3):
    file = io.BytesIO()
    Image.new("RGBA", (size, size), (0, 0, 0, 40)).save(file, "PNG")
    client.upload("large.png", file.getvalue(), overwrite="true")
    of = json.dumps({"filename": "large.png", "type": "input"})
    return client.upload("masked_large.png", file.getvalue(), "/upload/mask", original_ref=of)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_mask_on_more_pixels_than_memory_should_hold_is_refused(client, monkeypatch):
    # Pillow itself refuses only twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    refused = mask_of(client, 9)
    assert refused.status == 400 and "cannot be read as pictures" in refused.json["error"]["message"]
    assert client.get("/view?filename=large.png&type=input&preview=webp").status == 400
    assert mask_of(client, 7).status == 200


def test_pages_are_answered_while_a_picture_is_being_masked(client, monkeypatch):
    began, go_on = threading.Event(), threading.Event()

    def slow(*files: object) -> None:
        began.set()
        go_on.wait(20)
        masked(*files)

    from sora_core.host.web import uploads

    monkeypatch.setattr(uploads, "masked", slow)
    made = []
    sending = threading.Thread(target=lambda: made.append(mask_of(client)))
    sending.start()
    assert began.wait(20)
    asking = threading.Thread(target=lambda: made.append(client.get("/users")))
    asking.start()
    asking.join(15)
    answered = len(made)
    go_on.set()
    sending.join(20)
    asking.join(20)
    assert answered == 1 and {answer.status for answer in made} == {200}


def test_a_form_without_an_end_is_cut_off(client):
    fields = {f"field{number}": "x" for number in range(40)}
    refused = client.upload("many.png", picture(), **fields)
    assert refused.status == 400 and "fields" in refused.json["error"]["message"]


def test_a_field_called_name_does_not_name_the_file(client):
    edge, about = b"--edge\r\nContent-Disposition: form-data; name=", b'"image"; filename="called.png"\r\n\r\n'
    body = edge + about + picture("red") + b"\r\n" + edge + b'"name"\r\n\r\nother.svg\r\n--edge--\r\n'
    taken = client.post("/upload/image", body, Content_Type="multipart/form-data; boundary=edge")
    assert taken.status == 200 and taken.json["name"] == "called.png"


# -- the user's files ----------------------------------------------------------------------------------------
def test_workflows_are_saved_renamed_and_removed(client):
    path = "/userdata/workflows%2Fmine.json"
    assert client.get("/userdata?dir=workflows&recurse=true&split=false&full_info=true").json == []
    saved = client.post(f"{path}?overwrite=false&full_info=true", b'{"nodes": []}')
    assert saved.json["path"] == "workflows/mine.json" and saved.json["size"] == 13
    assert client.post(f"{path}?overwrite=false", b"{}").status == 409
    assert client.post(path, b"{}").json == "workflows/mine.json"
    assert client.get(path).body == b"{}"
    moved = client.post(f"{path}/move/workflows%2F%E7%8C%AB%20two.json?overwrite=false&full_info=true")
    assert moved.json["path"] == "workflows/猫 two.json" and client.get(path).status == 404
    assert [file["path"] for file in client.get("/userdata?dir=workflows&full_info=true").json] == ["猫 two.json"]
    assert client.get("/userdata?dir=workflows&split=true").json == [["猫 two.json", "猫 two.json"]]
    assert client.ask("DELETE", "/userdata/workflows%2F%E7%8C%AB%20two.json").status == 204
    assert client.ask("DELETE", "/userdata/workflows%2F%E7%8C%AB%20two.json").status == 404


def test_bookmarks_are_kept_and_no_other_hidden_file(client):
    assert client.get("/userdata/workflows%2F.index.json").json == {"favorites": []}
    assert client.post("/userdata/workflows%2F.index.json", {"favorites": ["workflows/a.json"]}).status == 200
    assert client.get("/userdata/workflows%2F.index.json").json == {"favorites": ["workflows/a.json"]}
    assert client.get("/userdata?dir=workflows").json == []
    for name in (".index.json", "workflows%2F.other.json", "a%2Fworkflows%2F.index.json", ".git%2Fconfig"):
        assert client.post(f"/userdata/{name}", b"{}").status == 400, name


def test_settings_are_kept_and_the_tutorial_is_never_done(client):
    assert client.post("/settings/Comfy.Locale", "zh").status == 200
    client.post("/settings", {"Comfy.TutorialCompleted": True, "a.b": [1, None]})
    kept = client.get("/settings").json
    assert kept["Comfy.Locale"] == "zh" and kept["a.b"] == [1, None] and "Comfy.TutorialCompleted" not in kept
    assert client.get("/settings/Comfy.Locale").json == "zh" and client.get("/settings/none").json is None


@pytest.mark.parametrize("text", ['{"a.b": 1,}', "[1, 2]", "\0\0\0\0"])
def test_settings_that_cannot_be_read_are_not_written_over(studio, client, text):
    folder = studio.settings.base / "user" / "default"
    client.post("/settings/a.b", 1)
    (folder / "comfy.settings.json").write_text(text)
    assert client.post("/settings/c.d", 2).status == 200
    assert (folder / "comfy.settings.broken.json").read_text() == text
    assert client.get("/settings/c.d").json == 2


def test_a_workflow_that_cannot_be_renamed_is_still_there(studio, client, monkeypatch):
    client.post("/userdata/workflows%2Ffirst.json", b"{}")

    def refused(*files: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", refused)
        assert client.post("/userdata/workflows%2Ffirst.json/move/workflows%2Fsecond.json").status == 400
    assert client.get("/userdata/workflows%2Ffirst.json").body == b"{}"
    assert [name for name in client.get("/userdata?dir=workflows").json if name == "second.json"] == []
    client.ask("DELETE", "/userdata/workflows%2Ffirst.json")
