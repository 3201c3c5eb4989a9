"""A checkpoint's voice: what it says depends on text, seed and style alone, and what it cannot say is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from model.tacotron2 import Tacotron2
from smart_tuner.errors import SettingsError
from smart_tuner.evaluation.voice import LONGEST_PAUSES, LONGEST_TOKEN, PreparedText, Voice
from tests.support import small
from tests.support.voiced import NEVER, STYLES, voice

SECONDS = 128 / 8000
"""Of a mel frame."""


def opened(folder: Path, **changed: Any) -> Voice:
    return Voice.load(voice(folder / "best.pt", **changed), small.CPU)


def line(found: Voice, text: str = "bad cab") -> PreparedText:
    return found.prepare([text])[0]


def test_the_same_text_and_seed_sound_the_same_whatever_was_said_before(tmp_path: Path) -> None:
    found = opened(tmp_path, gate=NEVER)
    first = found.speak(line(found), seed=1)
    other = found.speak(line(found), seed=2)
    again = found.speak(line(found), seed=1)
    np.testing.assert_array_equal(first.mel_MF, again.mel_MF)
    assert not np.array_equal(first.mel_MF, other.mel_MF)


def test_the_random_state_is_left_alone(tmp_path: Path) -> None:
    found = opened(tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    found.speak(line(found), seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_speech_that_does_not_stop_is_cut_and_said_to_be_so(tmp_path: Path) -> None:
    found = opened(tmp_path, gate=NEVER)
    said = found.speak(line(found), seed=1)
    assert "never_stopped" in said.faults
    limit = LONGEST_PAUSES + LONGEST_TOKEN * 8  # seven letters and the end
    assert limit <= said.seconds < limit + 3 * SECONDS
    assert said.mel_MF.shape[1] == pytest.approx(said.seconds / SECONDS)
    assert said.attention_TN.shape == (said.mel_MF.shape[1] // 3, 8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_give_no_sound_are_said_to_be_so(tmp_path: Path, value: float) -> None:
    found = opened(tmp_path)
    with torch.no_grad():
        found.model.decoder.linear_projection.linear_layer.bias.fill_(value)
    with pytest.raises(SettingsError, match="The voice says 'bad cab' in frames that are not finite"):
        found.speak(line(found), seed=1)


def test_speech_ends_with_its_stop(tmp_path: Path) -> None:
    found = opened(tmp_path)
    said = found.speak(line(found), seed=1)
    assert said.mel_MF.shape == (16, 3)
    assert "skipped" in said.faults
    assert "never_stopped" not in said.faults


def test_the_reduction_factor_in_force_is_the_checkpoints(tmp_path: Path) -> None:
    found = opened(tmp_path, reduction_factor=1)
    assert found.speak(line(found), seed=1).mel_MF.shape == (16, 1)
    assert found.step_seconds == pytest.approx(SECONDS)


def test_the_running_mean_of_the_weights_speaks_where_a_checkpoint_has_both(tmp_path: Path) -> None:
    name = "decoder.linear_projection.linear_layer.bias"
    plain = opened(tmp_path)
    mean = {name: torch.full((3 * 16,), -1.0)}
    averaged = opened(tmp_path, ema=mean)
    assert torch.equal(averaged.model.state_dict()[name], mean[name])
    assert not torch.equal(plain.model.state_dict()[name], mean[name])


def test_texts_are_read_by_the_checkpoints_front_end_and_symbols(tmp_path: Path) -> None:
    found = opened(tmp_path)
    assert line(found, " BAD  Cab").read_aloud == "bad cab"
    assert [small.SYMBOLS[row] for row in line(found, "fed").tokens] == ["f", "e", "d", "~"]
    with pytest.raises(
        SettingsError, match=r"'m' \(LATIN SMALL LETTER M\), 2 times, in mum: text 2; 'u' .*; it knows ' abcdefghi'"
    ):
        found.prepare(["bad", "mum"])


@pytest.mark.parametrize("nothing", ["", "   ", "--"])
def test_a_text_without_a_letter_is_refused(tmp_path: Path, nothing: str) -> None:
    with pytest.raises(SettingsError, match=f"nothing to say in text 2: '{nothing}'"):
        opened(tmp_path).prepare(["bad", nothing])


def test_a_text_that_is_longer_than_all_that_it_was_trained_on_is_told(tmp_path: Path) -> None:
    found = opened(tmp_path, longest_text=8)
    assert [found.is_longer_than_trained(line(found, text)) for text in ("bad cab", "bad cabs".replace("s", "e"))] == [
        False,
        True,
    ]


# style


def test_style_tokens_and_their_weights_change_the_voice(tmp_path: Path) -> None:
    found = opened(tmp_path, hparams=STYLES)
    by_text, one, other, mixed = (
        found.speak(line(found), seed=1, style_1S=None if weights is None else found.style_of_tokens(weights)).mel_MF
        for weights in (None, {1: 1.0}, {2: 1.0}, {1: 0.5, 2: 0.5})
    )
    assert len({mel.tobytes() for mel in (by_text, one, other, mixed)}) == 4


def test_a_recordings_style_is_that_of_its_mel(tmp_path: Path) -> None:
    found = opened(tmp_path, hparams=STYLES)
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(8000)), 8000)
    soundfile.write(tmp_path / "b.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    styles = [found.style_of_recording(tmp_path / name) for name in ("a.wav", "b.wav", "a.wav")]
    assert styles[0].shape == (1, found.model.sizes.style_dim)
    assert torch.equal(styles[0], styles[2])
    assert not torch.allclose(styles[0], styles[1])


def test_a_style_that_the_voice_does_not_have_is_refused(tmp_path: Path) -> None:
    plain, styled = opened(tmp_path), opened(tmp_path, hparams=STYLES)
    with pytest.raises(SettingsError, match="--style: this voice has no style tokens"):
        plain.style_of_tokens({1: 1.0})
    with pytest.raises(SettingsError, match="--reference: this voice has no style tokens"):
        plain.style_of_recording(tmp_path / "a.wav")
    for token in (0, 11):
        with pytest.raises(SettingsError, match=f"style tokens 1 to 10; received {token}"):
            styled.style_of_tokens({token: 1.0})
    (tmp_path / "t.wav").write_text("no sound")
    with pytest.raises(SettingsError, match=r"--reference: .*t\.wav cannot be used: not audio"):
        styled.style_of_recording(tmp_path / "t.wav")


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_recording_from_a_pipe_gives_the_same_style(tmp_path: Path, size: int) -> None:
    found = opened(tmp_path, hparams=STYLES)
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8], content[40:44] = bytes(4), size.to_bytes(4, "little")
    (tmp_path / "piped.wav").write_bytes(content)
    assert torch.equal(*(found.style_of_recording(tmp_path / name) for name in ("a.wav", "piped.wav")))


@pytest.mark.parametrize("format", ["WAV", "OGG", "AIFF", "W64", "RF64"])
def test_half_a_recording_is_refused(tmp_path: Path, format: str) -> None:
    found = opened(tmp_path, hparams=STYLES)
    soundfile.write(tmp_path / "a", np.random.default_rng(0).normal(0, 0.1, 8000), 8000, format=format)
    (tmp_path / "half").write_bytes((tmp_path / "a").read_bytes()[: (tmp_path / "a").stat().st_size // 2])
    with pytest.raises(SettingsError, match=r"--reference: .*half cannot be used: truncated"):
        found.style_of_recording(tmp_path / "half")


# files that are no voices


def test_a_file_that_is_no_checkpoint_of_this_program_is_refused(tmp_path: Path) -> None:
    model = Tacotron2(small.beep_settings().sizes(148))
    torch.save({"state_dict": model.state_dict(), "iteration": 7}, tmp_path / "published.pt")
    torch.save({"state_dict": model.state_dict(), "format": 1}, tmp_path / "earlier.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    said = {
        "published.pt": "published weights, which come without a symbol table",
        "earlier.pt": "is no checkpoint of format",
        "list.pt": "is no checkpoint of format",
        "text.pt": "cannot be read",
        "nowhere.pt": "There is no checkpoint",
    }
    for name, words in said.items():
        with pytest.raises(SettingsError, match=words):
            Voice.load(tmp_path / name, small.CPU)


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {"hparams": {"rate": 1}}},
        {"state_dict": {}},
        {"front_end": {}},
        {"symbols": ["a", 5]},
        {"symbols": list("abc~_fghi")},
        {"longest_text": "text"},
        {"train_state": []},
        {"corpus": None},
        {"reduction_factor": 2**40},
        {"reduction_factor": 0},
        {"ema": {"embedding.weight": 1.0}},
    ],
)
def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        opened(tmp_path, **changed)
    assert "\n" not in str(refused.value)
