"""Reads a study as plain data, for its report; makes and changes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import StorageError
from smart_tuner.study import store
from smart_tuner.study.agenda import is_own, own_results
from smart_tuner.study.record import FINISHED
from smart_tuner.study.results import Result

Mode = Literal["train", "tune"]
MODES: tuple[Mode, ...] = ("train", "tune")
ENDED = (*FINISHED, TrialState.FAIL)
OBJECTIVE = ("validation.loss", "minimize")
"""Of a study of an earlier version, which does not say it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a study's storage tells."""

    name: str
    mode: Mode
    objectives: tuple[tuple[str, str], ...]
    """Metric and direction of each."""
    constraints: tuple[str, ...]
    space: dict[str, Any] | None
    """Space.to_plain() when the study began; None without a search."""
    settings: str
    """YAML."""
    budget: str
    corpus: str
    """Digest."""
    winner: int | None
    """The trial whose values --from-study gives."""
    command: str
    """What the last session was started with; empty in a study of an earlier version."""
    folder: str
    """Its files as the last session saw them; empty in a study of an earlier version."""
    results: tuple[Result, ...]
    """Trials that have ended, the failed ones too, by number; none that a warm start took over."""
    open: dict[int, str]
    """Origin of each trial that runs or goes on with the next session, by number."""
    began: datetime | None
    """When its first trial began, with the local time zone."""
    ended: datetime | None
    """When its last trial ended."""


def latest(storage: str) -> str:
    """The name of the study with the newest activity. Raises StorageError when there is none."""
    with _opened(storage) as backend:
        studies = _studies(backend)
        if not studies:
            raise StorageError(f"There is no study in {storage} yet.")
        if len(studies) == 1:
            return studies[0].study_name
        return max(studies, key=_activity).study_name


def read(storage: str, name: str) -> Facts:
    """What is known of a study. Raises StorageError, which names those that are there, for an unknown one."""
    with _opened(storage) as backend:
        names = optuna.get_all_study_names(backend)
        mode = _mode(optuna.load_study(study_name=name, storage=backend)) if name in names else None
        if mode is None:
            known = ", ".join(sorted(study.study_name for study in _studies(backend))) or "none"
            foreign = " was made by another program" if name in names else " is not there"
            raise StorageError(f"Study {name!r}{foreign}; {storage} holds: {known}.")
        study = optuna.load_study(study_name=name, storage=backend)
        return _facts(study, mode, study.get_trials(deepcopy=False))


@contextmanager
def _opened(storage: str) -> Iterator[optuna.storages.BaseStorage]:
    store.require_store(storage)
    with store.translated(), store.opened(storage):
        yield optuna.storages.get_storage(storage)


def _studies(backend: optuna.storages.BaseStorage) -> list[optuna.Study]:
    """Those of this program, by name."""
    names = sorted(optuna.get_all_study_names(backend))
    studies = [optuna.load_study(study_name=name, storage=backend) for name in names]
    return [study for study in studies if _mode(study) is not None]


def _mode(study: optuna.Study) -> Mode | None:
    """None for a study of another program; the studies of the first version trained and did not say so."""
    known = study.user_attrs
    mode = known.get("mode", "train" if "digest" in known else None)
    return next((one for one in MODES if one == mode), None)


def _activity(study: optuna.Study) -> float:
    """When something happened last, in Unix seconds; 0 when no trial has begun."""
    trials = study.get_trials(deepcopy=False)
    times = [time for trial in trials if is_own(trial) for time in (trial.datetime_start, trial.datetime_complete)]
    return max((time.timestamp() for time in times if time is not None), default=0.0)


def _facts(study: optuna.Study, mode: Mode, trials: Sequence[FrozenTrial]) -> Facts:
    known = study.user_attrs
    objectives = tuple((metric, direction) for metric, direction in known.get("objective", [OBJECTIVE]))
    own = [trial for trial in trials if is_own(trial)]
    began = [trial.datetime_start for trial in own if trial.datetime_start is not None]
    ended = [trial.datetime_complete for trial in own if trial.datetime_complete is not None]
    return Facts(
        name=study.study_name,
        mode=mode,
        objectives=objectives,
        constraints=tuple(known.get("constraints", ())),
        space=known.get("space"),
        settings=known.get("settings", ""),
        budget=known.get("budget", ""),
        corpus=known.get("corpus", ""),
        winner=known.get("winner", {}).get("trial"),
        command=known.get("command", ""),
        folder=known.get("folder", ""),
        results=tuple(own_results(own, objectives[0][1], ENDED)),
        open={trial.number: trial.user_attrs["trial.origin"] for trial in own if trial.state is TrialState.RUNNING},
        began=min(began).astimezone() if began else None,  # Optuna's times have no zone and are local
        ended=max(ended).astimezone() if ended else None,
    )
