"""What `sora verify` says of a file: six states, of which one alone means that somebody changed it."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from provenance_support import clip, issue, save
from stamping import REFUSED, authority, has_openssl, make_authority

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials import stamp
from sora_core.provenance.credentials.keys import CERTIFICATE, KEY, load_signer
from sora_core.provenance.credentials.sign import MADE, SETTINGS, sign
from sora_core.provenance.credentials.verify import verify
from sora_core.safety.policy import in_force, load_policy

c2pa = pytest.importorskip("c2pa")

LIVES = (6, 30, 150)  # seconds that a certificate is valid: the first is enough where nothing else is done


def expires(certificate: Path) -> datetime:
    from cryptography import x509

    return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc


@pytest.fixture
def expired(tmp_path, monkeypatch) -> Callable[[Callable[[], object]], Path]:
    """Do what signs with a certificate that soon expires, and wait until it has; by the clock that verifiers look at.

    Gives the certificate's file, whose last certificate is its root.
    """

    def signed(make: Callable[[], object]) -> Path:
        for seconds in LIVES:
            certificate, key = issue(tmp_path / f"keys{seconds}", days=(-1, seconds / 86400))
            key.chmod(0o600)
            monkeypatch.setenv(CERTIFICATE, str(certificate))
            monkeypatch.setenv(KEY, str(key))
            try:
                make()
            except SoraError:  # too late
                assert datetime.now(UTC) > expires(certificate)
            if datetime.now(UTC) < expires(certificate):
                break
        while datetime.now(UTC) <= expires(certificate) + timedelta(seconds=1):
            time.sleep(0.2)
        return certificate

    return signed


def test_a_certificate_that_expired_since_is_no_tampering(tmp_path, expired, capsys):
    path = tmp_path / "a.mp4"
    short_lived = expired(lambda: save(path))
    report = verify(path, short_lived)
    assert report.state == "expired" and not report.trusted and "has expired" in report.problems[0]
    assert main(["verify", str(path)]) == 0 and "TAMPERED" not in capsys.readouterr().out
    assert main(["verify", "--trust", str(short_lived), str(path)]) == 5
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    assert verify(path).state == "tampered" and main(["verify", str(path)]) == 3


def with_assertion(folder: Path, label: str, data: dict) -> Path:
    """A signed picture that states something besides."""
    from PIL import Image

    bare, path = folder / "bare.png", folder / "stated.png"
    Image.new("RGB", (64, 64), (90, 100, 110)).save(bare)
    made = {"actions": [{"action": "c2pa.created", "digitalSourceType": MADE}]}
    stated = [{"label": "c2pa.actions.v2", "created": True, "data": made}, {"label": label, "data": data}]
    about = {"claim_generator_info": [{"name": "x", "version": "1"}], "format": "image/png", "assertions": stated}
    signer = load_signer()
    info = c2pa.C2paSignerInfo(signer.algorithm, signer.certificates, signer.key, None)
    with bare.open("rb") as given, path.open("w+b") as file:
        builder = c2pa.Builder(about, c2pa.Context.from_dict(SETTINGS))
        builder.sign(c2pa.Signer.from_info(info), "image/png", given, file)
    return path


@pytest.mark.parametrize("kind", ["x.unknown", "cawg.x509.cose", "cawg.identity_claims_aggregation"])
def test_an_identity_that_cannot_be_checked_is_no_tampering(tmp_path, kind):
    payload = {"referenced_assertions": [], "sig_type": kind}
    path = with_assertion(tmp_path, "cawg.identity", {"signer_payload": payload, "signature": "abcd", "pad1": ""})
    report = verify(path)
    assert report.state == "intact" and all("identity is stated besides" in text for text in report.problems)
    assert verify(with_assertion(tmp_path, "org.example.identity", {"a": 1})).state == "intact"


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG: name, and all of it."""
    at = 8
    while at < len(data):
        end = at + 12 + struct.unpack_from(">I", data, at)[0]
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of an mp4: name, and all of it."""
    at = 0
    while at < len(data):
        end = at + struct.unpack_from(">I", data, at)[0]
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def changed(path: Path, change) -> Path:
    """Write a copy of a signed file whose box or chunk of the manifest is what `change` makes of it."""
    data = path.read_bytes()
    if path.suffix == ".png":
        parts = [data[:8], *(change(c) if name == b"caBX" else c for name, c in chunks(data))]
    else:
        parts = [change(box) if name == b"uuid" else box for name, box in boxes(data)]
    target = path.with_stem("changed")
    target.write_bytes(b"".join(parts))
    return target


def longer_inside(part: bytes) -> bytes:
    at = part.index(b"jumb") - 4
    made = part[:at] + struct.pack(">I", 0x7FFFFF00) + part[at + 4 :]
    return made[:-4] + struct.pack(">I", zlib.crc32(made[4:-4])) if part[4:8] == b"caBX" else made


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_two_manifests_and_one_longer_than_the_file_are_said(tmp_path, suffix):
    path = save(tmp_path / "a.mp4")
    if suffix == ".png":
        save(tmp_path / "a.mp4")
        path = with_assertion(tmp_path, "org.example.identity", {"a": 1})
    assert verify(path).state == "intact"
    for change, words in (
        (lambda part: part + part, "two manifests"),
        (lambda part: struct.pack(">I", 0x7FFFFF00) + part[4:], "longer than the file"),
        (longer_inside, "bytes more than the file"),
    ):
        report = verify(changed(path, change))
        assert report.state == "broken" and words in str(report), words
        assert main(["verify", str(path.with_stem("changed"))]) == 3


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "jp2", "gif", "tif", "webp", "jpg", "png"])
def test_a_picture_without_credentials_says_so(tmp_path, suffix):
    from PIL import Image

    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (32, 32)).save(path)
    assert verify(path).state == "none" and main(["verify", str(path)]) == 4


@pytest.mark.parametrize("suffix", ["webm", "mkv", "flv", "ts", "wmv", "avi", "mov", "ogg", "opus", "wav"])
def test_a_video_or_sound_without_credentials_says_so(tmp_path, suffix):
    import subprocess

    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    sound = suffix in ("ogg", "opus", "wav")
    source = "sine=d=0.3" if sound else "testsrc2=s=64x48:r=8:d=0.5"
    path = tmp_path / f"a.{suffix}"
    words = [
        ffmpeg,
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        source,
        *(["-strict", "-2"] if sound else []),
        str(path),
    ]
    subprocess.run(words, check=True)
    assert verify(path).state == "none" and main(["verify", str(path)]) == 4


def test_credentials_that_are_elsewhere_are_said_and_not_fetched(tmp_path):
    from PIL import Image

    path = tmp_path / "a.jpg"
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        'dcterms:provenance="http://127.0.0.1:9/a.c2pa"/></rdf:RDF></x:xmpmeta>'
    )
    Image.new("RGB", (32, 32)).save(path, xmp=xmp.encode())
    report = verify(path)
    assert report.state == "elsewhere" and "http://127.0.0.1:9/a.c2pa" in report.problems[0]
    assert main(["verify", str(path)]) == 4


# -- time stamps ---------------------------------------------------------------------------------------------
def said_to_all(answer: bytes) -> str:
    """Serve these bytes, which need be no HTTP; returns the address."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            asked, _ = listener.accept()
            with asked:
                asked.recv(1 << 16)
                asked.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize("answer", [404, b"", b"hello", REFUSED, "nobody", "late", "nonsense", "no address"])
def test_a_broken_time_stamp_is_said_and_the_file_is_signed_without(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(stamp, "PATIENCE", 0.3)
    with authority(tmp_path, 404 if isinstance(answer, str) else answer) as address:
        address = "http://127.0.0.1:9/" if answer == "nobody" else address
        address = "http://127.0.0.1:port/" if answer == "no address" else address
        if answer == "nonsense":
            address = said_to_all(b"nonsense\r\n\r\n")
        if answer == "late":  # it takes connections and never answers
            import socket

            silent = socket.create_server(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with in_force(load_policy().override({"provenance.time_stamp": address})):
            saving = plan(History())
            write_video(tmp_path / "a.mp4", clip(), 8, saving=saving)
    assert len(saving.lacking) == 1 and saving.lacking[0].startswith(f"No time stamp: {address} gave no time stamp (")
    report = verify(tmp_path / "a.mp4")
    assert report.state == "intact" and report.stamped is None


@pytest.mark.skipif(not has_openssl(), reason="openssl stands for the authority")
def test_a_time_stamp_outlives_the_certificate(tmp_path, expired):
    roots, trusted, lacking = tmp_path / "roots.pem", make_authority(tmp_path / "tsa"), []

    def stamped() -> None:
        with in_force(load_policy().override({"provenance.time_stamp": address})):
            saving = plan(History())
        write_video(tmp_path / "a.mp4", clip(), 8, saving=saving)
        lacking[:] = saving.lacking

    with authority(tmp_path / "tsa") as address:
        short_lived = expired(stamped)
    assert not lacking
    roots.write_bytes(trusted.read_bytes() + short_lived.read_bytes())
    report = verify(tmp_path / "a.mp4", roots)
    assert (report.state, report.trusted) == ("intact", True) and "by a time stamp that your roots trust" in str(report)
    alone = verify(tmp_path / "a.mp4")
    assert alone.state == "expired" and "by a time stamp of nobody who is trusted" in str(alone)


def test_the_address_of_an_authority_is_checked(tmp_path):
    (tmp_path / "p.toml").write_text('[provenance]\ntime_stamp = "tsa.example"\n')
    with pytest.raises(SoraError, match=r"provenance.time_stamp is 'tsa.example': use the http address"):
        load_policy(tmp_path / "p.toml")
    assert load_policy().provenance.time_stamp == ""


# -- keys ----------------------------------------------------------------------------------------------------
def test_a_key_that_others_can_read_is_warned_of(tmp_path, monkeypatch):
    certificate, key = issue(tmp_path / "keys")
    monkeypatch.setenv(CERTIFICATE, str(certificate))
    monkeypatch.setenv(KEY, str(key))
    for mode, warned in ((0o644, True), (0o640, True), (0o600, False)):
        key.chmod(mode)
        notes = plan(History()).notes
        assert any(f"Others on this machine can read the key {key}" in note for note in notes) == warned
    sign_with = load_signer()
    write_video(tmp_path / "bare.mp4", clip(), 8)
    sign(tmp_path / "bare.mp4", tmp_path / "b.mp4", History(), sign_with, title="b.mp4")
    assert verify(tmp_path / "b.mp4").state == "intact"
