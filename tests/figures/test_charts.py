"""Charts are SVG that a page can colour, with words, of plain numbers."""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from smart_tuner.figures import charts, svg
from smart_tuner.figures.charts import Bar, Curve, Dots, Role, Shape
from smart_tuner.figures.scales import Scale, format_number

LOSS = Scale(label="validation.loss", low=0.3, high=1.0)
RATE = Scale(label="learning_rate", low=1e-4, high=1e-2, log=True)
SPACE = "{http://www.w3.org/2000/svg}"


def dots(name: str, shape: Shape, *points: tuple[float, float]) -> Dots:
    return Dots(name=name, shape=shape, points=points, words=[f"{name} {place}" for place in range(len(points))])


def slices() -> str:
    groups = [
        dots("stopped", "stopped", (1e-3, 0.9), (2e-3, 0.8), (3e-3, 0.7)),
        dots("complete", "complete", (2e-4, 0.5), (1e-3, 0.4)),
        dots("best", "ring", (1e-3, 0.4)),
    ]
    return charts.draw_dots(groups, RATE, LOSS, label="loss & rate")


def curves(*roles: Role) -> str:
    lines = [Curve(name=f"run {role}", role=role, points=[(0, 1.0), (100, 0.5)]) for role in roles]
    x = Scale(label="utterances seen", low=0, high=100)
    return charts.draw_lines(lines, x, LOSS, label="curves", kinds={"other": "the others"})


def bars() -> str:
    shares = [Bar(name="batch_size", value=0.7, low=0.5, high=0.8), Bar(name="r", value=0.3, low=0.2, high=0.5)]
    return charts.draw_bars(shares, label="importance", axis="share")


DRAWN: list[Callable[[], str]] = [slices, lambda: curves("other", "baseline", "best"), bars]


def marked(text: str, title: str) -> Element:
    """What the pointer shows a title for."""
    return next(
        element for element in ElementTree.fromstring(text).iter() if element.findtext(f"{SPACE}title") == title
    )


def texts(text: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(text).iter(f"{SPACE}text")]


def places(element: Element) -> list[tuple[float, float]]:
    """The points of a line."""
    path = element if element.tag.endswith("path") else element.find(f".//{SPACE}path")
    assert path is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attrib["d"])]


@pytest.mark.parametrize("draw", DRAWN)
def test_a_chart_is_an_element_that_stands_alone(draw: Callable[[], str]) -> None:
    text = draw()
    root = ElementTree.fromstring(text)
    assert text.startswith("<svg ")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    assert root.attrib["viewBox"].startswith("0 0 374.4 ")
    assert not {"width", "height"} & set(root.attrib)
    assert not re.search(r"<metadata|<style|<script|https?://(?!www.w3.org/2000/svg)|font-family|DejaVu", text)


@pytest.mark.parametrize("draw", DRAWN)
def test_all_colours_are_the_pages_variables(draw: Callable[[], str]) -> None:
    text = draw()
    assert not re.search(r"(?<!url\()#[0-9a-f]{6}\b(?!\")|rgb\(", re.sub(r'href="#[^"]*"', "", text))
    used = set(re.findall(r"(?:fill|stroke):([^;\"]+)", text))
    assert used <= {*svg.VARIABLES.values(), "none", "var(--paper,Canvas)"}
    assert "var(--ink)" in used


def ids(text: str) -> set[str]:
    return set(re.findall(r' id="([^"]+)"', text))


def test_the_same_numbers_give_the_same_text_and_other_charts_have_other_ids() -> None:
    first, again, other = slices(), slices(), curves("other", "best")
    assert first == again
    assert ids(first)
    assert not ids(first) & ids(other)
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', first)) == ids(first), "every id is used, every use has its id"
    twins = [charts.draw_dots([dots("a", "complete", (2e-3, 0.5))], RATE, LOSS, label=label) for label in ("A", "B")]
    assert not ids(twins[0]) & ids(twins[1]), "of two studies"


def test_every_mark_has_its_words_at_its_place_and_the_best_is_ringed() -> None:
    text = slices()
    first, second = (marked(text, f"complete {place}") for place in range(2))
    assert float(first.attrib["x"]) < float(second.attrib["x"]), "a lower rate is further left"
    assert float(first.attrib["y"]) < float(second.attrib["y"]), "a higher loss is further up"
    stopped, best = marked(text, "stopped 2"), marked(text, "best 0")
    assert len({mark.attrib["href"] for mark in (stopped, first, best)}) == 3, "kinds differ in shape"
    assert [best.attrib[axis] for axis in "xy"] == [second.attrib[axis] for axis in "xy"]


def test_steps_keep_each_value_until_the_next_and_are_named() -> None:
    x = Scale(label="x", low=0, high=10)
    group, steps = dots("a", "complete", (2, 0.8), (6, 0.4)), [(2.0, 0.8), (6.0, 0.4), (10.0, 0.4)]
    text = charts.draw_dots([group], x, LOSS, label="c", steps=steps, steps_name="best so far")
    line = places(marked(text, "best so far"))
    first, second = (tuple(float(marked(text, f"a {place}").attrib[axis]) for axis in "xy") for place in range(2))
    assert line[0] == pytest.approx(first, abs=0.2)
    assert line[1] == pytest.approx((second[0], first[1]), abs=0.2), "as high as before, up to the next"
    assert line[2] == pytest.approx(second, abs=0.2)
    assert line[3][1] == line[2][1]
    assert "best so far" in texts(text)


def test_a_logarithmic_axis_spaces_powers_evenly() -> None:
    points = [(1e-4, 0.5), (1e-3, 0.5), (1e-2, 0.5)]
    text = charts.draw_dots([dots("a", "complete", *points)], RATE, LOSS, label="x")
    xs = [float(marked(text, f"a {place}").attrib["x"]) for place in range(3)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert {"0.0001", "0.001", "0.01"} <= set(texts(text)), "plain numbers, no powers"


def test_lines_that_stand_out_differ_in_thickness_and_dashes() -> None:
    text = curves("other", "baseline", "best")
    paths = [marked(text, f"run {role}").find(f".//{SPACE}path") for role in ("best", "baseline", "other")]
    styles = [
        dict(part.split(":", 1) for part in path.attrib["style"].split(";")) for path in paths if path is not None
    ]
    best, baseline, other = (float(style["stroke-width"]) for style in styles)
    assert best > baseline > other
    assert ["stroke-dasharray" in style for style in styles] == [False, True, False]
    assert styles[0]["stroke"] == "var(--best)"


def test_the_legend_names_what_stands_out_and_the_others_together() -> None:
    assert {"run best", "run baseline", "the others"} <= set(texts(curves("other", "other", "baseline", "best")))
    assert "run other" not in texts(curves("other"))


def test_the_raw_line_stays_below_the_smoothed_one() -> None:
    raw = [(float(x), 0.5 + 0.1 * (x % 2)) for x in range(101)]
    curve = Curve(name="smooth", role="best", points=[(0, 0.55), (100, 0.55)], raw=raw)
    text = charts.draw_lines([curve], Scale(label="x", low=0, high=100), LOSS, label="c", kinds={})
    paths = ElementTree.fromstring(text).iter(f"{SPACE}path")
    below, above, *_ = (path for path in paths if "--best" in path.get("style", ""))
    assert len(places(below)) > 50, "what is drawn first lies below"
    assert "opacity:0.4" in below.attrib["style"]
    assert len(places(above)) == 2


def test_a_limit_is_a_level_line_with_its_name() -> None:
    x = Scale(label="x", low=0, high=10)
    curve = Curve(name="c", role="best", points=[(0, 0.4), (10, 0.9)])
    text = charts.draw_lines([curve], x, LOSS, label="c", kinds={}, limits={0.5: "good above 0.5"})
    assert "good above 0.5" in texts(text)
    paths = ElementTree.fromstring(text).iter(f"{SPACE}path")
    line = next(element for element in paths if "--sick" in element.get("style", ""))
    (_, first), (_, last) = places(line)
    assert first == last


def test_bars_are_as_long_as_their_shares() -> None:
    widths = []
    for words in ("batch_size: 70% (50% – 80%)", "r: 30% (20% – 50%)"):
        xs = [x for x, _ in places(marked(bars(), words))]
        widths.append(max(xs) - min(xs))
    assert widths[0] / widths[1] == pytest.approx(7 / 3, rel=0.01)


def test_sixty_curves_of_three_hundred_points_are_all_drawn_and_stay_small() -> None:
    lines = [
        Curve(name=f"trial-{place:04d}", role="other", points=[(x, 0.3 + (x * place) % 61 / 100) for x in range(300)])
        for place in range(60)
    ]
    text = charts.draw_lines(lines, Scale(label="x", low=0, high=300), LOSS, label="c", kinds={"other": "others"})
    assert len(places(marked(text, "trial-0059"))) > 10
    assert text.count("<title>") == 60
    assert len(text) < 250_000


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale(label="", low=0, high=10), [0, 2, 4, 6, 8, 10]),
        (Scale(label="", low=1e-4, high=1e-2, log=True), [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]),
        (Scale(label="", low=8, high=64, log=True), [10, 20, 30, 50]),
        (Scale(label="", low=0.11, high=0.14, log=True), [0.11, 0.12, 0.13, 0.14]),
        (Scale(label="", low=8, high=64, log=True, marks=(8, 16, 64)), [8, 16, 64]),
        (Scale(label="", low=-0.5, high=1.5, choices=("a", "b")), [0, 1]),
    ],
)
def test_ticks_are_round_and_few(scale: Scale, expected: Sequence[float]) -> None:
    assert scale.ticks(5) == pytest.approx(expected)


def test_numbers_are_written_plainly() -> None:
    shown = [format_number(value) for value in (0.0, 0.0005, 1e-5, 2.5, 20_000.0, 2e7, -3.0)]
    assert shown == ["0", "0.0005", "1e-05", "2.5", "20\N{NARROW NO-BREAK SPACE}000", "2e+07", "-3"]


def test_a_colour_that_the_page_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        svg.restyle("fill: #123456")
