"""All pages of the admin, with something of everything in the database.

No page fails; no page gives anybody a right that they were not given; whatever a POST changes leaves a line with a
reason in the audit trail, and without a reason nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts import rights_guard, tokens
from accounts.admin.acts import ActsAdmin
from accounts.models import AuditEntry, Membership, User
from accounts.roles import Role
from billing.models import OverageCharge
from licensing import licenses, policies
from metering.models import Meter, UsagePeriod
from superagent import schedule
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import join, key_of, person
from tests.billing.conftest import Customer, customer, sandbox, shop, stripe_at_sandbox
from tests.fixtures.forms import Form, forms_in
from tests.fixtures.staff import staff_client

__all__ = ["customer", "sandbox", "shop", "stripe_at_sandbox"]  # fixtures

# What the pages themselves write: sessions, Django's own log of changes, and the trail.
OWN_TABLES = {"django_session", "django_admin_log", "accounts_auditentry", "usersessions_usersession"}


@dataclass(frozen=True)
class Page:
    """An address that takes a POST, and what a browser could send there beside what its form shows."""

    model: str
    path: str
    extra: tuple[tuple[str, str], ...] = ()


class Browser:
    """A member of staff's: each request begins without a scope, while the test keeps its own."""

    def __init__(self, user: User) -> None:
        self.client = staff_client(user)

    def get(self, path: str) -> Any:
        with tenancy.isolated():
            return self.client.get(path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        with tenancy.isolated():
            return self.client.post(path, body)


@pytest.fixture
def root(customer: Customer) -> User:
    return person("root@superagent.example", is_staff=True, is_superuser=True)


@pytest.fixture
def filled(customer: Customer) -> Customer:
    """One of everything that the admin shows, as far as it can be made without a month's wait."""
    organization = customer.organization
    customer.buy("pro", "month")
    key_of(organization)
    viewer = join(organization, "viewer@example.com", Role.VIEWER)
    tokens.log_in(user=viewer, ip_address="192.0.2.1", user_agent="curl", now=timezone.now())
    licenses.issue(
        organization=organization,
        policy=policies.of_product("nextpanel-professional"),
        now=timezone.now(),
    )
    period = UsagePeriod.objects.filter(organization=organization).first()
    OverageCharge.objects.create(
        organization=organization, period=period, meter=Meter.objects.first(), quantity=1, amount=5,
        currency="usd", description="x",
    )  # fmt: skip
    schedule.seed()
    outbox.enqueue(topic="test.dead", payload={}, dedupe_key="dead")
    OutboxMessage.objects.filter(dedupe_key="dead").update(state=OutboxMessage.State.DEAD)
    Group.objects.create(name="Support")
    return customer


def pages() -> Iterator[Page]:
    """Every address of the admin that takes a POST, for the first row of each model."""
    for model, model_admin in admin.site._registry.items():
        options = model._meta
        name = f"{options.app_label}_{options.model_name}"
        label = options.label_lower
        row = model._default_manager.order_by("pk").first()
        yield Page(label, reverse(f"admin:{name}_add"))
        if row is None:
            continue
        for part in ("change", "delete"):
            yield Page(label, reverse(f"admin:{name}_{part}", args=[row.pk]), (("post", "yes"),))
        for action in model_admin.actions:
            for confirmed in ((), (("confirmed", "yes"),)):
                chosen = (("action", action), ("_selected_action", str(row.pk)), *confirmed)
                yield Page(label, reverse(f"admin:{name}_changelist"), chosen)
        if isinstance(model_admin, ActsAdmin):
            for act in model_admin.acts:
                yield Page(label, reverse(f"admin:{name}_act", args=[row.pk, act.name]))


def form_of(client: Browser, page: Page) -> Form:
    """The page's own form, empty where it cannot be seen."""
    answer = client.get(page.path)
    found = forms_in(answer.content.decode()) if answer.status_code == 200 else []
    return next((form for form in found if "reason" in form.values or "name" in form.values), Form())


# --- Pages work ---------------------------------------------------------------------------------------------------


def test_no_search_and_no_order_fails(filled: Customer, root: User) -> None:
    """L6: a list whose search failed for everybody."""
    client = Browser(root)
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for query in (
            "q=x",
            f"q={filled.organization.pk}",
            "q=192.0.2.1+x",
            "q=%00",
            "o=1.2",
            "e=1",
            "p=999",
        ):
            assert client.get(f"{path}?{query}").status_code < 500, (path, query)


# --- Nobody gains a right ----------------------------------------------------------------------------------------


def rights() -> dict[str, Any]:
    """Everything by which somebody could do more than before, or become somebody who may."""
    staff = User.objects.filter(is_staff=True).order_by("pk")
    return {
        "rights": list(User.objects.order_by("pk").values_list("pk", "is_staff", "is_superuser")),
        "groups of people": list(User.groups.through.objects.order_by("pk").values_list()),
        "permissions of people": list(User.user_permissions.through.objects.order_by("pk").values_list()),
        "permissions of groups": list(Group.permissions.through.objects.order_by("pk").values_list()),
        "accounts of staff": list(staff.values_list("pk", "email", "password", "is_active")),
        "addresses": list(EmailAddress.objects.order_by("pk").values_list("pk", "email", "verified", "user")),
        "second factors": list(Authenticator.objects.order_by("pk").values_list("pk", "type", "user")),
        "roles of staff": list(
            Membership.objects.filter(user__in=staff).order_by("pk").values_list("pk", "role")
        ),
    }


def hostile(form: Form, people: list[User]) -> dict[str, Any]:
    """The form as it stands, with everything that a page might be tricked into taking."""
    some = Permission.objects.filter(codename__in=["change_user", "add_group", "change_apikey"])
    everything = list(some.values_list("pk", flat=True))
    group = Group.objects.values_list("pk", flat=True)
    return form.values | {
        "reason": "x", "name": "Mine", "full_name": "X", "role": "owner", "email": "thief@evil.example",
        "is_staff": "on", "is_superuser": "on", "is_active": "on", "verified": "on", "primary": "on",
        "groups": list(group), "user_permissions": everything, "permissions": everything,
        "password": "x", "password1": "horse on a hill", "password2": "horse on a hill", "usable_password": "true",
        "user": str(people[0].pk), "type": "totp", "data": "{}",
    }  # fmt: skip


@pytest.fixture
def clerk(filled: Customer, root: User) -> User:
    """A member of staff, who is also a viewer at the customer, among colleagues who may do more."""
    user = join(filled.organization, "clerk@superagent.example", Role.VIEWER)
    user.is_staff = True
    with rights_guard.opened():
        user.save()
    return user


@pytest.mark.timeout(600)
def test_all_permissions_together_do_not_give_another_right(clerk: User) -> None:
    """H1: whoever may do everything on every page is still no superuser, and nobody else becomes one."""
    clerk.user_permissions.set(Permission.objects.all())
    client = Browser(clerk)
    people = [clerk, *User.objects.filter(is_superuser=True)]
    targets = [
        Page("accounts.user", reverse(f"admin:accounts_user_{name}", args=[user.pk, *more]))
        for user in people
        for name, more in [("change", []), *(("act", [act.name]) for act in admin.site._registry[User].acts)]
    ]
    before = rights()
    for page in [*pages(), *targets]:
        body = hostile(form_of(client, page), people) | dict(page.extra)
        client.post(page.path, body)
        assert rights() == before, page
        clerk.refresh_from_db()


@pytest.mark.timeout(600)
def test_no_permission_alone_gives_another_right(clerk: User) -> None:
    """H1: each permission by itself on the pages of its model, those about people on all pages about people; then all
    others together on those."""
    client = Browser(clerk)
    body = hostile(Form(), [clerk, *User.objects.filter(is_superuser=True)])
    before = rights()
    by_model: dict[str, list[Page]] = {}
    for page in pages():
        by_model.setdefault(page.model, []).append(page)
    about_people = by_model["accounts.user"] + by_model["auth.group"] + by_model["accounts.membership"]
    permissions = list(Permission.objects.select_related("content_type"))
    for permission in permissions:
        app, model = permission.content_type.natural_key()
        reached = set(by_model.get(f"{app}.{model}", []))
        if app in ("accounts", "auth"):
            reached |= set(about_people)
        clerk.user_permissions.set([permission])
        for page in reached:
            client.post(page.path, body | dict(page.extra))
    clerk.user_permissions.set(
        [each for each in permissions if each.content_type.app_label not in ("accounts", "auth")]
    )
    for page in about_people:
        client.post(page.path, body | dict(page.extra))
    clerk.user_permissions.set([])
    assert rights() == before


# --- Every change leaves a trail ----------------------------------------------------------------------------------


def written() -> dict[str, int]:
    """How many rows of which table this transaction has written so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"
            " WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"
        )
        return {table: count for table, count in cursor.fetchall() if table not in OWN_TABLES}


def changed_by(client: Browser, page: Page, body: dict[str, Any]) -> tuple[set[str], list[AuditEntry]]:
    """The tables that a POST writes to, and what it leaves in the audit trail."""
    before, entries = written(), set(AuditEntry.objects.values_list("pk", flat=True))
    answer = client.post(page.path, body)
    assert answer.status_code in (200, 302, 403, 404), page
    after = written()
    tables = {table for table, count in after.items() if count != before.get(table, 0)}
    return tables, list(AuditEntry.objects.exclude(pk__in=entries))


def bodies(form: Form) -> Iterator[dict[str, Any]]:
    """The form with one field changed at a time, then as it stands."""
    for name, values in form.values.items():
        if name in form.hidden or name in ("reason", "csrfmiddlewaretoken") or "__prefix__" in name:
            continue
        if name in form.choices:
            others = [choice for choice in form.choices[name] if choice and choice not in values]
            if others:
                yield form.values | {name: others[0]}
        else:
            value = values[0]
            yield form.values | {name: str(int(value) + 1) if value.isdigit() else f"{value}x"}
    for name, value in form.checks.items():
        if "DELETE" not in name:
            toggled = {key: kept for key, kept in form.values.items() if key != name}
            yield toggled if name in form.values else toggled | {name: value}
    yield dict(form.values)


@pytest.mark.timeout(600)
def test_without_a_reason_nothing_is_changed_and_with_one_it_is_in_the_trail(
    filled: Customer, root: User
) -> None:
    """M4."""
    client = Browser(root)
    effective = set()
    for page in pages():
        for body in bodies(form_of(client, page)):
            tables, entries = changed_by(client, page, body | {"reason": " "} | dict(page.extra))
            assert (tables, entries) == (set(), []), page
            tables, entries = changed_by(client, page, body | {"reason": "Because"} | dict(page.extra))
            if tables:
                effective.add(page.path)
                assert entries, (page, tables)
            for entry in entries:
                assert entry.detail.get("reason") == "Because", (page, entry.action, entry.detail)
                assert entry.actor_id == root.pk, (page, entry.action)
    assert len(effective) >= 18, sorted(effective)  # the walk did reach the pages
