"""The settings of text and audio."""

from dataclasses import dataclass
from typing import Literal

from smart_tuner.settings.fields import ranged


@dataclass(frozen=True, kw_only=True)
class Speech:
    """How audio becomes mel frames and text becomes symbols; the mel settings are the public vocoders' contract."""

    language: Literal["auto", "en", "ru"] = "auto"
    """Language of the text; auto looks at the script (the demo corpus is English unless ru is asked for)."""
    front_end: Literal["letters", "phonemes"] = "letters"
    """What the model reads: letters, or phonemes by espeak-ng."""
    stress: Literal["written", "predicted"] = "written"
    """Russian stress marks: those written in the texts, or silero-stress's on every word without one (extra ru)."""
    sampling_rate: int = ranged(22050, low=8000, high=96000)
    """Hz; audio at another rate is resampled when read."""
    filter_length: int = ranged(1024, low=64, high=65536)
    """Samples in a Fourier transform."""
    hop_length: int = ranged(256, low=16)
    """Samples from one mel frame to the next."""
    win_length: int = ranged(1024, low=64)
    """Samples in a window; at most filter_length."""
    n_mel_channels: int = ranged(80, low=8, high=256)
    """Mel bins in a frame."""
    mel_fmin: float = ranged(0.0, low=0)
    """Lowest mel frequency, Hz."""
    mel_fmax: float = ranged(8000.0, above=0)
    """Highest mel frequency, Hz; at most half the sampling rate."""
    trim_silence: bool = True
    """Cut silence at both ends."""
    trim_db: float = ranged(40.0, above=0, high=120)
    """What counts as silence: this far below the clip's peak, dB."""
    kept_silence: float = ranged(0.075, low=0, high=1)
    """Seconds of silence kept at each end."""
    validation_share: float = ranged(0.05, above=0, high=0.2)
    """Share of the corpus held out when it brings no validation list; at most validation_utterances."""
