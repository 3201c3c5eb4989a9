"""Every file has its name, and a checkpoint is found its way back to the folder that it belongs to."""

from pathlib import Path

import pytest

from smart_tuner.paths import DEFAULT_OUTPUT, OutputFolder, StudyFolder, TrialFolder, find_moved, is_file, trial_name


def test_a_trial_is_named_by_four_digits_or_more() -> None:
    assert [trial_name(number) for number in (0, 42, 12345)] == ["trial-0000", "trial-0042", "trial-12345"]


def test_the_files_of_a_trial_lie_in_its_studys_folder() -> None:
    folder = OutputFolder(Path("out")).study("mine").trial(7)
    files = (folder.best, folder.last, folder.journal, folder.audio, folder.lock)
    assert [file.relative_to("out/studies/mine/trial-0007").as_posix() for file in files] == [
        "best.pt",
        "last.pt",
        "metrics.jsonl",
        "audio",
        ".lock",
    ]


def test_no_two_things_of_an_output_folder_share_a_place() -> None:
    out = OutputFolder(Path("out"))
    study = out.study("mine")
    places = [out.mels, out.demo, out.recognisers, out.spoken, out.stores_lock, study.path, study.lock, out.report("s")]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to("out") for place in places)


def test_the_last_good_checkpoint_is_the_best_that_is_there(tmp_path: Path) -> None:
    folder, found = TrialFolder(tmp_path), list[Path | None]()
    for file in (None, folder.last, folder.best):
        if file is not None:
            file.touch()
        found.append(folder.last_good)
    assert found == [None, folder.last, folder.best]


def test_a_study_has_trials_when_one_has_a_folder(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    study.lock.touch()
    assert not study.has_trials()
    study.trial(3).path.mkdir()
    assert study.has_trials()


def test_a_checkpoint_leads_back_to_its_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = OutputFolder(tmp_path / "out")
    assert OutputFolder.of_checkpoint(out.study("mine").trial(3).best) == out
    monkeypatch.chdir(tmp_path)
    assert OutputFolder.of_checkpoint(Path("out/studies/mine/trial-0003/best.pt")) == out


@pytest.mark.parametrize("file", ["best.pt", "/best.pt", "out/trial-0003/best.pt", "studies/mine/deeper/trial/best.pt"])
def test_a_checkpoint_from_elsewhere_belongs_to_the_default_folder(file: str) -> None:
    assert OutputFolder.of_checkpoint(Path(file)) == OutputFolder(DEFAULT_OUTPUT)


@pytest.mark.parametrize(
    ("studies", "name"),
    [
        (["mine"], "mine"),
        (["wide", "narrow"], "wide-vs-narrow"),
        (["v1.2_a-b", "голос"], "v1.2_a-b-vs-голос"),
        (["../up/and away: x"], ".._up_and_away__x"),
        (["x" * 200], "x" * 80),
    ],
)
def test_a_report_has_a_folder_that_any_file_system_takes(studies: list[str], name: str) -> None:
    assert OutputFolder(Path("out")).report(*studies) == Path("out/reports") / name


KEPT = Path("/old/work/out/studies/night")


@pytest.mark.parametrize("there", ["out/studies/night", "studies/night", "work/out/studies/night"])
def test_what_was_moved_is_found_by_the_end_of_its_path(tmp_path: Path, there: str) -> None:
    (tmp_path / there).mkdir(parents=True)
    assert find_moved(KEPT, tmp_path / "none", tmp_path) == tmp_path / there


def test_the_first_base_goes_first_and_the_kept_path_last(tmp_path: Path) -> None:
    kept, first, second = (tmp_path / name / "studies" / "night" for name in ("kept", "first", "second"))
    bases = (tmp_path / "first", tmp_path / "second")
    assert find_moved(kept, *bases) == kept, "even when it is not there"
    for folder in (kept, second, first):
        folder.mkdir(parents=True)
        assert find_moved(kept, *bases) == folder


def test_a_folder_of_the_last_name_alone_is_another(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    assert find_moved(KEPT, tmp_path) == KEPT
    assert find_moved(Path(), tmp_path) == Path()


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "x" * 300 + "/a"])
def test_a_name_that_is_too_long_is_that_of_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("")
    assert [is_file(tmp_path / one) for one in ("x", name)] == [True, False]
