"""A license and its subscription end together, whichever ends first: through the sandbox, as Stripe would."""

import pytest
from django.utils import timezone

from accounts.models import User
from billing.models import Invoice, Payment, Subscription
from billing.selling import cancellations
from billing.stripe import client
from licensing import collection, moderation
from licensing.models import License
from metering.quotas import months
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import (
    FAILS_LATER_CARD,
    Customer,
    customer,
    impatient,
    other_customer,
    shop,
    stripe_at_sandbox,
)
from tests.licensing.selling import DAY, buy, paid, refund, rehearsing, reread, staff, work_off

__all__ = [
    "customer",
    "impatient",
    "other_customer",
    "rehearsing",
    "shop",
    "staff",
    "stripe_at_sandbox",
]  # fixtures


# --- Refunds


def test_a_full_refund_revokes_the_license_and_ends_its_subscription(rehearsing: Customer) -> None:
    license_ = buy(rehearsing)
    refund(Payment.objects.get(organization=rehearsing.organization))
    work_off(rehearsing)
    revoked, subscription = reread(license_)
    assert (revoked.status, revoked.note) == ("revoked", "The payment was refunded in full.")
    assert subscription.status == "canceled"
    before = paid(rehearsing)
    rehearsing.advance(months.add(rehearsing.now, 2))
    assert paid(rehearsing) == before, "nothing is charged for a license that was taken back"


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


def test_a_refund_of_a_month_that_is_over_is_a_courtesy(rehearsing: Customer) -> None:
    license_ = buy(rehearsing)
    first = Payment.objects.get(organization=rehearsing.organization)
    rehearsing.advance(months.add(rehearsing.now, 1) + DAY)
    refund(first)
    work_off(rehearsing)
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


def test_revoking_ends_the_subscription_and_nothing_is_charged_again(
    rehearsing: Customer, staff: User
) -> None:
    license_ = buy(rehearsing)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    work_off(rehearsing)
    assert reread(license_)[1].status == "canceled"
    before = paid(rehearsing)
    rehearsing.advance(months.add(rehearsing.now, 2))
    assert paid(rehearsing) == before
    assert reread(license_)[0].status == "revoked"


def test_nothing_is_charged_while_staff_hold_a_license(rehearsing: Customer, staff: User) -> None:
    license_ = buy(rehearsing)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=rehearsing.now)
    work_off(rehearsing)
    assert reread(license_)[1].is_collection_paused
    before = paid(rehearsing)
    rehearsing.advance(months.add(rehearsing.now, 1) + DAY)
    work_off(rehearsing)
    held, subscription = reread(license_)
    assert paid(rehearsing) == before
    assert (held.status_at(rehearsing.now), subscription.status) == ("suspended", "active")
    renewal = Invoice.objects.get(organization=rehearsing.organization, billing_reason="subscription_cycle")
    assert renewal.status == "void", "no debt is left behind"
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=rehearsing.now)
    work_off(rehearsing)
    again, subscription = reread(license_)
    assert (again.status_at(rehearsing.now), subscription.is_collection_paused) == ("active", False)
    rehearsing.advance(months.add(rehearsing.now, 1))
    assert paid(rehearsing) == before + 1900, "collected again from the next renewal on"


def test_what_the_license_is_now_counts_whatever_order_the_messages_come_in(
    customer: Customer, staff: User
) -> None:
    license_ = buy(customer)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=customer.now)
    moderation.reinstate(license_id=license_.pk, reason="Mistake", actor=staff, now=customer.now)
    waiting = OutboxMessage.objects.filter(topic=collection.TOPIC, state="pending").order_by("-id")
    for message in waiting:
        outbox.deliver(message.pk)
    customer.settle()
    assert not reread(license_)[1].is_collection_paused


def test_a_change_while_stripe_is_called_is_followed_too(
    customer: Customer, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = buy(customer)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=customer.now)
    pause = collection.collection.pause

    def paused_then_reinstated(*, subscription: Subscription) -> None:
        pause(subscription=subscription)
        if License.objects.get(pk=license_.pk).is_held_by_staff:
            moderation.reinstate(license_id=license_.pk, reason="Mistake", actor=staff, now=customer.now)

    monkeypatch.setattr(collection.collection, "pause", paused_then_reinstated)
    outbox.deliver(OutboxMessage.objects.filter(topic=collection.TOPIC).earliest("id").pk)
    assert not reread(license_)[1].is_collection_paused


@pytest.mark.usefixtures("impatient")
def test_a_revocation_while_stripe_is_down_ends_the_subscription_later(
    customer: Customer, staff: User
) -> None:
    license_ = buy(customer)
    customer.sandbox.fault("error_500", times=50)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    message = OutboxMessage.objects.get(topic=collection.TOPIC)
    outbox.deliver(message.pk)
    message.refresh_from_db()
    assert (message.state, reread(license_)[0].status) == ("pending", "revoked")
    customer.sandbox.mend()
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    work_off(customer)
    assert reread(license_)[1].status == "canceled"


def test_revoking_one_whose_subscription_has_ended_is_done(customer: Customer, staff: User) -> None:
    license_ = buy(customer)
    cancellations.cancel(subscription=reread(license_)[1], at_period_end=False, now=customer.now)
    work_off(customer)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    work_off(customer)
    assert OutboxMessage.objects.get(topic=collection.TOPIC).state == "done"


# --- Payments that fail


def test_a_renewal_that_fails_suspends_after_the_grace_and_paying_lifts_it(rehearsing: Customer) -> None:
    license_ = buy(rehearsing, card=FAILS_LATER_CARD)
    end = reread(license_)[1].current_period_end
    rehearsing.advance(end + DAY)
    work_off(rehearsing)
    owing, subscription = reread(license_)
    assert subscription.status == "past_due"
    assert owing.status_at(rehearsing.now) == "active"
    assert owing.works_until == owing.suspends_at
    assert owing.status_at(owing.suspends_at) == "suspended"
    client.call("invoices.pay", Invoice.objects.get(
        organization=rehearsing.organization, status="open").stripe_id, params={"payment_method": "pm_card_visa"}
    )  # fmt: skip
    work_off(rehearsing)
    assert reread(license_)[0].suspends_at is None
