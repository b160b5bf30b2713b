"""Another tier of a license by the API: previewed, changed once, taken back; by its owner, and not while it is held."""

from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Scope
from billing.models import Subscription
from licensing import licenses, moderation, policies
from licensing.models import License
from superagent.foundation import tenancy
from tests.accounts.conftest import Api, key_of
from tests.billing.conftest import Customer, customer, other_customer, shop, stripe_at_sandbox
from tests.licensing.selling import DAY, TIER, Page, buy, on_test_clock, paid, reread, staff, work_off

__all__ = [
    "customer",
    "on_test_clock",
    "other_customer",
    "shop",
    "staff",
    "stripe_at_sandbox",
]  # fixtures

LARGER, SMALLER = "nextpanel-business", "nextpanel-starter"


class Caller:
    """A program of the customer's; the test's own scope comes back after each call."""

    def __init__(self, customer: Customer, *scopes: Scope) -> None:
        with tenancy.isolated():
            self.api: Api = key_of(customer.organization, *scopes)

    def __call__(self, path: str, body: Any = None, **headers: str) -> Any:
        with tenancy.isolated():
            return self.api.post(path, body, **headers)


@pytest.fixture
def call(customer: Customer) -> Caller:
    return Caller(customer)


def test_a_larger_tier_costs_what_its_preview_says_and_is_bought_once(
    on_test_clock: Customer, call: Caller
) -> None:
    license_ = buy(on_test_clock)
    on_test_clock.advance(on_test_clock.now + 10 * DAY)
    before, path = paid(on_test_clock), f"licenses/{license_.pk}/tier"
    shown = call(f"{path}/preview", {"product": LARGER}).json()
    assert (shown["at_once"], shown["renewal_amount"], shown["currency"]) == (True, 4_900, "usd")
    assert 0 < shown["amount_due"] < 3_000
    body = {"product": LARGER, "effective_at": shown["effective_at"], "max_amount_due": shown["amount_due"]}
    done = [call(path, body, **{"Idempotency-Key": "up"}) for _ in range(2)]
    assert [each.status_code for each in done] == [200, 200]
    assert done[0].json() == done[1].json() and done[1]["Idempotent-Replayed"] == "true"
    assert done[0].json()["amount_due"] == shown["amount_due"]
    work_off(on_test_clock)
    larger, subscription = reread(license_)
    assert (larger.policy.product_slug, subscription.product.slug) == (LARGER, LARGER)
    assert larger.features.get(slug="databases").limit == 500
    assert larger.masked_key == license_.masked_key
    assert paid(on_test_clock) == before + shown["amount_due"]
    other = call(path, {"product": SMALLER}, **{"Idempotency-Key": "up"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    again = call(path, body)
    assert (again.status_code, again.json()["code"]) == (409, "already_on_plan")
    [entry] = AuditEntry.objects.filter(action="subscription.changed")
    assert entry.target_label == "NextPanel Professional → NextPanel Business"


def test_more_than_was_agreed_to_is_not_charged(customer: Customer, call: Caller) -> None:
    license_ = buy(customer)
    before = paid(customer)
    answer = call(f"licenses/{license_.pk}/tier", {"product": LARGER, "max_amount_due": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "price_changed")
    assert answer.json()["amount_due"] > 1
    assert (reread(license_)[0].policy.product_slug, paid(customer)) == (TIER, before)


def test_a_smaller_tier_waits_for_the_end_of_what_is_paid_and_is_taken_back(
    customer: Customer, call: Caller
) -> None:
    license_ = buy(customer)
    _, subscription = reread(license_)
    before = paid(customer)
    answer = call(f"licenses/{license_.pk}/tier", {"product": SMALLER}).json()
    assert (answer["at_once"], answer["amount_due"], answer["renewal_amount"]) == (False, 0, 900)
    work_off(customer)
    assert reread(license_)[1].pending_price.product.slug == SMALLER
    refused = call(f"licenses/{license_.pk}/tier", {"product": LARGER})
    assert (refused.status_code, refused.json()["code"]) == (409, "change_pending")
    for _ in range(2):
        resumed = call(f"subscriptions/{subscription.pk}/resume", {}, **{"Idempotency-Key": "back"})
        assert (resumed.status_code, resumed.json()["pending_change"]) == (200, None)
    work_off(customer)
    assert reread(license_)[1].pending_price is None
    assert (reread(license_)[0].policy.product_slug, paid(customer)) == (TIER, before)


def test_another_interval_of_the_same_tier(customer: Customer, call: Caller) -> None:
    license_ = buy(customer)
    before = paid(customer)
    answer = call(f"licenses/{license_.pk}/tier", {"product": TIER, "interval": "year"}).json()
    assert (answer["at_once"], answer["renewal_amount"]) == (True, 19_000)
    work_off(customer)
    assert reread(license_)[1].interval == "year"
    assert paid(customer) == before + answer["amount_due"]
    back = call(f"licenses/{license_.pk}/tier", {"product": TIER, "interval": "month"}).json()
    assert (back["at_once"], back["amount_due"]) == (False, 0)


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({}, 400, "invalid", "/product"),
        ({"product": "pro"}, 400, "invalid", "/product"),
        ({"product": "nothing"}, 400, "invalid", "/product"),
        ({"product": LARGER, "interval": "week"}, 400, "invalid", "/interval"),
        ({"product": LARGER, "effective_at": "soon"}, 400, "invalid", "/effective_at"),
        ({"product": LARGER, "max_amount_due": "much"}, 400, "invalid", "/max_amount_due"),
        ({"product": LARGER, "tier": "x"}, 400, "invalid", "/tier"),
        ({"product": TIER}, 409, "already_on_plan", None),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    customer: Customer, call: Caller, body: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    license_ = buy(customer)
    before = paid(customer)
    answer = call(f"licenses/{license_.pk}/tier", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (reread(license_)[0].policy.product_slug, paid(customer)) == (TIER, before)


def test_scopes_and_tenants(customer: Customer, other_customer: Customer) -> None:
    license_ = buy(customer)
    _, subscription = reread(license_)
    tier, resume = f"licenses/{license_.pk}/tier", f"subscriptions/{subscription.pk}/resume"
    reader = Caller(customer, Scope.BILLING_READ, Scope.LICENSES_WRITE)
    assert reader(f"{tier}/preview", {"product": LARGER}).status_code == 200
    for path, body in ((tier, {"product": LARGER}), (resume, {})):
        refused = reader(path, body)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope"), path
    stranger = Caller(other_customer)
    for path in (tier, f"{tier}/preview"):
        assert stranger(path, {"product": LARGER}).status_code == 404, path
    assert stranger(resume, {}).status_code == 404
    assert reread(license_)[0].policy.product_slug == TIER


def test_a_license_that_nobody_pays_for_has_no_tier_to_change(customer: Customer, call: Caller) -> None:
    license_ = licenses.issue(
        organization=customer.organization, policy=policies.of_product(TIER), now=customer.now
    )
    for path in ("tier", "tier/preview"):
        answer = call(f"licenses/{license_.pk}/{path}", {"product": LARGER})
        assert (answer.status_code, answer.json()["code"]) == (409, "license_without_subscription")


def test_a_license_that_staff_hold_gets_no_larger_tier_for_nothing(
    customer: Customer, call: Caller, staff: Any
) -> None:
    """While it is held, what Stripe would charge is voided: the larger tier would be had unpaid when the hold ends."""
    license_ = buy(customer)
    _, subscription = reread(license_)
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=customer.now)
    before = paid(customer)

    def refused() -> None:
        answer = call(f"licenses/{license_.pk}/tier", {"product": LARGER})
        assert (answer.status_code, answer.json()["code"]) == (409, "license_suspended")
        pressed = {"effective_at": customer.now.isoformat(), "amount_due": 9_999}
        page = Page(customer.user).post(reverse("license-change", args=[subscription.pk, LARGER]), pressed)
        assert page.status_code == 409

    refused()  # Stripe has not been told yet
    work_off(customer)
    assert reread(license_)[1].is_collection_paused
    refused()
    License.objects.filter(pk=license_.pk).update(status="active", suspension_reason="")
    refused()  # the hold is lifted, and Stripe has not been told yet
    assert Subscription.objects.get(pk=subscription.pk).product.slug == TIER
    assert paid(customer) == before
