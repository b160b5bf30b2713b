"""Each aggregation against a naive recomputation from the events, whatever comes, in any order, late, twice or void."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering.aggregations import Aggregation
from metering.analytics import statistics
from metering.models import REQUESTS, FormerTerms, HourlyLevel, Meter, Quota, UsageEvent
from metering.quotas import periods
from metering.usage import ingest, reconciliation, voids
from metering.usage.events import EventIn
from metering.usage.rollups import HOUR, hour_of
from superagent.foundation import tenancy
from tests.metering.conftest import give, terms

START = datetime(2026, 1, 1, 0, 20, tzinfo=UTC)
CHANGE = START + timedelta(hours=30, minutes=17)
TURN = START + timedelta(hours=61, minutes=5)
NOW = START + timedelta(hours=100)


def make_meter(aggregation: str) -> Meter:
    is_unique = aggregation == Aggregation.UNIQUE
    return Meter.objects.create(
        slug="measured",
        name="Measured",
        unit="units",
        event_name="test.measured",
        value_property="who" if is_unique else "",
        aggregation=aggregation,
    )


def make_event(meter: Meter, name: object, quantity: int, at: datetime, **more: Any) -> EventIn:
    """What the quantity is for the others, the value is for unique."""
    if meter.aggregation == Aggregation.UNIQUE:
        return EventIn(str(name), meter.slug, 1, at, properties={"who": quantity}, **more)
    if meter.aggregation == Aggregation.COUNT:
        return EventIn(str(name), meter.slug, 1, at, **more)
    return EventIn(str(name), meter.slug, quantity, at, **more)


NAIVE: dict[str, Callable[[list[UsageEvent]], int]] = {
    "sum": lambda events: sum(each.quantity for each in events),
    "count": len,
    "max": lambda events: max((each.quantity for each in events), default=0),
    "latest": lambda events: (
        max(events, key=lambda each: (each.occurred_at, each.pk)).quantity if events else 0
    ),
    "unique": lambda events: len({each.properties["who"] for each in events}),
}


class Books:
    """An organization with one meter, and what happens to it."""

    def __init__(self, aggregation: str) -> None:
        self.meter = make_meter(aggregation)
        self.naive = NAIVE[aggregation]
        self.organization = Organization.objects.create(name="Any", email="a@example.com", created_at=START)
        give(self.organization, terms("measured", 5, rate="1"), now=START)

    def send(self, sent: Iterable[tuple[int, int, int]]) -> None:
        events = [
            make_event(self.meter, name, quantity, START + timedelta(minutes=minute))
            for name, quantity, minute in sent
        ]
        ingest.record(organization=self.organization, events=events, principal=None, now=NOW)

    def void(self, name: int) -> None:
        if UsageEvent.objects.filter(organization=self.organization, event_id=str(name)).exists():
            voids.void(
                organization=self.organization, source="api", event_id=str(name), principal=None, now=NOW
            )

    def change_terms(self, _: int) -> None:
        give(self.organization, terms("measured", 7, rate="2"), now=CHANGE)

    def begin_period(self, _: int) -> None:
        """Months begin anew, the former period is closed, and events after the moment move."""
        periods.begin(organization=self.organization, start=TURN, now=NOW)

    def events(self, **conditions: Any) -> list[UsageEvent]:
        return list(
            UsageEvent.objects.filter(organization=self.organization, void__isnull=True, **conditions)
        )

    def check(self) -> None:
        for quota in Quota.objects.filter(organization=self.organization, meter=self.meter):
            assert quota.total == self.naive(self.events(period=quota.period_id))
            for former in FormerTerms.objects.filter(quota=quota):
                before = self.events(period=quota.period_id, occurred_at__lt=former.replaced_at)
                assert former.used_until == self.naive(before)
        self._check_statistics()
        day = START.replace(hour=0, minute=0)
        assert reconciliation.reconcile_usage(start=day, end=day + timedelta(days=6)) == 0
        assert reconciliation.reconcile_quotas(now=NOW, kept_months=13) == 0

    def _check_statistics(self) -> None:
        start, end = START + timedelta(minutes=7), NOW - timedelta(minutes=13)
        shown = self.events(occurred_at__gte=start, occurred_at__lt=end)
        hours = {hour_of(each.occurred_at): [] for each in shown}
        for each in shown:
            hours[hour_of(each.occurred_at)].append(each)
        points = statistics.series(self.organization, start, end, interval=HOUR, dimension="meter")
        assert {point.start: point.quantity for point in points} == {
            hour: figure for hour, events in hours.items() if (figure := self.naive(events))
        }
        assert dict(statistics.by_meter(self.organization, start, end)).get("measured", 0) == self.naive(
            shown
        )


sent = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 9), st.integers(0, 5900)), min_size=1, max_size=12
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("send"), sent),
        st.tuples(st.just("void"), st.integers(0, 15)),
        st.tuples(st.sampled_from(["change_terms", "begin_period"]), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.django_db
@pytest.mark.parametrize("aggregation", Aggregation.values)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(happened=actions)
def test_every_figure_is_what_the_events_say(
    aggregation: str, happened: list[tuple[str, Any]], db: None
) -> None:
    """Events in any order, several times, late for a closed period, taken back; with a change of terms and months that
    begin anew in the middle."""
    with transaction.atomic(), tenancy.system("test"):
        books = Books(aggregation)
        for action, argument in happened:
            getattr(books, action)(argument)
        books.check()
        transaction.set_rollback(True)


@pytest.fixture
def scope(system_scope: None, db: None) -> None:
    pass


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("aggregation", ["max", "latest", "unique"])
def test_levels_that_are_wrong_are_repaired_from_the_events(aggregation: str) -> None:
    books = Books(aggregation)
    books.send([(1, 4, 10), (2, 6, 20), (3, 2, 200)])
    HourlyLevel.objects.filter(hour=hour_of(START)).delete()
    last = HourlyLevel.objects.get()
    last.quantity = 99
    last.save()
    day = START.replace(hour=0, minute=0)
    assert reconciliation.reconcile_usage(start=day, end=day + timedelta(days=1)) == 2
    books.check()


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("aggregation", ["max", "latest", "unique"])
def test_a_void_of_what_decides_uncovers_what_was_before(aggregation: str) -> None:
    books = Books(aggregation)
    books.send([(1, 4, 10), (2, 4, 11), (3, 6, 30)])
    for name, left in ((3, {"max": 4, "latest": 4, "unique": 1}), (2, {"max": 4, "latest": 4, "unique": 1})):
        books.void(name)
        books.void(name)
        assert Quota.objects.get(meter=books.meter).used == left[aggregation]
    books.void(1)
    assert Quota.objects.get(meter=books.meter).used == 0
    books.check()


@pytest.mark.usefixtures("scope")
def test_a_meter_keeps_its_aggregation() -> None:
    meter = make_meter("unique")
    for change in ({"aggregation": "sum"}, {"value_property": "other"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Meter.objects.filter(pk=meter.pk).update(**change)
    Meter.objects.filter(pk=meter.pk).update(name="Renamed")


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize(
    "wrong",
    [
        {"aggregation": "unique"},
        {"aggregation": "count", "value_property": "n"},
        {"slug": REQUESTS, "aggregation": "max"},
    ],
)
def test_a_meter_must_suit_its_aggregation(wrong: dict[str, str]) -> None:
    Meter.objects.filter(slug=REQUESTS).delete()
    meter = Meter(**{"slug": "odd", "name": "Odd", "unit": "units", "event_name": "odd"} | wrong)
    with pytest.raises(ValidationError):
        meter.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        meter.save()


@pytest.mark.parametrize(
    ("aggregation", "quantity", "used", "fits"),
    [
        ("sum", 3, 7, True),
        ("sum", 4, 7, False),
        ("count", 1, 10, False),
        ("unique", 1, 9, True),
        ("max", 10, 9, True),
        ("max", 11, 0, False),
        ("latest", 10, 10, True),
    ],
)
def test_what_fits_a_limit_of_ten(aggregation: str, quantity: int, used: int, fits: bool) -> None:
    assert Aggregation(aggregation).fits(quantity=quantity, used=used, limit=10) is fits


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("aggregation", Aggregation.values)
def test_what_comes_late_for_the_hour_in_which_terms_changed_counts_by_the_former_ones(
    aggregation: str,
) -> None:
    """That part of an hour is read from its events, which are there (or taken back) before their level is."""
    books = Books(aggregation)
    books.change_terms(0)
    minutes = (CHANGE - START) // timedelta(minutes=1)
    books.send([(1, 4, minutes - 5)])
    books.check()
    books.send([(2, 6, minutes - 3), (3, 9, minutes + 3)])
    books.check()
    for name in (2, 1):
        books.void(name)
        books.check()
