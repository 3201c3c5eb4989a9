"""What the command line makes of a recogniser that is trained beside the voice and loses its process."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from smart_tuner.cli import corpus
from smart_tuner.cli.console import Console
from smart_tuner.errors import LostWorkerError
from tests.support import small


class LostBeside:
    """Stands for a process that was killed."""

    def __init__(self, *_: object) -> None:
        self.checks = 0

    def __enter__(self) -> "LostBeside":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def check(self) -> bool:
        self.checks += 1
        if self.checks == 1:
            raise LostWorkerError("The process of the training of the recogniser ended by signal SIGKILL.")
        return False


def test_a_recogniser_whose_process_was_killed_is_told_and_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus, "Beside", LostBeside)
    monkeypatch.setattr(corpus, "count_cores", lambda: 2)
    settings = small.settings()
    settings = dataclasses.replace(settings, tracking=dataclasses.replace(settings.tracking, recogniser_steps=5))
    options = SimpleNamespace(files=SimpleNamespace(recognisers=tmp_path / "recognisers"))
    with corpus.recogniser_beside(small.corpus(tmp_path), options, settings, Console()) as (examples, check):
        check()
        check()
        assert examples.recogniser_awaited
    said = capsys.readouterr().out
    assert said.count("ended by signal SIGKILL. The voice's own process trains it when it is needed.") == 1
