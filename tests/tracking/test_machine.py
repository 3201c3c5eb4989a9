"""What a run happened on, and what to type on this machine."""

import sys
from pathlib import Path

import pytest

from smart_tuner.tracking import machine


def test_a_program_the_shell_finds_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "env", monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path / "env"))
    assert machine.find_command("tool") == "tool"


def test_a_program_of_an_environment_that_is_not_active_is_named_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "env", monkeypatch)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert machine.find_command("tool") == "env/tool"
    monkeypatch.chdir("/")
    assert machine.find_command("tool") == str(tmp_path / "env" / "tool").removeprefix("/")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "tool").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python3"))


def test_a_container_user_without_a_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert "mlflow.user" not in machine.describe_process()
