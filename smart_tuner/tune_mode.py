"""--mode tune: Optuna searches a space; sick and hopeless trials are stopped early, the winner is confirmed."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from smart_tuner import check_mode, forecast, session
from smart_tuner.console import Console
from smart_tuner.errors import Interrupted, SettingsError, StorageError
from smart_tuner.report.commands import NOT_TRAINED
from smart_tuner.request import Request
from smart_tuner.session import Session
from smart_tuner.settings import Settings
from smart_tuner.space import file as space_file
from smart_tuner.space import linter
from smart_tuner.space.space import Space
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Examples
from smart_tuner.study import summary, warm
from smart_tuner.study.conclusions import winner
from smart_tuner.study.samplers import sample
from smart_tuner.study.store import ANOTHER, existing
from smart_tuner.study.tune import TuneStudy, identity
from smart_tuner.tracking.tracker import NOTE_CHARACTERS, StudyRun
from smart_tuner.trainer import choose_device
from smart_tuner.training import Start
from smart_tuner.workers import Slot, slots

GPU_METRIC = "gpu.peak_memory"
SAMPLES = 5
"""Configurations that a dry run shows."""
PROBED_SYMBOLS = 64
"""Size of the symbol table in a forecast: a real one is near it, and it hardly matters."""


def run(request: Request, console: Console) -> int:
    """Search until the study holds the trials asked for, then confirm. The exit code; raises UserError and Fault."""
    space = load_space(request)
    refuse_other_shapes(request, space)
    settings = searched_settings(request, space)
    for warning in linter.warnings(space, settings, request.trials):
        console.say("Warning", warning, "yellow")
    if request.dry_run:
        describe(request, space, settings, console)
        return 0
    deadline = session.deadline_of(request)
    places = places_of(request, space)
    examples = session.prepare(dataclasses.replace(request, settings=settings), console)
    settings = at_equal_data(settings, len(examples.train))
    space = dataclasses.replace(space, budget=settings.hparams.budget)
    corpus.check_sizes(len(examples.train), len(examples.validation), largest_batch(space, settings))
    start = session.starting_point(dataclasses.replace(request, settings=settings), examples)
    name = request.study or default_name(request, settings, examples, start)

    def make_study() -> TuneStudy:
        require_warm_start(request, name, identity(space, settings, examples.digest, start=start).attributes())
        study = TuneStudy(
            name,
            request.storage,
            space,
            settings,
            examples.digest,
            len(examples.train),
            request.trials,
            slots=len(places),
            deadline=deadline,
            start=start,
        )
        refuse_fatal_changes(study, space, name)
        return study

    with session.opened(
        request, console, mode="tune", name=name, examples=examples, places=places, make_study=make_study
    ) as (opened, study):
        try:
            with noted(opened.parent, study, space):
                announce(opened, study, space, settings, examples)
                session.conduct(opened, study, deadline)
        except Interrupted:
            return opened.stop.exit_code
        finally:
            opened.parent.reconcile(study.statuses())
        return conclude(opened, study, space)


def refuse_other_shapes(request: Request, space: Space) -> None:
    """Raise SettingsError for a checkpoint and a space over what gives its layers other shapes."""
    for name in space.by_name if request.checkpoint else ():
        if name == "hparams.reduction_factor" or name.startswith("model."):
            raise SettingsError(
                f"--checkpoint holds layers of one shape, and {space.file} searches over {name}, which gives them "
                "others: leave it out of the space, or start without --checkpoint."
            )


def places_of(request: Request, space: Space) -> list[Slot]:
    """The slots that the trials share. Raises SettingsError for too many workers, and metrics that a CPU has not."""
    device = choose_device(request.device)
    if GPU_METRIC in space.metrics and device.type != "cuda":
        raise SettingsError(f"{space.file}: {GPU_METRIC} is measured on a GPU alone; the device here is {device}.")
    workers = 1 if request.workers == 0 else request.workers or 0  # 0: in this process; not given: as many as fit
    return slots(device, workers, request.per_gpu, every_gpu=request.device == "auto")


def refuse_fatal_changes(study: TuneStudy, space: Space, name: str) -> None:
    """Raise StorageError when the space has changed since the study began in a way that no study can take in."""
    for change in linter.changed(study.began_with, space.to_plain()):
        if change.fatal:
            raise StorageError(f"{space.file} does not fit study {name!r} any more: {change.sentence}; {ANOTHER}")


def require_warm_start(request: Request, name: str, attributes: Mapping[str, Any]) -> None:
    """Raise SettingsError or StorageError for a warm start that is not possible, before the study is made."""
    if request.warm_start is None:
        return
    if request.warm_start == name:
        raise SettingsError(f"--warm-start takes another study than the one that goes on; received {name}.")
    warm.require_comparable(attributes, existing(request.storage, request.warm_start, "tune"))


def load_space(request: Request) -> Space:
    """The search space. Raises SettingsError."""
    if request.space is None:
        raise SettingsError("--mode tune needs --space FILE, a search space such as search_spaces/first_study.yaml.")
    own = request.settings.hparams.budget if request.own_budget else None
    return space_file.load(request.space, request.settings, budget=own)


def searched_settings(request: Request, space: Space) -> Settings:
    """The settings of a trial in the search: a budget on the command line goes before the space's."""
    if request.own_budget or space.budget is None:
        return request.settings
    return request.settings.replace(budget=space.budget)


def at_equal_data(settings: Settings, train_size: int) -> Settings:
    """A budget of epochs in utterances: an epoch of full batches holds more or fewer of them, as the batch is."""
    budget = settings.budget
    return settings.replace(budget=f"{round(budget.amount * train_size)}utt") if budget.unit == "ep" else settings


def largest_batch(space: Space, settings: Settings) -> Settings:
    """The settings with the largest batch that the space holds."""
    return settings.replace(batch_size=int(space.highest("hparams.batch_size", settings)))


def default_name(request: Request, settings: Settings, examples: Examples, start: Start) -> str:
    """The same for the same settings, corpus, start and space's name: a space may be edited while its study goes on."""
    stem = request.space.stem if request.space else "space"
    return f"{session.default_name('tune', settings, examples, start)}-{stem}"


def describe(request: Request, space: Space, settings: Settings, console: Console) -> None:
    """What --dry-run prints: settings, corpus, space, sampled configurations, a forecast. Leaves nothing behind."""
    request = dataclasses.replace(request, settings=settings)
    lengths, validation = check_mode.describe(request, console)
    settings = at_equal_data(settings, len(lengths))
    for line in linter.describe(space, settings):
        console.say("Space", line)
    for values in sample(space, settings, SAMPLES, settings.hparams.seed):
        console.say("Sample", linter.point(values))
    places = places_of(request, space)
    seconds = forecast.probe(settings, lengths, PROBED_SYMBOLS, places[0].device, threads=places[0].threads)
    trial = forecast.trial_seconds(settings, seconds, len(lengths), validation)
    told = forecast.sentence(
        seconds,
        trial,
        trials=request.trials,
        confirming=2 * space.confirm if len(space.objectives) == 1 else 0,
        workers=len(places),
        kept=forecast.kept_share(space, utterances_of(settings, len(lengths)), len(lengths)),
    )
    console.say("Forecast", told)
    console.say("Dry run", "nothing was written")


def utterances_of(settings: Settings, train_size: int) -> int:
    """Utterances that a trial's budget holds; 0 when it is wall time."""
    budget, batch = settings.budget, settings.hparams.batch_size
    return (budget.iterations(batch, max(1, train_size // batch)) or 0) * batch


def announce(opened: Session, study: TuneStudy, space: Space, settings: Settings, examples: Examples) -> None:
    """What is about to happen."""
    request, console = opened.request, opened.console
    done = sum(not result.confirms for result in study.results())
    planned = check_mode.planned(settings, len(examples.train))
    console.say("Study", f"{opened.name}: {done} of {request.trials} trial(s) finished; each trains for {planned}")
    names = ", ".join(parameter.name for parameter in space.parameters)
    console.say("Space", f"{space.file}: {names}; {space.sampler.name}, pruner {space.pruner.name}")
    for change in linter.changed(study.began_with, space.to_plain()):
        console.say("Changed", change.sentence, "yellow")
    if request.warm_start is not None:
        console.say("Warm start", str(study.warm_start(request.warm_start, request.storage)))
    r = request.settings.hparams.reduction_factor
    console.say("Model", f"Tacotron 2, preset {request.preset}, r = {r}, {session.placed(opened)}")
    console.say("Tracking", opened.extras.found)


@contextmanager
def noted(parent: StudyRun, study: TuneStudy, space: Space) -> Iterator[None]:
    """Note the trials in the study's parent run and end it, with the status of how the work ended."""
    with session.closed_with_status(parent):
        try:
            yield
        finally:
            results = study.results()
            links = parent.trial_links()
            headline = summary.headline(results, space.objectives)
            table = summary.rows(results, space.objectives, links)
            parent.note(summary.shortened(table, NOTE_CHARACTERS - len(headline)), headline)


def conclude(opened: Session, study: TuneStudy, space: Space) -> int:
    """The last lines: what was found, whether it is more than noise, what to do next. 1 when no trial is feasible."""
    console, request, results = opened.console, opened.request, study.results()
    objective = space.objectives[0]
    found = winner(results, objective.direction) if len(space.objectives) == 1 else None
    warnings = linter.boundary_warnings(space, found.values) if found is not None else []
    done = sum(not result.confirms for result in results)
    if study.over:
        console.say("Search", study.over)
    elif done < request.trials:
        console.say(
            "Search", f"The time is up: {done} of {request.trials} trial(s) finished; the same command goes on."
        )
    for label, sentence in summary.lines(results, space.objectives, warnings):
        console.say(label, sentence)
    if found is not None:
        full = dataclasses.replace(space, budget=None).apply(request.settings, found.values)  # the search's was shorter
        study.conclude({"trial": found.number, "sentence": found.sentence, "settings": asdict(full)})
    session.say_where(opened)
    if found is None:
        healthy = any(result.state == "complete" and result.feasible for result in results)
        return 0 if healthy else 1
    command = request.again(without=(*NOT_TRAINED, "study"), mode="train", trials="1", **{"from-study": opened.name})
    console.say("Next", f"train it for {request.settings.hparams.budget}: {command}")
    return 0
