"""What the terminal shows: sentences, a live display on a terminal, plain lines elsewhere. Only this imports rich."""

import io
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len, set_cell_size
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from smart_tuner.progress import Progress, Report

PLAIN_SECONDS = 15.0
"""Where there is no terminal: least time between two lines about iterations."""
GAP, LEAST_WIDTH = 2, 12
"""Blanks between the columns of a table; characters that a column which is cut keeps."""
LONGEST_SENTENCE = 1200
"""Characters of an error; of a longer one, which repeats a value that is no value, the middle is left out."""
LOSSES = {"loss": "loss", "taco_loss": "mel", "gate_loss": "gate", "guide_loss": "guide", "atten_loss": "atten"}


class Console:
    """Standard output for results, standard error for errors."""

    def __init__(self) -> None:
        self.out = RichConsole(highlight=False, soft_wrap=True)
        self.err = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        for stream in (self.out.file, self.err.file):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # letters that a terminal cannot show are no failure

    def say(self, about: str, text: str = "", style: str = "bold") -> None:
        """A line: what it is about, then what there is to say."""
        self.out.print(Text.assemble((f"{about:<10}", style), " ", text) if text else Text(about))

    def error(self, sentence: str) -> None:
        """The one sentence of a failure."""
        if len(sentence) > LONGEST_SENTENCE:
            sentence = f"{sentence[: LONGEST_SENTENCE // 2]} … {sentence[-LONGEST_SENTENCE // 2 :]}"
        self.err.print(Text.assemble(("Error", "bold red"), ": ", sentence))

    def facts(self, lines: Sequence[tuple[str, str]]) -> None:
        """Labels in a column and a sentence beside each; on a terminal its lines end between words."""
        width = max((cell_len(label) for label, _ in lines), default=0)
        room = self.out.width - width - GAP
        for label, sentence in lines:
            parts = (
                textwrap.wrap(sentence, room, break_on_hyphens=False)
                if self.out.is_terminal and room >= LEAST_WIDTH
                else []
            )
            beside = f"\n{' ' * (width + GAP)}".join(parts or [sentence])
            self.out.print(Text.assemble((set_cell_size(label, width + GAP), "bold"), beside))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table, a line for each row; on a terminal the last columns are cut, or left out, where it is too narrow."""
        texts = [[" ".join(cell.split()) for cell in row] for row in rows]
        tall = max((title.count("\n") for title in head), default=0)
        titles = [("\n" * (tall - title.count("\n")) + title).split("\n") for title in head]
        table = [*zip(*titles, strict=True), *texts]
        widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
        kept = fit_columns(widths, self.out.width) if self.out.is_terminal else widths
        for number, row in enumerate(table):
            line = (" " * GAP).join(fit_cell(cell, width) for cell, width in zip(row, kept, strict=False))
            self.out.print(Text(line.rstrip(), style="dim" if number <= tall else ""))

    @contextmanager
    def counting(self, what: str) -> Iterator[Report]:
        """A progress bar for a count, or a line at every fifth; the report is called with done and total."""
        if not self.out.is_terminal:
            yield self._count_plainly(what)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=self.out, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _count_plainly(self, what: str) -> Report:
        said = [0]

        def report(done: int, total: int) -> None:
            fifth = done * 5 // max(1, total)
            if fifth > said[0] and done < total:
                said[0] = fifth
                self.say(what, f"{done:,} of {total:,}")

        return report

    @contextmanager
    def trials(self) -> Iterator["TrialsDisplay"]:
        """The display of all trials that run at a time."""
        if not self.out.is_terminal:
            yield TrialsDisplay(self, None)
            return
        columns = (
            TextColumn("[bold]{task.description}[/]"),
            BarColumn(20),
            TextColumn("{task.fields[line]}"),
            TimeElapsedColumn(),
        )
        with Bar(*columns, console=self.out, transient=True) as bar:
            yield TrialsDisplay(self, bar)


class TrialsDisplay:
    """A line for each trial that runs."""

    def __init__(self, console: Console, bar: Bar | None) -> None:
        self.console, self.bar = console, bar
        self._shown: dict[str, TrainingDisplay] = {}

    def update(self, name: str, progress: Progress, about: str = "") -> None:
        """Show a Progress of a trial; about is said when it is the trial's first."""
        if name not in self._shown:
            if about:
                self.console.say(name, about)
            self._shown[name] = TrainingDisplay(self.console, name, self.bar)
        self._shown[name].update(progress)

    def end(self, name: str) -> None:
        """The trial runs no more."""
        if name in self._shown:
            self._shown.pop(name).close()


class TrainingDisplay:
    """Iterations, losses, the last validation, speed and time left."""

    def __init__(self, console: Console, name: str, bar: Bar | None) -> None:
        self.console, self.name, self.bar = console, name, bar
        self.task = bar.add_task(name, total=1.0, line="first iteration ...") if bar else None
        self.validation = ""
        self.started, self.first_fraction, self.said_at = time.monotonic(), -1.0, -PLAIN_SECONDS

    def update(self, progress: Progress) -> None:
        """Show a Progress."""
        if self.first_fraction < 0:
            self.started, self.first_fraction = time.monotonic(), progress.fraction
        if progress.kind == "validation":
            self._validated(progress)
            return
        line = training_line(progress, self._seconds_left(progress.fraction))
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=progress.fraction, line=line + self.validation)
        elif time.monotonic() - self.said_at >= PLAIN_SECONDS:
            self.said_at = time.monotonic()
            self.console.say(self.name, line)

    def close(self) -> None:
        """Take the line away."""
        if self.bar is not None and self.task is not None:
            self.bar.remove_task(self.task)

    def _validated(self, progress: Progress) -> None:
        metrics = progress.metrics
        loss, score = metrics["validation.loss"], metrics["validation.alignment_score"]
        self.validation = f" · validation {loss:.3f}, alignment {score:.2f}"
        focus, gate = metrics["validation.attention_focus"], metrics["validation.gate_mean"]
        self.console.say(
            self.name,
            f"iteration {progress.step}: validation.loss {loss:.4f}, alignment_score {score:.3f}, "
            f"attention_focus {focus:.3f}, gate_mean {gate:.3f}",
        )

    def _seconds_left(self, fraction: float) -> float | None:
        done = fraction - self.first_fraction
        return (time.monotonic() - self.started) * (1 - fraction) / done if done > 0 else None


def fit_columns(widths: Sequence[int], room: int) -> list[int]:
    """Widths of the columns that a line has room for: a long one is cut to a third of it, the last to what is left."""
    kept: list[int] = []
    for number, width in enumerate(widths):
        wanted = width if number == len(widths) - 1 else min(width, max(LEAST_WIDTH, room // 3))
        left = room - sum(kept) - GAP * len(kept)
        if left < min(wanted, LEAST_WIDTH):
            break
        kept.append(min(wanted, left))
    return kept


def fit_cell(cell: str, width: int) -> str:
    """A text in exactly so many places, cut at the end where it is longer."""
    return set_cell_size(cell, width) if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "…"


def training_line(progress: Progress, seconds_left: float | None) -> str:
    """One line about an iteration."""
    metrics = progress.metrics
    losses = " ".join(
        f"{label} {metrics[f'training.{name}']:.3f}" for name, label in LOSSES.items() if f"training.{name}" in metrics
    )
    left = "" if seconds_left is None else f" · {clock(seconds_left)} left"
    speed = metrics["training.frames_per_second"]
    return f"iteration {progress.step} · epoch {metrics['epoch']:.0f} · {losses} · {speed:,.0f} frames/s{left}"


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
