"""A chart in words: the table beside it and the tooltips of its buckets."""

from collections.abc import Collection, Sequence
from typing import Any

from django.utils.translation import gettext as _

from superagent.foundation.charts.figures import PREVIOUS, Axes, Number, Series, Table
from superagent.foundation.charts.scales import colored, total


def table(axes: Axes, drawn: list[Series], previous: Sequence[Number | None]) -> Table:
    has_total = len(drawn) > 1
    unit = f" ({axes.unit})" if axes.unit else ""
    headings = [axes.bucket_heading or _("Period"), *(entry.label + unit for entry in drawn)]
    headings += ([_("Total")] if has_total else []) + ([_("Previous period")] if previous else [])
    rows = []
    for index, bucket in enumerate(axes.buckets):
        values = [entry.values[index] for entry in drawn]
        cells = [exact(axes, value) for value in values]
        if has_total:
            cells.append(exact(axes, total(values)))
        if previous:
            cells.append(exact(axes, previous[index] if index < len(previous) else None))
        rows.append((bucket.title, *cells))
    sums = [total(entry.values) for entry in drawn]
    sums_of_all = [*sums, *([total(sums)] if has_total else []), *([total(previous)] if previous else [])]
    return Table(tuple(headings), tuple(rows), tuple(axes.exact_format(value) for value in sums_of_all))


def file_rows(
    axes: Axes, series: Sequence[Series], previous: Sequence[Number | None], hidden: Collection[str] = ()
) -> list[list[Any]]:
    """Returns a heading and a row for each bucket, with machine-readable figures, for a CSV file."""
    drawn = [entry for entry in colored(series) if entry.label not in hidden]
    has_previous = bool(previous) and PREVIOUS not in hidden
    rows: list[list[Any]] = [
        ["start", *(entry.label for entry in drawn), *([PREVIOUS] if has_previous else [])]
    ]
    for index, bucket in enumerate(axes.buckets):
        row = [bucket.moment, *(entry.values[index] for entry in drawn)]
        if has_previous:
            row.append(previous[index] if index < len(previous) else None)
        rows.append(row)
    return rows


def tip_lines(
    axes: Axes, drawn: list[Series], previous: Sequence[Number | None], index: int
) -> list[tuple[str, str, str]]:
    shown = []
    for entry in drawn:
        value = entry.values[index]
        if value or len(drawn) == 1:
            shown.append((entry.css, entry.label, exact(axes, value)))
    if len(shown) > 1:
        shown.append(("", _("Total"), exact(axes, total(entry.values[index] for entry in drawn))))
    if not shown:
        shown.append(("", _("Total"), exact(axes, 0)))
    if index < len(previous):
        shown.append(("", _("Previous period"), exact(axes, previous[index])))
    return shown


def exact(axes: Axes, value: Number | None) -> str:
    return "\N{EN DASH}" if value is None else axes.exact_format(value)
