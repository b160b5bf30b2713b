from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, RatedLine, UsagePeriod
from metering.quotas import months, periods
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
