"""The mel cache: each audio file is read once per audio setting, in parallel; training reads mels, never audio.

A folder per set of audio settings holds one .npy per audio file, named by the file's path, size and time of change, and
index.jsonl with what was found in each. An interrupted build goes on where it stopped.
"""

import json
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from smart_tuner.errors import StorageError
from smart_tuner.progress import Report
from smart_tuner.sealed import DamagedError, seal_line, unseal_line, whole_lines
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.audio import AudioFacts, analyse
from smart_tuner.speech.containers import AudioFileError
from smart_tuner.speech.cores import count_cores
from smart_tuner.speech.mel_file import MEL_VERSION, SUFFIX, read_mel, write_mel

AUDIO_FIELDS = [
    name for name in Speech.__dataclass_fields__ if name not in ("language", "front_end", "stress", "validation_share")
]


class MelCache:
    """Mels of audio files under one set of audio settings."""

    def __init__(self, root: Path, speech: Speech) -> None:
        audio = {"version": MEL_VERSION} | {name: getattr(speech, name) for name in AUDIO_FIELDS}
        self.speech = speech
        self.folder = root / sha256(json.dumps(audio, sort_keys=True).encode()).hexdigest()[:12]
        self.audio = audio

    def mel_path(self, path: Path) -> Path:
        """Where the mel of an audio file is. Raises OSError for a file that is not there."""
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        return self.folder / f"{sha256(key.encode()).hexdigest()[:24]}{SUFFIX}"

    def prepare(self, paths: list[Path], report: Report) -> tuple[dict[Path, AudioFacts], dict[Path, str]]:
        """Facts of every good file, whose mels are then in the cache, and what is wrong with every bad one."""
        targets, bad = {}, {}
        for path in dict.fromkeys(paths):
            try:
                targets[path] = self.mel_path(path)
            except OSError as problem:
                bad[path] = "missing" if isinstance(problem, FileNotFoundError) else f"unreadable ({problem.strerror})"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "settings.json").write_text(json.dumps(self.audio, indent=1))
            with FileLock(self.folder / ".lock"):
                facts = self._fill(targets, bad, report)
        except OSError as problem:
            raise StorageError(
                f"The mel cache {self.folder} cannot be written: {problem.strerror or problem}."
            ) from problem
        return facts, bad

    def _fill(self, targets: dict[Path, Path], bad: dict[Path, str], report: Report) -> dict[Path, AudioFacts]:
        index, total = self._read_index(), len(targets) + len(bad)
        facts: dict[Path, AudioFacts] = {}
        missing = []
        for path, mel in targets.items():
            known = index.get(mel.name)
            if known and self._is_whole(mel, known):
                facts[path] = known
            else:
                missing.append((path, mel))
        report(len(facts) + len(bad), total)
        with (self.folder / "index.jsonl").open("a", encoding="utf-8") as log:
            if log.tell() and not (self.folder / "index.jsonl").read_bytes().endswith(b"\n"):
                log.write("\n")  # after the line of a build that was killed
            for (path, mel), found in zip(missing, _analyse_all(missing, self.speech), strict=True):
                if isinstance(found, AudioFacts):
                    facts[path] = found
                    log.write(seal_line({"mel": mel.name, **asdict(found)}))
                else:
                    bad[path] = found
                report(len(facts) + len(bad), total)
        return facts

    def _is_whole(self, mel: Path, facts: AudioFacts) -> bool:
        """Whether a mel is there as it was written; a power cut leaves names without content, or zeros in it."""
        try:
            return read_mel(mel).shape == (self.speech.n_mel_channels, facts.frames)
        except (FileNotFoundError, DamagedError):
            return False

    def _read_index(self) -> dict[str, AudioFacts]:
        index = {}
        file = self.folder / "index.jsonl"
        for line in whole_lines(file.read_bytes()) if file.exists() else []:
            try:
                entry = unseal_line(line)
            except DamagedError:
                continue  # a kill, a power cut or a hand; its audio file is analysed again
            name = entry.pop("mel")
            index[name] = AudioFacts(**entry)
        return index


def _analyse_all(jobs: list[tuple[Path, Path]], speech: Speech) -> Iterator[AudioFacts | str]:
    """Yields, in order, facts or what is wrong, from as many processes as there are cores."""
    work = partial(_analyse_one, speech=speech)
    workers = min(len(jobs) // 8, count_cores())
    if workers < 2:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's and the database's threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals_to_parent) as pool:
        try:
            yield from pool.map(work, jobs, chunksize=8)
        except BrokenProcessPool as problem:
            raise StorageError("A process that computes mels was killed, probably for lack of memory.") from problem
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _analyse_one(job: tuple[Path, Path], speech: Speech) -> AudioFacts | str:
    path, target = job
    try:
        mel, facts = analyse(path, speech)
    except AudioFileError as problem:
        return str(problem)
    except OSError as problem:
        return f"unreadable ({problem.strerror})"
    write_mel(target, mel)
    return facts
