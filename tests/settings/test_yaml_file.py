"""A YAML file is read with the line of every key, and what YAML would pass over is refused."""

from pathlib import Path

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings import yaml_file

SPACE = """\
# a comment
parameters:
  hparams.learning_rate:
    low: 1.0e-4

    high: 2.0e-3
  hparams.batch_size: {choices: [16,
    32]}
baseline:
  - hparams.batch_size: 16
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        yaml_file.read_yaml_file(written(folder, text), "search space")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_every_key_and_item_knows_its_line(tmp_path: Path) -> None:
    read = yaml_file.read_yaml_file(written(tmp_path, SPACE), "search space")
    assert read.line("parameters") == 2
    assert read.line("parameters", "hparams.learning_rate", "high") == 6
    assert read.line("parameters", "hparams.batch_size", "choices", 1) == 8
    assert read.line("baseline", 0, "hparams.batch_size") == 10
    assert read.content["parameters"]["hparams.batch_size"] == {"choices": [16, 32]}


def test_what_has_no_line_has_that_of_the_key_above_it(tmp_path: Path) -> None:
    read = yaml_file.read_yaml_file(written(tmp_path, SPACE), "search space")
    assert read.line("parameters", "hparams.learning_rate", "log") == 3
    assert read.line("budget") == 1


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    message = refusal(tmp_path, "hparams:\n  seed: 1\n  batch_size: 2\n  seed: 3\n")
    assert f"{tmp_path / 'mine.yaml'} is not valid YAML, line 4: the key 'seed'" in message
    assert "first on line 2" in message


def test_the_same_key_may_stand_in_two_mappings(tmp_path: Path) -> None:
    text = "- {low: 1, high: 2}\n- {low: 3, high: {low: 4}}\n"
    assert yaml_file.read_yaml_file(written(tmp_path, text), "list").content[1] == {"low": 3, "high": {"low": 4}}


def test_an_alias_stands_for_what_it_names(tmp_path: Path) -> None:
    read = yaml_file.read_yaml_file(written(tmp_path, "a: &here {low: 1}\nb: *here\nc: {<<: *here, high: 2}\n"), "file")
    assert read.content == {"a": {"low": 1}, "b": {"low": 1}, "c": {"low": 1, "high": 2}}
    assert read.line("b", "low") == 2


def test_an_alias_of_itself_and_aliases_of_aliases_end(tmp_path: Path) -> None:
    doubled = "".join(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 60))
    assert len(yaml_file.read_yaml_file(written(tmp_path, f"l0: &l0 [1]\n{doubled}"), "file").lines) < 300
    assert yaml_file.read_yaml_file(written(tmp_path, "a: &a [*a]\n"), "file").line("a", 0) == 1


@pytest.mark.parametrize("text", ["a: [1\nb: 2\n", "a: 2020-13-45\n", "[a]: 1\n", "a: b: c\n", "a: \x07\n", "[" * 1500])
def test_what_is_no_yaml_is_refused_with_the_kind_of_file(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith(f"The search space {tmp_path / 'mine.yaml'} is not valid YAML")


@pytest.mark.parametrize(("text", "line"), [("a: 1\n---\nb: 2\n", 2), ("a:\n  b: 3\n  c: [1, 2\nd: {}\n", 4)])
def test_a_second_document_and_a_bracket_left_open_are_refused_with_their_line(
    tmp_path: Path, text: str, line: int
) -> None:
    assert f"is not valid YAML, line {line}: " in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  b: >= 0.5\n", 2, 'a value that begins with > must be in quotes, as in ">= 0.5"'),
        ("a:\n- >= 0.5  # good\n", 2, 'a value that begins with > must be in quotes, as in ">= 0.5"'),
        ("a: {b: >=0.5, c: 1}\n", 1, 'a value that begins with > must be in quotes, as in ">=0.5"'),
        ("a: [>= 0.5, <= 1]\n", 1, 'a value that begins with > must be in quotes, as in ">= 0.5"'),
        ("a: 1\nb: *all\n", 2, 'a value that begins with * must be in quotes, as in "*all"'),
        ("b: %5\n", 1, 'a value that begins with % must be in quotes, as in "%5"'),
        ("a: b: c\n", 1, "a value with a colon and a blank in it must be in quotes"),
        ("a:\n\tb: 1\n", 2, "the line begins with a tab; YAML takes blanks alone there"),
        ("a: 1\nb: 2020-13-45\n", 2, "month must be in 1..12"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_one_who_wrote_it(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    assert f"is not valid YAML, line {line}: {said}" in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"The search space .*nowhere\.yaml cannot be read"):
        yaml_file.read_yaml_file(tmp_path / "nowhere.yaml", "search space")


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert yaml_file.read_yaml_file(written(tmp_path, "# nothing yet\n"), "settings file").content is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [("3", 3), ("true", True), ("[1, 2]", [1, 2]), ("", None), ("2020-13-45", "2020-13-45"), ("[1", "[1")],
)
def test_a_text_of_the_command_line_is_read_as_yaml_and_else_kept(text: str, meant: object) -> None:
    assert yaml_file.parse_value(text) == meant


def test_a_dump_reads_back_in_its_order(tmp_path: Path) -> None:
    content = {"speech": {"language": "ru"}, "hparams": {"budget": "Tür", "fp16_run": False, "choices": [1, 2.5]}}
    read = yaml_file.read_yaml_file(written(tmp_path, yaml_file.dump(content)), "file")
    assert read.content == content
    assert list(read.content) == ["speech", "hparams"]
    assert "Tür" in yaml_file.dump(content), "as a person would write it"
