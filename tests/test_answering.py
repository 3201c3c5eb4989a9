"""The answer in five lines and the commands after it, for studies of every kind."""

from pathlib import Path
from typing import Any

import pytest

from smart_tuner.report.catalogue import LANGUAGES, Said
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.finalists import finalists
from smart_tuner.report.judging.answering import answer, commands, synthesised
from smart_tuner.report.phrases import span
from smart_tuner.report.view import Verdict
from smart_tuner.space.space import Objective
from smart_tuner.study import summary
from tests.evidenced import (
    COMMAND,
    FOUND,
    LOSS,
    SCORE,
    Shelf,
    baseline,
    confirmed,
    english,
    reruns,
    result,
    run,
    stopped,
    study,
    words,
)

GATE = "validation.gate_mean"
POWER = "system/gpu_0_power_usage_watts"
TRAIN = "python3 smart_tuner_main.py --mode train --trials 1 --study voice"


def told(evidence: Evidence, verdicts: dict[str, tuple[Verdict, ...]] | None = None) -> dict[str, str]:
    return words(answer(evidence, finalists(evidence), verdicts or {}, Shelf()))


def train(losses: list[float], **changed: Any) -> Evidence:
    results = [result(number, loss, values={}, planned=0) for number, loss in enumerate(losses)]
    return study(results, **{"mode": "train", "command": TRAIN, "name": "voice"} | changed)


def verdict(metric: str, value: float, level: Any) -> Verdict:
    return Verdict(metric=metric, value=value, level=level, rule=Said("guide.attention_coverage", {"good": 0.8}))


VOICE = (verdict(SCORE, 0.99, "good"), verdict(GATE, 0.5, "good"))

# the five lines


def test_a_confirmed_winner_in_five_lines() -> None:
    # search 2 x 600 s + 150 s = 22.5 min; 5 reruns of 600 s = 50 min; the stopped one would have taken 450 s more:
    # 450 / (450 + 1350) = 25 %
    evidence = study([*confirmed(), stopped(2)], winner=1)
    lines = answer(evidence, finalists(evidence), {"trial-0001": VOICE}, Shelf())
    assert words(lines) == {
        "Best": "trial-0001: validation.loss 0.3000. It changes hparams.learning_rate=0.0005.",
        "Gain": "0.1000 better than the baseline; 95 % interval of the gain 0.0547 to 0.1453, over seeds (reruns of "
        "the best 3, runs of the baseline 3). Winner: trial-0001, confirmed by reruns with new seeds.",
        "Health": "trial-0001 is healthy by the guide: good in all metrics judged (2).",
        "Cost": "22 min of training (trials: 3). 50 min more for confirmation (reruns: 5). Stopped early: 1; about "
        "8 min of training saved, 25 % of the search.",
        "Next": "Train the values of trial-0001 at full length, and listen.",
    }
    assert [line.link for line in lines] == ["http://mlflow/1", "", "", "", ""]


@pytest.mark.parametrize(("winner", "told_of"), [(1, True), (None, False), (0, False)])
def test_a_winner_is_told_of_once_the_search_has_concluded(winner: int | None, told_of: bool) -> None:
    assert ("Winner: trial-0001" in told(study(confirmed(), winner=winner))["Gain"]) == told_of


def test_the_alignment_score_stands_beside_the_objective() -> None:
    results = [baseline(0.5), result(1, 0.3, values=FOUND, metrics={LOSS: 0.3, SCORE: 0.987})]
    assert told(study(results))["Best"].startswith(
        "trial-0001: validation.loss 0.3000, validation.alignment_score 0.99."
    )


def test_a_best_baseline_has_its_own_values() -> None:
    lines = told(study([baseline(0.3), result(1, 0.4)], winner=0))
    assert lines["Best"] == "trial-0000: validation.loss 0.3000. It has the baseline's own values."
    assert lines["Gain"].startswith("None: the best trial has the baseline's values. Winner: trial-0000, the baseline")
    assert lines["Next"].startswith("Keep the settings as they are (trial-0000)")


def test_without_a_baseline_the_best_lists_its_values() -> None:
    assert told(study([result(1, 0.3, values=FOUND)]))["Best"].endswith("Its values: hparams.learning_rate=0.0005.")


def test_a_study_in_which_every_trial_was_stopped() -> None:
    results = [stopped(0, origin="baseline", own=True), stopped(1), stopped(2, "gate_flat", "health")]
    lines = told(study(results))
    assert lines == {
        "Best": "None: no trial has ended healthy within the constraints (ended 3: complete 0, stopped 3, audited 0).",
        "Gain": "None: there is no best trial to compare.",
        "Health": "There is no best trial to judge.",
        # 3 x 150 s; nothing ran to the end, so each would have taken 450 s more: 1,350 / 1,800 = 75 %
        "Cost": "8 min of training (trials: 3). Stopped early: 3; about 22 min of training saved, 75 % of the search.",
        "Next": "See below why trials were stopped or fell outside the constraints, and remove that cause before "
        "searching on.",
    }


def test_a_study_without_any_trial() -> None:
    lines = told(study([], parent_id=None, parent_status=""))
    assert lines["Best"] == "None: no trial has ended yet."
    assert lines["Cost"] == "0 s of training (trials: 0). No trial was stopped early."
    assert lines["Next"].startswith("Start it again with the same command")


@pytest.mark.parametrize(
    ("status", "running", "text"),
    [
        ("RUNNING", 1, "Let it go on, and write this report again"),
        ("KILLED", 1, "The same command goes on where it was interrupted."),
        ("FAILED", 0, "Remove the cause of the failure;"),
        ("", 1, "The same command goes on where it stands."),
    ],
)
def test_an_unfinished_study_goes_on_first(status: str, running: int, text: str) -> None:
    assert told(study(confirmed(), parent_status=status, running=running))["Next"].startswith(text)


def test_a_train_study_tells_its_noise() -> None:
    lines = told(train([4.1, 3.9, 4.3]))
    assert lines["Best"] == "trial-0001: validation.loss 3.9000."
    assert lines["Noise"].startswith("4.1000 ± 0.2000")
    assert lines["Next"].startswith("Listen to trial-0001")
    assert told(train([4.1]))["Next"].startswith("Train with more seeds (3 or more) to know how much of trial-0000")


def test_a_repaired_training_says_what_was_changed() -> None:
    repaired = result(1, 3.9, origin="repaired", values={"hparams.grad_clip_thresh": 0.25})
    first = stopped(0, "loss_jump", "health", origin="baseline", values={}, planned=0)
    lines = told(study([first, repaired], mode="train"))
    assert lines["Best"] == "trial-0001: validation.loss 3.9000. It changes hparams.grad_clip_thresh=0.25."
    assert lines["Cost"].endswith("Stopped early: 1; the time saved is unknown.")
    assert told(study([first], mode="train"))["Next"].startswith("See below why trials were stopped; further trials")


def test_several_objectives_have_a_front() -> None:
    objectives = (Objective(), Objective(metric=SCORE, direction="maximize"))
    points = [(0.5, 0.9), (0.3, 0.6), (0.4, 0.5)]
    results = [result(number, loss, metrics={LOSS: loss, SCORE: score}) for number, (loss, score) in enumerate(points)]
    lines = told(study(results, objectives=objectives))
    assert lines["Front"] == (
        "Trials that no other beats in every objective: 2. By the first objective: "
        "trial-0001 (validation.loss 0.3000, validation.alignment_score 0.6000), "
        "trial-0000 (validation.loss 0.5000, validation.alignment_score 0.9000)."
    )
    assert lines["Gain"].startswith("With several objectives there is no single best")
    assert lines["Next"].startswith("Choose from the front")
    assert told(study([stopped(0)], objectives=objectives))["Front"].startswith("None: no trial has ended healthy")


def test_chosen_runs_have_neither_gain_nor_cost() -> None:
    runs = [Run(name="mine", state="complete", metrics={LOSS: 0.4}), Run(name="bare", state="complete")]
    lines = told(study([], *runs, mode="runs", command=""))
    assert lines["Best"] == "mine: validation.loss 0.4000."
    assert lines["Gain"] == "Unknown: runs without a study have no baseline and no reruns."
    assert lines["Cost"] == "Unknown: the time of runs without a study is not recorded (runs: 2)."
    assert (
        told(study([], runs[1], mode="runs"))["Best"] == "None: no run that came to its end has logged validation.loss."
    )


def test_health_tells_what_is_not_good_with_its_number_the_worst_first() -> None:
    judged = (
        verdict(SCORE, 0.99, "good"),
        verdict("validation.attention_focus", 0.53333, "watch"),
        verdict("grad.norm", 12.0, "sick"),
    )
    evidence = study(confirmed())
    assert told(evidence, {"trial-0001": judged})["Health"] == (
        "trial-0001 is not healthy by the guide: good in 1 of 3 metrics. Sick: grad.norm 12 (good above 0.8). "
        "To watch: validation.attention_focus 0.533 (good above 0.8). Not measured: validation.gate_mean."
    )
    assert told(evidence, {"trial-0001": judged[:2]})["Health"] == (
        "trial-0001 shows nothing sick by the guide: good in 1 of 2 metrics. "
        "To watch: validation.attention_focus 0.533 (good above 0.8). Not measured: validation.gate_mean."
    )
    assert told(evidence)["Health"] == "Unknown: trial-0001 has no metric that the guide judges."


@pytest.mark.parametrize(("kept", "missing"), [(0, GATE), (1, SCORE)])
def test_a_run_is_healthy_only_when_attention_and_gate_were_measured(kept: int, missing: str) -> None:
    assert told(study(confirmed()), {"trial-0001": VOICE[kept : kept + 1]})["Health"] == (
        f"trial-0001: good in all metrics judged (1), but whether it is healthy is not known; not measured: {missing}."
    )


def test_a_past_that_another_session_told_has_no_known_time() -> None:
    cost = told(study([baseline(0.5), result(1, 0.4, seconds=0.0), stopped(2, utterances=0, seconds=0.0)]))["Cost"]
    assert cost.startswith("10 min of training, known for 2 of 3 trials. Stopped early: 1;")
    again = told(study([*confirmed(), *reruns("best", 0.41, seconds=0.0)]))["Cost"]
    assert "50 min more for confirmation, known for 5 of 6 reruns." in again


def test_energy_is_told_with_the_trials_it_is_known_of() -> None:
    gpu = run(baseline(0.5), metrics={POWER: 300.0}, tags={"device": "cuda:0"})
    evidence, shelf = study([result(1, 0.4)], gpu), Shelf({("id-0", POWER): [(0, 300.0)]})
    cost = words(answer(evidence, finalists(evidence), {}, shelf))["Cost"]
    assert "0.050 kWh by the GPU's mean power and the training time, known for 1 of 2." in cost
    assert "kWh" not in told(evidence)["Cost"]


@pytest.mark.parametrize("seconds", [0.0, 59.4, 60.0, 3599.0, 3600.0, 90000.0])
def test_spans_are_those_of_the_summary(seconds: float) -> None:
    assert english(span(seconds)) == summary.span(seconds)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "evidence", [study([]), study(confirmed()), study([stopped(0)]), train([4.1]), study([], mode="runs")]
)
def test_there_are_always_five_lines(evidence: Evidence, language: Any) -> None:
    lines = answer(evidence, finalists(evidence), {}, Shelf())
    assert len(lines) == len(words(lines, language)) == 5
    assert all(words(lines, language).values())


def test_what_an_earlier_version_did_not_keep_is_not_called_sick() -> None:
    lines = told(study([result(0, None, values={}, seconds=0.0)], mode="train"))
    assert lines["Best"].startswith(
        "Not known: trials ended (1), but the study's storage does not hold their objective"
    )
    assert lines["Noise"] == "Unknown: no trial that ran to its end has a known validation.loss."
    assert lines["Cost"] == "Unknown: the training time was not recorded (trials: 1)."
    assert lines["Next"].startswith("Look at the runs in MLflow")


# the commands


def typed(evidence: Evidence, shelf: Shelf | None = None, verdicts: Any = None) -> dict[str, str]:
    found = commands(evidence, finalists(evidence), Commands(evidence), shelf or Shelf(), verdicts or {})
    return {english(one.label): one.command for one in found}


def test_a_finished_search_is_trained_heard_and_searched_on(tmp_path: Path) -> None:
    wav = tmp_path / "a b.wav"
    shelf = Shelf(
        files={("id-1", "audio/000150-free-running-u1.wav"): wav, ("id-1", "audio/000150-target-u1.wav"): wav}
    )
    found = typed(study(confirmed(), winner=1), shelf)
    assert list(found) == [
        "Train trial-0001 at full length",
        "Hear trial-0001",
        "Let trial-0001 say words of your own",
        "Continue the search, up to 12 trials in all",
    ]
    assert "--mode train --trials 1 --from-study night" in found["Train trial-0001 at full length"]
    assert found["Hear trial-0001"].endswith(f"-m webbrowser file://{tmp_path}/a%20b.wav")
    assert "--mode synth --study night" in found["Let trial-0001 say words of your own"]
    assert "--trials 12 --study night" in found["Continue the search, up to 12 trials in all"]


def test_a_recording_is_played_from_the_studys_folder_if_it_is_there(tmp_path: Path) -> None:
    audio = tmp_path / "trial-0001" / "audio"
    audio.mkdir(parents=True)
    for name in ("000050-free-running-u.wav", "1000000-free-running-u.wav", "000300-target-u.wav", "notes.wav"):
        (audio / name).touch()
    found = typed(study(confirmed(), folder=str(tmp_path)))
    assert found["Hear trial-0001"].endswith(f"{audio}/1000000-free-running-u.wav")
    assert synthesised(["audio/x-free-running-u.wav", "audio/000001-target-u.wav"]) is None


def test_an_unfinished_study_goes_on_with_its_own_command() -> None:
    found = typed(study([baseline(0.5)], parent_status="KILLED", running=1))
    assert found["Continue the study"] == COMMAND
    assert found["Write this report again"].endswith("--mode report --study night")
    assert not [label for label in found if label.startswith(("Train", "Continue the search"))]


def test_a_search_without_a_winner_has_nothing_to_train() -> None:
    assert typed(study([stopped(0)])) == {}


def test_a_long_search_is_doubled() -> None:
    assert list(typed(study([baseline(0.5), *(stopped(number) for number in range(1, 30))])))[-1].endswith(
        "60 trials in all"
    )


def test_a_train_study_goes_on_with_more_seeds() -> None:
    found = typed(train([4.1]))
    assert list(found) == ["Train with more seeds, up to 3 trials in all", "Let trial-0000 say words of your own"]
    assert next(iter(found.values())).endswith("--mode train --trials 3 --study voice")
    assert next(iter(typed(train([4.1, 4.2, 4.3])))) == "Train with more seeds, up to 4 trials in all"


def test_without_a_known_command_nothing_is_typed() -> None:
    assert typed(study(confirmed(), winner=1, command="")) == {}
    assert typed(study([], Run(name="mine", metrics={LOSS: 1.0}), mode="runs", command="")) == {}
