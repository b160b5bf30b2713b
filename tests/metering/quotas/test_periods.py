from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, RatedLine, UsagePeriod
from metering.quotas import allowances, months, periods
from metering.rating import rating
from metering.signals import period_closed
from tests.metering.conftest import give, terms

pytestmark = pytest.mark.usefixtures("system_scope")


def at(month: int, day: int = 1, hour: int = 0, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def signed_up(organization: Organization, when: datetime) -> Organization:
    organization.created_at = when
    organization.save()
    return organization


def bounds(organization: Organization) -> list[tuple[datetime, datetime]]:
    return list(
        UsagePeriod.objects.filter(organization=organization).order_by("start").values_list("start", "end")
    )


moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC))


@given(anchor=moments, moment=moments)
def test_months_of_an_anchor_cover_time_without_gap_or_overlap(anchor: datetime, moment: datetime) -> None:
    start, end = months.around(anchor, moment)
    assert start <= moment < end
    assert months.around(anchor, end)[0] == end
    assert months.around(anchor, start) == (start, end)
    assert timedelta(days=28) <= end - start <= timedelta(days=31)


def test_an_anchor_at_the_end_of_a_month_comes_back_to_its_day() -> None:
    anchor = at(1, 31)
    assert [months.add(anchor, n).day for n in range(6)] == [31, 28, 31, 30, 31, 30]


def test_the_first_period_starts_at_sign_up(organization: Organization) -> None:
    signed_up(organization, at(1, 31, 15))
    period = periods.ensure(organization=organization, now=at(2, 3))
    assert (period.start, period.end) == (at(1, 31, 15), at(2, 28, 15))
    assert periods.ensure(organization=organization, now=at(2, 28, 14)) == period


def test_missed_months_are_opened_one_by_one(organization: Organization) -> None:
    signed_up(organization, at(1, 31))
    periods.ensure(organization=organization, now=at(1, 31))
    periods.ensure(organization=organization, now=at(5, 1))
    assert bounds(organization) == [
        (at(1, 31), at(2, 28)),
        (at(2, 28), at(3, 31)),
        (at(3, 31), at(4, 30)),
        (at(4, 30), at(5, 31)),
    ]


def test_the_database_refuses_overlaps_but_not_of_others(
    organization: Organization, other_organization: Organization
) -> None:
    period = periods.ensure(organization=organization, now=at(12, 1))
    middle = period.start + (period.end - period.start) / 2
    for start, end in ((middle, period.end + timedelta(days=9)), (period.start - timedelta(days=9), middle)):
        with pytest.raises(IntegrityError, match="usage_period_no_overlap"), transaction.atomic():
            UsagePeriod.objects.create(organization=organization, start=start, end=end, anchor=start)
    UsagePeriod.objects.create(
        organization=other_organization, start=period.start, end=period.end, anchor=period.start
    )
    UsagePeriod.objects.create(
        organization=organization, start=period.end, end=period.end + timedelta(days=1), anchor=period.end
    )


def test_close_due_closes_every_ended_period_once(organization: Organization) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 10, rate="2"), now=at(1))
    Quota.objects.update(used=15)
    told: list[UsagePeriod] = []

    def hear(period: UsagePeriod, **_: Any) -> None:
        told.append(period)

    period_closed.connect(hear)
    try:
        assert periods.close_due(now=at(4, 10)) == 1  # the only one in the books
        assert periods.close_due(now=at(4, 10)) == 2  # those that were opened on the way
        assert periods.close_due(now=at(4, 10)) == 0
    finally:
        period_closed.disconnect(hear)
    assert [each.start for each in told] == [at(1), at(2), at(3)]
    assert list(RatedLine.objects.values_list("quantity", "amount")) == [(5, 10)]
    assert UsagePeriod.objects.filter(closed_at__isnull=True).count() == 1


def test_an_organization_on_a_test_clock_has_its_own_time(organization: Organization) -> None:
    signed_up(organization, at(1))
    periods.ensure(organization=organization, now=at(1))
    organization.test_clock_time = at(1, 20)
    organization.save()
    assert periods.close_due(now=at(6)) == 0
    organization.test_clock_time = at(2)
    organization.save()
    assert periods.close_due(now=at(1, 5)) == 1
    assert UsagePeriod.objects.get(closed_at__isnull=False).closed_at == at(2)


def test_one_organization_s_failure_does_not_stop_the_others(
    organization: Organization, other_organization: Organization
) -> None:
    for each in (organization, other_organization):
        signed_up(each, at(1))
        periods.ensure(organization=each, now=at(1))

    def fail(period: UsagePeriod, **_: Any) -> None:
        if period.organization_id == organization.pk:
            raise RuntimeError("billing is broken")

    period_closed.connect(fail)
    try:
        assert periods.close_due(now=at(2, 2)) == 1
    finally:
        period_closed.disconnect(fail)
    assert UsagePeriod.objects.get(closed_at__isnull=False).organization == other_organization
    assert periods.close_due(now=at(2, 2)) == 1


def test_months_begun_anew_close_the_open_one_early(organization: Organization) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 10, rate="2"), now=at(1))
    Quota.objects.update(used=12)
    period = periods.begin(organization=organization, start=at(1, 15), now=at(1, 15, 1))
    assert bounds(organization) == [(at(1), at(1, 15)), (at(1, 15), at(2, 15))]
    assert (period.start, period.end, period.anchor) == (at(1, 15), at(2, 15), at(1, 15))
    assert RatedLine.objects.get().amount == 4
    again = periods.begin(organization=organization, start=at(1, 15), now=at(1, 15, 2))
    assert again == period
    later = periods.begin(organization=organization, start=at(1, 15), now=at(3, 20))
    assert (later.start, later.end, len(bounds(organization))) == (at(3, 15), at(4, 15), 4)


def test_months_keep_the_day_of_their_anchor(organization: Organization) -> None:
    signed_up(organization, at(1, 10))
    periods.begin(organization=organization, start=at(1, 31), now=at(1, 31))
    period = periods.ensure(organization=organization, now=at(4, 1))
    assert bounds(organization)[-3:] == [
        (at(1, 31), at(2, 28)),
        (at(2, 28), at(3, 31)),
        (at(3, 31), at(4, 30)),
    ]
    assert period.anchor == at(1, 31)


def test_a_trial_is_a_period_of_its_own(organization: Organization) -> None:
    signed_up(organization, at(1, 10))
    periods.begin(organization=organization, start=at(1, 12), until=at(1, 26), now=at(1, 12, 1))
    periods.ensure(organization=organization, now=at(1, 26, 1))
    assert bounds(organization) == [(at(1, 10), at(1, 12)), (at(1, 12), at(1, 26)), (at(1, 26), at(2, 26))]


@pytest.mark.parametrize("until", [at(1, 20), at(2, 5)])
def test_a_trial_s_end_can_be_moved(organization: Organization, until: datetime) -> None:
    signed_up(organization, at(1, 10))
    for end in (at(1, 26), until):
        periods.begin(organization=organization, start=at(1, 12), until=end, now=at(1, 14))
    assert bounds(organization) == [(at(1, 10), at(1, 12)), (at(1, 12), until)]
    assert periods.ensure(organization=organization, now=until).end == months.add(until, 1)


def test_what_is_told_late_counts_no_time_twice(organization: Organization) -> None:
    signed_up(organization, at(1))
    periods.ensure(organization=organization, now=at(1, 15))
    periods.ensure(organization=organization, now=at(2, 2))
    period = periods.begin(organization=organization, start=at(1, 30), now=at(2, 2))
    assert (period.start, period.end) == (at(2), at(2, 28))
    assert all(left[1] == right[0] for left, right in pairwise(bounds(organization)))


def test_of_a_month_that_a_plan_s_end_cuts_short_only_the_paid_share_is_included(
    organization: Organization,
) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 310, rate="2"), now=at(1))
    Quota.objects.update(used=310)
    periods.begin(organization=organization, start=at(1, 11), paid_until=at(1, 21), now=at(1, 11))
    assert RatedLine.objects.get().quantity == 110  # 20 of 31 days were paid


def test_a_higher_plan_keeps_what_was_used_and_adds_the_share_of_the_month_that_remains(
    organization: Organization,
) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 10, hard=True), now=at(1))
    Quota.objects.update(used=8)
    give(organization, terms("ai_tokens", 100, rate="1"), now=at(1, 5))
    quota = Quota.objects.get(meter__slug="ai_tokens")
    assert (quota.used, quota.included, quota.is_hard) == (8, 10 + 90 * 27 // 31, False)
    assert list(quota.former_terms.values_list("used_until", "included", "is_hard")) == [(8, 10, True)]
    give(organization, terms("ai_tokens", 100, rate="1"), now=at(1, 6))
    quota.refresh_from_db()
    assert (quota.included, quota.former_terms.count()) == (88, 1)
    assert (
        Quota.objects.filter(period=periods.ensure(organization=organization, now=at(2))).get().included
        == 100
    )


def test_a_higher_plan_just_before_the_month_ends_adds_nothing(organization: Organization) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 10), now=at(1))
    give(organization, terms("ai_tokens", 10_000), now=at(2) - timedelta(minutes=4))
    assert Quota.objects.get().included == 10


def test_a_lower_plan_lowers_the_limit_of_the_whole_month(organization: Organization) -> None:
    """What was used beyond it, when the limit was higher, is overage by the rate of then."""
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 3100, rate="2"), now=at(1))
    Quota.objects.update(used=2_000)
    give(organization, terms("ai_tokens", 310, rate="3"), now=at(1, 11))
    quota = Quota.objects.get()
    assert quota.included == 3100 - 2790 * 21 // 31
    Quota.objects.update(used=2_500)
    period = periods.current(organization=organization, now=at(2))
    assert period is not None and periods.close(period=period, now=at(2))
    assert list(RatedLine.objects.order_by("rate").values_list("quantity", "rate")) == [
        (2_000 - 1_210, 2),
        (500, 3),
    ]


def test_terms_that_hold_from_the_start_of_a_month_leave_no_former_ones(organization: Organization) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", 10), now=at(1))
    Quota.objects.update(used=8)
    allowances.apply(
        organization=organization, terms=[terms("ai_tokens", 5, rate="1")], since=at(1), now=at(1, 3)
    )
    quota = Quota.objects.get()
    assert (quota.included, quota.former_terms.count()) == (5, 0)


def test_from_unlimited_to_a_limit_what_was_used_is_kept(organization: Organization) -> None:
    signed_up(organization, at(1))
    give(organization, terms("ai_tokens", None), now=at(1))
    Quota.objects.update(used=1_000)
    give(organization, terms("ai_tokens", 310), now=at(1, 11))
    assert Quota.objects.get().included == 1_000 + 310 * 21 // 31
    give(organization, terms("ai_tokens", None), now=at(1, 12))
    assert Quota.objects.get().included is None


steps = st.lists(
    st.tuples(
        st.integers(0, 20 * 86_400),
        st.one_of(st.none(), st.integers(0, 10_000)),
        st.integers(0, 2_000),
    ),
    min_size=1,
    max_size=8,
)


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_no_sequence_of_changes_gives_more_than_each_plan_s_share_of_the_time(
    organization: Organization, steps: list[tuple[int, int | None, int]]
) -> None:
    """Each step waits, may change the allowance, then uses. Free of charge is at most what its plans give for the
    time that they held; the rest is overage."""
    with transaction.atomic():
        signed_up(organization, at(1))
        now, included = at(1), 1_000
        give(organization, terms("ai_tokens", included, rate="1"), now=now)
        deserved: dict[datetime, Fraction] = defaultdict(Fraction)
        for seconds, wanted, quantity in steps:
            until = now + timedelta(seconds=seconds)
            while now < until:
                month = periods.ensure(organization=organization, now=now)
                part_end = min(until, month.end)
                deserved[month.start] += included * months.share(part_end - now, month.end - month.start)
                now = part_end
            month = periods.ensure(organization=organization, now=now)
            if wanted is not None:
                included = wanted
                give(organization, terms("ai_tokens", included, rate="1"), now=now)
            Quota.objects.filter(period=month).update(used=F("used") + quantity)
        month = periods.ensure(organization=organization, now=now)
        deserved[month.start] += included * months.share(month.end - now, month.end - month.start)
        periods.close_due(now=month.end)
        for quota in Quota.objects.filter(period__closed_at__isnull=False).select_related("period"):
            charged = sum(line.quantity for line in RatedLine.objects.filter(period=quota.period))
            assert quota.used - charged <= deserved[quota.period.start]
            assert charged <= max(0, quota.used) and charged == sum(
                rating.accrued(quota, quota.used).values()
            )
        transaction.set_rollback(True)
