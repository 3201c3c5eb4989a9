"""Damaged files, in numbers: `python -m benchmarks.fuzz [--kind NAME] [--count 1000] [--seed 0] [--only N]`.

A small corpus, settings, a space and a training of a few units that was killed are made once. Each case then damages
one file of a fresh copy, by bytes or by tokens, and runs the command line on it, in a process of its own that has all
imports already. Counted is how it ends: by exit code 0, 1 or 2 and a sentence within 20 s; without a traceback, a
library's warning, a half-written file, a damaged database or checkpoint; and a refusal leaves nothing but mels behind.
A fault is printed with its case, which --only repeats. 7 kinds of 1,000 take about two hours on two cores.
"""

import argparse
import importlib
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a child of a fork would wait for threads it has not

import numpy as np
import soundfile
import torch

import smart_tuner_main
from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError
from smart_tuner.sealed import seal, unseal
from smart_tuner.training.journal import Journal
from tests.support import small, voices

SECONDS, MEMORY = 20.0, 8 << 30
"""What a case may take; more is a fault."""
CLIPS, RATE, KILLED_AT = 14, 8000, 5
FORMATS = ("wav", "wav", "flac", "ogg", "mp3", "aiff", "w64", "au")
SPACE = """\
# what a search may change
budget: 64utt
objective: {metric: validation.loss, direction: minimize}
constraints:
  validation.alignment_score: ">= 0.01"
parameters:
  hparams.learning_rate: {type: float, low: 1.0e-3, high: 1.0e-2, log: true}
  hparams.batch_size: {type: categorical, choices: [2, 4]}
  hparams.guide_weight: {type: float, low: 0.5, high: 2.0, step: 0.5}
  hparams.reduction_factor: {type: int, low: 2, high: 4}
sampler: {name: tpe, startup_trials: 3}
pruner: {name: asha, warmup: 16utt}
baseline: [{hparams.learning_rate: 2.0e-3}]
confirm: 1
"""
VALUES = (
    *("", "~", "true", "no", "0", "-1", "1", "2", "3.5", "1e-320", "1e400", "-0.0", ".nan", ".inf", "-.inf", "9" * 400),
    *("12:30:45", "2026-02-30", "0x1F", "0o17", "1_000", "1e6", "10000000", "4294967296", "'5'", '"', "'", "[]", "{}"),
    *("[1, 2, 3]", "{a: 1}", "[[1], {b: [2]}]", "!!set {a, b}", "!!binary aGk=", "!!float x", "!!str 5", "!!int [1]"),
    *(
        "&a [*a]",
        "*none",
        "<<: 5",
        "? [1, 2]",
        "- 1",
        "| ",
        "%YAML 9.9",
        "---",
        "...",
        "[" * 50,
        "[" * 3000,
        "{a: " * 999,
    ),
    *(
        "é",
        "e\u0301",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\x00",
        "\x85",
        "\x1b[2J",
        "\U0001f600",
        "\u202eabc",
        "\ud7ff",
        "ﬁ",
    ),
    *("1/2", "x" * 5000, "../..", "/", "nan", "None", "5it", "0it", "1e9ep", "-3utt", "99999999999999999999m", "-"),
)
FIELDS = (
    *("", " ", "|", "||", '"', '""', "'", "\t", "\r", "\x00", "\ufeff", "\u200b", "\u2028", "\u0301" * 30, "\x85"),
    *("../corpus/wavs/clip-001", "/", ".", "..", "~", "clip-001.wav", "wavs/clip-001", "c" * 300, "x/" * 3000, "*"),
    *(
        "9" * 30,
        "9" * 400,
        "1,000,000.5",
        "1e999",
        "-0",
        "$1.234.567",
        "12:61:99",
        "31.02.2026",
        "5²",
        "½",
        "№ 5",
        "IV",
    ),
    *("word " * 3000, "w" * 20000, "12 " * 1000, "...", "?!" * 500, "{HH AH0}", "{", "}}", "a+b", "+", "e\u0301", "ﬁ"),
    *(
        "\U0001f600",
        "\U00010348",
        "日本語",
        "العربية",
        "кошка",
        "к+ошка",
        "\u202eabc",
        "http://a.b/?c=d|e",
        "Dr. St. No.",
    ),
)
NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 44100, 48000, 2**24)
NUMBER = rb"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])"
OBJECTS = (
    None,
    True,
    0,
    -1,
    5,
    2**40,
    math.nan,
    math.inf,
    "",
    "text",
    [],
    [1],
    {},
    {"a": 1},
    torch.zeros(0),
    torch.ones(3),
)


@dataclass(frozen=True)
class Case:
    """One mutation; the same kind, seed and number are the same again."""

    kind: str
    seed: int
    number: int


@dataclass(frozen=True)
class Outcome:
    """How a case ended; faults is empty for one that is as it should be."""

    case: Case
    command: tuple[str, ...]
    code: int
    seconds: float
    faults: tuple[str, ...]
    output: str


# mutations: each takes a random source and a file's content


def mutate_bytes(source: random.Random, content: bytes, within: int | None = None) -> bytes:
    """Flip, delete, insert, repeat, cut, zero or overwrite; within: in the first so many bytes."""
    changed = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 5))):
        end = min(len(changed), within or len(changed))
        start = source.randrange(end + 1)
        size = min(source.choice((1, 1, 2, 4, 16, 200, 5000)), len(changed) - start)
        block = changed[start : start + size]
        number = source.choice(NUMBERS).to_bytes(4, source.choice(("little", "big")))
        changed[start : start + size] = source.choice(
            (
                bytes(byte ^ 1 << source.randrange(8) for byte in block),
                b"",
                block * 2,
                bytes(size),
                source.randbytes(size) + block,
                block[::-1],
                number + block[4:],
            )
        )
        if source.random() < 0.1:
            del changed[source.randrange(len(changed) + 1) :]
    return bytes(changed)


def mutate_lines(source: random.Random, content: bytes) -> bytes:
    """Lines that are lost, doubled, swapped, joined, moved in or out."""
    lines = content.split(b"\n")
    one, other = source.randrange(len(lines)), source.randrange(len(lines))
    act = source.randrange(6)
    if act == 0:
        del lines[one]
    elif act == 1:
        lines.insert(other, lines[one])
    elif act == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif act == 3:
        lines[one] = b"  " + lines[one]
    elif act == 4:
        lines[one] = lines[one].lstrip()
    else:
        lines[one : one + 2] = [b" ".join(lines[one : one + 2])]
    return b"\n".join(lines)


def mutate_tokens(source: random.Random, content: bytes, tokens: str, values: Sequence[str]) -> bytes:
    """One or a few places that match the pattern get another's content, or one of the values."""
    text = content.decode()
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        places = [place.span() for place in re.finditer(tokens, text)]
        if not places:
            break
        start, end = source.choice(places)
        copied = text[slice(*source.choice(places))]
        text = text[:start] + source.choice((source.choice(values), source.choice(values), copied)) + text[end:]
    return text.encode("utf-8", "surrogatepass")


def mutate_numbers(source: random.Random, content: bytes) -> bytes:
    """Some numbers become others that may well stand there."""

    def change(number: re.Match[bytes]) -> bytes:
        if source.random() > share:
            return number[0]
        value = float(number[0])
        other = source.choice((value * 10, value / 10, value * 1000, -value, value + 1, value / 2, 0.0, 1.0, 2.0, 1e9))
        return (f"{other:.0f}" if number[0].isdigit() and source.random() < 0.8 else f"{other!r}").encode()

    share = 1.5 / max(1, len(re.findall(NUMBER, content)))
    return re.sub(NUMBER, change, content)


def mutate_text(source: random.Random, content: bytes, tokens: str, values: Sequence[str]) -> bytes:
    """Tokens mostly, else numbers, lines or bytes; content is UTF-8."""
    act = source.random()
    if act < 0.4:
        return mutate_tokens(source, content, tokens, values)
    if act < 0.7:
        return mutate_numbers(source, content)
    return mutate_lines(source, content) if act < 0.85 else mutate_bytes(source, content)


def mutate_yaml(source: random.Random, content: bytes) -> bytes:
    """Keys, values, marks and indentation."""
    return mutate_text(source, content, r"[^\s:,\[\]{}#]+|[:,\[\]{}#]| +", VALUES)


def mutate_rows(source: random.Random, content: bytes) -> bytes:
    """Ids, texts, words and bars."""
    return mutate_text(source, content, r"[^|\n]+|[|\n]|\w+", FIELDS)


def mutate_object(source: random.Random, value: Any) -> Any:
    """Nested dictionaries and lists with one place lost, or something else in it."""
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(list(value))
        if source.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        if source.random() < 0.05:
            return {source.choice((5, "other", None)) if name == key else name: item for name, item in value.items()}
        return {**value, key: mutate_object(source, value[key])}
    if isinstance(value, list) and value and source.random() < 0.9:
        place = source.randrange(len(value))
        return [*value[:place], mutate_object(source, value[place]), *value[place + 1 :]]
    if isinstance(value, torch.Tensor) and source.random() < 0.7:
        odd = value.clone().float().flatten()
        odd[:1] = source.choice((math.nan, math.inf, 1e30))
        shaped = odd.reshape(value.shape)
        return source.choice((shaped, shaped.double(), value[..., :0], value.unsqueeze(0), value.int(), value * 0))
    return source.choice(OBJECTS)


def mutate_checkpoint(source: random.Random, content: bytes) -> bytes:
    """Bytes, or what a hand may have changed in a file that is whole."""
    if source.random() < 0.5:
        return mutate_bytes(source, content, source.choice((None, 2000)))
    written = io.BytesIO()
    torch.save(mutate_object(source, torch.load(io.BytesIO(content), weights_only=True)), written)
    return written.getvalue()


def mutate_mel(source: random.Random, content: bytes) -> bytes:
    """Bytes, or other numbers in a file that is whole."""
    if source.random() < 0.7:
        return mutate_bytes(source, content, source.choice((None, 150)))
    mel = np.load(io.BytesIO(unseal(content)))
    odd = source.choice((mel.T, mel[:, :0], mel[0], mel.astype(float), mel.astype(int), mel[:, :-1], mel * math.nan))
    written = io.BytesIO()
    np.save(written, odd)
    return seal(written.getvalue())


def mutate_journal(source: random.Random, content: bytes) -> bytes:
    """Text, half of it with lines that have no seal, as an earlier version wrote them."""
    if source.random() < 0.5:
        content = re.sub(rb', "crc32": "\w+"', b"", content)
    values = ("null", "NaN", "Infinity", "-1", "0", "1e999", "9" * 400, '"text"', "[]", "{}", "true", "[" * 3000, "")
    return mutate_text(source, content, r'"[^"]*"|-?[\d.][\de.+-]*|[{}\[\]:,]', values)


# what each kind damages, and what it runs

SETTINGS = ("--settings", "small.yaml")
TRAIN = ("--mode", "train", "--data", "corpus", *SETTINGS, "--study", "voice")
TRIAL = Path("smart_tuner_files/studies/voice/trial-0000")


def damage(case: Case) -> tuple[str, ...]:
    """Damage a file of the working folder; the command line to run on it."""
    source = random.Random(f"{case.kind} {case.seed} {case.number}")
    even = source.random() < 0.5
    file, change, words = KINDS[case.kind](source, even)
    before = file.read_bytes()
    after = before
    while after == before:
        after = change(source, before)
    times = file.stat()
    file.write_bytes(after)
    if source.random() < 0.5:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # a disk does not tell
    return words


Change = Callable[[random.Random, bytes], bytes]
Planned = tuple[Path, Change, tuple[str, ...]]


def plan_settings(source: random.Random, even: bool) -> Planned:
    words = ("--mode", "train", "--dry-run") if even else ("--mode", "check")
    return Path("small.yaml"), mutate_yaml, (*words, "--data", "corpus", *SETTINGS)


def plan_space(source: random.Random, even: bool) -> Planned:
    words = ("--mode", "tune", "--dry-run", "--trials", "4") if even else ("--mode", "check")
    return Path("space.yaml"), mutate_yaml, (*words, "--space", "space.yaml", "--data", "corpus", *SETTINGS)


def plan_metadata(source: random.Random, even: bool) -> Planned:
    data = "corpus" if even else "corpus/metadata.csv"
    return Path("corpus/metadata.csv"), mutate_rows, ("--mode", "check", "--data", data, *SETTINGS)


def plan_audio(source: random.Random, even: bool) -> Planned:
    change = partial(mutate_bytes, within=64 if even else 300)
    return source.choice(sorted(Path("sounds").iterdir())), change, ("--mode", "check", "--data", "list.txt", *SETTINGS)


def plan_checkpoint(source: random.Random, even: bool) -> Planned:
    speak = ("--mode", "synth", "--checkpoint", str(TRIAL / "best.pt"), "--text", "the cat came home.")
    return (TRIAL / "best.pt", mutate_checkpoint, speak) if even else (TRIAL / "last.pt", mutate_checkpoint, TRAIN)


def plan_mel(source: random.Random, even: bool) -> Planned:
    folder = next(path for path in Path("smart_tuner_files/mels").iterdir() if path.is_dir())
    if source.random() < 0.2:
        return folder / "index.jsonl", mutate_journal, TRAIN
    return source.choice(sorted(folder.glob("*.npy"))), mutate_mel, TRAIN


def plan_journal(source: random.Random, even: bool) -> Planned:
    return TRIAL / "metrics.jsonl", mutate_journal, TRAIN


KINDS: dict[str, Callable[[random.Random, bool], Planned]] = {
    "settings": plan_settings,
    "space": plan_space,
    "metadata": plan_metadata,
    "audio": plan_audio,
    "checkpoint": plan_checkpoint,
    "mel": plan_mel,
    "journal": plan_journal,
}


# running


def run_program(
    words: Sequence[str], output: Path, before: Callable[[], None] = lambda: None, most: float = SECONDS
) -> tuple[int, float]:
    """The command line in a child of this process: its exit code, negative for a signal, and its seconds."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_program(words, output, before)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - began
        if ended:
            return os.waitstatus_to_exitcode(status), seconds
        if seconds > most:
            os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seconds
        time.sleep(0.01)


def _be_the_program(words: Sequence[str], output: Path, before: Callable[[], None]) -> None:
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["smart_tuner_main.py", *words]
        before()
        smart_tuner_main.app(args=list(words), prog_name="smart_tuner_main.py")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as Python ends a program
        traceback.print_exc()
    finally:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare(folder: Path) -> None:
    """Make this process's working folder and its copy: corpora, settings, a space, a training that was killed."""
    folder = folder / str(os.getpid())
    work = folder / "work"
    work.mkdir(parents=True)
    os.chdir(work)
    voices.write_voice(work / "corpus", CLIPS, rate=RATE)
    rows = []
    for number in range(CLIPS):
        format = FORMATS[number % len(FORMATS)]
        sound = Path("sounds") / f"clip-{number:03d}.{format}"
        sound.parent.mkdir(exist_ok=True)
        samples, rate = soundfile.read(work / "corpus" / "wavs" / f"clip-{number:03d}.wav")
        soundfile.write(sound, samples, rate)
        rows.append(f"{sound}|{voices.text(number)}\n")
    Path("list.txt").write_text("".join(rows))
    Path("small.yaml").write_text(small.beep_settings(budget="8it").to_yaml())
    Path("space.yaml").write_text(SPACE)
    code, _ = run_program(TRAIN, folder / "output", lambda: _kill_itself_at(KILLED_AT), 120.0)
    if code != -signal.SIGKILL or not (TRIAL / "best.pt").exists():
        sys.exit(f"no training was killed ({code}): {(folder / 'output').read_text()}")
    shutil.copytree(work, folder / "kept", symlinks=True)
    # what the program imports on its way is imported here, once for all cases
    for words in sorted({KINDS[kind](random.Random(0), even)[2] for kind in KINDS for even in (True, False)}):
        code, _ = run_program(words, folder / "output", lambda: _note_imports_at_exit(folder / "imports.json"), 120.0)
        if code:
            sys.exit(f"{' '.join(words)} fails on files that are whole: {(folder / 'output').read_text()}")
        for name in json.loads((folder / "imports.json").read_text()):
            try:
                importlib.import_module(name)
            except (ImportError, AttributeError):
                continue  # of a package that is not whole without its own entry


def _kill_itself_at(iteration: int) -> None:
    append, told = Journal.append, Counter[str]()

    def append_or_die(journal: Journal, progress: Any) -> Any:
        told[progress.kind] += 1
        if told["training"] == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        return append(journal, progress)

    Journal.append = append_or_die  # type: ignore[method-assign]


def _note_imports_at_exit(file: Path) -> None:
    leave = os._exit

    def note_and_leave(code: int) -> None:
        file.write_text(json.dumps(sorted(name for name in sys.modules if not name.startswith("__"))))
        leave(code)

    os._exit = note_and_leave  # type: ignore[assignment]


def run_case(folder: Path, case: Case) -> Outcome:
    """Damage, run, judge."""
    folder = folder / str(os.getpid())
    os.chdir(folder)
    shutil.rmtree("work")
    shutil.copytree("kept", "work", symlinks=True)
    os.chdir("work")
    words = damage(case)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    code, seconds = run_program(words, folder / "output")
    output = (folder / "output").read_text(errors="replace")
    return Outcome(case, words, code, seconds, tuple(find_faults(words, code, seconds, output, before)), output)


# judging


def find_faults(words: Sequence[str], code: int, seconds: float, output: str, before: dict[Path, int]) -> list[str]:
    """What is not as it should be."""
    if seconds > SECONDS:
        return ["too long"]
    faults = [] if code in (0, 1, 2) else [f"exit code {code}"]
    if "Traceback" in output:
        return [*faults, f"traceback, {output.strip().splitlines()[-1][:100]}"]
    faults += (
        ["a library's warning"]
        if re.search(r"\.py:\d+: \w*Warning: |^\d{4}[-/]\d\d.* (WARNING|ERROR)", output, re.M)
        else []
    )
    errors = re.findall(r"^Error: .{10,}", output, re.M)
    told = len(errors) == 1 or (code == 1 and re.search(r"^(Verdict|Repair) ", output, re.M))
    if code and not told:
        faults.append(f"{len(errors)} sentences")
    faults += ["a sentence of many lines"] if errors and not output.rstrip().endswith(errors[-1]) else []
    faults += ["a sentence too long to read"] if errors and len(errors[-1]) > 1500 else []
    new = [path for path in Path().rglob("*") if path not in before]
    writes_nothing = code == 2 or "--dry-run" in words or "check" in words
    for path in new:
        if path.suffix == ".part" or path.name.startswith(".half"):
            faults.append(f"half-written {path}")
        elif (
            writes_nothing
            and path.is_file()
            and "mels" not in path.parts
            and path.name not in (".lock", ".stores.lock")
        ):
            faults.append(f"left behind {path}")
    return faults + find_damage(before)


def find_damage(before: dict[Path, int]) -> list[str]:
    """Databases and checkpoints that the program has written and that cannot be read."""
    damaged = []
    for file in Path().glob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            (said,) = database.execute("PRAGMA integrity_check").fetchone()
        damaged += [f"{file}: {said}"] if said != "ok" else []
    for file in Path().rglob("*.pt"):
        if before.get(file) != file.stat().st_mtime_ns:
            try:
                checkpoint.read_checkpoint(file)
            except CheckpointError as problem:
                damaged.append(str(problem))
    return damaged


def main() -> int:
    """Run the cases, print the table and the faults. The exit code: 1 when there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this case alone, with all that the program says")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    numbers = range(chosen.count) if chosen.only is None else [chosen.only]
    cases = [Case(kind, chosen.seed, number) for kind in chosen.kind or KINDS for number in numbers]
    outcomes: list[Outcome] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smart-tuner-fuzz-") as name:
        folder = Path(name)
        processes = min(chosen.processes, len(cases))
        with ProcessPoolExecutor(processes, get_context("fork"), initializer=prepare, initargs=(folder,)) as pool:
            for ended in as_completed(pool.submit(run_case, folder, case) for case in cases):
                outcome = ended.result()
                outcomes.append(outcome)
                for fault in outcome.faults:
                    case = outcome.case
                    print(f"--kind {case.kind} --only {case.number} --seed {case.seed}: {fault}", flush=True)
                if chosen.only is not None:
                    print(" ".join(outcome.command), outcome.output, f"exit code {outcome.code}", sep="\n")
    print(f"{'kind':<12}{'exit 0':>8}{'1':>8}{'2':>8}{'faults':>8}{'longest':>10}")
    for kind in chosen.kind or KINDS:
        of_kind = [outcome for outcome in outcomes if outcome.case.kind == kind]
        codes = Counter(outcome.code for outcome in of_kind)
        faulty = sum(bool(outcome.faults) for outcome in of_kind)
        longest = max(outcome.seconds for outcome in of_kind)
        print(f"{kind:<12}{codes[0]:>8}{codes[1]:>8}{codes[2]:>8}{faulty:>8}{longest:>8.1f} s")
    print(f"{len(outcomes)} cases in {(time.monotonic() - began) / 60:.0f} min")
    return 1 if any(outcome.faults for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
