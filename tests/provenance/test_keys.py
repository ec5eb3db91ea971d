"""Who signs: the user's certificate, the machine's own pair, and what the policy says about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from provenance_support import issue, save

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.provenance import History, plan
from sora_core.provenance.credentials import keys
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.watermark.secret import key_file, watermark_key
from sora_core.safety.frames.classifiers import read_card
from sora_core.safety.policy import in_force, load_policy

pytest.importorskip("c2pa")


@pytest.fixture()
def own_pair(tmp_path, monkeypatch):
    """`own_pair(**how)` makes a certificate and puts it in force."""

    def use(**how) -> Path:
        certificate, key = issue(tmp_path / "pair", **how)
        monkeypatch.setenv(keys.CERTIFICATE, str(certificate))
        monkeypatch.setenv(keys.KEY, str(key))
        return certificate

    return use


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
    with in_force(load_policy(required)):
        with pytest.raises(SoraError, match="not a folder"):
            plan(History())
        with pytest.raises(SoraError, match="locked"):
            plan(History(), credentials=False)
    off = plan(History(), credentials=False, watermark=False)
    assert off.signer is None and not off.mark and not off.notes


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_a_certificate_that_is_away_is_not_replaced_by_the_machines_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("certificate.pem", "key.pem"):
        keys.config_folder().mkdir(exist_ok=True)
        (keys.config_folder() / name).symlink_to(tmp_path / "stick" / name)
    with pytest.raises(SoraError, match="no certificate file"):
        plan(History())
    os.mkfifo(tmp_path / "pipe.pem")
    monkeypatch.setenv(keys.CERTIFICATE, str(tmp_path / "pipe.pem"))
    monkeypatch.setenv(keys.KEY, str(tmp_path / "pipe.pem"))
    with pytest.raises(SoraError, match="cannot be read.*it is no file"):
        plan(History())


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_pipe_in_place_of_a_key_or_card_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    keys.config_folder().mkdir()
    for path in (key_file(), tmp_path / "card.toml"):
        os.mkfifo(path)
    with pytest.raises(SoraError, match="watermark key .* cannot be read"):
        watermark_key()
    with pytest.raises(SoraError, match=r"card\.toml cannot be read"):
        read_card(tmp_path / "card.toml")
    key_file().unlink()
    key_file().write_bytes(b"x" * (1 << 20))
    with pytest.raises(SoraError, match="watermark key .* cannot be read"):
        watermark_key()
