import re
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory

from accounts import audit, organizations
from accounts.models import AuditEntry
from superagent.foundation import tenancy
from tests.accounts.conftest import api_of, key_of, page_of
from tests.fixtures import database


def entry(organization, **fields) -> AuditEntry:
    return audit.record(action="thing.done", organization=organization, **fields)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET action = 'x'",
        "DELETE FROM accounts_auditentry",
        "TRUNCATE accounts_auditentry CASCADE",
    ],
)
def test_the_database_refuses_changes_by_web_and_system(acme, statement):
    entry(acme)
    for scope in (tenancy.tenant(acme), tenancy.system("test")):
        with scope, pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with tenancy.tenant(acme):
        assert AuditEntry.objects.filter(action="thing.done").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", ["UPDATE {} SET action = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_changes_by_the_owner(acme, statement):
    import psycopg

    entry(acme)
    with (
        psycopg.connect(database.url("owner")) as owner,
        pytest.raises(psycopg.DatabaseError, match="append-only"),
    ):
        owner.execute(statement.format("accounts_auditentry"))


def test_the_orm_cannot_change_an_entry(acme):
    made = entry(acme)
    with tenancy.system("test"), pytest.raises(DatabaseError), transaction.atomic():
        made.delete()


def test_an_entry_knows_actor_request_and_target(acme, owner):
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.7")
    request.request_id, request.user = "abcdef1234", owner
    made = entry(acme, target=acme, request=request, detail={"a": 1})
    assert (made.actor, made.actor_label, made.ip_address, made.request_id) == (
        owner,
        owner.email,
        "192.0.2.7",
        "abcdef1234",
    )
    assert (made.target_type, made.target_id, made.target_label) == ("organization", str(acme.pk), "Acme")


def test_without_a_request_the_system_did_it(acme):
    assert entry(acme).actor_label == "System"


def test_entries_are_walled(acme, globex):
    entry(acme)
    with tenancy.tenant(globex):
        assert not AuditEntry.objects.filter(action="thing.done").exists()
    assert not AuditEntry.objects.exists()


def test_a_change_by_the_api_names_key_or_member_and_address(acme, owner):
    for caller, label in ((api_of(owner), owner.email), (key_of(acme), "test (sa_test_")):
        answer = caller(
            "PATCH",
            f"organizations/{acme.pk}",
            {"name": f"Acme {label[:4]}"},
            **{"X-Request-Id": "request-7"},
        )
        assert answer.status_code == 200
        with tenancy.tenant(acme):
            made = AuditEntry.objects.filter(action="organization.updated").first()
        assert made.actor_label.startswith(label)
        assert (made.ip_address, made.request_id) == ("127.0.0.1", "request-7")


def test_the_address_behind_trusted_proxies(rf, settings):
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": "203.0.113.9, 192.0.2.1"})
    assert audit.client_address(request) == "10.0.0.1"
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert audit.client_address(request) == "192.0.2.1"
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    assert audit.client_address(request) == "10.0.0.1"


@pytest.mark.parametrize(
    "proxies, forwarded, address",
    [
        (0, "192.0.2.1", "127.0.0.1"),  # nobody may be believed
        (1, None, "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "203.0.113.5, 192.0.2.1", "192.0.2.1"),  # what the caller sent stands before
        (1, "203.0.113.5,", "127.0.0.1"),
        (2, "203.0.113.5, 192.0.2.1", "203.0.113.5"),
        (2, "192.0.2.1", "127.0.0.1"),  # the caller went around one of them
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "192.0.2.1:80", "192.0.2.1"),
        (1, "nonsense", None),
    ],
)
def test_the_callers_address_behind_proxies(rf, settings, proxies, forwarded, address):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    given = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    assert audit.client_address(rf.get("/", headers=given)) == address


def test_details_are_told_in_words_and_not_twice(acme, owner):
    """The page showed slugs: "plan pro", "product pro", "interval month", beside a target that said "Pro"."""
    with tenancy.tenant(acme):
        audit.record(
            action="subscription.change_planned", organization=acme, actor=owner, target=acme, label="Enterprise → Pro",
            detail={"product": "pro", "plan": "pro", "interval": "month", "effective_at": "2026-12-21T12:00:00+00:00"},
        )  # fmt: skip
        audit.record(
            action="license.tier_changed", organization=acme, actor=owner, target=acme, label="NP-…",
            detail={"from": "nextpanel-professional", "to": "nextpanel-business"},
        )  # fmt: skip
    page = page_of(owner).get("/audit/").content.decode()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Enterprise → Pro billed monthly begins Dec 21, 2026, 12:00 UTC" in text
    assert "changed NextPanel Professional → NextPanel Business" in text
    assert "plan pro" not in text and "product pro" not in text


def test_a_test_clock_that_stands_still_leaves_one_line(acme):
    for _ in range(3):
        organizations.set_test_clock_time(organization=acme, test_clock_time=datetime(2027, 1, 1, tzinfo=UTC))
    with tenancy.tenant(acme):
        assert AuditEntry.objects.filter(action="organization.test_clock_time_set").count() == 1
