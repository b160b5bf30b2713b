"""Payments as rows, with their refunds and what they say about the saved card."""

import pytest

from billing.models import Payment, Refund
from billing.projection import payments
from billing.stripe import client
from tests.billing.conftest import Customer


def test_a_refund_is_stored_and_a_full_one_is_told_apart(customer: Customer) -> None:
    customer.buy("pro", "month")
    payment = Payment.objects.get(organization=customer.organization)
    assert (payment.status, payment.amount, payment.card_last_four) == ("succeeded", 2_900, "4242")
    for amount, is_whole in ((900, False), (2_000, True)):
        client.call("refunds.create", params={"payment_intent": payment.stripe_id, "amount": amount})
        payments.refresh(payment.stripe_id)
        payment.refresh_from_db()
        assert payment.is_refunded() is is_whole
    assert payment.amount_refunded == 2_900
    assert sorted(Refund.objects.values_list("amount", flat=True)) == [900, 2_000]


def test_a_decline_is_stored_with_its_reason(customer: Customer) -> None:
    params = {
        "amount": 900,
        "currency": "usd",
        "confirm": True,
        "customer": customer.account.stripe_customer_id,
        "payment_method": "pm_card_chargeDeclinedInsufficientFunds",
        "payment_method_types": ["card"],
    }
    with pytest.raises(client.Declined):
        client.call("payment_intents.create", params=params)
    [intent] = client.listed("payment_intents.list", params={"customer": customer.account.stripe_customer_id})
    payment = payments.refresh(intent["id"])
    assert payment is not None and payment.organization == customer.organization
    assert (payment.status, payment.failure_code) == ("failed", "insufficient_funds")
    assert "insufficient funds" in payment.failure_message
    assert not payment.is_refunded()


def test_what_stripe_does_not_know_is_ignored(customer: Customer) -> None:
    assert payments.refresh("pi_unknown") is None
    assert not Payment.objects.exists()
