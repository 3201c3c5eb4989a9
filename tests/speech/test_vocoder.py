"""Vocoder files are tried before anything is said, and what does not fit is refused in one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smart_tuner.errors import SettingsError
from smart_tuner.settings.speech import Speech
from smart_tuner.speech import audio, vocoder
from tests.support.voiced import Loudness, scripted

SPEECH = Speech(sampling_rate=8000, filter_length=256, win_length=256, hop_length=128, n_mel_channels=16, mel_fmax=4000)
CPU = torch.device("cpu")


def mel(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-3.0, 1.0, (16, frames)).astype(np.float32)


def test_a_torchscript_file_turns_each_frame_into_hop_length_samples(tmp_path: Path) -> None:
    speak = vocoder.load_vocoder(scripted(tmp_path / "v.pt", Loudness()), SPEECH, CPU)
    samples = speak(mel(7))
    assert samples.shape == (7 * 128,)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples[::128], np.tanh(mel(7).mean(0)), rtol=1e-5)


def test_a_constant_number_of_samples_at_the_ends_is_no_fault(tmp_path: Path) -> None:
    speak = vocoder.load_vocoder(scripted(tmp_path / "v.ts", Loudness(extra=100)), SPEECH, CPU)
    assert len(speak(mel(7))) == 7 * 128 + 100


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Loudness(hop=256), r"makes 256 samples of a mel frame .* speech.hop_length = 128"),
        (Loudness(extra=4000), r"makes 128 samples of a mel frame \(8096 of 32, 16288 of 96\)"),
        (Loudness(mels=80), r"does not take mels of shape \(1, 16, 32\): .*wrong number of mel bins"),
        (Loudness(gain=30000.0), "returned samples beyond -1..1 by far: 30000"),
        (Loudness(gain=float("nan")), "returned samples that are not numbers"),
    ],
)  # fmt: skip
def test_a_vocoder_that_does_not_fit_the_voice_is_refused(tmp_path: Path, module: nn.Module, said: str) -> None:
    file = scripted(tmp_path / "v.pt", module)
    with pytest.raises(SettingsError, match=f"--vocoder: {file} {said}") as refused:
        vocoder.load_vocoder(file, SPEECH, CPU)
    assert "\n" not in str(refused.value)


def weights_alone(path: Path) -> Path:
    torch.save({"generator": torch.zeros(2)}, path)
    return path


def no_vocoder(path: Path) -> Path:
    path.write_text("no vocoder")
    return path


def test_a_file_that_is_no_vocoder_is_refused(tmp_path: Path) -> None:
    for file in (weights_alone(tmp_path / "w.pt"), no_vocoder(tmp_path / "t.pth")):
        with pytest.raises(SettingsError, match="is no TorchScript module"):
            vocoder.load_vocoder(file, SPEECH, CPU)
    with pytest.raises(SettingsError, match=r"takes a TorchScript file \(.pt, .*\) or an ONNX file"):
        vocoder.load_vocoder(no_vocoder(tmp_path / "v.bin"), SPEECH, CPU)
    with pytest.raises(SettingsError, match="there is no file"):
        vocoder.load_vocoder(tmp_path / "nowhere.pt", SPEECH, CPU)


def test_without_a_file_griffin_lim_speaks() -> None:
    expected = audio.griffin_lim(mel(20), SPEECH)
    np.testing.assert_array_equal(vocoder.load_vocoder(None, SPEECH, CPU)(mel(20)), expected)


REPEATER = (
    "08083a82020a320a036d656c12016d220a5265647563654d65616e2a0b0a04617865734001a001072a0f0a086b6565706469"
    "6d731801a001020a220a016d12017422095472616e73706f73652a0f0a047065726d400040024001a001070a0f0a01740a01"
    "6e120172220454696c650a120a01720a01731201712207526573686170650a0e0a01711203776176220454616e681201762a"
    "210803100742016e4a180100000000000000010000000000000080000000000000002a19080210074201734a100100000000"
    "000000ffffffffffffffff5a1a0a036d656c12130a110801120d0a0208010a0208100a0312014662160a03776176120f0a0d"
    "080112090a0208010a0312015342040a00100d"
)
"""An ONNX model: tanh of each frame's mean over 16 mel bins, 128 times; made with onnx.helper, opset 13."""


def test_an_onnx_file_speaks_as_its_model_says(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'smart-tuner-tts[onnx]'")
    file = tmp_path / "v.onnx"
    file.write_bytes(bytes.fromhex(REPEATER))
    assert len(vocoder.load_vocoder(file, SPEECH, CPU)(mel(7))) == 7 * 128
    with pytest.raises(SettingsError, match=r"makes 128 samples .* speech.hop_length = 64"):
        vocoder.load_vocoder(file, Speech(n_mel_channels=16, hop_length=64), CPU)
    with pytest.raises(SettingsError, match="is no ONNX model"):
        vocoder.load_vocoder(no_vocoder(tmp_path / "t.onnx"), SPEECH, CPU)


def test_an_onnx_file_without_onnxruntime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"pip install 'smart-tuner-tts\[onnx\]'"):
        vocoder.load_vocoder(no_vocoder(tmp_path / "v.onnx"), SPEECH, CPU)
