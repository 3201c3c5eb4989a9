"""YAML files as plain values that remember the line of every key. The only file that imports yaml."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from smart_tuner.errors import SettingsError

Place = tuple[str, ...]
"""Keys from the top down to a value; the items of a list count from 0."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a YAML file holds."""

    file: Path
    content: Any
    """Mappings, lists, texts, numbers, true, false and None."""
    lines: Mapping[Place, int]

    def line(self, *place: str | int) -> int:
        """The line, from 1, of a key or item; of the nearest key above it when it has none of its own."""
        known = tuple(map(str, place))
        return next((self.lines[known[:end]] for end in range(len(known), 0, -1) if known[:end] in self.lines), 1)

    def refusal(self, place: tuple[str | int, ...], sentence: str) -> SettingsError:
        """The error for what stands at a place."""
        return SettingsError(f"{self.file}, line {self.line(*place)}: {sentence}")


def read_yaml_file(file: Path, kind: str) -> Document:
    """Read a file; kind names it in errors ("settings file"). Raises SettingsError, with the line if there is one."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"The {kind} {file} cannot be read: {problem}.") from problem
    try:
        content, lines = _parse(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "unknown line"
        what = getattr(problem, "problem", None) or "not YAML"
        what = explain_syntax(text, mark.line, what) if mark else what
        raise SettingsError(f"The {kind} {file} is not valid YAML, {where}: {what}.") from problem
    except (ValueError, RecursionError) as problem:  # text that looks like a date and is none; brackets without end
        raise SettingsError(f"The {kind} {file} is not valid YAML: {problem}.") from problem
    return Document(file=file, content=content, lines=lines)


def explain_syntax(text: str, line: int, problem: str) -> str:
    """What is wrong on a line (from 0) and how it is written, where YAML's own words are about its grammar."""
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return "the line begins with a tab; YAML takes blanks alone there"
    value = (
        None if "a second time" in problem else re.search(r"(?:^\s*-\s+|:\s+|[\[{,]\s*)([>|%@`&*!][^,\]}#]*)", written)
    )
    if value is not None:
        bare = value[1].strip()
        return f'a value that begins with {bare[0]} must be in quotes, as in "{bare}"'
    if problem == "mapping values are not allowed here":
        return "a value with a colon and a blank in it must be in quotes, and a further key begins its own line"
    return problem


def parse_value(text: str) -> Any:
    """What a text on the command line stands for; text that is no YAML stands for itself."""
    try:
        return _parse(text)[0]
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: text that looks like a date and is none
        return text


def dump(content: Any) -> str:
    """YAML text that reads back as the same plain values, keys in their own order."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _parse(text: str) -> tuple[Any, dict[Place, int]]:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        lines: dict[Place, int] = {}
        if root is None:
            return None, lines
        _walk(root, (), lines, set())
        try:
            return loader.construct_document(root), lines
        except ValueError as problem:
            raise yaml.MarkedYAMLError(problem=f"{problem}", problem_mark=_find_odd_date(root)) from problem
    finally:
        loader.dispose()


def _find_odd_date(root: yaml.Node) -> yaml.Mark | None:
    """Where text looks like a date and is none, as 2020-13-45: YAML does not say."""
    for node in _scalars(root, set()):
        try:
            yaml.constructor.SafeConstructor().construct_object(node)
        except ValueError:
            return node.start_mark
    return None


def _scalars(node: yaml.Node, visited: set[int]) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif id(node) not in visited:  # an alias may hold itself
        visited.add(id(node))
        for below in node.value:
            for item in below if isinstance(below, tuple) else (below,):
                yield from _scalars(item, visited)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], visited: set[int]) -> None:
    """Note the line of everything below a node and refuse a key that stands twice, which YAML would pass over."""
    if id(node) in visited:  # an alias: noted where it was written, and one that holds itself has no end
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*place, str(index)] = item.start_mark.line + 1
            _walk(item, (*place, str(index)), lines, visited)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list or mapping as a key: construct_document refuses it, with its line
            below = (*place, key.value)
            if below in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands here a second time, first on line {lines[below]}",
                    problem_mark=key.start_mark,
                )
            lines[below] = key.start_mark.line + 1
            _walk(item, below, lines, visited)
