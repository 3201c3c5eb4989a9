"""The study's storage: opened, recognised, and its failures translated."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from smart_tuner.errors import StorageError, TrackingError, TrackingRefusal
from smart_tuner.settings import yaml_file
from smart_tuner.settings.settings import Settings
from smart_tuner.tracking.stores import (
    STUDIES,
    connect_to,
    describe_trouble,
    first_line,
    is_missing,
    refuse_missing_studies,
    refusing,
    require_database,
    root_cause,
)

ANOTHER = "name another study with --study."
VERSION = 2
"""Raise it when what is kept of a study or a trial comes to mean something else."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a study was made for: trials of another would not compare with its own."""

    mode: Literal["train", "tune"]
    objectives: tuple[tuple[str, str], ...]
    """Metric and direction of each."""
    settings: Settings
    corpus: str
    """Digest."""
    constraints: tuple[str, ...] = ()
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By name, what Optuna cannot change in the middle of a study: type, log and choices."""

    halving: tuple[int, ...] = ()
    """Utterances at which a halving pruner compares: it remembers trials by the rung's number, not its place."""
    checkpoint: str = ""
    """Digest of the file that every trial starts from; empty: from scratch."""

    def to_attributes(self) -> dict[str, Any]:
        """As kept in the study's user_attrs."""
        return {
            "version": VERSION,  # the first to be written, so that no other stands without it
            "mode": self.mode,
            "objective": [list(objective) for objective in self.objectives],
            "budget": self.settings.hparams.budget,
            "settings": self.settings.to_yaml(),
            "digest": self.settings.digest(),
            "corpus": self.corpus,
            "constraints": list(self.constraints),
            "halving": list(self.halving),
            "checkpoint": self.checkpoint,
            "parameters": json.loads(json.dumps(self.parameters)),
        }


@contextmanager
def translating_failures() -> Iterator[None]:
    """Turn a failure of the study's storage in the middle of a study into TrackingError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as problem:
        trouble = describe_trouble(problem)
        failure = TrackingRefusal if trouble.kind == "refusal" else TrackingError
        said = f"{trouble.text} ({first_line(root_cause(problem))})"  # a driver's own words name the server
        raise failure(
            f"The study storage failed: {said}; once that is put right, the same command goes on."
        ) from problem


def opening_storage(storage: str) -> AbstractContextManager[None]:
    """Turns a failure to open a storage into StorageError."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings would break into the terminal's lines
    return refusing(storage, *STUDIES, RuntimeError)  # RuntimeError: another program's tables


def require_usable(storage: str) -> None:
    """Raise StorageError for a storage that cannot be used; one in a file may not be there yet, and is not made."""
    with opening_storage(storage):
        require_database(storage, write=True)
        tables = set() if is_missing(storage) else list_tables(storage)
        if "version_info" in tables:
            optuna.storages.RDBStorage(storage, skip_table_creation=True)  # refuses tables of another version
        elif "alembic_version" in tables:
            raise RuntimeError("it holds the tables of another program; name another with --storage")


def list_tables(address: str) -> set[str]:
    """Names of a database's tables."""
    engine = connect_to(address)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def open_study(name: str, storage: str, identity: Identity) -> optuna.Study:
    """Open or create a study. Raises StorageError for a store that fails and a study made for something else."""
    directions = [optuna.study.StudyDirection[direction.upper()] for _, direction in identity.objectives]
    with opening_storage(storage):
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        known, own = study.user_attrs, identity.to_attributes()
        if "mode" not in known and study.get_trials(deepcopy=False):
            raise StorageError(f"Study {name!r} was made by another program, not --mode {identity.mode}; {ANOTHER}")
        if "mode" in known:
            require_version(study)
        for difference in _differences(study, own | known, own):
            raise StorageError(f"Study {name!r} {difference}")
        # the one who creates the study writes what it is for; a kill in the middle leaves gaps, which are filled here
        for key, value in own.items():
            if key not in known:
                study.set_user_attr(key, value)
    return study


def require_version(study: optuna.Study) -> None:
    """Raise StorageError for a study of this program's that another version made: its trials would not be seen."""
    if study.user_attrs.get("version") != VERSION:
        raise StorageError(
            f"Study {study.study_name!r} was made by another version of this program, which kept its trials otherwise: "
            f"begin it anew; {ANOTHER}"
        )


def _differences(study: optuna.Study, known: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit, the gravest first, each as the end of a sentence."""
    if known["mode"] != own["mode"]:
        yield f"was made by --mode {known['mode']}, not --mode {own['mode']}; {ANOTHER}"
        return
    directions = [direction.name.lower() for direction in study.directions]
    if known["objective"] != own["objective"]:
        yield f"was made {_objectives(known['objective'])}, not {_objectives(own['objective'])}; {ANOTHER}"
    elif directions != [direction for _, direction in own["objective"]]:
        yield f"was made to {', '.join(directions)}, not {_objectives(own['objective'])}; {ANOTHER}"
    if known["budget"] != own["budget"]:
        yield f"was made with trials of {known['budget']}, not {own['budget']}: use that budget, or {ANOTHER}"
    if known["digest"] != own["digest"]:
        yield f"was made with other settings ({_changed(known, own)}); use those, or {ANOTHER}"
    if known["corpus"] != own["corpus"]:
        yield f"was made on another corpus (digest {known['corpus']}, now {own['corpus']}); {ANOTHER}"
    if known["checkpoint"] != own["checkpoint"]:
        yield f"was made with another --checkpoint, or none, or one with it: use the same, or {ANOTHER}"
    if known["constraints"] != own["constraints"]:
        was, now = (", ".join(limits) or "none" for limits in (known["constraints"], own["constraints"]))
        yield f"was made with other constraints ({was}; now {now}): use those, or {ANOTHER}"
    rungs, now_at = known["halving"], own["halving"]
    if rungs and now_at and rungs != now_at:
        yield f"was made with comparisons at {rungs} utterances, now {now_at}: keep the pruner's warmup, or {ANOTHER}"
    for parameter, now in own["parameters"].items():
        before = known["parameters"].get(parameter, now)
        if before != now:
            was = json.dumps(before)
            yield f"was made with another {parameter} ({was}; now {json.dumps(now)}): only ranges may change; {ANOTHER}"


def _objectives(pairs: list[list[str]]) -> str:
    return "to " + ", ".join(f"{direction} {metric}" for metric, direction in pairs)


def _changed(known: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    before, now = (_by_name(attributes["settings"]) for attributes in (known, own))
    names = sorted(name for name in before | now if before.get(name) != now.get(name))
    return "; ".join(f"{name}: {before.get(name, 'none')}, now {now.get(name, 'none')}" for name in names)


def _by_name(settings: str) -> dict[str, Any]:
    """The settings that decide a trial's result, from their YAML text."""
    sections: dict[str, dict[str, Any]] = yaml_file.parse_value(settings)
    return {
        f"{section}.{name}": value
        for section, values in sections.items()
        if section != "tracking"
        for name, value in values.items()
    }


def remember_session(study: optuna.Study, facts: Mapping[str, str]) -> None:
    """Keep facts about the session that works on a study: the last session's stay."""
    with translating_failures():
        for key, value in facts.items():
            study.set_user_attr(key, value)


def all_attributes(storage: str) -> dict[str, dict[str, Any]]:
    """The user_attrs of every study by name. Raises StorageError for a store that is not there or fails."""
    refuse_missing_studies(storage)
    with opening_storage(storage):
        return {study.study_name: study.user_attrs for study in optuna.get_all_study_summaries(storage=storage)}


def load_winner(storage: str, name: str) -> dict[str, Any]:
    """What a search concluded. Raises StorageError, which names the searches that have, when it has not."""
    winners = {
        study: attributes["winner"] for study, attributes in all_attributes(storage).items() if "winner" in attributes
    }
    if name not in winners:
        known = ", ".join(sorted(winners)) or "none yet"
        raise StorageError(f"No search {name!r} with a winner is in {storage}; those with one: {known}.")
    winner: dict[str, Any] = winners[name]
    return winner


def number_of_trials(storage: str, name: str) -> int:
    """How many trials a study has; 0 when there is no such study. Raises StorageError for a store that fails."""
    if is_missing(storage):
        return 0
    with opening_storage(storage):
        found = optuna.get_all_study_summaries(storage=storage)
    return next((study.n_trials for study in found if study.study_name == name), 0)


def load_existing(storage: str, name: str, mode: str) -> optuna.Study:
    """A study that must be there. Raises StorageError, which names those of its mode that are."""
    names = [study for study, attributes in all_attributes(storage).items() if attributes.get("mode") == mode]
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise StorageError(f"There is no {mode} study {name!r} in {storage}; there are: {known}.")
    with opening_storage(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        require_version(study)
        return study
