"""An SVG file of matplotlib's, made fit to stand in a page: its colours, words for it, small, ids of its own."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

INK, MUTED, GRID = "#0a0001", "#0a0002", "#0a0003"
BEST, BASELINE, OTHER, SICK = "#0a0004", "#0a0005", "#0a0006", "#0a0007"
VARIABLES = {
    "#000000": "var(--ink)",
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BEST: "var(--best)",
    BASELINE: "var(--baseline)",
    OTHER: "var(--other)",
    SICK: "var(--sick)",
}
"""Colours to draw with, and the page's variables that they become."""
TIP = "tip"
"""Start of the ids (matplotlib's gid) of what has words of its own."""
HALO = "halo"
"""Id of texts that lines run through: the page's ground around their letters keeps them readable."""
AROUND = "paint-order: stroke; stroke: var(--paper,Canvas); stroke-width: 3px"

NUMBER = re.compile(r"-?\d+\.\d+")
COLOUR = re.compile(r"#[0-9a-f]{6}")
UNSEEN = ("stroke-linejoin", "stroke-dashoffset", "stroke-miterlimit", "stroke-linecap", "font-family")
"""Parts of a style that change nothing that is seen, and the font, which is the page's."""


def fit_into_page(text: str, label: str, tips: Mapping[str, Sequence[str]]) -> str:
    """The <svg> element: label says what it is; tips holds, by id, the words for a line or for each of some marks.

    Colours are those of VARIABLES alone. Ids are unique in a page of any charts, for they hold the content's digest.
    """
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for element in root.iter():
        if element.get("id") == HALO:
            surround_text(element)
        elif element.get("id", "").startswith(TIP):
            element.set("words", element.attrib.pop("id"))
    # before the numbers are shortened: the digest is that of all that was drawn
    rename_ids(root, "c" + hashlib.sha256(f"{label}{text}".encode()).hexdigest()[:8])
    # children before their parents: a group that has become empty goes too
    for element in reversed(list(root.iter())):
        shorten_numbers(element)
        element[:] = [kept for child in element for kept in keep_needed(child)]
        share_style(element)
    for element in list(root.iter()):
        if "words" in element.attrib:
            name_marks(element, tips[element.attrib.pop("words")])
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": root.attrib["viewBox"], "role": "img"}
    root.attrib = {**attributes, "aria-label": label}
    return ElementTree.tostring(root, "unicode")


def surround_text(group: Element) -> None:
    """Keep the lines away from the letters in a group."""
    for element in group.iter("text"):
        element.set("style", f"{element.attrib['style']}; {AROUND}")


def rename_ids(root: Element, digest: str) -> None:
    """Keep the ids that something refers to, with the digest; drop the others."""
    used = {name for element in root.iter() for name in find_references(element)}
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name in used:
            element.set("id", f"{digest}{name}")
        for key, value in element.attrib.items():
            if key == "href":
                element.set(key, f"#{digest}{value[1:]}")
            elif value.startswith("url(#"):
                element.set(key, f"url(#{digest}{value[5:]}")


def find_references(element: Element) -> Iterator[str]:
    """Ids that an element refers to."""
    for key, value in element.attrib.items():
        if key == "href":
            yield value[1:]
        elif value.startswith("url(#"):
            yield value[5:-1]


def keep_needed(child: Element) -> list[Element]:
    """An element, or in place of a group that says nothing its children; nothing for metadata and style sheets."""
    if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
        return []
    return list(child) if child.tag == "g" and not child.attrib else [child]


def share_style(group: Element) -> None:
    """Say the style of a group of equal marks once."""
    marks = [child for child in group if child.tag == "use"]
    styles = {mark.get("style") for mark in marks}
    if group.tag == "g" and len(marks) == len(group) > 1 and len(styles) == 1 and "style" not in group.attrib:
        group.set("style", marks[0].attrib["style"])
        for mark in marks:
            del mark.attrib["style"]


def name_marks(group: Element, words: Sequence[str]) -> None:
    """Say what a line is, or each of some marks: browsers show a <title> when the pointer rests on it."""
    marks = [element for element in group.iter() if element.tag == "use"]
    for element, word in zip(marks or [group], words, strict=True):
        title = Element("title")
        title.text = word
        element.insert(0, title)


def shorten_numbers(element: Element) -> None:
    """Numbers to a tenth of a point (in marks, which are small, to a hundredth); no white space between elements."""
    digits = 2 if element.tag == "path" and "id" in element.attrib else 1
    for key in ("d", "x", "y", "transform"):
        if key in element.attrib:
            element.set(key, round_numbers(element.attrib[key], digits))
    if "d" in element.attrib:
        element.set("d", re.sub(r"\s*([A-Za-z])\s*", r"\1", element.attrib["d"]).strip())
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "style" in element.attrib:
        element.set("style", restyle(element.attrib["style"]))
    if element.tag != "text":
        element.text = None
    element.tail = None


def round_numbers(text: str, digits: int) -> str:
    """The numbers in a text, shorter."""
    return NUMBER.sub(lambda found: f"{round(float(found[0]), digits) + 0.0:.12g}", text)


def restyle(style: str) -> str:
    """A style in the page's colours and font. Raises KeyError for a colour that the page does not have."""
    parts = (part.strip().split(": ", 1) for part in style.split(";") if part.strip())
    kept = {key: value for key, value in parts if key not in UNSEEN}
    return ";".join(f"{key}:{COLOUR.sub(lambda found: VARIABLES[found[0]], value)}" for key, value in kept.items())
