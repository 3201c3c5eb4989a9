"""Facts of a study as plain data, for its report; nothing is made or changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from smart_tuner.analysis.results import Result
from smart_tuner.errors import StorageError
from smart_tuner.study import store
from smart_tuner.study.trials import FINISHED, list_handed_out, list_own_results
from smart_tuner.tracking.stores import refuse_missing_studies

Mode = Literal["train", "tune"]
MODES: tuple[Mode, ...] = ("train", "tune")
ENDED = (*FINISHED, TrialState.FAIL)


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
    """What the last session was started with; empty before one has begun."""
    folder: str
    """Its files as the last session saw them; empty before one has begun."""
    results: tuple[Result, ...]
    """Trials that have ended, the failed ones too, by number; none that a warm start took over."""
    open: dict[int, str]
    """Origin of each trial that runs or goes on with the next session, by number."""
    began: datetime | None
    """When its first trial began, with the local time zone."""
    ended: datetime | None
    """When its last trial ended."""


def latest_study(storage: str) -> str:
    """The name of the study with the newest activity. Raises StorageError when there is none."""
    with _opened(storage) as backend:
        studies = _studies(backend)
        if not studies:
            raise StorageError(f"There is no study in {storage} yet.")
        if len(studies) == 1:
            return studies[0].study_name
        return max(studies, key=_activity).study_name


def require_study(storage: str, name: str | None) -> None:
    """Raise StorageError unless a study, or any when none is named, is there."""
    if name is None:
        refuse_missing_studies(storage)
        return
    with _opened(storage) as backend:
        _find_study(backend, storage, name)


def read_facts(storage: str, name: str) -> Facts:
    """What is known of a study. Raises StorageError, which names those that are there, for an unknown one."""
    with _opened(storage) as backend:
        return _facts(*_find_study(backend, storage, name))


def _find_study(backend: optuna.storages.BaseStorage, storage: str, name: str) -> tuple[optuna.Study, Mode]:
    names = optuna.get_all_study_names(backend)
    study = optuna.load_study(study_name=name, storage=backend) if name in names else None
    mode = _mode(study) if study is not None else None
    if study is None or mode is None:
        known = ", ".join(sorted(study.study_name for study in _studies(backend))) or "none"
        foreign = " was made by another program" if name in names else " is not there"
        raise StorageError(f"Study {name!r}{foreign}; {storage} holds: {known}.")
    store.require_version(study)
    return study, mode


@contextmanager
def _opened(storage: str) -> Iterator[optuna.storages.BaseStorage]:
    refuse_missing_studies(storage)
    with store.translating_failures(), store.opening_storage(storage):
        yield optuna.storages.get_storage(storage)


def _studies(backend: optuna.storages.BaseStorage) -> list[optuna.Study]:
    """Those of this program, by name."""
    names = sorted(optuna.get_all_study_names(backend))
    studies = [optuna.load_study(study_name=name, storage=backend) for name in names]
    return [study for study in studies if _mode(study) is not None]


def _mode(study: optuna.Study) -> Mode | None:
    """None for a study of another program."""
    return next((mode for mode in MODES if mode == study.user_attrs.get("mode")), None)


def _activity(study: optuna.Study) -> float:
    """When something happened last, in Unix seconds; 0 when no trial has begun."""
    own = [trial.frozen for trial in list_handed_out(study.get_trials(deepcopy=False)) if trial.is_own]
    times = [time for trial in own for time in (trial.datetime_start, trial.datetime_complete)]
    return max((time.timestamp() for time in times if time is not None), default=0.0)


def _facts(study: optuna.Study, mode: Mode) -> Facts:
    known = study.user_attrs
    objectives = tuple((metric, direction) for metric, direction in known["objective"])
    own = [trial for trial in list_handed_out(study.get_trials(deepcopy=False)) if trial.is_own]
    began = [trial.frozen.datetime_start for trial in own if trial.frozen.datetime_start is not None]
    ended = [trial.frozen.datetime_complete for trial in own if trial.frozen.datetime_complete is not None]
    return Facts(
        name=study.study_name,
        mode=mode,
        objectives=objectives,
        constraints=tuple(known["constraints"]),
        space=known.get("space"),
        settings=known["settings"],
        budget=known["budget"],
        corpus=known["corpus"],
        winner=known.get("winner", {}).get("trial"),
        command=known.get("command", ""),
        folder=known.get("folder", ""),
        results=tuple(list_own_results(own, objectives[0][1], ENDED)),
        open={trial.number: trial.plan.origin for trial in own if trial.state is TrialState.RUNNING},
        began=min(began).astimezone() if began else None,  # Optuna's times have no zone and are local
        ended=max(ended).astimezone() if ended else None,
    )
