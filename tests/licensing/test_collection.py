"""A license's subscription is paused, resumed and ended with it, through the sandbox as through Stripe."""

import pytest
from django.utils import timezone

from accounts.models import User
from billing.models import Invoice, Subscription
from billing.selling import cancellations
from licensing import collection, moderation
from licensing.models import License
from metering.quotas import months
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer, customer, impatient, shop, stripe_at_sandbox
from tests.licensing.selling import DAY, buy, on_test_clock, paid, reread, staff, work_off

__all__ = ["customer", "impatient", "on_test_clock", "shop", "staff", "stripe_at_sandbox"]  # fixtures


def test_revoking_ends_the_subscription_and_nothing_is_charged_again(
    on_test_clock: Customer, staff: User
) -> None:
    license_ = buy(on_test_clock)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    work_off(on_test_clock)
    assert reread(license_)[1].status == "canceled"
    before = paid(on_test_clock)
    on_test_clock.advance(months.add(on_test_clock.now, 2))
    assert paid(on_test_clock) == before
    assert reread(license_)[0].status == "revoked"


def test_nothing_is_charged_while_staff_hold_a_license(on_test_clock: Customer, staff: User) -> None:
    license_ = buy(on_test_clock)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=on_test_clock.now)
    work_off(on_test_clock)
    assert reread(license_)[1].is_collection_paused
    before = paid(on_test_clock)
    on_test_clock.advance(months.add(on_test_clock.now, 1) + DAY)
    work_off(on_test_clock)
    held, subscription = reread(license_)
    assert paid(on_test_clock) == before
    assert (held.status_at(on_test_clock.now), subscription.status) == ("suspended", "active")
    renewal = Invoice.objects.get(
        organization=on_test_clock.organization, billing_reason="subscription_cycle"
    )
    assert renewal.status == "void", "no debt is left behind"
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=on_test_clock.now)
    work_off(on_test_clock)
    again, subscription = reread(license_)
    assert (again.status_at(on_test_clock.now), subscription.is_collection_paused) == ("active", False)
    on_test_clock.advance(months.add(on_test_clock.now, 1))
    assert paid(on_test_clock) == before + 1900, "collected again from the next renewal on"


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
