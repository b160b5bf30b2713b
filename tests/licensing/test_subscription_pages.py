"""What a customer does with a license's subscription in the portal: cancel, resume, another tier."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.urls import reverse

from billing.selling import cancellations
from licensing import moderation
from licensing.models import License
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import join
from tests.billing.conftest import Customer, customer, impatient, other_customer, shop, stripe_at_sandbox
from tests.licensing.selling import DAY, TIER, Page, buy, on_test_clock, paid, reread, staff, work_off

__all__ = [
    "customer",
    "impatient",
    "on_test_clock",
    "other_customer",
    "shop",
    "staff",
    "stripe_at_sandbox",
]  # fixtures


def test_a_license_is_canceled_with_its_period_and_resumed_in_the_portal(on_test_clock: Customer) -> None:
    license_ = buy(on_test_clock)
    on_test_clock.buy("pro")
    page = Page(on_test_clock.user)
    subscription = reread(license_)[1]
    cancel, resume = (reverse(f"license-{name}", args=[subscription.pk]) for name in ("cancel", "resume"))
    own = reverse("license", args=[license_.pk])
    for address in (own, reverse("billing")):
        assert cancel in page.get(address).content.decode(), address
    asked = page.get(cancel).content.decode()
    assert "They continue and are charged as before." in asked and "$19.00" in asked
    assert page.post(cancel, {"reason": "Moving elsewhere"})["Location"] == own
    work_off(on_test_clock)
    ending, subscription = reread(license_)
    assert (subscription.cancel_at_period_end, subscription.cancellation_reason) == (True, "Moving elsewhere")
    assert ending.expires_at == subscription.current_period_end
    for address in (own, reverse("billing")):
        assert resume in page.get(address).content.decode(), address
    assert page.post(resume)["Location"] == own
    work_off(on_test_clock)
    going_on, subscription = reread(license_)
    assert not subscription.is_canceling and going_on.expires_at > subscription.current_period_end
    page.post(cancel, {"reason": ""})
    end: datetime = reread(license_)[1].current_period_end
    on_test_clock.advance(end + DAY)
    work_off(on_test_clock)
    ended, subscription = reread(license_)
    assert (ended.status_at(on_test_clock.now), subscription.status) == ("expired", "canceled")
    assert on_test_clock.subscription is not None and on_test_clock.subscription.status == "active", (
        "the plan goes on"
    )


def test_a_canceled_license_cannot_be_canceled_twice_and_an_ended_one_not_at_all(customer: Customer) -> None:
    license_ = buy(customer)
    page = Page(customer.user)
    subscription = reread(license_)[1]
    cancel = reverse("license-cancel", args=[subscription.pk])
    page.post(cancel, {"reason": ""})
    assert page.get(cancel)["Location"] == reverse("license", args=[license_.pk])
    cancellations.cancel(subscription=subscription, at_period_end=False, now=customer.now)
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


def test_a_larger_tier_begins_at_once_for_the_amount_on_the_page(on_test_clock: Customer) -> None:
    license_ = buy(on_test_clock)
    on_test_clock.advance(on_test_clock.now + 10 * DAY)
    subscription = reread(license_)[1]
    page = Page(on_test_clock.user)
    assert "NextPanel Business" in page.get(reverse("license-tiers", args=[subscription.pk])).content.decode()
    before = paid(on_test_clock)
    address = reverse("license-change", args=[subscription.pk, "nextpanel-business"])
    shown = page.get(address)
    due = shown.context["preview"].amount_due
    assert 0 < due < 4900
    confirm(page, address)
    work_off(on_test_clock)
    larger, subscription = reread(license_)
    assert larger.policy.product_slug == "nextpanel-business"
    assert larger.features.get(slug="databases").limit == 500
    assert paid(on_test_clock) == before + due
    assert larger.masked_key == license_.masked_key


def test_a_smaller_tier_begins_when_the_paid_period_ends_and_can_be_taken_back(
    on_test_clock: Customer,
) -> None:
    license_ = buy(on_test_clock)
    page = Page(on_test_clock.user)
    subscription = reread(license_)[1]
    address = reverse("license-change", args=[subscription.pk, "nextpanel-starter"])
    before = paid(on_test_clock)
    confirm(page, address)
    work_off(on_test_clock)
    same, subscription = reread(license_)
    assert (same.policy.product_slug, paid(on_test_clock)) == (TIER, before)
    own = reverse("license", args=[license_.pk])
    assert "NextPanel Starter begins on" in page.get(own).content.decode()
    page.post(reverse("license-resume", args=[subscription.pk]))
    work_off(on_test_clock)
    assert reread(license_)[1].pending_price is None
    confirm(page, address)
    on_test_clock.advance(reread(license_)[1].current_period_end + DAY)
    work_off(on_test_clock)
    smaller, _ = reread(license_)
    assert smaller.policy.product_slug == "nextpanel-starter"
    assert smaller.features.get(slug="databases").limit == 10
    assert paid(on_test_clock) == before + 900


def mails(license_: License) -> list[tuple[str, str]]:
    """What was mailed of a license: its heading, and the rest."""
    sent = OutboxMessage.objects.filter(
        organization_id=license_.organization_id, payload__template="licensing/email/license"
    )
    contexts = [each.payload["context"] for each in sent.order_by("id")]
    return [(context["heading"], " ".join(context["paragraphs"])) for context in contexts]


def test_a_tier_that_begins_later_is_mailed_shown_with_its_price_and_dropped_by_a_cancellation(
    on_test_clock: Customer,
) -> None:
    license_ = buy(on_test_clock)
    page = Page(on_test_clock.user)
    subscription = reread(license_)[1]
    address, cancel, resume, own = (
        reverse("license-change", args=[subscription.pk, "nextpanel-starter"]),
        reverse("license-cancel", args=[subscription.pk]),
        reverse("license-resume", args=[subscription.pk]),
        reverse("license", args=[license_.pk]),
    )
    confirm(page, address)
    work_off(on_test_clock)
    heading, text = mails(license_)[-1]
    assert heading == "Your NextPanel Professional license becomes NextPanel Starter"
    assert "costs $9.00 a month from then on" in text
    work_off(on_test_clock)
    assert len(mails(license_)) == 2  # and the one about its issue; told once
    billing = page.get(reverse("billing")).content.decode()
    card = billing[billing.index("License subscriptions") :]
    assert (
        "as NextPanel Starter" in card and "$9.00" in card and "$19.00" not in card.partition("</table>")[0]
    )

    page.post(resume)
    work_off(on_test_clock)
    heading, text = mails(license_)[-1]
    assert heading == "Your license stays NextPanel Professional" and "for $19.00 a month." in text

    confirm(page, address)
    asked = page.get(cancel).content.decode()
    assert "is dropped. Resuming does not bring it back." in asked
    assert "$9.00 a month</dd>" in asked  # not charged again
    assert "it then renews for $19.00 a month, with the same key." in asked
    page.post(cancel, {"reason": ""})
    work_off(on_test_clock)
    heading, text = mails(license_)[-1]
    assert heading == "Your NextPanel Professional license will end" and "for $19.00 a month." in text
    for path in (own, reverse("licenses"), reverse("billing")):
        assert "Canceling" in page.get(path).content.decode(), path
    page.post(resume)
    work_off(on_test_clock)
    assert reread(license_)[1].pending_price is None
    assert mails(license_)[-1][1].endswith("for $19.00 a month.")


def test_a_license_that_is_held_and_canceled_says_both_and_offers_no_way_around_the_hold(
    customer: Customer, staff: Any
) -> None:
    """Resuming would renew it, and not lift what staff did."""
    license_ = buy(customer)
    page = Page(customer.user)
    subscription = reread(license_)[1]
    page.post(reverse("license-cancel", args=[subscription.pk]), {"reason": ""})
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=customer.now)
    work_off(customer)
    html = page.get(reverse("license", args=[license_.pk])).content.decode()
    assert "Suspended by our staff" in html and "It is canceled too: it ends on" in html
    assert "Resume license" not in html and "Resume its renewals" in html
    assert "Not charged while suspended" not in html and "Ends " in html
    moderation.reinstate(license_id=license_.pk, reason="It was a mistake", actor=staff, now=customer.now)
    heading, text = mails(license_)[-1]
    assert heading.endswith("works again") and text.endswith("Reason: It was a mistake")


def test_a_tier_that_is_not_for_sale_is_404(customer: Customer) -> None:
    subscription = reread(buy(customer))[1]
    page = Page(customer.user)
    assert page.get(reverse("license-change", args=[subscription.pk, "pro"])).status_code == 404
