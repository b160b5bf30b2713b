"""What is due is found without reading what is not: a job and /metrics ask all day, however many licenses there are."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from accounts import organizations
from accounts.models import Organization
from licensing import licenses
from licensing.models import License
from superagent.foundation.identifiers import uuid7
from tests.fixtures import database
from tests.test_retention import rows_read

DAY = timedelta(days=1)
MANY = 3_000


def crowd(organizations: list[Organization], like: License, **fields: Any) -> None:
    License.objects.bulk_create(
        License(
            organization=each,
            policy=like.policy,
            key_hash=uuid7().bytes * 2,
            key_encrypted=b"",
            key_made_at=like.key_made_at,
            issued_at=like.issued_at,
            **fields,
        )
        for each in organizations
    )


def analyze(*tables: str) -> None:
    """What the planner knows is the owner's to bring up to date."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        for table in tables:
            owner.execute(f"ANALYZE {table}".encode())


@pytest.mark.django_db(transaction=True)
def test_due_licenses_are_found_by_indexes(
    system_scope: None, organization: Organization, make_license: Any
) -> None:
    """All that were alive were read, each with its organization, because each might have had a clock of its own."""
    now = timezone.now()
    others = Organization.objects.bulk_create(
        Organization(name=f"Customer {number}", email="a@acme.example") for number in range(MANY)
    )
    due = make_license(organization, renews_at=now - 30 * DAY)
    crowd(others, due, status="active", expires_at=now + DAY, suspends_at=now + DAY)
    crowd(others, due, status="expired", expires_at=now - 9 * DAY)
    crowd(others, due, status="suspended", suspension_reason="payment", expires_at=now + DAY)
    crowd(others, due, status="suspended", suspension_reason="manual", expires_at=now - DAY)
    on_test_clock = Organization.objects.create(name="Test clock", email="olga@acme.example")
    on_test_clocks = make_license(on_test_clock, renews_at=now + 30 * DAY)
    organizations.set_test_clock_time(organization=on_test_clock, test_clock_time=now + 90 * DAY)
    analyze("licensing_license", "accounts_organization")
    asked = {
        due: License.objects.due(now),
        on_test_clocks: License.objects.due_on_test_clocks(),
    }
    for found, queryset in asked.items():
        assert list(queryset) == [found]
        assert rows_read(queryset.order_by()) < 50, queryset.explain()
    late = License.objects.late(now)
    assert list(late) == [due]
    assert rows_read(late.order_by()) < 50, late.explain()
    assert licenses.sync_due_statuses(now=now) == 2
    assert not License.objects.late(now).exists()
