"""Charts: what is plotted adds up, is well-formed SVG, and has nothing of anybody's text in it as markup."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.distributions import BINS, Bins, Distributions, bin_width
from gateway.web.charts import Chart, Column, Segment, draw, draw_parts
from gateway.web.plots import COLUMNS, arrivals_plot, clock_ticks, compact, even_ticks, latency_plot, level, merged

SPREAD = {"p50": 230.0, "p95": 255.0, "mean": 233.0, "max": 900.0}
COUNTS = st.dictionaries(st.integers(0, BINS), st.integers(1, 10**6), min_size=1)


def rects(svg: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg).iter("rect")]


@given(COUNTS)
def test_every_latency_is_in_a_column(counts: dict[int, int]) -> None:
    plot = latency_plot(Bins(1.0, counts), SPREAD)
    assert plot
    assert sum(int(row[1].replace(",", "")) for row in plot.rows) == sum(counts.values())
    drawn = rects(plot.svg)
    assert len(drawn) == len(plot.rows) <= COLUMNS + 1
    for rect in drawn:
        left, width = (float(rect[name].rstrip("%")) for name in ("x", "width"))
        assert 0 <= left < left + width <= 100


def test_nothing_measured_is_no_plot() -> None:
    assert latency_plot(Bins(1.0), None) is None
    assert arrivals_plot(Distributions(Bins(1.0), Bins(1.0), Bins(1.0), 0, [])) is None


def test_throughput_says_what_failed() -> None:
    found = Distributions(Bins(1.0), Bins(0.5, {0: 10, 1: 20, 9: 5}), Bins(0.5, {1: 4}), 0, [])
    plot = arrivals_plot(found)
    assert plot
    assert plot.rows[:2] == [("0\u00a0s to 0.5\u00a0s", "20.0", "0.00"), ("0.5\u00a0s to 1\u00a0s", "40.0", "8.00")]
    assert [title for _, title in plot.legend] == ["Answered", "Failed"]
    assert "39 results came in within 5.0\u00a0s, at most 48.0 a second" in plot.svg


def test_texts_in_a_chart_are_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    chart = Chart("x", hostile, hostile, [Column(0, 1, (1,), hostile)], ("c",), 0, 1, 1, [(0, hostile)], [(1, hostile)])
    svg = draw(chart)
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_parts_fill_the_bar_and_none_is_invisible() -> None:
    drawn = rects(draw_parts([Segment("a", "A", 999_999), Segment("b", "B", 1), Segment("c", "C", 0)]))
    widths = [float(rect["width"].rstrip("%")) for rect in drawn]
    assert len(widths) == 2
    assert sum(widths) == pytest.approx(100, abs=0.01)
    assert min(widths) > 0.4
    assert rects(draw_parts([Segment("a", "A", 0)])) == []


@given(st.sets(st.integers(0, BINS), min_size=1))
def test_columns_cover_all_bins(bins: set[int]) -> None:
    step, columns = merged(dict.fromkeys(bins, 1), COLUMNS)
    assert len(columns) <= COLUMNS
    assert {at // step for at in bins} <= set(columns)


@given(st.floats(0.001, 1e9))
def test_scales_hold_what_they_show(value: float) -> None:
    top, levels = level(value)
    assert value <= top * 1.001 <= value * 2.6
    assert len(levels) == 2
    assert bin_width(value) * BINS >= value
    assert 1 <= len(even_ticks(0, value, 5)) <= 7
    assert 1 <= len(clock_ticks(value)) <= 7


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (40, "40"), (1200, "1.2k"), (2_500_000, "2.5M")])
def test_levels_are_short(value: float, text: str) -> None:
    assert compact(value) == text
