"""The search of the command palette: an organization's own records by what people have at hand of them.

An invoice by its number, a key by its name or start, a member, a license by its product or last group, a request by its
id. At most one query for each kind; nobody finds what his role may not read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import roles
from accounts.api_keys import PREFIXES
from accounts.models import ApiKey, Membership, Organization
from accounts.roles import Scope
from billing.models import Invoice
from licensing.models import License
from metering.models import RequestRecord
from superagent.foundation import cursors
from superagent.foundation.templatetags.formats import absolute, money

SHORTEST = 2
LONGEST = 100
SHOWN = 5  # of each kind
REQUEST_ID_FROM = 8  # characters, the least that a caller's own id may have


@dataclass(frozen=True, slots=True)
class Hit:
    kind: str
    name: str
    about: str
    href: str
    icon: str


def find(*, membership: Membership, text: str) -> list[Hit]:
    """What `text` finds in the membership's organization, by kind. Runs in the organization's scope."""
    text = text.strip()
    if not SHORTEST <= len(text) <= LONGEST:
        return []
    return [
        hit
        for scope, finder in _FINDERS
        if roles.allows(membership.role, scope)
        for hit in finder(membership.organization, text)
    ]


def _invoices(organization: Organization, text: str) -> Iterator[Hit]:
    rows = Invoice.objects.visible_to(organization).filter(number__icontains=text).order_by("-created_at")
    for row in rows[:SHOWN]:
        about = f"{money(row.total, row.currency)} · {row.get_status_display()}"
        yield Hit(_("Invoice"), row.number, about, reverse("invoice", args=[row.pk]), "receipt")


def _keys(organization: Organization, text: str) -> Iterator[Hit]:
    """Of a key that is pasted whole only the start is looked at."""
    matching = Q(name__icontains=text) | Q(last_four=text)
    if text.startswith(PREFIXES):
        matching = Q(prefix=text[: len(PREFIXES[0]) + 4]) | Q(prefix__startswith=text)
    rows = ApiKey.objects.visible_to(organization).filter(matching).order_by("-id")
    for row in rows[:SHOWN]:
        href = f"{reverse('api-keys')}?show=all&cursor={cursors.starting_with(row)}#key-{row.pk}"
        yield Hit(_("API key"), row.name, row.masked, href, "key")


def _members(organization: Organization, text: str) -> Iterator[Hit]:
    rows = Membership.objects.visible_to(organization).select_related("user")
    rows = rows.filter(Q(user__full_name__icontains=text) | Q(user__email__icontains=text)).order_by("-id")
    for row in rows[:SHOWN]:
        about = f"{row.user.email} · {row.get_role_display()}"
        href = f"{reverse('members')}?cursor={cursors.starting_with(row)}#member-{row.user_id}"
        yield Hit(_("Member"), row.user.full_name or row.user.email, about, href, "user")


def _licenses(organization: Organization, text: str) -> Iterator[Hit]:
    last_group = text.upper().rpartition("-")[2]
    rows = License.objects.visible_to(organization).select_related("policy")
    rows = rows.filter(Q(policy__name__icontains=text) | Q(key_tail=last_group)).order_by("-id")
    for row in rows[:SHOWN]:
        yield Hit(_("License"), row.policy.name, row.masked_key, reverse("license", args=[row.pk]), "shield")


def _requests(organization: Organization, text: str) -> Iterator[Hit]:
    if len(text) < REQUEST_ID_FROM:
        return
    rows = RequestRecord.objects.visible_to(organization).filter(request_id=text).order_by("-id")
    for row in rows[:SHOWN]:
        name, about = f"{row.method} {row.path}", f"{row.status} · {absolute(row.started_at, 'seconds')}"
        yield Hit(_("Request"), name, about, reverse("request", args=[row.pk]), "list")


_FINDERS: list[tuple[Scope, Callable[[Organization, str], Iterator[Hit]]]] = [
    (Scope.BILLING_READ, _invoices),
    (Scope.KEYS_READ, _keys),
    (Scope.ORGANIZATION_READ, _members),
    (Scope.LICENSES_READ, _licenses),
    (Scope.USAGE_READ, _requests),
]
