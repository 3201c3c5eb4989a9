"""Spaces that come with the program: found by name from every folder, a file of one's own before them."""

from pathlib import Path

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.space.shipped import SHIPPED, locate_space, shipped_spaces


def test_every_yaml_file_of_the_folder_has_a_name() -> None:
    assert shipped_spaces() == sorted(file.name.removesuffix(".yaml") for file in SHIPPED.iterdir() if file.is_file())
    assert "demo" in shipped_spaces()


@pytest.mark.parametrize("given", ["demo", "demo.yaml", "search_spaces/demo.yaml"])
def test_a_name_is_found_from_a_folder_without_the_spaces(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_space(given) == SHIPPED / "demo.yaml"


def test_below_the_working_folder_the_path_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SHIPPED.parent)
    assert locate_space("demo") == Path("search_spaces/demo.yaml")


def test_a_file_of_that_name_goes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yaml").write_text("parameters: {}\n")
    assert locate_space("demo.yaml") == Path("demo.yaml")
    (tmp_path / "demo").mkdir()
    assert locate_space("demo") == SHIPPED / "demo.yaml"


@pytest.mark.parametrize("given", ["nix", "mine/demo.yaml", "", "."])
def test_neither_file_nor_name_is_refused_with_the_names(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"a shipped space \(demo, first_study, .*\); received "):
        locate_space(given)
