"""Settings: frozen dataclasses with a docstring under each field, the presets, and how a file and --set change them.

To add a hyperparameter, add a field to Hparams and use it where it acts; files, --set, checks, MLflow and checkpoints
follow.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from model.sizes import Architecture, Sizes
from smart_tuner import documents, reduction
from smart_tuner.budget import Budget
from smart_tuner.errors import SettingsError
from smart_tuner.fields import at_most, check_ranges, convert, number
from smart_tuner.limits import Health


@dataclass(frozen=True, kw_only=True)
class Hparams:
    """Everything that decides how the model learns; the defaults suit the published sizes on a single GPU."""

    learning_rate: float = number(1e-3, above=0, high=1)
    """Adam's peak learning rate."""
    batch_size: int = number(32, low=1)
    """Utterances in an iteration."""
    budget: str = "100ep"
    """How much to train: 20ep (epochs), 5000it (iterations), 300000utt (utterances) or 45m (wall time; also s, h)."""
    seed: int = number(1234, low=0, high=2**62)
    """Seed of initialisation, data order and dropout; trial n of a study uses seed + n."""
    accumulation: int = number(1, low=1)
    """Parts in which a batch goes through the network, one after the other, before one optimizer step: saves memory."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """What makes a step of a gradient; adamw keeps weight_decay out of the gradient's own scaling."""
    schedule: Literal["constant", "step", "exponential", "cosine", "plateau"] = "cosine"
    """How the learning rate falls from its peak to final_learning_rate over the budget: step and exponential begin
    halfway, plateau waits until validation.loss no longer falls."""
    warmup_iterations: int = number(500, low=0)
    """Iterations over which the learning rate rises linearly to its peak."""
    final_learning_rate: float = number(1e-5, above=0, high=1)
    """Where the schedule ends; at most learning_rate."""
    weight_decay: float = number(1e-6, low=0, high=1)
    """Adam's L2 penalty."""
    adam_eps: float = number(1e-6, above=0, high=1e-2)
    """Adam's epsilon; 1e-6 is safe in mixed precision too."""
    ema_decay: float = number(0.0, low=0, high=0.9999)
    """Decay per iteration of the running mean of the weights that is validated and exported; 0 takes the weights."""
    grad_clip_thresh: float = number(1.0, above=0)
    """Global gradient norm above which gradients are scaled down."""
    fp16_run: bool = False
    """Mixed precision asked for: bf16 where the GPU can, fp16 with loss scaling elsewhere, fp32 on a CPU."""
    reduction_factor: int = number(1, low=1, high=10)
    """Mel frames that one decoder step predicts (r), at the start when there is a reduction_schedule."""
    reduction_schedule: str = ""
    """Smaller r later on, by utterances seen: 2@20000,1@60000; empty keeps reduction_factor."""
    attention_kind: Literal["location", "dynamic", "forward"] = "location"
    """Location-sensitive as published, dynamic convolution, or forward attention; the last two do not go back."""
    use_guided_attn: bool = True
    """Penalise attention off the diagonal."""
    guide_weight: float = number(1.0, above=0, high=100)
    """Weight of the guided attention loss when it is used."""
    guide_sigma: float = number(0.2, above=0, high=2)
    """Width g of the guided diagonal, as a share of the text."""
    guide_anneal: int = number(0, low=0)
    """Validations in a row with a formed attention from which each one more halves the guide's weight; 0 never does."""
    forward_sum_weight: float = number(0.0, low=0, high=100)
    """Weight of the forward-sum loss; training.atten_loss is logged at any weight."""
    gate_weight: float = number(1.0, above=0, high=100)
    """Weight of the gate loss."""
    gate_positive_weight: float = number(5.0, above=0, high=100)
    """Weight of the stop frame inside the gate loss."""
    use_mmi: bool = False
    """Maximise mutual information between text and speech: the text must be readable from the decoder's states."""
    max_gaf: float = number(0.3, above=0, high=10)
    """Most that the text's gradient is of the mel's at the decoder's states (cap of the gradient adaptive factor)."""
    drop_frame_rate: float = number(0.0, low=0, high=0.9)
    """Share of the teacher's frames that the corpus's mean frame replaces in training."""
    use_gst: bool = False
    """Global style tokens, and their prediction from the text."""
    prenet_dropout: float = number(0.5, low=0, high=0.95)
    """Dropout in the prenet, at inference too."""
    encoder_dropout: float = number(0.5, low=0, high=0.95)
    """Dropout after each encoder convolution."""
    attention_dropout: float = number(0.1, low=0, high=0.95)
    """Dropout on the attention LSTM's output."""
    decoder_dropout: float = number(0.1, low=0, high=0.95)
    """Dropout on the decoder LSTM's output."""
    attention_zoneout: float = number(0.0, low=0, high=0.95)
    """Zoneout of the attention LSTM: share of its state that a step keeps from the step before."""
    decoder_zoneout: float = number(0.0, low=0, high=0.95)
    """Zoneout of the decoder LSTM; above 0 that LSTM runs step by step, which is slower."""
    postnet_dropout: float = number(0.5, low=0, high=0.95)
    """Dropout after each postnet convolution."""
    stress_masking: float = number(0.0, low=0, high=1)
    """Share of the words whose stress mark is taken away in training, so that texts without marks are read too."""
    validation_freq: int = number(50, low=1)
    """Iterations from one validation to the next."""
    validation_utterances: int = number(128, low=1)
    """Validation uses a fixed choice of at most this many utterances."""


@dataclass(frozen=True, kw_only=True)
class Speech:
    """How audio becomes mel frames and text becomes symbols; the mel settings are the public vocoders' contract."""

    language: Literal["auto", "en", "ru"] = "auto"
    """Language of the text; auto looks at the script (the demo corpus is English unless ru is asked for)."""
    front_end: Literal["letters", "phonemes"] = "letters"
    """What the model reads: letters, or phonemes by espeak-ng (extra phonemes)."""
    stress: Literal["written", "predicted"] = "written"
    """Russian stress marks: those written in the texts, or silero-stress's on every word without one (extra ru)."""
    sampling_rate: int = number(22050, low=8000, high=96000)
    """Hz; audio at another rate is resampled when read."""
    filter_length: int = number(1024, low=64)
    """Samples in a Fourier transform."""
    hop_length: int = number(256, low=16)
    """Samples from one mel frame to the next."""
    win_length: int = number(1024, low=64)
    """Samples in a window; at most filter_length."""
    n_mel_channels: int = number(80, low=8, high=256)
    """Mel bins in a frame."""
    mel_fmin: float = number(0.0, low=0)
    """Lowest mel frequency, Hz."""
    mel_fmax: float = number(8000.0, above=0)
    """Highest mel frequency, Hz; at most half the sampling rate."""
    trim_silence: bool = True
    """Cut silence at both ends."""
    trim_db: float = number(40.0, above=0, high=120)
    """What counts as silence: this far below the clip's peak, dB."""
    kept_silence: float = number(0.075, low=0, high=1)
    """Seconds of silence kept at each end."""
    validation_share: float = number(0.05, above=0, high=0.2)
    """Share of the corpus held out when it brings no validation list; at most validation_utterances."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """What a run leaves behind, beyond the fixed metrics."""

    enhanced: Literal["auto", "true", "false"] = "auto"
    """Add system metrics, extra metrics, plots and audio; auto adds what the installed packages allow."""
    plots: int = number(12, low=1, high=1000)
    """Validations at which plots are drawn, spread over the run; the last one always is."""
    freerun_evaluations: int = number(3, low=0, high=1000)
    """Free-running evaluations, spread over the run from where the attention has formed to its end; 0: none."""
    freerun_sentences: int = number(8, low=1, high=128)
    """Validation texts that a free-running evaluation speaks, with three seeds each."""
    recogniser_minutes: float = number(3.0, low=0)
    """Longest training of the recogniser that validation.freerun.cer needs, once per corpus; 0: no recogniser."""
    checkpoint_seconds: float = number(60.0, low=0)
    """Least time between two checkpoints; a stop and the end always write one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a trial."""

    hparams: Hparams = field(default_factory=Hparams)
    model: Architecture = field(default_factory=Architecture)
    speech: Speech = field(default_factory=Speech)
    health: Health = field(default_factory=Health)
    tracking: Tracking = field(default_factory=Tracking)

    def __post_init__(self) -> None:
        check_ranges("hparams", self.hparams)
        check_ranges("speech", self.speech)
        check_ranges("health", self.health)
        check_ranges("tracking", self.tracking)
        hparams, speech = self.hparams, self.speech
        Budget.parse(hparams.budget)
        at_most(
            "hparams.final_learning_rate", hparams.final_learning_rate, "hparams.learning_rate", hparams.learning_rate
        )
        reduction.stages(hparams.reduction_factor, hparams.reduction_schedule)
        health = self.health
        at_most("health.gate_low", health.gate_low, "health.gate_high", health.gate_high)
        at_most("health.missing_score", health.missing_score, "health.formed_score", health.formed_score)
        at_most("speech.win_length", speech.win_length, "speech.filter_length", speech.filter_length)
        at_most("speech.hop_length", speech.hop_length, "speech.win_length", speech.win_length)
        at_most("speech.mel_fmax", speech.mel_fmax, "half of speech.sampling_rate", speech.sampling_rate / 2)
        if speech.mel_fmin >= speech.mel_fmax:
            raise SettingsError(
                f"speech.mel_fmin must be below speech.mel_fmax = {speech.mel_fmax}; received {speech.mel_fmin}."
            )

    @property
    def budget(self) -> Budget:
        """The parsed hparams.budget."""
        return Budget.parse(self.hparams.budget)

    def sizes(self, n_symbols: int) -> Sizes:
        """What the network is built from, for a table of n_symbols symbols."""
        shared = {
            name: getattr(self.hparams, name) for name in vars(self.hparams) if name in Sizes.__dataclass_fields__
        }
        return Sizes(n_symbols=n_symbols, n_mel_channels=self.speech.n_mel_channels, **asdict(self.model), **shared)

    def replace(self, **hparams: Any) -> "Settings":
        """The same settings with other hyperparameters."""
        return dataclasses.replace(self, hparams=dataclasses.replace(self.hparams, **hparams))

    def digest(self) -> str:
        """A short name of everything that decides a trial's result; what is only recorded about it is left out."""
        deciding = asdict(self)
        del deciding["tracking"]
        return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]

    def to_yaml(self) -> str:
        """Text that --settings reads back."""
        return documents.dump(asdict(self))


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "tacotron2": {},
    "demo": {
        "hparams": {
            "batch_size": 16,
            "budget": "6400utt",
            "learning_rate": 4e-3,
            "warmup_iterations": 20,
            "forward_sum_weight": 0.5,
            "reduction_factor": 3,
            "attention_kind": "forward",
            "validation_freq": 25,
            "encoder_dropout": 0.1,
            "postnet_dropout": 0.1,
        },
        "model": {
            "symbols_embedding_dim": 128,
            "prenet_dim": 128,
            "attention_rnn_dim": 256,
            "decoder_rnn_dim": 256,
            "attention_dim": 64,
            "attention_location_n_filters": 16,
            "attention_location_kernel_size": 15,
            "postnet_embedding_dim": 128,
            "postnet_n_convolutions": 3,
            "style_dim": 64,
        },
        "health": {
            "training_window": 20,
            "gradient_warmup": 20,
            "rising_validations": 3,
            "flat_validations": 4,
            "attention_deadline": 1600,
            "attention_deadline_unaided": 1600,
            "sharp_warmup": 400,
            "diagonal_validations": 3,
            "collapse_validations": 2,
            "guide_deadline": 1200,
            "gate_warmup": 0,
            "gate_validations": 3,
        },
        "tracking": {"recogniser_minutes": 2.0},
    },
}
"""Changes to the defaults: tacotron2 is the published model, demo a small one that learns within minutes on a CPU."""


def load(preset: str, file: Path | None, assignments: list[str], found: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a preset, what a study found, a YAML file, `section.name=value` texts. Raises SettingsError."""
    values: dict[str, dict[str, Any]] = {section: dict(PRESETS[preset].get(section, {})) for section in SECTIONS}
    merge(values, found or {}, "the study's settings")
    if file is not None:
        merge(values, read_yaml(file), str(file))
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise SettingsError(f"--set takes section.name=value; received {assignment!r}.")
        merge(values, {section: {name: documents.value(text)}}, "--set")
    return from_dict(values)


def from_dict(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from nested plain values, each checked. Raises SettingsError."""
    try:
        return Settings(**{section: SECTIONS[section](**dict(given)) for section, given in values.items()})
    except ValueError as problem:  # the architecture's own checks
        raise SettingsError(str(problem)) from problem


def differences(before: Settings, after: Settings) -> dict[str, Any]:
    """What differs, by section.name; the seed is each trial's own."""
    old, new = asdict(before), asdict(after)
    return {
        f"{section}.{name}": value
        for section, values in new.items()
        for name, value in values.items()
        if value != old[section][name] and name != "seed"
    }


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with other values, by section.name. Raises SettingsError."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    replaced = {
        section: dataclasses.replace(getattr(settings, section), **given) for section, given in sections.items()
    }
    return dataclasses.replace(settings, **replaced)


def read_yaml(file: Path) -> dict[str, Any]:
    """The top-level mapping of a YAML file."""
    loaded = documents.read(file, "settings file").content
    if loaded is not None and not isinstance(loaded, dict):
        raise SettingsError(
            f"The settings file {file} must hold sections ({', '.join(SECTIONS)}); received {loaded!r}."
        )
    return loaded or {}


def merge(values: dict[str, dict[str, Any]], given: Mapping[str, Any], source: str) -> None:
    """Put given values over values, with their types checked; source is named in errors."""
    for section, entries in given.items():
        if section not in SECTIONS:
            raise SettingsError(f"Unknown section {section!r} in {source}; valid sections: {', '.join(SECTIONS)}.")
        if not isinstance(entries, Mapping):
            raise SettingsError(f"Section {section} in {source} must hold name: value pairs; received {entries!r}.")
        types = typing.get_type_hints(SECTIONS[section])
        for name, value in entries.items():
            if name not in types:
                raise SettingsError(f"Unknown key {section}.{name} in {source}; valid keys: {', '.join(types)}.")
            values[section][name] = convert(f"{section}.{name}", value, types[name])


SECTIONS = {"hparams": Hparams, "model": Architecture, "speech": Speech, "health": Health, "tracking": Tracking}
