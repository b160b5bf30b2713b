"""Charts as SVG made on the server: pure functions over dataclasses, no styles, each with a table that says the same.

Across, positions are per cent; down, they are pixels: a chart fills any width and its text keeps its size. Every
chart starts at zero and has four grid lines. Colours come from the classes series-1 … series-6 and series-other.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from math import ceil
from zlib import crc32

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from superagent.foundation.templatetags.formats import compact, quantity

Number = int | Decimal
Format = Callable[[Number], str]

GRID_LINES = 4
MOST_SERIES = 6
_MOST_LABELS = 8
_BAR_SHARE = 0.66
_WIDEST_BAR = 5.0
_TOP = 10
_LABELS_BELOW = 24
_STEPS = tuple(Decimal(step) for step in ("1", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10"))


@dataclass(frozen=True, slots=True)
class Bucket:
    """One place on the axis. `label` is short (12 Sep), `title` says it in full for the tool tip and the table."""

    label: str
    title: str
    href: str = ""
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each bucket; None where nothing is known (lines break there)."""

    label: str
    values: tuple[Number | None, ...]
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What bars and lines share. `axis_format` writes ticks, `exact_format` tool tips and the table."""

    title: str
    description: str
    buckets: tuple[Bucket, ...]
    unit: str = ""
    bucket_heading: str = ""
    height: int = 200
    axis_format: Format = compact
    exact_format: Format = quantity
    is_whole: bool = True  # ticks are never parts of one


@dataclass(frozen=True, slots=True)
class LegendEntry:
    label: str
    css: str


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    totals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart for templates/components/chart.html."""

    title: str
    svg: SafeString
    legend: tuple[LegendEntry, ...]
    has_previous: bool
    table: Table


@dataclass(frozen=True, slots=True)
class Sparkline:
    svg: SafeString


def bars(
    axes: Axes,
    series: Sequence[Series],
    *,
    previous: Sequence[Number | None] = (),
    limit: Number | None = None,
    limit_label: str = "",
) -> Drawing:
    """Stacked bars. `previous` is the total of each bucket one period ago; `limit` is a line across."""
    drawn = leading(series)
    stacks = [_sum(entry.values[index] for entry in drawn) for index in range(len(axes.buckets))]
    scale = _Scale.over([*stacks, *previous, limit], axes)
    slot = 100 / max(len(axes.buckets), 1)
    width = min(slot * _BAR_SHARE, _WIDEST_BAR)
    parts = []
    for index, bucket in enumerate(axes.buckets):
        left = slot * index + (slot - width) / 2
        parts += _stack(drawn, index, left, width, scale)
        if bucket.is_running and stacks[index]:
            parts.append(_hatched(axes, left, width, scale.y(stacks[index]), scale))
    return _drawing(axes, drawn, scale, parts, previous, limit, limit_label)


def lines(
    axes: Axes,
    series: Sequence[Series],
    *,
    previous: Sequence[Number | None] = (),
    limit: Number | None = None,
    limit_label: str = "",
) -> Drawing:
    """Lines; a single one has a shaded area. The part that is still running is dashed by the hatch of its bucket."""
    drawn = leading(series)
    scale = _Scale.over([value for entry in drawn for value in entry.values] + [*previous, limit], axes)
    paths = []
    for number, entry in enumerate(drawn, start=1):
        css = _css(entry, number)
        for points in _runs(entry.values, scale):
            path = "M" + "L".join(f"{x:.2f} {y:.1f}" for x, y in points)
            if len(drawn) == 1 and len(points) > 1:
                area = f"{path}L{points[-1][0]:.2f} {scale.bottom}L{points[0][0]:.2f} {scale.bottom}Z"
                paths.append(format_html('<path class="chart-area {}" d="{}"/>', css, area))
            paths.append(format_html('<path class="chart-line {}" d="{}"/>', css, path))
    parts = [_stretched(paths, scale)]
    for number, entry in enumerate(drawn, start=1):
        parts += _last_point(entry, _css(entry, number), scale)
    return _drawing(axes, drawn, scale, parts, previous, limit, limit_label)


def sparkline(values: Sequence[Number], label: str) -> Sparkline:
    """A line without axes for a metric card; `label` says in words what it shows."""
    if not values:
        return Sparkline(SafeString(""))
    top = max(*values, 1)
    step = 100 / max(len(values) - 1, 1)
    points = [(index * step, 30 - float(value) / float(top) * 28) for index, value in enumerate(values)]
    path = "M" + "L".join(f"{x:.2f} {y:.1f}" for x, y in points)
    return Sparkline(
        format_html(
            '<svg class="sparkline" role="img" aria-label="{}" viewBox="0 0 100 32" preserveAspectRatio="none" '
            'focusable="false"><path class="chart-area series-1" d="{}L100 32L0 32Z"/>'
            '<path class="chart-line series-1" d="{}"/></svg>',
            label,
            path,
            path,
        )
    )


def leading(series: Sequence[Series], keep: int = MOST_SERIES - 1) -> list[Series]:
    """The `keep` largest in their order and the others added up as "Other"; nothing changes when they all fit."""
    if len(series) <= min(keep + 1, MOST_SERIES) and not any(entry.is_rest for entry in series):
        return list(series)
    ranked = sorted((entry for entry in series if not entry.is_rest), key=lambda entry: -_sum(entry.values))
    kept = ranked[:keep]
    rest = [entry for entry in series if entry not in kept]
    if not rest:
        return list(series)
    sums = tuple(_sum(values) for values in zip(*(entry.values for entry in rest), strict=True))
    return [entry for entry in series if entry in kept] + [Series(_("Other"), sums, is_rest=True)]


def nice_ticks(highest: Number, *, is_whole: bool = True) -> list[Decimal]:
    """Zero and four round steps that reach `highest`."""
    needed = Decimal(highest) / GRID_LINES
    if needed <= 0:
        needed = Decimal(1) if is_whole else Decimal("0.25")
    magnitude = Decimal(1).scaleb(needed.adjusted())
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor >= needed)
    if is_whole:
        step = step.to_integral_value(ROUND_CEILING)
    return [step * index for index in range(GRID_LINES + 1)]


@dataclass(frozen=True, slots=True)
class _Scale:
    ticks: tuple[Decimal, ...]
    bottom: int

    @classmethod
    def over(cls, values: Sequence[Number | None], axes: Axes) -> "_Scale":
        highest = max((value for value in values if value is not None), default=0)
        return cls(tuple(nice_ticks(highest, is_whole=axes.is_whole)), _TOP + axes.height)

    def y(self, value: Number) -> float:
        return self.bottom - float(Decimal(value) / self.ticks[-1]) * (self.bottom - _TOP)


def _drawing(
    axes: Axes,
    drawn: list[Series],
    scale: _Scale,
    parts: list[SafeString],
    previous: Sequence[Number | None],
    limit: Number | None,
    limit_label: str,
) -> Drawing:
    extra = [_previous(previous, scale)] if previous else []
    if limit is not None:
        extra.append(_limit(limit, limit_label, scale))
    key = _key(axes)
    svg = format_html(
        '<svg class="chart-svg" height="{}" width="100%" focusable="false">{}'
        '<g role="img" aria-labelledby="{}-title {}-text"><title id="{}-title">{}</title><desc id="{}-text">{}</desc>'
        "{}{}{}{}</g><g>{}</g></svg>",
        scale.bottom + _LABELS_BELOW,
        _hatch_pattern(key),
        key,
        key,
        key,
        axes.title,
        key,
        axes.description,
        _grid(axes, scale),
        _joined(parts),
        _joined(extra),
        _labels(axes, scale),
        _hits(axes, drawn, previous, scale),
    )
    legend = tuple(
        LegendEntry(entry.label, _css(entry, number)) for number, entry in enumerate(drawn, start=1)
    )
    return Drawing(axes.title, svg, legend, bool(previous), _table(axes, drawn, previous))


def _stack(drawn: list[Series], index: int, left: float, width: float, scale: _Scale) -> list[SafeString]:
    """The segments of one bar from the base up, one pixel of surface between them."""
    parts = []
    below = Decimal(0)
    for number, entry in enumerate(drawn, start=1):
        value = entry.values[index]
        if not value:
            continue
        start, end = scale.y(below), scale.y(below + value)
        gap = 1 if below else 0
        parts.append(
            format_html(
                '<rect class="chart-bar {}" x="{}%" y="{}" width="{}%" height="{}" rx="2"/>',
                _css(entry, number),
                f"{left:.3f}",
                f"{end:.1f}",
                f"{width:.3f}",
                f"{max(start - end - gap, 1):.1f}",
            )
        )
        below += value
    return parts


def _hatched(axes: Axes, left: float, width: float, top: float, scale: _Scale) -> SafeString:
    return format_html(
        '<rect x="{}%" y="{}" width="{}%" height="{}" fill="url(#{}-hatch)"/>',
        f"{left:.3f}",
        f"{top:.1f}",
        f"{width:.3f}",
        f"{scale.bottom - top:.1f}",
        _key(axes),
    )


def _hatch_pattern(key: str) -> SafeString:
    return format_html(
        '<defs><pattern id="{}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path class="chart-hatch" d="M0 0v6"/></pattern></defs>',
        key,
    )


def _grid(axes: Axes, scale: _Scale) -> SafeString:
    lines_and_labels = []
    for tick in scale.ticks:
        y = round(scale.y(tick)) + 0.5
        css = "chart-grid" if tick else "chart-base"
        unit = f" {axes.unit}" if axes.unit and tick == scale.ticks[-1] and len(axes.unit) <= 3 else ""
        lines_and_labels.append(
            format_html(
                '<line class="{}" x1="0" x2="100%" y1="{}" y2="{}"/><text x="-8" y="{}" text-anchor="end">{}{}</text>',
                css,
                y,
                y,
                y + 3.5,
                axes.axis_format(tick),
                unit,
            )
        )
    return _joined(lines_and_labels)


def _labels(axes: Axes, scale: _Scale) -> SafeString:
    """At most eight names below the axis, a third of them on phones."""
    count = len(axes.buckets)
    every = max(ceil(count / _MOST_LABELS), 1)
    slot = 100 / max(count, 1)
    texts = []
    for number, index in enumerate(range(0, count, every)):
        css = "" if number % 3 == 0 else "x-minor"
        anchor = "start" if index == 0 and count > _MOST_LABELS else "middle"
        x = slot * index if anchor == "start" else slot * (index + 0.5)
        texts.append(
            format_html(
                '<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>',
                css,
                f"{x:.3f}",
                scale.bottom + 18,
                anchor,
                axes.buckets[index].label,
            )
        )
    return _joined(texts)


def _previous(previous: Sequence[Number | None], scale: _Scale) -> SafeString:
    paths = []
    for points in _runs(tuple(previous), scale):
        path = "M" + "L".join(f"{x:.2f} {y:.1f}" for x, y in points)
        paths.append(format_html('<path class="chart-previous" d="{}"/>', path))
    return _stretched(paths, scale)


def _limit(limit: Number, label: str, scale: _Scale) -> SafeString:
    y = round(scale.y(limit)) + 0.5
    return format_html(
        '<line class="chart-limit" x1="0" x2="100%" y1="{}" y2="{}"/>'
        '<text class="chart-limit-label" x="100%" y="{}" text-anchor="end">{}</text>',
        y,
        y,
        y - 4,
        label,
    )


def _stretched(paths: list[SafeString], scale: _Scale) -> SafeString:
    """Paths in a box that is 100 wide and stretches with the chart; strokes keep their width."""
    return format_html(
        '<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 100 {}" preserveAspectRatio="none">{}</svg>',
        scale.bottom,
        scale.bottom,
        _joined(paths),
    )


def _runs(values: tuple[Number | None, ...], scale: _Scale) -> list[list[tuple[float, float]]]:
    """Points without a hole between them, at the middle of their buckets."""
    slot = 100 / max(len(values), 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((slot * (index + 0.5), scale.y(value)))
    return [run for run in runs if run]


def _last_point(entry: Series, css: str, scale: _Scale) -> list[SafeString]:
    known = [(index, value) for index, value in enumerate(entry.values) if value is not None]
    if not known:
        return []
    index, value = known[-1]
    x = 100 / len(entry.values) * (index + 0.5)
    return [
        format_html('<circle class="{}" cx="{}%" cy="{}" r="3"/>', css, f"{x:.3f}", f"{scale.y(value):.1f}")
    ]


def _hits(axes: Axes, drawn: list[Series], previous: Sequence[Number | None], scale: _Scale) -> SafeString:
    """A column over each bucket for pointer and keyboard; it carries the words of the tool tip."""
    slot = 100 / max(len(axes.buckets), 1)
    columns = []
    for index, bucket in enumerate(axes.buckets):
        shown = _tip_lines(axes, drawn, previous, index)
        running = (
            _("{title}, still running").format(title=bucket.title) if bucket.is_running else bucket.title
        )
        words = f"{running}: " + ", ".join(f"{label} {value}" for _css_name, label, value in shown)
        rect = format_html(
            '<rect class="chart-hit" x="{}%" y="{}" width="{}%" height="{}" rx="3" data-chart-tip="{}"',
            f"{slot * index:.3f}",
            _TOP - 4,
            f"{slot:.3f}",
            scale.bottom - _TOP + 4,
            json.dumps({"title": running, "lines": shown}, ensure_ascii=False),
        )
        if bucket.href:
            columns.append(format_html('<a href="{}" aria-label="{}">{}/></a>', bucket.href, words, rect))
        else:
            columns.append(format_html('{} tabindex="0" role="img" aria-label="{}"/>', rect, words))
    return _joined(columns)


def _tip_lines(
    axes: Axes, drawn: list[Series], previous: Sequence[Number | None], index: int
) -> list[tuple[str, str, str]]:
    shown = []
    for number, entry in enumerate(drawn, start=1):
        value = entry.values[index]
        if value or len(drawn) == 1:
            shown.append((_css(entry, number), entry.label, _exact(axes, value)))
    if len(shown) > 1:
        shown.append(("", _("Total"), _exact(axes, _sum(entry.values[index] for entry in drawn))))
    if not shown:
        shown.append(("", _("Total"), _exact(axes, 0)))
    if index < len(previous):
        shown.append(("", _("Previous period"), _exact(axes, previous[index])))
    return shown


def _table(axes: Axes, drawn: list[Series], previous: Sequence[Number | None]) -> Table:
    has_total = len(drawn) > 1
    unit = f" ({axes.unit})" if axes.unit else ""
    headings = [axes.bucket_heading or _("Period"), *(entry.label + unit for entry in drawn)]
    headings += ([_("Total")] if has_total else []) + ([_("Previous period")] if previous else [])
    rows = []
    for index, bucket in enumerate(axes.buckets):
        values = [entry.values[index] for entry in drawn]
        cells = [_exact(axes, value) for value in values]
        if has_total:
            cells.append(_exact(axes, _sum(values)))
        if previous:
            cells.append(_exact(axes, previous[index] if index < len(previous) else None))
        rows.append(Row(bucket.title, tuple(cells)))
    sums = [_sum(entry.values) for entry in drawn]
    totals = [*sums, *([_sum(sums)] if has_total else []), *([_sum(previous)] if previous else [])]
    return Table(tuple(headings), tuple(rows), tuple(axes.exact_format(value) for value in totals))


def _exact(axes: Axes, value: Number | None) -> str:
    return "\N{EN DASH}" if value is None else axes.exact_format(value)


def _css(entry: Series, number: int) -> str:
    return "series-other" if entry.is_rest else f"series-{number}"


def _key(axes: Axes) -> str:
    """Stable and unique on a page as long as titles are."""
    return f"chart-{crc32(axes.title.encode()):08x}"


def _sum(values: Iterable[Number | None]) -> Number:
    return sum((value for value in values if value is not None), start=0)


def _joined(parts: Sequence[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
