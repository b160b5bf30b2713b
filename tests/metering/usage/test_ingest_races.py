"""Batches of events at the same moment, and whatever batches: each event once, no deadlock, no unit too many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, UsageEvent
from metering.usage import ingest, reconciliation, rollups, voids
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import give, quota_of, terms

TOKENS = "ai_tokens"


def in_threads(functions: list[Callable[[], Any]]) -> list[Any]:
    """Run at the same moment; answers results and exceptions."""
    barrier, results = threading.Barrier(len(functions)), []

    def run(function: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - a result like any other here
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_the_same_event_from_many_threads_counts_once(organization: Organization) -> None:
    give(organization, terms(TOKENS, 1000, rate="1"))

    def send() -> ingest.Outcome:
        with tenancy.tenant(organization):
            return ingest.record(
                organization=organization,
                events=[EventIn("same", TOKENS, 5), EventIn("other", "storage_mb_hours", 1)],
                principal=None,
                now=timezone.now(),
            )

    outcomes = in_threads([send] * 8)
    assert sum(outcome.accepted for outcome in outcomes) == 2
    assert sum(outcome.duplicates for outcome in outcomes) == 14
    assert quota_of(organization, TOKENS).used == 5


@pytest.mark.django_db(transaction=True)
def test_the_last_units_are_given_exactly_once(organization: Organization) -> None:
    give(organization, terms(TOKENS, 5, hard=True))

    def send(name: int) -> Callable[[], ingest.Outcome]:
        def run() -> ingest.Outcome:
            with tenancy.tenant(organization):
                return ingest.record(
                    organization=organization,
                    events=[EventIn(f"e{name}", TOKENS, 1)],
                    principal=None,
                    now=timezone.now(),
                )

        return run

    outcomes = in_threads([send(name) for name in range(10)])
    assert sum(outcome.accepted for outcome in outcomes) == 5
    assert quota_of(organization, TOKENS).used == 5


@pytest.mark.django_db(transaction=True)
def test_batches_in_all_orders_never_deadlock(organization: Organization) -> None:
    give(organization, terms(TOKENS, 10**9, rate="1"))
    meters = [TOKENS, "storage_mb_hours", "api_requests"]
    hours = [timezone.now() - timedelta(hours=n) for n in range(6)]

    def send(number: int) -> Callable[[], ingest.Outcome]:
        batch = [
            EventIn(f"{n}", meters[(n + number) % 3], 1, occurred_at=hours[(n * number) % 6])
            for n in range(60)
        ] + [EventIn(f"{number}-{n}", meters[n % 3], 1, occurred_at=hours[n % 6]) for n in range(60)]
        batch = batch[::-1] if number % 2 else batch

        def run() -> ingest.Outcome:
            with tenancy.tenant(organization):
                return ingest.record(
                    organization=organization, events=batch, principal=None, now=timezone.now()
                )

        return run

    outcomes = in_threads([send(number) for number in range(8)])
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert sum(each.accepted for each in outcomes) == 60 + 8 * 60
    with tenancy.system("test"):
        assert UsageEvent.objects.count() == 540
        assert sum(Quota.objects.values_list("used", flat=True)) == 540
        start = rollups.hour_of(hours[-1])
        assert reconciliation.reconcile_usage(start=start, end=start + timedelta(hours=10)) == 0


quantities = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40)), max_size=25)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(quantities, min_size=1, max_size=4), limit=st.integers(0, 100))
def test_whatever_is_sent_quota_and_events_agree(
    batches: list[list[tuple[int, int]]], limit: int, db: None
) -> None:
    """Each id counts at most once, the sum never exceeds the limit, and a repeated batch changes nothing."""
    with tenancy.system("test"):
        organization = Organization.objects.create(name="Any", email="a@example.com")
    give(organization, terms(TOKENS, limit, hard=True))
    with tenancy.tenant(organization):
        for batch in [*batches, *batches]:
            events = [EventIn(str(name), TOKENS, quantity) for name, quantity in batch]
            outcome = ingest.record(
                organization=organization, events=events, principal=None, now=timezone.now()
            )
            assert outcome.accepted + outcome.duplicates + len(outcome.rejected) == len(events)
        stored = dict(UsageEvent.objects.visible_to(organization).values_list("event_id", "quantity"))
        quota = Quota.objects.visible_to(organization).get(meter__slug=TOKENS)
        assert quota.used == sum(stored.values()) <= limit
        for event_id in stored:
            voids.void(
                organization=organization, source="api", event_id=event_id, principal=None, now=timezone.now()
            )
        quota.refresh_from_db()
        assert quota.used == 0
