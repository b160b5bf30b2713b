"""Meters of max, latest and unique: what their quotas mean, what is charged, and many at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.models import HourlyLevel, Meter, Quota, RatedLine
from metering.quotas import periods, quota_status
from metering.usage import ingest, reconciliation, rollups, voids
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, quota_of, terms
from tests.metering.test_aggregations import make_event, make_meter
from tests.metering.usage.test_ingest_races import in_threads

START = datetime(2026, 1, 1, tzinfo=UTC)
SLUG = "measured"


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def new_meter(aggregation: str) -> Meter:
    with tenancy.system("test"):
        return make_meter(aggregation)


def record(organization: Organization, *events: EventIn, now: datetime | None = None) -> ingest.Outcome:
    with tenancy.isolated(), tenancy.tenant(organization):
        return ingest.record(
            organization=organization, events=events, principal=None, now=now or timezone.now()
        )


def rejected(outcome: ingest.Outcome) -> list[tuple[int, str]]:
    return [(each.index, each.code) for each in outcome.rejected]


# --- At the same moment


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("aggregation", "level"), [("max", 47), ("latest", 40), ("unique", 48)])
def test_batches_at_the_same_moment_make_one_level(
    organization: Organization, aggregation: str, level: int
) -> None:
    """Eight senders, values 0 to 47 in many orders; the latest moment has the quantity 40. Some events come twice."""
    meter = new_meter(aggregation)
    give(organization, terms(SLUG, 10, rate="1"))
    now = timezone.now()

    def sender(number: int) -> Callable[[], Any]:
        values = [value for value in range(48) if value % 4 == number % 4]
        events = [
            make_event(meter, value, value, now - timedelta(minutes=abs(value - 40) * 7)) for value in values
        ]
        return lambda: [
            record(organization, *events[n : n + 3]) for n in range(0, 12, 3)[:: 1 if number % 2 else -1]
        ]

    outcomes = in_threads([sender(number) for number in range(8)])
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert sum(each.accepted for sent in outcomes for each in sent) == 48
    with tenancy.system("test"):
        assert sum(Quota.objects.filter(meter=meter).values_list("used", flat=True)) == level
        start = rollups.hour_of(now) - timedelta(days=1)
        assert reconciliation.reconcile_usage(start=start, end=start + timedelta(days=2)) == 0


@pytest.mark.django_db(transaction=True)
def test_distinct_values_never_exceed_a_hard_quota(organization: Organization) -> None:
    meter = new_meter("unique")
    give(organization, terms(SLUG, 5, hard=True))
    now = timezone.now()

    def sender(number: int) -> Callable[[], Any]:
        return lambda: record(
            organization, *(make_event(meter, f"{number}-{n}", (number + n) % 12, now) for n in range(12))
        )

    outcomes = in_threads([sender(number) for number in range(8)])
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert quota_of(organization, SLUG).used == 5
    with tenancy.system("test"):
        assert HourlyLevel.objects.filter(meter=meter).count() == 5


@pytest.mark.django_db(transaction=True)
def test_an_event_and_its_void_at_the_same_moment_leave_what_the_events_say(
    organization: Organization,
) -> None:
    meter = new_meter("max")
    give(organization, terms(SLUG, 10, rate="1"))
    now = timezone.now()
    record(organization, *(make_event(meter, n, n, now) for n in range(20)))

    def take_back(name: int) -> Callable[[], Any]:
        def run() -> Any:
            with tenancy.tenant(organization):
                return voids.void(
                    organization=organization, source="api", event_id=str(name), principal=None, now=now
                )

        return run

    adders = [lambda n=n: record(organization, make_event(meter, f"new-{n}", n, now)) for n in (3, 7, 11)]
    outcomes = in_threads([*(take_back(name) for name in range(19, 11, -1)), *adders])
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert quota_of(organization, SLUG).used == 11


# --- Hard quotas


@pytest.mark.django_db(transaction=True)
def test_a_hard_quota_of_unique_takes_known_values_and_refuses_new_ones(
    organization: Organization, api: Api
) -> None:
    new_meter("unique")
    give(organization, terms(SLUG, 2, hard=True))

    def send(name: str, who: object) -> Any:
        return api.post("usage/events", {"event_id": name, "meter": SLUG, "properties": {"who": who}})

    assert [send(str(n), who).status_code for n, who in enumerate(["a", 7, "a", "7"])] == [200] * 4
    refused = send("new", "b")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert api.post("quotas/check", {"meter": SLUG, "quantity": 1}).json()["allowed"] is False
    assert quota_of(organization, SLUG).used == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("aggregation", ["max", "latest"])
def test_a_hard_quota_of_a_level_refuses_what_is_higher_whenever_it_occurred(
    organization: Organization, aggregation: str
) -> None:
    """An earlier, higher event would show as soon as the latest is taken back."""
    meter = new_meter(aggregation)
    give(organization, terms(SLUG, 10, hard=True))
    now = timezone.now()
    outcome = record(
        organization,
        make_event(meter, "a", 10, now),
        make_event(meter, "b", 50, now - timedelta(hours=1)),
        make_event(meter, "c", 9, now),
        make_event(meter, "d", 11, now),
    )
    assert (outcome.accepted, rejected(outcome)) == (2, [(1, "quota_exceeded"), (3, "quota_exceeded")])
    with tenancy.tenant(organization):
        for quantity, allowed in ((10, True), (11, False)):
            checked = quota_status.check(
                organization=organization, meter_slug=SLUG, quantity=quantity, now=now
            )
            assert checked.allowed is allowed


# --- Terms and rating


@pytest.fixture
def levels_since_new_year(organization: Organization, system_scope: None) -> Organization:
    organization.created_at = START
    organization.save()
    return organization


@pytest.mark.django_db
def test_a_change_of_plan_sets_the_limit_of_a_level_and_charges_what_was_reached_by_the_terms_of_then(
    levels_since_new_year: Organization,
) -> None:
    organization, meter = levels_since_new_year, make_meter("max")
    give(organization, terms(SLUG, 20, rate="100"), now=START)
    record(organization, make_event(meter, "a", 15, day(3)), now=day(3))
    give(organization, terms(SLUG, 10, rate="50"), now=day(10))
    quota = Quota.objects.get(meter=meter, period__start=START)
    assert (quota.included, quota.used) == (10, 15)  # whole, not a share
    record(organization, make_event(meter, "b", 18, day(12)), now=day(12))
    periods.close_due(now=day(40))
    lines = RatedLine.objects.values_list("quantity", "amount", "kind")
    assert list(lines) == [(3, 150, "overage")]  # 15 were within the 20 of then


@pytest.mark.django_db
def test_late_and_void_levels_are_rated_with_the_next_period(levels_since_new_year: Organization) -> None:
    organization, meter = levels_since_new_year, make_meter("unique")
    give(organization, terms(SLUG, 2, rate="10"), now=START)
    record(organization, *(make_event(meter, who, who, day(3)) for who in range(4)), now=day(3))
    periods.close_due(now=day(33))
    record(organization, make_event(meter, "late", 9, day(4)), now=day(34))
    record(organization, make_event(meter, "known", 3, day(5)), now=day(34))
    periods.close_due(now=day(62))
    voids.void(organization=organization, source="api", event_id="late", principal=None, now=day(63))
    voids.void(organization=organization, source="api", event_id="3", principal=None, now=day(63))
    periods.close_due(now=day(95))
    lines = RatedLine.objects.order_by("period__start").values_list("quantity", "amount", "kind")
    assert list(lines) == [(2, 20, "overage"), (1, 10, "adjustment"), (-1, -10, "adjustment")]


# --- What is sent


@pytest.mark.django_db(transaction=True)
def test_an_event_says_what_the_aggregation_needs(organization: Organization, api: Api) -> None:
    new_meter("unique")

    def send(**more: Any) -> Any:
        return api.post("usage/events", {"event_id": "1", "meter": SLUG} | more)

    for properties in ({}, {"who": ""}, {"who": 1.5}, {"who": True}, {"who": None}, {"who": "x" * 201}):
        answer = send(properties=properties).json()
        assert [(each["pointer"], each["code"]) for each in answer["errors"]] == [
            ("/properties/who", "invalid_value")
        ]
    answer = send(properties={"who": "a"}, quantity=2).json()
    assert [(each["pointer"], each["code"]) for each in answer["errors"]] == [
        ("/quantity", "invalid_quantity")
    ]
    cloud = {"specversion": "1.0", "id": "1", "source": "/here", "type": "test.measured"}
    answer = api.post("usage/events", cloud | {"data": {"who": []}}).json()
    assert [each["pointer"] for each in answer["errors"]] == ["/data/who"]
    assert api.post("usage/events", cloud | {"data": {"who": "Zoë"}}).json()["accepted"] == 1
    assert quota_of(organization, SLUG).used == 1
    listed = {each["meter"]: each["aggregation"] for each in api.get("usage/meters").json()["data"]}
    assert (listed[SLUG], listed["ai_tokens"]) == ("unique", "sum")
    assert {"meter": SLUG, "quantity": 1} in api.get("usage/stats").json()["meters"]
