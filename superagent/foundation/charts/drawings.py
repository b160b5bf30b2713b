"""Bars and sparklines as SVG."""

import json
from collections.abc import Collection, Sequence
from decimal import Decimal
from math import ceil
from zlib import crc32

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from superagent.foundation.charts.figures import (
    PREVIOUS,
    Axes,
    Drawing,
    LegendEntry,
    Number,
    Series,
    Sparkline,
)
from superagent.foundation.charts.scales import TOP, Scale, colored, total
from superagent.foundation.charts.tables import table, tip_lines

_MOST_LABELS = 8
_BAR_SHARE = 0.66
_WIDEST_BAR = 5.0
_LABELS_BELOW = 24


def bars(
    axes: Axes,
    series: Sequence[Series],
    *,
    previous: Sequence[Number | None] = (),
    hidden: Collection[str] = (),
) -> Drawing:
    """Returns stacked bars.

    `previous` is the total of each bucket one period ago; `hidden` are the keys of legend entries that are switched
    off: the scale is that of the others.
    """
    every = colored(series)
    drawn = [entry for entry in every if entry.label not in hidden]
    legend = _legend(every, previous, hidden)
    previous = () if PREVIOUS in hidden else previous
    stacks = [total(entry.values[index] for entry in drawn) for index in range(len(axes.buckets))]
    scale = Scale.over([*stacks, *previous], axes)
    slot = 100 / max(len(axes.buckets), 1)
    width = min(slot * _BAR_SHARE, _WIDEST_BAR)
    parts = []
    for index, bucket in enumerate(axes.buckets):
        left = slot * index + (slot - width) / 2
        parts += _stack(drawn, index, left, width, scale)
        if bucket.is_running and stacks[index]:
            parts.append(_hatched(axes, left, width, scale.y(stacks[index]), scale))
    return _drawing(axes, drawn, legend, scale, parts, previous)


def sparkline(values: Sequence[Number], label: str) -> Sparkline:
    """Returns a line without axes for a metric card; `label` describes it in words."""
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


def _drawing(
    axes: Axes,
    drawn: list[Series],
    legend: tuple[LegendEntry, ...],
    scale: Scale,
    parts: list[SafeString],
    previous: Sequence[Number | None],
) -> Drawing:
    extra = [_previous(previous, scale)] if previous else []
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
    return Drawing(key, axes.title, svg, legend, table(axes, drawn, previous))


def _legend(
    series: list[Series], previous: Sequence[Number | None], hidden: Collection[str]
) -> tuple[LegendEntry, ...]:
    """Returns no entries for a single series without a comparison."""
    entries = [LegendEntry(each.label, each.label, each.css, each.label not in hidden) for each in series]
    if previous:
        entries.append(LegendEntry(PREVIOUS, _("Previous period"), "", PREVIOUS not in hidden))
    return tuple(entries) if len(entries) > 1 else ()


def _stack(drawn: list[Series], index: int, left: float, width: float, scale: Scale) -> list[SafeString]:
    """Returns the segments of one bar from the base up, one pixel apart."""
    parts = []
    below = Decimal(0)
    for entry in drawn:
        value = entry.values[index]
        if not value:
            continue
        start, end = scale.y(below), scale.y(below + value)
        gap = 1 if below else 0
        parts.append(
            mark_safe(  # noqa: S308  # figures, and a class of ours; each bar by format_html would cost a third more
                f'<rect class="chart-bar {entry.css}" x="{left:.3f}%" y="{end:.1f}" width="{width:.3f}%"'
                f' height="{max(start - end - gap, 1):.1f}" rx="2"/>'
            )
        )
        below += value
    return parts


def _hatched(axes: Axes, left: float, width: float, top: float, scale: Scale) -> SafeString:
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


def _grid(axes: Axes, scale: Scale) -> SafeString:
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


def _labels(axes: Axes, scale: Scale) -> SafeString:
    """Returns at most eight labels below the axis, a third of them on phones."""
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


def _previous(previous: Sequence[Number | None], scale: Scale) -> SafeString:
    paths = []
    for points in _runs(tuple(previous), scale):
        path = "M" + "L".join(f"{x:.2f} {y:.1f}" for x, y in points)
        paths.append(format_html('<path class="chart-previous" d="{}"/>', path))
    return _stretched(paths, scale)


def _stretched(paths: list[SafeString], scale: Scale) -> SafeString:
    """Returns paths in a box that is 100 wide and stretches with the chart; strokes keep their width."""
    return format_html(
        '<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 100 {}" preserveAspectRatio="none">{}</svg>',
        scale.bottom,
        scale.bottom,
        _joined(paths),
    )


def _runs(values: tuple[Number | None, ...], scale: Scale) -> list[list[tuple[float, float]]]:
    """Returns the runs of points without a gap, at the middle of their buckets."""
    slot = 100 / max(len(values), 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((slot * (index + 0.5), scale.y(value)))
    return [run for run in runs if run]


def _hits(axes: Axes, drawn: list[Series], previous: Sequence[Number | None], scale: Scale) -> SafeString:
    """Returns a column over each bucket for pointer and keyboard, with the text of its tooltip."""
    slot = 100 / max(len(axes.buckets), 1)
    box = f'y="{TOP - 4}" width="{slot:.3f}%" height="{scale.bottom - TOP + 4}" rx="3"'
    columns = []
    for index, bucket in enumerate(axes.buckets):
        shown = tip_lines(axes, drawn, previous, index)
        title = bucket.title
        if bucket.is_running:
            title = _("{title}, still running").format(title=title)
        words = escape(f"{title}: " + ", ".join(f"{label} {value}" for _css_name, label, value in shown))
        tip = escape(json.dumps({"title": title, "lines": shown}, ensure_ascii=False))
        rect = f'<rect class="chart-hit" x="{slot * index:.3f}%" {box} data-chart-tip="{tip}"'
        if bucket.href:
            columns.append(f'<a href="{escape(bucket.href)}" aria-label="{words}">{rect}/></a>')
        else:
            columns.append(f'{rect} tabindex="0" role="img" aria-label="{words}"/>')
    return mark_safe("".join(columns))  # noqa: S308  # figures, and words that are escaped above


def _key(axes: Axes) -> str:
    """Returns a key that is stable, and unique on a page as long as titles are."""
    return f"chart-{crc32(axes.title.encode()):08x}"


def _joined(parts: Sequence[SafeString]) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308  # safe, each of them
