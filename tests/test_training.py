"""One trial's training as events: what it tells, what it obeys, and that it goes on as if it had never stopped."""

import dataclasses
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from smart_tuner import checkpoint, journal, training
from smart_tuner.errors import DataError, Interrupted, StorageError, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.journal import Entry
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings, Tracking
from smart_tuner.training import Answer, Ended, Event, Listed, Opening, Shown, Spoken, Trial
from tests import small

PRUNED = TrialStopped("Worse than its neighbours.", rule="asha", step=3, observed={}, kind="pruner")


class Says:
    """A control that answers at one Progress, and notes at which it was asked."""

    def __init__(self, answer: Answer = None, kind: str = "training", step: int = 0) -> None:
        self.answer, self.at = answer, (kind, step)
        self.asked: list[tuple[str, int]] = []

    def ask(self, progress: Progress) -> Answer:
        self.asked.append((progress.kind, progress.step))
        return self.answer if self.at == self.asked[-1] else None


class Sick:
    """A watch that finds the same at one iteration."""

    level, step = "stop", 4

    def __init__(self, *_: object) -> None:
        self.judged: list[Progress] = []

    def judge(self, progress: Progress) -> list[Finding]:
        self.judged.append(progress)
        if (progress.kind, progress.step) != ("training", self.step):
            return []
        return [
            Finding(
                level=self.level,  # type: ignore[arg-type]
                rule="loss_jump",
                sentence="The loss jumped.",
                step=progress.step,
                utterances=progress.utterances,
                observed={"training.loss": 9.5},
                limits={"training.loss": 4.0},
                threshold="> 4",
                window="3 iterations",
            )
        ]


def trial(
    settings: Settings | None = None, *, audited: bool = False, start_from: Path | None = None, **hparams: Any
) -> Trial:
    chosen = settings or small.settings(**hparams)
    return Trial(number=3, origin="sampled", settings=chosen, audited=audited, start_from=start_from)


def train(folder: Path, control: Says | None = None, given: Trial | None = None) -> Generator[Event, None, None]:
    return training.train(given or trial(), small.corpus(folder), small.CPU, folder / "trial", control or Says())


def told(events: Generator[Event, None, None], outcome: type[Exception] | None = None) -> list[Event]:
    """All events up to the exception that ends them."""
    seen: list[Event] = []
    with pytest.raises(outcome) if outcome else closing(events):
        for event in events:
            seen.append(event)
    return seen


def progress(events: list[Event]) -> list[Progress]:
    return [event.progress for event in events if isinstance(event, Entry)]


def position(folder: Path, name: str = checkpoint.LAST) -> dict[str, Any]:
    found: dict[str, Any] = checkpoint.read(folder / "trial" / name)["position"]
    return found


# what is told


FREERUN = "validation.freerun."


def teacher_forced(told: list[Progress]) -> list[dict[str, Any]]:
    """What is told but for the free-running evaluations, which a bare trainer does not have."""
    lines = small.lines(told)
    for one in lines:
        one["metrics"] = {name: value for name, value in one["metrics"].items() if not name.startswith(FREERUN)}
    return lines


def test_the_end_of_a_training_speaks_freely_and_lists_what_it_said(tmp_path: Path) -> None:
    events = told(train(tmp_path))
    last, listed = progress(events)[-1], [event for event in events if isinstance(event, Listed)]
    assert {"failure_rate", "mcd"} <= {name.removeprefix(FREERUN) for name in last.metrics}
    assert [event.name for event in listed] == [training.UTTERANCES, training.SPOKEN]
    faulty = [bool(row["faults"]) for row in listed[1].rows]
    assert last.metrics[f"{FREERUN}failure_rate"] == pytest.approx(sum(faulty) / len(faulty))


@pytest.mark.parametrize("tracking", [Tracking(enhanced="false"), Tracking(freerun_evaluations=0)])
def test_a_training_speaks_freely_only_when_asked(tracking: Tracking, tmp_path: Path) -> None:
    given = dataclasses.replace(trial(), settings=dataclasses.replace(trial().settings, tracking=tracking))
    names = {name for one in progress(told(train(tmp_path, given=given))) for name in one.metrics}
    assert not {name for name in names if name.startswith(FREERUN)}


def test_a_training_opens_tells_every_progress_and_ends(tmp_path: Path) -> None:
    control = Says()
    events = told(train(tmp_path, control))
    assert isinstance(events[0], Opening)
    assert events[-1] == Ended(None)
    assert teacher_forced(progress(events)) == small.lines(small.trainer(tmp_path / "again").steps())
    assert control.asked == [(one.kind, one.step) for one in progress(events)]
    assert [event for event in events if isinstance(event, Entry)] == journal.read(
        tmp_path / "trial" / training.JOURNAL
    )


def test_marks_are_validated(tmp_path: Path) -> None:
    marked = dataclasses.replace(trial(validation_freq=1000), marks=(7, 16))
    steps = [one.step for one in progress(told(train(tmp_path, given=marked))) if one.kind == "validation"]
    assert steps == [2, 4, 6]


def test_a_budget_of_wall_time_tells_its_epochs_in_the_end(tmp_path: Path) -> None:
    events = told(train(tmp_path, given=trial(budget="0.001s")))
    opening, ended = events[0], events[-1]
    assert isinstance(opening, Opening)
    assert isinstance(ended, Ended)
    assert "hparams.epochs" not in opening.params
    assert ended.params == {"hparams.epochs": pytest.approx(1 / 3)}


def test_nothing_is_spoken_or_shown_twice_when_the_budget_ends_with_a_validation(tmp_path: Path) -> None:
    events = told(train(tmp_path, given=trial(budget="1it")))
    assert [event.step for event in events if isinstance(event, Shown)] == [1]
    kinds = [event.name.split("-1-")[0] for event in events if isinstance(event, Spoken)]
    assert kinds == ["000001-teacher-forced", "000001-free-running", "000001-target"]


def test_without_extras_nothing_is_spoken(tmp_path: Path) -> None:
    quiet = dataclasses.replace(small.settings(budget="1it"), tracking=Tracking(enhanced="false"))
    assert not [event for event in told(train(tmp_path, given=trial(quiet))) if isinstance(event, Spoken)]


def test_in_the_end_each_validation_utterance_is_listed(tmp_path: Path) -> None:
    events = told(train(tmp_path))
    listed = next(event for event in events if isinstance(event, Listed))
    assert listed.name == training.UTTERANCES
    examples = small.trainer(tmp_path / "again").validation.examples
    assert {row["name"] for row in listed.rows} == {example.name for example in examples}
    tokens = {example.name: len(example.tokens) for example in examples}
    assert all(row["tokens"] == tokens[str(row["name"])] for row in listed.rows)
    last = progress(events)[-1]
    losses = [float(row["loss"]) for row in listed.rows]
    assert sum(losses) / len(losses) == pytest.approx(last.metrics["validation.loss"])


def test_a_stopped_training_lists_nothing(tmp_path: Path) -> None:
    events = told(train(tmp_path, Says(PRUNED, "validation", 3)), TrialStopped)
    assert not [event for event in events if isinstance(event, Listed)]


# what is obeyed


@pytest.mark.parametrize(("kind", "step"), [("training", 2), ("training", 3), ("validation", 3), ("validation", 6)])
def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path: Path, kind: str, step: int) -> None:
    whole = small.lines(progress(told(train(tmp_path / "whole"))))
    control = Says("user", kind, step)
    before = progress(told(train(tmp_path / "cut", control), Interrupted))
    assert control.asked[-1] == (kind, step)
    assert position(tmp_path / "cut")["iteration"] == step
    again = progress(told(train(tmp_path / "cut")))
    assert again[: len(before)] == before  # its past, told again, with the same durations
    assert small.lines(again) == whole
    assert [entry.progress for entry in journal.read(tmp_path / "cut" / "trial" / training.JOURNAL)] == again


def test_an_interruption_says_who_asked_for_it(tmp_path: Path) -> None:
    for answer, sentence in {
        "user": "Interrupted after iteration 2",
        "budget": "Out of time after iteration 2",
    }.items():
        with pytest.raises(Interrupted, match=f"^{sentence}; the checkpoint is saved") as verdict:
            list(train(tmp_path / answer, Says(answer, "training", 2)))  # type: ignore[arg-type]
        assert (verdict.value.kind, verdict.value.step) == (answer, 2)


def test_a_stop_by_the_study_stops_right_there_and_keeps_the_best(tmp_path: Path) -> None:
    events = train(tmp_path, Says(PRUNED, "validation", 3))
    seen = progress(told(events, TrialStopped))
    assert [(one.kind, one.step) for one in seen][-2:] == [("training", 3), ("validation", 3)]
    assert position(tmp_path, checkpoint.BEST)["best_step"] == 3
    assert not (tmp_path / "trial" / checkpoint.LAST).exists()


def test_a_training_that_is_left_saves_and_goes_on(tmp_path: Path) -> None:
    with closing(train(tmp_path)) as events:
        before = [next(event for event in events if isinstance(event, Entry)).progress for _ in range(2)]
    assert position(tmp_path)["iteration"] == 2
    whole = small.lines(progress(told(train(tmp_path / "whole"))))
    assert small.lines(progress(told(train(tmp_path)))) == whole
    assert small.lines(before) == whole[:2]


def test_weights_come_from_another_trials_checkpoint_unless_there_is_an_own_one(tmp_path: Path) -> None:
    told(train(tmp_path / "first"))
    given = trial(start_from=tmp_path / "first" / "trial" / checkpoint.BEST, seed=5)
    from_it = progress(told(train(tmp_path / "second", Says("user", "training", 2), given), Interrupted))
    plain = progress(told(train(tmp_path / "plain", given=trial(seed=5))))
    assert from_it[0].metrics["training.loss"] < plain[0].metrics["training.loss"]
    again = progress(told(train(tmp_path / "second", given=given)))
    assert again[:2] == from_it
    assert small.lines(again) == small.lines(progress(told(train(tmp_path / "third", given=given))))
    assert [one.step for one in again if one.kind == "training"] == [1, 2, 3, 4, 5, 6]


# health


def test_a_sick_training_is_stopped_by_the_rule_that_found_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Watch", Sick)
    events = train(tmp_path)
    with pytest.raises(TrialStopped) as verdict:
        list(events)
    assert (verdict.value.rule, verdict.value.step, verdict.value.kind) == ("loss_jump", 4, "health")
    assert verdict.value.series == ("training.loss",)
    assert position(tmp_path, checkpoint.BEST)["best_step"] == 3


@pytest.mark.parametrize(("level", "audited"), [("stop", True), ("warn", False), ("note", False)])
def test_an_audited_or_a_warned_trial_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, audited: bool
) -> None:
    monkeypatch.setattr(training, "Watch", type("Found", (Sick,), {"level": level}))
    events = told(train(tmp_path, given=trial(audited=audited)))
    found = [index for index, event in enumerate(events) if isinstance(event, Finding)]
    assert [progress(events[:index])[-1].step for index in found] == [4]
    assert events[-1] == Ended(None)


def test_health_judges_the_past_of_a_training_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(train(tmp_path, Says("user", "training", 5)), Interrupted)
    watch = Sick()
    monkeypatch.setattr(training, "Watch", lambda *_: watch)
    told(train(tmp_path), TrialStopped)
    assert [one.step for one in watch.judged] == [1, 2, 3, 3, 4]


# what breaks


def test_a_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOCK_SECONDS", 0.05)
    (tmp_path / "trial").mkdir()
    with FileLock(tmp_path / "trial" / ".lock"), pytest.raises(StorageError, match=f"trains in {tmp_path}/trial; wait"):
        next(train(tmp_path))
    assert isinstance(next(train(tmp_path)), Opening)


def test_the_folder_is_free_after_any_end(tmp_path: Path) -> None:
    ends: list[Callable[[], object]] = [
        lambda: told(train(tmp_path, Says("user", "training", 1)), Interrupted),
        lambda: train(tmp_path).close(),
        lambda: told(train(tmp_path)),
    ]
    for end in ends:
        end()
        with FileLock(tmp_path / "trial" / ".lock", timeout=0):
            pass


def test_a_mel_that_cannot_be_read_is_a_fault_of_the_data(tmp_path: Path) -> None:
    examples = small.corpus(tmp_path)
    for example in examples.train:
        example.mel.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"The mel of 0-\d\d, .*\.npy, cannot be read"):
        list(training.train(trial(), examples, small.CPU, tmp_path / "trial", Says()))


def test_a_loss_that_is_not_finite_stops_with_the_numbers(tmp_path: Path) -> None:
    events = train(tmp_path)
    assert isinstance(next(events), Opening)
    for file in (tmp_path / "mels").glob("0-*.npy"):
        np.save(file, np.load(file) * np.nan)
    with pytest.raises(TrialStopped) as verdict:
        next(events)
    assert np.isnan(verdict.value.observed["training.loss"])
