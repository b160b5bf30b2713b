"""The icons, read once from templates/components/icons.svg: one <symbol> for each, on a grid of 16."""

import re
from functools import cache
from typing import Any

from django.template.loader import get_template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_SYMBOL = re.compile(r'<symbol id="([a-z-]+)"[^>]*>(.*)</symbol>')


class UnknownIcon(LookupError):
    """A template uses an icon that does not exist."""


@cache
def icons() -> dict[str, SafeString]:
    template: Any = get_template("components/icons.svg")  # of Django's backend, which keeps the source
    source: str = template.template.source
    return {key: mark_safe(inside) for key, inside in _SYMBOL.findall(source)}  # noqa: S308  # our own file


def icon_svg(key: str, size: int = 16, label: str = "", classes: str = "") -> SafeString:
    """An inline icon of 16, 20 or 24 pixels; hidden from assistive technology unless it has a `label`."""
    try:
        inside = icons()[key]
    except KeyError:
        raise UnknownIcon(key) from None
    names = " ".join(filter(None, ["icon", f"icon-{size}" if size != 16 else "", classes]))
    start = format_html('<svg class="{}" viewBox="0 0 16 16"', names)
    if label:
        return format_html('{} role="img" aria-label="{}">{}</svg>', start, label, inside)
    return format_html('{} aria-hidden="true" focusable="false">{}</svg>', start, inside)
