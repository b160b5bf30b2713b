"""The client translates Stripe's errors, and accepts only fresh signatures."""

import time
from typing import Any

import pytest

from billing.stripe import client
from tests.billing.conftest import Customer, Sandbox, signed


def test_what_is_missing_and_what_is_wrong_are_told_apart(customer: Customer) -> None:
    with pytest.raises(client.StripeObjectMissing):
        client.call("customers.retrieve", "cus_unknown")
    with pytest.raises(client.Rejected) as refused:
        client.call("products.create", params={"name": "X", "unknown": "1"})
    assert not isinstance(refused.value, client.StripeObjectMissing)
    assert refused.value.stripe_code == "parameter_unknown"


def test_a_declined_card_says_why(customer: Customer) -> None:
    with pytest.raises(client.Declined) as declined:
        client.call(
            "payment_intents.create",
            params={
                "amount": 900,
                "currency": "usd",
                "confirm": True,
                "customer": customer.account.stripe_customer_id,
                "payment_method": "pm_card_chargeDeclinedInsufficientFunds",
                "payment_method_types": ["card"],
            },
        )
    assert declined.value.facts["decline_code"] == "insufficient_funds"


@pytest.mark.usefixtures("impatient")
def test_an_error_of_stripes_is_worth_a_retry(customer: Customer) -> None:
    customer.sandbox.fault("error_500", times=10)
    with pytest.raises(client.Unavailable):
        client.call("customers.retrieve", customer.account.stripe_customer_id or "")
    customer.sandbox.mend()


def test_a_list_is_read_to_its_end(shop: Sandbox) -> None:
    with_pages = [each["id"] for each in client.listed("prices.list", params={"limit": 2})]
    assert with_pages == [each["id"] for each in client.listed("prices.list")]
    assert len(set(with_pages)) == len(with_pages) > 2


def test_charging_is_refused_while_it_is_switched_off(settings: Any) -> None:
    client.require_charging()
    settings.CHARGING_ENABLED = False
    with pytest.raises(client.ChargingDisabled):
        client.require_charging()


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_signature_counts_for_five_minutes_around_now(seconds: int) -> None:
    payload = b"{}"
    fresh = signed(payload, "whsec_new")
    client.verify_signature(payload="{}", header=fresh, secrets=["whsec_old", "whsec_new"])
    with pytest.raises(client.BadSignature):
        client.verify_signature(payload="{}", header=fresh, secrets=["whsec_other"])
    stale = signed(payload, "whsec_new", int(time.time()) + seconds)
    with pytest.raises(client.BadSignature):
        client.verify_signature(payload="{}", header=stale, secrets=["whsec_new"])
