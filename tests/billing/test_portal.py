"""The billing pages, as a person uses them."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Membership, User
from accounts.roles import Role
from billing.customers import cards
from billing.models import BillingAccount, Invoice, Order, Price, Subscription
from billing.selling import cancellations
from billing.stripe import client
from metering.quotas import months
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import DECLINED_CARD, FAILS_LATER_CARD, Customer

BACKEND = "accounts.backends.Backend"


class Browser:
    """A logged-in person; the test's own scope comes back after each page."""

    def __init__(self, user: User) -> None:
        self.client = Client()
        with tenancy.isolated():
            self.client.force_login(user, backend=BACKEND)

    def get(self, path: str, **options: Any) -> Any:
        with tenancy.isolated():
            return self.client.get(path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
        with tenancy.isolated():
            return self.client.post(path, data or {}, **options)


@pytest.fixture
def browser(customer: Customer) -> Iterator[Browser]:
    yield Browser(customer.user)


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def hidden(answer: Any) -> dict[str, str]:
    found = re.findall(
        r'<input type="hidden" name="(effective_at|amount_due)" value="([^"]*)"', answer.content.decode()
    )
    return dict(found)


def test_every_page_is_there_before_anything_was_bought(browser: Browser) -> None:
    pages = ["/billing/", "/billing/plans/", "/billing/plans/?interval=year", "/invoices/", "/orders/"]
    pages += ["/invoices/?status=paid", "/checkout/canceled/", "/checkout/confirm/?session_id=cs_unknown"]
    for path in pages:
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert "style=" not in answer.content.decode(), path
    assert "No invoices yet" in text(browser.get("/invoices/"))


def test_from_a_pricing_link_to_the_active_plan(browser: Browser, customer: Customer) -> None:
    page = browser.get("/checkout/?plan=pro&interval=month")
    assert page.status_code == 200 and "$29.00" in text(page)
    answer = browser.post("/checkout/?plan=pro&interval=month")
    assert answer.status_code == 302 and answer.url.startswith(customer.sandbox.url)
    back = customer.pay(answer.url).headers["location"]
    path = (
        back.split("127.0.0.1:8000", 1)[1] if "127.0.0.1:8000" in back else back[back.index("/checkout/") :]
    )
    waiting = browser.get(path)
    assert "Confirming your payment" in text(waiting) and "every 2s" in waiting.content.decode()
    customer.settle()
    part = path.replace("/checkout/confirm/", "/checkout/confirm/status/")
    status = browser.get(part, headers={"HX-Request": "true"})
    assert "Welcome to Pro" in text(status) and "every 2s" not in status.content.decode()
    shown = text(browser.get("/billing/"))
    assert "Pro" in shown and "4242" in shown and "$29.00" in shown
    invoice = Invoice.objects.get(organization=customer.organization)
    assert "$29.00" in text(browser.get(f"/invoices/{invoice.pk}/"))
    assert invoice.number in text(browser.get("/invoices/"))
    assert (
        browser.get("/checkout/?plan=enterprise&interval=year").url
        == "/billing/plans/enterprise/?interval=year"
    )


def test_a_wrong_promotion_code_keeps_the_page_and_says_so(browser: Browser) -> None:
    answer = browser.post("/checkout/?plan=pro&interval=month", {"promotion_code": "NOPE"})
    assert answer.status_code == 400
    assert "This code is invalid or has expired" in text(answer) and "NOPE" in answer.content.decode()


@pytest.mark.parametrize("query", ["plan=gold", "", "plan=pro&interval=week"])
def test_a_strange_pricing_link_ends_on_a_page(browser: Browser, query: str) -> None:
    assert browser.get(f"/checkout/?{query}", follow=True).status_code == 200


def test_the_button_of_a_change_names_the_amount_that_is_paid(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=10))
    page = browser.get("/billing/plans/enterprise/?interval=month")
    form = hidden(page)
    dollars = f"${int(form['amount_due']) / 100:,.2f}"
    assert f"Upgrade to Enterprise and pay {dollars}" in text(page)
    answer = browser.post("/billing/plans/enterprise/?interval=month", form)
    assert answer.status_code == 302
    customer.settle()
    paid = Invoice.objects.get(organization=customer.organization, billing_reason="subscription_update")
    assert paid.total == int(form["amount_due"])


def test_a_change_names_its_card_and_the_rates_that_change_with_dates_in_one_form(
    browser: Browser, customer: Customer
) -> None:
    customer.buy("pro", "month", card="5555555555554444")
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=10))
    BillingAccount.objects.update(
        card_brand="visa", card_last_four="4242"
    )  # another one than the subscription's
    page = text(browser.get("/billing/plans/enterprise/?interval=month"))
    assert "Charged to Mastercard •••• 4444" in page
    assert "50,000 then $0.50 per 1,000" in page and "1,000,000 then $0.30 per 1,000" in page
    assert "1,000,000 then $2.00 per million" in page and "20,000,000 then $1.50 per million" in page
    today = customer.now
    assert f"Unused time on Pro after {today:%b} {today.day}, {today.year}" in page
    assert not re.search(r"\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}", page)


def test_less_later_names_the_card_and_the_rates_too(browser: Browser, customer: Customer) -> None:
    customer.buy("enterprise", "month")
    page = text(browser.get("/billing/plans/pro/?interval=month"))
    assert "Later charged to Visa •••• 4242" in page and "then $0.50 per 1,000" in page


def test_a_subscription_without_a_card_of_its_own_is_charged_to_the_customers(customer: Customer) -> None:
    customer.buy("pro", "month")
    price = Price.objects.get(product__slug="nextpanel-professional", interval="month", is_active=True)
    client.call(
        "subscriptions.create",
        params={"customer": customer.account.stripe_customer_id, "items": [{"price": price.stripe_id}]},
    )
    customer.settle()
    assert cards.charged_for(Subscription.objects.get(price=price)) == cards.Card("visa", "4242")


def test_the_lines_of_an_invoice_have_dates_in_one_form(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    page = browser.get("/billing/plans/enterprise/?interval=month")
    assert browser.post("/billing/plans/enterprise/?interval=month", hidden(page)).status_code == 302
    customer.settle()
    invoice = Invoice.objects.get(organization=customer.organization, billing_reason="subscription_update")
    today = f"{invoice.created_at:%b} {invoice.created_at.day}, {invoice.created_at.year}"
    lines = [line.description for line in invoice.lines.filter(is_proration=True)]
    assert lines and all(line.endswith(f"after {today}") for line in lines)


def test_a_stale_preview_is_made_again(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    stale = hidden(browser.get("/billing/plans/enterprise/")) | {"amount_due": "1"}
    answer = browser.post("/billing/plans/enterprise/", stale)
    assert answer.status_code == 200
    assert "The amount has changed. Here is a new preview" in text(answer)
    assert customer.account.plan.slug == "pro"


def test_a_declined_upgrade_changes_nothing(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=3))
    answer = browser.post("/billing/plans/enterprise/", hidden(browser.get("/billing/plans/enterprise/")))
    assert answer.status_code == 402
    assert "Your card was declined" in text(answer) and "Nothing was charged" in text(answer)
    customer.settle()
    assert customer.account.plan.slug == "pro"


def test_cancel_and_resume(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    assert "Your plan ends" in text(browser.get("/billing/cancel/"))
    assert browser.post("/billing/cancel/", {"reason": "trying it"}).url == "/billing/"
    assert "Canceling" in text(browser.get("/billing/")) and customer.subscription.is_canceling
    assert browser.post("/billing/resume/").url == "/billing/"
    assert not customer.subscription.is_canceling


def test_less_is_planned_shown_as_coming_and_taken_back(browser: Browser, customer: Customer) -> None:
    end = customer.buy("enterprise", "month").current_period_end
    day = f"{end:%b} {end.day}, {end.year}"
    page = browser.get("/billing/plans/pro/?interval=month")
    assert f"Change to Pro on {day}" in text(page) and "Enterprise is paid until" in text(page)
    answer = browser.post("/billing/plans/pro/?interval=month", hidden(page), follow=True)
    assert "Pro begins on" in text(answer) and "Stay on Enterprise" in text(answer)
    assert "Pro, Monthly $29.00" in text(answer)  # the next invoice
    assert "Pro begins on" in text(browser.get("/billing/plans/"))
    assert "Another change is scheduled" not in text(browser.get("/billing/plans/pro/?interval=month"))
    refused = browser.get("/billing/plans/enterprise/?interval=year")
    assert refused.status_code == 409 and "Cancel that first" in text(refused)
    assert "Stay on Enterprise" in text(refused)
    resumed = text(browser.post("/billing/resume/", follow=True))
    assert f"Enterprise will continue. It renews on {day}" in resumed and "for $299.00 a month." in resumed
    assert customer.subscription.pending_price is None


def test_canceling_says_that_it_drops_the_change_that_is_coming(browser: Browser, customer: Customer) -> None:
    """Whoever goes down, cancels and resumes pays the old price: the pages and the mail say so."""
    end = customer.buy("enterprise", "month").current_period_end
    day = f"{end:%b} {end.day}, {end.year}"
    page = browser.get("/billing/plans/pro/?interval=month")
    browser.post("/billing/plans/pro/?interval=month", hidden(page))
    asked = browser.get("/billing/cancel/")
    assert f"Pro on {day}" in text(asked) and "is dropped. Resuming does not bring it back." in text(asked)
    assert "it then renews for $299.00 a month." in text(asked)
    browser.post("/billing/cancel/", hidden(asked))
    customer.settle()
    [mail] = OutboxMessage.objects.filter(dedupe_key__startswith="mail:plan_canceled:")
    assert "The scheduled change to Pro, Monthly was canceled." in mail.payload["context"]["paragraphs"]
    assert mail.payload["context"]["paragraphs"][-1].endswith("It then renews for $299.00 a month.")
    assert "for $299.00 a month." in text(browser.post("/billing/resume/", follow=True))
    assert customer.subscription.pending_price is None
    labels = AuditEntry.objects.filter(action="subscription.change_planned").values_list(
        "target_label", flat=True
    )
    assert list(labels) == ["Enterprise → Pro"]


def test_another_interval_of_the_same_plan_is_not_called_another_plan(
    browser: Browser, customer: Customer
) -> None:
    end = customer.buy("pro", "year").current_period_end
    page = text(browser.get("/billing/plans/pro/?interval=month"))
    assert f"Switch to monthly billing on {end:%b} {end.day}, {end.year}" in page
    assert "Pro begins on" not in page and "Change to Pro" not in page


def test_a_change_that_another_tab_has_made_is_told_to_be_made(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    address = "/billing/plans/enterprise/?interval=month"
    page = hidden(browser.get(address))
    assert "You are on Enterprise now." in text(browser.post(address, page, follow=True))
    again = text(browser.post(address, page, follow=True))
    assert "This change was already made. You were not charged again." in again


def test_the_month_in_which_a_plan_ends_before_the_month_does_is_told(
    browser: Browser, customer: Customer
) -> None:
    customer.buy("pro", "month")
    customer.start_test_clock()
    customer.advance(customer.now + timedelta(days=10))
    assert "in the month from" not in text(browser.get("/billing/cancel/"))
    page = browser.get("/billing/plans/pro/?interval=year")
    browser.post("/billing/plans/pro/?interval=year", hidden(page))
    customer.settle()
    assert "the share that is paid" in text(browser.get("/billing/cancel/"))


def test_the_plans_offer_no_change_while_the_plan_is_canceled(browser: Browser, customer: Customer) -> None:
    customer.buy("enterprise", "month")
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    page = text(browser.get("/billing/plans/"))
    assert "Enterprise ends on" in page and "Resume plan" in page
    assert "Downgrade" not in page and "Switch to" not in page and "Cancel paid plan" not in page
    browser.post("/billing/resume/")
    assert "Downgrade to Pro" in text(browser.get("/billing/plans/"))


def test_past_due_is_a_banner_on_every_page(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month", card=FAILS_LATER_CARD)
    customer.start_test_clock()
    customer.advance(months.add(customer.now, 1) + timedelta(hours=3))
    for path in ("/billing/", "/invoices/", "/orders/"):
        assert "Your payment of $29.00 was declined" in text(browser.get(path))
    page = text(browser.get("/billing/"))
    assert "Pay $29.00" in page and "Change plan" not in page, "what is refused is not offered"
    assert "$29.00: canceling does not settle it" in text(browser.get("/billing/cancel/"))


def test_a_declined_card_leaves_the_order_unpaid(browser: Browser, customer: Customer) -> None:
    started = customer.visit("pro", "month")
    assert customer.pay(started.url, DECLINED_CARD).status_code != 303
    customer.settle()
    assert customer.subscription is None
    assert not Order.objects.exists()


@pytest.mark.usefixtures("impatient")
def test_stripe_down_leaves_pages_readable_and_says_so(browser: Browser, customer: Customer) -> None:
    customer.buy("pro", "month")
    customer.sandbox.fault("error_500", times=200)
    assert browser.get("/billing/").status_code == 200
    assert browser.get("/invoices/").status_code == 200
    page = browser.get("/billing/plans/enterprise/")
    assert page.status_code == 503 and "Try again" in text(page)
    assert "The payment service cannot be reached right now" in text(
        browser.post("/billing/card/", follow=True)
    )


def test_a_viewer_sees_who_may_and_a_stranger_nothing(customer: Customer, other_customer: Customer) -> None:
    customer.buy("pro", "month")
    invoice = Invoice.objects.get(organization=customer.organization)
    stranger = Browser(other_customer.user)
    assert stranger.get(f"/invoices/{invoice.pk}/").status_code == 404
    viewer = User.objects.create_user("viewer@example.com", "correct horse battery", full_name="V")
    Membership.objects.create(organization=customer.organization, user=viewer, role=Role.VIEWER)
    for path in ("/billing/", "/invoices/", "/billing/cancel/", "/checkout/?plan=pro"):
        assert Browser(viewer).get(path).status_code == 403, path
    assert Client().get("/billing/").status_code == 302
