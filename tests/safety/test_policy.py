"""The policy file: what it may say, what is refused, and who may replace whose."""

from __future__ import annotations

import pytest

from sora_core.errors import SoraError
from sora_core.safety.policy import ENVIRONMENT, POLICIES, configured_policy, in_force, load_policy, policy_in_force


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_a_file_leaves_out_is_as_in_the_default(tmp_path):
    text = "[prompt.thresholds]\nip = 0.9\nhate = false"
    default, own = load_policy(), load_policy(write(tmp_path / "own.toml", text))
    assert own.prompt.thresholds["ip"] == 0.9 and "hate" not in own.prompt.thresholds
    assert own.prompt.thresholds["violence"] == default.prompt.thresholds["violence"]
    assert (own.frames, own.provenance, own.name) == (default.frames, default.provenance, "own")


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.toml")), ids=lambda p: p.stem)
def test_the_policies_that_come_with_the_package_can_be_read_by_name(path):
    assert load_policy(path.stem).name == path.stem


def test_paths_are_meant_from_the_files_folder(tmp_path):
    text = """[frames]\nfaces = "faces"\n[frames.thresholds]\nlikeness = 0.4\nviolence = 0.5
[frames.classifiers]\nviolence = "gore.onnx"\n"""
    frames = load_policy(write(tmp_path / "deep" / "own.toml", text)).frames
    assert frames.faces == str(tmp_path / "deep" / "faces")
    assert frames.classifiers == {"violence": str(tmp_path / "deep" / "gore.onnx")}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("treshold = 1", "treshold"),
        ("[frames]\nacton = 'blur'", "did you mean 'action'"),
        ("[frames.thresholds]\nnsfv = 0.5", "did you mean 'nsfw'"),
        ("[frames.thresholds]\nnsfw = 1.5", "from 0 to 1"),
        ("[frames.thresholds]\nnsfw = true", "from 0 to 1"),
        ("[frames]\naction = 'warn'", "block, blur, black, off"),
        ("[prompt]\naction = 'blur'", "block, warn, off"),
        ("[prompt]\nclassifier = 'magic'", "builtin"),
        ("[frames.thresholds]\nviolence = 0.5", "needs a classifier"),
        ("[frames.thresholds]\nlikeness = 0.5", "needs a folder"),
        ("[frames.classifiers]\nlikeness = 'x.onnx'", "frames.classifiers.likeness"),
        ("locked = 'yes'", "true or false"),
        ("overridable = ['frames.colour']", "frames.colour"),
        ("[provenance]\nc2pa = 'maybe'", "required"),
        ("name = ", "TOML"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, text, word):
    with pytest.raises(SoraError, match=word.replace("(", r"\(")):
        load_policy(write(tmp_path / "bad.toml", text))


def test_a_policy_that_is_not_there_is_refused():
    with pytest.raises(SoraError, match="default, strict"):
        load_policy("strickt")


def test_a_locked_policy_changes_only_where_it_says(tmp_path):
    text = "locked = true\noverridable = ['frames.action', 'prompt.thresholds.ip']"
    policy = load_policy(write(tmp_path / "locked.toml", text))
    assert policy.override({"frames.action": "blur"}).frames.action == "blur"
    thresholds = policy.prompt.thresholds
    assert policy.override({"prompt.thresholds": {**thresholds, "ip": 0.9}}).prompt.thresholds["ip"] == 0.9
    assert policy.override({"prompt.action": None, "prompt.classifier": "builtin"}) == policy
    for change in ({"prompt.action": "off"}, {"prompt.thresholds": {**thresholds, "hate": 0.9}}):
        with pytest.raises(SoraError, match="is locked"):
            policy.override(change)
    assert load_policy().override({"prompt.action": "off"}).prompt.action == "off"


def test_nobody_replaces_a_locked_policy_from_a_weaker_place(tmp_path, monkeypatch):
    loose = write(tmp_path / "loose.toml", "")
    tight = write(tmp_path / "tight.toml", "locked = true")
    assert configured_policy() is None and configured_policy(loose).name == "loose"
    monkeypatch.setenv(ENVIRONMENT, str(tight))
    assert policy_in_force().name == "tight" and configured_policy(tight).locked
    with pytest.raises(SoraError, match="is locked"):
        configured_policy(loose)
    monkeypatch.setenv(ENVIRONMENT, str(loose))
    assert configured_policy(tight).name == "tight"
    write(tmp_path / "machine" / "policy.toml", "name = 'ours'\nlocked = true")
    with pytest.raises(SoraError, match="'ours'"):
        policy_in_force()


def test_a_set_policy_that_cannot_be_read_stops_the_work(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "gone.toml")
    with pytest.raises(SoraError, match="no policy 'gone.toml'"):
        policy_in_force()


def test_no_block_replaces_a_locked_policy(tmp_path, monkeypatch):
    """Neither Python's host nor a block of code: only the same policy may be put in force again."""
    (tmp_path / "studio.toml").write_text("locked = true\n")
    (tmp_path / "weak.toml").write_text('[prompt]\naction = "off"\n')
    locked, weak = load_policy(tmp_path / "studio.toml"), load_policy(tmp_path / "weak.toml")
    with in_force(locked), in_force(locked), pytest.raises(SoraError, match="'studio'.*is locked: 'weak'"):  # noqa: SIM117
        with in_force(weak):
            pass
    monkeypatch.setenv("SORA_POLICY", str(tmp_path / "studio.toml"))
    from sora_core.host.host import Host

    with pytest.raises(SoraError, match="'studio'.*is locked: 'weak'"):
        Host(policy=weak)
