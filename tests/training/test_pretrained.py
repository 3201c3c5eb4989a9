"""Warm start: ours and the published layout, by symbol; what was not loaded is listed, what does not fit refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.sizes import Sizes
from model.tacotron2 import Tacotron2
from smart_tuner.errors import CheckpointError, SettingsError
from smart_tuner.settings.speech import Speech
from smart_tuner.training.pretrained import PUBLISHED_SYMBOLS, load_pretrained
from smart_tuner.training.trainer import Trainer
from tests.support import small
from tests.support.published import PUBLISHED

PUNCTUATION = tuple("_~ !\"'(),-.:;?")
ENGLISH = (*PUNCTUATION, *"abcdefghijklmnopqrstuvwxyz")
RUSSIAN = (*PUNCTUATION, *"абвгдеёжзийклмнопрстуфхцчшщъыьэюя+")
SPEECH = small.settings().speech


# the published layout


def published_weights() -> dict[str, Tensor]:
    """Each tensor of the published names and shapes full of its own number; each embedding row of its own."""
    weights = {name: torch.full(shape, float(number)) for number, (name, shape) in enumerate(PUBLISHED.items())}
    return {**weights, "embedding.weight": torch.arange(148.0)[:, None].expand(148, 512).clone()}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "tacotron2_statedict.pt"
    torch.save({"iteration": 9, "learning_rate": 1e-3, "optimizer": {}, "state_dict": published_weights()}, path)
    return path


def test_the_published_table_has_148_symbols() -> None:
    assert len(set(PUBLISHED_SYMBOLS)) == len(PUBLISHED_SYMBOLS) == 148
    assert [PUBLISHED_SYMBOLS.index(one) for one in ("_", "-", "!", " ", "A", "a", "@AA", "@ZH")] == [
        *(0, 1, 2, 11, 12, 38, 64, 147)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("symbols", "new"),
    [(ENGLISH, ("~", '"')), (RUSSIAN, ("~", '"', *RUSSIAN[len(PUNCTUATION) :]))],
    ids=["english", "russian"],
)
def test_published_weights_start_another_front_end(published: Path, symbols: tuple[str, ...], new: Any) -> None:
    model = Tacotron2(Sizes(n_symbols=len(symbols)))
    taken = load_pretrained(model, published, symbols, Speech())
    own, mean = model.state_dict(), sum(range(1, 148)) / 147
    rows = [mean if symbol in new else float(PUBLISHED_SYMBOLS.index(symbol)) for symbol in symbols]
    assert own["embedding.weight"][:, 0].tolist() == pytest.approx(rows)
    others = published_weights().items()
    assert all(torch.equal(own[name], value) for name, value in others if name != "embedding.weight")
    assert taken.symbols_new == new
    assert (taken.loaded, taken.missing, taken.unused) == (tuple(sorted(PUBLISHED)), (), ())


@pytest.mark.slow
def test_published_weights_need_the_published_mel_frames_and_reduction(published: Path) -> None:
    model = Tacotron2(Sizes(n_symbols=len(ENGLISH), reduction_factor=2))
    with pytest.raises(SettingsError, match=r"speech.sampling_rate is 22050 there and 16000 here, speech.hop_length"):
        load_pretrained(model, published, ENGLISH, Speech(sampling_rate=16000, hop_length=200))
    with pytest.raises(CheckpointError, match=r"linear_projection.linear_layer.weight \(80, 1536\) instead of \(160"):
        load_pretrained(model, published, ENGLISH, Speech())


def foreign(folder: Path, rows: int) -> Path:
    path = folder / "foreign.pt"
    torch.save({"state_dict": {"module.embedding.weight": torch.zeros(rows, 8)}}, path)
    return path


def test_a_table_of_another_size_that_is_not_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="with 70 symbols, and does not say which"):
        load_pretrained(small.trainer(tmp_path).model, foreign(tmp_path, 70), small.SYMBOLS, Speech())


@pytest.mark.parametrize("content", [{"state_dict": {"x": 1}}, {"state_dict": 3}, {"weights": {}}, [1], 5])
def test_a_file_that_holds_no_network_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="nor one of the published layout"):
        load_pretrained(small.trainer(tmp_path).model, tmp_path / "other.pt", small.SYMBOLS, SPEECH)


def test_weights_of_several_gpus_are_those_of_one(tmp_path: Path) -> None:
    model = Tacotron2(small.settings().sizes(len(small.SYMBOLS)))
    speech = dataclasses.replace(Speech(), n_mel_channels=80)
    taken = load_pretrained(model, foreign(tmp_path, 148), small.SYMBOLS, speech)
    assert taken.loaded == ("embedding.weight",)
    assert set(taken.missing) == model.state_dict().keys() - {"embedding.weight"}


# ours


def saved(folder: Path, **hparams: Any) -> tuple[Trainer, Path]:
    trainer = small.trainer(folder, **hparams)
    trainer.save()
    return trainer, trainer.folder.last


def network(symbols: tuple[str, ...], **hparams: Any) -> Tacotron2:
    torch.manual_seed(9)
    return Tacotron2(small.settings(**hparams).sizes(len(symbols)))


def test_known_symbols_keep_their_rows_and_new_ones_start_from_the_mean(tmp_path: Path) -> None:
    trainer, path = saved(tmp_path, use_mmi=True, reduction_factor=2)
    symbols = ("_", "b", "ж", "~", "a")
    model = network(symbols, use_mmi=True, reduction_factor=2)
    taken = load_pretrained(model, path, symbols, SPEECH)
    given, own = trainer.model.state_dict(), model.state_dict()
    rows = [small.SYMBOLS.index(symbol) if symbol in small.SYMBOLS else None for symbol in symbols]

    def expected(table: Tensor) -> Tensor:
        return torch.stack([table[1:].mean(0) if row is None else table[row] for row in rows])

    torch.testing.assert_close(own["embedding.weight"], expected(given["embedding.weight"]))
    for name in ("text_head.linear.weight", "text_head.linear.bias"):
        frames = given[name].split(len(small.SYMBOLS))
        torch.testing.assert_close(own[name], torch.cat([expected(frame) for frame in frames]))
    assert taken.symbols_new == ("ж",)


def test_what_is_not_loaded_is_listed_and_stays_as_it_was(tmp_path: Path) -> None:
    _, path = saved(tmp_path, use_gst=True)
    model = network(small.SYMBOLS, use_mmi=True)
    head = model.state_dict()["text_head.linear.weight"].clone()
    taken = load_pretrained(model, path, small.SYMBOLS, SPEECH)
    assert taken.missing == ("text_head.linear.bias", "text_head.linear.weight")
    assert {name.split(".")[0] for name in taken.unused} == {"style"}
    assert torch.equal(model.state_dict()["text_head.linear.weight"], head)
    told = taken.describe(path)
    assert "text_head.linear (2)" in told
    assert "style.reference (" in told


def test_other_shapes_are_an_error_that_names_each(tmp_path: Path) -> None:
    _, path = saved(tmp_path, reduction_factor=2)
    with pytest.raises(CheckpointError) as refused:
        load_pretrained(network(small.SYMBOLS), path, small.SYMBOLS, SPEECH)
    name = "decoder.linear_projection.linear_layer"
    assert str(refused.value).endswith(
        f"another network: {name}.bias (16,) instead of (8,), {name}.weight (16, 20) instead of (8, 20)."
    )


def test_other_mel_frames_are_an_error_that_names_each(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    with pytest.raises(SettingsError, match=r"speech.mel_fmin is 0 there and 50 here\.$"):
        load_pretrained(network(small.SYMBOLS), path, small.SYMBOLS, dataclasses.replace(SPEECH, mel_fmin=50.0))


def test_averaged_weights_are_taken_where_there_are_any(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, ema_decay=0.9)
    list(trainer.steps())
    model = network(small.SYMBOLS)
    load_pretrained(model, trainer.folder.last, small.SYMBOLS, SPEECH)
    assert torch.equal(model.embedding.weight, trainer.ema.mean["embedding.weight"])
    assert not torch.equal(model.embedding.weight, trainer.model.embedding.weight)
