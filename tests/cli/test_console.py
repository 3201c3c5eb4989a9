"""The terminal shows sentences as they are, plain lines where there is no terminal, and errors on their own stream."""

import io
import sys

import pytest
from rich.console import Console as RichConsole

from smart_tuner.cli import console as console_module
from smart_tuner.cli.console import Console, clock, training_line
from smart_tuner.progress import Progress


class Clock:
    """Stands in for the module time, and moves when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


METRICS = {"training.loss": 1.5, "training.taco_loss": 1.25, "training.gate_loss": 0.25}


def training(step: int, fraction: float = 0.5) -> Progress:
    metrics = {**METRICS, "epoch": 3.0, "training.frames_per_second": 12345.6}
    return Progress(kind="training", step=step, utterances=16 * step, fraction=fraction, metrics=metrics)


def validation(step: int) -> Progress:
    names = ("loss", "alignment_score", "attention_focus", "gate_mean")
    metrics = {f"validation.{name}": (place + 1) / 8 for place, name in enumerate(names)}
    return Progress(kind="validation", step=step, utterances=16 * step, fraction=0.5, metrics=metrics)


def terminal(width: int = 200) -> tuple[Console, io.StringIO]:
    """A console that takes a text buffer for a terminal."""
    console, shown = Console(), io.StringIO()
    console.out = RichConsole(file=shown, force_terminal=True, width=width, color_system=None, soft_wrap=True)
    return console, shown


@pytest.mark.parametrize(
    "sentence",
    [
        *("[bold]not markup[/bold]", "a/[0-9]/b.wav", "speech.language must be one of [auto, en]", "\\[x]"),
        *("metadata.csv:100: two columns", ":key: is no key", "C:\\voices\\"),
    ],
)
def test_no_character_of_a_sentence_is_changed(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("About", sentence)
    Console().say(sentence)
    Console().error(sentence)
    shown = capsys.readouterr()
    assert shown.out == f"About      {sentence}\n{sentence}\n"
    assert shown.err == f"Error: {sentence}\n"


def test_letters_that_the_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    Console().say("001", "á")
    Console().error("я")
    assert shown.getvalue() == b"001        \\xe1\nError: \\u044f\n"


def test_a_long_sentence_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error("word " * 200)
    assert capsys.readouterr().err.count("\n") == 1


HEAD, ROWS = (
    ("trial", "validation\nloss", "changed"),
    [("trial-0000", "0.4", "rate=1e-4, size=8"), ("trial-0001", "", "")],
)


def test_a_table_is_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(HEAD, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "            validation",
        "trial       loss        changed",
        "trial-0000  0.4         rate=1e-4, size=8",
        "trial-0001",
    ]


def test_without_a_terminal_no_cell_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("what", "[red]"), [("x" * 300, "[bold]y\nz[/bold]")])
    assert capsys.readouterr().out.splitlines()[1] == f"{'x' * 300}  [bold]y z[/bold]"


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (41, "trial-0000  0.4         rate=1e-4, size=8"),
        (40, "trial-0000  0.4         rate=1e-4, size…"),
        (36, "trial-0000  0.4         rate=1e-4, …"),
        (35, "trial-0000  0.4"),
    ],
)
def test_on_a_terminal_the_last_column_is_cut_then_left_out(width: int, row: str) -> None:
    console, shown = terminal(width)
    console.table(HEAD, ROWS)
    assert shown.getvalue().splitlines()[2] == row


@pytest.mark.parametrize(
    ("widths", "room", "kept"),
    [([10, 8, 30], 60, [10, 8, 30]), ([90, 8, 30], 60, [20, 8, 28]), ([5, 5], 8, [5]), ([], 80, [])],
)
def test_a_column_takes_a_third_of_the_line_at_most(widths: list[int], room: int, kept: list[int]) -> None:
    assert console_module.fit_columns(widths, room) == kept


def test_facts_stand_beside_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    Console().facts([("Best", "[b]trial-0000[/b] " * 20), ("Cost of it", "1 h")])
    assert capsys.readouterr().out.splitlines() == [f"Best        {'[b]trial-0000[/b] ' * 20}", "Cost of it  1 h"]
    Console().facts([])
    assert capsys.readouterr().out == ""


def test_on_a_terminal_facts_are_wrapped_at_words() -> None:
    console, shown = terminal(30)
    console.facts([("Best", "trial-0000 with validation.loss 0.4")])
    assert shown.getvalue() == "Best  trial-0000 with\n      validation.loss 0.4\n"


def test_without_a_terminal_a_count_is_a_line_at_every_fifth(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().counting("reading") as report:
        for done in range(1001):
            report(done, 1000)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"reading    {done} of 1,000" for done in (200, 400, 600, 800)]


def test_a_count_of_nothing_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().counting("reading") as report:
        report(0, 0)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_a_count_is_a_bar() -> None:
    console, shown = terminal()
    with console.counting("reading") as report:
        report(7, 30)
    assert "reading" in shown.getvalue()
    assert "7/30" in shown.getvalue()


def test_a_training_line_shows_iteration_epoch_losses_speed_and_time_left() -> None:
    line = training_line(training(40), seconds_left=75.0)
    assert line == "iteration 40 · epoch 3 · loss 1.500 mel 1.250 gate 0.250 · 12,346 frames/s · 1:15 left"
    assert training_line(training(40), None).endswith("frames/s")


def plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, first: int, first_seconds: float
) -> list[str]:
    """What a training of 100 iterations shows from the first one on; each takes a second, the first first_seconds."""
    time = Clock(now=100.0)
    monkeypatch.setattr(console_module, "time", time)
    with Console().trials() as display:
        time.now += first_seconds
        for step in range(first, 101):
            display.update("trial-0000", training(step, fraction=step / 100))
            time.now += 1.0
    return capsys.readouterr().out.splitlines()


def test_without_a_terminal_lines_about_iterations_are_rare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = plain_lines(capsys, monkeypatch, first=1, first_seconds=0.0)
    shown = [1, 16, 31, 46, 61, 76, 91]
    assert [line.split(" · ")[0] for line in lines] == [f"trial-0000 iteration {step}" for step in shown]
    assert "left" not in lines[0]
    assert lines[1].endswith(" · 1:24 left")


def test_time_left_counts_from_where_a_continued_training_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = plain_lines(capsys, monkeypatch, first=60, first_seconds=0.0)
    assert [line.split(" · ")[-1] for line in lines[1:]] == ["0:25 left", "0:10 left"]


def test_a_slow_first_iteration_does_not_stretch_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = plain_lines(capsys, monkeypatch, first=1, first_seconds=60.0)
    assert lines[1].endswith(" · 1:24 left")


def test_every_validation_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().trials() as display:
        for step in (50, 100):
            display.update("trial-0000", validation(step))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0] == (
        "trial-0000 iteration 50: validation.loss 0.1250, alignment_score 0.250, attention_focus 0.375, gate_mean 0.500"
    )


def test_on_a_terminal_the_last_validation_stays_beside_the_iteration() -> None:
    console, shown = terminal()
    with console.trials() as display:
        display.update("trial-0000", validation(50))
        display.update("trial-0000", training(51))
        assert display.bar is not None
        display.bar.refresh()
    assert "iteration 51" in shown.getvalue()
    assert "validation 0.125, alignment 0.25" in shown.getvalue()


def test_each_trial_has_a_line_of_its_own_until_it_ends() -> None:
    console, shown = terminal()
    with console.trials() as display:
        for number in (0, 1):
            display.update(f"trial-000{number}", training(10 + number))
        assert display.bar is not None
        display.bar.refresh()
        drawn = shown.getvalue()
        display.end("trial-0000")
        assert [task.description for task in display.bar.tasks] == ["trial-0001"]
    assert "iteration 10" in drawn
    assert "iteration 11" in drawn


def test_trials_have_their_own_last_validations() -> None:
    console, _ = terminal()
    with console.trials() as display:
        display.update("trial-0000", validation(50))
        for number in (0, 1):
            display.update(f"trial-000{number}", training(51))
        assert display.bar is not None
        lines = [task.fields["line"] for task in display.bar.tasks]
    assert ["validation 0.125" in line for line in lines] == [True, False]


def test_what_a_trial_is_about_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().trials() as display:
        for step in (50, 100):
            display.update("trial-0000", validation(step), "baseline, seed 1")
        display.update("trial-0001", validation(50))
        display.end("trial-0000")
        display.end("trial-0009")  # one that never told anything
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "trial-0000 baseline, seed 1"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "trial-0000 iteration 50",
        "trial-0000 iteration 100",
        "trial-0001 iteration 50",
    ]


def test_a_trial_is_silent_for_a_while_whatever_the_others_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "time", Clock(now=100.0))
    with Console().trials() as display:
        for step in (1, 2, 3):
            for number in (0, 1):
                display.update(f"trial-000{number}", training(step))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["trial-0000 iteration 1", "trial-0001 iteration 1"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (75, "1:15"), (3599.7, "1:00:00"), (7384, "2:03:04")]
)
def test_seconds_are_shown_as_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize("value", ["x" * 5000, "[1, 2] " * 3000, "я" * 1300])
def test_an_error_that_repeats_a_long_value_keeps_its_beginning_and_its_end(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Console().error(f"hparams.seed must be a whole number; received {value}: put it right.")
    said = capsys.readouterr().err
    assert said.startswith("Error: hparams.seed must be a whole number; received ")
    assert said.endswith(": put it right.\n")
    assert len(said) < 1300
