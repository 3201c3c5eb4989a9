"""Who is who in a study: the best, the baseline, the winner, the worst, and those to hear side by side."""

from dataclasses import dataclass

from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.study.conclusions import baseline_trial, best_trial, cost, reached_end, searched
from smart_tuner.study.results import Result

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


def finalists(evidence: Evidence) -> Finalists:
    """Pick them."""
    direction = evidence.objectives[0].direction
    results = [result for result in judged(evidence) if result.loss is not None]
    ended = sorted(
        (one for one in searched(results) if reached_end(one)), key=lambda one: (cost_of(one, direction), one.number)
    )
    best, baseline = best_trial(results, direction), baseline_trial(results)
    others = [one for one in searched(results) if best is None or one.number != best.number]
    worst = max(others, key=lambda one: (cost_of(one, direction), one.number), default=None)
    winner = next((one for one in results if one.number == evidence.winner), None)
    complete = [one for one in ended if one.state == "complete"]
    heard = {one.number: one for one in (best, winner, baseline, *complete) if one is not None}
    run = {one.number: one for one in evidence.runs if one.number is not None} | by_hand(evidence)

    def of(result: Result | None) -> Run | None:
        return None if result is None else run[result.number]

    return Finalists(
        best=of(best),
        baseline=of(baseline),
        winner=of(winner),
        median=of(ended[len(ended) // 2]) if ended else None,
        worst=of(worst),
        heard=tuple(run[number] for number in list(heard)[:MOST_FINALISTS]),
    )


def judged(evidence: Evidence) -> list[Result]:
    """The study's results; of runs without a study what they logged, as if each had been a trial."""
    if evidence.mode != "runs":
        return evidence.results
    return [
        Result(
            number=number,
            origin="sampled",
            state="complete" if run.state == "complete" else "stopped",  # only what has ended can be the best
            seed=0,
            loss=run.metrics.get("best.validation.loss", run.metrics.get("validation.loss")),
            metrics=dict(run.metrics),
        )
        for number, run in by_hand(evidence).items()
        if run.state != "failed"
    ]


def by_hand(evidence: Evidence) -> dict[int, Run]:
    """Runs without a study by their place; none when there is a study."""
    return dict(enumerate(evidence.runs)) if evidence.mode == "runs" else {}


def cost_of(result: Result, direction: str) -> float:
    """Its objective, lower is better; infinite without one."""
    return float("inf") if result.loss is None else cost(result.loss, direction)
