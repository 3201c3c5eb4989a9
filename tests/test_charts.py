"""Charts are SVG that a page can colour, with words, of plain numbers."""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from smart_tuner.figures import charts, svg
from smart_tuner.figures.charts import Bar, Curve, Dots, Path, Role, Shape
from smart_tuner.figures.scales import Scale, figures

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
    return charts.dots(groups, RATE, LOSS, label="loss & rate")


def curves(*roles: Role) -> str:
    lines = [Curve(name=f"run {role}", role=role, points=[(0, 1.0), (100, 0.5)]) for role in roles]
    x = Scale(label="utterances seen", low=0, high=100)
    return charts.lines(lines, x, LOSS, label="curves", kinds={"other": "the others"})


def crossing() -> str:
    axes = [RATE, Scale(label="schedule", low=0, high=1, choices=("constant", "cosine")), LOSS]
    paths = [
        Path(name="trial-0001", role="other", values=(1e-3, None, 0.5)),
        Path(name="best: trial-0002", role="best", values=(1e-2, 1, 0.3)),
    ]
    return charts.parallel(axes, paths, label="all", kinds={"other": "others"}, absent="not used")


def bars() -> str:
    shares = [Bar(name="batch_size", value=0.7, low=0.5, high=0.8), Bar(name="r", value=0.3, low=0.2, high=0.5)]
    return charts.bars(shares, label="importance", axis="share")


DRAWN: list[Callable[[], str]] = [slices, lambda: curves("other", "median", "baseline", "best"), crossing, bars]


def marked(text: str, title: str) -> Element:
    """What the pointer shows a title for."""
    return next(one for one in ElementTree.fromstring(text).iter() if one.findtext(f"{SPACE}title") == title)


def texts(text: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(text).iter(f"{SPACE}text")]


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


def test_the_same_numbers_give_the_same_text_and_other_charts_have_other_ids() -> None:
    first, again, other = slices(), slices(), crossing()
    assert first == again
    own, others = (set(re.findall(r' id="([^"]+)"', text)) for text in (first, other))
    assert own
    assert not own & others
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', first)) == own, "every id is used, every use has its id"


def test_equal_drawings_of_two_studies_do_not_share_ids() -> None:
    x = Scale(label="x", low=0, high=1)
    one, two = (charts.dots([dots("a", "complete", (0.5, 0.5))], x, LOSS, label=label) for label in ("A", "B"))
    assert not set(re.findall(r' id="([^"]+)"', one)) & set(re.findall(r' id="([^"]+)"', two))


def test_every_mark_has_its_words_at_its_place() -> None:
    first, second = (marked(slices(), f"complete {place}") for place in range(2))
    assert float(first.attrib["x"]) < float(second.attrib["x"]), "a lower rate is further left"
    assert float(first.attrib["y"]) < float(second.attrib["y"]), "a higher loss is further up"
    assert {f"stopped {place}" for place in range(3)} <= set(re.findall(r"<title>([^<]+)", slices()))


def test_kinds_of_trials_differ_in_shape_and_the_best_is_ringed() -> None:
    stopped, complete, best = (marked(slices(), f"{name} 0") for name in ("stopped", "complete", "best"))
    shapes = [one.attrib["href"] for one in (stopped, complete, best)]
    assert len(set(shapes)) == 3
    assert best.attrib["x"], best.attrib["y"] == [marked(slices(), "complete 1").attrib[one] for one in "xy"]


def test_a_logarithmic_axis_spaces_powers_evenly() -> None:
    points = [(1e-4, 0.5), (1e-3, 0.5), (1e-2, 0.5)]
    text = charts.dots([dots("a", "complete", *points)], RATE, LOSS, label="x")
    xs = [float(marked(text, f"a {place}").attrib["x"]) for place in range(3)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert {"0.0001", "0.001", "0.01"} <= set(texts(text)), "plain numbers, no powers"


def test_lines_that_stand_out_differ_in_thickness_and_dashes() -> None:
    text = curves("other", "median", "baseline", "best")
    styles = {}
    for role in ("other", "median", "baseline", "best"):
        path = marked(text, f"run {role}").find(f".//{SPACE}path")
        assert path is not None
        styles[role] = dict(part.split(":", 1) for part in path.attrib["style"].split(";"))
    width = {role: float(style["stroke-width"]) for role, style in styles.items()}
    assert width["best"] > width["baseline"] > width["other"]
    dashes = {role: style.get("stroke-dasharray") for role, style in styles.items()}
    assert dashes["best"] is dashes["other"] is None
    assert dashes["baseline"] != dashes["median"] is not None
    assert styles["best"]["stroke"] == "var(--best)"


def test_the_legend_names_what_stands_out_and_the_others_together() -> None:
    assert {"run best", "run baseline", "the others"} <= set(texts(curves("other", "other", "baseline", "best")))
    assert "run other" not in texts(curves("other"))


def test_the_raw_line_stays_below_the_smoothed_one() -> None:
    raw = [(float(x), 0.5 + 0.1 * (x % 2)) for x in range(101)]
    curve = Curve(name="smooth", role="best", points=[(0, 0.55), (100, 0.55)], raw=raw)
    text = charts.lines([curve], Scale(label="x", low=0, high=100), LOSS, label="c", kinds={})
    drawn = [one for one in ElementTree.fromstring(text).iter(f"{SPACE}path") if len(places(one)) > 50]
    assert len(drawn) == 1
    assert "opacity:0.4" in drawn[0].attrib["style"]
    both = [
        len(places(one))
        for one in ElementTree.fromstring(text).iter(f"{SPACE}path")
        if "--best" in one.get("style", "")
    ]
    assert both[0] > 50, "what is drawn first lies below"
    assert both[1] == 2


def test_a_limit_is_a_level_line_with_its_name() -> None:
    x = Scale(label="x", low=0, high=10)
    curve = Curve(name="c", role="best", points=[(0, 0.4), (10, 0.9)])
    text = charts.lines([curve], x, LOSS, label="c", kinds={}, limits={0.5: "good above 0.5"})
    assert "good above 0.5" in texts(text)
    line = next(one for one in ElementTree.fromstring(text).iter(f"{SPACE}path") if "--sick" in one.get("style", ""))
    (_, first), (_, last) = places(line)
    assert first == last


def test_a_path_crosses_each_axis_at_its_value_and_keeps_left_where_it_has_none() -> None:
    best, other = (places(marked(crossing(), name)) for name in ("best: trial-0002", "trial-0001"))
    assert [y for _, y in best] == sorted(y for _, y in best), "from the first axis down to the objective"
    assert best[0][0] == best[1][0] > best[2][0], "highest rate and last choice, lowest loss"
    assert other[1][0] == best[2][0], "the far left"
    assert {"learning_rate", "constant", "cosine", "not used"} <= set(texts(crossing()))


def test_bars_are_as_long_as_their_shares() -> None:
    widths = []
    for words in ("batch_size: 70% (50% – 80%)", "r: 30% (20% – 50%)"):
        xs = [x for x, _ in places(marked(bars(), words))]
        widths.append(max(xs) - min(xs))
    assert widths[0] / widths[1] == pytest.approx(7 / 3, rel=0.01)


def test_sixty_curves_of_three_hundred_points_stay_small() -> None:
    lines = [
        Curve(name=f"trial-{place:04d}", role="other", points=[(x, 0.3 + (x * place) % 61 / 100) for x in range(300)])
        for place in range(60)
    ]
    text = charts.lines(lines, Scale(label="x", low=0, high=300), LOSS, label="c", kinds={"other": "others"})
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
    shown = [figures(value) for value in (0.0, 0.0005, 1e-5, 2.5, 20_000.0, 2e7, -3.0)]
    assert shown == ["0", "0.0005", "1e-05", "2.5", "20\N{NARROW NO-BREAK SPACE}000", "2e+07", "-3"]


def test_a_colour_that_the_page_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        svg.styled("fill: #123456")
