"""Smart Tuner TTS: the command line. Each mode is imported when it is asked for, so that --help is quick."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from smart_tuner.cli.console import Console
    from smart_tuner.cli.options import Options

app = typer.Typer(pretty_exceptions_enable=False)


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


def complete_space(typed: str) -> list[str]:
    """The shipped spaces whose names begin so, for the shell."""
    from smart_tuner.space.shipped import shipped_spaces

    return [name for name in shipped_spaces() if name.startswith(typed)]


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
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="What --mode tune searches over: a YAML file, or a shipped space such as demo or first_study.",
            autocompletion=complete_space,
        ),
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
            help="Folder for checkpoints, mel cache, demo corpus and reports. Of synth: for what was said, by "
            "default its folder spoken."
        ),
    ] = Path("smart_tuner_files"),
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "Default",
    tracking_uri: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow store. Default: mlflow.db in this folder.")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="Optuna store. Default: smart_tuner.db in this folder.", show_default=False)
    ] = "sqlite:///smart_tuner.db",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print settings, corpus and planned steps; write nothing.")
    ] = False,
) -> None:
    """Find out how to train Tacotron 2 on a voice corpus, and train it."""
    from smart_tuner.cli.console import Console
    from smart_tuner.cli.inputs import refuse_early
    from smart_tuner.cli.options import Options
    from smart_tuner.errors import CorpusError, SmartTunerError, TrackingRefusal, UserError

    console = Console()
    typed = [name for name in context.params if is_typed(context, name)]
    try:
        options = Options.of(context.params, typed)
        refuse_early(options)
        raise typer.Exit(run_mode(options, console))
    except UserError as problem:
        console.error(str(problem))
        raise typer.Exit(1 if isinstance(problem, CorpusError) and mode is Mode.check else 2) from None
    except SmartTunerError as problem:
        console.error(str(problem))
        raise typer.Exit(2 if isinstance(problem, TrackingRefusal) else 1) from None
    except KeyboardInterrupt:
        console.error("Interrupted before it began; the same command starts again and keeps what is cached.")
        raise typer.Exit(130) from None


def run_mode(options: "Options", console: "Console") -> int:
    """Import the mode and run it: the exit code."""
    if options.mode == "train":
        from smart_tuner.cli.train import run_train

        return run_train(options, console)
    if options.mode == "tune":
        from smart_tuner.cli.tune import run_tune

        return run_tune(options, console)
    if options.mode == "report":
        from smart_tuner.cli.report import run_report

        return run_report(options, console)
    if options.mode == "check":
        from smart_tuner.cli.check import run_check

        return run_check(options, console)
    from smart_tuner.cli.synth import run_synth

    return run_synth(options, console)


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    found = context.get_parameter_source(name)
    return found is not None and found.name == "COMMANDLINE"


def run() -> None:
    """Entry point of the console script `smart-tuner`."""
    app(prog_name=Path(sys.argv[0]).name)


if __name__ == "__main__":
    run()
