"""Audio files to mel spectrograms and back. The only file that imports librosa and soundfile.

The mels are those that public Tacotron 2 and HiFi-GAN models use: magnitude spectrogram, Slaney mel filters, natural
logarithm with a floor of 1e-5.

BLAS computes with one thread here: its products are so small that more threads spend their time waiting, and rounding
would hang on how many cores there are.
"""

import functools
import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from smart_tuner.paths import is_file
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.containers import AudioFileError, complete
from smart_tuner.speech.silence import find_speech

FLOOR = 1e-5
CLIPPED = 0.999
"""Amplitude from which a sample counts as clipped."""
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BLOCK, UNKNOWN = 2**20, 2**63 - 1
"""Samples read at a time; what libsndfile says of a file that does not know its length."""
LOUDEST = 100.0
"""No recording is so far above full scale; whole numbers in a file of fractions are."""
LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
WAV_EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What one pass over an audio file found."""

    sha256: str
    seconds: float
    """Length as stored."""
    frames: int
    """Mel frames after trimming and resampling."""
    sample_rate: int
    channels: int
    edge_silence: float
    """The longer of the silences at the two ends, seconds."""
    longest_pause: float
    """The longest silence between the two, seconds."""
    offset: float
    """Mean of the samples, full scale 1: what a recording is shifted by."""
    peak: float
    clipped: float
    """Share of samples at full scale."""


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """Read from its start to its end: a FLAC file from a pipe does not know its length, so cannot be sought in."""

    def seekable(self) -> bool:
        return False


def read_audio(path: Path) -> tuple[Samples, int, int]:
    """Mono samples in -1..1, sample rate and number of channels. Raises AudioFileError, OSError."""
    return _decode(path, path.read_bytes())


def _decode(path: Path, content: bytes) -> tuple[Samples, int, int]:
    if not content:
        raise AudioFileError("empty file")
    whole = complete(content)
    try:
        file = _Stream(path if whole is content else io.BytesIO(whole))
    except soundfile.LibsndfileError as problem:
        raise AudioFileError(f"not audio ({_reason(problem)})") from problem
    except TypeError as problem:  # bare samples
        raise AudioFileError(f"not audio ({problem})") from problem
    blocks, rate, channels = [], file.samplerate, file.channels
    try:
        with file:
            while len(block := file.read(BLOCK // channels, dtype="float32", always_2d=True)):
                blocks.append(block)
    except soundfile.LibsndfileError as problem:
        raise AudioFileError(f"truncated or damaged ({_reason(problem)})") from problem
    samples = np.concatenate(blocks) if blocks else np.zeros((0, channels), dtype=np.float32)
    if len(samples) < file.frames < UNKNOWN and file.format != "MP3":  # whose number is an estimate
        raise AudioFileError(f"truncated: {len(samples):,} of {file.frames:,} samples")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioFileError(f"its header says {rate} Hz; recordings have {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz")
    if not np.isfinite(samples).all():
        raise AudioFileError("holds samples that are not numbers")
    if len(samples) and (loudest := float(np.abs(samples).max())) > LOUDEST:
        raise AudioFileError(f"its samples reach {loudest:,.0f}, and full scale is 1")
    return samples.mean(axis=1), rate, channels


def _reason(problem: soundfile.LibsndfileError) -> str:
    return str(problem.error_string).removeprefix("Error : ").rstrip(".")


def analyse(path: Path, speech: Speech) -> tuple[NDArray[np.float32], AudioFacts]:
    """Log-mel spectrogram (M, F) of a file, trimmed and resampled, and what was found. Raises AudioFileError."""
    content = path.read_bytes()
    samples, rate, channels = _decode(path, content)
    if not len(samples):
        raise AudioFileError("holds no samples")
    if len(samples) * speech.sampling_rate < speech.hop_length * rate:
        raise AudioFileError("shorter than a mel frame")
    span = find_speech(samples, rate, speech.trim_db)
    if span is None:
        raise AudioFileError("holds only silence")
    edge = max(span.start, len(samples) - span.end) / rate
    kept = round(speech.kept_silence * rate)
    trimmed = samples[max(0, span.start - kept) : span.end + kept] if speech.trim_silence else samples
    if rate != speech.sampling_rate:
        trimmed = librosa.resample(trimmed, orig_sr=rate, target_sr=speech.sampling_rate)
    if len(trimmed) < speech.hop_length:
        raise AudioFileError("shorter than a mel frame")
    mel = log_mel(trimmed, speech)
    facts = AudioFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        seconds=len(samples) / rate,
        frames=mel.shape[1],
        sample_rate=rate,
        channels=channels,
        edge_silence=round(edge, 3),
        longest_pause=round(span.longest_pause, 3),
        offset=round(float(samples.mean(dtype=np.float64)), 6),
        peak=float(np.abs(samples).max()),
        clipped=float((np.abs(samples) >= CLIPPED).mean()),
    )
    return mel, facts


@functools.cache
def mel_filters(speech: Speech) -> NDArray[np.float32]:
    """Slaney mel filter bank (M, filter_length / 2 + 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty filters: preconditions.py tells of them
        filters: NDArray[np.float32] = librosa.filters.mel(
            sr=speech.sampling_rate,
            n_fft=speech.filter_length,
            n_mels=speech.n_mel_channels,
            fmin=speech.mel_fmin,
            fmax=speech.mel_fmax,
        )
    return filters


def log_mel(samples: Samples, speech: Speech) -> NDArray[np.float32]:
    """Log-mel spectrogram (M, F) of samples at the settings' rate; one frame a hop, F = samples // hop_length."""
    padding = speech.filter_length - speech.hop_length
    sides = (padding // 2, padding - padding // 2)
    padded = np.pad(samples, sides, mode="reflect" if len(samples) > max(sides) else "constant")
    spectrum = librosa.stft(
        padded, n_fft=speech.filter_length, hop_length=speech.hop_length, win_length=speech.win_length, center=False
    )
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    with _threads().limit(limits=1, user_api="blas"):
        mel: NDArray[np.float32] = np.log(np.maximum(mel_filters(speech) @ magnitude, FLOOR)).astype(np.float32)
    return mel


@functools.cache
def _threads() -> ThreadpoolController:
    """Of the libraries that are loaded, which it takes some milliseconds to find."""
    return ThreadpoolController()


def griffin_lim(mel: NDArray[np.float32], speech: Speech) -> Samples:
    """Samples from a log-mel spectrogram (M, F) by phase reconstruction: intelligible, not beautiful."""
    frames, fewest = mel.shape[1], -(-speech.filter_length // speech.hop_length) + 1
    mel = np.pad(mel, ((0, 0), (0, max(0, fewest - frames))), constant_values=np.log(FLOOR))
    with _threads().limit(limits=1, user_api="blas"):
        linear = librosa.feature.inverse.mel_to_stft(
            np.exp(mel),
            sr=speech.sampling_rate,
            n_fft=speech.filter_length,
            power=1.0,
            fmin=speech.mel_fmin,
            fmax=speech.mel_fmax,
        )
    samples = librosa.griffinlim(
        linear**1.2, n_iter=60, hop_length=speech.hop_length, win_length=speech.win_length, random_state=0
    )
    samples = samples[: frames * speech.hop_length]
    peak = np.abs(samples).max()
    scaled: Samples = samples / peak * 0.9 if peak else samples
    return scaled


def write_wav(path: Path, samples: NDArray[np.float32] | NDArray[np.int16], rate: int) -> None:
    """Write 16-bit PCM."""
    soundfile.write(path, samples, rate, subtype="PCM_16")


def header_seconds(path: Path) -> float:
    """Length by the file's header, or by its sound where that says none. Raises AudioFileError."""
    if not is_file(path):
        raise AudioFileError("missing")
    info = _info(path)
    if info is None or not info.frames or info.format == "MP3":  # perhaps from a pipe
        info = _info(io.BytesIO(complete(path.read_bytes())))
    if info is None or not 0 < info.frames < UNKNOWN:
        samples, rate, _ = read_audio(path)
        return len(samples) / rate
    return float(info.duration)


def _info(file: Path | io.BytesIO) -> "soundfile._SoundFileInfo | None":
    try:
        return soundfile.info(file)
    except soundfile.LibsndfileError:
        return None


def encode_audio(samples: Samples, rate: int) -> tuple[str, bytes]:
    """Media type and content of a small file that browsers play: MP3, which all play, or at odd rates Vorbis."""
    written = io.BytesIO()
    if rate in MP3_RATES:
        soundfile.write(written, samples, rate, format="MP3")
        return "audio/mpeg", written.getvalue()
    soundfile.write(written, samples, rate, format="OGG", subtype="VORBIS")
    return "audio/ogg", written.getvalue()
