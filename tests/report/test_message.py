"""A sentence is its English text until somebody asks for a language; every text has a Russian one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment, nodes

from smart_tuner.health.rules import RULES
from smart_tuner.report import catalogue
from smart_tuner.report.catalogue import Catalogue, has_words, load_russian
from smart_tuner.report.message import Message, describe_span, format_metric, join_sentences, shorten_list
from smart_tuner.space.methods import PRUNERS

PACKAGE = Path(catalogue.__file__).parents[1]
NOT_LITERAL = {"Message(self.text, **{**self.facts, **facts})", "Message(known.meaning)", "Message(sentence, **facts)"}
"""The copy of a message, a rule's or a pruner's meaning, and what a template says: each is looked at by itself."""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "{gain:.2f} better than {what}": "лучше, чем {what}, на {gain:.2f}",
        "the baseline": "исходные настройки",
        "these: {names}": "вот они: {names}",
    }
    monkeypatch.setattr(catalogue, "load_russian", lambda: known)


@pytest.mark.usefixtures("table")
def test_a_message_within_a_message_and_a_list_are_said_in_the_same_language() -> None:
    message = Message("{gain:.2f} better than {what}", gain=0.345, what=Message("the baseline"))
    assert Catalogue("en")(message) == "0.34 better than the baseline"
    assert Catalogue("ru")(message) == "лучше, чем исходные настройки, на 0.34"
    listed = Message("these: {names}").fill(names=["a", Message("the baseline"), 3])
    assert Catalogue("ru")(listed) == "вот они: a, исходные настройки, 3"


@pytest.mark.usefixtures("table")
def test_what_has_no_words_needs_no_translation_and_what_is_missing_is_no_empty_text() -> None:
    assert Catalogue("ru")(Message("{name} ({value:.1f} %)", name="a", value=2)) == "a (2.0 %)"
    assert Catalogue("ru")("{x} <b>") == "{x} <b>"
    for language, message in (("ru", Message("unheard")), ("en", Message("{gain:.2f} better than {what}", gain=1.0))):
        with pytest.raises(KeyError):
            Catalogue("ru" if language == "ru" else "en")(message)


def test_sentences_are_joined_without_those_that_are_not_there() -> None:
    assert Catalogue("en")(join_sentences(Message("One."), None, Message("Two."))) == "One. Two."
    assert shorten_list("abcd", 2)[:2] == ["a", "b"]
    assert Catalogue("ru")(shorten_list("abcd", 2)[2]) == "и ещё 2"


@pytest.mark.parametrize(("seconds", "text"), [(59.4, "59 s"), (60, "1 min"), (3599, "60 min"), (5400, "1.5 h")])
def test_spans_of_time_have_a_fitting_unit(seconds: float, text: str) -> None:
    assert Catalogue("en")(describe_span(seconds)) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.41, "0.4100"), (-3.0, "-3.0000"), (123456.7, "1.235e+05"), (None, "–"), (float("nan"), "–")]
)
def test_a_measured_number_has_four_decimals(value: float | None, shown: str) -> None:
    assert format_metric(value) == shown


# the table


def literals(node: ast.expr) -> list[str]:
    """A text, or both of a choice."""
    if isinstance(node, ast.IfExp):
        return [*literals(node.body), *literals(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def texts_in_code() -> Iterator[str]:
    for file in [*(PACKAGE / "report").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Message":
                texts = literals(node.args[0])
                assert texts or ast.unparse(node) in NOT_LITERAL, f"{file}:{node.lineno} hides its text"
                yield from texts


def texts_in_templates() -> Iterator[str]:
    for name in ("page.html", "page.md"):
        template = Environment().parse((PACKAGE / "report" / name).read_text(encoding="utf-8"))
        for call in template.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "say":
                assert isinstance(call.args[0], nodes.Const), f"{name}:{call.lineno} hides its text"
                yield call.args[0].value


def meanings() -> Iterator[str]:
    yield from (record.meaning for table in (RULES, PRUNERS) for record in table.values() if record.meaning)


def test_every_text_has_a_russian_one_and_none_is_left_over() -> None:
    used = {text for text in (*texts_in_code(), *texts_in_templates(), *meanings()) if has_words(text)}
    assert len(used) > 300
    assert used == set(load_russian())


def test_both_languages_name_the_same_facts_in_the_same_form() -> None:
    for english, russian in load_russian().items():
        facts = [
            sorted((name, form) for _, name, form, _ in Formatter().parse(text) if name) for text in (english, russian)
        ]
        assert facts[0] == facts[1], english


def test_russian_is_russian() -> None:
    latin = [text for text in load_russian().values() if not re.search("[а-яё]", re.sub(r"\{[^{}]*\}", "", text))]
    assert all(not has_words(text) for text in latin), latin
