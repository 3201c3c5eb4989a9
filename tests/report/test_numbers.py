"""A report's numbers against plain arithmetic on what was planted in the study: nothing here asks the report's code."""

import math
import re
import statistics
from collections.abc import Sequence

import pytest
from scipy import stats

from tests.support.planted import (
    BATCH,
    BUDGET,
    HEALTHY,
    PACES,
    RATE,
    SEED,
    Planted,
    Report,
    candidates,
    central,
    edged,
    feasible,
    plain,
    planned,
    seconds,
    sentences,
    winner,
)

LANGUAGES = ("en", "ru")

Folders = pytest.TempPathFactory
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("report numbers")]  # one worker makes the studies


@pytest.fixture(scope="module")
def edge(tmp_path_factory: Folders) -> Report:
    return planned("edge", tmp_path_factory.mktemp("edge"), edged(), winner(edged()).number)


@pytest.fixture(scope="module")
def middle(tmp_path_factory: Folders) -> Report:
    """MLflow has none of its runs: the study's own storage is enough."""
    return planned("middle", tmp_path_factory.mktemp("middle"), central(), winner(central()).number, logged=False)


@pytest.fixture(params=["edge", "middle"])
def report(request: pytest.FixtureRequest) -> Report:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def lines(report: Report, part: str) -> dict[str, str]:
    return {line["label"]: line["text"] for line in report.data["en"][part]}


# leaderboard


def test_trials_stand_in_the_order_of_their_losses(report: Report) -> None:
    """Candidates, then reruns, then those outside the constraint, then the stopped: each by loss."""

    def group(trial: Planted) -> int:
        return 3 if trial.stop else 2 if not feasible(trial) else 1 if trial.confirms else 0

    ordered = sorted(report.planted, key=lambda trial: (group(trial), trial.loss, trial.number))
    rows = report.data["en"]["rows"]
    assert [row["name"] for row in rows] == [trial.name for trial in ordered]
    for row, trial in zip(rows, ordered, strict=True):
        shown = {name: trial.metrics[name] for name in row["metrics"] if name != "validation.loss"}
        assert row["metrics"] == pytest.approx({"validation.loss": trial.loss, **shown})
        assert row["minutes"] == pytest.approx(seconds(trial) / 60)
        assert row["state"] == ("stopped" if trial.stop else "complete")


def test_the_best_is_a_candidate_though_others_reached_a_lower_loss(edge: Report) -> None:
    best = winner(edge.planted)
    assert sum(trial.loss < best.loss for trial in edge.planted) == 2
    marked = {row["name"]: row["marks"] for row in edge.data["en"]["rows"] if row["marks"]}
    assert marked[best.name] == ["best", "winner"]
    assert marked["trial-0000"] == ["baseline"]
    assert [marked[f"trial-{number:04d}"] for number in (33, 34)] == [["rerun of the best"], ["rerun of the baseline"]]
    assert lines(edge, "answer")["Best"] == (
        f"{best.name}: validation.loss {best.loss:.4f}, validation.alignment_score 0.92. "
        "It changes hparams.learning_rate=0.01, hparams.batch_size=8."
    )


# gain


def sides(report: Report) -> tuple[list[float], list[float]]:
    """Losses of the baseline, its own trial among them, and of the best's reruns without its own."""
    base = [report.planted[0].loss, *(trial.loss for trial in report.planted if trial.confirms == "baseline")]
    return base, [trial.loss for trial in report.planted if trial.confirms == "best"]


def gain(report: Report) -> tuple[float, float, float]:
    """The difference of the means and the ends of its 95 % interval, by scipy."""
    base, best = sides(report)
    interval = stats.ttest_ind(base, best, equal_var=False).confidence_interval(0.95)
    return statistics.mean(base) - statistics.mean(best), interval.low, interval.high


def test_a_gain_beyond_the_noise_has_welchs_interval(edge: Report) -> None:
    amount, low, high = gain(edge)
    assert low > 0
    before, _, winner = lines(edge, "answer")["Gain"].partition(" Winner: ")
    assert before == (
        f"{amount:.4f} better than the baseline; 95 % interval of the gain {low:.4f} to {high:.4f}, over seeds (reruns "
        "of the best 3, runs of the baseline 4)."
    )
    assert winner.endswith(", confirmed by reruns with new seeds.")


def test_a_gain_within_the_noise_is_none(middle: Report) -> None:
    amount, low, high = gain(middle)
    assert low < 0 < high
    assert lines(middle, "answer")["Gain"].startswith(
        f"Not distinguishable from the baseline: {amount:.4f} better than the baseline in the mean, but the 95 % "
        f"interval of the gain, {low:.4f} to {high:.4f}, holds 0"
    )


# verdicts


def graded(value: float, good: bool, sick: bool) -> tuple[float, str]:
    return value, "good" if good else "sick" if sick else "watch"


def at_best(trial: Planted) -> dict[str, tuple[float, str]]:
    """By the table of docs/metrics.md: what is neither good nor sick is to be watched."""
    score, focus, mean, std = (trial.metrics[name] for name in list(HEALTHY)[:4])
    return {
        "validation.alignment_score": graded(score, score > 0.5, score < 0.3),
        "validation.attention_focus": graded(focus, focus > 0.8 and score > 0.5, focus > 0.8 and score < 0.3),
        "validation.gate_mean": graded(mean, 0.3 <= mean <= 0.7, mean < 0.1 or mean > 0.9),
        "validation.gate_std": graded(std, std > 0.3, std == 0),
    }


def over_time(trial: Planted) -> dict[str, tuple[float, str]]:
    """Training metrics by the median of their last fifth, without a verdict where that is a single iteration."""
    end = trial.iterations
    logged = [trial.training(step).metrics for step in range(1, end + 1)]
    fifth = min(100, end // 5)
    first, last = (
        {name: statistics.median(point[name] for point in part) for name in logged[0]}
        for part in (logged[:fifth], logged[-fifth:])
    )
    norm, guide, atten = (last[name] for name in list(HEALTHY)[4:])
    lowest, final = (trial.loss, 1.1 * trial.loss) if trial.rises else (trial.loss, trial.loss)
    return {
        "validation.loss": graded(final, final <= 1.05 * lowest, sick=False),
        "grad.norm": graded(norm, norm < 5, norm > 10 and end >= 100),
        "training.loss": graded(last["training.loss"], last["training.loss"] < first["training.loss"], sick=True),
        "training.guide_loss": graded(guide, guide < 0.05, guide >= first["training.guide_loss"]),
        "training.atten_loss": graded(atten, atten < 0.2, atten > 1),
        "duration": graded(trial.batch * PACES[trial.batch], good=True, sick=False),
    }


def test_every_verdict_follows_from_the_guides_thresholds(edge: Report) -> None:
    levels = set()
    by_name = {trial.name: trial for trial in edge.planted}
    for row in edge.data["en"]["rows"]:
        found = {verdict["metric"]: (verdict["value"], verdict["grade"]) for verdict in row["verdicts"]}
        expected = at_best(by_name[row["name"]]) | over_time(by_name[row["name"]])
        assert found.keys() == expected.keys()
        for metric, (value, level) in expected.items():
            assert found[metric] == (pytest.approx(value), level), (row["name"], metric)
            levels.add((metric, level))
    assert len(levels) == 7 * 3 + 2 + 1 + 1  # nothing calls validation.loss sick; training.loss and duration are good
    assert lines(edge, "answer")["Health"].endswith("is healthy by the guide: good in all metrics judged (10).")


def test_verdicts_without_mlflow_are_those_of_the_best_validation(middle: Report) -> None:
    by_name = {trial.name: trial for trial in middle.planted}
    for row in middle.data["en"]["rows"]:
        found = {verdict["metric"]: (verdict["value"], verdict["grade"]) for verdict in row["verdicts"]}
        assert found == at_best(by_name[row["name"]])


# cost and stops


def test_time_spent_and_saved_is_that_of_the_planted_paces(edge: Report) -> None:
    trials = [trial for trial in edge.planted if not trial.confirms]
    spent, again = (sum(map(seconds, part)) for part in (trials, edge.planted[len(trials) :]))
    saved = sum((BUDGET - trial.iterations * trial.batch) * PACES[trial.batch] for trial in trials if trial.stop)
    worth = f"about {saved / 60:.0f} min of training saved, {100 * saved / (saved + spent):.0f} % of the search."
    assert lines(edge, "answer")["Cost"] == (
        f"{spent / 3600:.1f} h of training (trials: 33). {again / 60:.0f} min more for confirmation (reruns: 6). "
        f"Stopped early: 5; {worth}"
    )
    assert lines(edge, "audit")["Stopped"] == f"5 of 33 trials (health: loss_jump 3, pruner: asha 2); {worth}"
    stopped = {
        rule: [trial.name for trial in trials if trial.stop and trial.stop[0] == rule] for rule in ("loss_jump", "asha")
    }
    assert {stop["rule"]: stop["names"] for stop in edge.data["en"]["stops"]} == stopped


def test_the_seeds_are_those_of_the_trials_and_the_reruns(edge: Report) -> None:
    assert lines(edge, "reproduction")["Seeds"] == f"{SEED}–{SEED + 32}, {SEED + 1_000_000}–{SEED + 1_000_002}"


# importance


def test_the_parameter_that_decides_comes_before_the_one_that_does_not(edge: Report, middle: Report) -> None:
    for report, trials in ((edge, 27), (middle, 33)):
        assert len(candidates(report.planted)) == trials
        summary = report.data["en"]["matters"][0]["summary"]
        assert f"over {trials} complete trials" in summary
        rate, batch = (
            [int(number) for number in re.findall(r"\d+", text)] for text in re.findall(r"hparams[^(]*\([^)]*", summary)
        )
        assert summary.index(RATE) < summary.index(BATCH)
        assert rate[0] + batch[0] == 100
        assert rate[0] >= rate[1] > 80
        assert batch[0] <= batch[2] < 15


# all trials


def test_every_trial_is_counted_on_the_way_to_the_best(report: Report) -> None:
    """The trials that led, after the utterances of all before them; a stopped one saw its share of the budget."""
    led, seen, lowest = [], 0, math.inf
    trials = [trial for trial in report.planted if not trial.confirms]
    for trial in trials:
        seen += trial.iterations * trial.batch
        if trial in candidates(report.planted) and trial.loss < lowest:
            lowest = trial.loss
            led.append([trial.name, f"{seen:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"), f"{trial.loss:.4f}"])
    chart = report.data["en"]["trials"]
    assert chart["rows"] == led
    assert chart["summary"].startswith(f"The best, {led[-1][0]} (validation.loss {lowest:.4f}), ended after ")
    assert chart["summary"].endswith(f"{len(trials)} trials took (utterances seen by all trials: {seen:,}).")
    assert len(
        re.findall(r"<title>trial-\d+: [^<]*\((?:complete|stopped|not a candidate)\)", first_chart(report))
    ) == len(trials)


def first_chart(report: Report) -> str:
    return report.html["en"].split("<svg", 2)[1].split("</svg>")[0]


# advice


def advice(report: Report) -> dict[str, tuple[str, str]]:
    return {given["what"]: (given["because"], given["command"]) for given in report.data["en"]["advice"]}


def test_a_best_at_the_end_of_its_range_widens_it_by_half_its_ratio(edge: Report) -> None:
    beyond = 1e-2 * math.sqrt(1e-2 / 1e-4)
    first, second = advice(edge).items()
    assert first[0].startswith("Either train what was found, which reruns confirm, or widen")
    assert first[0].endswith(f": hparams.learning_rate (low: 0.0001, high: {beyond:g}).")
    assert first[1][0].endswith("the best hparams.learning_rate is 0.01, at the high end of 0.0001–0.01.")
    assert "--study edge-wider --warm-start edge" in first[1][1]
    assert second[0] == "Leave out of the next search: hparams.batch_size."


def test_a_gain_within_the_noise_takes_so_many_reruns(middle: Report) -> None:
    amount = gain(middle)[0]
    spread = math.sqrt(statistics.mean(map(statistics.variance, sides(middle))))
    needed = next(
        runs
        for runs in range(2, 1000)
        if stats.nct.sf(stats.t.isf(0.025, 2 * runs - 2), 2 * runs - 2, amount / spread * math.sqrt(runs / 2)) >= 0.8
    )
    assert needed > 20  # where Welch's test is Student's but for a hair
    what, (because, _) = next(iter(advice(middle).items()))
    assert f"would take about {needed} runs on each side" in what
    assert because.startswith(
        f"The gain is {amount:.4f}, a single run scatters by {spread:.4f} (runs: best 3, baseline 4)."
    )


# the same in every form and language


SAID = ("kind", "status", "notices", "answer", "commands", "audit", "advice", "reproduction")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_its_twin_say_the_same_sentences(report: Report, language: str) -> None:
    page, twin = plain(report.html[language]), plain(report.markdown[language])
    said = list(sentences([report.data[language][part] for part in SAID]))
    parts = report.data[language]
    charts = [[chart["title"], chart["summary"]] for chart in (parts["trials"], *parts["matters"], *parts["curves"])]
    for sentence in (*said, *sentences(charts)):
        assert plain(sentence) in page
        assert plain(sentence) in twin


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_its_twin_show_the_same_leaderboard(report: Report, language: str) -> None:
    rows = re.findall(r'<tr id="[^"]*">(.*?)</tr>', report.html[language], re.DOTALL)
    data = report.data[language]["rows"]
    twin = [line.split(" | ") for line in report.markdown[language].splitlines() if re.match(r"\| \[?trial-", line)]
    for row, written, listed in zip(data, rows, twin[: len(data)], strict=True):
        numbers = [*(f"{value:.4f}" for value in row["metrics"].values()), f"{row['minutes']:.1f}"]
        cells = [plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", written, re.DOTALL)]
        assert cells[0].startswith(row["name"])
        assert row["name"] in listed[0]
        assert cells[2:-1] == listed[2:-2] == numbers


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_and_its_twin_show_the_same_verdicts(report: Report, language: str) -> None:
    symbols = {"good": "✓", "watch": "▲", "sick": "✕"}
    written = re.findall(r'<tr><th scope="row"><a [^>]*>(.*?)</a></th>(.*?)</tr>', report.html[language], re.DOTALL)
    page = {name: re.findall(r'true">(.)</span>.*?class="value">([^<]*)<', cells, re.DOTALL) for name, cells in written}
    listed = [line.split(" | ") for line in report.markdown[language].splitlines() if set(line) & set("✓▲✕")]
    twin = {cells[0].strip("| "): re.findall(r"([✓▲✕]) \S+ ([\d.]+)", " | ".join(cells)) for cells in listed}
    for row in report.data[language]["rows"]:
        shown = sorted((symbols[verdict["grade"]], f"{verdict['value']:.3g}") for verdict in row["verdicts"])
        assert sorted(page[row["name"]]) == sorted(twin[row["name"]]) == shown


def test_both_languages_tell_the_same_numbers(report: Report) -> None:
    english, russian = ([numbers(text) for text in sentences(report.data[language])] for language in LANGUAGES)
    assert english == russian


def numbers(text: str) -> Sequence[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))
