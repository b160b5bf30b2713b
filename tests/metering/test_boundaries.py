"""Where one usage period ends and the next begins: exact to the microsecond on every path, and what is shown is what is
billed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from accounts.models import Organization
from metering.analytics import statistics
from metering.models import Quota, RatedLine, UsageEvent, UsagePeriod
from metering.quotas import facts, periods
from metering.rating import counting
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import give, terms

MICROSECOND = timedelta(microseconds=1)
START = datetime(2026, 1, 1, 9, 30, 0, 50_000, tzinfo=UTC)
END = datetime(2026, 2, 1, 9, 30, 0, 50_000, tzinfo=UTC)


def signed_up(organization: Organization, *wanted: object) -> Organization:
    organization.created_at = START
    organization.save()
    give(organization, *(wanted or (terms("ai_tokens", 0, rate="1"),)), now=START)
    return organization


def report(organization: Organization, name: str, quantity: int, *, at: datetime, now: datetime) -> None:
    event = EventIn(name, "ai_tokens", quantity, occurred_at=at)
    with tenancy.isolated(), tenancy.tenant(organization):
        outcome = ingest.record(organization=organization, events=[event], principal=None, now=now)
    assert outcome.accepted == 1, outcome


def counted(organization: Organization, meter: str = "ai_tokens") -> dict[datetime, int]:
    """What is billed, by the start of its period."""
    rows = Quota.objects.filter(organization=organization, meter__slug=meter).select_related("period")
    return {row.period.start: row.total for row in rows.order_by("period__start")}


def shown(organization: Organization, meter: str = "ai_tokens") -> dict[datetime, int]:
    """What usage/stats says of the same times."""
    found = {}
    for period in UsagePeriod.objects.filter(organization=organization).order_by("start"):
        sums = dict(statistics.by_meter(organization, period.start, period.end))
        if Quota.objects.filter(period=period, meter__slug=meter).exists():
            found[period.start] = sums.get(meter, 0)
    return found


@pytest.mark.usefixtures("system_scope")
def test_an_event_at_the_end_counts_in_the_next_period_though_it_has_not_begun(
    organization: Organization,
) -> None:
    """Metering A5: clients' clocks may be five minutes ahead."""
    signed_up(organization)
    now = END - timedelta(minutes=2)
    for quantity, at in ((1, END - MICROSECOND), (10, END), (100, END + timedelta(minutes=3))):
        report(organization, f"of {quantity}", quantity, at=at, now=now)
    assert counted(organization) == shown(organization) == {START: 1, END: 110}
    assert periods.ensure(organization=organization, now=now).start == START
    assert periods.ensure(organization=organization, now=END).start == END
    assert periods.close_due(now=END) == 1
    assert list(RatedLine.objects.values_list("quantity", flat=True)) == [1]


@pytest.mark.usefixtures("system_scope")
def test_terms_that_change_meanwhile_hold_for_the_period_that_was_opened_ahead(
    organization: Organization,
) -> None:
    signed_up(organization)
    now = END - timedelta(minutes=2)
    report(organization, "ahead", 10, at=END, now=now)
    give(organization, terms("ai_tokens", 0, rate="3"), now=now + timedelta(minutes=1))
    quota = Quota.objects.get(period__start=END)
    assert (quota.used, quota.overage_rate, quota.former_terms.count()) == (10, 3, 0)


@pytest.mark.usefixtures("system_scope")
def test_months_begun_anew_undo_a_period_that_was_opened_ahead(organization: Organization) -> None:
    signed_up(organization)
    begins = END - timedelta(minutes=3)
    report(organization, "ahead", 10, at=END + timedelta(seconds=1), now=END - timedelta(minutes=2))
    assert UsagePeriod.objects.count() == 2
    period = periods.begin(organization=organization, start=begins, now=END - timedelta(minutes=1))
    assert counted(organization) == shown(organization) == {START: 0, begins: 10}
    assert period.start == begins


@pytest.mark.usefixtures("system_scope")
def test_late_use_of_a_closed_period_that_had_none_of_its_meter_is_late(organization: Organization) -> None:
    """Metering A5: it was counted as used, and never rated."""
    signed_up(organization, terms("api_requests", 0))
    assert periods.close_due(now=END) == 1
    report(organization, "late", 5, at=START + timedelta(days=3), now=END + timedelta(days=1))
    quota = Quota.objects.get(meter__slug="ai_tokens")
    assert (quota.is_closed, quota.used, quota.late_quantity) == (True, 0, 5)
    assert UsageEvent.objects.get().is_late


@pytest.mark.usefixtures("system_scope")
def test_after_a_test_clock_what_is_used_counts_in_the_open_period(organization: Organization) -> None:
    """Metering A5: the books are ahead of the clock; nothing goes into periods that are closed."""
    signed_up(organization, terms("ai_tokens", 1000, hard=True))
    organization.test_clock_time = START + timedelta(days=200)
    organization.save()
    report(organization, "on-test-clock", 1000, at=START + timedelta(days=1), now=START + timedelta(days=1))
    periods.ensure(organization=organization, now=organization.test_clock_time)
    assert periods.close_due(now=START) == 6
    organization.test_clock_time = None
    organization.save()
    now = START + timedelta(days=2)
    report(organization, "real", 700, at=now, now=now)
    report(organization, "real, a little late", 200, at=now - timedelta(hours=1), now=now)
    newest = UsagePeriod.objects.latest("start")
    assert list(counted(organization).items())[-1] == (newest.start, 900)
    assert not UsageEvent.objects.filter(is_late=True).exists()


@pytest.mark.usefixtures("system_scope")
def test_use_is_refused_a_period_that_ended_while_it_was_chosen(organization: Organization) -> None:
    signed_up(organization)
    period = UsagePeriod.objects.get()
    key = (period.pk, Quota.objects.get().meter_id)
    quota = counting.lock([key])[key]
    counting.check_periods([counting.Use(quota, END - MICROSECOND, 1)])
    UsagePeriod.objects.update(end=END - timedelta(days=1))
    with pytest.raises(counting.PeriodMoved):
        counting.check_periods([counting.Use(quota, END - timedelta(days=1), 1)])


@pytest.mark.django_db(transaction=True)
def test_events_that_come_while_months_begin_anew_count_where_they_belong(organization: Organization) -> None:
    """Eight senders, and months that begin anew at moments that have passed already."""
    with tenancy.system("test"):
        signed_up(organization)
    begins = [START + timedelta(days=number) for number in range(1, 7)]
    now = START + timedelta(days=8)
    errors: list[BaseException] = []

    def send(sender: int) -> None:
        try:
            for number in range(25):
                at = START + timedelta(hours=number * 7 + sender, microseconds=sender)
                report(organization, f"{sender}-{number}", 1 + number, at=at, now=now)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            errors.append(error)
        finally:
            connections.close_all()

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for sender in senders:
        sender.start()
    with tenancy.system("test"):
        for start in begins:
            periods.begin(organization=organization, start=start, now=now)
    for sender in senders:
        sender.join()
    assert errors == []
    with tenancy.system("test"):
        assert counted(organization) == shown(organization)
        assert sum(counted(organization).values()) == 8 * sum(range(1, 26))
        for event in UsageEvent.objects.select_related("period"):
            assert event.period.contains(event.occurred_at)
        assert not facts.is_used_since(UsagePeriod.objects.earliest("start"), begins[0])
