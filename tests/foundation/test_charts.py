import json
import re
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superagent.foundation import charts
from superagent.foundation.charts.scales import Scale

SVG = "{http://www.w3.org/2000/svg}"


def axes(count: int, *, href: str = "", running: bool = False, title: str = "Requests") -> charts.Axes:
    buckets = tuple(
        charts.Bucket(f"{n} Sep", f"{n} September", href=href, is_running=running and n == count)
        for n in range(1, count + 1)
    )
    return charts.Axes(title=title, description="By day.", buckets=buckets, bucket_heading="Day")


def parsed(drawing: charts.Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(drawing.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def with_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1, 2, 3, 4]),
        (3, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6, 8]),
        (100, [0, 25, 50, 75, 100]),
        (101, [0, 30, 60, 90, 120]),
        (2600, [0, 800, 1600, 2400, 3200]),
    ],
)
def test_ticks_are_round_and_whole(highest: int, expected: list[int]) -> None:
    assert charts.nice_ticks(highest) == expected


def test_ticks_may_be_parts_of_one_when_values_are_rates() -> None:
    assert charts.nice_ticks(Decimal("0.9"), is_whole=False) == [
        Decimal(0), Decimal("0.25"), Decimal("0.50"), Decimal("0.75"), Decimal("1.00"),
    ]  # fmt: skip


@given(st.integers(min_value=0, max_value=10**15))
def test_ticks_start_at_zero_and_reach_the_highest_value(highest: int) -> None:
    ticks = charts.nice_ticks(highest)
    assert len(ticks) == 5
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert {later - earlier for earlier, later in pairwise(ticks)} == {ticks[1]}


def test_segments_are_stacked_from_zero_with_a_pixel_between_them() -> None:
    drawing = charts.bars(axes(1), [charts.Series("A", (50,)), charts.Series("B", (50,))])
    lower, upper = with_class(parsed(drawing), "chart-bar")
    assert (float(lower.get("y")), float(lower.get("height"))) == (110.0, 100.0)
    assert (float(upper.get("y")), float(upper.get("height"))) == (10.0, 99.0)
    assert lower.get("class") == "chart-bar series-1"
    assert upper.get("class") == "chart-bar series-2"


def test_the_running_bucket_is_hatched_and_says_so() -> None:
    drawing = charts.bars(axes(3, running=True), [charts.Series("A", (1, 2, 3))])
    root = parsed(drawing)
    hatched = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill", "").startswith("url(#")]
    assert len(hatched) == 1
    assert [hit.get("aria-label") for hit in with_class(root, "chart-hit")] == [
        "1 September: A 1",
        "2 September: A 2",
        "3 September, still running: A 3",
    ]


def test_there_are_four_grid_lines_and_a_base() -> None:
    root = parsed(charts.bars(axes(2), [charts.Series("A", (1, 4))]))
    assert len(with_class(root, "chart-grid")) == 4
    assert len(with_class(root, "chart-base")) == 1


def test_the_largest_five_stay_and_the_others_are_added_up() -> None:
    series = [charts.Series(f"S{n}", (n, n)) for n in range(1, 9)]
    kept = charts.leading(series)
    assert [entry.label for entry in kept] == ["S4", "S5", "S6", "S7", "S8", "Other"]
    assert kept[-1].values == (6, 6)
    drawing = charts.bars(axes(2), series)
    assert drawing.legend[-1].css == "series-other"


def test_six_series_all_stay() -> None:
    series = [charts.Series(f"S{n}", (n,)) for n in range(6)]
    assert charts.leading(series) == series


def test_the_table_says_what_the_bars_say() -> None:
    drawing = charts.bars(
        axes(2), [charts.Series("A", (1000, 2)), charts.Series("B", (3, None))], previous=[7, 8]
    )
    assert [entry.key for entry in drawing.legend] == ["A", "B", "previous"]
    assert drawing.table.headings == ("Day", "A", "B", "Total", "Previous period")
    assert drawing.table.rows == (
        ("1 September", "1,000", "3", "1,003", "7"),
        ("2 September", "2", "–", "2", "8"),
    )
    assert drawing.table.totals == ("1,002", "3", "1,005", "15")


def test_every_bucket_can_be_focused_and_carries_its_tool_tip() -> None:
    drawing = charts.bars(axes(2), [charts.Series("A", (1, 0)), charts.Series("B", (2, 5))])
    first, second = with_class(parsed(drawing), "chart-hit")
    assert first.get("tabindex") == "0"
    assert json.loads(first.get("data-chart-tip")) == {
        "title": "1 September",
        "lines": [["series-1", "A", "1"], ["series-2", "B", "2"], ["", "Total", "3"]],
    }
    assert json.loads(second.get("data-chart-tip"))["lines"] == [["series-2", "B", "5"]]


def test_a_bucket_with_an_address_is_a_link() -> None:
    root = parsed(charts.bars(axes(1, href="/usage?day=1"), [charts.Series("A", (1,))]))
    (link,) = root.iter(f"{SVG}a")
    assert link.get("href") == "/usage?day=1"
    assert link.get("aria-label") == "1 September: A 1"


def test_names_of_others_cannot_break_out_of_the_markup() -> None:
    evil = '"><script>alert(1)</script>'
    drawing = charts.bars(axes(1, title=evil), [charts.Series(evil, (1,))])
    assert "<script" not in drawing.svg
    parsed(drawing)


def test_the_line_of_the_time_before_breaks_where_nothing_is_known() -> None:
    root = parsed(charts.bars(axes(5), [charts.Series("A", (1, 2, 3, 4, 5))], previous=[1, 2, None, 4, 5]))
    assert len(with_class(root, "chart-previous")) == 2


def test_at_most_eight_names_stand_below_the_axis() -> None:
    svg = charts.bars(axes(31), [charts.Series("A", tuple(range(31)))]).svg
    assert len(re.findall(r">\d+ Sep<", svg)) == 8


def test_nothing_is_drawn_with_inline_styles() -> None:
    drawing = charts.bars(axes(3, running=True), [charts.Series("A", (1, 2, 3))], previous=[1, 1, 1])
    spark = charts.sparkline([1, 2, 3], "Three days")
    assert "style=" not in drawing.svg + spark.svg


def test_a_chart_without_data_is_a_chart_of_zero() -> None:
    drawing = charts.bars(axes(3), [charts.Series("A", (0, 0, 0))])
    assert with_class(parsed(drawing), "chart-bar") == []
    assert drawing.table.totals == ("0",)
    assert charts.sparkline([], "Nothing").svg == ""


def test_parts_of_the_picture_are_tied_to_their_title() -> None:
    root = parsed(charts.bars(axes(1), [charts.Series("A", (1,))]))
    (picture,) = [group for group in root.iter(f"{SVG}g") if group.get("role") == "img"]
    ids = {element.get("id"): element.text for element in picture if element.get("id")}
    assert [ids[name] for name in picture.get("aria-labelledby").split()] == ["Requests", "By day."]


def test_the_scale_puts_zero_at_the_bottom_and_the_last_tick_on_top() -> None:
    scale = Scale.over([100], axes(1))
    assert scale.y(0) == 210
    assert scale.y(100) == 10
