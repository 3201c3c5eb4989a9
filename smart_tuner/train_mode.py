"""--mode train: full-length trials of known hyperparameters, from the corpus to the last line in the terminal."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

from smart_tuner import check_mode, session
from smart_tuner.console import Console
from smart_tuner.errors import Interrupted, SettingsError
from smart_tuner.health.repairs import nothing_left, repair
from smart_tuner.request import Request
from smart_tuner.session import Session, trial_name
from smart_tuner.speech.corpus import Examples
from smart_tuner.study.results import Result, Summary, summarise
from smart_tuner.study.train import TrainStudy
from smart_tuner.tracking.tracker import StudyRun
from smart_tuner.trainer import choose_device
from smart_tuner.workers import slots


def run(request: Request, console: Console) -> int:
    """Train until the study holds the trials asked for. The exit code; raises UserError and Fault."""
    refuse_what_is_for_tuning(request)
    if request.dry_run:
        check_mode.describe(request, console)
        console.say("Dry run", "nothing was written")
        return 0
    deadline = session.deadline_of(request)
    places = slots(choose_device(request.device), 1)
    request = request if request.workers else dataclasses.replace(request, workers=0)
    examples = session.prepare(request, console)
    start = session.starting_point(request, examples)
    name = request.study or session.default_name("train", request.settings, examples, start)

    def make_study() -> TrainStudy:
        folder = session.study_folder(request, name)
        return TrainStudy(
            name,
            request.storage,
            request.settings,
            examples.digest,
            request.trials,
            repair=repair,
            folder=folder,
            start=start,
        )

    with session.opened(
        request, console, mode="train", name=name, examples=examples, places=places, make_study=make_study
    ) as (opened, study):
        announce(opened, study, examples)
        try:
            with noted(opened.parent, study):
                session.conduct(opened, study, deadline)
        except Interrupted:
            return opened.stop.exit_code
    return conclude(opened, study)


def refuse_what_is_for_tuning(request: Request) -> None:
    """Raise SettingsError for options that mean nothing here."""
    for option, given in {"--space": request.space, "--warm-start": request.warm_start}.items():
        if given is not None:
            raise SettingsError(f"{option} is for --mode tune; received {given} with --mode train.")
    if (request.workers or 0) > 1:
        raise SettingsError(
            f"--workers above 1 is for --mode tune: here a trial hangs on how the one before ended; "
            f"received {request.workers}."
        )


def announce(opened: Session, study: TrainStudy, examples: Examples) -> None:
    """What is about to happen."""
    request, console = opened.request, opened.console
    planned = check_mode.planned(request.settings, len(examples.train))
    done = len(study.results())
    console.say("Study", f"{opened.name}: {done} of {request.trials} trial(s) finished; each trains for {planned}")
    r = request.settings.hparams.reduction_factor
    console.say("Model", f"Tacotron 2, preset {request.preset}, r = {r}, {session.placed(opened)}")
    console.say("Tracking", opened.extras.found)


@contextmanager
def noted(parent: StudyRun, study: TrainStudy) -> Iterator[None]:
    """Note the trials in the study's parent run and end it, with the status of how the work ended."""
    with session.closed_with_status(parent):
        try:
            yield
        finally:
            results = sorted(study.results(), key=lambda result: math.inf if result.loss is None else result.loss)
            rows = [row(result, parent.trial_link(result.number)) for result in results]
            parent.note(rows, headline(summarise(results)))


def headline(summary: Summary) -> str:
    """The study in a sentence."""
    if summary.best is None:
        return "No trial has ended healthy yet."
    noise = "" if summary.spread is None else f"; over replicates {summary.mean:.4f} ± {summary.spread:.4f}"
    return f"Best: {trial_name(summary.best.number)}, validation.loss {summary.best.loss:.4f}{noise}."


def row(result: Result, link: str) -> dict[str, str]:
    """A trial's line in the parent run's note."""
    loss = f"{result.loss:.4f}" if result.loss is not None else "none"
    named = f"[{trial_name(result.number)}]({link})"
    return {
        "trial": named,
        "origin": result.origin,
        "seed": str(result.seed),
        "state": result.state,
        "best loss": loss,
        "stopped by": result.rule,
    }


def conclude(opened: Session, study: TrainStudy) -> int:
    """The last lines: what came out, where it lies, what to do next. The exit code: 1 when no trial ended healthy."""
    console, request, results = opened.console, opened.request, study.results()
    summary = summarise(results)
    if summary.best is None:
        say_why_not(opened, study, results)
    else:
        say_best(opened, summary)
    session.say_where(opened)
    if summary.best is not None and len(results) < 3:
        again = request.again(trials="3", study=opened.name)
        console.say("Next", f"how much luck is in it, by trials with other seeds: {again}")
    return 0 if summary.best is not None else 1


def say_why_not(opened: Session, study: TrainStudy, results: list[Result]) -> None:
    """No trial ended healthy: by which rules, and what the next attempt would change."""
    console, request = opened.console, opened.request
    rules = ", ".join(dict.fromkeys(result.rule for result in results if result.rule)) or "nothing has finished"
    console.say("Result", f"no trial ended healthy ({rules}); the reasons are above and in each run", "bold red")
    last = results[-1] if results else None
    if last is None:
        return
    mended = study.mended()
    if mended is None:
        console.say("Next", f"{nothing_left(last.rule)} --mode check looks for faults of the corpus")
    else:
        more = request.again(trials=str(len(results) + 2), study=opened.name)
        console.say("Next", f"more attempts, each repaired after the one before (now {mended.change}): {more}")


def say_best(opened: Session, summary: Summary) -> None:
    """The best trial, the noise around it, where its files are."""
    console = opened.console
    assert summary.best is not None  # asked by the caller
    best = trial_name(summary.best.number)
    console.say("Best", f"{best}, validation.loss {summary.best.loss:.4f}")
    if summary.spread is not None:
        console.say(
            "Noise", f"validation.loss {summary.mean:.4f} ± {summary.spread:.4f} (standard deviation) over replicates"
        )
    console.say("Files", f"{opened.folder / best}/: best.pt, last.pt, metrics.jsonl, audio/")
