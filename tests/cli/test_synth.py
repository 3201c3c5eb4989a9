"""--mode synth as a person uses it: what is said and left behind, and bad input in one sentence."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile

from model.ctc import CtcRecogniser
from smart_tuner.cli import synth
from smart_tuner.evaluation.recogniser import Alphabet, Recogniser, recogniser_file, write_recogniser
from smart_tuner.evaluation.voice import PreparedText, Synthesis, Voice
from smart_tuner.paths import StudyFolder
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.study.store import Identity, open_study
from smart_tuner.study.trials import TrialPlan
from tests.support import small
from tests.support.program import check_refusal, invoke, runs, sentence, working_folder
from tests.support.voiced import NEVER, STYLES, Loudness, scripted, voice

SYNTH = ("--mode", "synth", "--device", "cpu")
STORAGE = "sqlite:///smart_tuner.db"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a voice."""
    monkeypatch.chdir(tmp_path)
    voice(tmp_path / "best.pt")
    return tmp_path


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sentences.jsonl").read_text(encoding="utf-8").splitlines()]


# what is said


@pytest.mark.slow
def test_each_text_becomes_a_sound_and_a_plot(folder: Path) -> None:
    result = invoke(*SYNTH, "--checkpoint", "best.pt", "--text", "Bad cab", "--text", "a hedge", "--output", "out")
    assert result.exit_code == 0, result.output
    wanted = {"001.wav", "001.png", "002.wav", "002.png", "sentences.jsonl"}
    assert {path.name for path in Path("out").iterdir()} == wanted
    for name in ("001", "002"):
        samples, rate = soundfile.read(f"out/{name}.wav")
        assert rate == 8000
        assert 2 * 128 <= len(samples) <= 3 * 128  # a step of three frames
        assert Path(f"out/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert [row["read_aloud"] for row in rows(Path("out"))] == ["bad cab", "a hedge"]


def test_the_terminal_says_what_went_wrong_with_each_and_how_often(folder: Path) -> None:
    voice(folder / "endless.pt", gate=NEVER)
    result = invoke(*SYNTH, "--checkpoint", "endless.pt", "--text", "a", "--output", "out")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "never stopped" in lines["001"]
    assert "failed on 1 of 1 texts (failure rate 100%)" in lines["Attention"]
    assert "never_stopped" in rows(Path("out"))[0]["faults"]
    assert "Griffin-Lim" in lines["Vocoder"]


@pytest.mark.slow
def test_each_line_of_a_file_is_an_utterance(folder: Path) -> None:
    Path("texts.txt").write_text("\ufeffbad cab\n\n  a hedge \n", encoding="utf-8")
    assert invoke(*SYNTH, "--checkpoint", "best.pt", "--text-file", "texts.txt").exit_code == 0
    spoken = Path("smart_tuner_files/spoken")
    assert [row["text"] for row in rows(spoken)] == ["bad cab", "a hedge"]
    assert (spoken / "002.wav").exists()


@pytest.mark.slow
def test_texts_longer_than_any_in_training_are_told_before_they_are_said(folder: Path) -> None:
    voice(folder / "brief.pt", longest_text=5)
    texts = ("--text", "bad", "--text", "bad cab", "--text", "a hedge")
    result = invoke(*SYNTH, "--checkpoint", "brief.pt", *texts, "--output", "out")
    about = [line for line in result.stdout.splitlines() if line.startswith(("Length", "001"))]
    assert about[0].startswith("Length     002, 003: longer than any text it was trained on (5 symbols)")
    assert "Length" not in invoke(*SYNTH, "--checkpoint", "best.pt", "--text", "bad", "--output", "out").stdout


def test_what_no_rule_is_sure_of_is_told_before_it_is_said(folder: Path) -> None:
    letters = [*"_~ акмопр"]
    symbols = [*letters, *(f"<{number}>" for number in range(len(small.SYMBOLS) - len(letters)))]
    voice(folder / "ru.pt", symbols=symbols, front_end=FrontEnd("ru").described())
    words = (*SYNTH, "--checkpoint", "ru.pt", "--output", "out", "--text")
    result = invoke(*words, "мокро рамА")
    assert result.exit_code == 0, result.output
    about = result.stdout[result.stdout.index("Unsure") :]
    assert "a capital that may mark stress" in about
    assert "001: рамА is read: рама" in about
    assert "Unsure" not in invoke(*words, "мокро рама").stdout


def test_texts_of_a_few_symbols_that_are_over_at_once_are_faults(folder: Path) -> None:
    texts = ("a", "ab", " a ", "bad")
    words = [word for text in texts for word in ("--text", text)]
    result = invoke(*SYNTH, "--checkpoint", "best.pt", *words, "--output", "out")
    assert result.exit_code == 0, result.output
    assert [set(row["faults"]) - {"skipped"} for row in rows(Path("out"))] == [{"too_short"}] * len(texts)
    assert "0.0 s, too short: a" in result.stdout
    assert f"failed on {len(texts)} of {len(texts)} texts" in result.stdout


@pytest.mark.slow
def test_a_shorter_run_leaves_none_of_the_one_before(folder: Path) -> None:
    words = (*SYNTH, "--checkpoint", "best.pt", "--output", "out")
    assert invoke(*words, "--text", "a", "--text", "b", "--text", "c").exit_code == 0
    for mine in ("004.wav", "notes.wav"):
        Path("out", mine).write_bytes(b"mine")
    assert invoke(*words, "--text", "a").exit_code == 0
    wanted = {"001.wav", "001.png", "sentences.jsonl", "004.wav", "notes.wav"}
    assert {path.name for path in Path("out").iterdir()} == wanted


@pytest.mark.slow
def test_the_seed_decides_how_it_sounds(folder: Path) -> None:
    voice(folder / "endless.pt", gate=NEVER)
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        words = ("--checkpoint", "endless.pt", "--text", "a", "--seed", seed, "--output", out)
        assert invoke(*SYNTH, *words).exit_code == 0
    sounds = [Path(out, "001.wav").read_bytes() for out in "abc"]
    assert sounds[0] == sounds[1] != sounds[2]


@pytest.mark.slow
def test_a_style_can_be_chosen_and_is_told(folder: Path) -> None:
    voice(folder / "styled.pt", gate=NEVER, hparams=STYLES)
    soundfile.write("how.wav", np.sin(np.arange(8000)), 8000)
    given = {"text": (), "tokens": ("--style", "3:0.7, 5:0.3"), "recording": ("--reference", "how.wav")}
    for out, words in given.items():
        result = invoke(*SYNTH, "--checkpoint", "styled.pt", "--text", "a", *words, "--output", out)
        assert result.exit_code == 0, result.output
    assert len({Path(out, "001.wav").read_bytes() for out in given}) == 3
    assert [rows(Path(out))[0]["style"] for out in given] == [None, "3:0.7, 5:0.3", "how.wav"]


def kept_recogniser(output: Path, checkpoint: Path, cer: float = 0.125, untrained: str = "") -> None:
    """The recogniser of the voice's corpus, where a training leaves it."""
    found = Voice.load(checkpoint, small.CPU)
    file = recogniser_file(output / "recognisers", "d1ge57", found.settings, small.SYMBOLS)
    file.parent.mkdir(exist_ok=True)
    network = CtcRecogniser(16, 1 + len(Alphabet(small.SYMBOLS).labels))
    write_recogniser(file, Recogniser(network, Alphabet(small.SYMBOLS), cer, untrained))


@pytest.mark.slow
def test_the_recogniser_of_the_voices_corpus_reads_the_speech_back(folder: Path) -> None:
    best = voice(StudyFolder(folder / "files/studies/s").trial(0).best)
    words = (*SYNTH, "--checkpoint", str(best), "--text", "bad", "--output", "out")
    without = invoke(*words).stdout
    assert "CER        not measured: " in without
    assert f"{folder}/files/recognisers has no recogniser of the voice's corpus" in without
    kept_recogniser(folder / "files", best)
    found = invoke(*words)
    assert "by the corpus's recogniser (12.5% on the corpus's own recordings)" in found.stdout
    assert rows(Path("out"))[0].keys() >= {"transcript", "cer"}
    for cer, untrained, why in ((0.62, "", "is 62%, more than 30%"), (math.nan, "", "no letters"), (0.1, "few", "few")):
        kept_recogniser(folder / "files", best, cer, untrained)
        said = invoke(*words).stdout
        assert "CER        not measured: the corpus's recogniser is no judge: " in said
        assert why in said
        assert "cer" not in rows(Path("out"))[0]


def test_a_vocoder_file_speaks_in_place_of_griffin_lim(folder: Path) -> None:
    scripted(folder / "hum.pt", Loudness(gain=0.5))
    words = ("--checkpoint", "best.pt", "--text", "bad", "--output", "out", "--vocoder", "hum.pt")
    result = invoke(*SYNTH, *words)
    assert "Vocoder    hum.pt" in result.stdout
    samples, _ = soundfile.read("out/001.wav")
    assert samples.shape == (3 * 128,)
    assert all(len(set(samples[start : start + 128])) == 1 for start in (0, 128, 256))


# the winner of a study


def study(folder: Path, *losses: float | None, output: str = "files") -> None:
    """A train study in which trials ended with these losses; None: it was stopped."""
    identity = Identity(
        mode="train", objectives=(("validation.loss", "minimize"),), settings=small.settings(), corpus="c"
    )
    made = open_study("night", STORAGE, identity)
    made.set_user_attr("folder", str(folder / output / "studies" / "night"))
    for number, loss in enumerate(losses):
        trial = made.ask()
        best = {"value": loss, "step": 1, "cost": loss, "feasible": True, "metrics": {}, "violations": {}}
        plan = TrialPlan(origin="baseline", seed=number).to_attributes()
        for key, value in (plan | ({"best": best} if loss is not None else {})).items():
            trial.set_user_attr(key, value)
        stopped = optuna.trial.TrialState.PRUNED
        made.tell(trial.number, loss, state=None if loss is not None else stopped)


@pytest.mark.slow
def test_the_best_trial_of_a_study_speaks(folder: Path) -> None:
    study(folder, 2.0, 1.0, None)
    best = voice(StudyFolder(folder / "files/studies/night").trial(1).best)
    result = invoke(*SYNTH, "--study", "night", "--text", "bad", "--output", "out")
    assert result.exit_code == 0, result.output
    assert str(best.relative_to(folder)) in result.stdout


@pytest.mark.parametrize("kept", ["files", "smart_tuner_files", "out"])
def test_the_voice_of_a_folder_that_was_renamed_speaks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """From within it, and from elsewhere by its storage; what lies under the present --output goes first."""
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    study(folder / "work", 1.0, output=kept)
    voice(folder / f"work/{kept}/studies/night/trial-0000/best.pt")
    monkeypatch.chdir(folder)
    (folder / "work").rename(folder / "renamed")
    words = (*SYNTH, "--study", "night", "--text", "bad")
    beside = ("--storage", f"sqlite:///{folder}/renamed/smart_tuner.db")
    said = invoke(*words, *beside, "--output", "said")
    assert f"Voice      {folder}/renamed/{kept}/studies/night/trial-0000/best.pt" in said.stdout, said.output
    monkeypatch.chdir(folder / "renamed")
    assert f"Voice      {kept}/studies/night/trial-0000/best.pt" in invoke(*words, "--output", kept).stdout
    voice(folder / "here/studies/night/trial-0000/best.pt")
    assert f"Voice      {folder}/here/studies" in invoke(*words, "--output", f"{folder}/here").stdout


@pytest.mark.slow
def test_what_a_search_has_concluded_speaks_even_if_another_trial_was_lower(folder: Path) -> None:
    study(folder, 2.0, 1.0)
    optuna.load_study(study_name="night", storage=STORAGE).set_user_attr("winner", {"trial": 0})
    best = voice(StudyFolder(folder / "files/studies/night").trial(0).best)
    assert (
        str(best.relative_to(folder)) in invoke(*SYNTH, "--study", "night", "--text", "bad", "--output", "out").stdout
    )


@pytest.mark.slow
def test_a_study_without_a_voice_is_refused(folder: Path) -> None:
    words = (*SYNTH, "--text", "bad", "--output", "out", "--study")
    assert "does not exist yet" in sentence(invoke(*words, "night"))
    study(folder, None)
    assert "has no trial that ended healthy yet" in sentence(invoke(*words, "night"))
    assert sentence(invoke(*words, "day")) == f"Study 'day' is not there; {STORAGE} holds: night."
    study(folder, 1.0)
    result = invoke(*words, "night")
    best = StudyFolder(folder / "files/studies/night").trial(1).best
    assert f"{best}, is not there (any more)" in sentence(result)
    assert (result.exit_code, Path("out").exists()) == (2, False)


# bad input

VOICE = ("--checkpoint", "best.pt")
TEXT = ("--text", "bad")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (VOICE, "--mode synth says what --text or --text-file gives; give one of them."),
        ((*VOICE, *TEXT, "--text-file", "t.txt"), "--mode synth says what --text or --text-file gives;"),
        (TEXT, "--mode synth takes its voice from --checkpoint or from --study; give one of them."),
        ((*TEXT, *VOICE, "--study", "s"), "--mode synth takes its voice from --checkpoint or from --study;"),
        ((*TEXT, "--checkpoint", "nowhere.pt"), "--checkpoint: there is no file nowhere.pt."),
        ((*TEXT, "--checkpoint", "empty.txt"), "The checkpoint empty.txt cannot be read ("),
        ((*VOICE, "--text", "Mum"), "The texts hold symbols that the voice does not know: 'm' (LATIN "),
        ((*VOICE, "--text", " "), "There is nothing to say in text 1: ' '."),
        ((*VOICE, "--text-file", "nowhere.txt"), "--text-file: nowhere.txt cannot be read as UTF-8 text: "),
        ((*VOICE, "--text-file", "empty.txt"), "--text-file: empty.txt holds no text."),
        ((*VOICE, *TEXT, "--vocoder", "best.pt"), "--vocoder: best.pt is no TorchScript module"),
        ((*VOICE, *TEXT, "--vocoder", "empty.txt"), "--vocoder takes a TorchScript file"),
        ((*VOICE, *TEXT, "--style", "1:1"), "--style: this voice has no style tokens; "),
        ((*VOICE, *TEXT, "--style", "one"), "--style takes style tokens, each once, with their weights, "),
        ((*VOICE, *TEXT, "--style", "1:1,1:2"), "--style takes style tokens, each once, "),
        ((*VOICE, *TEXT, "--style", "1:nan"), "--style takes style tokens, each once, "),
        ((*VOICE, *TEXT, "--style", ""), "--style takes style tokens, each once, "),
        ((*VOICE, *TEXT, "--reference", "empty.txt"), "--reference: this voice has no style tokens; "),
        ((*VOICE, *TEXT, "--reference", "a.wav"), "--reference: there is no file a.wav."),
        ((*VOICE, *TEXT, "--style", "1:1", "--reference", "a.wav"), "--reference and --style both say how "),
        ((*VOICE, *TEXT, "--seed", "-1"), "--seed must be from 0 to "),
        ((*VOICE, *TEXT, "--device", "gpu"), "--device is auto, cpu, cuda or cuda:N; received 'gpu'."),
        ((*VOICE, *TEXT, "--output", "best.pt"), "The folder "),
        ((*VOICE, *TEXT, "--data", "d"), "--data is for train, tune and check; received it with --mode synth."),
        ((*VOICE, *TEXT, "--lang", "ru"), "--lang is for --mode report; received it with --mode synth."),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_written(folder: Path, words: tuple[str, ...], said: str) -> None:
    Path("empty.txt").write_text("")
    check_refusal(said, *SYNTH, *words)


@pytest.mark.parametrize("option", ["--text", "--text-file", "--vocoder", "--reference", "--style"])
def test_what_is_for_speech_is_refused_elsewhere(folder: Path, option: str) -> None:
    for mode in ("train", "tune", "check", "report"):
        check_refusal(f"{option} is for --mode synth; received it with --mode {mode}.", "--mode", mode, option, "x")


def test_a_voice_to_start_from_is_for_training_alone(folder: Path) -> None:
    said = sentence(invoke("--mode", "check", "--checkpoint", "best.pt"))
    assert said == "--checkpoint is for train, tune and synth; received it with --mode check."
    assert sentence(invoke("--mode", "train", "--checkpoint", "no.pt")) == "--checkpoint: there is no file no.pt."


def test_a_sound_that_cannot_be_written_leaves_nothing_of_it(folder: Path) -> None:
    Path("out/001.wav").mkdir(parents=True)
    result = invoke(*SYNTH, *VOICE, *TEXT, "--output", "out")
    assert sentence(result).startswith("out/001.wav cannot be written: ")
    assert result.exit_code == 2
    assert [path.name for path in Path("out").iterdir()] == ["001.wav"]


def test_an_interruption_keeps_what_was_said_and_no_list_of_the_run_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, speak = (*SYNTH, *VOICE, "--output", "out", "--text", "bad"), Voice.speak
    assert invoke(*words).exit_code == 0

    def interrupted(found: Voice, text: PreparedText, *given: Any) -> Synthesis:
        if text.text == "cab":
            raise KeyboardInterrupt
        return speak(found, text, *given)

    monkeypatch.setattr(synth.Voice, "speak", interrupted)
    result = invoke(*words, "--text", "cab")
    assert result.exit_code == 130
    assert "what was said before is in out" in result.stderr
    assert {path.name for path in Path("out").iterdir()} == {"001.wav", "001.png"}


# from training to speech


@pytest.mark.slow
def test_what_was_trained_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(working_folder(tmp_path / "work"))
    small.tracking_store(Path.cwd())
    corpus = ("--data", "beeps", "--settings", "small.yaml", "--device", "cpu")
    brief = ("--budget", "3it", "--set", "tracking.recogniser_steps=20")
    trained = invoke("--mode", "train", *corpus, *brief, "--study", "beeps")
    assert trained.exit_code == 0, trained.output
    told = " ".join(trained.stdout.split())
    assert "Recogniser is no judge: its character error rate on recorded speech is " in told
    assert "more than 30%; validation.freerun.cer is not measured" in told
    logged = runs(Path.cwd())[2][0].data
    assert not [name for name in logged.metrics if "cer" in name]
    assert "validation.freerun.failure_rate" in logged.metrics
    assert "more than 30%" in logged.tags["recogniser.no_judge"]
    said = invoke(*SYNTH, "--study", "beeps", "--text", "bad cab", "--output", "out")
    assert said.exit_code == 0, said.output
    assert "not measured: the corpus's recogniser is no judge: its character error rate" in said.stdout
    assert rows(Path("out"))[0]["text"] == "bad cab"
