"""Smart Tuner TTS: the command line. Each mode is imported when it is asked for, so that --help is quick."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Mode(StrEnum):
    """What to do."""

    train = "train"
    tune = "tune"
    report = "report"
    check = "check"
    synth = "synth"


class Preset(StrEnum):
    """Where the settings start from."""

    demo = "demo"
    tacotron2 = "tacotron2"


class Lang(StrEnum):
    """Language of a report."""

    en = "en"
    ru = "ru"


ON_A_CORPUS = (Mode.train, Mode.tune, Mode.check)
"""The modes that take an option of which nothing is said below."""
TAKEN_BY: dict[str, tuple[Mode, ...]] = {
    **dict.fromkeys(("mode", "study", "storage", "output"), tuple(Mode)),
    **dict.fromkeys(("seed", "device"), (*ON_A_CORPUS, Mode.synth)),
    "checkpoint": (Mode.train, Mode.tune, Mode.synth),
    "tracking_uri": (*ON_A_CORPUS, Mode.report),
    **dict.fromkeys(("compare", "format_", "lang"), (Mode.report,)),
    **dict.fromkeys(("text", "text_file", "vocoder", "reference", "style"), (Mode.synth,)),
}


@app.command()
def main(
    context: typer.Context,
    mode: Annotated[
        Mode,
        typer.Option(
            help="train: train a voice. tune: search for better hyperparameters. report: what a study found. "
            "check: look at a corpus first. synth: let a voice speak."
        ),
    ],
    trials: Annotated[int, typer.Option(help="Finished trials that the study shall hold.")] = 1,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="LJSpeech folder, or list of path|text rows; give it twice for a training and a validation list."
        ),
    ] = None,
    preset: Annotated[
        Preset | None, typer.Option(help="Settings to start from: demo without --data, tacotron2 with it.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset.")] = None,
    space: Annotated[
        Path | None, typer.Option(help="YAML file of a search space, for --mode tune: see search_spaces/.")
    ] = None,
    from_study: Annotated[
        str | None, typer.Option(help="Start from the settings that a tune study found, instead of a preset.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.NAME=VALUE", help="One setting, over the file; repeatable."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="How much a trial trains: 20ep, 5000it, 300000utt or 45m. Default: by preset.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Wall time after which trials stop, to go on another day: 90s, 45m or 8h.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights that trials start from, ours or published; of synth, the voice.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the first trial, further trials use the next ones; of synth, of speech.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Trials at a time, each in a process; 0: one, in this process. Default: all GPUs, up to 4 on a CPU."
        ),
    ] = None,
    per_gpu: Annotated[int, typer.Option(help="Trials that share a GPU.")] = 1,
    warm_start: Annotated[str | None, typer.Option(help="Tune study whose trials teach this one's sampler.")] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Name of the study; the same name continues it. Default: by content; of a report, the latest. "
            "Of synth, the study whose winner speaks."
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Report on two studies side by side, or on two sets of runs, each by a filter of MLflow.",
            rich_help_panel="With --mode report",
        ),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="Files of a report: html, md, json.", rich_help_panel="With --mode report")
    ] = "html,md",
    lang: Annotated[Lang, typer.Option(help="Language of a report.", rich_help_panel="With --mode report")] = Lang.en,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="What a voice shall say; repeatable, each is one utterance.", rich_help_panel="With --mode synth"
        ),
    ] = None,
    text_file: Annotated[
        Path | None,
        typer.Option(help="What a voice shall say: each line is one utterance.", rich_help_panel="With --mode synth"),
    ] = None,
    vocoder: Annotated[
        Path | None,
        typer.Option(
            help="TorchScript (.pt, .ts) or ONNX file of a vocoder. Default: Griffin-Lim.",
            rich_help_panel="With --mode synth",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Recording whose style a voice with style tokens takes.", rich_help_panel="With --mode synth"
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="Style tokens, from 1, and their weights: 3:0.7,5:0.3. Default: by the text.",
            rich_help_panel="With --mode synth",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for checkpoints, mel cache, demo corpus and reports; of synth, for what was said: "
            "smart_tuner_files/spoken."
        ),
    ] = Path("smart_tuner_files"),
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "Default",
    tracking_uri: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow store. Default: mlflow.db in this folder.")
    ] = None,
    storage: Annotated[str, typer.Option(help="Optuna store.")] = "sqlite:///smart_tuner.db",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print settings, corpus and planned steps; write nothing.")
    ] = False,
) -> None:
    """Find out how to train Tacotron 2 on a voice corpus, and train it."""
    from smart_tuner.console import Console
    from smart_tuner.errors import CorpusError, SmartTunerError, UserError
    from smart_tuner.request import Request, load_settings

    console = Console()
    try:
        refuse_misplaced(context, mode)
        if mode is Mode.report:
            from smart_tuner import report_mode

            asked = report_mode.Asked(
                study=study,
                compare=compare,
                formats=format_,
                language=lang.value,
                output=output,
                tracking_uri=tracking_uri,
                storage=storage,
            )
            raise typer.Exit(report_mode.run(asked, console))
        if mode is Mode.synth:
            from smart_tuner import synth_mode

            wanted = synth_mode.Asked(
                checkpoint=checkpoint,
                study=study,
                storage=storage,
                texts=tuple(text or ()),
                text_file=text_file,
                output=output if typed(context, "output") else output / "spoken",
                vocoder=vocoder,
                reference=reference,
                style=style,
                seed=seed,
                device=device,
            )
            raise typer.Exit(synth_mode.run(wanted, console))
        found = None
        if from_study is not None:
            from smart_tuner.study.tune import load_winner

            found = load_winner(storage, from_study)["settings"]
        chosen, resolved = load_settings(preset, tuple(data or ()), settings, set_ or [], budget, seed, found)
        request = Request(
            trials=trials,
            data=tuple(data or ()),
            preset=chosen,
            settings=resolved,
            device=device,
            study=study,
            output=output,
            experiment=experiment,
            tracking_uri=tracking_uri,
            storage=storage,
            dry_run=dry_run,
            space=space,
            own_budget=budget is not None or any(one.startswith("hparams.budget=") for one in set_ or []),
            workers=workers,
            per_gpu=per_gpu,
            timeout=timeout,
            warm_start=warm_start,
            checkpoint=checkpoint,
        )
        if mode is Mode.check:
            from smart_tuner import check_mode

            raise typer.Exit(check_mode.run(request, console))
        if mode is Mode.tune:
            from smart_tuner import tune_mode

            raise typer.Exit(tune_mode.run(request, console))
        from smart_tuner import train_mode

        raise typer.Exit(train_mode.run(request, console))
    except UserError as problem:
        console.error(str(problem))
        raise typer.Exit(1 if isinstance(problem, CorpusError) and mode is Mode.check else 2) from None
    except SmartTunerError as problem:
        console.error(str(problem))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.error("Interrupted before it began; the same command starts again and keeps what is cached.")
        raise typer.Exit(130) from None


def refuse_misplaced(context: typer.Context, mode: Mode) -> None:
    """Raise SettingsError for an option that was given and means nothing in this mode."""
    from smart_tuner.errors import SettingsError

    for option in context.command.params:
        takers = TAKEN_BY.get(option.name or "", ON_A_CORPUS)
        if option.name and mode not in takers and typed(context, option.name):
            *first, last = (one.value for one in takers)
            listed = f"{', '.join(first)} and {last}" if first else f"--mode {last}"
            raise SettingsError(f"{option.opts[0]} is for {listed}; received it with --mode {mode.value}.")


def typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    found = context.get_parameter_source(name)
    return found is not None and found.name == "COMMANDLINE"


def run() -> None:
    """Entry point of the console script `smart-tuner`."""
    app(prog_name=Path(sys.argv[0]).name)


if __name__ == "__main__":
    run()
