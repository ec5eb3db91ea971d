"""What `sora studio` and `sora serve` say before they serve; what they do then is tested in tests/host/web."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from sora_core.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they go to their base directory


@pytest.mark.parametrize("port", ["x", "-1", "65536", "1.5", ""])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["serve", "--port", port])
    assert stop.value.code == 2 and "is not a port" in capsys.readouterr().err


def test_a_base_directory_is_a_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["studio", "--base-directory", str(tmp_path / "file")]) == 1
    assert "is no folder: give one as --base-directory" in capsys.readouterr().err


def test_without_the_page_it_says_which_package_is_missing(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("comfyui") else find(name))
    assert main(["studio"]) == 1
    assert "pip install comfyui-frontend-package" in capsys.readouterr().err


def test_without_a_server_it_says_which_package_is_missing(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("sora_core.host.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["serve"]) == 1
    assert "pip install aiohttp" in capsys.readouterr().err


def test_a_policy_that_cannot_be_read_stops_it(tmp_path, capsys):
    assert main(["serve", "--policy", str(tmp_path / "none.toml")]) == 1
    assert "There is no policy" in capsys.readouterr().err


def test_an_address_that_is_not_of_this_machine_is_told(capsys):
    assert main(["serve", "--listen", "203.0.113.9", "--port", "0"]) == 1
    assert "203.0.113.9:0 cannot be used" in capsys.readouterr().err
