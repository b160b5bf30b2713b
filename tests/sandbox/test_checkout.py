"""Checkout: the session, the hosted page, and what paying brings about."""

from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.conftest import Receiver, Shop

CARD = {
    "cardNumber": "4242 4242 4242 4242",
    "cardExpiry": "12 / 34",
    "cardCvc": "123",
    "billingName": "Ada Lovelace",
    "email": "ada@example.com",
}


def session_for(shop: Shop, **params: Any) -> stripe.checkout.Session:
    return shop.client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": shop.monthly.id, "quantity": 1}],
            "success_url": "http://shop.test/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/back",
            **params,
        }
    )


def pay(browser: httpx.Client, session: stripe.checkout.Session, **changes: str) -> httpx.Response:
    return browser.post(str(session.url), data={**CARD, **changes})


def test_paying_makes_the_subscription_active(shop: Shop, browser: httpx.Client, receiver: Receiver) -> None:
    customer = shop.client.v1.customers.create({"email": "ada@example.com"})
    session = session_for(
        shop,
        customer=customer.id,
        client_reference_id="org-1",
        subscription_data={"metadata": {"plan": "pro"}},
    )
    page = browser.get(str(session.url))
    assert page.status_code == 200
    for name in ("cardNumber", "cardExpiry", "cardCvc", "billingName"):
        assert f'name="{name}"' in page.text
    assert "style=" not in page.text and "<script" not in page.text

    answer = pay(browser, session)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.test/done?session={session.id}"
    paid = shop.client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["subscription.latest_invoice.payments", "line_items", "customer"]}
    )
    assert (paid.status, paid.payment_status, paid.amount_total) == ("complete", "paid", 2900)
    subscription = paid.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert subscription.status == "active"
    assert subscription.metadata["plan"] == "pro"
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        2900,
        "subscription_create",
    )
    assert invoice.payments and invoice.payments.data[0].status == "paid"
    receiver.wait("checkout.session.completed", id=session.id)
    receiver.wait_for(
        "payment_method.attached",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    )


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
    ],
)
def test_a_declined_card_is_told_and_another_one_may_pay(
    shop: Shop, browser: httpx.Client, number: str, message: str
) -> None:
    session = session_for(shop)
    refused = pay(browser, session, cardNumber=number)
    assert refused.status_code == 402
    assert message in refused.text
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert pay(browser, session).status_code == 303
    assert pay(browser, session).status_code == 200  # paying twice is not possible


def test_wrong_fields_are_named(shop: Shop, browser: httpx.Client) -> None:
    answer = pay(
        browser,
        session_for(shop),
        cardNumber="4242424242424241",
        cardExpiry="01/20",
        cardCvc="1",
        billingName="",
        email="nobody",
    )
    assert answer.status_code == 422
    for message in (
        "Your card number is invalid.",
        "in the past",
        "3-digit security code",
        "name on your card",
        "Enter your email address",
    ):
        assert message in answer.text


def test_authentication_can_be_completed_or_failed(shop: Shop, browser: httpx.Client) -> None:
    session = session_for(shop)
    asked = pay(browser, session, cardNumber="4000002500003155")
    assert asked.headers["location"] == f"/c/authenticate/{session.id}"
    assert "Complete" in browser.get(asked.headers["location"]).text
    failed = browser.post(asked.headers["location"], data={"result": "fail"})
    assert failed.status_code == 402 and "unable to authenticate" in failed.text
    pay(browser, session, cardNumber="4000002500003155")
    done = browser.post(asked.headers["location"], data={"result": "complete"})
    assert done.status_code == 303 and done.headers["location"].startswith("http://shop.test/done")
    assert shop.client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_one_time_payment_with_a_saved_card_and_receipt(shop: Shop, browser: httpx.Client) -> None:
    customer = shop.client.v1.customers.create({"email": "ada@example.com"})
    session = session_for(
        shop,
        mode="payment",
        customer=customer.id,
        line_items=[{"price": shop.once.id, "quantity": 3}],
        payment_intent_data={"metadata": {"order": "7"}, "setup_future_usage": "off_session"},
        invoice_creation={"enabled": True},
    )
    assert pay(browser, session).status_code == 303
    paid = shop.client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["payment_intent.latest_charge", "invoice"]}
    )
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert (paid.payment_intent.status, paid.payment_intent.amount) == ("succeeded", 3000)
    assert paid.payment_intent.metadata["order"] == "7"
    assert isinstance(paid.invoice, stripe.Invoice) and paid.invoice.status == "paid"
    saved = shop.client.v1.payment_methods.list({"customer": customer.id}).data[0]
    again = shop.client.v1.payment_intents.create(
        {
            "amount": 500,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": saved.id,
            "off_session": True,
            "confirm": True,
        }
    )
    assert again.status == "succeeded"


def test_promotion_codes_lower_the_first_invoice(shop: Shop, browser: httpx.Client) -> None:
    coupon = shop.client.v1.coupons.create({"percent_off": 25, "duration": "once"})
    code = shop.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    session = session_for(shop, allow_promotion_codes=True)
    wrong = browser.post(str(session.url), data={"action": "apply_code", "promotionCode": "NOPE"})
    assert wrong.status_code == 422 and "invalid or has expired" in wrong.text
    right = browser.post(str(session.url), data={"action": "apply_code", "promotionCode": code.code.lower()})
    assert "$21.75" in right.text
    browser.post(str(session.url), data={"action": "remove_code"})
    unapplied = browser.post(str(session.url), data={**CARD, "promotionCode": code.code})
    assert unapplied.status_code == 200 and "$21.75" in unapplied.text  # applied first, not yet paid
    pay(browser, session)
    paid = shop.client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["invoice.discounts", "subscription"]}
    )
    assert isinstance(paid.invoice, stripe.Invoice)
    assert (paid.invoice.subtotal, paid.invoice.total, paid.amount_total) == (2900, 2175, 2175)


def test_trial_charges_nothing_today(shop: Shop, browser: httpx.Client) -> None:
    session = session_for(shop, subscription_data={"trial_period_days": 14})
    assert "14 days free" in browser.get(str(session.url)).text
    assert pay(browser, session).status_code == 303
    paid = shop.client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert isinstance(paid.subscription, stripe.Subscription)
    assert paid.subscription.status == "trialing"
    assert paid.payment_status == "no_payment_required"


def test_setup_mode_saves_a_card(shop: Shop, browser: httpx.Client) -> None:
    customer = shop.client.v1.customers.create({"email": "ada@example.com"})
    session = shop.client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "currency": "usd",
            "customer": customer.id,
            "success_url": "http://shop.test/done",
        }
    )
    assert pay(browser, session).status_code == 303
    assert len(shop.client.v1.payment_methods.list({"customer": customer.id}).data) == 1


def test_an_expired_session_says_so(shop: Shop, browser: httpx.Client) -> None:
    session = session_for(shop)
    shop.client.v1.checkout.sessions.expire(session.id)
    page = browser.get(str(session.url))
    assert page.status_code == 410 and "http://shop.test/back" in page.text
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.checkout.sessions.expire(session.id)


def test_a_customer_set_back_has_bought_in_the_past(shop: Shop, browser: httpx.Client) -> None:
    """For sample data: the period began then, and the renewal comes a month after it."""
    customer = shop.client.v1.customers.create({"email": "ada@example.com"})
    switch = f"/_sandbox/stripe/customers/{customer.id}/set_back"
    ago = 9 * 86_400
    now = browser.post(switch, json={"seconds": ago}).json()["now"]
    session = session_for(shop, customer=customer.id)
    pay(browser, session)
    assert browser.post(switch, json={"seconds": 0}).json()["now"] >= now + ago
    paid = shop.client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    subscription = paid.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    assert subscription.status == "active"
    assert 0 <= subscription["items"].data[0].current_period_start - now < 60
    assert 0 <= subscription.latest_invoice.created - now < 60
    assert browser.post(switch, json={"seconds": "soon"}).status_code == 400
    assert (
        browser.post("/_sandbox/stripe/customers/cus_none/set_back", json={"seconds": 1}).status_code == 404
    )
