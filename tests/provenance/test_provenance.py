"""Content Credentials: signing, verifying, ingredients, keys, and what the nodes and commands write."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from nodes_support import TINY, make_host, text_to_video

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.host.host import Host
from sora_core.media.video import iter_frames, probe, write_video
from sora_core.provenance import History, Model, plan
from sora_core.provenance.credentials import keys
from sora_core.provenance.credentials.history import read_graph
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.kept import is_kept, remember
from sora_core.safety.policy import load_policy, use_policy

c2pa = pytest.importorskip("c2pa")
SECRET = "a cat moving right on a beach"


def clip(frames: int = 6, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(frames, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (48, 64), mode="bicubic").clamp(0, 1).movedim(1, -1)


def save(path: Path, history: History | None = None, frames: torch.Tensor | None = None, **choices) -> Path:
    saving = plan(History() if history is None else history, **choices)
    write_video(path, clip() if frames is None else frames, 8, metadata={"prompt": "{}"}, saving=saving)
    return path


def boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Start and end of the top boxes of an mp4."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = at, at + size
        at += size
    return found


def issue(folder: Path, *, days: tuple[int, int] = (-1, 30), purpose: bool = True, sign_key=None) -> tuple[Path, Path]:
    """A user's certificate (with its root) and key, as PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    start, end = (datetime.now(UTC) + timedelta(days=n) for n in days)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])

    def build(subject: str, public, authority: bool):
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
                "crl_sign",
            ),
            False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Root of Studio"))
            .public_key(public)
            .serial_number(7)
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, **flags), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        )
        if purpose and not authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return made.sign(root_key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)

    folder.mkdir(exist_ok=True)
    certificate, secret = folder / "mine.pem", folder / "mine.key"
    chain = build("Studio", key.public_key(), False), build("Root of Studio", root_key.public_key(), True)
    certificate.write_bytes(b"".join(chain))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    secret.write_bytes((sign_key or key).private_bytes(*pem))
    return certificate, secret


@pytest.fixture()
def own_pair(tmp_path, monkeypatch):
    """`own_pair(**how)` makes a certificate and puts it in force."""

    def use(**how) -> Path:
        certificate, key = issue(tmp_path / "pair", **how)
        monkeypatch.setenv(keys.CERTIFICATE, str(certificate))
        monkeypatch.setenv(keys.KEY, str(key))
        return certificate

    return use


# -- signing and verifying -------------------------------------------------------------------------------------
def test_a_saved_video_tells_how_it_was_made_and_not_the_prompt(tmp_path):
    weights = tmp_path / "m.safetensors"
    weights.write_bytes(b"weights")
    path = save(tmp_path / "a.mp4", History((Model("mini", weights),), prompts=(SECRET,)))
    report = verify(path)
    assert report.state == "intact" and not report.trusted and not report.problems
    first, mark = report.manifest.actions
    digest = hashlib.sha256(b"weights").hexdigest()
    assert first.startswith("created: made by AI") and f"model mini, sha256 {digest}" in first
    assert mark == f"watermarked.unbound: carrying {digest[:8]}"
    assert SECRET.encode() not in path.read_bytes()
    told = save(tmp_path / "b.mp4", History(prompts=(SECRET,)), include_prompt=True)
    assert SECRET in str(verify(told)) and "not trusted" in str(verify(told))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_one_flipped_bit_anywhere_in_the_media_data_is_named(tmp_path):
    path, where = save(tmp_path / "a.mp4"), random.Random(3)
    data = path.read_bytes()
    found = boxes(data)
    assert found[b"moov"][0] < found[b"mdat"][0]  # plays while it loads
    start, end = found[b"mdat"]
    places = [start + 8, end - 1, *(where.randrange(start + 8, end) for _ in range(60))]
    places += [where.randrange(*found[b"moov"]) for _ in range(10)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << where.randrange(8)
        path.write_bytes(changed)
        report = verify(path)
        assert report.state in ("tampered", "broken"), place
        if place > start:
            assert "the media data" in report.problems[0] and "assertion.bmffHash.mismatch" in report.problems[0]
    assert main(["verify", str(path)]) == 3


def test_what_is_done_to_credentials_never_passes_for_something_else(tmp_path):
    """Flipped bits in the manifest itself: named, or in the padding; never a crash."""
    parent = save(tmp_path / "p.mp4")
    path, where = save(tmp_path / "a.mp4", History(edits=("SoraExtend",), sources=(parent,))), random.Random(4)
    data, whole = path.read_bytes(), verify(path)
    start, end = boxes(data)[b"uuid"]
    states = []
    for _ in range(60):
        changed = bytearray(data)
        changed[where.randrange(start + 24, end)] ^= 1 << where.randrange(8)
        path.write_bytes(changed)
        report = verify(path)
        states.append(report.state)
        assert report.state != "intact" or report.manifest == whole.manifest
    assert states.count("intact") < 15 and {"tampered", "broken"} <= set(states)


def test_an_ingredient_keeps_its_own_manifest(tmp_path):
    made = save(tmp_path / "first.mp4", History((Model("mini"),)))
    longer = save(tmp_path / "longer.mp4", History((Model("other"),), edits=("SoraExtend",), sources=(made,)))
    manifest = verify(longer).manifest
    assert manifest.actions[0].startswith("opened") and "extended in time; partly made by AI" in manifest.actions[1]
    (part,) = manifest.ingredients
    assert (part.name, part.relationship, part.signer) == ("first.mp4", "parentOf", f"{keys.SELF_MADE}, signer")
    assert "by the model mini" in part.actions[0] and not part.problems
    plain = tmp_path / "camera.mp4"
    write_video(plain, clip(seed=5), 8)
    joined = save(tmp_path / "joined.mp4", History(edits=("SoraConnect",), sources=(longer, plain)))
    manifest = verify(joined).manifest
    assert [a.partition(":")[0] for a in manifest.actions[:3]] == ["created", "placed", "placed"]
    assert [p.relationship for p in manifest.ingredients] == ["componentOf"] * 2
    assert manifest.ingredients[1].signer is None
    assert manifest.ingredients[0].ingredients[0].actions == part.actions


def test_ingredients_that_were_tampered_with_or_broken_are_told(tmp_path):
    made = save(tmp_path / "first.mp4")
    data = bytearray(made.read_bytes())
    data[-9] ^= 1
    made.write_bytes(data)
    longer = save(tmp_path / "longer.mp4", History(edits=("SoraExtend",), sources=(made,)))
    report = verify(longer)
    assert report.state == "intact" and "the media data" in report.manifest.ingredients[0].problems[0]
    at = data.index(b"c2pa.actions.v2") + 60
    data[at : at + 40] = bytes(byte ^ 0x55 for byte in data[at : at + 40])
    made.write_bytes(data)
    assert verify(made).state == "broken" and main(["verify", str(made)]) == 3
    report = verify(save(tmp_path / "again.mp4", History(edits=("SoraExtend",), sources=(made,))))
    assert report.state == "intact" and "could not be read" in report.manifest.ingredients[0].problems[0]


def test_pictures_are_signed_too(tmp_path, monkeypatch):
    from sora_core.host import images
    from sora_core.host.desk.folders import Folders, using

    with using(Folders(tmp_path, tmp_path, tmp_path / "temp")):
        ((name, _),) = images.save_pngs(clip(1), "still", "output")
        ((preview, _),) = images.save_pngs(clip(1), "still", "temp")
    path = tmp_path / name
    assert verify(path).state == "intact" and verify(tmp_path / "temp" / preview).state == "none"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    assert "the media data" in verify(path).problems[0]


# -- who signs ------------------------------------------------------------------------------------------------------
def test_the_machines_own_pair_is_secret_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    first = keys.load_signer()
    pair = keys.config_folder() / "self-made.pem"
    assert pair.stat().st_mode & 0o777 == 0o600 and pair.parent.stat().st_mode & 0o777 == 0o700
    assert first.self_made and keys.load_signer() == first and "PRIVATE" not in repr(first)
    path = save(tmp_path / "a.mp4")
    assert any("untrusted" in note for note in plan(History()).notes)
    assert verify(path, pair).trusted and main(["verify", str(path), "--trust", str(pair)]) == 0
    pair.write_text("nothing")
    with pytest.raises(SoraError, match="self-made"):
        keys.load_signer()


def test_a_users_certificate_signs_and_is_trusted_by_its_root(tmp_path, own_pair):
    certificate = own_pair()
    path = save(tmp_path / "a.mp4")
    assert verify(path).manifest.signer == "Studio" and not verify(path).trusted
    assert verify(path, certificate).trusted
    other, _ = issue(tmp_path / "other")
    assert main(["verify", str(path), "--trust", str(other)]) == 5


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"days": (-9, -2)}, "expired on"),
        ({"days": (2, 9)}, "not yet"),
        ({"purpose": False}, "no extended key usage"),
        ({"sign_key": "other"}, "does not belong to"),
        ({"sign_key": "weak"}, "does not belong to"),
    ],
)
def test_what_cannot_sign_is_refused_before_any_work(how, expected, tmp_path, own_pair):
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    made = {"other": ec.generate_private_key(ec.SECP256R1()), "weak": rsa.generate_private_key(65537, 1024)}
    own_pair(**{name: made[value] if isinstance(value, str) else value for name, value in how.items()})
    with pytest.raises(SoraError, match=expected):
        plan(History())


def test_files_that_are_no_certificate_or_key(tmp_path, monkeypatch):
    certificate, key = issue(tmp_path / "pair")
    monkeypatch.setenv(keys.CERTIFICATE, str(certificate))
    with pytest.raises(SoraError, match="SORA_C2PA_KEY is not set"):
        plan(History())
    monkeypatch.setenv(keys.KEY, str(tmp_path / "gone.pem"))
    with pytest.raises(SoraError, match="no key file"):
        plan(History())
    (tmp_path / "text.pem").write_text("no key")
    monkeypatch.setenv(keys.KEY, str(tmp_path / "text.pem"))
    with pytest.raises(SoraError, match="no private key in PEM"):
        plan(History())
    monkeypatch.setenv(keys.KEY, str(key))
    monkeypatch.setenv(keys.CERTIFICATE, str(tmp_path / "text.pem"))
    with pytest.raises(SoraError, match="no certificate in PEM"):
        plan(History())


def test_the_policy_decides(tmp_path, monkeypatch):
    required = tmp_path / "required.toml"
    required.write_text('name = "studio"\nlocked = true\n[provenance]\nc2pa = "required"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no folder"))
    (tmp_path / "no folder").touch()
    saving = plan(History())  # "on": saved without, and said so
    assert saving.signer is None and saving.notes[0].startswith("Not signed")
    before = use_policy(load_policy(required))
    try:
        with pytest.raises(SoraError, match="not a folder"):
            plan(History())
        with pytest.raises(SoraError, match="locked"):
            plan(History(), credentials=False)
    finally:
        use_policy(before)
    off = plan(History(), credentials=False, watermark=False)
    assert off.signer is None and off.mark is None and not off.notes


# -- sora verify ----------------------------------------------------------------------------------------------------
def test_verify_refuses_what_is_no_media_file(tmp_path, capsys):
    (tmp_path / "no.mp4").write_text("no video" * 500)
    assert main(["verify", str(tmp_path / "no.mp4")]) == 1 and "no video, picture or sound" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "gone.mp4")]) == 1 and "no file" in capsys.readouterr().err
    write_video(tmp_path / "plain.mp4", clip(), 8)
    assert main(["verify", str(tmp_path / "plain.mp4")]) == 4
    assert "carries no Content Credentials" in capsys.readouterr().out
    signed = save(tmp_path / "signed.mp4")
    assert main(["verify", "--json", str(signed), str(tmp_path / "plain.mp4")]) == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["intact", "none"] and lines[0]["manifest"]["signer"]


def test_what_a_stranger_wrote_does_nothing_to_the_terminal(tmp_path):
    history = History((Model("\x1b[2Jgone\nnot changed"),))
    told = str(verify(save(tmp_path / "a.mp4", history)))
    assert "gone not changed" in told and "\x1b" not in told and len(told.splitlines()) == 5


# -- graphs and frames ----------------------------------------------------------------------------------------------
def test_the_graph_tells_models_sources_and_edits(tmp_path):
    graph = {
        "1": {"class_type": "SoraLoadModel", "inputs": {"model": "mini", "precision": "auto", "lora": "none"}},
        "2": {"class_type": "LoadVideo", "inputs": {"file": "cat.mp4"}},
        "3": {"class_type": "SoraExtend", "inputs": {"video": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "SoraTextEncode", "inputs": {"clip": ["1", 1], "text": SECRET}},
        "5": {"class_type": "SoraSampler", "inputs": {"model": ["1", 0], "positive": ["4", 0], "latent": ["3", 0]}},
        "6": {"class_type": "SoraSaveVideo", "inputs": {"images": ["5", 0], "fps": ["3", 1]}},
        "7": {"class_type": "LoadImage", "inputs": {"image": "elsewhere.png"}},
        "8": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0]}},
    }
    files = {"mini": Model("mini")}
    found = read_graph(graph, "6", lambda name: tmp_path / name, files.get)
    assert found == History((Model("mini"),), True, ("SoraExtend",), (tmp_path / "cat.mp4",), (SECRET,))
    untouched = read_graph(graph, "8", lambda name: tmp_path / name, files.get)
    assert not untouched.generated and plan(untouched).mark is None
    graph["2"]["inputs"]["file"] = ["6", 0]  # a loop is no reason to hang
    assert read_graph(graph, "6", lambda name: None, files.get).generated


def test_a_users_own_frames_are_not_marked(tmp_path):
    own, made = clip(4, seed=1), clip(4, seed=2)
    remember(own)
    assert all(is_kept(frame) for frame in own) and not any(is_kept(frame) for frame in made)
    saving = plan(History(edits=("SoraExtend",), sources=()))
    marked = torch.cat(list(saving.marked([torch.cat((own, made))])))
    assert torch.equal(marked[:4], own) and not torch.equal(marked[4:], made)
    assert (marked[4:] - made).square().mean() < 10 ** (-42 / 10)


def test_extending_a_signed_video_in_a_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host: Host = make_host(tmp_path)
    (first,) = host.run(host.load(text_to_video(sample__steps=1))).files
    graph = text_to_video(sample__steps=1)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "given.mp4").write_bytes(first.read_bytes())
    graph["video"] = {"class_type": "LoadVideo", "inputs": {"file": "given.mp4"}}
    graph["edit"] = {
        "class_type": "SoraExtend",
        "inputs": {
            "video": ["video", 0],
            "vae": ["load", 2],
            "seconds": 0.5,
            "direction": "forwards",
            "fps": 0.0,
            "width": 0,
            "height": 0,
        },
    }
    graph["sample"]["inputs"]["latent"] = ["edit", 0]
    graph["save"]["inputs"]["fps"] = ["edit", 1]
    del graph["empty"]
    (longer,) = host.run(host.load(graph)).files
    report = verify(longer)
    assert report.state == "intact" and [p.name for p in report.manifest.ingredients] == ["given.mp4"]
    assert "by the model tiny" in report.manifest.ingredients[0].actions[0]
    assert probe(longer).frames > probe(first).frames
    # What carries its graph still opens as one, and what was told to leave it out does not.
    again = host.load(longer)
    assert {node.type for node in again.nodes.values()} >= {"SoraExtend", "SoraSaveVideo"}
    graph["save"]["inputs"] |= {"keep_workflow": False, "credentials": "off", "watermark": "off"}
    (plain,) = host.run(host.load(graph)).files
    assert verify(plain).state == "none" and SECRET.encode() not in plain.read_bytes()
    with pytest.raises(SoraError, match="carries no workflow"):
        host.load(plain)


def test_python_calls_note_what_they_did(tmp_path):
    from nodes_support import save_tiny

    import sora_core

    pipe = sora_core.load(save_tiny(tmp_path / TINY))
    how = {"steps": 1, "cfg": 1.0}
    first = pipe.generate(SECRET, frames=5, width=32, height=32, **how).save(tmp_path / "a.mp4")
    second = pipe.extend(first, SECRET, seconds=0.5, **how).save(tmp_path / "b.mp4")
    third = pipe.long_video(SECRET, tmp_path / "c.mp4", seconds=1, video=second, **how)
    manifest = verify(third).manifest
    assert "extended in time" in manifest.actions[1] and manifest.ingredients[0].name == "b.mp4"
    assert manifest.ingredients[0].ingredients[0].name == "a.mp4"
    assert SECRET not in str(verify(third)) and SECRET.encode() not in third.read_bytes()


def test_saving_streams(tmp_path):
    """Frames are marked as they come: the second is asked for after the first was marked."""
    order = []

    def frames():
        for number, frame in enumerate(clip(3)):
            order.append(("asked", number))
            yield frame[None]

    for number, _ in enumerate(plan(History()).marked(frames())):
        order.append(("marked", number))
    assert order == [(what, n) for n in range(3) for what in ("asked", "marked")]


def test_a_signed_video_reads_as_before(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, clip(), 8, metadata={"prompt": "{}"})
    before, size = list(iter_frames(path)), path.stat().st_size
    plan(History()).seal(path, path.name)
    assert path.stat().st_size > size and probe(path).metadata["prompt"] == "{}"
    assert all((a == b).all() for a, b in zip(before, iter_frames(path), strict=True))
