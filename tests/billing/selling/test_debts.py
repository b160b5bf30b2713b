"""While something is owed nothing is sold or changed but the way to pay it, and the banner says the truth."""

import re
from datetime import timedelta

import pytest

from billing import test_clocks
from billing.models import Invoice, Order, Payment, Subscription
from billing.projection import payments
from billing.selling import cancellations, debts, orders, subscriptions
from billing.stripe import client
from metering.quotas import months
from tests.billing.changing import change, paid
from tests.billing.conftest import FAILS_LATER_CARD, Caller, Customer, wait_for
from tests.billing.test_portal import Browser, text
from tests.fixtures import loopback


def declined_renewal(customer: Customer, plan: str = "enterprise") -> Invoice:
    """Bought, and the card of the first renewal refused: past due."""
    customer.buy(plan, "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    customer.advance(months.add(customer.now, 1) + timedelta(hours=3))
    assert customer.subscription.status == "past_due"
    return Invoice.objects.get(organization=customer.organization, status="open")


def pay_hosted(invoice: Invoice) -> None:
    """On Stripe's page of the invoice, with a good card."""
    form = {"cardNumber": "4242424242424242", "cardExpiry": "12 / 40", "cardCvc": "123", "billingName": "Ada"}
    assert loopback.post(invoice.hosted_url, data=form).status_code == 303


def test_no_credit_comes_out_of_an_unpaid_invoice(customer: Customer) -> None:
    """A2, the attack: change while past due, and the unpaid month becomes credit."""
    invoice = declined_renewal(customer)
    call = Caller(customer)
    for plan, interval in (("pro", "month"), ("enterprise", "year"), ("pro", "year")):
        for path in ("billing/subscription/change", "billing/subscription/preview"):
            answer = call("post", path, {"plan": plan, "interval": interval})
            assert (answer.status_code, answer.data["code"]) == (409, "payment_due")
            assert (answer.data["invoice"], answer.data["amount_due"]) == (str(invoice.pk), 29_900)
            assert answer.data["pay_url"] == invoice.hosted_url
    customer.settle()
    assert customer.subscription.status == "past_due"
    assert customer.account.balance == 0 and customer.subscription.pending_price is None
    assert call("post", "billing/subscription/cancel", {}).status_code == 200  # the way out stays open
    assert call("post", "billing/subscription/resume").data["code"] == "payment_due"
    pay_hosted(invoice)
    customer.settle()
    assert call("post", "billing/subscription/resume").status_code == 200
    assert change(customer, "pro").at_once is False


def test_a_debt_that_only_stripe_knows_counts_too(customer: Customer) -> None:
    """The card was refused a moment ago, and the webhook is on its way."""
    customer.buy("pro", "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    end = customer.subscription.current_period_end
    clock = customer.account.test_clock_id
    client.call(
        "test_helpers.test_clocks.advance", clock, params={"frozen_time": int(end.timestamp()) + 4_000}
    )
    wait_for(lambda: client.call("test_helpers.test_clocks.retrieve", clock)["status"] == "ready")
    assert customer.subscription.status == "active" and not debts.open_invoices(customer.organization)
    with pytest.raises(debts.PaymentDue):
        subscriptions.change_plan(
            organization=customer.organization, user=customer.user, plan="pro", interval="year", now=customer.now
        )  # fmt: skip
    customer.settle()
    assert customer.account.balance == 0 and paid(customer) == [2_900]


def test_who_owes_buys_nothing_until_it_is_paid(customer: Customer) -> None:
    """A5: the plan has ended, the month that it was used for was never paid."""
    invoice = declined_renewal(customer, "pro")
    customer.advance(customer.now + timedelta(days=40))
    assert customer.subscription is None and customer.account.plan.slug == "free"
    wanted = [orders.Wanted("nextpanel-starter")]
    with pytest.raises(debts.PaymentDue):
        customer.visit("pro")
    with pytest.raises(debts.PaymentDue):
        subscriptions.preview_plan(
            organization=customer.organization, plan="pro", interval="month", now=customer.now
        )
    with pytest.raises(debts.PaymentDue):
        orders.place(
            organization=customer.organization, user=customer.user, items=wanted, max_total=900,
            currency="usd", payment="checkout", now=customer.now,
        )  # fmt: skip
    assert not Order.objects.exists()
    pay_hosted(invoice)
    customer.settle()
    assert customer.visit("pro").url


def test_the_banner_says_what_is_true(customer: Customer) -> None:
    invoice = declined_renewal(customer, "pro")
    browser = Browser(customer.user)
    shown = text(browser.get("/billing/"))
    assert "Your payment of $29.00 was declined" in shown and "We try the card again on" in shown
    customer.advance(customer.now + timedelta(days=40))
    shown = text(browser.get("/billing/"))
    assert "You owe $29.00 for Pro, which has ended" in shown
    assert "was declined" not in shown and "paying it does not bring the plan back" in shown
    page = browser.get("/checkout/?plan=pro&interval=month")
    answer = browser.post("/checkout/?plan=pro&interval=month")
    assert page.status_code == 200 and "is open. Pay it, then try again." in text(answer)
    assert invoice.hosted_url in answer.content.decode()
    pay_hosted(invoice)
    customer.settle()
    assert "You owe" not in text(browser.get("/billing/"))


def test_a_card_that_was_declined_is_named_until_it_pays_or_is_changed(customer: Customer) -> None:
    """Paying the open invoice with another card leaves the declined one saved: the next renewal would fail again."""
    invoice = declined_renewal(customer, "pro")
    browser = Browser(customer.user)
    assert "Your saved card" not in text(browser.get("/billing/")), "the banner says it already"
    pay_hosted(invoice)
    customer.settle()
    page = text(browser.get("/billing/"))
    end = customer.subscription.current_period_end
    assert "Your saved card •••• 0341 was declined" in page and "Change the card" in page
    assert f"Change it before the next invoice is charged to it on {end:%b} {end.day}, {end.year}" in page
    for payment in Payment.objects.all():  # read again, in any order
        payments.refresh(payment.stripe_id)
    assert customer.account.is_card_declined
    method = client.call(
        "payment_methods.attach", "pm_card_visa", params={"customer": customer.account.stripe_customer_id}
    )
    client.call(
        "customers.update",
        customer.account.stripe_customer_id,
        params={"invoice_settings": {"default_payment_method": method["id"]}},
    )
    customer.settle()
    page = text(browser.get("/billing/"))
    assert "was declined" not in page and "Cards and billing details" in page


def test_while_something_is_owed_no_page_offers_what_would_be_refused(customer: Customer) -> None:
    invoice = declined_renewal(customer, "pro")
    browser, pay = Browser(customer.user), f'href="/invoices/{invoice.pk}/"'
    offers = {
        "/billing/plans/": ["Upgrade to", "Switch to"],
        "/licenses/": ["Buy NextPanel"],
        "/licenses/buy/nextpanel-starter/": ["Pay $9.00", "Saved card"],
    }
    for address, refused in offers.items():
        page = browser.get(address)
        assert pay in page.content.decode()
        for words in refused:
            assert words not in text(page), (address, words)
    assert "Cancel paid plan" in text(browser.get("/billing/plans/")), "the way out stays open"
    Invoice.objects.update(attempt_count=0)  # on its way to the card: no banner yet, and refused all the same
    for address in offers:
        page = browser.get(address)
        assert "An invoice of $29.00 is to be paid first" in text(page) and pay in page.content.decode()
    pay_hosted(invoice)
    customer.settle()
    assert "Upgrade to Enterprise" in text(browser.get("/billing/plans/"))
    assert "Pay $9.00" in text(browser.get("/licenses/buy/nextpanel-starter/"))


def test_the_page_of_a_change_leads_to_the_payment(customer: Customer) -> None:
    invoice = declined_renewal(customer)
    answer = Browser(customer.user).get("/billing/plans/pro/?interval=month")
    assert answer.status_code == 409 and invoice.hosted_url in answer.content.decode()
    assert "Pay the invoice" in text(answer)


def test_a_written_off_invoice_is_owed_and_a_voided_one_is_forgiven(customer: Customer) -> None:
    invoice = declined_renewal(customer, "pro")
    cancellations.cancel(subscription=customer.subscription, at_period_end=False, now=customer.now)
    for call, owed in (("invoices.mark_uncollectible", True), ("invoices.void_invoice", False)):
        client.call(call, invoice.stripe_id)
        customer.settle()
        assert debts.open_invoices(customer.organization).exists() is owed
    assert customer.visit("pro").url


def test_deleting_a_test_clock_leaves_no_debt_that_nobody_can_pay(customer: Customer) -> None:
    invoice = declined_renewal(customer, "pro")
    test_clocks.stop(customer.organization)
    customer.settle()
    invoice.refresh_from_db()
    assert invoice.status == "void" and debts.declined(customer.organization) is None
    assert customer.buy("pro").status == "active"


def test_a_first_payment_that_was_never_made_is_no_debt(customer: Customer) -> None:
    invoice = declined_renewal(customer, "pro")
    Subscription.objects.update(status=Subscription.Status.INCOMPLETE)
    assert invoice not in debts.open_invoices(customer.organization)


def test_prices_offer_who_owes_nothing_but_the_way_to_pay(customer: Customer) -> None:
    """The landing page led to changes and purchases that are refused."""
    invoice = declined_renewal(customer, "pro")
    landing = Browser(customer.user).get("/")
    assert "An invoice of $29.00 is to be paid first" in text(landing)
    html = landing.content.decode()
    assert f"/invoices/{invoice.pk}/" in html
    assert "/billing/plans/" not in html and "/licenses/buy/" not in html
    assert "/billing/cancel/" in html, "the way out stays open"


def test_the_page_on_billing_has_one_primary_button(customer: Customer) -> None:
    """What is most urgent: to pay what is owed, then to change the card that was declined."""
    invoice = declined_renewal(customer, "pro")
    browser = Browser(customer.user)
    assert primary_buttons(browser) == ["Pay $29.00"]
    pay_hosted(invoice)
    customer.settle()
    assert primary_buttons(browser) == ["Change the card"]


def primary_buttons(browser: Browser) -> list[str]:
    page = browser.get("/billing/").content.decode()
    found = re.findall(r'class="[^"]*button-primary[^"]*"[^>]*>(.*?)</(?:a|button)>', page, re.DOTALL)
    return [re.sub(r"\s*<[^>]+>\s*", "", each) for each in found]
