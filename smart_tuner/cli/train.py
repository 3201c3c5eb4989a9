"""--mode train: full-length trials of known hyperparameters, from the corpus to the last line in the terminal."""

import dataclasses
from functools import partial

from smart_tuner.analysis.results import Result, summarise_training
from smart_tuner.cli.console import Console
from smart_tuner.cli.corpus import describe_budget, describe_plan, prepare_corpus, recogniser_beside
from smart_tuner.cli.options import Options
from smart_tuner.cli.session import Session, find_deadline, find_initial_weights, require_stores, study_name
from smart_tuner.errors import Fault, Interrupted
from smart_tuner.execution.slots import choose_device, find_slots
from smart_tuner.health.rules import nothing_left, repair
from smart_tuner.settings.settings import Settings
from smart_tuner.study.train import TrainStudy
from smart_tuner.training.run import train_trial


def run_train(options: Options, console: Console) -> int:
    """Train until the study holds the trials asked for. The exit code: 1 when none ended healthy; raises UserError."""
    options = options if options.workers else dataclasses.replace(options, workers=0)
    settings = options.resolve_settings()
    if options.dry_run:
        describe_plan(options, settings, console)
        console.say("Dry run", "nothing was written")
        return 0
    require_stores(options)
    deadline = find_deadline(options)
    slots = find_slots(choose_device(options.device), 1)
    prepared = prepare_corpus(options, settings, console)
    with recogniser_beside(prepared, options, settings, console) as (examples, check_beside):
        start = find_initial_weights(options, settings, examples)
        name = options.study or study_name("train", settings, examples, start)

        def make_study() -> TrainStudy:
            folder = options.files.study(name)
            return TrainStudy(
                name,
                options.storage,
                settings,
                examples.digest,
                options.trials,
                repair=repair,
                folder=folder,
                start=start,
            )

        with Session(
            options, console, name=name, settings=settings, examples=examples, slots=slots, make_study=make_study
        ) as session:
            announce_training(session, settings)
            try:
                session.train_trials(partial(train_trial, examples=examples), deadline, check_beside)
            except (Interrupted, Fault) as end:
                return session.leave(end)
            return conclude_training(session)


def conclude_training(session: Session[TrainStudy]) -> int:
    """What came of it, said. The exit code."""
    session.show_conclusion(session.conclude())
    results = session.study.results()
    best = summarise_training(results).best
    if best is not None:
        folder = session.folder.trial(best.number)
        files = [f"{file.name}/" if file.is_dir() else file.name for file in folder.kept if file.exists()]
        session.console.say("Files", f"{folder.path}/: {', '.join(files)}")
    elif results:
        say_what_is_left(session, results)
    return 0 if best is not None else 1


def say_what_is_left(session: Session[TrainStudy], results: list[Result]) -> None:
    """No trial ended healthy: what the next attempt would change."""
    repair = session.study.next_repair()
    if repair is None:
        session.console.say("Repair", f"{nothing_left(results[-1].rule)} --mode check looks for faults of the corpus")
    else:
        more = session.options.again(trials=str(len(results) + 2), study=session.name)
        session.console.say("Repair", f"each attempt is repaired after the one before (now {repair.change}): {more}")


def announce_training(session: Session[TrainStudy], settings: Settings) -> None:
    """What is about to happen."""
    options, console = session.options, session.console
    planned = describe_budget(settings, len(session.examples.train))
    done = len(session.study.results())
    console.say("Study", f"{session.name}: {done} of {options.trials} trial(s) finished; each trains for {planned}")
    r = settings.hparams.reduction_factor
    console.say("Model", f"Tacotron 2, preset {options.start_from}, r = {r}, {session.describe_slots()}")
    console.say("Tracking", session.extras.found)
