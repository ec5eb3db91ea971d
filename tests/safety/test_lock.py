"""A lock that is a lock: the machine's policy is in a folder that stands for the real one, see conftest.py."""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from safety_support import constant_classifier

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.language.language_model import reword
from sora_core.safety import gate, machine, policy
from sora_core.safety.frames import FramesBlocked
from sora_core.safety.policy import configured_policy, load_policy, policy_in_force
from sora_core.safety.prompts import check_prompt

LOCKED = "name = 'ours'\nlocked = true\n"


@pytest.fixture
def place(tmp_path):
    """The machine's folder, which is there."""
    (tmp_path / "machine").mkdir()
    return tmp_path / "machine"


@pytest.fixture
def weak(tmp_path):
    (tmp_path / "weak.toml").write_text('[prompt]\naction = "off"\n')
    return tmp_path / "weak.toml"


# -- a policy that is there and cannot be read -----------------------------------------------------------------------
def away(place):
    (place / "policy.toml").symlink_to(place / "away.toml")


def loop(place):
    (place / "policy.toml").symlink_to(place / "policy.toml")


def long_loop(place):
    (place / "policy.toml").symlink_to(place / "b")
    (place / "b").symlink_to(place / "policy.toml")


def folder(place):
    (place / "policy.toml").mkdir()


def pipe(place):
    os.mkfifo(place / "policy.toml")


def broken(place):
    (place / "policy.toml").write_text("locked = true\n[prompt")


def deep(place):
    (place / "policy.toml").write_text("a = " + "[" * 20_000)


def no_text(place):
    (place / "policy.toml").write_bytes(b"\xff\xfe\x00locked")


def empty_link_folder(place):
    place.rmdir()
    place.symlink_to(place.parent / "nowhere")


def file_for_a_folder(place):
    place.rmdir()
    place.write_text("locked = true")


KINDS = [away, loop, long_loop, folder, pipe, broken, deep, no_text, empty_link_folder, file_for_a_folder]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_policy_that_is_there_and_cannot_be_read_stops_everything(place, weak, tmp_path, capsys, kind):
    kind(place)
    for use in (policy_in_force, lambda: configured_policy(weak), lambda: check_prompt("a cat")):
        with pytest.raises(SoraError, match="cannot be read"):
            use()
    out = tmp_path / "x.mp4"
    assert main(["generate", "a cat", "--fast", "--frames", "5", "--policy", str(weak), "-o", str(out)]) == 1
    assert "cannot be read" in capsys.readouterr().err and not out.exists()


NOBODY = 65534


@pytest.mark.skipif(not hasattr(os, "fork"), reason="users of Unix")
@pytest.mark.parametrize("hidden", ["policy.toml", "."])
def test_a_policy_that_may_not_be_read_stops_everything(place, hidden):
    (place / "policy.toml").write_text(LOCKED)
    (place / hidden).chmod(0)
    child = os.fork()
    if not child:
        if os.geteuid() == 0:
            os.setuid(NOBODY)  # root may read everything
        try:
            policy_in_force()
        except SoraError as error:
            os._exit(0 if "cannot be read" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (place / hidden).chmod(0o700)


def test_a_folder_without_a_policy_stops_nothing(place, weak):
    assert policy_in_force() is None and configured_policy(weak).name == "weak"


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_name_that_leads_elsewhere_by_now_replaces_nothing(place, weak, tmp_path, monkeypatch):
    """Who turns the name of his file to the machine's before the two are compared is not taken for it."""
    (place / "policy.toml").write_text(LOCKED)
    name = tmp_path / "name.toml"
    name.symlink_to(weak)
    load = policy.load_policy

    def load_and_turn(path=None):
        found = load(path)
        if path == name:
            name.unlink()
            name.symlink_to(place / "policy.toml")
        return found

    monkeypatch.setattr(policy, "load_policy", load_and_turn)
    with pytest.raises(SoraError, match="'ours'.*is locked"):
        configured_policy(name)
    assert configured_policy(name).locked  # by now it is a name of the same
    (tmp_path / "hard.toml").hardlink_to(place / "policy.toml")
    assert configured_policy(tmp_path / "hard.toml").source == place / "policy.toml"


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_another_file_in_a_policys_place_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "p.toml"
    path.write_text(LOCKED)
    read = policy.read_regular

    def read_and_replace(file, most):
        found = read(file, most)
        (tmp_path / "new.toml").write_text("")
        (tmp_path / "new.toml").replace(file)
        return found

    monkeypatch.setattr(policy, "read_regular", read_and_replace)
    with pytest.raises(SoraError, match="took its place"):
        load_policy(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_no_pipe_and_no_giant_is_waited_for(place, tmp_path, monkeypatch, capsys):
    pipe_, giant = tmp_path / "pipe.toml", tmp_path / "giant.toml"
    os.mkfifo(pipe_)
    giant.write_bytes(b"#" * (2 << 20))
    for path, words in ((pipe_, "There is no policy"), (giant, "more than 1048576 bytes")):
        with pytest.raises(SoraError, match=words):
            configured_policy(path)
        monkeypatch.setenv("SORA_POLICY", str(path))
        assert main(["check", "a cat"]) == 1 and words in capsys.readouterr().err
        monkeypatch.delenv("SORA_POLICY")
    # It became a pipe after somebody looked.
    monkeypatch.setattr(policy, "is_file", lambda path: True)
    with pytest.raises(SoraError, match="cannot be read.*it is no file"):
        load_policy(pipe_)


# -- what a policy names ---------------------------------------------------------------------------------------------
@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_what_a_policy_names_lies_beside_the_real_file(place, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "p.toml").write_text(LOCKED + "[frames]\nfaces = 'faces'\n[frames.thresholds]\nlikeness = 0.4\n")
    (place / "policy.toml").symlink_to(real / "p.toml")
    assert policy_in_force().frames.faces == str(real / "faces")


@pytest.mark.parametrize("text", ["[frames]\nface_model = '~/x.onnx'", "[prompt]\nclassifier = 'transformers:~/guard'"])
def test_a_locked_policy_names_nothing_in_a_users_home(tmp_path, monkeypatch, text):
    monkeypatch.setenv("HOME", str(tmp_path / "mine"))
    (tmp_path / "p.toml").write_text(text)
    assert load_policy(tmp_path / "p.toml").name == "p"
    (tmp_path / "p.toml").write_text("locked = true\n" + text)
    with pytest.raises(SoraError, match="home of whoever"):
        load_policy(tmp_path / "p.toml")


@pytest.mark.skipif(sys.platform == "win32", reason="links and rights")
def test_no_protected_face_is_passed_over(tmp_path):
    """Links are followed, and a folder that cannot be looked into stops the work: its people would go unprotected."""
    from sora_core.safety.frames.faces import pictures_in

    faces, others = tmp_path / "faces", tmp_path / "others"
    for folder in (faces / "a", others):
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.png").touch()
    (faces / "linked").symlink_to(others)
    (others / "round").symlink_to(faces)
    assert {path.name for path in pictures_in(faces)} == {"a.png", "others.png"}
    (faces / "loop").symlink_to(faces / "loop")
    assert len(pictures_in(faces)) == 2
    tmp_path.chmod(0o755)
    (faces / "a").chmod(0)
    child = os.fork()
    if not child:
        try:
            os.chdir(tmp_path)  # the way to which may be closed to others
            os.setuid(NOBODY) if os.geteuid() == 0 else None
            pictures_in("faces")
        except SoraError as error:
            os._exit(0 if "cannot be looked into" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (faces / "a").chmod(0o700)


def test_a_card_that_is_there_and_cannot_be_read_stops_the_work(tmp_path):
    from sora_core.safety.frames.classifiers import read_card

    (tmp_path / "x.toml").mkdir()
    with pytest.raises(SoraError, match="cannot be read"):
        read_card(tmp_path / "x.toml")


def test_no_variable_moves_the_machines_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PROGRAMDATA", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "win32")
    assert str(tmp_path) not in str(machine.folder())


# -- calls to elsewhere ----------------------------------------------------------------------------------------------
class Server(BaseHTTPRequestHandler):
    """Answers as a moderation service and as a language model do, and remembers what it was asked."""

    asked: list[tuple[str, dict]] = []

    def do_POST(self):
        Server.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        answer = {
            "results": [{"category_scores": {"violence": 0.0}}],
            "choices": [{"message": {"content": "An orange cat walking left on a beach."}}],
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    Server.asked = []
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.fixture
def users_proxy(monkeypatch):
    """A proxy that the user names, where nobody answers."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_no_proxy_and_no_model_of_the_users_stands_before_the_guard(place, server, users_proxy, monkeypatch):
    monkeypatch.setenv("SORA_MODERATION_MODEL", "lenient")
    (place / "policy.toml").write_text(LOCKED + f"[prompt]\nclassifier = '{server}'\nmodel = 'stern'\n")
    assert check_prompt("a cat").allowed and Server.asked[0][1]["model"] == "stern"
    (place / "policy.toml").write_text(LOCKED + f"[prompt]\nclassifier = '{server}'\n")
    assert check_prompt("a cat").allowed and "model" not in Server.asked[1][1]


def test_a_locked_policy_lets_prompts_go_nowhere_unless_it_says_so(place, server, users_proxy, capsys):
    (place / "policy.toml").write_text(LOCKED)
    with pytest.raises(SoraError, match="allows none"):
        reword("a cat walks left on a beach", server)
    assert main(["expand", "a cat walks left on a beach", "--language-model", server]) == 1
    assert "network.hosts" in capsys.readouterr().err and not Server.asked
    port = server.rpartition(":")[2]
    for hosts in (f'"127.0.0.1:{port}"', '"127.0.0.1"'):
        (place / "policy.toml").write_text(LOCKED + f"[network]\nhosts = [{hosts}]\n")
        reword("a cat walks left on a beach", server)
    assert len(Server.asked) == 2
    (place / "policy.toml").write_text(LOCKED + '[network]\nhosts = ["127.0.0.1:1", "example.org"]\n')
    with pytest.raises(SoraError, match="example.org"):
        reword("a cat walks left on a beach", server)


def test_a_policy_that_is_not_locked_may_name_hosts_too(tmp_path):
    (tmp_path / "p.toml").write_text("[network]\nhosts = []")
    assert load_policy().allows_host("http://example.org") and not load_policy(tmp_path / "p.toml").allows_host(
        "http://a"
    )
    (tmp_path / "p.toml").write_text("[network]\nhosts = ['a.org', '[::1]:8080', 'b.org:443']")
    policy = load_policy(tmp_path / "p.toml")
    for good in ("http://A.ORG/v1", "http://a.org:99", "http://[::1]:8080/x", "https://b.org/v1", "http://a.org."):
        assert policy.allows_host(good), good
    for bad in (
        "http://a.org.evil.org",
        "http://a.org@evil.org",
        "http://b.org",
        "http://[::1]:80",
        "http://x:bad",
        "",
    ):
        assert not policy.allows_host(bad), bad


# -- sheets of training ----------------------------------------------------------------------------------------------
def test_sheets_of_training_pass_the_policy(place, tmp_path):
    from sora_core.training.loop.sheets import contact_sheet, save_sheet

    clip = np.full((6, 16, 16, 3), 90, np.uint8)
    assert contact_sheet([clip]).size
    classifier = constant_classifier(tmp_path / "all.onnx", 1.0)
    text = (
        f"[frames]\naction = 'ACTION'\n[frames.thresholds]\nnsfw = 0.5\n[frames.classifiers]\nnsfw = '{classifier}'\n"
    )
    (place / "policy.toml").write_text(LOCKED + text.replace("ACTION", "block"))
    with pytest.raises(FramesBlocked):
        save_sheet(tmp_path / "sheet.png", [clip])
    assert not (tmp_path / "sheet.png").exists()
    (place / "policy.toml").write_text(LOCKED + text.replace("ACTION", "black"))
    assert not np.asarray(contact_sheet([clip]))[:16, :16].any()


def test_the_gate_and_python_keep_to_the_machines_policy(place):
    (place / "policy.toml").write_text(LOCKED)
    with pytest.raises(SoraError, match="beheads"):
        gate.check_text("A man beheads a hostage.")
