"""Who is who in a study: the best, the baseline, the winner, the worst, and those to hear side by side."""

from dataclasses import dataclass

from smart_tuner.analysis.conclusions import baseline_trial, best_trial, cost, list_searched, reached_end
from smart_tuner.analysis.results import Result
from smart_tuner.report.evidence import Evidence, Run

MOST_FINALISTS = 5


@dataclass(frozen=True, kw_only=True)
class Finalists:
    """Runs that a report looks at closely; None where there is none."""

    best: Run | None
    """The best complete, feasible trial by the first objective; of runs without a study the lowest validation.loss."""
    baseline: Run | None
    winner: Run | None
    """What --from-study gives."""
    median: Run | None
    """The middle one of the trials that reached their end."""
    worst: Run | None
    """The trial that ended with the worst objective, complete or stopped; not the best."""
    heard: tuple[Run, ...]
    """To be heard side by side: the best, the winner, the baseline, then the next best, each once, five at most."""

    @property
    def in_focus(self) -> list[Run]:
        """Those whose curves are always read, each once."""
        known = (self.best, self.baseline, self.winner, self.median, self.worst)
        return list({run.name: run for run in known if run is not None}.values())


def find_finalists(evidence: Evidence) -> Finalists:
    direction = evidence.objective.direction
    results = [result for result in list_results(evidence) if result.value is not None]
    ended = [result for result in list_searched(results) if reached_end(result)]
    ended.sort(key=lambda result: (cost_of(result, direction), result.number))
    best, baseline = best_trial(results, direction), baseline_trial(results)
    others = [result for result in list_searched(results) if best is None or result.number != best.number]
    worst = max(others, key=lambda result: (cost_of(result, direction), result.number), default=None)
    winner = next((result for result in results if result.number == evidence.winner), None)
    complete = [result for result in ended if result.state == "complete"]
    # a dict keeps each once, in the order of what a listener asks for first
    heard = {result.number: result for result in (best, winner, baseline, *complete) if result is not None}
    runs = {run.number: run for run in evidence.runs if run.number is not None} | number_runs(evidence)

    def run_of(result: Result | None) -> Run | None:
        return None if result is None else runs[result.number]

    return Finalists(
        best=run_of(best),
        baseline=run_of(baseline),
        winner=run_of(winner),
        median=run_of(ended[len(ended) // 2]) if ended else None,
        worst=run_of(worst),
        heard=tuple(runs[number] for number in list(heard)[:MOST_FINALISTS]),
    )


def list_results(evidence: Evidence) -> list[Result]:
    """The study's results; of runs without a study what they logged, as if each had been a trial."""
    if evidence.mode != "runs":
        return evidence.results
    return [
        Result(
            number=number,
            origin="sampled",
            state="complete" if run.state == "complete" else "stopped",  # only what has ended can be the best
            seed=0,
            value=run.metrics.get("best.validation.loss", run.metrics.get("validation.loss")),
            metrics=dict(run.metrics),
        )
        for number, run in number_runs(evidence).items()
        if run.state != "failed"
    ]


def number_runs(evidence: Evidence) -> dict[int, Run]:
    """Runs without a study by their place; none when there is a study."""
    return dict(enumerate(evidence.runs)) if evidence.mode == "runs" else {}


def cost_of(result: Result, direction: str) -> float:
    """Its objective, lower is better; infinite without one."""
    return float("inf") if result.value is None else cost(result.value, direction)
