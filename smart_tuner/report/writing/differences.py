"""In what studies that stand side by side differ: what they came to, how they were made, settings and search space."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner import documents
from smart_tuner.report.catalogue import MISSING, Catalogue, said
from smart_tuner.report.view import View

ALWAYS = ("findings.label_began", "findings.label_ended", "findings.label_seeds", "findings.label_folder")
"""Lines of the reproduction that differ in any two studies, and so say nothing."""
ANSWERED = 2
"""Lines of the answer that are compared: the best, and the gain with the winner."""

Difference = tuple[str, list[str], bool]
"""What it is, its value in each study, whether they differ."""


def differences(views: Sequence[View], catalogue: Catalogue) -> list[Difference]:
    """What studies are compared by; none without a second one."""
    if len(views) < 2:
        return []
    facts = [aspects(view, catalogue) for view in views]
    settings = [flat(documents.value(view.settings)) for view in views]
    spaces = [searched(documents.value(view.space)) for view in views]
    return [
        *((name, found, len(set(found)) > 1) for name, found in table(facts).items()),
        *contents(settings, said_as("page.settings", catalogue), "{}", catalogue),
        *contents(spaces, said_as("page.space", catalogue), said_as("page.of_space", catalogue, name="{}"), catalogue),
    ]


def said_as(key: str, catalogue: Catalogue, **facts: str) -> str:
    """One of the page's own sentences."""
    return catalogue(said(key, **facts))


def aspects(view: View, catalogue: Catalogue) -> dict[str, str]:
    """What a study came to, and how it was made."""
    made = [line for line in view.reproduction if line.label.key not in ALWAYS]
    return {
        said_as("page.objective", catalogue): view.columns[0] if view.columns else MISSING,
        said_as("page.runs", catalogue): str(len(view.rows)),
        **{catalogue(line.label): catalogue(line.text) for line in view.answer[:ANSWERED]},
        said_as("page.status", catalogue): catalogue(view.status),
        **{catalogue(line.label): catalogue(line.text) for line in made},
    }


def table(facts: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """By name, in order: each study's value."""
    names = dict.fromkeys(name for fact in facts for name in fact)
    return {name: [fact.get(name, MISSING) for fact in facts] for name in names}


def contents(studies: Sequence[Mapping[str, str]], label: str, named: str, catalogue: Catalogue) -> list[Difference]:
    """How many keys each study has of its settings or space, then those that differ; none where one's are unknown."""
    if not any(studies):
        return []
    differing = [(name, found) for name, found in table(studies).items() if len(set(found)) > 1]
    counts = [said_as("page.keys", catalogue, count=str(len(one))) if one else MISSING for one in studies]
    known = all(studies)
    return [
        (label, counts, bool(differing)),
        *((named.format(name), found, True) for name, found in differing if known),
    ]


def flat(content: Any, above: str = "") -> dict[str, str]:
    """What a YAML document holds, by dotted name; none of a text that is no mapping."""
    if not isinstance(content, Mapping):
        return {above: values(content)} if above else {}
    found: dict[str, str] = {}
    for key, value in content.items():
        found |= flat(value, f"{above}.{key}" if above else str(key))
    return found


def searched(content: Any) -> dict[str, str]:
    """The same of a search space: each parameter is one, with its range."""
    if not isinstance(content, Mapping):
        return {}
    parameters = content.get("parameters")
    others = flat({key: value for key, value in content.items() if key != "parameters"})
    ranges = parameters if isinstance(parameters, Mapping) else {}
    return {**{str(name): extent(entry) for name, entry in ranges.items()}, **others}


def extent(entry: Any) -> str:
    """What is known of a parameter; the ends of one that has choices mean nothing."""
    if not isinstance(entry, Mapping):
        return values(entry)
    idle = ("low", "high") if entry.get("choices") else ()
    return values({key: value for key, value in entry.items() if key not in idle and not unset(value)})


def values(content: Any) -> str:
    """A value in a line, with all its digits."""
    if isinstance(content, Mapping):
        return ", ".join(f"{key} {values(value)}" for key, value in content.items())
    if isinstance(content, list):
        return ", ".join(map(values, content)) or MISSING
    return str(content).lower() if isinstance(content, bool) else "null" if content is None else str(content)


def unset(value: Any) -> bool:
    """Whether a parameter leaves this out; 0 is a value."""
    return value is None or value is False or (isinstance(value, list | dict) and not value)
