from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, RatedLine, UsagePeriod
from metering.quotas import periods
from metering.rating import rating
from metering.rating.rating import Part
from metering.usage import ingest, voids
from metering.usage.events import EventIn
from superagent.foundation.money import round_down
from tests.metering.conftest import give, terms


def part(until: int, included: int | None, rate: str = "1", *, hard: bool = False) -> Part:
    return Part(until, included, hard, Decimal(rate), "usd")


def test_within_the_allowance_nothing_is_charged() -> None:
    assert rating.overage([part(100, 100)]) == {}


def test_beyond_it_every_unit_is() -> None:
    assert rating.overage([part(130, 100)]) == {(Decimal(1), "usd"): 30}


def test_unlimited_and_hard_are_never_charged() -> None:
    assert rating.overage([part(10**9, None)]) == {}
    assert rating.overage([part(10**9, 10, hard=True)]) == {}


def test_each_unit_has_the_price_of_its_time() -> None:
    """10 beyond 50 at 2, then a plan of 500 whose 600th unit is the last: 100 beyond at 1."""
    assert rating.overage([part(60, 50, "2"), part(600, 500, "1")]) == {
        (Decimal(2), "usd"): 10,
        (Decimal(1), "usd"): 100,
    }


def test_a_smaller_plan_does_not_charge_what_the_larger_one_included() -> None:
    assert rating.overage([part(400, 1000, "1"), part(450, 50, "2")]) == {(Decimal(2), "usd"): 50}


parts_strategy = st.lists(
    st.tuples(st.integers(0, 1000), st.none() | st.integers(0, 1000), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(parts_strategy)
def test_rating_agrees_with_counting_unit_by_unit(raw: list[tuple[int, int | None, int, bool]]) -> None:
    untils = sorted(each[0] for each in raw)
    parts = [
        Part(until, included, hard, Decimal(rate), "usd")
        for until, (_, included, rate, hard) in zip(untils, raw, strict=True)
    ]
    expected: dict[tuple[Decimal, str], int] = {}
    for unit in range(1, untils[-1] + 1):
        its = next(each for each in parts if unit <= each.until)
        if its.included is not None and not its.is_hard and its.rate and unit > its.included:
            expected[its.rate, "usd"] = expected.get((its.rate, "usd"), 0) + 1
    assert rating.overage(parts) == expected


@given(quantity=st.integers(0, 10**12), rate=st.decimals(0, 100, places=12))
def test_a_line_is_rounded_once_and_down(quantity: int, rate: Decimal) -> None:
    amount = rating.amount(quantity, rate)
    assert amount <= quantity * rate < amount + 1
    assert amount == round_down(quantity * rate)


def start_of(month: int) -> datetime:
    return datetime(2026, month, 1, tzinfo=UTC)


def closed(organization: Organization, *, used: int, month: int = 1) -> UsagePeriod:
    period = periods.ensure(organization=organization, now=start_of(month))
    Quota.objects.filter(period=period).update(used=used)
    assert periods.close(period=period, now=start_of(month + 1))
    return period


@pytest.mark.usefixtures("system_scope")
def test_fifty_cents_per_thousand(organization: Organization) -> None:
    organization.created_at = start_of(1)
    organization.save()
    give(organization, terms("api_requests", 50_000, rate="0.05"), now=start_of(1))
    period = closed(organization, used=60_019)
    [line] = rating.rate(period)
    assert (line.meter.slug, line.quantity, line.amount, line.currency) == (
        "api_requests",
        10_019,
        500,
        "usd",
    )
    assert (
        line.description
        == "API requests: 10,019 requests over the included amount, $0.50 per 1,000 (Jan 1, 2026 – Feb 1, 2026)"
    )
    assert rating.rate(period) == [line]


@pytest.mark.usefixtures("system_scope")
def test_late_use_is_adjusted_with_the_next_period_and_only_once(organization: Organization) -> None:
    organization.created_at = start_of(1)
    organization.save()
    give(organization, terms("ai_tokens", 100, rate="0.3"), now=start_of(1))
    first = closed(organization, used=95)
    assert rating.rate(first) == []
    Quota.objects.filter(period=first).update(late_quantity=10)
    second = closed(organization, used=0, month=2)
    [line] = rating.rate(second)
    assert (line.quantity, line.amount) == (5, 1)  # 105 used: 5 beyond, 1.5 cents
    assert RatedLine.objects.get(period=second).about == first
    Quota.objects.filter(period=first).update(late_quantity=4)  # six were taken back
    third = closed(organization, used=0, month=3)
    [line] = rating.rate(third)
    assert (line.quantity, line.amount) == (-5, -1)
    fourth = closed(organization, used=0, month=4)
    assert rating.rate(fourth) == []
    assert sum(RatedLine.objects.values_list("amount", flat=True)) == 0


@pytest.mark.usefixtures("system_scope")
def test_what_was_taken_back_after_an_upgrade_does_not_charge_later_use_by_the_old_terms(
    organization: Organization,
) -> None:
    start = organization.created_at = start_of(1)
    organization.save()
    give(organization, terms("ai_tokens", 50, rate="1"), now=start)

    def use(name: str, quantity: int, day: int) -> None:
        moment = start + timedelta(days=day)
        event = EventIn(name, "ai_tokens", quantity, occurred_at=moment)
        ingest.record(organization=organization, events=[event], principal=None, now=moment)

    use("wrong", 60, day=1)
    give(organization, terms("ai_tokens", 1_000, rate="1"), now=start + timedelta(days=2))
    voids.void(
        organization=organization,
        source="api",
        event_id="wrong",
        principal=None,
        now=start + timedelta(days=3),
    )
    use("right", 60, day=4)  # all within what the larger plan includes
    period = periods.current(organization=organization, now=start)
    assert period is not None and periods.close(period=period, now=period.end)
    assert rating.rate(period) == []
