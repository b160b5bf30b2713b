"""The wall between organizations, at every address: what is another one's is 404, and is not changed.

Walks the URL configuration: an address with an id that is not declared here fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from accounts import invitations
from accounts.models import ApiKey, Invitation, Organization, OrganizationOwned, User
from accounts.principals import Principal
from billing.models import Invoice, Order, Payment, Subscription
from licensing.models import License
from metering.models import RequestRecord
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from superagent.foundation.page_addresses import ATTRIBUTE
from tests.accounts.conftest import PASSWORD, Api, api_of, founded, join, key_of, page_of, person
from tests.licensing.conftest import issued
from tests.licensing.orders import paid_item, subscribe

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OURS = ("accounts.", "metering.", "billing.", "licensing.", "superagent.")
# What is in these paths belongs to nobody (a product), or is itself the proof (a mail's token, Stripe's endpoint).
OPEN = {
    "plan-change",
    "license-buy",
    "stripe-webhook",
    "invitation",
    "account_confirm_email",
    "account_reset_password_from_key",
    "email-change-confirm",
    "email-change-answer",
    "email-change-undo",
    "account-keep",
    "api:docs-area",
}
FORM = {"grace_seconds": "0", "role": "viewer"}  # what forms of these addresses take
# For callers without a tenant, or about people: nothing to look for in them.
WITHOUT_TENANT = {"metrics", "health-live", "health-ready", "usage-stream", "api:usage-stream"}


class World:
    """Globex with something of everything, and the ids of it by URL argument."""

    def __init__(self) -> None:
        now = timezone.now()
        self.owner = person("bea@globex.example")
        self.organization = founded("Globex", self.owner)
        self.member = join(self.organization, "vic@globex.example", "viewer")
        key_of(self.organization)
        item = paid_item(self.organization, "nextpanel-professional")
        subscribe(item)
        issued(self.organization, order_item_id=item.pk)
        with tenancy.tenant(self.organization):
            self.invitation = invitations.invite(
                organization=self.organization,
                email="new@globex.example",
                role="viewer",
                invited_by=self.owner,
                now=now,
            )
            ingest.record(
                organization=self.organization,
                events=[EventIn(event_id="globex-event", meter="ai_tokens", quantity=7)],
                principal=Principal(
                    organization_id=self.organization.pk,
                    user_id=self.owner.pk,
                    api_key_id=None,
                    scopes=frozenset({"usage:write"}),
                    label="bea",
                ),
                now=now,
            )
        with tenancy.system("test"):
            invoice = _invoice(self.organization)
            Payment.objects.create(
                organization=self.organization,
                stripe_id="pi_globex",
                invoice=invoice,
                status="succeeded",
                amount=2900,
                currency="usd",
                created_at=now,
            )
            RequestRecord.objects.create(
                organization=self.organization,
                request_id="globex-request",
                method="GET",
                endpoint="/api/v1/quotas",
                path="/api/v1/quotas",
                status=200,
                duration_us=1000,
                request_bytes=0,
                response_bytes=2,
                is_counted=True,
                started_at=now,
            )

    def id_of(self, model: type[Any]) -> UUID:
        with tenancy.system("test"):
            return model.objects.filter(organization=self.organization).latest("id").pk

    def arguments(self) -> dict[str, dict[str, Any]]:
        organization, user = {"organization_id": self.organization.pk}, {"user_id": self.member.pk}
        key, license_ = {"key_id": self.id_of(ApiKey)}, {"license_id": self.id_of(License)}
        order, invitation = {"order_id": self.id_of(Order)}, {"invitation_id": self.id_of(Invitation)}
        invoice, subscription = self.id_of(Invoice), {"subscription_id": self.id_of(Subscription)}
        return {
            "api:user": user,
            "api:organization": organization,
            "api:members": organization,
            "api:member": organization | user,
            "api:invitations": organization,
            "api:invitation": organization | invitation,
            "api:invitation-accept": {"inviting_organization_id": self.organization.pk} | invitation,
            "api:key": key,
            "api:key-rotate": key,
            "api:key-revoke": key,
            "api:usage-event-void": {"event_id": "globex-event"},
            "api:invoice": {"pk": invoice},
            "api:subscription": subscription,
            "api:order": order,
            "api:license": license_,
            "api:license-tier": license_,
            "api:license-tier-preview": license_,
            "api:subscription-resume": subscription,
            "api-key-rotate": key,
            "api-key-revoke": key,
            "invitation-withdraw": invitation,
            "member": user,
            "member-remove": user,
            "request": {"record_id": self.id_of(RequestRecord)},
            "invoice": {"invoice_id": invoice},
            "order": order,
            "license": license_,
            "license-reveal": license_,
            "license-rotate": license_,
            "license-remove-server": license_,
            "license-cancel": subscription,
            "license-resume": subscription,
            "license-tiers": subscription,
            "license-change": subscription | {"product": "nextpanel-business"},
            "order-cancel": order,
        }

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything of Globex, as it is stored."""
        with tenancy.system("test"):
            return {
                model.__name__: list(
                    model.objects.filter(organization=self.organization).order_by("pk").values()
                )
                for model in apps.get_models()
                if issubclass(model, OrganizationOwned)
            }


def _invoice(organization: Organization) -> Invoice:
    now = timezone.now()
    return Invoice.objects.create(
        organization=organization,
        stripe_id="in_globex",
        number="GLOBEX-1",
        status="paid",
        currency="usd",
        subtotal=2900,
        total=2900,
        amount_due=2900,
        amount_paid=2900,
        amount_remaining=0,
        period_start=now - timedelta(days=30),
        period_end=now,
        created_at=now,
    )


@pytest.fixture
def globex(db: None) -> World:
    return World()


@pytest.fixture
def ada(db: None) -> User:
    """The owner of Acme, who is nothing at Globex."""
    owner = person("ada@acme.example")
    founded("Acme", owner)
    return owner


def patterns(resolver: Any = None, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Each with the name that `reverse` knows it by."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            if entry.namespace != "admin":  # the admin is for staff, who look after every organization
                yield from patterns(entry, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)
        elif entry.name != "nothing":
            yield f"{namespace}{entry.name or ''}", entry


def own_patterns() -> dict[str, URLPattern]:
    """Those that views of ours answer, by name; allauth's are about the person who asks."""
    found = []
    for name, each in patterns():
        view: Any = each.callback
        view = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
        if view.__module__.startswith(OURS):
            found.append((name, each))
    assert all(name and not name.endswith(":") for name, _ in found)
    assert len(dict(found)) == len(found), "two addresses have one name"
    return dict(found)


def portal_of(user: User) -> Client:
    page = page_of(user)
    page.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    return page


def asked(callers: list[Any], method: str, path: str) -> list[Any]:
    if not path.startswith("/api/"):
        form = {"data": FORM} if method == "POST" else {}
        pages = [portal for portal in callers if isinstance(portal, Client)]
        return [getattr(page, method.lower())(path, **form) for page in pages]
    inside = path.removeprefix("/api/v1/")
    return [api(method, inside, {}) for api in callers if isinstance(api, Api)]


def test_every_address_with_an_id_is_declared_here(globex: World):
    with_arguments = {name for name, each in own_patterns().items() if each.pattern.regex.groups}
    assert with_arguments - OPEN == set(globex.arguments())
    assert with_arguments >= OPEN


def test_another_organizations_objects_are_not_found_and_not_changed(globex: World, ada: User):
    with tenancy.system("test"):
        acme = Organization.objects.get(name="Acme")
    callers = [portal_of(ada), api_of(ada), key_of(acme)]
    before = globex.rows()
    for name, arguments in globex.arguments().items():
        path = reverse(name, kwargs=arguments)
        statuses = set()
        for method in METHODS:
            for answer in asked(callers, method, path):
                said = f"{method} {name}: {answer.status_code} {answer.content[:200]!r}"
                # A key is no person: what only a person may do is 401 for it.
                assert answer.status_code in (401, 404, 405) or _leads_to_its_page(path, method, answer), said
                assert "globex" not in answer.content.decode().lower().replace("globex-event", ""), said
                statuses.add(answer.status_code)
        assert 404 in statuses, name
    assert globex.rows() == before


def _leads_to_its_page(path: str, method: str, answer: Any) -> bool:
    """Addresses that take a POST lead a GET to their page, a list or the object's own, which is 404."""
    return method == "GET" and answer.status_code == 302 and hasattr(resolve(path).func, ATTRIBUTE)


def test_its_own_people_find_them(globex: World):
    """Without this, an address that is always 404 would pass for a wall."""
    all_arguments = globex.arguments()  # first: the key that calls is not the one that is rotated
    callers = [portal_of(globex.owner), api_of(globex.owner), key_of(globex.organization)]
    for name, arguments in all_arguments.items():
        if name == "api:invitation-accept":  # for who was invited
            continue
        path = reverse(name, kwargs=arguments)
        method = (
            "POST"
            if name.endswith(("rotate-api", "revoke-api", "-void", "-rotate", "-revoke", "-tier", "-preview"))
            else "GET"
        )
        if name in (
            "api:invitation",
            "invitation-withdraw",
            "member-remove",
            "api:key-revoke",
            "api-key-revoke",
            "license-change",
            "api:subscription-resume",
        ):
            continue  # they change or end what the others look at, or ask Stripe; their own tests see them work
        assert {answer.status_code for answer in asked(callers, method, path)} <= {200, 201, 302, 400, 409}, (
            name
        )


def test_no_list_or_page_shows_anything_of_another_organization(globex: World, ada: User):
    with tenancy.system("test"):
        acme = Organization.objects.get(name="Acme")
        secrets = {"globex", str(globex.organization.pk)}
        secrets |= {str(row["id"]) for rows in globex.rows().values() for row in rows if "id" in row}
    callers = [portal_of(ada), api_of(ada), key_of(acme)]
    for name, pattern in own_patterns().items():
        if pattern.pattern.regex.groups or name in WITHOUT_TENANT:
            continue
        for answer in asked(callers, "GET", reverse(name)):
            if answer.status_code == 200 and not answer.streaming:
                told = answer.content.decode().lower()
                assert not [secret for secret in secrets if secret in told], name


def test_ids_of_another_organization_in_filters_find_nothing(globex: World, ada: User):
    api, key_id = api_of(ada), globex.id_of(ApiKey)
    for query in (f"api_key={key_id}", f"user={globex.owner.pk}", "request_id=globex-request"):
        assert api.get(f"usage/requests?{query}").json()["data"] == []
    page = page_of(ada).get(f"/requests/?key={key_id}")
    assert "globex" not in page.content.decode().lower()
    switched = page_of(ada).post("/organizations/switch/", {"organization": str(globex.organization.pk)})
    assert switched.status_code == 404
