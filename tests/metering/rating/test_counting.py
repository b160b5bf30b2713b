"""Use has the terms of the moment at which it was used, on every path: late, taken back, or still on its way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, RatedLine, UsagePeriod
from metering.quotas import allowances, periods
from metering.request_path import shipping, spool
from metering.usage import ingest, voids
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import give, terms
from tests.metering.request_path.test_shipping import line

pytestmark = pytest.mark.usefixtures("system_scope")

START = datetime(2026, 1, 1, tzinfo=UTC)
CHANGE = START + timedelta(days=10)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@pytest.fixture
def changed(organization: Organization) -> Organization:
    """Every token costs 1 until the tenth day, and 0.01 from then on; so does every request."""
    organization.created_at = START
    organization.save()
    give(organization, terms("ai_tokens", 0, rate="1"), terms("api_requests", 0, rate="1"), now=START)
    return organization


def change(organization: Organization) -> None:
    give(organization, terms("ai_tokens", 0, rate="0.01"), terms("api_requests", 0, rate="0.01"), now=CHANGE)


def use(
    organization: Organization, name: str, quantity: int, *, at: datetime, told: datetime | None = None
) -> None:
    event = EventIn(name, "ai_tokens", quantity, occurred_at=at)
    with tenancy.isolated(), tenancy.tenant(organization):
        outcome = ingest.record(organization=organization, events=[event], principal=None, now=told or at)
    assert outcome.accepted == 1, outcome


def take_back(organization: Organization, name: str, *, now: datetime) -> None:
    voids.void(organization=organization, source="api", event_id=name, principal=None, now=now)


def close(organization: Organization, month: int) -> list[tuple[int, Decimal, int]]:
    """Close the month's period: its lines, dearest first."""
    period = UsagePeriod.objects.get(organization=organization, start=START.replace(month=month))
    assert periods.close(period=period, now=period.end)
    lines = RatedLine.objects.filter(period=period).order_by("-rate")
    return [(each.quantity, each.rate.normalize(), each.amount) for each in lines]


def test_what_is_taken_back_after_the_period_was_closed_is_credited_at_its_price(
    changed: Organization,
) -> None:
    """Metering A4: −1,000 and not −10."""
    use(changed, "before", 1000, at=day(5))
    change(changed)
    use(changed, "after", 1000, at=day(15))
    assert close(changed, 1) == [(1000, Decimal(1), 1000), (1000, Decimal("0.01"), 10)]
    take_back(changed, "before", now=day(40))
    assert close(changed, 2) == [(-1000, Decimal(1), -1000)]
    take_back(changed, "after", now=day(70))
    assert close(changed, 3) == [(-1000, Decimal("0.01"), -10)]
    assert close(changed, 4) == []


def test_late_use_in_an_open_period_has_the_price_of_its_time(changed: Organization) -> None:
    """Metering A4: who holds events back until after an upgrade does not pay the new price."""
    change(changed)
    use(changed, "held back", 1000, at=day(5), told=day(15))
    use(changed, "at the change", 100, at=CHANGE)
    use(changed, "just before it", 10, at=CHANGE - timedelta(microseconds=1), told=CHANGE)
    assert close(changed, 1) == [(1010, Decimal(1), 1010), (100, Decimal("0.01"), 1)]


def test_late_use_of_a_closed_period_has_the_price_of_its_time(changed: Organization) -> None:
    change(changed)
    use(changed, "in time", 1000, at=day(20))
    assert close(changed, 1) == [(1000, Decimal("0.01"), 10)]
    use(changed, "late", 500, at=day(9), told=day(33))
    assert close(changed, 2) == [(500, Decimal(1), 500)]


def test_late_use_and_a_credit_that_cancel_each_other_out_are_both_rated(changed: Organization) -> None:
    """The quantities sum to nothing; the prices do not."""
    use(changed, "dear", 1000, at=day(5))
    change(changed)
    assert close(changed, 1) == [(1000, Decimal(1), 1000)]
    take_back(changed, "dear", now=day(32))
    use(changed, "cheap", 1000, at=day(20), told=day(33))
    assert close(changed, 2) == [(-1000, Decimal(1), -1000), (1000, Decimal("0.01"), 10)]
    assert close(changed, 3) == []


def test_requests_in_the_spool_at_a_change_have_the_price_of_their_time(
    changed: Organization, tmp_path: Path
) -> None:
    """Metering A4: a worker that was away gives nobody the new price."""
    period = UsagePeriod.objects.get()
    writer = spool.Writer(tmp_path)
    for at in (day(9), day(9.5), CHANGE - timedelta(microseconds=1), CHANGE, day(11)):
        started = (at - spool.EPOCH) // timedelta(microseconds=1)
        for _ in range(100):
            writer.append(line(changed, period=period.pk.hex, counted=spool.COUNTED, started=started))
    change(changed)
    assert shipping.ship_all(tmp_path) == 500
    assert close(changed, 1) == [(300, Decimal(1), 300), (200, Decimal("0.01"), 2)]


def test_a_change_that_is_told_late_rates_what_was_used_since_by_the_new_terms(changed: Organization) -> None:
    use(changed, "before", 1000, at=day(9))
    use(changed, "after", 500, at=day(11))
    allowances.apply(
        organization=changed,
        terms=[terms("ai_tokens", 0, rate="0.01")],
        since=CHANGE,
        now=day(12),
    )
    use(changed, "later", 500, at=day(13))
    assert close(changed, 1) == [(1000, Decimal(1), 1000), (1000, Decimal("0.01"), 10)]


steps = st.lists(
    st.tuples(
        st.sampled_from(["use", "late", "void"]),
        st.integers(0, 29),
        st.integers(1, 1000),
    ),
    min_size=1,
    max_size=10,
)


@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps, changes=st.lists(st.integers(1, 28), max_size=3, unique=True))
def test_whatever_comes_when_every_unit_has_the_price_of_its_day(
    organization: Organization, steps: list[tuple[str, int, int]], changes: list[int]
) -> None:
    """A rate of its own between any two changes; what came or was taken back late makes no difference in the end."""
    with transaction.atomic():
        organization.created_at = START
        organization.save()
        edges = [0, *sorted(changes)]
        give(organization, terms("ai_tokens", 0, rate="1"), now=START)
        used: dict[str, tuple[int, int]] = {}
        late: list[tuple[str, int, int]] = []
        in_time = sorted(
            [("change", number, edge) for number, edge in enumerate(edges) if number],
            key=lambda each: each[2],
        )
        events = sorted((when, number, kind, size) for number, (kind, when, size) in enumerate(steps))
        for when, number, kind, size in events:
            while in_time and in_time[0][2] <= when:
                _, index, edge = in_time.pop(0)
                give(organization, terms("ai_tokens", 0, rate=str(index + 1)), now=day(edge))
            name = f"e{number}"
            if kind == "late":
                late.append((name, when, size))
            else:
                use(organization, name, size, at=day(when))
            used[name] = (when, size)
        for _, index, edge in in_time:
            give(organization, terms("ai_tokens", 0, rate=str(index + 1)), now=day(edge))
        for count, (name, when, size) in enumerate(late):
            if count % 2:
                use(organization, name, size, at=day(when), told=day(30))
        close(organization, 1)
        for count, (name, when, size) in enumerate(late):
            if not count % 2:
                use(organization, name, size, at=day(when), told=day(32))
        for number, (kind, _, _) in enumerate(steps):
            if kind == "void":
                take_back(organization, f"e{number}", now=day(33))
                del used[f"e{number}"]
        close(organization, 2)
        expected = sum(size * sum(1 for edge in edges if edge <= when) for when, size in used.values())
        assert sum(RatedLine.objects.values_list("amount", flat=True)) == expected
        quota = Quota.objects.get(period__start=START)
        assert quota.total == sum(size for _, size in used.values())
        assert not quota.has_unrated_use
        transaction.set_rollback(True)
