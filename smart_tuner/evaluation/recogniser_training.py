"""The training of a corpus's recogniser, once, on the corpus's own mels and texts.

Its error on recordings that it was not trained on says how far it can be trusted, and whether it judges at all.
Its training ends by steps and by an error, never by the clock: a busy machine gets the same one, later.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice, pairwise
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn import functional as F

from model.ctc import BLANK, STRIDE, CtcRecogniser
from model.lengths import decoder_steps, length_mask
from smart_tuner.errors import CheckpointError, DataError, StorageError
from smart_tuner.evaluation.recogniser import (
    BATCH,
    Alphabet,
    Recogniser,
    levenshtein,
    recogniser_file,
    write_recogniser,
)
from smart_tuner.progress import Report
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.batches import Batch, Example, load_batches, load_mel, plan_epoch
from smart_tuner.speech.corpus import Examples

SEED = 20060625
LEARNING_RATE = 2e-3
WARMUP = 50
LOOK_STEPS = 150
"""Steps between two looks at the error on utterances held out of the training; the best look is kept."""
PATIENCE = 6
"""Looks in a row without a gain that end the training: the error of a few dozen utterances wavers from look to look."""
GOOD_ENOUGH = 0.03
"""Error on the held-out utterances that ends the training: a voice is judged by far larger differences."""
FEWEST = 2
"""Utterances without which there is nothing to train on and to hold out."""
MOST_HELD_OUT = 64
SCALED = 200
"""Recordings that the mean and the deviation of the mel bins are taken from."""
MASKS, WIDEST_BAND, LONGEST_GAP, MOST_NOISE = 2, 0.2, 0.06, 0.2
"""Bands and gaps cut out of each utterance, their largest shares of the bins and frames, deviations of noise added."""

CPU = torch.device("cpu")


def prepare_recogniser(
    examples: Examples, settings: Settings, folder: Path, report: Report, device: torch.device = CPU
) -> Path:
    """The file of the corpus's recogniser, trained the first time. Raises DataError, StorageError."""
    file = recogniser_file(folder, examples.digest, settings, examples.corpus.symbols.symbols)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_for(FileLock(file.with_suffix(".lock")), report), one_thread():
            if not is_readable(file):
                write_recogniser(file, make_recogniser(examples, settings, report, device))
    except OSError as problem:
        raise StorageError(f"The recogniser {file} cannot be written: {problem.strerror or problem}.") from problem
    return file


def await_recogniser(
    examples: Examples, settings: Settings, file: Path, report: Report = lambda done, total: None
) -> Recogniser:
    """The recogniser that another process trains; trained here if that process has ended without it.

    report is called every second or so, and ends the wait by what it raises. Raises DataError, StorageError.
    """
    return Recogniser.load(prepare_recogniser(examples, settings, file.parent, report))


@contextmanager
def waiting_for(lock: FileLock, report: Report) -> Iterator[None]:
    """Hold the lock; as long as another process has it, report that nothing is done."""
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            report(0, 1)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one: the voice that trains beside leaves one core free, and two threads on it wait for each other.

    The number decides the last bits of sums, and so in the end the weights: it is the same everywhere.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_recogniser(examples: Examples, settings: Settings, report: Report, device: torch.device) -> Recogniser:
    """A recogniser with its error on the validation recordings; untrained, with the reason, where it cannot learn."""
    alphabet, mels = Alphabet(examples.corpus.symbols.symbols), settings.speech.n_mel_channels
    usable = list_alignable(examples.train, alphabet)
    if len(usable) < FEWEST:
        with torch.random.fork_rng(devices=[]):
            network = CtcRecogniser(mels, len(alphabet.labels) + 1)
        why = (
            f"it needs at least {FEWEST} training utterances with letters, spoken no faster than {STRIDE} mel frames a "
            f"letter; {len(usable)} of {len(examples.train)} are such (speech.hop_length too large?)"
        )
        return Recogniser(network, alphabet, untrained=why)
    made = RecogniserTraining(usable, alphabet, mels, device).run(settings.tracking.recogniser_steps, report)
    recorded = [load_mel(example) for example in examples.validation]
    made.cer_recorded = made.error_rate(recorded, [example.tokens for example in examples.validation])
    return made


def is_readable(file: Path) -> bool:
    """Whether a recogniser is there as it was written; one that is not is trained again."""
    try:
        Recogniser.load(file)
    except CheckpointError:
        return False
    return True


def list_alignable(train: Sequence[Example], alphabet: Alphabet) -> list[Example]:
    """The utterances that CTC can align, with labels for tokens."""
    spelt = [
        dataclasses.replace(example, tokens=np.array(alphabet.spell(example.tokens), dtype=np.int64))
        for example in train
    ]
    return [example for example in spelt if can_be_aligned(example)]


class RecogniserTraining:
    """Trains a recogniser on recordings, by CTC."""

    def __init__(self, usable: Sequence[Example], alphabet: Alphabet, mels: int, device: torch.device) -> None:
        """Takes at least FEWEST utterances as list_alignable gives them."""
        order = np.random.default_rng(SEED).permutation(len(usable))
        aside = min(MOST_HELD_OUT, max(1, len(usable) // 20))
        self.held_out, self.train = ([usable[index] for index in part] for part in (order[:aside], order[aside:]))
        self.alphabet, self.mels, self.device = alphabet, mels, device
        self.batch = min(BATCH, len(self.train))

    def run(self, steps: int, report: Report) -> Recogniser:
        """Train, for so many steps at most; the state with the fewest errors on what was held out. Raises DataError.

        The same corpus gives the same recogniser on the same machine.
        """
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(SEED)
            network = CtcRecogniser(self.mels, len(self.alphabet.labels) + 1)
            network.set_scale(*self._scale())
            network.to(self.device)
            return self._learn(Recogniser(network, self.alphabet), steps, report)

    def _learn(self, recogniser: Recogniser, steps: int, report: Report) -> Recogniser:
        network = recogniser.network
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
        best = Best(network)
        for step, batch in enumerate(islice(self._batches(), steps)):
            for group in optimizer.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
                group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * cosine
            loss = ctc_loss(network.train(), batch)
            if not loss.isfinite():
                raise DataError(f"The recogniser's loss is not finite at its step {step + 1}: {loss.item():g}.")
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % LOOK_STEPS == 0 or step + 1 == steps:
                report(step + 1, steps)
                best.look(self._held_out_error(recogniser))
                if best.error <= GOOD_ENOUGH or best.looks - best.found_at >= PATIENCE:
                    break
        network.load_state_dict(best.state)
        report(steps, steps)
        return recogniser

    def _batches(self) -> Iterator[Batch]:
        frames = [example.frames for example in self.train]
        for epoch in count():
            yield from load_batches(self.train, plan_epoch(frames, self.batch, SEED, epoch), self.device)

    def _held_out_error(self, recogniser: Recogniser) -> float:
        heard = recogniser.hear([load_mel(example) for example in self.held_out])
        edits = sum(levenshtein(read, example.tokens) for read, example in zip(heard, self.held_out, strict=True))
        return edits / sum(len(example.tokens) for example in self.held_out)

    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each mel bin (M,), of some recordings."""
        frames_MF = np.concatenate([load_mel(example) for example in self.train[:SCALED]], axis=1)
        deviation_M = frames_MF.std(axis=1).clip(min=1e-3)  # a bin may be the same in all frames
        return torch.from_numpy(frames_MF.mean(axis=1)), torch.from_numpy(deviation_M)


class Best:
    """The weights that made the fewest errors so far."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.looks, self.found_at, self.error = 0, 0, math.inf
        self.state: dict[str, Tensor] = {}

    def look(self, error: float) -> None:
        """Keep the weights if their error is the smallest."""
        self.looks += 1
        if error < self.error:
            self.error, self.found_at = error, self.looks
            self.state = {name: value.clone() for name, value in self.network.state_dict().items()}


def can_be_aligned(example: Example) -> bool:
    """Whether CTC can align the labels: a step for each, and one between two of the same."""
    labels: list[int] = example.tokens.tolist()
    repeated = sum(label == other for label, other in pairwise(labels))
    return 0 < len(labels) + repeated <= -(-example.frames // STRIDE)


def ctc_loss(network: CtcRecogniser, batch: Batch) -> Tensor:
    """Negative log-likelihood of the labels, per label, mean over utterances, with parts of the input masked."""
    normalised_BMF = network.normalise(batch.mels_BMF, batch.frames_B)
    log_probs_BTV = network(mask_spans(normalised_BMF, batch.frames_B), batch.frames_B)
    steps_B = decoder_steps(batch.frames_B, STRIDE)
    return F.ctc_loss(log_probs_BTV.transpose(0, 1), batch.tokens_BN, steps_B, batch.tokens_B, blank=BLANK)


def mask_spans(normalised_BMF: Tensor, frames_B: Tensor) -> Tensor:
    """SpecAugment (Park et al., 1904.08779) without warping, and noise: of small corpora it makes larger ones."""
    batch, mels, frames = normalised_BMF.shape
    device = normalised_BMF.device
    noise_B11 = MOST_NOISE * torch.rand(batch, 1, 1, device=device)
    masked_BMF = normalised_BMF + noise_B11 * torch.randn_like(normalised_BMF)
    for _ in range(MASKS):
        low_BM = _span(torch.full_like(frames_B, mels), WIDEST_BAND, mels)
        time_BF = _span(frames_B, LONGEST_GAP, frames)
        masked_BMF = masked_BMF.masked_fill(low_BM[:, :, None] | time_BF[:, None], 0.0)
    return masked_BMF.masked_fill(~length_mask(frames_B, frames)[:, None], 0.0)


def _span(lengths_B: Tensor, share: float, longest: int) -> Tensor:
    """True in a random span of each row (B, longest), of at most this share of the row's length."""
    device = lengths_B.device
    widths_B = share * lengths_B * torch.rand(len(lengths_B), device=device)
    starts_B = (lengths_B - widths_B) * torch.rand(len(lengths_B), device=device)
    position = torch.arange(longest, device=device)
    return (position >= starts_B[:, None]) & (position < (starts_B + widths_B)[:, None])
