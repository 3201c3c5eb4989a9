"""The journal: every Progress is on disk before anything else is done with it."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from smart_tuner.errors import CheckpointError
from smart_tuner.progress import Progress
from smart_tuner.training.journal import Journal, read_journal


def training(step: int) -> Progress:
    return Progress(
        kind="training", step=step, utterances=4 * step, fraction=step / 9, metrics={"training.loss": 1 / step}
    )


def validation(step: int) -> Progress:
    return dataclasses.replace(training(step), kind="validation", metrics={"validation.loss": 0.1 + 1e-17})


Written = tuple[Path, list[Progress]]
Open = Callable[[Path, int, int], Journal]


@pytest.fixture
def open_journal() -> Iterator[Open]:
    """Opens journals that stay open until the test ends, as those of a killed process never are closed."""
    with ExitStack() as stack:
        yield lambda path, *until: stack.enter_context(closing(Journal(path, *until)))


@pytest.fixture
def journal(tmp_path: Path, open_journal: Open) -> Written:
    """The file of an open journal of 6 iterations with validations after 3 and 6, and what is in it."""
    progress = [training(1), training(2), training(3), validation(3), *map(training, (4, 5, 6)), validation(6)]
    opened = open_journal(tmp_path / "metrics.jsonl", 0, 0)
    for one in progress:
        opened.append(one)
    return tmp_path / "metrics.jsonl", progress


def test_what_was_noted_is_there_although_nothing_was_closed(journal: Written, open_journal: Open) -> None:
    path, progress = journal
    kept = open_journal(path, 6, 6).kept
    assert [entry.progress for entry in kept] == progress
    assert [entry.milliseconds for entry in kept] == sorted(entry.milliseconds for entry in kept)
    assert kept[0].milliseconds > 1.6e12  # Unix time


def test_what_the_checkpoint_does_not_include_is_dropped(journal: Written, open_journal: Open) -> None:
    path, progress = journal
    assert [entry.progress for entry in open_journal(path, 3, 0).kept] == progress[:3]
    assert [entry.progress for entry in open_journal(path, 6, 6).kept] == progress[:3]  # and gone for good


def test_a_validation_made_before_the_checkpoint_is_kept(journal: Written, open_journal: Open) -> None:
    path, progress = journal
    assert [entry.progress for entry in open_journal(path, 6, 3).kept] == progress[:-1]


@pytest.mark.parametrize("missing", [1, 2, 30])
def test_a_line_that_a_kill_cut_short_is_dropped(journal: Written, open_journal: Open, missing: int) -> None:
    path, progress = journal
    path.write_bytes(path.read_bytes()[:-missing])
    reopened = open_journal(path, 6, 6)
    assert [entry.progress for entry in reopened.kept] == progress[:-1]
    reopened.append(validation(6))
    assert [entry.progress for entry in open_journal(path, 6, 6).kept] == progress


DAMAGES = {
    "zeros": lambda line: bytes(len(line)),
    "no JSON": lambda line: b"{" + line,
    "no UTF-8": lambda line: b"\xff" + line[1:],
    "a list": lambda line: b"[]",
    "a word": lambda line: b'"training"',
    "brackets": lambda line: b"[" * 99_999,
    "another number": lambda line: line.replace(b'"step": 2', b'"step": 3'),
    "another name": lambda line: line.replace(b"utterances", b"utterancez"),
    "another name and no seal": lambda line: line.replace(b"crc32", b"crc31"),
    "nothing": lambda line: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_line_that_was_damaged_is_left_out_and_counted(journal: Written, open_journal: Open, damage: str) -> None:
    path, progress = journal
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], DAMAGES[damage](lines[1]), *lines[2:]]))
    assert [entry.progress for entry in read_journal(path)] == [progress[0], *progress[2:]]
    reopened = open_journal(path, 6, 6)
    assert [entry.progress for entry in reopened.kept] == [progress[0], *progress[2:]]
    assert reopened.lost == 1
    assert len(path.read_bytes().splitlines()) == len(progress) - 1


def test_what_the_checkpoint_knows_and_the_journal_lost_is_counted(journal: Written, open_journal: Open) -> None:
    path, _ = journal
    content = path.read_bytes()
    assert open_journal(path, 6, 6).lost == 0
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))  # with the ends of the lines
    assert open_journal(path, 6, 6).lost == 3
    path.unlink()
    assert open_journal(path, 6, 6).lost == 6
    assert open_journal(path, 0, 0).lost == 0


def test_lines_of_an_earlier_version_are_read(journal: Written) -> None:
    path, progress = journal
    plain = re.sub(r', "crc32": "\w+"', "", path.read_text(encoding="utf-8"))
    assert "crc32" not in plain
    path.write_text(plain, encoding="utf-8")
    assert [entry.progress for entry in read_journal(path)] == progress


def test_a_journal_goes_on_after_what_it_kept(journal: Written, open_journal: Open) -> None:
    path, progress = journal
    entry = open_journal(path, 3, 3).append(training(4))
    assert entry.progress == training(4)
    assert [entry.progress for entry in open_journal(path, 9, 9).kept] == [*progress[:4], training(4)]
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


def test_a_journal_is_read_while_it_is_written(journal: Written) -> None:
    path, progress = journal
    with path.open("a") as file:
        file.write('{"milliseconds": 17')  # a line in the making
    entries = read_journal(path)
    assert [entry.progress for entry in entries] == progress
    assert read_journal(path) == entries
    assert not read_journal(path.with_name("none.jsonl"))


def test_an_appended_entry_is_the_one_that_is_read(tmp_path: Path, open_journal: Open) -> None:
    entry = open_journal(tmp_path / "metrics.jsonl", 0, 0).append(validation(3))
    assert read_journal(tmp_path / "metrics.jsonl") == [entry]


def test_a_journal_that_cannot_be_written_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"The journal .*missing/metrics\.jsonl could not be written: No such file"
    ):
        Journal(tmp_path / "missing" / "metrics.jsonl", 0, 0)
