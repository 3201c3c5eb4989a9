"""Preflight of a corpus: everything that could spoil a training, counted, before a GPU is rented.

These are the only rules about a corpus. --mode check prints all they find, training and searching refuse what they
call bad, a dry run applies as many as headers and texts allow.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smart_tuner.progress import Report
from smart_tuner.settings.settings import Settings
from smart_tuner.speech import audio, plausibility
from smart_tuner.speech.audio import AudioFacts
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.containers import AudioFileError
from smart_tuner.speech.corpus import Corpus, Examples, Utterance, make_examples
from smart_tuner.speech.doubts import describe_doubts
from smart_tuner.speech.notes import CorpusNote, Level, list_some, require_fit
from smart_tuner.speech.plausibility import FAST, FASTEST, SLOW, SLOWEST, Values
from smart_tuner.speech.preconditions import judge_settings
from smart_tuner.speech.symbols import describe_unknown

SHORTEST_FRAMES = 20
"""Shortest clip that training takes: two decoder steps at the largest reduction factor."""
LONGEST_SECONDS = 12.0
"""Clips over this length make batches that need much memory."""
LITTLE_HOURS = 0.25
READ_AT_ONCE = 900.0
"""Seconds of sound that a dry run reads: it takes some seconds."""
MOST_VALIDATION = 0.2
"""Share of a corpus that may be held out."""
STRESS_MARKS = str.maketrans("", "", "+ˈˌː")
"""Signs that take no time."""
LONGEST_PAUSE, MOST_PAUSES = 2.0, 0.5
"""Seconds of silence within a clip that no reader of sentences makes, and the share of such clips that is too much."""
MANY = 0.2
"""Share of the clips from which a fault is the corpus's, and not some clips'."""
SEVERAL = 24
"""Clips from which lengths alone can condemn a corpus."""
UNRELATED = 0.1
"""Share of the spread of lengths below which texts and sounds have nothing to do with each other."""
LARGEST_OFFSET = 0.01
"""Mean of a clip's samples, full scale 1; a real recording in order stays below a tenth of it."""


@dataclass(frozen=True)
class CorpusSound:
    """What is known of a corpus's audio files: by their content, or by their headers alone."""

    facts: dict[Path, AudioFacts] = field(default_factory=dict)
    """Of the good ones; empty when only the headers were read."""
    stored: dict[Path, float] = field(default_factory=dict)
    """Seconds that each good one holds."""
    seconds: dict[Path, float] = field(default_factory=dict)
    """The same without the silence at both ends, where that is known and trimmed."""
    frames: dict[Path, int] = field(default_factory=dict)
    """Mel frames that training will read of each."""
    bad: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of_facts(cls, facts: dict[Path, AudioFacts], bad: dict[Path, str], settings: Settings) -> "CorpusSound":
        """From what the mel cache found."""
        speech = settings.speech
        frames = {path: found.frames for path, found in facts.items()}
        seconds = {path: count * speech.hop_length / speech.sampling_rate for path, count in frames.items()}
        stored = {path: found.seconds for path, found in facts.items()}
        return cls(facts, stored, seconds if speech.trim_silence else stored, frames, bad)

    @classmethod
    def of_files(cls, paths: Iterable[Path], settings: Settings) -> "CorpusSound":
        """From the files themselves when there is little to read, else from their headers; writes nothing."""
        sound = cls.of_headers(paths, settings)
        if sum(sound.seconds.values()) > READ_AT_ONCE:
            return sound
        facts, bad = dict[Path, AudioFacts](), dict(sound.bad)
        for path in sound.seconds:
            try:
                facts[path] = audio.analyse(path, settings.speech)[1]
            except AudioFileError as problem:
                bad[path] = str(problem)
        return cls.of_facts(facts, bad, settings)

    @classmethod
    def of_headers(cls, paths: Iterable[Path], settings: Settings) -> "CorpusSound":
        """From the files' headers."""
        seconds, bad = dict[Path, float](), dict[Path, str]()
        for path in dict.fromkeys(paths):
            try:
                seconds[path] = audio.header_seconds(path)
            except AudioFileError as problem:
                bad[path] = str(problem)
        rate = settings.speech.sampling_rate / settings.speech.hop_length
        return cls({}, seconds, seconds, {path: round(length * rate) + 1 for path, length in seconds.items()}, bad)


def prepare_examples(corpus: Corpus, settings: Settings, cache: MelCache, report: Report) -> Examples:
    """What training reads of a corpus. Raises CorpusError for one that is bad, before its audio is read if it can."""
    require_fit(judge_rows(corpus, settings))
    sound = read_sound(corpus, settings, cache, report)
    notes = judge_corpus(corpus, settings, sound)
    require_fit(notes)
    return make_examples(corpus, settings, cache, sound.facts, notes)


def read_sound(corpus: Corpus, settings: Settings, cache: MelCache, report: Report) -> CorpusSound:
    """All that the corpus's audio files tell; their mels are in the cache then."""
    facts, bad = cache.prepare([utterance.audio for utterance in corpus.utterances], report)
    return CorpusSound.of_facts(facts, bad, settings)


def judge_corpus(corpus: Corpus, settings: Settings, sound: CorpusSound) -> list[CorpusNote]:
    """All that the rules say of a corpus, in the order a person asks, as far as its sound is known."""
    usable = [utterance for utterance in corpus.utterances if utterance.audio in sound.seconds]
    return [
        *_sizes(corpus, settings, sum(sound.stored.values()) / 3600),
        _files(sound.bad),
        *_texts(corpus),
        *(_audio(usable, sound.facts, settings) if sound.facts else ()),
        *(_lengths(usable, sound) if usable else ()),
        *(_pauses(usable, sound.facts) if sound.facts else ()),
        *_duplicates(corpus, sound.facts),
        *judge_settings(settings, train_lengths(corpus, sound)),
    ]


def judge_rows(corpus: Corpus, settings: Settings) -> list[CorpusNote]:
    """What the rules say before any audio is read."""
    return [*_sizes(corpus, settings), *_texts(corpus), *_duplicates(corpus, {})]


def train_lengths(corpus: Corpus, sound: "CorpusSound") -> list[tuple[int, int]]:
    """(Mel frames, symbols) of each training utterance whose audio can be read; the end is a symbol."""
    return [
        (sound.frames[utterance.audio], len(utterance.read_aloud) + 1)
        for utterance in corpus.train
        if utterance.audio in sound.frames
    ]


def judge_sizes(
    train: int, validation: int, settings: Settings, *, about: str = "", hours: float | None = None
) -> list[CorpusNote]:
    """Whether there are enough utterances to train on, and enough but not too many to validate on."""
    batch, share = settings.hparams.batch_size, validation / max(1, train + validation)
    size = f"{train + validation:,} utterances"
    size += f", {hours:.2f} h" if hours is not None else ""
    size += f", language {about}" if about else ""
    enough = CorpusNote("good", "size", size)
    if train < batch:
        few = f"{train} training utterances are fewer than a batch of {batch}; lower hparams.batch_size or add data"
        enough = CorpusNote("bad", "size", f"{few}; {size}")
    elif hours is not None and hours < LITTLE_HOURS:
        enough = CorpusNote("watch", "size", f"{size}; little to learn from, expect overfitting")
    held = f"{validation} utterances ({share:.1%})"
    if not validation:
        return [enough, CorpusNote("bad", "validation", f"{held}; at least one is needed")]
    if share > MOST_VALIDATION and validation > 1:
        many = f"{held}; at most {MOST_VALIDATION:.0%} may be (are the lists swapped?)"
        return [enough, CorpusNote("bad", "validation", many)]
    return [enough, CorpusNote("good", "validation", held)]


def _sizes(corpus: Corpus, settings: Settings, hours: float | None = None) -> list[CorpusNote]:
    return judge_sizes(len(corpus.train), len(corpus.validation), settings, about=corpus.language, hours=hours)


def _files(bad: dict[Path, str]) -> CorpusNote:
    if not bad:
        return CorpusNote("good", "files", "all present and readable")
    details = tuple(f"{path}: {why}" for path, why in bad.items())
    return CorpusNote("bad", "files", f"{len(bad)} missing, empty or unreadable", details)


def _texts(corpus: Corpus) -> list[CorpusNote]:
    empty = [utterance.row for utterance in corpus.utterances if not utterance.read_aloud]
    unknown = describe_unknown(
        corpus.symbols, [(utterance.row, utterance.read_aloud) for utterance in corpus.utterances]
    )
    notes = [CorpusNote("bad", "texts", f"{len(empty)} empty: {list_some(empty)}")] if empty else []
    notes += [CorpusNote("bad", "texts", f"unknown symbol {phrase}") for phrase in unknown]
    if unknown:
        known = "".join(corpus.symbols.symbols[2:])
        hint = f"the {corpus.language} table knows {known!r}: set speech.language if it is another, or mend the texts"
        notes.append(CorpusNote("bad", "texts", hint))
    for doubt in describe_doubts([(utterance.row, utterance.text) for utterance in corpus.utterances], corpus.language):
        text, *rows = doubt.splitlines()
        notes.append(CorpusNote("watch", "texts", text, tuple(map(str.strip, rows))))
    sure = "none empty, every symbol known, every number and mark of a sure form"
    return notes or [CorpusNote("good", "texts", sure)]


def _audio(utterances: list[Utterance], facts: dict[Path, AudioFacts], settings: Settings) -> list[CorpusNote]:
    found = [facts[utterance.audio] for utterance in utterances]
    rates = Counter(f"{recording.sample_rate} Hz{' stereo' if recording.channels == 2 else ''}" for recording in found)
    listed = ", ".join(f"{rate}: {count}" for rate, count in rates.most_common())
    below = any(recording.sample_rate < settings.speech.sampling_rate for recording in found)
    note = f"; resampled to {settings.speech.sampling_rate} Hz, with nothing above half the lower rate" if below else ""
    silent = sum(recording.edge_silence > 0.15 for recording in found) / len(found)
    cut = "trimmed" if settings.speech.trim_silence else "not trimmed: set speech.trim_silence"
    clipped = [
        utterance.name for utterance, recording in zip(utterances, found, strict=True) if recording.clipped > 1e-3
    ]
    shifted = [
        utterance.name
        for utterance, recording in zip(utterances, found, strict=True)
        if abs(recording.offset) > LARGEST_OFFSET
    ]
    most = max(found, key=lambda recording: abs(recording.offset)).offset
    return [
        CorpusNote("watch" if below or len(rates) > 1 else "good", "sample rates", listed + note),
        CorpusNote(
            "watch" if silent > 0.1 and not settings.speech.trim_silence else "good",
            "edge silence",
            f"over 150 ms at an end of {silent:.0%} of the clips ({cut})",
        ),
        CorpusNote(
            "watch" if clipped else "good",
            "clipping",
            f"{len(clipped)} clipped clips" + (f": {list_some(clipped)}" if clipped else ""),
        ),
        CorpusNote(
            "watch" if shifted else "good",
            "offset",
            f"the samples of {len(shifted)} clips lie beside zero, by up to {most:+.3f} of full scale: "
            f"{list_some(shifted)}; take the constant part out (a high-pass filter at 20 Hz)"
            if shifted
            else f"samples lie around zero (farthest {most:+.4f} of full scale)",
        ),
    ]


def _lengths(utterances: list[Utterance], sound: CorpusSound) -> list[CorpusNote]:
    """The clips' lengths, and whether each can be its text's: for the reader of any corpus, then for this one."""
    ordered = sorted(utterances, key=lambda utterance: (utterance.file, utterance.line))
    seconds = np.array([sound.seconds[utterance.audio] for utterance in ordered])
    characters = np.array([max(1, len(utterance.read_aloud.translate(STRESS_MARKS))) for utterance in ordered], float)
    return [
        _durations(ordered, sound),
        _pace(ordered, characters, seconds, trimmed=bool(sound.facts)),
        _order(ordered, characters, seconds),
        _odd_clips(ordered, characters, seconds, trimmed=bool(sound.facts)),
    ]


def _durations(utterances: list[Utterance], sound: CorpusSound) -> CorpusNote:
    seconds = np.array([sound.stored[utterance.audio] for utterance in utterances])
    short = [utterance.name for utterance in utterances if sound.frames[utterance.audio] < SHORTEST_FRAMES]
    long = [utterance.name for utterance, length in zip(utterances, seconds, strict=True) if length > LONGEST_SECONDS]
    if short:
        return CorpusNote(
            "bad", "duration", f"{len(short)} shorter than {SHORTEST_FRAMES} mel frames: {list_some(short)}"
        )
    span = f"{seconds.min():.1f} to {seconds.max():.1f} s, median {np.median(seconds):.1f} s"
    if long:
        return CorpusNote("watch", "duration", f"{span}; {len(long)} over {LONGEST_SECONDS:g} s: {list_some(long)}")
    return CorpusNote("good", "duration", span)


def _pace(utterances: list[Utterance], characters: Values, seconds: Values, *, trimmed: bool) -> CorpusNote:
    pace = plausibility.median_pace(characters, seconds)
    low, high = np.percentile(characters / seconds, [1, 99])
    told = f"median {pace:.1f} characters a second, 98 % between {low:.1f} and {high:.1f}"
    if SLOW <= pace <= FAST:
        return CorpusNote("good", "pace", told)
    level: Level = "watch" if SLOWEST <= pace <= FASTEST else "bad"
    if pace > FAST:
        bound = f"nobody reads over {FASTEST:g}" if level == "bad" else f"few readers go over {FAST:g}"
        repeated = Counter(plausibility.times_repeated(utterance.read_aloud) for utterance in utterances)
        times, count = repeated.most_common(1)[0]
        why = "the clips are cut, the texts hold more than is said, or the files' headers name too high a sample rate"
        if times > 1 and count > len(utterances) / 2:
            why = f"most texts say the same {times} times over"
        return CorpusNote(level, "pace", f"{told}; {bound}: {why}")
    bound = f"nobody reads under {SLOWEST:g}" if level == "bad" else f"few readers stay under {SLOW:g}"
    why = "the clips hold long silence, the texts lack words, or the files' headers name too low a sample rate"
    # by headers alone nobody knows how much of a clip is silence that will be cut
    return CorpusNote(level if trimmed else "watch", "pace", f"{told}; {bound}: {why}")


def _order(utterances: list[Utterance], characters: Values, seconds: Values) -> CorpusNote:
    share = plausibility.explained(characters, seconds)
    moved = plausibility.find_moved_texts(characters, seconds)
    if moved is not None:
        rows = f"{utterances[moved.first].row} to {utterances[moved.last].row}"
        away = f"{abs(moved.by)} row{'s' if abs(moved.by) > 1 else ''} {'below' if moved.by > 0 else 'above'}"
        where = f"from {rows}, the sounds have the lengths of the texts {away}"
        return CorpusNote("bad", "order", f"texts have probably moved: {where}, and not of their own")
    if share is None:
        return CorpusNote("good", "order", "clips too few or too much alike to compare lengths of text and sound")
    told = f"texts explain {max(0.0, share):.0%} of the differences in length"
    if share >= plausibility.TOGETHER:
        return CorpusNote("good", "order", told)
    level: Level = "bad" if share < UNRELATED and len(utterances) >= SEVERAL else "watch"
    return CorpusNote(level, "order", f"{told}, at least {plausibility.TOGETHER:.0%} are usual: "
                      "texts and clips are probably of different rows, or of different recordings")  # fmt: skip


def _odd_clips(utterances: list[Utterance], characters: Values, seconds: Values, *, trimmed: bool) -> CorpusNote:
    odd = plausibility.find_odd(characters, seconds)
    if not odd:
        none = f"none lasts {plausibility.ODD:g} times what its text should take, or half"
        return CorpusNote("good", "odd clips", none)
    shown = list_some([f"{utterances[place].name} ({utterances[place].row}) {times:.1f} times" for place, times in odd])
    level: Level = "bad" if trimmed and len(odd) > MANY * len(utterances) else "watch"
    why = "too long: silence, or a text that lacks words; too short: cut, or another clip's text"
    return CorpusNote(level, "odd clips", f"{len(odd)} last far from what their texts should take, {shown} ({why})")


def _pauses(utterances: list[Utterance], facts: dict[Path, AudioFacts]) -> list[CorpusNote]:
    pauses = [(utterance.name, facts[utterance.audio].longest_pause) for utterance in utterances]
    long = [f"{name} {pause:.1f} s" for name, pause in pauses if pause > LONGEST_PAUSE]
    if not long:
        longest = max(pause for _, pause in pauses)
        return [CorpusNote("good", "pauses", f"none within a clip over {LONGEST_PAUSE:g} s (longest {longest:.1f} s)")]
    told = f"{len(long)} of {len(pauses)} clips are silent for over {LONGEST_PAUSE:g} s in their middle"
    level: Level = "bad" if len(long) > MOST_PAUSES * len(pauses) else "watch"
    return [CorpusNote(level, "pauses", f"{told}, at which an attention stops: {list_some(long)}; cut or shorten them")]


def _duplicates(corpus: Corpus, facts: dict[Path, AudioFacts]) -> list[CorpusNote]:
    """Files, recordings and texts that stand twice."""
    utterances = corpus.utterances
    files = _repeated(str(utterance.audio.resolve()) for utterance in utterances)
    sounds = _repeated(facts[utterance.audio].sha256 for utterance in utterances if utterance.audio in facts)
    texts = _repeated(utterance.read_aloud for utterance in utterances)
    notes = []
    if files:
        rows = [utterance.row for utterance in utterances if str(utterance.audio.resolve()) in files]
        twice = f"{len(files)} audio file(s) stand in more than one row or in both lists, links to them included"
        notes.append(CorpusNote("bad", "duplicates", f"{twice}: {list_some(rows)}"))
    elif sounds:
        same = [
            utterance.name
            for utterance in utterances
            if utterance.audio in facts and facts[utterance.audio].sha256 in sounds
        ]
        notes.append(CorpusNote("watch", "duplicates", f"{len(same)} clips are the same recording: {list_some(same)}"))
    if texts:
        listed = list_some(sorted(texts))
        notes.append(CorpusNote("watch", "duplicates", f"{len(texts)} texts stand more than once: {listed}"))
    return notes or [CorpusNote("good", "duplicates", "no file, recording or text stands twice")]


def _repeated(values: Iterable[str]) -> set[str]:
    return {value for value, count in Counter(values).items() if count > 1}
