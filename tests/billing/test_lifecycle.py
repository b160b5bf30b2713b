"""A subscription's life against the sandbox: bought, renewed, changed, declined, canceled."""

from datetime import timedelta

import pytest

from billing.catalog import plans
from billing.models import Invoice, OverageCharge, Payment, Subscription
from billing.overage import charges
from billing.selling import cancellations, subscription_updates, subscriptions
from metering.models import Meter, Quota, UsagePeriod
from metering.quotas import months
from tests.billing.conftest import FAILS_LATER_CARD, Customer


def use(customer: Customer, meter: str, quantity: int) -> None:
    """What metering would have counted in the open period."""
    period = UsagePeriod.objects.filter(organization=customer.organization).order_by("-start").first()
    Quota.objects.filter(period=period, meter__slug=meter).update(used=quantity)


def test_a_new_organization_is_on_the_free_plan_and_has_a_stripe_customer(customer: Customer) -> None:
    account = customer.account
    assert account.stripe_customer_id.startswith("cus_")
    assert account.plan.slug == "free"
    quota = Quota.objects.get(organization=customer.organization, meter__slug="api_requests")
    assert (quota.included, quota.is_hard) == (1_000, True)


def test_a_checkout_makes_the_plan_active(customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    assert (subscription.status, subscription.plan.slug, subscription.interval) == ("active", "pro", "month")
    assert customer.account.plan.slug == "pro"
    assert customer.account.card_last_four == "4242"
    quota = Quota.objects.filter(organization=customer.organization, meter__slug="api_requests").latest("id")
    assert (quota.included, quota.is_hard) == (50_000, False)
    invoice = Invoice.objects.get(organization=customer.organization)
    assert (invoice.status, invoice.total, invoice.currency) == ("paid", 2900, "usd")
    assert [line.amount for line in invoice.lines.all()] == [2900]
    payment = Payment.objects.get(organization=customer.organization)
    assert (payment.status, payment.amount, payment.invoice) == ("succeeded", 2900, invoice)


def test_the_renewal_carries_the_overage_and_the_quota_starts_anew(customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "api_requests", 52_000)
    use(customer, "ai_tokens", 3_000_000)
    customer.advance(months.add(customer.now, 1) + timedelta(days=1))
    renewal = Invoice.objects.get(organization=customer.organization, billing_reason="subscription_cycle")
    # 2,000 requests at $0.50 per 1,000; 2,000,000 tokens at $2.00 per million
    assert sorted(line.amount for line in renewal.lines.all()) == [100, 400, 2900]
    assert (renewal.status, renewal.total) == ("paid", 3400)
    made = OverageCharge.objects.filter(organization=customer.organization)
    assert {charge.status for charge in made} == {"invoiced"}
    assert charges.differences() == []
    fresh = Quota.objects.filter(organization=customer.organization, meter__slug="api_requests").latest("id")
    assert (fresh.used, fresh.included) == (0, 50_000)
    renewed = customer.subscription
    assert renewed.pk == subscription.pk and renewed.current_period_start == subscription.current_period_end


def test_an_upgrade_costs_what_its_preview_said(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=10))
    shown = subscriptions.preview_plan(
        organization=customer.organization, plan="enterprise", interval="month", now=customer.now
    )
    assert shown.is_upgrade and 0 < shown.amount_due < 29_900
    done = subscriptions.change_plan(
        organization=customer.organization,
        user=customer.user,
        plan="enterprise",
        interval="month",
        previewed_at=shown.effective_at,
        max_amount_due=shown.amount_due,
        now=customer.now,
    )
    customer.settle()
    assert customer.account.plan.slug == "enterprise"
    paid = Invoice.objects.filter(
        organization=customer.organization, billing_reason="subscription_update"
    ).get()
    assert (paid.total, paid.status) == (shown.amount_due, "paid")
    assert done.amount_due == shown.amount_due


def test_a_yearly_plan_pays_its_overage_every_month(customer: Customer) -> None:
    customer.buy("pro", "year")
    customer.start_test_clock()
    use(customer, "api_requests", 51_000)
    customer.advance(months.add(customer.now, 1) + timedelta(days=1))
    own = Invoice.objects.get(organization=customer.organization, billing_reason="manual")
    assert (own.total, own.status) == (50, "paid")
    assert customer.subscription.interval == "year"
    assert charges.differences() == []


def test_a_declined_renewal_is_past_due_then_canceled_and_free_again(customer: Customer) -> None:
    customer.buy("pro", "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    customer.advance(months.add(customer.now, 1) + timedelta(hours=3))
    assert customer.subscription.status == "past_due"
    assert customer.account.plan.slug == "pro"
    customer.advance(customer.now + timedelta(days=40))
    assert customer.subscription is None
    assert customer.account.plan.slug == "free"
    assert Subscription.objects.get(organization=customer.organization).status == "canceled"


def test_a_cancellation_bills_the_last_overage_on_an_invoice_of_its_own(customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "api_requests", 60_000)
    cancellations.cancel(subscription=subscription, reason="too much", now=customer.now)
    assert customer.subscription.is_canceling
    customer.advance(subscription.current_period_end + timedelta(days=2))
    assert customer.subscription is None
    assert plans.current_plan(customer.organization).slug == "free"
    last = Invoice.objects.get(organization=customer.organization, billing_reason="manual")
    assert (last.total, last.status) == (500, "paid")
    assert charges.differences() == []
    assert Meter.objects.count() == 3


def test_what_another_request_has_just_ended_is_refused_as_ended(customer: Customer) -> None:
    """Two people press at once: the second is told that it has ended, not that Stripe fails."""
    before = customer.buy("pro", "month")
    canceling = cancellations.cancel(subscription=before, now=customer.now)
    cancellations.cancel(subscription=before, at_period_end=False, now=customer.now)
    for late in (
        lambda: cancellations.cancel(subscription=before, now=customer.now),
        lambda: cancellations.resume(subscription=canceling, now=customer.now),
    ):
        with pytest.raises(subscription_updates.Ended):
            late()
    assert cancellations.cancel(subscription=before, at_period_end=False, now=customer.now).has_ended
