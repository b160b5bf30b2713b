"""Usage months where Stripe's time and ours part: what was used, what was granted for it, and what was paid."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts import organizations
from billing.catalog import plans
from billing.models import OverageCharge, PlanAllowance
from billing.overage import charges
from billing.selling import cancellations
from billing.stripe import client
from metering.models import Quota
from metering.quotas import months, periods
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.billing.conftest import Customer
from tests.billing.selling.test_changes import change, months_of, paid, quota
from tests.billing.test_lifecycle import use


def report(customer: Customer, event_id: str, quantity: int, at: datetime) -> None:
    event = EventIn(event_id, "ai_tokens", quantity, occurred_at=at)
    outcome = ingest.record(organization=customer.organization, events=[event], principal=None, now=at)
    assert outcome.accepted == 1, outcome


def upgrade_that_nobody_tells(customer: Customer, settings: Any, plan: str, interval: str) -> None:
    """Stripe does it and charges it; its answer is lost, and so are its webhooks."""
    assert customer.subscription is not None
    seconds, settings.STRIPE_TIMEOUT_SECONDS = settings.STRIPE_TIMEOUT_SECONDS, 1
    client._client.cache_clear()
    path = f"/v1/subscriptions/{customer.subscription.stripe_id}"
    customer.sandbox.fault("timeout_after", path=path, method="POST", times=9, seconds=3)
    with pytest.raises(client.Unavailable):
        change(customer, plan, interval)
    settings.STRIPE_TIMEOUT_SECONDS = seconds
    client._client.cache_clear()
    customer.sandbox.mend()


def let_time_pass(customer: Customer, to: datetime) -> None:
    """On our side only: months are closed and charged while Stripe is not heard."""
    organizations.set_test_clock_time(organization=customer.organization, test_clock_time=to)
    customer.organization.refresh_from_db()
    periods.close_due(now=to)
    charges.collect(now=to)


def test_an_upgrade_told_after_its_month_was_closed_gives_what_was_paid_for_it(
    customer: Customer, settings: Any
) -> None:
    """The closed month gets the share that was paid, once; what was charged beyond the old limit comes back."""
    customer.buy("pro", "year")
    customer.start_test_clock()
    start = customer.subscription.current_period_start
    end = months.add(start, 1)
    at = start + timedelta(days=10)
    customer.advance(at)
    report(customer, "before", 1_200_000, at - timedelta(hours=1))  # 200,000 beyond, under pro's terms
    upgrade_that_nobody_tells(customer, settings, "enterprise", "year")
    report(customer, "after", 5_000_000, at + timedelta(days=1))
    let_time_pass(customer, end + timedelta(days=2))
    [charged] = OverageCharge.objects.filter(organization=customer.organization)
    assert (charged.quantity, charged.amount) == (5_200_000, 1_040)  # as pro, of which we knew

    customer.settle()
    assert customer.account.plan.slug == "enterprise"
    limit = 1_000_000 + int(19_000_000 * months.share(end - at, end - start))
    closed, now = Quota.objects.filter(
        organization=customer.organization, meter__slug="ai_tokens", period__start__gte=start
    ).order_by("period__start")
    assert (closed.total, closed.included) == (6_200_000, limit)
    assert (now.used, now.included) == (0, 20_000_000)
    assert paid(customer)[0] == 29_000 and paid(customer)[1] == pytest.approx(299_000 - 29_000, rel=0.04)

    customer.settle()  # told once more
    let_time_pass(customer, months.add(start, 2) + timedelta(days=2))
    customer.settle()
    amounts = OverageCharge.objects.filter(organization=customer.organization).order_by("created_at")
    assert [(each.quantity, each.amount) for each in amounts] == [(5_200_000, 1_040), (-5_000_000, -1_000)]
    assert charges.differences() == []
    assert months_of(customer)[-3:] == [start, end, months.add(start, 2)]


def test_an_upgrade_told_two_months_late_gives_both_months(customer: Customer, settings: Any) -> None:
    customer.buy("pro", "year")
    customer.start_test_clock()
    start = customer.subscription.current_period_start
    upgrade_that_nobody_tells(customer, settings, "enterprise", "year")
    let_time_pass(customer, months.add(start, 2) + timedelta(days=1))
    customer.settle()
    found = Quota.objects.filter(
        organization=customer.organization, meter__slug="ai_tokens", period__start__gte=start
    )
    assert [each.included for each in found.order_by("period__start")][1:] == [20_000_000] * 2


def test_a_lower_plan_told_late_charges_nothing_for_months_that_were_closed(customer: Customer) -> None:
    """Nobody pays afterwards for what the page said was included."""
    customer.buy("enterprise", "year")
    customer.start_test_clock()
    subscription = customer.subscription
    start, year_end = subscription.current_period_start, subscription.current_period_end
    change(customer, "pro", "year")
    customer.advance(year_end - timedelta(days=1))
    clock = client.call("customers.retrieve", customer.account.stripe_customer_id)["test_clock"]
    told_at = months.add(year_end, 1) + timedelta(days=1)
    client.call("test_helpers.test_clocks.advance", clock, params={"frozen_time": int(told_at.timestamp())})
    let_time_pass(customer, year_end + timedelta(hours=1))
    report(customer, "in the dark", 9_000_000, year_end + timedelta(hours=1))
    let_time_pass(customer, told_at)
    customer.settle()
    assert customer.account.plan.slug == "pro"
    closed, now = Quota.objects.filter(
        organization=customer.organization, meter__slug="ai_tokens", period__start__gte=year_end
    ).order_by("period__start")
    assert (closed.total, closed.included, now.included) == (9_000_000, 20_000_000, 1_000_000)
    let_time_pass(customer, months.add(year_end, 2) + timedelta(days=1))
    assert not OverageCharge.objects.filter(organization=customer.organization).exists()
    assert start < year_end


@pytest.fixture
def hard_limits(shop: Any) -> None:
    with tenancy.system("test"):
        PlanAllowance.objects.filter(plan__product__slug="pro").update(is_hard=True, overage_rate=0)


@pytest.mark.usefixtures("hard_limits")
def test_a_hard_limit_gives_at_most_one_month_more_than_was_paid(customer: Customer) -> None:
    """Month to year on the tenth day, every month used up at once, the last one is cut short: of a month that was paid
    for a third, no more than that month was had, and the attack works once for each year that is paid."""
    customer.buy("pro", "month")
    customer.start_test_clock()
    anchor = customer.subscription.current_period_start
    customer.advance(anchor + timedelta(days=10))
    change(customer, "pro", "year")
    year_end = customer.subscription.current_period_end
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    last = months.around(anchor, year_end)
    used = 0
    moment = anchor
    while moment < year_end:
        if customer.now < moment:
            customer.advance(moment + timedelta(hours=1))
        assert quota(customer, "api_requests").included == 50_000
        use(customer, "api_requests", 50_000)
        used += 50_000
        moment = months.add(anchor, len([each for each in months_of(customer) if each >= anchor]))
    customer.advance(year_end + timedelta(days=1))
    assert customer.subscription is None and plans.current_plan(customer.organization).slug == "free"
    cut = Quota.objects.get(
        organization=customer.organization, meter__slug="api_requests", period__start=last[0]
    )
    share = months.share(year_end - last[0], last[1] - last[0])
    assert (cut.used, cut.included, cut.is_hard) == (50_000, int(50_000 * share), True)
    granted = 12 * 50_000 + int(50_000 * share)
    assert used == 13 * 50_000 and 0 < used - granted < 50_000
    assert sum(paid(customer)) == pytest.approx(29_000 + 2_900 * 10 / 30, abs=60)  # a year and ten days
    assert not OverageCharge.objects.filter(organization=customer.organization).exists()
    free = quota(customer, "api_requests")
    assert (free.used, free.included, free.period.start) == (0, 1_000, year_end)


@pytest.mark.usefixtures("hard_limits")
def test_a_month_that_is_cut_short_and_bought_again_is_paid_in_full(customer: Customer) -> None:
    """Use it up, end it at once, buy it again: each allowance has its own full payment."""
    for bought in range(1, 4):
        customer.buy("pro", "month")
        assert quota(customer, "api_requests").included == 50_000
        use(customer, "api_requests", 50_000)
        time.sleep(1.1)  # Stripe counts in whole seconds, and nobody cancels in the one in which they buy
        cancellations.cancel(subscription=customer.subscription, at_period_end=False, now=customer.now)
        customer.settle()
        assert (quota(customer, "api_requests").used, quota(customer, "api_requests").included) == (0, 1_000)
        assert paid(customer) == [2_900] * bought and customer.account.balance == 0
    assert not OverageCharge.objects.exists()
