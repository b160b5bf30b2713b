"""Changes of plan: more at once, less when what is paid ends; no allowance twice, nothing used is credited."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import AuditEntry
from billing.catalog import plans
from billing.models import Invoice, OverageCharge, Price, Subscription
from billing.selling import cancellations, changes, orders, subscriptions
from billing.stripe import schedules
from metering.quotas import months
from superagent.foundation import tenancy
from tests.billing.changing import at_stripe, change, months_of, paid, preview, quota, resume
from tests.billing.conftest import Customer, Sandbox, make_customer
from tests.billing.test_lifecycle import use


def test_enterprise_paid_once_is_one_allowance_whatever_is_changed(customer: Customer) -> None:
    """A1, the attack: use all, go down, go up, use all again."""
    customer.buy("enterprise", "month")
    customer.start_test_clock()
    begun = months_of(customer)
    use(customer, "ai_tokens", 20_000_000)
    for _ in range(3):
        change(customer, "pro")
        with pytest.raises(plans.AlreadyOnPlan):
            change(customer, "enterprise")
        resume(customer)
        assert (quota(customer).used, quota(customer).included) == (20_000_000, 20_000_000)
    assert months_of(customer) == begun
    assert paid(customer) == [29_900]
    assert customer.account.balance == 0
    use(customer, "ai_tokens", 60_000_000)
    customer.advance(months.add(customer.now, 1) + timedelta(days=1))
    renewal = Invoice.objects.get(organization=customer.organization, billing_reason="subscription_cycle")
    assert renewal.total == 29_900 + 40 * 150


def test_another_interval_is_no_new_allowance_and_no_credit(customer: Customer) -> None:
    """A1, the attack by pro month and pro year in turn."""
    customer.buy("pro", "month")
    customer.start_test_clock()
    begun = months_of(customer)
    use(customer, "ai_tokens", 1_000_000)
    done = change(customer, "pro", "year")
    assert (done.at_once, done.amount_due) == (True, 29_000 - 2_900)
    for _ in range(2):
        assert not change(customer, "pro", "month").at_once
        resume(customer)
    assert (quota(customer).used, quota(customer).included) == (1_000_000, 1_000_000)
    assert months_of(customer) == begun
    assert paid(customer) == [2_900, 26_100] and customer.account.balance == 0


def test_a_downgrade_waits_for_the_end_of_what_is_paid(customer: Customer) -> None:
    before = customer.buy("enterprise", "month")
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=10))
    use(customer, "api_requests", 60_000)  # within enterprise's, beyond pro's
    shown = preview(customer, "pro")
    assert (shown.at_once, shown.is_upgrade, shown.amount_due, shown.credit) == (False, False, 0, 0)
    assert shown.effective_at == shown.renews_at == before.current_period_end
    assert shown.renewal_amount == 2_900
    assert change(customer, "pro", previewed_at=shown.effective_at) == shown
    coming = customer.subscription
    assert (coming.plan.slug, coming.pending_price.plan.slug) == ("enterprise", "pro")
    assert coming.pending_at == before.current_period_end
    assert (quota(customer, "api_requests").included, customer.account.balance) == (1_000_000, 0)
    customer.advance(before.current_period_end + timedelta(days=1))
    after = customer.subscription
    assert (after.pk, after.plan.slug, after.pending_price) == (before.pk, "pro", None)
    assert after.current_period_start == before.current_period_end
    assert (quota(customer, "api_requests").used, quota(customer, "api_requests").included) == (0, 50_000)
    assert not OverageCharge.objects.filter(organization=customer.organization).exists()
    assert paid(customer) == [29_900, 2_900]
    customer.advance(after.current_period_end + timedelta(days=1))
    assert paid(customer) == [29_900, 2_900, 2_900]
    assert at_stripe(customer)["schedule"] is None


def test_what_is_coming_can_be_replaced_and_taken_back(customer: Customer) -> None:
    before = customer.buy("enterprise", "year")
    customer.start_test_clock()
    change(customer, "pro", "year")
    change(customer, "pro", "month")
    assert customer.subscription.pending_price.interval == "month"
    with pytest.raises(plans.AlreadyOnPlan, match="resume"):
        change(customer, "enterprise", "year")
    resume(customer)
    resume(customer)  # once more is no error
    assert customer.subscription.pending_price is None
    change(customer, "enterprise", "month")
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    assert customer.subscription.is_canceling and customer.subscription.pending_price is None
    with pytest.raises(subscriptions.Ending):
        preview(customer, "pro", "year")
    resume(customer)
    assert not customer.subscription.is_canceling
    assert customer.subscription.current_period_end == before.current_period_end
    assert paid(customer) == [299_000]


def test_an_upgrade_is_refused_while_another_change_is_coming(customer: Customer) -> None:
    customer.buy("pro", "year")
    customer.start_test_clock()
    change(customer, "pro", "month")
    for call in (preview, change):
        with pytest.raises(subscriptions.ChangePending, match="Pro begins on"):
            call(customer, "enterprise", "year")
    resume(customer)
    assert change(customer, "enterprise", "year").at_once
    assert customer.account.plan.slug == "enterprise"


def test_a_license_s_tier_changes_by_the_same_rules(customer: Customer) -> None:
    customer.buy("pro", "month")
    order = orders.place(
        organization=customer.organization, user=customer.user, items=[orders.Wanted("nextpanel-starter")],
        max_total=900, currency="usd", payment="saved_card", now=customer.now,
    )  # fmt: skip
    customer.settle()
    license_ = Subscription.objects.get(order_item__order=order)
    tiers = {price.product.slug: price for price in Price.objects.filter(interval="month", is_active=True)}
    up = subscriptions.change(
        subscription=license_, price=tiers["nextpanel-business"], user=customer.user, now=customer.now
    )
    assert up.at_once and up.is_upgrade and 3_990 <= up.amount_due <= 4_000
    customer.settle()
    license_.refresh_from_db()
    assert license_.product.slug == "nextpanel-business"
    down = subscriptions.change(
        subscription=license_, price=tiers["nextpanel-starter"], user=customer.user, now=customer.now
    )
    assert (down.at_once, down.effective_at) == (False, license_.current_period_end)
    license_.refresh_from_db()
    assert (license_.product.slug, license_.pending_price) == (
        "nextpanel-business",
        tiers["nextpanel-starter"],
    )
    assert customer.account.plan.slug == "pro"


@pytest.mark.parametrize(
    ("current", "target", "at_once"),
    [
        (("pro", "month"), ("enterprise", "month"), True),
        (("pro", "month"), ("pro", "year"), True),
        (("pro", "month"), ("enterprise", "year"), True),
        (("pro", "year"), ("enterprise", "year"), True),
        (("enterprise", "month"), ("pro", "month"), False),
        (("enterprise", "month"), ("pro", "year"), False),
        (("pro", "year"), ("pro", "month"), False),
        (("pro", "year"), ("enterprise", "month"), False),
        (("nextpanel-starter", "month"), ("nextpanel-business", "year"), True),
        (("nextpanel-business", "month"), ("nextpanel-starter", "year"), False),
    ],
)
def test_when_a_change_takes_effect(
    db: None, current: tuple[str, str], target: tuple[str, str], at_once: bool
) -> None:
    from billing.catalog import seed
    from superagent.foundation import tenancy

    with tenancy.system("test"):
        seed.write()
        from_, to = (
            Price.objects.select_related("plan").get(product__slug=slug, interval=interval)
            for slug, interval in (current, target)
        )
        assert changes.takes_effect_at_once(current=from_, target=to) is at_once


@pytest.mark.django_db(transaction=True)
def test_two_members_who_go_down_at_once_leave_one_coming_change(shop: Sandbox) -> None:
    with tenancy.system("test"):
        customer = make_customer(shop)
        subscription = customer.buy("enterprise", "month")
        prices = list(
            Price.objects.filter(product__slug="pro", is_active=True).select_related("product", "plan")
        )
    barrier = threading.Barrier(len(prices))

    def plan(price: Price) -> changes.Preview:
        try:
            with tenancy.system("test"):
                barrier.wait()
                return subscriptions.change(
                    subscription=subscription, price=price, user=customer.user, now=subscription.started_at
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(len(prices)) as members:
        assert [done.at_once for done in members.map(plan, prices)] == [False, False]
    with tenancy.system("test"):
        customer.settle()
        assert customer.subscription is not None
        fetched = at_stripe(customer)
        schedule = schedules.attached(fetched)
        planned = schedules.planned(fetched, schedule)
        assert planned is not None and customer.subscription.pending_price is not None
        assert planned[0] == customer.subscription.pending_price.stripe_id


@pytest.mark.django_db(transaction=True)
def test_one_change_that_is_asked_for_six_times_at_once_is_one_line_in_the_audit_trail(shop: Sandbox) -> None:
    """And asked for again later, none: until it is taken back."""
    with tenancy.system("test"):
        customer = make_customer(shop)
        subscription = customer.buy("enterprise", "month")
    barrier = threading.Barrier(6)

    def go_down(_: int) -> bool:
        try:
            with tenancy.system("test"):
                barrier.wait()
                return subscriptions.change_plan(
                    organization=customer.organization,
                    user=customer.user,
                    plan="pro",
                    interval="month",
                    now=subscription.started_at,
                ).at_once
        finally:
            connection.close()

    def take_back(_: int) -> None:
        try:
            with tenancy.system("test"):
                barrier.wait()
                subscriptions.take_back(subscription=planned, now=subscription.started_at)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as callers:
        assert list(callers.map(go_down, range(6))) == [False] * 6
        with tenancy.system("test"):
            change(customer, "pro")
            assert lines(customer) == ["change_planned"]
            planned = customer.subscription
            assert planned is not None
        list(callers.map(take_back, range(6)))
    with tenancy.system("test"):
        assert lines(customer) == ["change_planned", "change_taken_back"]
        for _ in range(2):
            change(customer, "pro")  # the same plan on the same day, and another change
        assert lines(customer) == ["change_planned", "change_taken_back", "change_planned"]


def lines(customer: Customer) -> list[str]:
    """What the audit trail says of a change that comes later, oldest first."""
    entries = AuditEntry.objects.filter(
        organization=customer.organization, action__startswith="subscription.change_"
    )
    return [
        action.removeprefix("subscription.")
        for action in entries.order_by("id").values_list("action", flat=True)
    ]
