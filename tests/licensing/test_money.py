"""A license and its subscription end together, whichever ends first: through the sandbox, as Stripe would."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from billing import checkout, gateway, orders, subscriptions
from billing.models import Invoice, Payment, Subscription
from licensing import collection, moderation, tasks
from licensing.models import License
from metering import months
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import join, page_of
from tests.billing.conftest import (
    FAILS_LATER_CARD,
    Customer,
    customer,
    impatient,
    other_customer,
    sandbox,
    shop,
    stripe_at_sandbox,
)

__all__ = [
    "customer",
    "impatient",
    "other_customer",
    "sandbox",
    "shop",
    "stripe_at_sandbox",
    "tasks",
]  # fixtures
DAY = timedelta(days=1)
TIER = "nextpanel-professional"


def buy(customer: Customer, product: str = TIER, card: str | None = None) -> License:
    order = orders.place(
        organization=customer.organization,
        user=customer.user,
        items=[orders.Wanted(product, {"interval": "month"})],
        max_total=10_000,
        currency="usd",
        payment="checkout",
        now=customer.now,
    )
    url = checkout.start_order(order=order, now=customer.now).url
    assert (customer.pay(url, card) if card else customer.pay(url)).status_code == 303
    work_off(customer)
    return License.objects.select_related("order_item__subscription").get(order_item__order=order)


def work_off(customer: Customer) -> None:
    """What Stripe reported, and what we owe Stripe."""
    for _ in range(4):
        customer.settle()
        due = OutboxMessage.objects.filter(
            topic__startswith="licensing.", state="pending", due_at__lte=timezone.now()
        )
        for message in due:
            outbox.deliver(message.pk)


def refund(payment: Payment, amount: int | None = None) -> None:
    """As staff do in Stripe's dashboard."""
    data = {"payment_intent": payment.stripe_id} | ({"amount": amount} if amount else {})
    answer = httpx.post(
        f"{settings.STRIPE_API_HOST}/v1/refunds", data=data, auth=(settings.STRIPE_SECRET_KEY, "")
    )
    answer.raise_for_status()


def reread(license_: License) -> tuple[License, Subscription]:
    fresh = License.objects.select_related("order_item__subscription", "organization").get(pk=license_.pk)
    return fresh, fresh.order_item.subscription


def paid(customer: Customer) -> int:
    invoices = Invoice.objects.filter(organization=customer.organization, status="paid")
    return sum(invoice.amount_paid for invoice in invoices)


class Page:
    """A browser. A request ends in no scope; the test goes on in its own."""

    def __init__(self, user: User) -> None:
        with tenancy.isolated():
            self.client = page_of(user)

    def get(self, address: str) -> Any:
        with tenancy.isolated():
            return self.client.get(address)

    def post(self, address: str, data: dict[str, Any] | None = None) -> Any:
        with tenancy.isolated():
            return self.client.post(address, data)


@pytest.fixture
def staff(customer: Customer) -> User:
    return User.objects.create_user("sam@superagent.example", full_name="Sam Staff", is_staff=True)


@pytest.fixture
def rehearsing(customer: Customer) -> Customer:
    customer.rehearse()
    return customer


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
    subscriptions.cancel(subscription=reread(license_)[1], at_period_end=False, now=customer.now)
    work_off(customer)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    work_off(customer)
    assert OutboxMessage.objects.get(topic=collection.TOPIC).state == "done"


# --- The customer


def test_a_license_is_canceled_with_its_period_and_resumed_in_the_portal(rehearsing: Customer) -> None:
    license_ = buy(rehearsing)
    rehearsing.buy("pro")
    page = Page(rehearsing.user)
    subscription = reread(license_)[1]
    cancel, resume = (reverse(f"license-{name}", args=[subscription.pk]) for name in ("cancel", "resume"))
    own = reverse("license", args=[license_.pk])
    for address in (own, reverse("billing")):
        assert cancel in page.get(address).content.decode(), address
    asked = page.get(cancel).content.decode()
    assert "They continue and are charged as before." in asked and "$19.00" in asked
    assert page.post(cancel, {"reason": "Moving elsewhere"})["Location"] == own
    work_off(rehearsing)
    ending, subscription = reread(license_)
    assert (subscription.cancel_at_period_end, subscription.cancellation_reason) == (True, "Moving elsewhere")
    assert ending.expires_at == subscription.current_period_end
    for address in (own, reverse("billing")):
        assert resume in page.get(address).content.decode(), address
    assert page.post(resume)["Location"] == own
    work_off(rehearsing)
    going_on, subscription = reread(license_)
    assert not subscription.is_canceling and going_on.expires_at > subscription.current_period_end
    page.post(cancel, {"reason": ""})
    end: datetime = reread(license_)[1].current_period_end
    rehearsing.advance(end + DAY)
    work_off(rehearsing)
    ended, subscription = reread(license_)
    assert (ended.status_at(rehearsing.now), subscription.status) == ("expired", "canceled")
    assert rehearsing.subscription is not None and rehearsing.subscription.status == "active", (
        "the plan goes on"
    )


def test_a_canceled_license_cannot_be_canceled_twice_and_an_ended_one_not_at_all(customer: Customer) -> None:
    license_ = buy(customer)
    page = Page(customer.user)
    subscription = reread(license_)[1]
    cancel = reverse("license-cancel", args=[subscription.pk])
    page.post(cancel, {"reason": ""})
    assert page.get(cancel)["Location"] == reverse("license", args=[license_.pk])
    subscriptions.cancel(subscription=subscription, at_period_end=False, now=customer.now)
    work_off(customer)
    refused = page.post(cancel, {"reason": ""})
    assert refused.status_code == 422 and "It ended on" in refused.content.decode()


@pytest.mark.parametrize("name", ["license-cancel", "license-resume", "license-tiers", "license-change"])
def test_nobody_else_changes_a_license_subscription(
    customer: Customer, other_customer: Customer, name: str
) -> None:
    subscription = reread(buy(customer))[1]
    address = reverse(name, args=[subscription.pk, *([TIER] if name == "license-change" else [])])
    call: Callable[[Page, str], Any] = Page.post if name == "license-resume" else Page.get
    assert call(Page(other_customer.user), address).status_code == 404
    developer = join(customer.organization, "dev@example.com", "developer")
    assert call(Page(developer), address).status_code == 403
    assert call(Page(customer.user), address).status_code in (200, 302)


def confirm(page: Page, address: str) -> None:
    """Press the button of the preview."""
    html = page.get(address)
    assert html.status_code == 200
    context = html.context
    data = {"effective_at": context["effective_at"], "amount_due": context["preview"].amount_due}
    assert page.post(address, data).status_code == 302


def test_a_larger_tier_begins_at_once_for_the_amount_on_the_page(rehearsing: Customer) -> None:
    license_ = buy(rehearsing)
    rehearsing.advance(rehearsing.now + 10 * DAY)
    subscription = reread(license_)[1]
    page = Page(rehearsing.user)
    assert "NextPanel Business" in page.get(reverse("license-tiers", args=[subscription.pk])).content.decode()
    before = paid(rehearsing)
    address = reverse("license-change", args=[subscription.pk, "nextpanel-business"])
    shown = page.get(address)
    due = shown.context["preview"].amount_due
    assert 0 < due < 4900
    confirm(page, address)
    work_off(rehearsing)
    larger, subscription = reread(license_)
    assert larger.policy.product_slug == "nextpanel-business"
    assert larger.features.get(slug="databases").limit == 500
    assert paid(rehearsing) == before + due
    assert larger.masked_key == license_.masked_key


def test_a_smaller_tier_begins_when_the_paid_period_ends_and_can_be_taken_back(rehearsing: Customer) -> None:
    license_ = buy(rehearsing)
    page = Page(rehearsing.user)
    subscription = reread(license_)[1]
    address = reverse("license-change", args=[subscription.pk, "nextpanel-starter"])
    before = paid(rehearsing)
    confirm(page, address)
    work_off(rehearsing)
    same, subscription = reread(license_)
    assert (same.policy.product_slug, paid(rehearsing)) == (TIER, before)
    own = reverse("license", args=[license_.pk])
    assert "NextPanel Starter begins on" in page.get(own).content.decode()
    page.post(reverse("license-resume", args=[subscription.pk]))
    work_off(rehearsing)
    assert reread(license_)[1].pending_price is None
    confirm(page, address)
    rehearsing.advance(reread(license_)[1].current_period_end + DAY)
    work_off(rehearsing)
    smaller, _ = reread(license_)
    assert smaller.policy.product_slug == "nextpanel-starter"
    assert smaller.features.get(slug="databases").limit == 10
    assert paid(rehearsing) == before + 900


def test_a_tier_that_is_not_for_sale_is_404(customer: Customer) -> None:
    subscription = reread(buy(customer))[1]
    page = Page(customer.user)
    assert page.get(reverse("license-change", args=[subscription.pk, "pro"])).status_code == 404


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
    gateway.call("invoices.pay", Invoice.objects.get(
        organization=rehearsing.organization, status="open").stripe_id, params={"payment_method": "pm_card_visa"}
    )  # fmt: skip
    work_off(rehearsing)
    assert reread(license_)[0].suspends_at is None
