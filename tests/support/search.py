"""A search of six points that tests of the command line share: half of them are sick, one learns nothing."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import Result

from smart_tuner.settings.health import Health
from smart_tuner.settings.settings import Settings, Tracking
from tests.support import small, spaces
from tests.support.program import invoke, working_folder

RATE = "hparams.learning_rate: {type: categorical, choices: [1.0e-4, 5.0e-2, 1.0e-5]}"
REST = """\
budget: 96utt
sampler: grid
pruner: {name: asha, warmup: 48utt, reduction_factor: 2}
confirm: 1
"""
TUNE = ("--mode", "tune", "--data", "beeps", "--settings", "small.yaml", "--device", "cpu", "--space", "mine.yaml")
HERE = (*TUNE, "--workers", "0")
PLAIN = ("--set", "tracking.enhanced=false")


def sick_when_guided() -> Settings:
    """Settings under which guided attention, which they leave out, is stopped at its first validation, always."""
    health = Health(training_window=1, guide_deadline=1, guide_fall=1.0, missing_score=1.0, formed_score=1.0)
    settings = small.beep_settings(use_guided_attn=False, learning_rate=1e-4, validation_freq=6, seed=5)
    return dataclasses.replace(
        settings, health=health, tracking=Tracking(checkpoint_seconds=0.0, plots=1, recogniser_steps=0)
    )


class Search(NamedTuple):
    """The folder in which the six points were searched as study beeps, and what was said."""

    folder: Path
    result: Result


def prepare_search(folder: Path) -> Path:
    """A working folder with a space of six points: half of them are sick, one learns nothing."""
    working_folder(folder)
    (folder / "small.yaml").write_text(sick_when_guided().to_yaml())
    spaces.write(folder, (RATE, spaces.GUIDED), REST)
    return folder


def search_six(folder: Path) -> Search:
    """Search them; the folder holds both stores afterwards."""
    prepare_search(folder)
    small.tracking_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Search(folder, invoke(*HERE, "--trials", "6", "--study", "beeps"))
