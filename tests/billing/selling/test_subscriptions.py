"""What a change does to the usage month: it keeps its anchor and what was used, and gains the share that was paid."""

from datetime import timedelta
from typing import Any

import pytest

from accounts import organizations
from billing.catalog import plans
from billing.models import Invoice, OverageCharge
from billing.overage import charges
from billing.selling import cancellations
from billing.stripe import client
from metering.quotas import months
from tests.billing.changing import change, months_of, paid, preview, quota
from tests.billing.conftest import DECLINED_CARD, GOOD_CARD, Customer
from tests.billing.test_lifecycle import use


def test_an_upgrade_keeps_what_was_used_and_adds_the_share_of_the_month(customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
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
    customer.start_test_clock()
    start, end = customer.subscription.current_period_start, customer.subscription.current_period_end
    customer.advance(start + timedelta(days=10))
    at = customer.now
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    customer.sandbox.fault(
        "timeout_after", path=f"/v1/subscriptions/{customer.subscription.stripe_id}", method="POST",
        times=9, seconds=3,
    )  # fmt: skip
    with pytest.raises(client.Unavailable):
        change(customer, "enterprise")
    customer.sandbox.mend()
    organizations.set_test_clock_time(
        organization=customer.organization, test_clock_time=at + timedelta(days=3)
    )
    customer.settle()
    assert customer.account.plan.slug == "enterprise"
    assert quota(customer).included == 1_000_000 + int(19_000_000 * months.share(end - at, end - start))


def test_usage_months_keep_their_anchor_when_stripe_moves_its_own(customer: Customer) -> None:
    """Month to year on the tenth day: overage is invoiced by our months, and the month in which the year ends includes
    only the share that was paid."""
    customer.buy("pro", "month")
    customer.start_test_clock()
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
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
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
    assert charges.differences() == []


def test_a_declined_upgrade_changes_nothing_and_another_card_is_asked_anew(customer: Customer) -> None:
    """While time stands still, too."""
    customer.buy("pro", "month")
    customer.start_test_clock()
    stripe_id = customer.account.stripe_customer_id
    save_card(customer, DECLINED_CARD)
    with pytest.raises(client.Declined):
        change(customer, "enterprise")
    customer.settle()
    assert customer.account.plan.slug == "pro" and quota(customer).included == 1_000_000
    save_card(customer, GOOD_CARD)
    assert change(customer, "enterprise").amount_due > 0
    assert customer.account.plan.slug == "enterprise" and stripe_id == customer.account.stripe_customer_id


def save_card(customer: Customer, number: str) -> None:
    """Make a card the one that is charged next."""
    name = "pm_card_chargeCustomerFail" if number == DECLINED_CARD else "pm_card_visa"
    method = client.call(
        "payment_methods.attach", name, params={"customer": customer.account.stripe_customer_id}
    )
    client.call(
        "customers.update",
        customer.account.stripe_customer_id,
        params={"invoice_settings": {"default_payment_method": method["id"]}},
    )
    client.call(
        "subscriptions.update",
        customer.subscription.stripe_id,
        params={"default_payment_method": method["id"]},
    )
    customer.settle()


def test_a_change_in_a_trial_costs_nothing_before_it_ends(customer: Customer) -> None:
    plans.on_sale().filter(product__slug="pro").update(trial_days=14)
    bought = customer.buy("pro", "month")
    customer.start_test_clock()
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
    plans.on_sale().filter(product__slug="pro").update(trial_days=14)
    customer.buy("pro", "month")
    customer.start_test_clock()
    use(customer, "ai_tokens", 400_000)
    cancellations.cancel(subscription=customer.subscription, at_period_end=False, now=customer.now)
    customer.settle()
    assert customer.account.plan.slug == "free" and quota(customer).included == 10_000
    assert not OverageCharge.objects.exists()
    assert customer.buy("pro", "month").status == "active"  # a second trial there is not
    assert paid(customer) == [2_900]
