"""What README and docs name is there: files, commands, options, spaces, settings; and no line is too long."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from smart_tuner.settings.settings import Settings
from smart_tuner.space.shipped import shipped_spaces
from smart_tuner_main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = {"my.yaml", "settings.yaml", "report.md", "smart_tuner_main.py"}
"""Files that a person writes, that a run leaves, and the program's own."""
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def quoted(page: Path) -> list[str]:
    """What stands between backticks, and every line of the blocks that hold commands."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return re.findall(r"`([^`]+)`", prose) + lines


def options() -> set[str]:
    """Every option of the command line."""
    command = typer.main.get_command(app)
    return {name for parameter in command.params for name in parameter.opts}


@every_page
def test_no_line_is_longer_than_a_terminal(page: Path) -> None:
    long = [number for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1) if len(line) > 120]
    assert not long


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {text for text in quoted(page) if re.fullmatch(r"[\w/-]+\.(py|yaml|md|toml)", text)} - MADE
    places = [ROOT, ROOT / "smart_tuner", ROOT / "search_spaces", ROOT / "docs"]
    assert not [name for name in named if not any((place / name).exists() for place in places)]


@every_page
def test_every_command_can_be_typed(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in quoted(page):
        words = text.split()
        if words[:1] == ["make"]:
            assert set(words[1:]) <= targets, text
        if words[1:2] == ["-m"]:
            assert importlib.util.find_spec(words[2]) is not None, text
        if "smart_tuner_main.py" in words or "smart-tuner" in words or text.startswith("--"):
            assert {word for word in words if word.startswith("--")} <= options() | {"--help"}, text
        for option, known in {
            "--mode": {"train", "tune", "report", "check", "synth"},
            "--space": shipped_spaces(),
        }.items():
            if option in words[:-1] and words[words.index(option) + 1] not in ("FILE", "my.yaml"):
                assert words[words.index(option) + 1] in known, text


@every_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    settings = Settings()
    logged = {
        "hparams.epochs"
    }  # a param of a run that is no setting; sections named like metrics and tags are left out
    known = {
        f"{name}.{spec.name}" for name in ("hparams", "speech", "tracking") for spec in fields(getattr(settings, name))
    }
    named = {found for text in quoted(page) for found in re.findall(r"\b(?:hparams|speech|tracking)\.\w+", text)}
    files = {name for name in named if name.endswith((".py", ".yaml"))}
    assert named - files <= known | logged


def test_the_readme_names_every_folder_and_module_at_the_top() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8")
    top = [entry for entry in (ROOT / "smart_tuner").iterdir() if not entry.name.startswith("_")]
    assert not [entry.name for entry in top if (entry.name + "/" * entry.is_dir()) not in tree]
