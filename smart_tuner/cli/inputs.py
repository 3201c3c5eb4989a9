"""What the command line, paths and YAML alone decide, read and refused before torch, MLflow or Optuna is imported.

Those take seconds; a wrong path or a typing error is told at once. Optuna is imported here where an option names a
study, which only its storage knows.
"""

import math
import re
from pathlib import Path

from smart_tuner.cli.options import MLFLOW_DEFAULT, STUDIES_DEFAULT, Options, require_writable
from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.paths import is_file
from smart_tuner.settings.settings import Settings
from smart_tuner.space.file import load_space
from smart_tuner.space.shipped import locate_space, shipped_spaces
from smart_tuner.space.space import Space
from smart_tuner.speech.sources import require_sources
from smart_tuner.tracking.stores import refuse_unusable_runs, refuse_unusable_studies

REPORT_FORMATS = ("html", "md", "json")
OPERATORS = "=<>'\" "
"""A filter of MLflow has one of these in it, a study's name has none."""


def refuse_early(options: Options) -> None:
    """Raise UserError for all that can be refused before the mode itself is imported."""
    if options.mode == "report":
        _refuse_report(options)
    elif options.mode == "synth":
        _refuse_synth(options)
    else:
        _refuse_training(options)


def _refuse_training(options: Options) -> None:
    if options.data:
        require_sources(options.data)
    if options.from_study is not None or (options.warm_start is not None and options.mode == "tune"):
        refuse_unusable_studies(options.storage, write=False)
    settings = options.resolve_settings()
    if options.mode == "tune":
        find_space(options, settings)
    if options.warm_start is not None and options.mode == "tune":
        from smart_tuner.study.store import load_existing

        load_existing(options.storage, options.warm_start, "tune")
    if options.mode != "check" and not options.dry_run:
        require_writable(options.output)
        if options.tracking_uri is None or options.storage == STUDIES_DEFAULT:
            require_writable(Path())
        refuse_unusable_studies(options.storage, write=True)
        refuse_unusable_runs(options.tracking_uri or MLFLOW_DEFAULT, write=True)


def _refuse_report(options: Options) -> None:
    unknown = [name for name in options.format_.split(",") if name not in REPORT_FORMATS]
    if unknown:
        listed = ", ".join(REPORT_FORMATS)
        raise SettingsError(f"--format takes {listed}, or several of them; received {options.format_!r}.")
    if options.study is not None and options.compare is not None:
        raise SettingsError("--study and --compare both say what to report on; give one of them.")
    if options.compare is not None and options.compare[0] == options.compare[1]:
        raise SettingsError(f"--compare takes two different studies; received {options.compare[0]} twice.")
    require_writable(options.output)
    for name in options.compare or (options.study,):
        if name is None or not is_filter(name):
            refuse_unusable_studies(options.storage, write=False)
            from smart_tuner.study.facts import require_study

            require_study(options.storage, name)
    refuse_unusable_runs(options.tracking_uri or MLFLOW_DEFAULT, write=False)


def _refuse_synth(options: Options) -> None:
    if (options.checkpoint is None) == (options.study is None):
        raise SettingsError("--mode synth takes its voice from --checkpoint or from --study; give one of them.")
    if bool(options.text) == (options.text_file is not None):
        raise SettingsError("--mode synth says what --text or --text-file gives; give one of them.")
    if options.reference is not None and options.style is not None:
        raise SettingsError("--reference and --style both say how a voice shall sound; give one of them.")
    if options.seed is not None and not 0 <= options.seed <= 2**62:
        raise SettingsError(f"--seed must be from 0 to {2**62}; received {options.seed}.")
    read_texts(options)
    read_style(options.style)
    for option, file in {"--vocoder": options.vocoder, "--reference": options.reference}.items():
        if file is not None and not is_file(file):
            raise SettingsError(f"{option}: there is no file {file}.")
    find_checkpoint(options)
    require_writable(options.output)


# a search


def find_space(options: Options, settings: Settings) -> Space:
    """The search space. Raises SettingsError."""
    if options.space is None:
        raise SettingsError(
            f"--mode tune needs --space: a YAML file, or a shipped space's name ({', '.join(shipped_spaces())})."
        )
    file = locate_space(options.space)
    space = load_space(file, settings, budget=settings.hparams.budget if options.has_own_budget else None)
    for name in space.by_name if options.checkpoint else ():
        if name == "hparams.reduction_factor" or name.startswith("model."):
            raise SettingsError(
                f"--checkpoint holds layers of one shape, and {space.file} searches over {name}, which gives them "
                "others: leave it out of the space, or start without --checkpoint."
            )
    return space


# a report


def is_filter(name: str) -> bool:
    """Whether what is to be reported on is a filter of MLflow rather than a study."""
    return any(sign in name for sign in OPERATORS)


# a voice: what it says, and which it is


def read_texts(options: Options) -> list[str]:
    """The texts to say: those given, or the lines of the file that hold something. Raises SettingsError."""
    if options.text_file is None:
        return list(options.text)
    try:
        lines = options.text_file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"--text-file: {options.text_file} cannot be read as UTF-8 text: {problem}.") from problem
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise SettingsError(f"--text-file: {options.text_file} holds no text.")
    return texts


def read_style(text: str | None) -> dict[int, float]:
    """Weights by style token. Raises SettingsError."""
    weights = {}
    for part in text.split(",") if text is not None else []:
        token, _, weight = part.partition(":")
        if not re.fullmatch(r"\s*\d+\s*", token) or not is_number(weight) or int(token) in weights:
            raise SettingsError(
                f"--style takes style tokens, each once, with their weights, such as 3:0.7,5:0.3; received {text!r}."
            )
        weights[int(token)] = float(weight)
    return weights


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def find_checkpoint(options: Options) -> Path:
    """The file of the voice. Raises SettingsError when it is not there, StorageError for a study without one."""
    if options.checkpoint is not None:
        return options.checkpoint
    assert options.study is not None  # one of the two is given
    refuse_unusable_studies(options.storage, write=False)
    from smart_tuner.analysis.conclusions import best_trial
    from smart_tuner.study.facts import read_facts

    facts = read_facts(options.storage, options.study)
    best = best_trial(facts.results, facts.objectives[0][1])
    number = facts.winner if facts.winner is not None else best.number if best is not None else None
    if number is None:
        raise StorageError(
            f"Study {options.study!r} has no trial that ended healthy yet; --checkpoint takes the best.pt of any trial."
        )
    file = options.find_study(facts.folder).trial(number).best
    if not is_file(file):
        raise StorageError(f"The voice of study {options.study!r}, {file}, is not there (any more).")
    return file
