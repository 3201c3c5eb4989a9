"""A study's storage: what it was made for, its winner, and what is no storage."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from smart_tuner.errors import StorageError
from smart_tuner.settings.settings import Tracking
from smart_tuner.space.objective import Objective
from smart_tuner.space.space import Pruner
from smart_tuner.study.facts import read_facts
from smart_tuner.study.store import load_existing, load_winner
from smart_tuner.study.train import TrainStudy
from tests.support import small
from tests.support.searches import ASHA, GUIDED, RATE, SPACE, SPEAKS, Open, finish, search_in
from tests.support.studies import Memory, storage

# what a study is made for


def test_a_study_made_for_something_else_is_refused_and_what_differs_is_named(open_study: Open) -> None:
    open_study()
    maximised = (Objective(metric="validation.alignment_score", direction="maximize"),)
    fast = (Objective(metric="duration"),)
    others: list[tuple[str, dict[str, Any]]] = [
        (r"to minimize validation\.loss, not to maximize", {"space": dataclasses.replace(SPACE, objectives=maximised)}),
        (r"to minimize validation\.loss, not to minimize dur", {"space": dataclasses.replace(SPACE, objectives=fast)}),
        ("with trials of 1000utt, not 2000utt", {"settings": {"budget": "2000utt"}}),
        (
            r"with other settings \(hparams\.batch_size: 4, now 5; hparams\.seed: 1234, now 7\); use those",
            {"settings": {"batch_size": 5, "seed": 7}},
        ),
        (r"on another corpus \(digest c0rpus, now 0ther\)", {"corpus": "0ther"}),
        (r"with other constraints \(none; now validation", {"space": dataclasses.replace(SPACE, constraints=SPEAKS)}),
    ]
    for sentence, change in others:
        with pytest.raises(StorageError, match=f"'s' was made {sentence}"):
            open_study(6, **change)


def test_a_study_of_another_version_is_refused_wherever_it_is_opened(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'studies.db'}"
    search_in(file).study.set_user_attr("version", 1)
    uses: list[Callable[[], object]] = [
        lambda: search_in(file),
        lambda: load_existing(file, "s", "tune"),
        lambda: read_facts(file, "s"),
    ]
    for use in uses:
        with pytest.raises(StorageError, match=r"'s' was made by another version of this program, .* begin it anew; "):
            use()


def test_other_choices_are_refused_and_other_ranges_are_not(open_study: Open) -> None:
    finish(open_study(2, dataclasses.replace(SPACE, parameters=(RATE, GUIDED))))
    wider = dataclasses.replace(RATE, high=0.5)
    finish(open_study(4, dataclasses.replace(SPACE, parameters=(wider, GUIDED))))
    fewer = dataclasses.replace(GUIDED, choices=(True,))
    with pytest.raises(StorageError, match=r"another hparams\.use_guided_attn .* only ranges may change"):
        open_study(4, dataclasses.replace(SPACE, parameters=(RATE, fewer)))


def test_other_rungs_of_a_halving_pruner_are_refused(open_study: Open) -> None:
    open_study(2, ASHA)
    open_study(2, SPACE)  # another pruner
    with pytest.raises(StorageError, match=r"comparisons at \[100, 300, 900\] utterances, now \[50, 150, 450\]"):
        open_study(2, dataclasses.replace(ASHA, pruner=Pruner(name="asha", warmup="50utt")))


def test_train_and_tune_studies_refuse_each_others_names(open_study: Open, memory: Memory) -> None:
    open_study()
    TrainStudy("t", memory.open(), small.settings(budget="1000utt"), "c0rpus", 1)
    with pytest.raises(StorageError, match="'s' was made by --mode tune, not --mode train; name another study"):
        TrainStudy("s", memory.open(), small.settings(budget="1000utt"), "c0rpus", 1)
    with pytest.raises(StorageError, match="'t' was made by --mode train, not --mode tune; name another study"):
        open_study(name="t")


def test_a_study_remembers_the_space_that_it_began_with(open_study: Open) -> None:
    open_study()
    later = open_study(6, dataclasses.replace(SPACE, confirm=1))
    assert later.began_with == SPACE.to_plain()


def test_another_programs_study_is_refused(open_study: Open, memory: Memory) -> None:
    theirs = optuna.create_study(storage=memory.open(), study_name="s")
    theirs.tell(theirs.ask(), 1.0)
    with pytest.raises(StorageError, match="'s' was made by another program, not --mode tune"):
        open_study()


def test_another_direction_is_refused(open_study: Open, memory: Memory) -> None:
    optuna.create_study(storage=memory.open(), study_name="s", direction="maximize")
    with pytest.raises(StorageError, match=r"'s' was made to maximize, not to minimize validation\.loss; name another"):
        open_study()


def test_studies_of_other_names_do_not_mix(open_study: Open) -> None:
    finish(open_study(2))
    other = open_study(3, name="t", corpus="0ther", settings={"learning_rate": 0.1})
    assert other.results() == []
    finish(other)
    assert (len(open_study().results()), len(other.results())) == (2, 3)


def test_what_is_only_recorded_of_a_trial_may_change(memory: Memory) -> None:
    for tracking in (Tracking(), Tracking(plots=3, enhanced="false")):
        settings = dataclasses.replace(small.settings(), tracking=tracking)
        TrainStudy("s", memory.open(), settings, "c0rpus", 1)


def text_file(folder: Path) -> str:
    (folder / "study.db").write_text("no database, " * 100)
    return f"sqlite:///{folder}/study.db"


MAKE_STORE = pytest.param(small.tracking_store, marks=pytest.mark.slow)


@pytest.mark.parametrize("make", [text_file, MAKE_STORE, str, "sqlite:///{}/missing/study.db".format])
def test_what_is_no_study_storage_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    url = make(tmp_path)
    with pytest.raises(StorageError, match=re.escape(f"The study storage {url} cannot be used: ")) as refused:
        TrainStudy("s", url, small.settings(), "c0rpus", 1)
    assert "\n" not in str(refused.value)


# winner


def test_the_winner_is_found_by_the_studys_name(tmp_path: Path) -> None:
    url = storage(tmp_path)
    for name in ("s", "t"):
        search_in(url, name=name).conclude({"trial": 3})
    search_in(url, name="u")
    assert load_winner(url, "s") == {"trial": 3}
    for name in ("u", "v"):
        with pytest.raises(StorageError, match=f"No search '{name}' with a winner is in .*; those with one: s, t"):
            load_winner(url, name)


def test_a_winner_is_not_looked_for_in_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist yet"):
        load_winner(f"sqlite:///{tmp_path}/none.db", "s")
    assert list(tmp_path.iterdir()) == []
