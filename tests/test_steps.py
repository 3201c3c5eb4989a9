"""What a study leads to: the sentence and the commands of the answer say the same."""

import pytest

from smart_tuner.study.results import Result
from tests.evidenced import FOUND, SCORE, baseline, confirmed, reruns, result, study
from tests.test_answering import told, train, typed, verdict

CONFIRM = "Rerun the best and the baseline with more seeds, after raising confirm in the space file"


def test_a_best_that_is_sick_is_not_to_be_trained_further() -> None:
    sick = {f"trial-000{number}": (verdict(SCORE, 0.1, "sick"),) for number in range(2)}
    assert told(study(confirmed(), winner=1), sick)["Next"].startswith("trial-0001 leads, but is sick by the guide")
    assert told(train([4.1]), sick)["Next"].startswith("trial-0000 leads, but is sick by the guide")
    assert told(study(confirmed(best=(0.6, 0.62))), sick)["Next"].startswith("Keep the baseline")


def test_a_lead_that_did_not_repeat_is_not_called_worse() -> None:
    # in the mean 0.01 worse, by an interval that holds 0; 0.1 worse, by one that does not
    assert told(study(confirmed(best=(0.51, 0.53, 0.55))))["Next"] == (
        "Keep the baseline: the lead of trial-0001 did not repeat in its reruns. Search on, or widen the space."
    )
    assert told(study(confirmed(best=(0.60, 0.62, 0.64))))["Next"].startswith(
        "Keep the baseline: in its reruns trial-0001 is worse, by more than the noise."
    )


def test_a_baseline_that_is_sick_more_often_is_not_recommended() -> None:
    best = [*reruns("best", 0.4, 0.42), result(55, 0.9, values=FOUND, confirms="best", state="stopped")]
    base = reruns("baseline", 0.5, 0.5, 0.5, state="stopped")
    chosen = [baseline(0.5), result(1, 0.3, values=FOUND)]
    evidence = study([*chosen, *best, *base], winner=0)
    assert told(evidence)["Next"] == (
        "Neither trains healthy with every seed: of 3 reruns of trial-0001, 1 did not end healthy, of 4 runs of the "
        "baseline 3. See below what stopped them, and remove that cause before searching on."
    )
    spoken = "Let trial-0000 say words of your own"
    assert list(typed(evidence)) == [spoken, "Continue the search, up to 12 trials in all"]
    healthy = study([*chosen, *best, *reruns("baseline", 0.5, 0.52, 0.54)], winner=0)
    assert told(healthy)["Next"].startswith("Keep the baseline: trial-0001 does not train healthy")
    assert next(iter(typed(healthy))) == "Train trial-0000 at full length"


@pytest.mark.parametrize(
    ("results", "labels"),
    [
        (confirmed(), ["Train trial-0001"]),
        (confirmed(best=(0.6, 0.62)), ["Train trial-0001"]),
        (confirmed(best=(0.4,)), [CONFIRM[:16]]),
        (confirmed(best=(0.49, 0.51, 0.53)), ["Train trial-0001", CONFIRM[:16]]),
        ([baseline(0.5), result(1, 0.3, values=FOUND)], [CONFIRM[:16]]),
        ([*confirmed(best=()), *reruns("best", 0.3, state="stopped")], ["Train trial-0001"]),
    ],
)
def test_the_commands_do_what_the_next_step_says(results: list[Result], labels: list[str]) -> None:
    found = typed(study(results, winner=1))
    assert [label[:16] for label in found] == [*labels, "Let trial-0001 s", "Continue the sea"]
    if CONFIRM in found:
        assert "--trials 2 --study night" in found[CONFIRM]


def test_what_is_sick_by_the_guide_is_not_trained_at_full_length() -> None:
    sick = {"trial-0001": (verdict(SCORE, 0.1, "sick"),)}
    assert list(typed(study(confirmed(), winner=1), verdicts=sick)) == ["Continue the search, up to 12 trials in all"]
    kept = {"trial-0000": sick["trial-0001"]}
    lost = study(confirmed(best=(0.6, 0.62)), winner=0)
    assert not [label for label in typed(lost, verdicts=kept) if label.startswith("Train")]
    assert list(typed(train([4.1]), verdicts=kept)) == []
