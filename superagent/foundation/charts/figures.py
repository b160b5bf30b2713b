"""The data of a chart: values in, a drawing out."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from superagent.foundation.templatetags.formats import compact, quantity

PREVIOUS = "previous"
"""The key of the dashed line in the legend, and its color."""

Number = int | Decimal
Format = Callable[[Number], str]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One place on the axis. `label` is short (12 Sep), `title` is the full form for the tooltip and the table,
    `moment` is for programs.
    """

    label: str
    title: str
    href: str = ""
    is_running: bool = False
    moment: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each bucket; None where nothing is known (lines have a gap there)."""

    label: str
    values: tuple[Number | None, ...]
    is_rest: bool = False
    css: str = ""  # its color, once that is known


@dataclass(frozen=True, slots=True)
class Axes:
    """Shared by bars and lines. `axis_format` formats ticks, `exact_format` tooltips and the table."""

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
    """An entry that can be switched off and on; `key` identifies it in the URL of the page."""

    key: str
    label: str
    css: str
    is_shown: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` are a heading and its cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]

    @property
    def body(self) -> SafeString:
        """Returns the rows as HTML. A template would be too slow for hundreds of similar cells."""
        rows = (
            f'<tr><th scope="row">{escape(heading)}</th>'
            + "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells)
            + "</tr>"
            for heading, *cells in self.rows
        )
        return mark_safe("".join(rows))  # noqa: S308  # escaped above


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart for templates/components/chart.html."""

    key: str
    title: str
    svg: SafeString
    legend: tuple[LegendEntry, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class Sparkline:
    svg: SafeString
