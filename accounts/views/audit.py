"""The audit trail of the organization."""

import re
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import PortalRequest, portal_view
from accounts.forms import AuditFilter
from accounts.models import AuditEntry, Membership
from accounts.roles import Role, Scope
from superagent.foundation import cursors
from superagent.foundation.templatetags.ui import product_label

_SOLD = ("product", "plan")
_NOT_SHOWN = ("changes", "from", "to", "schedule")  # the last is Stripe's id of a scheduled change
_NAMES = {
    "interval": gettext_lazy("billed"),
    "effective_at": gettext_lazy("begins"),
    "test_clock_time": gettext_lazy("test clock at"),
}
_INTERVALS = {"month": gettext_lazy("monthly"), "year": gettext_lazy("yearly")}
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*$")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$")


@portal_view(scope=Scope.ORGANIZATION_WRITE)
def index(request: PortalRequest) -> HttpResponse:
    entries = AuditEntry.objects.visible_to(request.organization)
    form = AuditFilter(request.GET or None)
    shown = cursors.filtered(
        form, lambda wanted: _filtered(entries, wanted).select_related("actor"), request.GET
    )
    members = set(Membership.objects.visible_to(request.organization).values_list("user_id", flat=True))
    rows = [
        {
            "entry": entry,
            "is_support": bool(entry.actor and entry.actor.is_staff and entry.actor_id not in members),
            "changes": _changes(entry),
        }
        for entry in shown["page"].rows
    ]
    return render(request, "accounts/audit.html", shown | {"rows": rows, "now": timezone.now()})


def _filtered(entries: QuerySet[AuditEntry], wanted: dict[str, Any]) -> QuerySet[AuditEntry]:
    if about := wanted.get("about"):
        entries = entries.filter(action__startswith=f"{about}.")
    if text := wanted.get("q"):
        entries = entries.filter(Q(actor_label__icontains=text) | Q(target_label__icontains=text))
    if since := wanted.get("since"):
        entries = entries.filter(at__gte=datetime.combine(since, time.min, UTC))
    if until := wanted.get("until"):
        entries = entries.filter(at__lte=datetime.combine(until, time.max, UTC))
    return entries


def _changes(entry: AuditEntry) -> list[tuple[str, str]]:
    """Returns the detail in words as (name, value), changes as “from → to”, without what the target's label says."""
    detail = entry.detail
    changes = detail.get("changes", {})
    told = [(name, f"{_shown(change['from'])} → {_shown(change['to'])}") for name, change in changes.items()]
    if {"from", "to"} <= detail.keys():
        told.append((_("changed"), f"{_named(detail['from'])} → {_named(detail['to'])}"))
    for name, value in detail.items():
        if name in _NOT_SHOWN or value in (None, "", []):
            continue
        if name not in _SOLD:
            words = _INTERVALS.get(value) if name == "interval" else None
            told.append((str(_NAMES.get(name, name.replace("_", " "))), str(words or _shown(value))))
        elif _named(value) not in entry.target_label and (name == "product" or "product" not in detail):
            told.append((name, _named(value)))
    return told


def _named(value: Any) -> str:
    """Returns the product's name for a slug; else the value as `_shown`."""
    is_slug = isinstance(value, str) and value not in Role.values and _SLUG.match(value)
    return product_label(value) if is_slug else _shown(value)


def _shown(value: Any) -> str:
    """Returns a value in words: roles, times, yes and no."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if value in Role.values:
        return str(Role(value).label)
    if isinstance(value, str) and _TIME.match(value):
        return f"{datetime.fromisoformat(value):%b %-d, %Y, %H:%M} UTC"
    return str(value)
