"""Settings come from a preset, a file and --set, in this order, and whatever is wrong is named with what is right."""

import inspect
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings import settings
from smart_tuner.settings.health import Health
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import SECTIONS, Settings, Tracking, from_dict, load_settings
from smart_tuner.settings.speech import Speech


def refusal(*assignments: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings("demo", None, list(assignments))
    return str(refused.value)


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_presets_differ_and_tacotron2_is_the_published_size() -> None:
    assert load_settings("tacotron2", None, []) == Settings()
    demo = load_settings("demo", None, [])
    assert demo.hparams.reduction_factor == 3
    assert demo.model.attention_rnn_dim < Settings().model.attention_rnn_dim == 1024


def test_a_file_changes_the_preset_and_set_changes_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "hparams:\n  batch_size: 5\n  seed: 7\nspeech: {language: ru}\n")
    loaded = load_settings("demo", file, ["hparams.seed=8", "hparams.seed=9"])
    assert (loaded.hparams.batch_size, loaded.hparams.seed, loaded.speech.language) == (5, 9, "ru")
    assert loaded.hparams.reduction_factor == 3, "what neither names stays the preset's"


def test_presets_are_not_changed_by_loading() -> None:
    load_settings("demo", None, ["hparams.batch_size=2"])
    assert load_settings("demo", None, []).hparams.batch_size == 16


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_settings("demo", settings_file(tmp_path, "# nothing yet\n"), []) == load_settings("demo", None, [])


def test_yaml_round_trip(tmp_path: Path) -> None:
    settings = load_settings(
        "demo", None, ["hparams.learning_rate=1e-3", "speech.language=ru", "tracking.enhanced=false"]
    )
    assert load_settings("tacotron2", settings_file(tmp_path, settings.to_yaml()), []) == settings


def test_an_unknown_key_is_named_with_the_valid_ones() -> None:
    message = refusal("hparams.lerning_rate=1e-3")
    assert "hparams.lerning_rate" in message
    assert all(name in message for name in ("--set", "learning_rate", "validation_utterances"))


def test_an_unknown_section_is_named_with_the_valid_ones() -> None:
    message = refusal("optimizer.lr=1")
    assert "'optimizer'" in message
    assert all(section in message for section in SECTIONS)


def test_an_unknown_key_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "speech: {sample_rate: 16000}\n")
    with pytest.raises(SettingsError, match=r"speech\.sample_rate.*sampling_rate") as refused:
        load_settings("demo", file, [])
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-3", "'0.001'"])
def test_numbers_that_yaml_takes_for_text_are_numbers(text: str) -> None:
    learning_rate = load_settings("demo", None, [f"hparams.learning_rate={text}"]).hparams.learning_rate
    assert learning_rate == 0.001
    assert isinstance(learning_rate, float)


def test_a_whole_number_may_be_written_as_a_float() -> None:
    batch_size = load_settings("demo", None, ["hparams.batch_size=1.6e1"]).hparams.batch_size
    assert batch_size == 16
    assert isinstance(batch_size, int)


@pytest.mark.parametrize(
    ("assignment", "rule"),
    [
        ("hparams.batch_size=1.5", "hparams.batch_size must be a whole number; received 1.5"),
        ("hparams.batch_size=many", "hparams.batch_size must be a whole number; received 'many'"),
        ("hparams.batch_size=true", "hparams.batch_size must be a whole number; received True"),
        ("hparams.batch_size=[16]", "hparams.batch_size must be a whole number; received [16]"),
        ("hparams.learning_rate=.inf", "hparams.learning_rate must be a finite number; received inf"),
        ("hparams.learning_rate=.nan", "hparams.learning_rate must be a finite number; received nan"),
        ("hparams.learning_rate=", "hparams.learning_rate must be a finite number; received None"),
        ("hparams.fp16_run=1", "hparams.fp16_run must be true or false; received 1"),
        (
            "hparams.schedule=linear",
            "hparams.schedule must be one of constant, step, exponential, cosine, plateau; received 'linear'",
        ),
        ("model.prenet_dim=wide", "model.prenet_dim must be a whole number; received 'wide'"),
        ("hparams.learning_rate=0", "hparams.learning_rate must be above 0; received 0.0"),
        ("hparams.learning_rate=2", "hparams.learning_rate must be at most 1; received 2.0"),
        ("hparams.batch_size=0", "hparams.batch_size must be at least 1; received 0"),
        ("hparams.final_learning_rate=0.1", "hparams.final_learning_rate must be at most hparams.learning_rate"),
        ("hparams.budget=soon", "A budget is 20ep, 5000it, 300000utt or 45m"),
        ("hparams.budget=100", "A budget is 20ep, 5000it, 300000utt or 45m"),
        ("hparams.budget=2020-13-45", "A budget is 20ep, 5000it, 300000utt or 45m"),  # YAML reads a date in it
        pytest.param(f"hparams.seed={'1' * 400}", "hparams.seed", id="a number too large for a float"),
        ("model.prenet_dim=0", "model.prenet_dim must be a whole number from 1; received 0"),
        ("model.encoder_kernel_size=4", "model.encoder_kernel_size must be an odd whole number from 1; received 4"),
        ("model.symbols_embedding_dim=127", "model.symbols_embedding_dim must be even; received 127"),
        ("speech.win_length=2048", "speech.win_length must be at most speech.filter_length = 1024; received 2048"),
        ("speech.hop_length=1025", "speech.hop_length must be at most speech.win_length = 1024; received 1025"),
        ("speech.mel_fmax=12000", "speech.mel_fmax must be at most half of speech.sampling_rate = 11025"),
        ("speech.mel_fmin=8000", "speech.mel_fmin must be below speech.mel_fmax = 8000.0; received 8000.0"),
        ("speech.validation_share=0.3", "speech.validation_share must be at most 0.2; received 0.3"),
        ("speech.filter_length=1000000000", "speech.filter_length must be at most 65536; received 1000000000"),
        ("tracking.plots=0", "tracking.plots must be at least 1; received 0"),
        ("health.loss_jump=1", "health.loss_jump must be above 1; received 1.0"),
        ("health.gate_low=-0.1", "health.gate_low must be at least 0; received -0.1"),
        ("health.sharp_focus=80", "health.sharp_focus must be at most 1; received 80.0"),
        ("health.rising_validations=0", "health.rising_validations must be at least 1; received 0"),
    ],
)
def test_a_value_of_a_wrong_type_or_range_is_refused_with_rule_and_value(assignment: str, rule: str) -> None:
    assert rule in refusal(assignment)


@pytest.mark.parametrize("assignment", ["hparams.seed", "seed=3", "hparams=3", "", "="])
def test_set_without_section_name_and_value_is_refused(assignment: str) -> None:
    assert refusal(assignment) == f"--set takes section.name=value; received {assignment!r}."


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- hparams\n", "must hold sections (hparams, model, speech, health, tracking); received ['hparams']"),
        ("seed\n", "must hold sections (hparams, model, speech, health, tracking); received 'seed'"),
        ("hparams: 3\n", "Section hparams in"),
        ("seed: 3\n", "Unknown section 'seed'"),
    ],
)
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings("demo", settings_file(tmp_path, text), [])
    assert rule in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("hparams:\n  rate: 1\n", 2, "Unknown key hparams.rate"),
        ("# mine\n\nhparam: {}\n", 3, "Unknown section 'hparam'"),
        ("speech: {}\nhparams: 3\n", 2, "Section hparams"),
        ("hparams:\n  seed: 1\n  batch_size: many\n", 3, "hparams.batch_size must be a whole number; received 'many'"),
        ("hparams:\n  seed: 1\n  batch_size: 0\n", 3, "hparams.batch_size must be at least 1; received 0"),
        ("hparams:\n  schedule:\n    linear\n", 2, "hparams.schedule must be one of"),
        ("hparams:\n  seed: 1\n  budget: soon\n", 3, "A budget is 20ep"),
        ("hparams:\n  reduction_schedule: 9@1\n", 2, "hparams.reduction_schedule lists smaller and smaller r"),
        ("hparams:\n  learning_rate: 1.0e-6\n", 2, "hparams.final_learning_rate must be at most hparams.learning_rate"),
        ("speech:\n  language: en\n  hop_length: 2000\n", 3, "speech.hop_length must be at most speech.win_length"),
        ("model:\n  encoder_kernel_size: 4\n", 2, "model.encoder_kernel_size must be an odd whole number"),
        ("health:\n  missing_score: 0.9\n", 2, "health.missing_score must be at most health.formed_score"),
        ("tracking:\n  plots: 0\n", 2, "tracking.plots must be at least 1"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, rule: str) -> None:
    file = settings_file(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        load_settings("demo", file, [])
    assert str(refused.value).startswith(f"{file}, line {line}: {rule}")


@pytest.mark.parametrize("assignment", ["hparams.batch_size=0", "hparams.final_learning_rate=0.1"])
def test_the_file_is_not_blamed_for_what_the_command_line_says(tmp_path: Path, assignment: str) -> None:
    file = settings_file(tmp_path, "hparams: {batch_size: 4, learning_rate: 1.0e-3}\n")
    with pytest.raises(SettingsError, match=r"^hparams\."):
        load_settings("demo", file, [assignment])


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("hparams: {budget: Tür}".encode("latin-1"))
    for name in ("nowhere.yaml", "latin.yaml", ""):
        with pytest.raises(SettingsError, match="cannot be read") as refused:
            load_settings("demo", tmp_path / name, [])
        assert str(tmp_path / name) in str(refused.value)


def test_the_digest_ignores_tracking_and_nothing_else() -> None:
    own = Settings()
    assert replace(own, tracking=Tracking(enhanced="false", plots=3)).digest() == own.digest()
    others = [
        own.replace(seed=1),
        replace(own, speech=Speech(trim_db=30.0)),
        replace(own, health=Health(formed_score=0.6)),
        replace(own, model=replace(own.model, prenet_dim=64)),
    ]
    assert len({own.digest(), *(other.digest() for other in others)}) == 5


def test_the_digest_is_the_same_however_a_value_was_written() -> None:
    assert from_dict({"hparams": {"learning_rate": 0.001}}).digest() == Settings().digest()
    written = load_settings("tacotron2", None, ["hparams.learning_rate=1.0e-03", "hparams.gate_weight=1"])
    assert written.digest() == Settings().digest()


@dataclass(frozen=True, kw_only=True)
class LaterHparams(Hparams):
    brand_new: float = 0.5


@dataclass(frozen=True, kw_only=True)
class LaterSettings(Settings):
    """Those of a later version of the program, with one more hyperparameter."""

    hparams: LaterHparams = field(default_factory=LaterHparams)


def test_a_setting_that_is_new_and_as_by_default_leaves_the_digest_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    own, changed = Settings().digest(), Settings().replace(learning_rate=2e-3).digest()
    monkeypatch.setattr(settings, "Settings", LaterSettings)
    assert LaterSettings().digest() == own
    assert LaterSettings().replace(learning_rate=2e-3).digest() == changed
    assert LaterSettings().replace(brand_new=0.6).digest() not in (own, changed)


def test_sizes_take_architecture_hyperparameters_and_mel_bins() -> None:
    sizes = load_settings("demo", None, ["hparams.encoder_dropout=0.3", "speech.n_mel_channels=40"]).sizes(n_symbols=11)
    assert (sizes.n_symbols, sizes.n_mel_channels, sizes.reduction_factor) == (11, 40, 3)
    assert (sizes.prenet_dim, sizes.encoder_dropout) == (128, 0.3)


def test_every_field_has_a_docstring() -> None:
    for section in (Hparams, Speech, Health, Tracking):
        lines = inspect.getsource(section).splitlines()
        for spec in fields(section):
            declared = next(row for row, line in enumerate(lines) if line.startswith(f"    {spec.name}: "))
            assert lines[declared + 1].startswith('    """'), spec.name


def test_a_large_seed_is_kept_to_the_last_digit() -> None:
    assert load_settings("demo", None, ["hparams.seed=9007199254740993"]).hparams.seed == 9007199254740993


def test_the_demo_is_judged_sooner_than_the_published_model() -> None:
    demo, published = load_settings("demo", None, []).health, Health()
    assert demo.attention_deadline < 0.5 * load_settings("demo", None, []).budget.amount
    sooner = {spec.name for spec in fields(Health) if getattr(demo, spec.name) < getattr(published, spec.name)}
    later = {spec.name for spec in fields(Health) if getattr(demo, spec.name) > getattr(published, spec.name)}
    assert {"attention_deadline", "gradient_warmup", "sharp_warmup", "guide_deadline", "gate_warmup"} <= sooner
    assert not later
    assert load_settings("demo", None, ["health.enabled=false"]).health.enabled is False


@pytest.mark.parametrize(("low", "high"), [("gate_low", "gate_high"), ("missing_score", "formed_score")])
def test_thresholds_of_one_metric_must_not_cross(low: str, high: str) -> None:
    message = refusal(f"health.{low}=0.8", f"health.{high}=0.7")
    assert f"health.{low} must be at most health.{high} = 0.7; received 0.8" in message
