import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from synthray.evaluate import Figure, Gallery, KeyFigures, LineChart, Paragraph, Section, Series, Table, render_report
from synthray.models import png_bytes
from synthray.page import svg_chart

EVIL = '<script>alert("x")</script> & "quotes"'
PNG = png_bytes(np.zeros((2, 3), np.uint8))


class Tags(HTMLParser):
    """Counts tags and checks that they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.counts = [], {}

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def chart(**changes):
    base = {"series": [Series(EVIL, [0, 1, 2], [1, 4, 9]), Series("b", [0, 2], [2, 3], "dots")]}
    return LineChart(**{**base, "x_label": EVIL, "y_label": "loss", "caption": EVIL, **changes})


def test_every_text_is_escaped_and_tags_are_balanced():
    blocks = [
        Paragraph(f"{EVIL}\n\nsecond"),
        Table([EVIL, "b"], [[EVIL, "1"]], EVIL),
        Figure(PNG, EVIL),
        Gallery([Figure(PNG, EVIL)] * 3),
        KeyFigures([(EVIL, EVIL, EVIL)]),
        chart(),
    ]
    page = render_report(EVIL, EVIL, [Section(EVIL, blocks), Section("two", [])])
    assert "<script" not in page
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.counts["section"] == 2
    assert tags.counts["img"] == 4
    assert tags.counts["p"] == 3


def test_the_page_needs_nothing_from_elsewhere():
    page = render_report("a", "b", [Section("c", [Figure(PNG), chart()])])
    for forbidden in ("http://", "https://", 'src="/', "<link", "@import", "url("):
        assert forbidden not in page


def points(svg, tag="circle"):
    root = ElementTree.fromstring(svg)
    return [(float(e.get("cx")), float(e.get("cy"))) for e in root.iter(tag)]


def test_chart_places_follow_the_values():
    series = Series("a", [0, 5, 10], [0, 0.5, 1], "dots")
    placed = points(svg_chart(LineChart([series], "x", "y", y_range=(0, 1))))
    xs, ys = zip(*placed, strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.02)
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.02)
    assert ys[0] > ys[2]


@pytest.mark.parametrize(
    "series",
    [
        [],
        [Series("none", [], [])],
        [Series("one", [3], [5])],
        [Series("flat", [0, 1], [2, 2])],
        [Series("nan", [0, 1, 2], [1, float("nan"), float("inf")])],
        [Series("tiny", [0, 1e-9], [1e-12, 2e-12])],
        [Series("huge", [1e9, 2e9], [-1e12, 1e12])],
    ],
)
def test_odd_data_still_give_a_chart(series):
    svg = svg_chart(LineChart(series, "x", "y"))
    ElementTree.fromstring(svg)
    assert "nan" not in svg.replace(">nan<", "")
    assert "inf" not in svg
