"""All pages of the admin, with something of everything in the database.

No page fails; whatever a POST changes leaves a line with a reason in the audit trail, and without a reason nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEntry, User
from tests.billing.conftest import Customer, customer, shop, stripe_at_sandbox
from tests.fixtures.admin_pages import Browser, Page, filled, form_of, pages, root
from tests.fixtures.forms import Form

__all__ = ["customer", "filled", "root", "shop", "stripe_at_sandbox"]  # fixtures

# What the pages themselves write: sessions, Django's own log of changes, and the trail.
OWN_TABLES = {"django_session", "django_admin_log", "accounts_auditentry", "usersessions_usersession"}


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
            "p=x",
            f"p={'9' * 40}",
            "o=x.-.99999999999999999999",
        ):
            assert client.get(f"{path}?{query}").status_code < 500, (path, query)


@pytest.mark.parametrize("chosen", ["x", "", "-1", "9" * 40, "a\0b", "0" * 5_000])
def test_no_action_fails_for_rows_that_there_are_not(filled: Customer, root: User, chosen: str) -> None:
    client = Browser(root)
    acting = 0
    for model, model_admin in admin.site._registry.items():
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in model_admin.actions:
            body = {"action": action, "_selected_action": chosen, "reason": "x", "confirmed": "yes"}
            assert client.post(path, body).status_code < 500, (path, action)
            acting += 1
        for part in ("change", "delete", "history"):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{part}"
            if chosen:
                assert client.get(reverse(name, args=[chosen])).status_code < 500, name
    assert acting > 5


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


def test_the_first_page_and_the_trail_name_what_staff_did_and_why(filled: Customer, root: User) -> None:
    """The first page had Django's "Recent actions", which knew of no act, and rows a history that was always empty."""
    browser = Browser(root)
    person = filled.user
    browser.post(f"/admin/accounts/user/{person.pk}/acts/reset-link/", {"reason": "Lost the note with it"})
    index = browser.get("/admin/").content.decode()
    assert "What you did last" in index and "Lost the note with it" in index
    assert "Recent actions" not in index
    assert (
        "Lost the note with it" in browser.get(f"/admin/accounts/auditentry/?q={person.pk}").content.decode()
    )
    row = browser.get(f"/admin/accounts/user/{person.pk}/change/").content.decode()
    assert f"/admin/accounts/auditentry/?q={person.pk}" in row
