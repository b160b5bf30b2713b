"""The billing API: its forms, refusals, keys, and what another organization cannot see."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts.roles import Scope
from billing.models import Invoice
from billing.stripe import client
from superagent.foundation import tenancy
from tests.billing.conftest import Caller, Customer, Sandbox, make_customer


def test_plans_have_the_fixed_form(call: Caller) -> None:
    answer = call("get", "billing/plans")
    assert answer.status_code == 200
    assert [plan["slug"] for plan in answer.data["data"]] == ["free", "pro", "enterprise"]
    assert answer.data["packs"] == []
    pro = answer.data["data"][1]
    assert set(pro) >= {"slug", "name", "prices", "allowances", "features", "trial_days"}
    assert {"interval": "month", "currency": "usd", "unit_amount": 2900} in [
        dict(price) for price in pro["prices"]
    ]
    assert {"interval": "year", "currency": "usd", "unit_amount": 29000} in [
        dict(price) for price in pro["prices"]
    ]
    requests = next(row for row in pro["allowances"] if row["meter"] == "api_requests")
    assert (requests["included"], requests["hard"], requests["overage_rate"]) == (50_000, False, "0.05")


def test_products_are_the_nextpanel_tiers(call: Caller) -> None:
    data = call("get", "billing/products").data["data"]
    assert [row["slug"] for row in data] == [
        "nextpanel-starter",
        "nextpanel-professional",
        "nextpanel-business",
    ]


def test_without_a_paid_plan_the_subscription_is_free_and_active(call: Caller) -> None:
    answer = call("get", "billing/subscription").data
    assert (answer["plan"], answer["status"], answer["interval"]) == ("free", "active", None)
    assert set(answer) == {
        "plan", "status", "interval", "current_period_start", "current_period_end", "cancel_at_period_end",
        "pending_change", "trial_end",
    }  # fmt: skip


def test_a_plan_is_bought_changed_canceled_and_resumed(call: Caller, customer: Customer) -> None:
    started = call("post", "billing/create-checkout-session", {"plan": "pro", "interval": "month"})
    assert started.status_code == 201, started.data
    assert set(started.data) == {"session_id", "url"}
    customer.pay(started.data["url"])
    customer.settle()
    assert call("get", "billing/subscription").data["plan"] == "pro"
    shown = call("post", "billing/subscription/preview", {"plan": "enterprise", "interval": "month"})
    assert shown.status_code == 200, shown.data
    assert set(shown.data) >= {"amount_due", "currency", "lines", "effective_at"}
    too_little = call(
        "post",
        "billing/subscription/change",
        {"plan": "enterprise", "interval": "month", "max_amount_due": 1},
    )
    assert (too_little.status_code, too_little.data["code"]) == (409, "price_changed")
    changed = call("post", "billing/subscription/change", {"plan": "enterprise", "interval": "month"})
    assert changed.status_code == 200, changed.data
    assert call("get", "billing/subscription").data["plan"] == "enterprise"
    canceled = call("post", "billing/subscription/cancel", {"at_period_end": True, "reason": "testing"})
    assert (canceled.status_code, canceled.data["cancel_at_period_end"]) == (200, True)
    resumed = call("post", "billing/subscription/resume")
    assert (resumed.status_code, resumed.data["cancel_at_period_end"]) == (200, False)
    for replayed in (None, "true"):
        at_once = call(
            "post", "billing/subscription/cancel", {"at_period_end": False}, **{"Idempotency-Key": "1"}
        )
        assert (at_once.status_code, at_once.data["plan"]) == (200, "free")
        assert at_once.headers.get("Idempotent-Replayed") == replayed


def test_less_is_shown_as_coming_and_taken_back(call: Caller, customer: Customer) -> None:
    end = customer.buy("enterprise", "month").current_period_end
    for path in ("billing/subscription/preview", "billing/subscription/change"):
        shown = call("post", path, {"plan": "pro", "interval": "month"})
        assert shown.status_code == 200, shown.data
        assert (shown.data["at_once"], shown.data["amount_due"], shown.data["credit"]) == (False, 0, 0)
    coming = {
        "plan": "pro",
        "interval": "month",
        "unit_amount": 2_900,
        "currency": "usd",
        "effective_at": end,
    }
    answer = call("get", "billing/subscription").json()
    assert answer["plan"] == "enterprise" and answer["pending_change"] == coming | {
        "effective_at": f"{end:%Y-%m-%dT%H:%M:%SZ}"
    }
    [listed] = call("get", "subscriptions").json()["data"]
    assert listed["pending_change"]["product"] == "pro"
    assert call("post", "billing/subscription/resume").json()["pending_change"] is None
    assert call("get", "subscriptions").json()["data"][0]["pending_change"] is None


def test_the_same_key_answers_the_same_session_and_another_body_is_409(call: Caller) -> None:
    body = {"plan": "pro", "interval": "month"}
    header = {"Idempotency-Key": "buy-1"}
    first = call("post", "billing/create-checkout-session", body, **header)
    again = call("post", "billing/create-checkout-session", body, **header)
    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = call("post", "billing/create-checkout-session", {"plan": "enterprise"}, **header)
    assert (other.status_code, other.data["code"]) == (409, "idempotency_key_reused")


def test_the_key_of_an_invalid_request_stays_free(call: Caller) -> None:
    """Whether a serializer refuses the body or the domain does."""
    header = {"Idempotency-Key": "buy-1"}
    for wrong in ({"plan": "pro", "interval": "week"}, {"plan": "gold"}):
        assert call("post", "billing/create-checkout-session", wrong, **header).status_code == 400
    assert call("post", "billing/create-checkout-session", {"plan": "pro"}, **header).status_code == 201


def test_two_clicks_are_one_visit_to_the_payment_page(call: Caller) -> None:
    body = {"plan": "pro", "interval": "month"}
    first, second = (call("post", "billing/create-checkout-session", body).data for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"plan": "gold"}, "/plan"),
        ({}, "/plan"),
        ({"plan": "pro", "interval": "week"}, "/interval"),
        ({"plan": "pro", "promotion_code": "NO-SUCH"}, "/promotion_code"),
    ],
)
def test_bad_input_names_its_field(call: Caller, body: dict[str, Any], pointer: str) -> None:
    answer = call("post", "billing/create-checkout-session", body)
    assert answer.status_code == 400
    assert answer.data["errors"][0]["pointer"] == pointer
    assert answer.data["errors"][0]["detail"]


def test_free_is_not_bought_and_a_second_plan_is_a_change(call: Caller, customer: Customer) -> None:
    assert call("post", "billing/create-checkout-session", {"plan": "free"}).data["code"] == "nothing_to_pay"
    assert call("post", "billing/subscription/preview", {"plan": "pro"}).data["code"] == "no_subscription"
    assert call("post", "billing/subscription/cancel", {}).data["code"] == "no_subscription"
    customer.buy("pro", "month")
    assert (
        call("post", "billing/create-checkout-session", {"plan": "enterprise"}).data["code"]
        == "already_subscribed"
    )
    assert call("post", "billing/subscription/preview", {"plan": "pro"}).data["code"] == "already_on_plan"


def test_an_unverified_address_may_not_buy(shop: Sandbox) -> None:
    with tenancy.system("test"):
        newcomer = make_customer(shop, "Newcomer")
        call = Caller(newcomer)
        EmailAddress.objects.filter(user=newcomer.user).update(verified=False)  # its key is one of before
        answer = call("post", "billing/create-checkout-session", {"plan": "pro"})
        assert (answer.status_code, answer.data["code"]) == (403, "email_not_verified")
        order = call("post", "orders", {"items": [{"product": "nextpanel-starter"}], "max_total": 900})
        assert (order.status_code, order.data["code"]) == (403, "email_not_verified")


def test_reading_does_not_allow_buying(customer: Customer) -> None:
    reader = Caller(customer, [Scope.BILLING_READ])
    for path in (
        "create-checkout-session",
        "subscription/change",
        "subscription/cancel",
        "subscription/resume",
    ):
        answer = reader("post", f"billing/{path}", {"plan": "pro"})
        assert (answer.status_code, answer.data["code"]) == (403, "insufficient_scope")
    assert reader("post", "orders", {}).status_code == 403
    assert reader("get", "billing/customer-portal").status_code == 403


def test_stripe_down_is_503_and_nothing_is_lost(call: Caller, customer: Customer) -> None:
    customer.sandbox.fault("error_500", times=50)
    answer = call("post", "billing/create-checkout-session", {"plan": "pro"}, **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.data["code"]) == (503, "payments_unavailable")
    assert answer.headers["Retry-After"]
    customer.sandbox.mend()
    again = call("post", "billing/create-checkout-session", {"plan": "pro"}, **{"Idempotency-Key": "k"})
    assert again.status_code == 201


def test_a_change_whose_answer_was_lost_is_the_same_change_when_it_is_asked_again(
    call: Caller, customer: Customer, settings: Any
) -> None:
    customer.buy("pro", "month")
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    path = f"/v1/subscriptions/{customer.subscription.stripe_id}"
    customer.sandbox.fault("timeout_after", path=path, method="POST", times=10, seconds=3)
    body, key = {"plan": "enterprise", "interval": "month"}, {"Idempotency-Key": "up"}
    lost = call("post", "billing/subscription/change", body, **key)
    assert (lost.status_code, lost.data["code"]) == (503, "payments_unavailable")
    customer.sandbox.mend()
    done = call("post", "billing/subscription/change", body, **key)
    assert done.status_code == 200, done.data
    assert call("post", "billing/subscription/change", body, **key).data == done.data
    customer.settle()
    changes = Invoice.objects.filter(organization=customer.organization, billing_reason="subscription_update")
    assert [(each.status, each.total) for each in changes] == [("paid", done.data["amount_due"])]


def test_the_kill_switch_stops_sales_only(call: Caller, settings: Any) -> None:
    settings.CHARGING_ENABLED = False
    answer = call("post", "billing/create-checkout-session", {"plan": "pro"})
    assert (answer.status_code, answer.data["code"]) == (503, "charging_disabled")
    assert call("get", "billing/subscription").status_code == 200


def test_a_passing_fault_is_not_noticed(call: Caller, customer: Customer) -> None:
    customer.sandbox.fault("error_500", times=2)
    assert call("post", "billing/create-checkout-session", {"plan": "pro"}).status_code == 201


def test_usage_has_the_fixed_form(call: Caller) -> None:
    answer = call("get", "billing/usage").data
    assert set(answer) == {"period_start", "period_end", "meters"}
    assert {
        "meter",
        "unit",
        "included",
        "used",
        "remaining",
        "overage_quantity",
        "overage_amount",
        "currency",
    } == set(answer["meters"][0])


def test_the_customer_portal_is_a_short_lived_address(call: Caller, customer: Customer) -> None:
    answer = call("get", "billing/customer-portal")
    assert answer.status_code == 200
    assert answer.data["url"].startswith(customer.sandbox.url)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "orders",
            {
                "items": [{"product": "nextpanel-professional", "options": {"interval": "month"}}],
                "max_total": 1900,
                "currency": "usd",
                "payment": "checkout",
            },
        ),
        ("billing/create-checkout-session", {"plan": "pro"}),
    ],
)
def test_no_purchase_is_replayed_to_another_key_of_the_organization(
    call: Caller, customer: Customer, path: str, body: dict[str, Any]
) -> None:
    header = {"Idempotency-Key": "k1"}
    assert call("post", path, body, **header).status_code == 201
    other = Caller(customer)("post", path, body, **header)
    assert (other.status_code, other.data["code"]) == (409, "idempotency_key_reused")
    assert call("post", path, body, **header).status_code == 201


# --- Walls and costs


def test_another_organizations_things_are_404(call: Caller, stranger: Caller, customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    order = call("post", "orders", {"items": [{"product": "nextpanel-starter"}], "max_total": 900}).data["id"]
    invoice = Invoice.objects.get(organization=customer.organization)
    for method, path in (
        ("get", f"subscriptions/{subscription.pk}"),
        ("delete", f"subscriptions/{subscription.pk}"),
        ("get", f"orders/{order}"),
        ("get", f"billing/invoices/{invoice.pk}"),
    ):
        assert stranger(method, path).status_code == 404, path
    for path in ("subscriptions", "orders", "billing/invoices", "billing/payments"):
        assert stranger("get", path).data["data"] == []
        assert len(call("get", path).data["data"]) == 1
    assert stranger("get", "billing/subscription").data["plan"] == "free"


def test_lists_cost_the_same_for_one_row_and_for_many(
    call: Caller, customer: Customer, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    for number in range(5):
        invoice = Invoice.objects.create(
            organization=customer.organization, stripe_id=f"in_{number}", status="paid", currency="usd", subtotal=1,
            total=1, amount_due=1, amount_paid=1, amount_remaining=0, period_start=now, created_at=now,
            period_end=now + timedelta(days=1),
        )  # fmt: skip
        invoice.lines.create(
            organization=customer.organization, stripe_id="il_1", position=0, amount=1, currency="usd",
            period_start=now, period_end=now,
        )  # fmt: skip
    call("get", "billing/invoices")
    with django_assert_max_num_queries(2):
        assert len(call("get", "billing/invoices").data["data"]) == 5
    with django_assert_max_num_queries(3):
        call("get", "orders")
    with django_assert_max_num_queries(3):
        call("get", "billing/plans")
    answer = call("get", "billing/invoices?fields=id,total&limit=2")
    assert set(answer.data["data"][0]) == {"id", "total"}
    assert answer.data["next"]
