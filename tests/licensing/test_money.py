"""A license and its subscription end together, whichever ends first: through the sandbox, as Stripe would."""

from billing.models import Invoice, Payment
from billing.stripe import client
from metering.quotas import months
from tests.billing.conftest import (
    FAILS_LATER_CARD,
    Customer,
    customer,
    impatient,
    other_customer,
    shop,
    stripe_at_sandbox,
)
from tests.licensing.selling import DAY, buy, on_test_clock, paid, refund, reread, staff, work_off

__all__ = [
    "customer",
    "impatient",
    "on_test_clock",
    "other_customer",
    "shop",
    "staff",
    "stripe_at_sandbox",
]  # fixtures


# --- Refunds


def test_a_full_refund_revokes_the_license_and_ends_its_subscription(on_test_clock: Customer) -> None:
    license_ = buy(on_test_clock)
    refund(Payment.objects.get(organization=on_test_clock.organization))
    work_off(on_test_clock)
    revoked, subscription = reread(license_)
    assert (revoked.status, revoked.note) == ("revoked", "The payment was refunded in full.")
    assert subscription.status == "canceled"
    before = paid(on_test_clock)
    on_test_clock.advance(months.add(on_test_clock.now, 2))
    assert paid(on_test_clock) == before, "nothing is charged for a license that was taken back"


def test_refunds_that_add_up_to_all_of_it_revoke_too(customer: Customer) -> None:
    license_ = buy(customer)
    payment = Payment.objects.get(organization=customer.organization)
    refund(payment, 900)
    work_off(customer)
    assert reread(license_)[0].status == "active", "a part is a courtesy"
    assert reread(license_)[1].status == "active"
    refund(payment, 1000)
    work_off(customer)
    assert reread(license_)[0].status == "revoked"


def test_a_refund_of_a_month_that_is_over_is_a_courtesy(on_test_clock: Customer) -> None:
    license_ = buy(on_test_clock)
    first = Payment.objects.get(organization=on_test_clock.organization)
    on_test_clock.advance(months.add(on_test_clock.now, 1) + DAY)
    refund(first)
    work_off(on_test_clock)
    still, subscription = reread(license_)
    assert (still.status, subscription.status) == ("active", "active")


def test_a_refund_of_one_license_does_not_touch_the_other(customer: Customer) -> None:
    first = buy(customer)
    payment = Payment.objects.get(organization=customer.organization)
    second = buy(customer)
    refund(payment)
    work_off(customer)
    assert reread(first)[0].status == "revoked"
    assert [part.status for part in reread(second)] == ["active", "active"]


def test_a_refund_of_the_plan_touches_no_license(customer: Customer) -> None:
    customer.buy("pro")
    plan = Payment.objects.get(organization=customer.organization)
    license_ = buy(customer)
    refund(plan)
    work_off(customer)
    assert reread(license_)[0].status == "active"


def test_a_refund_that_is_heard_before_its_invoice_is_not_lost(customer: Customer) -> None:
    license_ = buy(customer)
    payment = Payment.objects.get(organization=customer.organization)
    Payment.objects.filter(pk=payment.pk).update(
        invoice=None
    )  # as if the invoice's event were still on the way
    refund(payment)
    customer.settle()
    from billing.projection import invoices

    invoices.refresh(Invoice.objects.get(organization=customer.organization).stripe_id)
    work_off(customer)
    assert reread(license_)[0].status == "revoked"


# --- Staff


# --- Payments that fail


def test_a_renewal_that_fails_suspends_after_the_grace_and_paying_lifts_it(on_test_clock: Customer) -> None:
    license_ = buy(on_test_clock, card=FAILS_LATER_CARD)
    end = reread(license_)[1].current_period_end
    on_test_clock.advance(end + DAY)
    work_off(on_test_clock)
    owing, subscription = reread(license_)
    assert subscription.status == "past_due"
    assert owing.status_at(on_test_clock.now) == "active"
    assert owing.works_until == owing.suspends_at
    assert owing.status_at(owing.suspends_at) == "suspended"
    client.call("invoices.pay", Invoice.objects.get(
        organization=on_test_clock.organization, status="open").stripe_id, params={"payment_method": "pm_card_visa"}
    )  # fmt: skip
    work_off(on_test_clock)
    assert reread(license_)[0].suspends_at is None
