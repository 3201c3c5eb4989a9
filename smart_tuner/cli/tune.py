"""--mode tune: Optuna searches a space; sick and hopeless trials are stopped early, the winner is confirmed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from smart_tuner.analysis.conclusions import Winner, find_winner
from smart_tuner.cli import forecast
from smart_tuner.cli.console import Console
from smart_tuner.cli.corpus import (
    add_recogniser,
    describe_budget,
    describe_plan,
    judge_search,
    prepare_corpus,
    warn_of,
)
from smart_tuner.cli.inputs import find_space
from smart_tuner.cli.options import Options
from smart_tuner.cli.session import Session, find_deadline, find_initial_weights, require_stores, study_name
from smart_tuner.errors import Fault, Interrupted, SettingsError, StorageError
from smart_tuner.execution.slots import Slot, choose_device, find_slots
from smart_tuner.paths import trial_name
from smart_tuner.report.commands import NOT_TRAINED
from smart_tuner.settings.settings import Settings
from smart_tuner.space import linter
from smart_tuner.space.space import Space
from smart_tuner.speech.corpus import Examples
from smart_tuner.speech.notes import require_fit
from smart_tuner.speech.preflight import judge_sizes
from smart_tuner.study import warm_start
from smart_tuner.study.samplers import draw_samples
from smart_tuner.study.store import ANOTHER, load_existing
from smart_tuner.study.tune import TuneStudy, search_identity
from smart_tuner.training.run import train_trial
from smart_tuner.trial import InitialWeights

GPU_METRIC = "gpu.peak_memory"
SAMPLES = 5
"""Configurations that a dry run shows."""
PROBED_SYMBOLS = 64
"""Size of the symbol table in a forecast: a real one is near it, and it hardly matters."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """All that a search is made of."""

    options: Options
    space: Space
    settings: Settings
    """With the space's budget, in utterances."""
    full: Settings
    """With the budget of a training at full length."""
    examples: Examples
    slots: list[Slot]
    start: InitialWeights
    name: str
    deadline: float | None

    def make_study(self) -> TuneStudy:
        """Open or create it. Raises UserError when it cannot go on so, or cannot learn from another study."""
        digest, name = self.examples.digest, self.name
        attributes = search_identity(self.space, self.settings, digest, start=self.start).to_attributes()
        require_warm_start(self.options, name, attributes)
        study = TuneStudy(
            name,
            self.options.storage,
            self.space,
            self.settings,
            digest,
            len(self.examples.train),
            self.options.trials,
            slots=len(self.slots),
            deadline=self.deadline,
            start=self.start,
        )
        for change in linter.compare_spaces(study.began_with, self.space.to_plain()):
            if change.fatal:
                problem = f"{self.space.file} does not fit study {name!r} any more: {change.sentence}"
                raise StorageError(f"{problem}; {ANOTHER}")
        return study


def run_tune(options: Options, console: Console) -> int:
    """Search until the study holds the trials asked for, then confirm. 1 when no trial is good; raises UserError."""
    full = options.resolve_settings()
    space = find_space(options, full)
    settings = searched_settings(options, space, full)
    for warning in linter.find_warnings(space, settings, options.trials):
        console.say("Warning", warning, "yellow")
    slots = find_tune_slots(options, space)
    if options.dry_run:
        describe_search(options, space, settings, slots, console)
        return 0
    require_stores(options)
    search = prepare_search(options, space, settings, full, slots, console)
    with Session(
        options,
        console,
        name=search.name,
        settings=search.settings,
        examples=search.examples,
        slots=slots,
        make_study=search.make_study,
    ) as session:
        study = session.study
        announce_search(session, search)
        try:
            session.train_trials(partial(train_trial, examples=search.examples), search.deadline)
            found = keep_winner(study, search)
        except (Interrupted, Fault) as end:
            return session.leave(end)
        view = session.conclude()
        done = sum(not result.confirms for result in study.results())
        if study.over:
            console.say("Search", study.over)
        elif done < options.trials:
            trials = f"{done} of {options.trials} trial(s) finished"
            console.say("Search", f"The time is up: {trials}; the same command goes on.")
        command = options.again(
            without=(*NOT_TRAINED, "study"), mode="train", trials="1", **{"from-study": search.name}
        )
        others = tuple(
            typed for typed in view.commands if typed.command != command
        )  # it is said below, with its budget
        session.show_conclusion(dataclasses.replace(view, commands=others))
        if found is not None:
            console.say("Train", f"{trial_name(found.number)}'s values, for {full.hparams.budget}: {command}")
        for warning in linter.boundary_warnings(search.space, found.values) if found is not None else ():
            console.say("Warning", warning, "yellow")
        good = any(result.state == "complete" and result.feasible for result in study.results())
        return 0 if found is not None or (good and len(space.objectives) > 1) else 1


def prepare_search(
    options: Options, space: Space, settings: Settings, full: Settings, slots: list[Slot], console: Console
) -> Search:
    """The corpus made ready, and all that the search needs of it. Raises UserError."""
    deadline = find_deadline(options)
    examples = prepare_corpus(options, settings, console, largest_batch(space, settings))
    examples = add_recogniser(examples, options, settings, console)
    settings = at_equal_data(settings, len(examples.train))
    space = dataclasses.replace(space, budget=settings.hparams.budget)
    lengths = [(example.frames, len(example.tokens)) for example in examples.train]
    warn_of(judge_search(space, settings, lengths), console)
    start = find_initial_weights(options, settings, examples)
    # a space may be edited while its study goes on, so its name alone counts, not what it says
    name = options.study or f"{study_name('tune', settings, examples, start)}-{space.file.stem}"
    return Search(
        options=options,
        space=space,
        settings=settings,
        full=full,
        examples=examples,
        slots=slots,
        start=start,
        name=name,
        deadline=deadline,
    )


def find_tune_slots(options: Options, space: Space) -> list[Slot]:
    """The slots that the trials share. Raises SettingsError for too many workers, and metrics that a CPU has not."""
    device = choose_device(options.device)
    if GPU_METRIC in space.metrics and device.type != "cuda":
        raise SettingsError(f"{space.file}: {GPU_METRIC} is measured on a GPU alone; the device here is {device}.")
    workers = 1 if options.workers == 0 else options.workers or 0  # 0: in this process; not given: as many as fit
    return find_slots(device, workers, options.per_gpu, every_gpu=options.device == "auto")


def require_warm_start(options: Options, name: str, attributes: Mapping[str, Any]) -> None:
    """Raise SettingsError or StorageError for a warm start that is not possible, before the study is made."""
    if options.warm_start is None:
        return
    if options.warm_start == name:
        raise SettingsError(f"--warm-start takes another study than the one that goes on; received {name}.")
    warm_start.require_comparable(attributes, load_existing(options.storage, options.warm_start, "tune"))


def searched_settings(options: Options, space: Space, settings: Settings) -> Settings:
    """The settings of a trial in the search: a budget on the command line goes before the space's."""
    if options.has_own_budget or space.budget is None:
        return settings
    return settings.replace(budget=space.budget)


def at_equal_data(settings: Settings, train_size: int) -> Settings:
    """A budget of epochs in utterances: an epoch of full batches holds more or fewer of them, as the batch is."""
    budget = settings.budget
    return settings.replace(budget=f"{round(budget.amount * train_size)}utt") if budget.unit == "ep" else settings


def largest_batch(space: Space, settings: Settings) -> Settings:
    """The settings with the largest batch that the space holds."""
    return settings.replace(batch_size=int(space.highest("hparams.batch_size", settings)))


def describe_search(options: Options, space: Space, settings: Settings, slots: list[Slot], console: Console) -> None:
    """What --dry-run prints: settings, corpus, space, sampled configurations, a forecast. Leaves nothing behind."""
    lengths, validation = describe_plan(options, settings, console)
    settings = at_equal_data(settings, len(lengths))
    require_fit(judge_sizes(len(lengths), validation, largest_batch(space, settings)))
    warn_of(judge_search(space, settings, lengths), console)
    for line in linter.describe_space(space, settings):
        console.say("Space", line)
    for values in draw_samples(space, settings, SAMPLES, settings.hparams.seed):
        console.say("Sample", linter.describe_point(values))
    seconds = forecast.probe(settings, lengths, PROBED_SYMBOLS, slots[0].device, threads=slots[0].threads)
    trial = forecast.trial_seconds(settings, seconds, len(lengths), validation)
    told = forecast.describe_forecast(
        seconds,
        trial,
        trials=options.trials,
        confirming=2 * space.confirm if len(space.objectives) == 1 else 0,
        workers=len(slots),
        kept=forecast.kept_share(space, utterances_of(settings, len(lengths)), len(lengths)),
    )
    console.say("Forecast", told)
    console.say("Dry run", "nothing was written")


def utterances_of(settings: Settings, train_size: int) -> int:
    """Utterances that a trial's budget holds; 0 when it is wall time."""
    budget, batch = settings.budget, settings.hparams.batch_size
    return (budget.iterations(batch, max(1, train_size // batch)) or 0) * batch


def announce_search(session: Session[TuneStudy], search: Search) -> None:
    """What is about to happen."""
    options, console, study, space = session.options, session.console, session.study, search.space
    done = sum(not result.confirms for result in study.results())
    planned = describe_budget(search.settings, len(search.examples.train))
    console.say("Study", f"{session.name}: {done} of {options.trials} trial(s) finished; each trains for {planned}")
    names = ", ".join(parameter.name for parameter in space.parameters)
    console.say("Space", f"{space.file}: {names}; {space.sampler.name}, pruner {space.pruner.name}")
    for change in linter.compare_spaces(study.began_with, space.to_plain()):
        console.say("Changed", change.sentence, "yellow")
    if options.warm_start is not None:
        console.say("Warm start", str(study.warm_start(options.warm_start, options.storage)))
    r = search.settings.hparams.reduction_factor
    console.say("Model", f"Tacotron 2, preset {options.start_from}, r = {r}, {session.describe_slots()}")
    console.say("Tracking", session.extras.found)


def keep_winner(study: TuneStudy, search: Search) -> Winner | None:
    """What the search gives to a training, kept for --from-study; None when nothing is good, or with several aims."""
    objectives = search.space.objectives
    found = find_winner(study.results(), objectives[0].direction) if len(objectives) == 1 else None
    if found is not None:
        full = dataclasses.replace(search.space, budget=None).apply(
            search.full, found.values
        )  # the search's was shorter
        study.conclude({"trial": found.number, "reason": found.reason, "settings": asdict(full)})
    return found
