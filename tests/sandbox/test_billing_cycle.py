"""The billing engine on test clocks: renewals, drafts, trials, dunning, proration."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver, Shop, eventually

START = int(datetime(2027, 1, 31, 10, tzinfo=UTC).timestamp())
DAY = 86_400


def day(year: int, month: int, day_: int, hour: int = 10) -> int:
    return int(datetime(year, month, day_, hour, tzinfo=UTC).timestamp())


def subscribed(
    shop: Shop, price: stripe.Price | None = None, **params: Any
) -> tuple[Any, stripe.Subscription]:
    clock = shop.clock(START)
    customer = shop.customer(test_clock=clock.id)
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": (price or shop.monthly).id}],
            **params,
        }
    )
    return clock, subscription


def invoices(shop: Shop, subscription: stripe.Subscription) -> list[stripe.Invoice]:
    """Return the subscription's invoices, oldest first."""
    return shop.client.v1.invoices.list({"subscription": subscription.id}).data[::-1]


def period(subscription: stripe.Subscription) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def test_three_months_by_stepping(shop: Shop, receiver: Receiver) -> None:
    """Month ends come out right, the period moves before the money, the draft waits an hour."""
    clock, subscription = subscribed(shop)
    assert subscription.status == "active"
    expected = [day(2027, 2, 28), day(2027, 3, 31), day(2027, 4, 30)]
    for number, end in enumerate(expected):
        assert period(shop.client.v1.subscriptions.retrieve(subscription.id))[1] == end
        shop.advance(clock.id, end + 1)
        renewal = invoices(shop, subscription)[-1]
        assert (renewal.status, renewal.billing_reason) == ("draft", "subscription_cycle")
        assert renewal.automatically_finalizes_at == end + 3600
        assert renewal.lines.data[0].period.start == end
        receiver.wait("invoice.created", id=renewal.id)
        shop.advance(clock.id, end + 3602)
        renewal = shop.client.v1.invoices.retrieve(renewal.id)
        assert (renewal.status, renewal.amount_paid, renewal.number[-4:]) == (
            "paid",
            2900,
            f"{number + 2:04d}",
        )
    receiver.wait_for(*["customer.subscription.updated"] * len(expected), id=subscription.id)
    moved = [e for e in receiver.received if e["type"] == "customer.subscription.updated"]
    assert any("items" in each["data"]["previous_attributes"] for each in moved)
    receiver.wait("test_helpers.test_clock.ready")
    assert {event["livemode"] for event in receiver.received} == {False}


def test_overage_lands_on_the_draft(shop: Shop) -> None:
    clock, subscription = subscribed(shop)
    end = period(subscription)[1]
    shop.advance(clock.id, end + 1)
    draft = invoices(shop, subscription)[-1]
    item = shop.client.v1.invoice_items.create(
        {
            "customer": subscription.customer,
            "invoice": draft.id,
            "amount": 750,
            "currency": "usd",
            "description": "API requests beyond 50,000",
            "period": {"start": START, "end": end},
            "metadata": {"meter": "api_requests"},
        },
        options={"idempotency_key": f"overage:{subscription.id}"},
    )
    assert item.invoice == draft.id
    shop.advance(clock.id, end + 3601)
    paid = shop.client.v1.invoices.retrieve(draft.id)
    assert (paid.status, paid.total, paid.amount_paid) == ("paid", 3650, 3650)
    line = next(line for line in paid.lines.data if line.amount == 750)
    assert line.parent.invoice_item_details.invoice_item == item.id
    assert line.metadata["meter"] == "api_requests"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client.v1.invoice_items.create(
            {
                "customer": subscription.customer,
                "invoice": draft.id,
                "amount": 1,
                "currency": "usd",
            }
        )
    assert refused.value.code == "invoice_not_editable"


def test_pending_items_wait_for_the_renewal(shop: Shop) -> None:
    clock, subscription = subscribed(shop)
    shop.client.v1.invoice_items.create(
        {
            "customer": subscription.customer,
            "subscription": subscription.id,
            "amount": 500,
            "currency": "usd",
        }
    )
    preview = shop.client.v1.invoices.create_preview({"subscription": subscription.id})
    shop.advance(clock.id, period(subscription)[1] + 3601 + 1)
    renewal = invoices(shop, subscription)[-1]
    assert preview.total == renewal.total == 3400
    assert [line.amount for line in preview.lines.data] == [line.amount for line in renewal.lines.data]


def test_an_unanswered_draft_waits_three_days(shop: Shop, receiver: Receiver) -> None:
    clock, subscription = subscribed(shop)
    end = period(subscription)[1]
    receiver.wait("customer.subscription.created", id=subscription.id)
    receiver.answer = 500
    shop.advance(clock.id, end + 7200)
    renewal = invoices(shop, subscription)[-1]
    assert (renewal.status, renewal.automatically_finalizes_at) == ("draft", end + 72 * 3600)
    receiver.answer = 200
    receiver.wait("invoice.created", id=renewal.id)
    eventually(
        lambda: shop.client.v1.invoices.retrieve(renewal.id).automatically_finalizes_at == end + 7200 + 3600
    )
    shop.advance(clock.id, end + 7200 + 3601)
    assert shop.client.v1.invoices.retrieve(renewal.id).status == "paid"


def test_dunning_ends_in_cancellation(shop: Shop, receiver: Receiver) -> None:
    clock = shop.clock(START)
    customer = shop.customer(test_clock=clock.id)
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
        }
    )
    failing = shop.client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    shop.client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": failing.id}})
    end = period(subscription)[1]
    shop.advance(clock.id, end + 3601)
    failed = invoices(shop, subscription)[-1]
    assert (failed.status, failed.attempt_count) == ("open", 1)
    assert failed.next_payment_attempt == end + 3600 + 3 * DAY
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert shop.client.v1.customers.retrieve(customer.id).delinquent is True
    at = end + 3600
    for pause in (3, 5, 7):
        assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
        at += pause * DAY
        shop.advance(clock.id, at + 1)
    ended = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    failed = shop.client.v1.invoices.retrieve(failed.id)
    assert (failed.attempt_count, failed.next_payment_attempt, failed.status) == (4, None, "open")
    receiver.wait("customer.subscription.deleted", id=subscription.id)
    receiver.wait_for(*["invoice.payment_failed"] * 4, id=failed.id)


def test_paying_with_another_card_ends_dunning(shop: Shop) -> None:
    clock, subscription = subscribed(shop)
    customer = str(subscription.customer)
    failing = shop.client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    shop.client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": failing.id}})
    shop.advance(clock.id, period(subscription)[1] + 3601)
    failed = invoices(shop, subscription)[-1]
    with pytest.raises(stripe.CardError) as declined:
        shop.client.v1.invoices.pay(failed.id)
    assert (declined.value.code, declined.value.http_status) == ("card_declined", 402)
    good = shop.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    paid = shop.client.v1.invoices.pay(failed.id, {"payment_method": good.id})
    assert paid.status == "paid"
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert shop.client.v1.customers.retrieve(customer).delinquent is False


def test_trial_warns_then_charges(shop: Shop, receiver: Receiver) -> None:
    clock, subscription = subscribed(shop, trial_period_days=14)
    assert (subscription.status, subscription.trial_end) == ("trialing", START + 14 * DAY)
    assert invoices(shop, subscription)[0].total == 0
    shop.advance(clock.id, START + 12 * DAY)
    receiver.wait("customer.subscription.trial_will_end", id=subscription.id)
    shop.advance(clock.id, START + 14 * DAY + 3601)
    active = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert active.status == "active"
    assert period(active) == (day(2027, 2, 14), day(2027, 3, 14))
    assert invoices(shop, subscription)[-1].amount_paid == 2900


def test_trial_without_a_card_follows_its_setting(shop: Shop) -> None:
    clock = shop.clock(START)
    customer = shop.client.v1.customers.create({"test_clock": clock.id})
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        }
    )
    shop.advance(clock.id, START + 8 * DAY)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_cancel_at_period_end_and_changing_ones_mind(shop: Shop, receiver: Receiver) -> None:
    clock, subscription = subscribed(shop)
    update = shop.client.v1.subscriptions.update
    stopping = update(subscription.id, {"cancel_at_period_end": True})
    assert (stopping.cancel_at, stopping.canceled_at) == (period(subscription)[1], START)
    going_on = update(subscription.id, {"cancel_at_period_end": False})
    assert (going_on.cancel_at, going_on.canceled_at) == (None, None)
    update(subscription.id, {"cancel_at_period_end": True, "cancellation_details": {"feedback": "unused"}})
    shop.advance(clock.id, period(subscription)[1] + 1)
    ended = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", period(subscription)[1])
    assert ended.cancellation_details.feedback == "unused"
    assert len(invoices(shop, subscription)) == 1
    receiver.wait("customer.subscription.deleted", id=subscription.id)


@pytest.mark.parametrize("behavior", ["create_prorations", "always_invoice", "none"])
def test_preview_of_an_upgrade_is_what_happens(shop: Shop, behavior: str) -> None:
    clock, subscription = subscribed(shop)
    shop.advance(clock.id, START + 10 * DAY)
    change: dict[str, Any] = {
        "items": [{"id": subscription["items"].data[0].id, "price": shop.business.id}],
        "proration_behavior": behavior,
        "proration_date": START + 10 * DAY,
    }
    preview = shop.client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": change,
        }
    )
    again = shop.client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": change,
        }
    )
    assert preview.total == again.total
    assert shop.client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.id == shop.monthly.id
    shop.client.v1.subscriptions.update(subscription.id, change)
    if behavior != "always_invoice":
        shop.advance(clock.id, period(subscription)[1] + 3602)
    real = invoices(shop, subscription)[-1]
    assert [line.amount for line in preview.lines.data] == [line.amount for line in real.lines.data]
    assert [line.description for line in preview.lines.data] == [line.description for line in real.lines.data]
    assert (preview.total, real.status) == (real.total, "paid")
    left = 18 * DAY / (28 * DAY)
    expected = {
        "create_prorations": [-round(2900 * left), round(29900 * left), 29900],
        "always_invoice": [-round(2900 * left), round(29900 * left)],
        "none": [29900],
    }[behavior]
    assert [line.amount for line in real.lines.data] == expected


def test_another_interval_begins_a_new_cycle(shop: Shop) -> None:
    clock, subscription = subscribed(shop)
    shop.advance(clock.id, START + 14 * DAY)
    change: dict[str, Any] = {"items": [{"id": subscription["items"].data[0].id, "price": shop.yearly.id}]}
    preview = shop.client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": change,
        }
    )
    changed = shop.client.v1.subscriptions.update(subscription.id, change)
    now = START + 14 * DAY
    assert period(changed) == (now, int(datetime.fromtimestamp(now, UTC).replace(year=2028).timestamp()))
    assert changed.billing_cycle_anchor == now
    bill = invoices(shop, subscription)[-1]
    assert (bill.total, bill.status, bill.billing_reason) == (29000 - 1450, "paid", "subscription_update")
    assert preview.total == bill.total


def test_a_downgrade_leaves_credit(shop: Shop) -> None:
    clock, subscription = subscribed(shop, shop.business)
    shop.advance(clock.id, START + 14 * DAY)
    shop.client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "price": shop.monthly.id}],
            "proration_behavior": "always_invoice",
        },
    )
    customer = shop.client.v1.customers.retrieve(str(subscription.customer))
    assert customer.balance == -(14950 - 1450)
    shop.advance(clock.id, period(subscription)[1] + 3602)
    renewal = invoices(shop, subscription)[-1]
    assert (renewal.total, renewal.amount_due, renewal.status) == (2900, 0, "paid")
    assert (renewal.starting_balance, renewal.ending_balance) == (-13500, -10600)


def test_a_first_payment_that_fails_leaves_it_incomplete(shop: Shop) -> None:
    clock = shop.clock(START)
    customer = shop.customer("4000000000000341", test_clock=clock.id)
    params: Any = {"customer": customer.id, "items": [{"price": shop.monthly.id}]}
    with pytest.raises(stripe.CardError):
        shop.client.v1.subscriptions.create({**params, "payment_behavior": "error_if_incomplete"})
    assert not shop.client.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data
    subscription = shop.client.v1.subscriptions.create(params)
    assert subscription.status == "incomplete"
    shop.advance(clock.id, START + 24 * 3600)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"
    assert invoices(shop, subscription)[0].status == "void"


def test_a_yearly_discount_for_three_months(shop: Shop) -> None:
    coupon = shop.client.v1.coupons.create(
        {"percent_off": 50, "duration": "repeating", "duration_in_months": 2}
    )
    clock, subscription = subscribed(shop, discounts=[{"coupon": coupon.id}])
    shop.advance(clock.id, day(2027, 3, 1))
    shop.advance(clock.id, day(2027, 4, 1, 12))
    assert [invoice.total for invoice in invoices(shop, subscription)] == [1450, 1450, 2900]


def test_an_existing_customer_is_put_on_a_clock(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
        }
    )
    clock = shop.clock(subscription.created + 60, customer=customer.id)
    assert shop.client.v1.customers.retrieve(customer.id).test_clock == clock.id
    assert subscription.id not in [s.id for s in shop.client.v1.subscriptions.list({"limit": 100}).data]
    assert shop.client.v1.subscriptions.list({"test_clock": clock.id}).data[0].id == subscription.id
    assert customer.id not in [c.id for c in shop.client.v1.customers.list({"limit": 100}).data]
    shop.advance(clock.id, period(subscription)[1] + 3601)
    assert len(invoices(shop, subscription)) == 2
    shop.client.v1.test_helpers.test_clocks.delete(clock.id)
    assert shop.client.v1.customers.retrieve(customer.id).deleted is True


def test_clocks_go_forward_and_not_too_far(shop: Shop) -> None:
    clock, _ = subscribed(shop)
    clocks = shop.client.v1.test_helpers.test_clocks
    for target in (START, START - 1, START + 63 * DAY):
        with pytest.raises(stripe.InvalidRequestError):
            clocks.advance(clock.id, {"frozen_time": target})


def test_payment_that_needs_authentication_off_session(shop: Shop) -> None:
    customer = shop.customer("4000002760003184")
    method = shop.client.v1.payment_methods.list({"customer": customer.id}).data[0]
    with pytest.raises(stripe.CardError) as refused:
        shop.client.v1.payment_intents.create(
            {
                "amount": 900,
                "currency": "usd",
                "customer": customer.id,
                "payment_method": method.id,
                "off_session": True,
                "confirm": True,
            }
        )
    assert refused.value.code == "authentication_required"
    intent = refused.value.error.payment_intent
    assert intent.status == "requires_payment_method"
    assert (
        shop.client.v1.payment_intents.retrieve(intent.id).last_payment_error.code
        == "authentication_required"
    )


@pytest.mark.parametrize(("behavior", "status"), [("void", "void"), ("keep_as_draft", "draft")])
def test_paused_collection(shop: Shop, behavior: Any, status: str) -> None:
    clock, subscription = subscribed(shop)
    shop.client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": behavior}})
    shop.advance(clock.id, period(subscription)[1] + 7200)
    assert invoices(shop, subscription)[-1].status == status
    resumed = shop.client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    assert resumed.pause_collection is None
