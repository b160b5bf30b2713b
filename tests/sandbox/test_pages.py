"""The hosted portal, invoice page, PDF and receipt."""

import re

import httpx
import pytest
import stripe

from tests.sandbox.conftest import Receiver, Shop

CARD = {"cardNumber": "5555555555554444", "cardExpiry": "12/34", "cardCvc": "123", "billingName": "Ada"}


@pytest.fixture
def subscription(shop: Shop) -> stripe.Subscription:
    customer = shop.customer()
    return shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
            "expand": ["latest_invoice"],
        }
    )


def portal_of(shop: Shop, subscription: stripe.Subscription) -> str:
    return shop.client.v1.billing_portal.sessions.create(
        {
            "customer": str(subscription.customer),
            "return_url": "http://shop.test/billing",
        }
    ).url


def test_cancel_and_resume_in_the_portal(
    shop: Shop, subscription: stripe.Subscription, browser: httpx.Client, receiver: Receiver
) -> None:
    url = portal_of(shop, subscription)
    page = browser.get(url)
    assert page.status_code == 200
    for text in ("Pro", "$29.00", "4242", "http://shop.test/billing", "Cancel subscription"):
        assert text in page.text
    assert "style=" not in page.text and "<script" not in page.text
    form = {"subscription": subscription.id, "action": "cancel", "feedback": "unused"}
    assert browser.post(url, data=form).status_code == 303
    stopping = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (stopping.cancel_at_period_end, stopping.cancellation_details.feedback) == (True, "unused")
    receiver.wait("customer.subscription.updated", id=subscription.id)
    assert browser.post(url, data={**form, "action": "resume"}).status_code == 303
    assert shop.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end is False


def test_the_card_is_changed_in_the_portal(
    shop: Shop, subscription: stripe.Subscription, browser: httpx.Client
) -> None:
    url = portal_of(shop, subscription)
    assert browser.post(url, data={**CARD, "action": "card", "cardNumber": "1"}).status_code == 422
    declined = browser.post(url, data={**CARD, "action": "card", "cardNumber": "4000000000000002"})
    assert declined.status_code == 402 and "Your card was declined." in declined.text
    assert browser.post(url, data={**CARD, "action": "card"}).status_code == 303
    customer = shop.client.v1.customers.retrieve(
        str(subscription.customer), {"expand": ["invoice_settings.default_payment_method"]}
    )
    method = customer.invoice_settings.default_payment_method
    assert isinstance(method, stripe.PaymentMethod) and method.card.last4 == "4444"


def test_another_customers_subscription_cannot_be_touched(
    shop: Shop, subscription: stripe.Subscription, browser: httpx.Client
) -> None:
    other = shop.customer()
    url = shop.client.v1.billing_portal.sessions.create({"customer": other.id}).url
    answer = browser.post(url, data={"subscription": subscription.id, "action": "cancel"})
    assert answer.status_code == 404
    assert browser.get("/p/session/bps_none").status_code == 404


def test_configurations_switch_features_off(
    shop: Shop, subscription: stripe.Subscription, browser: httpx.Client
) -> None:
    configuration = shop.client.v1.billing_portal.configurations.create(
        {
            "features": {"invoice_history": {"enabled": True}},
        }
    )
    url = shop.client.v1.billing_portal.sessions.create(
        {
            "customer": str(subscription.customer),
            "configuration": configuration.id,
        }
    ).url
    assert "Cancel subscription" not in browser.get(url).text
    assert browser.post(url, data={"subscription": subscription.id, "action": "cancel"}).status_code == 403
    assert shop.client.v1.billing_portal.configurations.list().data


def test_invoice_page_pdf_and_receipt(
    shop: Shop, subscription: stripe.Subscription, browser: httpx.Client
) -> None:
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice) and invoice.hosted_invoice_url and invoice.invoice_pdf
    page = browser.get(invoice.hosted_invoice_url)
    assert page.status_code == 200 and str(invoice.number) in page.text and "$29.00" in page.text
    file = browser.get(invoice.invoice_pdf)
    assert file.headers["content-type"] == "application/pdf"
    assert file.content.startswith(b"%PDF-1.4") and file.content.rstrip().endswith(b"%%EOF")
    start = int(file.content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert file.content[start:].startswith(b"xref")
    assert figures(page.text) == {"Amount paid": "-$29.00", "Amount due": "$0.00"}
    assert b"Amount due" in file.content
    charge = shop.client.v1.charges.list({"customer": str(subscription.customer)}).data[0]
    assert browser.get(str(charge.receipt_url)).status_code == 200


def figures(page: str) -> dict[str, str]:
    """What the invoice's page says was paid and is still due."""
    return dict(re.findall(r">(Amount \w+)</th><td class=\"number\">([^<]+)<", page))


def test_an_open_invoice_is_paid_on_its_page(shop: Shop, browser: httpx.Client) -> None:
    customer = shop.client.v1.customers.create({"email": "ada@example.com"})
    invoice = shop.client.v1.invoices.create({"customer": customer.id})
    shop.client.v1.invoice_items.create(
        {
            "customer": customer.id,
            "invoice": invoice.id,
            "amount": 1200,
            "currency": "usd",
        }
    )
    url = str(shop.client.v1.invoices.finalize_invoice(invoice.id).hosted_invoice_url)
    assert figures(browser.get(url).text) == {"Amount due": "$12.00"}
    declined = browser.post(url, data={**CARD, "cardNumber": "4000000000009995"})
    assert declined.status_code == 402 and "insufficient funds" in declined.text
    asked = browser.post(url, data={**CARD, "cardNumber": "4000002760003184"})
    assert asked.status_code == 303 and "/c/authenticate/intent/" in asked.headers["location"]
    done = browser.post(asked.headers["location"], data={"result": "complete"})
    assert done.headers["location"] == url
    assert shop.client.v1.invoices.retrieve(invoice.id).status == "paid"
    assert figures(browser.get(url).text) == {"Amount paid": "-$12.00", "Amount due": "$0.00"}
