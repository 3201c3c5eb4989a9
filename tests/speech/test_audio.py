"""Audio becomes the mels that public vocoders take, and a file without usable audio says what is wrong with it."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from smart_tuner.settings.speech import Speech
from smart_tuner.speech import audio
from smart_tuner.speech.containers import AudioFileError
from tests.support import voices

RATE = 22050
FLOOR = np.log(1e-5)
NO_TRIM = Speech(trim_silence=False)


def plain_filters(speech: Speech) -> NDArray[np.float64]:
    """Slaney's mel filters (Auditory Toolbox, 1998): triangles of equal area, linear below 1 kHz, logarithmic above."""
    step = np.log(6.4) / 27

    def mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) / step

    mels = np.linspace(mel(speech.mel_fmin), mel(speech.mel_fmax), speech.n_mel_channels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    bins = np.fft.rfftfreq(speech.filter_length, 1 / speech.sampling_rate)
    rows = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        triangle = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
        rows.append(np.maximum(triangle, 0) * 2 / (high - low))
    return np.array(rows)


def plain_log_mel(samples: NDArray[np.float32], speech: Speech) -> NDArray[np.float64]:
    """HiFi-GAN's mel_spectrogram, frame by frame."""
    size, hop, width = speech.filter_length, speech.hop_length, speech.win_length
    window = np.zeros(size)
    start = (size - width) // 2
    window[start : start + width] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    padded = np.pad(samples.astype(np.float64), (size - hop) // 2, mode="reflect")
    frames = [padded[at : at + size] * window for at in range(0, len(padded) - size + 1, hop)]
    magnitude = np.sqrt(np.abs(np.fft.rfft(frames)) ** 2 + 1e-9)
    return np.log(np.maximum(plain_filters(speech) @ magnitude.T, 1e-5))


def rejection(path: Path) -> str:
    with pytest.raises(AudioFileError) as refused:
        audio.analyse(path, Speech())
    return str(refused.value)


@pytest.mark.parametrize(
    "speech",
    [
        Speech(),
        Speech(win_length=800),
        Speech(sampling_rate=16000, filter_length=512, hop_length=128, win_length=512, n_mel_channels=40, mel_fmin=55),
    ],
    ids=["vocoder", "short window", "16 kHz"],
)
def test_the_log_mel_is_the_one_of_public_vocoders(speech: Speech) -> None:
    samples = voices.speech(0.7, speech.sampling_rate)
    samples[3000:9000] = 0
    expected = plain_log_mel(samples, speech)
    found = audio.log_mel(samples, speech)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    assert found.min() == pytest.approx(FLOOR, abs=1e-5)
    assert found.max() > -1


def test_a_mel_is_the_same_to_the_last_bit_on_one_core_and_on_many() -> None:
    samples = voices.speech(3.0, RATE)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(audio.log_mel(samples, Speech()))
            assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {
                threads
            }
    assert np.array_equal(*found)


def test_digital_silence_is_the_floor() -> None:
    mel = audio.log_mel(np.zeros(5000, dtype=np.float32), Speech())
    assert np.allclose(mel, FLOOR)


@pytest.mark.parametrize(
    ("samples", "hop"), [(2560, 256), (2561, 256), (2815, 256), (2816, 256), (22050, 256), (300, 256), (2750, 275)]
)
def test_there_is_one_frame_a_whole_hop(samples: int, hop: int) -> None:
    mel = audio.log_mel(np.zeros(samples, dtype=np.float32), Speech(hop_length=hop))
    assert mel.shape == (80, samples // hop)


def test_facts_are_what_the_file_holds(tmp_path: Path) -> None:
    samples = voices.speech(1.0, RATE)
    samples[5000:5011] = 1.0
    path = voices.write(tmp_path / "a.wav", samples, RATE, channels=2)
    mel, facts = audio.analyse(path, NO_TRIM)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.seconds, facts.sample_rate, facts.channels) == (1.0, RATE, 2)
    assert facts.frames == mel.shape[1] == RATE // 256
    assert facts.peak == pytest.approx(1.0, abs=1e-4)
    assert facts.clipped == pytest.approx(11 / RATE)
    assert facts.offset == pytest.approx(samples.mean(), abs=5e-5)
    assert facts.longest_pause < 0.1


@pytest.mark.parametrize("rate", [16000, 44100])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    speech = Speech(trim_silence=False, mel_fmax=7000.0)
    mels = []
    for one in (RATE, rate):
        time = np.arange(one) / one
        tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (300, 1100, 3000))
        path = voices.write(tmp_path / f"{one}.wav", (0.2 * tones).astype(np.float32), one)
        mels.append(audio.analyse(path, speech)[0])
    loud = mels[0] > -3
    assert mels[1].shape == mels[0].shape
    assert loud.mean() > 0.03
    assert np.abs(mels[1] - mels[0])[loud].mean() < 0.05


def test_stereo_is_mixed_to_the_mean_of_both_sides(tmp_path: Path) -> None:
    left, right = voices.speech(0.4, RATE, seed=1), voices.speech(0.4, RATE, seed=2)
    soundfile.write(tmp_path / "two.wav", np.stack([left, right], axis=1), RATE)
    samples, rate, channels = audio.read_audio(tmp_path / "two.wav")
    assert (rate, channels) == (RATE, 2)
    assert np.abs(samples - (left + right) / 2).max() < 1e-4


@pytest.mark.parametrize(("kind", "tolerance"), [("flac", 1e-4), ("ogg", 0.2), ("mp3", 0.2)])
def test_formats_hold_the_same_speech(tmp_path: Path, kind: str, tolerance: float) -> None:
    samples = voices.speech(1.0, RATE)
    plain, _ = audio.analyse(voices.write(tmp_path / "a.wav", samples, RATE), NO_TRIM)
    coded, facts = audio.analyse(voices.write(tmp_path / f"a.{kind}", samples, RATE), NO_TRIM)
    assert (facts.sample_rate, coded.shape) == (RATE, plain.shape)
    loud = plain > -4
    assert np.abs(coded - plain)[loud].mean() < tolerance


def spoken_with_silence(folder: Path, rate: int, silence: float = 0.5) -> Path:
    """A second of tone between two silences."""
    quiet = np.zeros(round(silence * rate), dtype=np.float32)
    tone = np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32) / 2
    return voices.write(folder / f"{rate}.wav", np.concatenate([quiet, tone, quiet]), rate)


def test_edge_silence_is_trimmed_down_to_what_is_kept(tmp_path: Path) -> None:
    path = spoken_with_silence(tmp_path, RATE)
    frames = {kept: audio.analyse(path, Speech(kept_silence=kept))[0].shape[1] for kept in (0.0, 0.075, 0.2)}
    uncut, facts = audio.analyse(path, NO_TRIM)
    assert uncut.shape[1] == 2 * RATE // 256
    assert frames[0.0] < 1.15 * RATE // 256
    assert frames[0.075] - frames[0.0] == pytest.approx(0.15 * RATE / 256, abs=1)
    assert frames[0.2] - frames[0.0] == pytest.approx(0.4 * RATE / 256, abs=1)
    assert facts.edge_silence == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("offset", [0.0, 0.1, -0.2])
def test_silence_under_an_offset_is_trimmed(tmp_path: Path, offset: float) -> None:
    samples = np.concatenate([np.zeros(3 * RATE, dtype=np.float32), voices.speech(1.0, RATE)])
    path = voices.write(tmp_path / "a.wav", samples + np.float32(offset), RATE)
    mel, facts = audio.analyse(path, Speech())
    uncut, same = audio.analyse(path, NO_TRIM)
    assert facts.edge_silence == same.edge_silence == pytest.approx(3.0, abs=0.06)
    assert (mel.shape[1] * 256 / RATE, uncut.shape[1]) == (pytest.approx(1.075, abs=0.05), 4 * RATE // 256)
    assert facts.offset == pytest.approx(offset + samples.mean(), abs=1e-4)


def test_the_longer_edge_silence_counts_and_the_middle_is_left_alone(tmp_path: Path) -> None:
    word, pause = voices.speech(0.4, RATE), np.zeros(RATE, dtype=np.float32)
    path = voices.write(tmp_path / "a.wav", np.concatenate([word, pause, word, pause[: RATE // 2]]), RATE)
    mel, facts = audio.analyse(path, Speech())
    assert facts.edge_silence == pytest.approx(0.5, abs=0.1)
    assert facts.longest_pause == pytest.approx(1.0, abs=0.1)
    assert mel.shape[1] > 1.8 * RATE // 256


def test_50_to_100_ms_of_silence_are_kept_at_any_rate(tmp_path: Path) -> None:
    for rate in (8000, 16000, 22050, 48000):
        mel, _ = audio.analyse(spoken_with_silence(tmp_path, rate), Speech())
        kept_at_an_end = (mel.shape[1] * 256 / RATE - 1.0) / 2
        assert 0.05 <= kept_at_an_end <= 0.1, rate


def test_quiet_noise_below_the_threshold_is_silence(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 1e-3
    path = voices.write(tmp_path / "a.wav", np.concatenate([noise, voices.speech(1.0, RATE)]), RATE)
    cut, _ = audio.analyse(path, Speech())
    uncut, _ = audio.analyse(path, Speech(trim_db=80.0))
    assert cut.shape[1] < 1.3 * RATE // 256 < uncut.shape[1]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM"])
def test_wavs_of_other_codings_are_not_taken_for_truncated(tmp_path: Path, subtype: str) -> None:
    samples = voices.speech(1.0, RATE)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype=subtype)
    assert np.abs(audio.read_audio(tmp_path / "a.wav")[0][:RATE] - samples).max() < 0.1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.wav", b"", "empty file"),
        ("a.wav", b"no sound at all " * 99, "not audio ("),
        ("a.wav", b"RIFF\x24\x00\x00\x00WAVE", "not audio ("),
        ("a.raw", b"\0\1" * 5000, "not audio ("),
    ],
)
def test_a_file_that_is_no_audio_says_so(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert rejection(tmp_path / name).startswith(message)


@pytest.mark.parametrize(("samples", "message"), [(0, "holds no samples"), (9000, "holds only silence")])
def test_a_file_without_sound_says_so(tmp_path: Path, samples: int, message: str) -> None:
    path = voices.write(tmp_path / "a.wav", np.zeros(samples, dtype=np.float32), RATE)
    assert rejection(path) == message


def test_samples_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    samples = voices.speech(0.5, RATE)
    samples[100] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert rejection(tmp_path / "a.wav") == "holds samples that are not numbers"


@pytest.mark.parametrize("rate", [1, 2000, 3_000_000])
def test_a_sample_rate_that_no_recording_has_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", voices.speech(0.2, RATE), rate)
    assert rejection(tmp_path / "a.wav").startswith(f"its header says {rate} Hz")


def test_whole_numbers_in_a_file_of_fractions_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 32767 * voices.speech(0.2, RATE), RATE, subtype="FLOAT")
    assert rejection(tmp_path / "a.wav").endswith("and full scale is 1")


@pytest.mark.parametrize("samples", [1, 100, 255])
def test_a_clip_shorter_than_a_frame_says_so(tmp_path: Path, samples: int) -> None:
    path = voices.write(tmp_path / "a.wav", voices.speech(0.5, RATE)[3000 : 3000 + samples], RATE)
    assert "short" in rejection(path)


def test_a_telephone_wav_in_gsm_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voices.speech(0.5, 8000), 8000, subtype="GSM610")
    assert len(audio.read_audio(tmp_path / "a.wav")[0]) >= 4000


@pytest.mark.slow
def test_griffin_lim_sounds_like_its_mel() -> None:
    speech = Speech()
    mel = audio.log_mel(voices.speech(1.0, RATE), speech)
    samples = audio.griffin_lim(mel, speech)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.01)
    assert len(samples) == pytest.approx(RATE, abs=600)
    again = audio.log_mel(samples, speech)
    frames = min(again.shape[1], mel.shape[1])
    heard = mel[:, :frames] > -7
    wanted, found = mel[:, :frames][heard], again[:, :frames][heard]
    assert np.corrcoef(wanted, found)[0, 1] > 0.95
    assert 0.9 < np.polyfit(wanted, found, 1)[0] < 1.3, "twice as loud is twice as loud, and a little more"


@pytest.mark.slow
def test_griffin_lim_repeats_and_takes_silence() -> None:
    mel = audio.log_mel(voices.speech(0.3, RATE), Speech())
    assert np.array_equal(audio.griffin_lim(mel, Speech()), audio.griffin_lim(mel, Speech()))
    assert np.isfinite(audio.griffin_lim(np.full((80, 30), FLOOR, dtype=np.float32), Speech())).all()


def test_written_wavs_are_16_bit_and_read_back(tmp_path: Path) -> None:
    samples = voices.speech(0.3, 16000)
    audio.write_wav(tmp_path / "a.wav", samples, 16000)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    read, rate, _ = audio.read_audio(tmp_path / "a.wav")
    assert rate == 16000
    assert np.abs(read - samples).max() < 1e-4
    assert audio.header_seconds(tmp_path / "a.wav") == pytest.approx(0.3)


def test_a_header_that_cannot_be_read_has_no_seconds(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"nothing of the kind")
    for name, said in (("a.wav", "not audio"), ("nowhere.wav", "missing")):
        with pytest.raises(audio.AudioFileError, match=said):
            audio.header_seconds(tmp_path / name)


def test_filters_follow_the_settings() -> None:
    speech = replace(Speech(), mel_fmin=100.0, mel_fmax=4000.0, n_mel_channels=20)
    assert np.abs(audio.mel_filters(speech) - plain_filters(speech)).max() < 1e-6
