"""Figures as components: a metric with its change, a quota, a progress bar, a chart."""

from typing import Any

from django import template
from django.http import QueryDict
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from superagent.foundation.charts.legend import hidden_in
from superagent.foundation.templatetags import formats
from superagent.foundation.templatetags.iconset import icon_svg

register = template.Library()


@register.inclusion_tag("components/metric.html")
def metric(
    label: str,
    value: Any,
    unit: str = "",
    foot: str = "",
    change: Any = None,
    spark: Any = None,
    live: str = "",
    href: str = "",
    icon: str = "",
) -> dict[str, Any]:
    """A figure with its period or comparison in `foot`; `change` is made by {% delta … as change %}."""
    return locals()


@register.inclusion_tag("components/metric.html")
def metric_of(figure: Any) -> dict[str, Any]:
    """The same of an object that has these attributes."""
    names = ("label", "value", "unit", "foot", "change", "spark", "live", "href", "icon")
    return {name: getattr(figure, name) for name in names}


@register.simple_tag
def delta(current: float, previous: float, good: str = "up", label: str = "") -> SafeString:
    """The change against the previous period; `good` is up, down or none."""
    if not previous:
        return format_html('<span class="delta">{}</span>', _("New") if current else formats.NOTHING)
    change = (current - previous) / abs(previous)
    direction = "up" if change > 0 else "down"
    tone = "" if good == "none" or not change else " delta-good" if direction == good else " delta-bad"
    arrow = icon_svg(f"arrow-{direction}") if change else ""
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else ""
    return format_html(
        '<span class="delta{}">{}{}{}%</span>{}',
        tone,
        arrow,
        sign,
        f"{abs(change) * 100:,.0f}" if abs(change) >= 1 else f"{abs(change) * 100:.1f}".removesuffix(".0"),
        format_html(" <span>{}</span>", label) if label else "",
    )


@register.inclusion_tag("components/quota.html")
def quota(
    name: str,
    used: int,
    limit: int | None,
    unit: str = "",
    resets_at: Any = None,
    hard: bool = True,
    live: str = "",
    href: str = "",
    note: str = "",
) -> dict[str, Any]:
    """The used share of an allowance; amber from 80 %, red when used up. `limit` None is unlimited."""
    share = None if limit is None else 1.0 if limit == 0 else used / limit
    return locals() | {
        "share": share,
        "share_text": _live_share(share, limit, live),
        "low": int(limit * 0.8) if limit else 0,
        "high": limit - 1 if limit else 0,
        "shown": min(used, limit) if limit is not None else used,
        "over": max(used - limit, 0) if limit is not None else 0,
    }


@register.inclusion_tag("components/quota.html")
def quota_status(
    status: Any, href: str = "", note: str = "", is_live: bool = False, has_reset: bool = False
) -> dict[str, Any]:
    """The same of a quota's status, as metering tells it."""
    return quota(
        status.meter.name,
        status.used,
        status.limit,
        unit=status.meter.unit,
        resets_at=status.resets_at if has_reset else None,
        hard=status.is_hard,
        live=status.meter.slug if is_live else "",
        href=href,
        note=note,
    )


def _live_share(share: float | None, limit: int | None, live: str) -> SafeString | str:
    if not live or not limit or share is None:
        return formats.percent(share)
    return format_html(
        '<span data-live-share="{}" data-limit="{}">{}</span>', live, limit, formats.percent(share)
    )


@register.inclusion_tag("components/progress.html")
def progress(label: str, value: int, maximum: int = 100, text: str = "") -> dict[str, Any]:
    return locals()


@register.inclusion_tag("components/chart.html", takes_context=True)
def chart(
    context: Context, drawing: Any, note: str = "", csv_url: str = "", page: str = ""
) -> dict[str, Any]:
    """A charts.Drawing with its legend, its table and its files. The view reads charts.hidden_in(request.GET); `page`
    is the address of the page, where that is not the one of the request."""
    request = context.get("request")
    query = request.GET if request else QueryDict()
    kept = [(name, value) for name in query for value in query.getlist(name) if name not in ("hide", "show")]
    kept += [("hide", key) for key in hidden_in(query)]
    return {
        "drawing": drawing,
        "note": note,
        "csv_url": csv_url,
        "kept": kept,
        "path": page or (request.path if request else ""),
    }
