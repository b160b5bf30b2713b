"""All pages of the admin, with something of everything in the database.

No page fails; whatever a POST changes leaves a line with a reason in the audit trail, and without a reason nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEntry, User
from tests.billing.conftest import Customer, customer, shop, stripe_at_sandbox
from tests.fixtures.admin_pages import Browser, Page, filled, form_of, pages, registered, root
from tests.fixtures.forms import Form
from tests.fixtures.samples import part, sampled

__all__ = ["customer", "filled", "root", "shop", "stripe_at_sandbox"]  # fixtures

# What the pages themselves write: sessions, Django's own log of changes, and the trail.
OWN_TABLES = {"django_session", "django_admin_log", "accounts_auditentry", "usersessions_usersession"}


# --- Pages work ---------------------------------------------------------------------------------------------------


@sampled(8)
def test_no_search_and_no_order_fails(filled: Customer, root: User, step: int) -> None:
    """L6: a list whose search failed for everybody."""
    client = Browser(root)
    always = [f"q={filled.organization.pk}", "o=1.2"]
    strange = [
        "q=x",
        "q=192.0.2.1+x",
        "q=%00",
        "e=1",
        "p=999",
        "p=x",
        f"p={'9' * 40}",
        "o=x.-.99999999999999999999",
    ]
    for turn, model in enumerate(admin.site._registry):
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for query in [*always, *part(strange, step=step, turn=turn)]:
            assert client.get(f"{path}?{query}").status_code < 500, (path, query)


def test_no_action_fails_for_rows_that_there_are_not(filled: Customer, root: User) -> None:
    client = Browser(root)
    for chosen in ("x", "", "-1", "9" * 40, "a\0b", "0" * 5_000):
        assert actions_on(client, chosen) > 5


def actions_on(client: Browser, chosen: str) -> int:
    """How many actions and pages were asked for the row `chosen`, none of which may fail."""
    acting = 0
    for model, model_admin in registered():
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in model_admin.actions:
            body = {"action": action, "_selected_action": chosen, "reason": "x", "confirmed": "yes"}
            assert client.post(path, body).status_code < 500, (path, action)
            acting += 1
        for page in ("change", "delete", "history"):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
            if chosen:
                assert client.get(reverse(name, args=[chosen])).status_code < 500, name
    return acting


# --- Every change leaves a trail ----------------------------------------------------------------------------------


def written() -> dict[str, int]:
    """How many rows of which table this transaction has written so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"
            " WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"
        )
        return {table: count for table, count in cursor.fetchall() if table not in OWN_TABLES}


class Watch:
    """What POSTs write, and what they leave in the audit trail."""

    def __init__(self, client: Browser) -> None:
        self.client = client
        self.rows = written()
        self.entries = set(AuditEntry.objects.values_list("pk", flat=True))

    def changed_by(self, page: Page, body: dict[str, Any]) -> tuple[set[str], list[AuditEntry]]:
        """The tables that were written to, and the new entries, since the last POST."""
        answer = self.client.post(page.path, body)
        assert answer.status_code in (200, 302, 403, 404), page
        before, self.rows = self.rows, written()
        tables = {table for table, count in self.rows.items() if count != before.get(table, 0)}
        entries = list(AuditEntry.objects.exclude(pk__in=self.entries))
        self.entries |= {entry.pk for entry in entries}
        return tables, entries


def bodies(form: Form) -> Iterator[dict[str, Any]]:
    """The form with one field changed at a time."""
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


@sampled(4)
def test_without_a_reason_nothing_is_changed_and_with_one_it_is_in_the_trail(
    filled: Customer, root: User, step: int
) -> None:
    """M4. Each form as it stands, and with every fourth of its fields changed."""
    client = Browser(root)
    watch = Watch(client)
    effective = set()
    for turn, page in enumerate(pages()):
        form = form_of(client, page)
        for body in [*part(list(bodies(form)), step=step, turn=turn), form.values]:
            tables, entries = watch.changed_by(page, body | {"reason": " "} | dict(page.extra))
            assert (tables, entries) == (set(), []), page
            tables, entries = watch.changed_by(page, body | {"reason": "Because"} | dict(page.extra))
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
