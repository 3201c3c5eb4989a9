"""A free-running evaluation tells a voice that reads from one that does not, and repeats itself."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.ctc import CtcRecogniser
from model.prediction import Prediction
from model.tacotron2 import Tacotron2
from smart_tuner.evaluation.freerun import SEEDS, FreeRunning, mel_cepstral_distortion, warped_mean
from smart_tuner.evaluation.recogniser import Alphabet, Recogniser
from smart_tuner.settings.settings import Settings, Tracking
from smart_tuner.speech.batches import Example
from smart_tuner.speech.mel_file import write_mel
from tests.support import small


def wanted(sentences: int = 4, r: int = 1) -> Settings:
    return dataclasses.replace(small.settings(reduction_factor=r), tracking=Tracking(freerun_sentences=sentences))


class Perfect(Tacotron2):
    """Reads each of its texts as the recording has it, a token after the other, and stops at the end."""

    def __init__(self, examples: list[Example], settings: Settings) -> None:
        super().__init__(settings.sizes(len(small.SYMBOLS)))
        self.recordings = {tuple(example.tokens.tolist()): np.load(example.mel) for example in examples}
        self.late = 0.0
        """Steps by which the gate opens after the recording's end, as a share of its length."""
        self.rests_on: int | None = None
        """A token that all of the attention stays on."""

    @torch.no_grad()
    def infer(
        self, tokens_BN: Tensor, tokens_B: Tensor, *, max_steps: int = 1000, gate_threshold: float = 0.5, **_: Any
    ) -> Prediction:
        r, batch = self.reduction_factor, len(tokens_B)
        gate_BT = torch.full((batch, max_steps), -9.0)
        mels_BMF = torch.zeros(batch, small.MELS, max_steps * r)
        attention_BTN = torch.zeros(batch, max_steps, tokens_BN.shape[1])
        for row, count in enumerate(tokens_B.tolist()):
            mel_MF = self.recordings[tuple(tokens_BN[row, :count].tolist())]
            steps = -(-mel_MF.shape[1] // r)
            mels_BMF[row, :, : mel_MF.shape[1]] = torch.from_numpy(mel_MF)
            end = round(steps * (1 + self.late)) - 1
            gate_BT[row, end : end + 1] = 9.0
            peaks = (torch.arange(max_steps) * count // steps).clamp(max=count - 1)
            peaks = peaks if self.rests_on is None else torch.full_like(peaks, self.rests_on)
            attention_BTN[row, torch.arange(max_steps), peaks] = 1.0
        return Prediction(mels_BMF, mels_BMF, gate_BT, attention_BTN)


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return small.examples(tmp_path, 6)


@pytest.mark.parametrize("r", [1, 3])
def test_a_perfect_voice_has_no_failure_and_no_distortion(examples: list[Example], r: int) -> None:
    settings = wanted(r=r)
    freerun = FreeRunning(examples, small.SYMBOLS, settings)
    metrics = freerun.run(Perfect(examples, settings), small.CPU)
    assert metrics.keys() == {"validation.freerun.failure_rate", "validation.freerun.mcd"}
    assert metrics["validation.freerun.failure_rate"] == 0.0
    assert metrics["validation.freerun.mcd"] < (0.01 if r == 1 else 5.0)  # the last step may pad some frames


def test_a_voice_that_never_stops_fails_and_is_cut_at_twice_the_length(examples: list[Example]) -> None:
    freerun, voice = FreeRunning(examples, small.SYMBOLS, wanted()), Perfect(examples, wanted())
    voice.late = 99.0
    assert freerun.run(voice, small.CPU)["validation.freerun.failure_rate"] == 1.0
    assert all(row["faults"] == ["never_stopped"] for row in freerun.rows)
    frames = {example.name: example.frames for example in examples}
    for row in freerun.rows:
        assert row["seconds"] == pytest.approx(2 * frames[row["name"]] * freerun.frame_seconds)


def test_each_sentence_has_its_own_limit(examples: list[Example]) -> None:
    """A short one that stops late is not excused by a long one beside it."""
    freerun, voice = FreeRunning(examples, small.SYMBOLS, wanted()), Perfect(examples, wanted())
    voice.late = 1.1
    assert {*freerun.run(voice, small.CPU).values()} >= {1.0}
    assert all("never_stopped" in row["faults"] for row in freerun.rows)


def test_a_voice_that_reads_one_token_of_a_long_text_fails(examples: list[Example]) -> None:
    short = examples[0]
    write_mel(short.mel, np.tile(np.load(short.mel), 4))
    long = dataclasses.replace(short, tokens=np.tile(short.tokens, 4), frames=4 * short.frames)
    freerun, voice = FreeRunning([long], small.SYMBOLS, wanted()), Perfect([long], wanted())
    voice.rests_on = 0
    assert freerun.run(voice, small.CPU)["validation.freerun.failure_rate"] == 1.0
    assert all("skipped" in row["faults"] for row in freerun.rows)


def test_the_first_sentences_are_read_with_every_seed(examples: list[Example]) -> None:
    freerun = FreeRunning(examples, small.SYMBOLS, wanted(sentences=2))
    freerun.run(Perfect(examples, wanted()), small.CPU)
    read = sorted((row["name"], row["seed"]) for row in freerun.rows)
    assert read == sorted((example.name, seed) for example in examples[:2] for seed in SEEDS)


def test_a_run_repeats_itself_and_leaves_model_and_random_state(examples: list[Example]) -> None:
    torch.manual_seed(3)
    model, freerun = (
        Tacotron2(wanted().sizes(len(small.SYMBOLS))).train(),
        FreeRunning(examples, small.SYMBOLS, wanted()),
    )
    before = torch.get_rng_state()
    first, rows = freerun.run(model, small.CPU), freerun.rows
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert freerun.run(model, small.CPU) == first
    assert freerun.rows == rows
    assert len({row["distortion"] for row in rows if row["name"] == rows[0]["name"]}) == len(SEEDS)


def test_it_follows_the_models_reduction_factor(examples: list[Example]) -> None:
    settings = wanted(r=3)
    model, freerun = Perfect(examples, settings), FreeRunning(examples, small.SYMBOLS, settings)
    model.reduction_factor = 2
    assert freerun.run(model, small.CPU)["validation.freerun.failure_rate"] == 0.0
    assert all(math.isclose(row["seconds"] / freerun.frame_seconds % 2, 0.0, abs_tol=1e-6) for row in freerun.rows)


def test_the_recogniser_judges_voice_and_recordings_alike(examples: list[Example]) -> None:
    torch.manual_seed(0)
    recogniser = Recogniser(CtcRecogniser(small.MELS, 11), Alphabet(small.SYMBOLS))
    freerun = FreeRunning(examples, small.SYMBOLS, wanted(), recogniser)
    metrics = freerun.run(Perfect(examples, wanted()), small.CPU)
    assert metrics["validation.freerun.cer"] == metrics["validation.freerun.cer_recorded"] > 0
    assert all(isinstance(row["transcript"], str) for row in freerun.rows)
    json.dumps(freerun.rows)


def judge(cer: float = 0.1) -> Recogniser:
    torch.manual_seed(0)
    return Recogniser(CtcRecogniser(small.MELS, 11), Alphabet(small.SYMBOLS), cer)


def test_what_was_said_is_read_once_and_the_recordings_once_for_all(
    examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser, read, hear = judge(), list[int](), Recogniser.hear
    monkeypatch.setattr(Recogniser, "hear", lambda self, mels: read.append(len(mels)) or hear(self, mels))
    freerun = FreeRunning(examples, small.SYMBOLS, wanted(), recogniser)
    first, second = (freerun.run(Perfect(examples, wanted()), small.CPU) for _ in range(2))
    assert first == second
    assert read == [4 * len(SEEDS), 4, 4 * len(SEEDS)]


def test_the_last_evaluation_alone_waits_for_a_recogniser(examples: list[Example]) -> None:
    asked = list[int]()
    freerun = FreeRunning(examples, small.SYMBOLS, wanted())
    freerun.awaited = lambda: asked.append(1) or judge()  # type: ignore[func-returns-value]
    early = freerun.run(Perfect(examples, wanted()), small.CPU)
    assert (asked, freerun.rows[0]["transcript"]) == ([], None)
    late = freerun.run(Perfect(examples, wanted()), small.CPU, last=True)
    assert (asked, freerun.no_judge) == ([1], "")
    assert {name.removeprefix("validation.freerun.") for name in late.keys() - early.keys()} == {"cer", "cer_recorded"}


def test_an_awaited_recogniser_that_reads_badly_judges_nothing(examples: list[Example]) -> None:
    freerun = FreeRunning(examples, small.SYMBOLS, wanted())
    freerun.awaited = lambda: judge(0.9)
    metrics = freerun.run(Perfect(examples, wanted()), small.CPU, last=True)
    assert "validation.freerun.cer" not in metrics
    assert "90%, more than 30%" in freerun.no_judge


def test_rows_hold_the_text_without_the_end_symbol(examples: list[Example]) -> None:
    freerun = FreeRunning(examples, small.SYMBOLS, wanted())
    freerun.run(Perfect(examples, wanted()), small.CPU)
    texts = {example.name: "".join(small.SYMBOLS[token] for token in example.tokens[:-1]) for example in examples}
    assert all(row["text"] == texts[row["name"]] and row["transcript"] is None for row in freerun.rows)


def test_distortion_is_the_smoothed_spectrums_difference_in_decibels() -> None:
    """A ripple of one cepstral order, in natural logarithms of amplitude, against silence: its RMS times 20 / ln 10."""
    bins = np.arange(80) + 0.5
    ripple_MF = (0.3 * np.cos(np.pi * 5 * bins / 80))[:, None].repeat(4, axis=1)
    flat_MF = np.zeros((80, 4))
    expected = 20 / math.log(10) * math.sqrt((ripple_MF**2).mean())
    assert mel_cepstral_distortion(ripple_MF.astype(np.float32), flat_MF.astype(np.float32)) == pytest.approx(expected)


def test_distortion_does_not_hear_loudness_nor_tempo() -> None:
    mel_MF = np.random.default_rng(0).normal(size=(80, 30)).astype(np.float32)
    assert mel_cepstral_distortion(mel_MF, mel_MF + 2.0) == pytest.approx(0.0, abs=1e-5)
    assert mel_cepstral_distortion(mel_MF, mel_MF.repeat(2, axis=1)) == pytest.approx(0.0, abs=1e-5)
    assert mel_cepstral_distortion(mel_MF, mel_MF[:, ::-1].copy()) > 1.0


@pytest.mark.parametrize(("frames", "others"), [(1, 1), (1, 5), (7, 1), (6, 9), (9, 6)])
def test_warping_is_as_a_plain_formulation_has_it(frames: int, others: int) -> None:
    costs = np.random.default_rng(frames * 10 + others).random((frames, others))
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for f in range(frames):
        for g in range(others):
            ways = [best[way] for way in ((f - 1, g - 1), (f - 1, g), (f, g - 1)) if way in best]
            cost, pairs = min(ways, default=(0.0, 0))
            best[f, g] = (cost + costs[f, g], pairs + 1)
    cost, pairs = best[frames - 1, others - 1]
    assert warped_mean(costs) == pytest.approx(cost / pairs)
