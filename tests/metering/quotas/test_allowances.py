"""What a plan includes of a month, and what a change of plan keeps."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering.models import Quota, RatedLine
from metering.quotas import allowances, months, periods
from metering.rating import rating
from tests.metering.conftest import give, terms
from tests.metering.quotas.test_periods import at, signed_up

pytestmark = pytest.mark.usefixtures("system_scope")


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
