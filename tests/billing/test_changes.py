"""Changes of plan: more at once, less when what is paid ends; no allowance twice, nothing used is credited."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from accounts import organizations
from billing import changes, gateway, orders, overage, plans, schedules, subscriptions
from billing.models import Invoice, OverageCharge, Payment, Price, Subscription
from metering import months
from metering.models import Quota, UsagePeriod
from superagent.foundation import tenancy
from tests.billing.conftest import DECLINED_CARD, GOOD_CARD, Customer, Sandbox, make_customer
from tests.billing.test_lifecycle import use


def change(customer: Customer, plan: str, interval: str = "month", **more: Any) -> changes.Preview:
    done = subscriptions.change_plan(
        organization=customer.organization,
        user=customer.user,
        plan=plan,
        interval=interval,
        now=customer.now,
        **more,
    )
    customer.settle()
    return done


def preview(customer: Customer, plan: str, interval: str = "month") -> changes.Preview:
    return subscriptions.preview_plan(
        organization=customer.organization, plan=plan, interval=interval, now=customer.now
    )


def resume(customer: Customer) -> None:
    assert customer.subscription is not None
    subscriptions.resume(subscription=customer.subscription, now=customer.now)
    customer.settle()


def quota(customer: Customer, meter: str = "ai_tokens") -> Quota:
    return Quota.objects.filter(organization=customer.organization, meter__slug=meter).latest("period__start")


def months_of(customer: Customer) -> list[Any]:
    found = UsagePeriod.objects.filter(organization=customer.organization).order_by("start")
    return [start.replace(microsecond=0) for start in found.values_list("start", flat=True)]


def paid(customer: Customer) -> list[int]:
    """What was charged, payment by payment."""
    payments = Payment.objects.filter(organization=customer.organization, status="succeeded")
    return list(payments.order_by("created_at", "id").values_list("amount", flat=True))


def at_stripe(customer: Customer) -> dict[str, Any]:
    assert customer.subscription is not None
    return gateway.call("subscriptions.retrieve", customer.subscription.stripe_id)


def test_enterprise_paid_once_is_one_allowance_whatever_is_changed(customer: Customer) -> None:
    """A1, the attack: use all, go down, go up, use all again."""
    customer.buy("enterprise", "month")
    customer.rehearse()
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
    customer.rehearse()
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
    customer.rehearse()
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
    customer.rehearse()
    change(customer, "pro", "year")
    change(customer, "pro", "month")
    assert customer.subscription.pending_price.interval == "month"
    with pytest.raises(plans.AlreadyOnPlan, match="resume"):
        change(customer, "enterprise", "year")
    resume(customer)
    resume(customer)  # once more is no error
    assert customer.subscription.pending_price is None
    change(customer, "enterprise", "month")
    subscriptions.cancel(subscription=customer.subscription, now=customer.now)
    assert customer.subscription.is_canceling and customer.subscription.pending_price is None
    with pytest.raises(subscriptions.Ending):
        preview(customer, "pro", "year")
    resume(customer)
    assert not customer.subscription.is_canceling
    assert customer.subscription.current_period_end == before.current_period_end
    assert paid(customer) == [299_000]


def test_an_upgrade_is_refused_while_another_change_is_coming(customer: Customer) -> None:
    customer.buy("pro", "year")
    customer.rehearse()
    change(customer, "pro", "month")
    for call in (preview, change):
        with pytest.raises(subscriptions.ChangePending, match="Pro begins on"):
            call(customer, "enterprise", "year")
    resume(customer)
    assert change(customer, "enterprise", "year").at_once
    assert customer.account.plan.slug == "enterprise"


def test_a_schedule_that_came_to_its_end_does_not_stand_in_the_way(customer: Customer) -> None:
    """Stripe keeps it for the first period of what was planned: it is released when something changes."""
    customer.buy("enterprise", "month")
    customer.rehearse()
    change(customer, "pro")
    customer.advance(customer.subscription.current_period_end + timedelta(days=1))
    assert customer.subscription.schedule_id
    assert change(customer, "enterprise").at_once
    assert customer.account.plan.slug == "enterprise" and not customer.subscription.schedule_id


def test_a_schedule_left_by_a_killed_process_is_used(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    left = gateway.call(
        "subscription_schedules.create", params={"from_subscription": customer.subscription.stripe_id}
    )
    customer.settle()
    assert (customer.subscription.schedule_id, customer.subscription.pending_price) == (left["id"], None)
    change(customer, "pro")
    assert customer.subscription.schedule_id == left["id"]
    assert customer.subscription.pending_price.plan.slug == "pro"


def test_an_upgrade_keeps_what_was_used_and_adds_the_share_of_the_month(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.rehearse()
    begun = months_of(customer)
    start, end = customer.subscription.current_period_start, customer.subscription.current_period_end
    use(customer, "ai_tokens", 700_000)
    customer.advance(start + timedelta(days=10))
    change(customer, "enterprise")
    remaining = months.share(end - customer.now, end - start)
    fresh = quota(customer)
    assert (fresh.used, fresh.included) == (700_000, 1_000_000 + int(19_000_000 * remaining))
    assert months_of(customer) == begun
    customer.advance(end + timedelta(days=1))
    assert (quota(customer).used, quota(customer).included) == (0, 20_000_000)


def test_an_upgrade_told_late_counts_from_when_it_was_made(customer: Customer, settings: Any) -> None:
    """Stripe did it, its answer was lost, and the webhook came three days later."""
    customer.buy("pro", "month")
    customer.rehearse()
    start, end = customer.subscription.current_period_start, customer.subscription.current_period_end
    customer.advance(start + timedelta(days=10))
    at = customer.now
    settings.STRIPE_TIMEOUT_SECONDS = 1
    gateway._client.cache_clear()
    customer.sandbox.fault(
        "timeout_after", path=f"/v1/subscriptions/{customer.subscription.stripe_id}", method="POST",
        times=9, seconds=3,
    )  # fmt: skip
    with pytest.raises(gateway.Unavailable):
        change(customer, "enterprise")
    customer.sandbox.mend()
    organizations.set_rehearsal_time(organization=customer.organization, rehearsal_now=at + timedelta(days=3))
    customer.settle()
    assert customer.account.plan.slug == "enterprise"
    assert quota(customer).included == 1_000_000 + int(19_000_000 * months.share(end - at, end - start))


def test_usage_months_keep_their_anchor_when_stripe_moves_its_own(customer: Customer) -> None:
    """Month to year on the tenth day: overage is invoiced by our months, and the month in which the year ends includes
    only the share that was paid."""
    customer.buy("pro", "month")
    customer.rehearse()
    anchor = customer.subscription.current_period_start
    customer.advance(anchor + timedelta(days=10))
    change(customer, "pro", "year")
    year_end = customer.subscription.current_period_end
    assert year_end == months.add(customer.subscription.current_period_start, 12)
    use(customer, "api_requests", 52_000)
    customer.advance(months.add(anchor, 1) + timedelta(days=1))
    own = Invoice.objects.get(organization=customer.organization, billing_reason="manual")
    assert (own.total, own.status) == (100, "paid")
    assert months_of(customer)[-2:] == [anchor, months.add(anchor, 1)]
    subscriptions.cancel(subscription=customer.subscription, now=customer.now)
    last = months.around(anchor, year_end)
    customer.advance(last[0] + timedelta(hours=1))
    use(customer, "api_requests", 50_000)
    customer.advance(year_end + timedelta(days=1))
    assert customer.subscription is None
    assert months_of(customer)[-2:] == [last[0], year_end]
    included = int(50_000 * months.share(year_end - last[0], last[1] - last[0]))
    charge = OverageCharge.objects.filter(organization=customer.organization).latest("created_at")
    assert (charge.quantity, charge.amount) == (50_000 - included, (50_000 - included) * 5 // 100)
    free = quota(customer, "api_requests")
    assert (free.used, free.included, free.is_hard) == (0, 1_000, True)
    assert overage.differences() == []


def test_a_declined_upgrade_changes_nothing_and_another_card_is_asked_anew(customer: Customer) -> None:
    """While time stands still, too."""
    customer.buy("pro", "month")
    customer.rehearse()
    stripe_id = customer.account.stripe_customer_id
    save_card(customer, DECLINED_CARD)
    with pytest.raises(gateway.Declined):
        change(customer, "enterprise")
    customer.settle()
    assert customer.account.plan.slug == "pro" and quota(customer).included == 1_000_000
    save_card(customer, GOOD_CARD)
    assert change(customer, "enterprise").amount_due > 0
    assert customer.account.plan.slug == "enterprise" and stripe_id == customer.account.stripe_customer_id


def save_card(customer: Customer, number: str) -> None:
    """Make a card the one that is charged next."""
    name = "pm_card_chargeCustomerFail" if number == DECLINED_CARD else "pm_card_visa"
    method = gateway.call(
        "payment_methods.attach", name, params={"customer": customer.account.stripe_customer_id}
    )
    gateway.call(
        "customers.update",
        customer.account.stripe_customer_id,
        params={"invoice_settings": {"default_payment_method": method["id"]}},
    )
    gateway.call(
        "subscriptions.update",
        customer.subscription.stripe_id,
        params={"default_payment_method": method["id"]},
    )
    customer.settle()


def test_a_change_in_a_trial_costs_nothing_before_it_ends(customer: Customer) -> None:
    plans.public().filter(product__slug="pro").update(trial_days=14)
    bought = customer.buy("pro", "month")
    customer.rehearse()
    shown = preview(customer, "enterprise")
    assert (shown.at_once, shown.amount_due, shown.renews_at) == (True, 0, bought.trial_end)
    assert change(customer, "enterprise").amount_due == 0
    assert customer.subscription.status == "trialing" and customer.account.plan.slug == "enterprise"
    assert paid(customer) == []
    assert change(customer, "pro").at_once is False
    customer.advance(bought.trial_end + timedelta(days=1))
    assert (customer.account.plan.slug, paid(customer)) == ("pro", [2_900])
    assert months_of(customer)[-2:] == [bought.started_at, bought.trial_end]
    assert (quota(customer).used, quota(customer).included) == (0, 1_000_000)


def test_a_trial_ended_early_leads_to_the_free_plan_once(customer: Customer) -> None:
    plans.public().filter(product__slug="pro").update(trial_days=14)
    customer.buy("pro", "month")
    customer.rehearse()
    use(customer, "ai_tokens", 400_000)
    subscriptions.cancel(subscription=customer.subscription, at_period_end=False, now=customer.now)
    customer.settle()
    assert customer.account.plan.slug == "free" and quota(customer).included == 10_000
    assert not OverageCharge.objects.exists()
    assert customer.buy("pro", "month").status == "active"  # a second trial there is not
    assert paid(customer) == [2_900]


def test_a_lost_answer_of_a_planned_change_is_made_good(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    customer.sandbox.fault("error_500", path="/v1/subscription_schedules/", method="POST", times=3)
    with pytest.raises(gateway.Unavailable):
        change(customer, "pro")
    customer.settle()
    assert customer.subscription.pending_price is None
    change(customer, "pro")
    assert customer.subscription.pending_price.plan.slug == "pro"


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
    from billing import catalog
    from superagent.foundation import tenancy

    with tenancy.system("test"):
        catalog.seed()
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


def test_releasing_what_was_released_is_no_error(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    change(customer, "pro")
    schedule = customer.subscription.schedule_id
    for _ in range(2):
        schedules.release(schedule)
    customer.settle()
    assert customer.subscription.pending_price is None
