"""Links that know where they are: sidebar, breadcrumbs, tabs, sorting, pages."""

from typing import Any

from django import template
from django.http import QueryDict
from django.template import Context
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from superagent.foundation.templatetags.iconset import icon_svg

register = template.Library()

PAGE_SIZES = (25, 50, 100)


@register.simple_tag
def breadcrumbs(*parts: str) -> str:
    """{% breadcrumbs "API keys" keys_url "Create key" %}: name and address in turn, the last without an address."""
    names, addresses = parts[0::2], (*parts[1::2], "")
    crumbs = [{"name": name, "href": href} for name, href in zip(names, addresses, strict=False)]
    return render_to_string("components/breadcrumbs.html", {"crumbs": crumbs})


@register.simple_tag(takes_context=True)
def tab(
    context: Context, label: str, href: str, count: Any = None, current: bool | None = None
) -> SafeString:
    """One of {% tabs %}; current when its address is this page's path or above it, or when told."""
    request = context.get("request")
    path, address = request.path if request else "", href.split("?")[0]
    mark = ""
    if path == address if current is None else current:
        mark = SafeString(' aria-current="page"')
    elif current is None and address.endswith("/") and path.startswith(address):
        mark = SafeString(' aria-current="true"')
    number = format_html(' <span class="count">{}</span>', count) if count is not None else ""
    return format_html('<li><a href="{}"{}>{}{}</a></li>', href, mark, label, number)


@register.simple_tag(takes_context=True)
def query(context: Context, **changes: Any) -> str:
    """This page's address with the query changed: {% query status="active" cursor=None %}."""
    return changed_query(context, **changes)


@register.simple_tag(takes_context=True)
def sort_header(context: Context, label: str, key: str, num: bool = False, default: str = "") -> SafeString:
    """A column heading that sorts by ?sort=key or ?sort=-key; a second use turns the order round. `default` is the
    order of the page without ?sort."""
    request = context.get("request")
    now = (request.GET.get("sort", "") if request else "") or default
    order, following = "none", f"-{key}" if num else key
    if now in (key, f"-{key}"):
        order = "ascending" if now == key else "descending"
        following = f"-{key}" if now == key else key
    arrow = icon_svg("arrow-up" if order == "ascending" else "arrow-down")
    return format_html(
        '<th scope="col" aria-sort="{}"{}><a class="sort" href="{}">{}{}</a></th>',
        order,
        SafeString(' class="num"') if num else "",
        changed_query(context, sort=following, cursor=None),
        label,
        arrow,
    )


@register.inclusion_tag("components/pager.html", takes_context=True)
def pager(
    context: Context,
    next: str | None = None,  # noqa: A002  # reads as what it is in {% pager next=… previous=… %}
    previous: str | None = None,
    size: int = 25,
    summary: str = "",
) -> dict[str, Any]:
    """Cursor pages: `next` and `previous` are cursors (or None); the page reads ?cursor= and ?limit=."""
    return {
        "next": changed_query(context, cursor=next) if next else "",
        "previous": changed_query(context, cursor=previous) if previous else "",
        "sizes": [(number, changed_query(context, limit=number, cursor=None)) for number in PAGE_SIZES],
        "size": size,
        "summary": summary,
        "label": _("Pages"),
    }


def changed_query(context: Context, **changes: Any) -> str:
    request = context.get("request")
    values = request.GET.copy() if request else QueryDict(mutable=True)
    for key, value in changes.items():
        if value in (None, ""):
            values.pop(key, None)
        else:
            values[key] = value
    return "?" + values.urlencode() if values else (request.path if request else "?")
