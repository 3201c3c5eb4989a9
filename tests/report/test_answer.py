"""The answer in five lines, for studies of every kind; energy, and whether the stops were right."""

from typing import Any

import pytest

from smart_tuner.analysis.results import Result
from smart_tuner.report.answer import describe_energy, list_audit, write_answer
from smart_tuner.report.catalogue import LANGUAGES
from smart_tuner.report.evidence import Run
from smart_tuner.report.finalists import find_finalists
from smart_tuner.space.objective import Objective
from tests.support.evidenced import (
    COMMAND,
    FOUND,
    LOSS,
    SCORE,
    Shelf,
    answered,
    baseline,
    confirmed,
    english,
    reruns,
    result,
    run,
    stopped,
    study,
    train_study,
    verdict,
    words,
)

GATE = "validation.gate_mean"
POWER = "system/gpu_0_power_usage_watts"
VOICE = (verdict(SCORE, 0.99, "good"), verdict(GATE, 0.5, "good"))


def test_a_confirmed_winner_in_five_lines() -> None:
    # search 2 x 600 s + 150 s = 22.5 min; 5 reruns of 600 s = 50 min; the stopped one would have taken 450 s more:
    # 450 / (450 + 1350) = 25 %
    evidence = study([*confirmed(), stopped(2)], winner=1)
    lines = write_answer(evidence, find_finalists(evidence), {"trial-0001": VOICE}, Shelf())
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


def test_the_alignment_score_stands_beside_the_objective() -> None:
    results = [baseline(0.5), result(1, 0.3, values=FOUND, metrics={LOSS: 0.3, SCORE: 0.987})]
    best = answered(study(results))["Best"]
    assert best.startswith("trial-0001: validation.loss 0.3000, validation.alignment_score 0.99.")


def test_what_the_best_changes_is_told_against_the_baseline() -> None:
    own = answered(study([baseline(0.3), result(1, 0.4)], winner=0))
    assert own["Best"] == "trial-0000: validation.loss 0.3000. It has the baseline's own values."
    assert own["Gain"].startswith(
        "None: the best trial has the baseline's values. Winner: trial-0000, the baseline's own"
    )
    assert own["Next"].startswith("Keep the settings as they are (trial-0000)")
    alone = answered(study([result(1, 0.3, values=FOUND)]))["Best"]
    assert alone.endswith("Its values: hparams.learning_rate=0.0005.")


def test_a_study_in_which_every_trial_was_stopped() -> None:
    results = [stopped(0, origin="baseline", own=True), stopped(1), stopped(2, "gate_flat", "health")]
    assert answered(study(results)) == {
        "Best": "None: no trial has ended healthy within the constraints (ended 3: complete 0, stopped 3, audited 0).",
        "Gain": "None: there is no best trial to compare.",
        "Health": "There is no best trial to judge.",
        # 3 x 150 s; nothing ran to the end, so each would have taken 450 s more: 1,350 / 1,800 = 75 %
        "Cost": "8 min of training (trials: 3). Stopped early: 3; about 22 min of training saved, 75 % of the search.",
        "Next": "See below why trials were stopped or fell outside the constraints, and remove that cause before "
        "searching on.",
    }


def test_a_study_without_any_trial() -> None:
    lines = answered(study([], parent_id=None, parent_status=""))
    assert lines["Best"] == "None: no trial has ended yet."
    assert lines["Cost"] == "0 s of training (trials: 0). No trial was stopped early."
    assert lines["Next"].startswith("Start it again with the same command")


def test_a_train_study_tells_its_noise() -> None:
    lines = answered(train_study([4.1, 3.9, 4.3]))
    assert lines["Best"] == "trial-0001: validation.loss 3.9000."
    assert lines["Noise"].startswith("4.1000 ± 0.2000")
    assert lines["Next"].startswith("Listen to trial-0001")
    few = answered(train_study([4.1]))["Next"]
    assert few == "Train with more seeds (3 or more) to know how much of trial-0000 is luck."


def test_a_repaired_training_says_what_was_changed() -> None:
    repaired = result(1, 3.9, origin="repaired", values={"hparams.grad_clip_thresh": 0.25})
    first = stopped(0, "loss_jump", "health", origin="baseline", values={}, planned=0)
    lines = answered(study([first, repaired], mode="train"))
    assert lines["Best"] == "trial-0001: validation.loss 3.9000. It changes hparams.grad_clip_thresh=0.25."
    assert lines["Cost"].endswith("Stopped early: 1; the time saved is unknown.")
    assert answered(study([first], mode="train"))["Next"].startswith("See below why trials were stopped; further")


def test_several_objectives_have_a_front() -> None:
    objectives = (Objective(), Objective(metric=SCORE, direction="maximize"))
    points = [(0.5, 0.9), (0.3, 0.6), (0.4, 0.5)]
    results = [result(number, loss, metrics={LOSS: loss, SCORE: score}) for number, (loss, score) in enumerate(points)]
    lines = answered(study(results, objectives=objectives))
    assert lines["Front"] == (
        "Trials that no other beats in every objective: 2. By the first objective: "
        "trial-0001 (validation.loss 0.3000, validation.alignment_score 0.6000), "
        "trial-0000 (validation.loss 0.5000, validation.alignment_score 0.9000)."
    )
    assert lines["Gain"].startswith("With several objectives there is no single best")
    assert lines["Next"].startswith("Choose from the front")


def test_chosen_runs_have_neither_gain_nor_cost() -> None:
    runs = [Run(name="mine", state="complete", metrics={LOSS: 0.4}), Run(name="bare", state="complete")]
    lines = answered(study([], *runs, mode="runs", command=""))
    assert lines["Best"] == "mine: validation.loss 0.4000."
    assert lines["Gain"] == "Unknown: runs without a study have no baseline and no reruns."
    assert lines["Cost"] == "Unknown: the time of runs without a study is not recorded (runs: 2)."
    bare = answered(study([], runs[1], mode="runs"))["Best"]
    assert bare == "None: no run that came to its end has logged validation.loss."


def test_health_tells_what_is_not_good_with_its_number_the_worst_first() -> None:
    judged = (
        verdict(SCORE, 0.99, "good"),
        verdict("validation.attention_focus", 0.53333, "watch"),
        verdict("grad.norm", 12.0, "sick"),
    )
    evidence = study(confirmed())
    assert answered(evidence, {"trial-0001": judged})["Health"] == (
        "trial-0001 is not healthy by the guide: good in 1 of 3 metrics. Sick: grad.norm 12 (good above 0.8). "
        "To watch: validation.attention_focus 0.533 (good above 0.8). Not measured: validation.gate_mean."
    )
    assert answered(evidence, {"trial-0001": judged[:2]})["Health"] == (
        "trial-0001 shows nothing sick by the guide: good in 1 of 2 metrics. "
        "To watch: validation.attention_focus 0.533 (good above 0.8). Not measured: validation.gate_mean."
    )
    assert answered(evidence)["Health"] == "Unknown: trial-0001 has no metric that the guide judges."


@pytest.mark.parametrize(("kept", "missing"), [(0, GATE), (1, SCORE)])
def test_a_run_is_healthy_only_when_attention_and_gate_were_measured(kept: int, missing: str) -> None:
    assert answered(study(confirmed()), {"trial-0001": VOICE[kept : kept + 1]})["Health"] == (
        f"trial-0001: good in all metrics judged (1), but whether it is healthy is not known; not measured: {missing}."
    )


def test_a_past_that_another_session_told_has_no_known_time() -> None:
    past = [baseline(0.5), result(1, 0.4, seconds=0.0), stopped(2, utterances=0, seconds=0.0)]
    assert answered(study(past))["Cost"].startswith("10 min of training (trials: 3, known for 2). Stopped early: 1;")
    again = answered(study([*confirmed(), *reruns("best", 0.41, seconds=0.0)]))["Cost"]
    assert "50 min more for confirmation (reruns: 6, known for 5)." in again


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_always_five_lines(language: Any) -> None:
    for evidence in (study([]), study(confirmed()), study([stopped(0)]), train_study([4.1]), study([], mode="runs")):
        lines = words(write_answer(evidence, find_finalists(evidence), {}, Shelf()), language)
        assert (len(lines), all(lines.values())) == (5, True)


# energy


def powered(number: int, *metrics: str, device: str = "cuda:0", **changed: Any) -> Run:
    of = baseline(0.5, **changed) if number == 0 else result(number, 0.5, **changed)
    return run(of, metrics=dict.fromkeys(metrics or (POWER,), 300.0), tags={"device": device})


def test_energy_is_mean_power_times_training_time() -> None:
    # 300 W for 600 s: 180,000 J = 0.05 kWh; 100 W for 1,800 s: the same; a node's name may stand before the GPU's
    node = "system/node_3/gpu_7_power_usage_watts"
    runs = powered(0), powered(1, node, seconds=1800.0), run(result(2, 0.4))
    shelf = Shelf({("id-0", POWER): [(0, 200.0), (1, 400.0)], ("id-1", node): [(0, 100.0)]})
    cost = answered(study([], *runs), shelf=shelf)["Cost"]
    assert "0.100 kWh by the GPU's mean power and the training time, known for 2 of 3." in cost


@pytest.mark.parametrize(
    "unclear",
    [
        powered(0, POWER, "system/gpu_1_power_usage_watts"),
        powered(0, device="cpu"),
        powered(0, "system/gpu_0_power_usage_percentage"),
        powered(0, seconds=0.0),
        powered(0, state="failed"),
    ],
)
def test_a_trial_whose_gpu_is_not_clear_does_not_count(unclear: Run) -> None:
    shelf = Shelf({("id-0", metric): [(0, 300.0)] for metric in unclear.metrics})
    assert describe_energy(study([], unclear), shelf) is None
    assert describe_energy(study([], powered(0)), Shelf()) is None, "its history is gone"


@pytest.mark.parametrize(("option", "known"), [("--per-gpu 2", False), ("--per-gpu=12", False), ("--per-gpu 1", True)])
def test_trials_that_share_a_gpu_do_not_count(option: str, known: bool) -> None:
    evidence = study([], powered(0), command=f"{COMMAND} {option}")
    assert (describe_energy(evidence, Shelf({("id-0", POWER): [(0, 300.0)]})) is not None) == known


# were the stops right

STUDY = [
    baseline(0.5),
    stopped(1),
    stopped(2, "attention_late", "health"),
    stopped(3),
    result(4, 0.7, state="audited", rule="asha", kind="pruner", judged_at=500),
]


def test_what_stopping_saved_and_whether_it_was_right() -> None:
    # each of the 3 stopped saw 250 of 1,000 utterances in 150 s: 450 s more; 1,350 s = 22.5 min
    # spent: 2 * 600 + 3 * 150 = 1,650 s, so 1,350 / 3,000 = 45 %; the doomed one ran on for 600 s * (1 - 500 / 1,000)
    assert words(list_audit(study(STUDY))) == {
        "Stopped": "3 of 5 trials (pruner: asha 2, health: attention_late 1); about 22 min of training saved, "
        "45 % of the search.",
        "Audit": "Doomed trials that ran on: 1, for 5 min; 0 of them would have beaten the best; so up to 95 % of the "
        "stops may be wrong (95 % limit).",
        "Comparisons": "Too few trials compared and trained to the end to say which share a pruner should keep.",
    }
    assert list_audit(study([], mode="runs")) == ()


def test_a_doomed_trial_that_would_have_been_best_is_named() -> None:
    wrong = result(4, 0.3, state="audited", rule="asha", kind="pruner", judged_at=500)
    told = words(list_audit(study([*STUDY[:4], wrong])))["Audit"]
    assert "1 of them would have beaten the best; so up to 100 %" in told
    assert told.endswith("Those were trial-0004.")


def test_stopped_reruns_are_counted_apart() -> None:
    again = reruns("best", 0.3, state="stopped", kind="health", rule="loss_jump")
    assert words(list_audit(study([*confirmed(best=()), *again]))) == {
        "Stopped": "None of 2 trials. Reruns stopped, which are not counted in this: 1."
    }


def compared(number: int, *values: float) -> Result:
    return result(number, values[-1], rungs=dict(zip((100, 300), values, strict=False)))


def test_where_the_best_stood_at_each_comparison() -> None:
    # losses at 100 utterances 0.8, 0.7 ... 0.4, in the end 0.1, 0.2 ... 0.5: the best in the end was the worst of five
    trials = [compared(number, 0.9 - number / 10, number / 10) for number in range(1, 6)]
    assert words(list_audit(study([*trials, stopped(6)])))["Comparisons"] == (
        "The trial that ended best ranked 5 of 5 at 100 utterances, 1 of 5 at 300 utterances; keeping the best 100 % "
        "would have kept it."
    )


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([stopped(0, planned=0), stopped(1)], "about 8 min of training saved, 60 % of the search (unknown for 1 of"),
        ([stopped(0, planned=0), stopped(1, utterances=0)], "the time saved is unknown"),
    ],
)
def test_a_saving_that_is_not_known_of_all_says_so(results: list[Result], text: str) -> None:
    assert text in words(list_audit(study(results)))["Stopped"]  # 450 of 450 + 300 s
    assert english(list_audit(study([baseline(0.5)]))[0].text) == "None of 1 trials."
