"""One trial's training as events: what it tells, what it obeys, and that it goes on as if it had never stopped."""

import dataclasses
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch.amp import GradScaler

from smart_tuner.checkpoint import read_checkpoint
from smart_tuner.errors import DataError, Interrupted, StorageError, TrialStopped, Verdict
from smart_tuner.evaluation.recogniser import recogniser_file
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Entry, Progress
from smart_tuner.settings.settings import Settings, Tracking
from smart_tuner.training import journal, run
from smart_tuner.trial import Answer, Ended, Event, Listed, Opening, Plotted, Spoken, Trial
from tests.support import small
from tests.support.scripted import stop

pytestmark = pytest.mark.slow  # each trains

PRUNED = stop("asha", "Worse than its neighbours.", step=3, kind="pruner")


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

    def judge(self, progress: Progress) -> list[Verdict]:
        self.judged.append(progress)
        if (progress.kind, progress.step) != ("training", self.step):
            return []
        return [
            Verdict(
                level=self.level,  # type: ignore[arg-type]
                rule="loss_jump",
                sentence="The loss jumped.",
                step=progress.step,
                utterances=progress.utterances,
            )
        ]


def trial(
    settings: Settings | None = None, *, audited: bool = False, start_from: Path | None = None, **hparams: Any
) -> Trial:
    chosen = settings or small.settings(**hparams)
    return Trial(number=3, origin="sampled", settings=chosen, audited=audited, start_from=start_from)


def train(folder: Path, control: Says | None = None, given: Trial | None = None) -> Generator[Event, None, None]:
    files = TrialFolder(folder / "trial")
    return run.train_trial(given or trial(), "cpu", files, control or Says(), examples=small.corpus(folder))


def told(events: Generator[Event, None, None], outcome: type[Exception] | None = None) -> list[Event]:
    """All events up to the exception that ends them."""
    seen: list[Event] = []
    with pytest.raises(outcome) if outcome else closing(events):
        for event in events:
            seen.append(event)
    return seen


def progress(events: list[Event]) -> list[Progress]:
    return [event.progress for event in events if isinstance(event, Entry)]


def state(folder: Path, name: str = "last") -> dict[str, Any]:
    """Where the training is, as a checkpoint keeps it."""
    found: dict[str, Any] = read_checkpoint(getattr(TrialFolder(folder / "trial"), name))["train_state"]
    return found


# what is told


FREERUN = "validation.freerun."


def teacher_forced(told: list[Progress]) -> list[dict[str, Any]]:
    """What is told but for the free-running evaluations, which a bare trainer does not have."""
    lines = small.lines(told)
    for one in lines:
        one["metrics"] = {name: value for name, value in one["metrics"].items() if not name.startswith(FREERUN)}
    return lines


Whole = tuple[Path, Says, list[Event]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A training from its start to its end: its folder, who was asked, and all that it told."""
    folder, control = tmp_path_factory.mktemp("whole"), Says()
    return folder, control, told(train(folder, control))


def test_a_training_opens_tells_every_progress_and_ends(whole: Whole) -> None:
    folder, control, events = whole
    assert isinstance(events[0], Opening)
    assert events[-1] == Ended(None)
    assert teacher_forced(progress(events)) == small.lines(small.trainer(folder / "again").steps())
    assert control.asked == [(one.kind, one.step) for one in progress(events)]
    entries = [event for event in events if isinstance(event, Entry)]
    assert entries == journal.read_journal(TrialFolder(folder / "trial").journal)


def test_a_training_opens_with_every_setting_that_decides_what_is_learned_and_every_count(whole: Whole) -> None:
    opening, chosen = whole[2][0], small.settings()
    assert isinstance(opening, Opening)
    sections = {"hparams": chosen.hparams, "model": chosen.model, "speech": chosen.speech}
    settings = {
        f"{section}.{name}": value for section, values in sections.items() for name, value in asdict(values).items()
    }
    count = sum(parameter.numel() for parameter in small.trainer(whole[0]).model.parameters())
    counts = {"model.total_params": count, "model.trainable_params": count, "hparams.epochs": 2}
    assert opening.params == {**settings, **counts, "dataset.train_size": 14, "dataset.val_size": 3}


def test_a_training_opens_with_device_precision_seed_and_corpus(whole: Whole) -> None:
    opening = whole[2][0]
    assert isinstance(opening, Opening)
    tags, corpus = dict(opening.tags), {"dataset.language": "en", "dataset.digest": "d1ge57"}
    assert 0.5 < float(tags.pop("dataset.fill_ratio")) <= 1.0
    assert tags.pop("threads") == str(torch.get_num_threads())
    assert tags == {"device": "cpu", "precision": "float32", "seed": "1234", **corpus}


def test_the_end_of_a_training_speaks_freely_and_lists_what_it_said(whole: Whole) -> None:
    events = whole[2]
    last, listed = progress(events)[-1], [event for event in events if isinstance(event, Listed)]
    assert {"failure_rate", "mcd"} <= {name.removeprefix(FREERUN) for name in last.metrics}
    assert [event.name for event in listed] == [run.UTTERANCES, run.SPOKEN]
    faulty = [bool(row["faults"]) for row in listed[1].rows]
    assert last.metrics[f"{FREERUN}failure_rate"] == pytest.approx(sum(faulty) / len(faulty))


def test_the_end_of_a_training_lists_each_validation_utterance(whole: Whole) -> None:
    folder, _, events = whole
    listed = next(event for event in events if isinstance(event, Listed))
    tokens = {example.name: len(example.tokens) for example in small.trainer(folder).validation.examples}
    assert {row["name"]: row["tokens"] for row in listed.rows} == tokens
    losses = [float(row["loss"]) for row in listed.rows]
    assert sum(losses) / len(losses) == pytest.approx(progress(events)[-1].metrics["validation.loss"])


def test_a_recogniser_that_is_trained_beside_judges_the_last_speech_alone(tmp_path: Path) -> None:
    settings = small.settings()
    settings = dataclasses.replace(settings, tracking=dataclasses.replace(settings.tracking, recogniser_steps=5))
    examples = small.corpus(tmp_path)
    file = recogniser_file(tmp_path / "kept", examples.digest, settings, small.SYMBOLS)
    examples = dataclasses.replace(examples, recogniser=file, recogniser_awaited=True)
    files = TrialFolder(tmp_path / "trial")
    events = told(run.train_trial(trial(settings), "cpu", files, Says(), examples=examples))
    spoken = [one.metrics for one in progress(events) if FREERUN + "failure_rate" in one.metrics]
    assert not any(FREERUN + "cer" in metrics for metrics in spoken[:-1])
    (waited,) = (event for event in events if isinstance(event, Verdict) and event.rule == "recogniser")
    assert "waits for the recogniser" in waited.sentence
    (ended,) = (event for event in events if isinstance(event, Ended))
    assert file.exists()
    # five steps make no judge
    assert "more than 30%" in ended.tags["recogniser.no_judge"]
    assert FREERUN + "cer" not in spoken[-1]


def test_a_training_that_waits_for_its_recogniser_is_left_at_once_and_validates_when_it_goes_on(tmp_path: Path) -> None:
    settings = small.settings()
    settings = dataclasses.replace(settings, tracking=dataclasses.replace(settings.tracking, recogniser_steps=5))
    examples = small.corpus(tmp_path)
    file = recogniser_file(tmp_path / "kept", examples.digest, settings, small.SYMBOLS)
    examples = dataclasses.replace(examples, recogniser=file, recogniser_awaited=True)
    files, asked = TrialFolder(tmp_path / "trial"), list[Progress]()

    class LeavesInTheWait(Says):
        """Says stop when it is asked for the second time after the same iteration."""

        def ask(self, progress: Progress) -> Answer:
            asked.append(progress)
            waits = len(asked) > 1 and asked[-2] is progress
            return "user" if waits else super().ask(progress)

    file.parent.mkdir()
    with FileLock(file.with_suffix(".lock")), pytest.raises(Interrupted):
        told(run.train_trial(trial(settings), "cpu", files, LeavesInTheWait(), examples=examples))
    assert asked[-1].fraction == 1
    events = told(run.train_trial(trial(settings), "cpu", files, Says(), examples=examples))
    steps = [one.step for one in progress(events) if one.kind == "validation"]
    assert steps == [3, 6]
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("tracking", [Tracking(enhanced="false"), Tracking(freerun_evaluations=0)])
def test_a_training_speaks_freely_only_when_asked(tracking: Tracking, tmp_path: Path) -> None:
    settings = dataclasses.replace(small.settings(budget="1it"), tracking=tracking)
    names = {name for one in progress(told(train(tmp_path, given=trial(settings)))) for name in one.metrics}
    assert not {name for name in names if name.startswith(FREERUN)}


def test_plots_are_shown_first_last_and_evenly_between(tmp_path: Path) -> None:
    chosen = small.settings(validation_freq=1)
    chosen = dataclasses.replace(chosen, tracking=dataclasses.replace(chosen.tracking, plots=2))
    events = told(train(tmp_path, given=trial(chosen)))
    assert [event.step for event in events if isinstance(event, Plotted)] == [1, 3, 6]


def test_rungs_are_validated(tmp_path: Path) -> None:
    given = dataclasses.replace(trial(validation_freq=1000), rungs=(7, 16))
    steps = [one.step for one in progress(told(train(tmp_path, given=given))) if one.kind == "validation"]
    assert steps == [2, 4, 6]


def test_a_budget_of_wall_time_tells_its_epochs_in_the_end(tmp_path: Path) -> None:
    events = told(train(tmp_path, given=trial(budget="0.001s")))
    opening, ended = events[0], events[-1]
    assert isinstance(opening, Opening)
    assert isinstance(ended, Ended)
    assert "hparams.epochs" not in opening.params
    assert ended.params == {"hparams.epochs": pytest.approx(1 / 3)}


def test_a_training_in_fp16_tells_in_the_end_how_many_steps_it_skipped(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path)
    trainer.scaler, trainer.precision, trainer.state.skipped = GradScaler("cpu"), torch.float16, 2
    assert run.closing_facts(trainer) == ({}, {"fp16.skipped_steps": "2", "precision": "float16"})


def test_nothing_is_spoken_or_shown_twice_when_the_budget_ends_with_a_validation(tmp_path: Path) -> None:
    events = told(train(tmp_path, given=trial(budget="1it")))
    assert [event.step for event in events if isinstance(event, Plotted)] == [1]
    kinds = [event.name.split("-1-")[0] for event in events if isinstance(event, Spoken)]
    assert kinds == ["000001-teacher-forced", "000001-free-running", "000001-target"]


def test_without_extras_nothing_is_spoken(tmp_path: Path) -> None:
    quiet = dataclasses.replace(small.settings(budget="1it"), tracking=Tracking(enhanced="false"))
    assert not [event for event in told(train(tmp_path, given=trial(quiet))) if isinstance(event, Spoken)]


def test_a_stopped_training_lists_nothing(tmp_path: Path) -> None:
    events = told(train(tmp_path, Says(PRUNED, "validation", 3)), TrialStopped)
    assert not [event for event in events if isinstance(event, Listed)]


# what is obeyed


@pytest.mark.parametrize(("kind", "step"), [("training", 2), ("training", 3), ("validation", 3), ("validation", 6)])
def test_an_interrupted_training_goes_on_to_the_same_numbers(
    whole: Whole, tmp_path: Path, kind: str, step: int
) -> None:
    control = Says("user", kind, step)
    before = progress(told(train(tmp_path, control), Interrupted))
    assert control.asked[-1] == (kind, step)
    assert state(tmp_path)["iteration"] == step
    again = progress(told(train(tmp_path)))
    assert again[: len(before)] == before  # its past, told again, with the same durations
    assert small.lines(again) == small.lines(progress(whole[2]))
    assert [entry.progress for entry in journal.read_journal(TrialFolder(tmp_path / "trial").journal)] == again


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
    assert state(tmp_path, "best")["best_step"] == 3
    assert not TrialFolder(tmp_path / "trial").last.exists()


def test_a_training_that_is_left_saves_and_goes_on(whole: Whole, tmp_path: Path) -> None:
    with closing(train(tmp_path)) as events:
        before = [next(event for event in events if isinstance(event, Entry)).progress for _ in range(2)]
    assert state(tmp_path)["iteration"] == 2
    expected = small.lines(progress(whole[2]))
    assert small.lines(progress(told(train(tmp_path)))) == expected
    assert small.lines(before) == expected[:2]


def test_weights_come_from_another_trials_checkpoint_unless_there_is_an_own_one(whole: Whole, tmp_path: Path) -> None:
    given = trial(start_from=TrialFolder(whole[0] / "trial").best, seed=5, budget="3it")
    from_it = progress(told(train(tmp_path, Says("user", "training", 2), given), Interrupted))
    plain = next(small.trainer(tmp_path / "plain", seed=5).steps())
    assert from_it[0].metrics["training.loss"] < plain.metrics["training.loss"]
    again = progress(told(train(tmp_path, given=given)))
    assert again[:2] == from_it
    assert [one.step for one in again if one.kind == "training"] == [1, 2, 3]


# health


def test_a_sick_training_is_stopped_by_the_rule_that_found_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Watch", Sick)
    events = train(tmp_path)
    with pytest.raises(TrialStopped) as verdict:
        list(events)
    assert (verdict.value.verdict.rule, verdict.value.verdict.step) == ("loss_jump", 4)
    assert state(tmp_path, "best")["best_step"] == 3


@pytest.mark.parametrize(("level", "audited"), [("stop", True), ("warn", False), ("note", False)])
def test_an_audited_or_a_warned_trial_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, audited: bool
) -> None:
    monkeypatch.setattr(run, "Watch", type("Found", (Sick,), {"level": level}))
    events = told(train(tmp_path, given=trial(audited=audited)))
    found = [index for index, event in enumerate(events) if isinstance(event, Verdict)]
    assert [progress(events[:index])[-1].step for index in found] == [4]
    assert events[-1] == Ended(None)


def test_health_judges_the_past_of_a_training_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(train(tmp_path, Says("user", "training", 5)), Interrupted)
    watch = Sick()
    monkeypatch.setattr(run, "Watch", lambda *_: watch)
    told(train(tmp_path), TrialStopped)
    assert [one.step for one in watch.judged] == [1, 2, 3, 3, 4]


# what breaks


def test_a_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOCK_SECONDS", 0.05)
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
        list(run.train_trial(trial(), "cpu", TrialFolder(tmp_path / "trial"), Says(), examples=examples))
