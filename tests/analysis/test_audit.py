"""The audit of the stops: every number here is worked out by hand."""

import pytest

from smart_tuner.analysis.audit import audit, ranks
from tests.support.evidenced import baseline, reruns, result, stopped


def test_stops_are_counted_by_rule_without_reruns() -> None:
    sick = reruns("best", 0.9, state="stopped", kind="health", rule="gate_silent")
    trials = [baseline(0.5), stopped(1), stopped(2), stopped(3, "not_finite", "health")]
    found = audit([*trials, *sick])
    assert (found.trials, found.audited) == (4, 0)
    assert found.stopped == {"pruner: asha": 2, "health: not_finite": 1}


def test_hours_saved_are_the_rest_of_each_stopped_budget() -> None:
    # 30 s for 200 of 1000 utterances: 120 s more; 40 s for 500: 40 s more; the whole took 100 + 30 + 40 s
    trials = [baseline(0.5, seconds=300.0), stopped(1, seconds=30.0, utterances=200)]
    found = audit([*trials, stopped(2, seconds=40.0, utterances=500)])
    assert found.saved == pytest.approx(160.0)
    assert found.share == pytest.approx(160 / (160 + 370))
    assert found.unknown == 0


def test_an_audit_costs_what_its_trials_took_after_they_were_doomed() -> None:
    # 60 s for 600 utterances, doomed at 200: 40 s more; nothing is known of one that has seen no utterance
    doomed = {"state": "audited", "kind": "pruner", "rule": "asha", "seconds": 60.0}
    trials = [result(1, 0.6, judged_at=200, utterances=600, **doomed), result(2, None, utterances=0, **doomed)]
    assert audit([baseline(0.5), *trials]).spent == pytest.approx(40.0)


def test_a_trial_stopped_while_starting_saves_no_more_than_the_longest_took() -> None:
    # 5 s for 10 of 1000 utterances would be 500 s; none took more than 100 s
    found = audit([baseline(0.5, seconds=100.0), stopped(1, seconds=5.0, utterances=10)])
    assert found.saved == pytest.approx(95.0)


def test_a_saving_that_cannot_be_known_is_not_invented() -> None:
    unknown = [stopped(1, utterances=0), stopped(2, planned=0)]
    found = audit([baseline(0.5), *unknown, stopped(3, utterances=2000)])
    assert (found.unknown, found.saved, found.share) == (2, 0.0, 0.0)


@pytest.mark.parametrize(("direction", "beaten"), [("minimize", (2,)), ("maximize", (3,))])
def test_an_audited_trial_beats_the_best_only_when_better_feasible_and_at_its_end(
    direction: str, beaten: tuple[int]
) -> None:
    doomed = {"state": "audited", "kind": "pruner", "rule": "asha"}
    trials = [result(2, 0.4, **doomed), result(3, 0.6, **doomed), result(4, 0.5, **doomed)]
    out = [result(5, loss, feasible=False, **doomed) for loss in (0.1, 0.9)]
    broken = [result(6, loss, utterances=999, planned=1000, **doomed) for loss in (0.1, 0.9)]
    found = audit([baseline(0.5), *trials, *out, *broken], direction)
    assert (found.audited, found.beaten) == (7, beaten)


def test_the_eventual_bests_ranks_give_the_share_that_had_to_be_kept() -> None:
    early = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    trials = [
        result(0, 0.30, rungs={100: early[0], 300: 0.6}, origin="baseline"),
        result(1, 0.35, rungs={100: early[1], 300: 0.7}),
        result(2, 0.20, rungs={100: early[3], 300: 0.5, 500: 0.2}, state="audited"),  # 3 of 6, then 1 of 5
        *(stopped(3 + place, rungs={100: early[at], 300: 0.8}) for place, at in enumerate([2, 4])),
        stopped(5, rungs={100: early[5]}),
    ]
    found = audit(trials)
    assert [(one.utterances, one.rank, one.number) for one in found.standings] == [(100, 3, 6), (300, 1, 5)]
    assert found.keep == 0.5
    highest = ranks(trials, "maximize")  # now trial 1 is best: second highest of six, third of five
    assert [(one.rank, one.number) for one in highest] == [(2, 6), (3, 5)]


def test_equal_trials_at_a_rung_share_the_better_rank() -> None:
    trials = [result(number, 0.3 + number / 100, rungs={100: 0.5}) for number in range(5)]
    assert audit(trials).keep == pytest.approx(0.2)


@pytest.mark.parametrize(("ended", "compared"), [(2, 6), (4, 4), (0, 6), (0, 0)])
def test_too_few_trials_give_no_threshold(ended: int, compared: int) -> None:
    trials = [result(number, 0.3, rungs={100: 0.5}) for number in range(ended)]
    found = audit([*trials, *(stopped(number, rungs={100: 0.6}) for number in range(ended, compared))])
    assert (found.standings, found.keep) == ((), None)
