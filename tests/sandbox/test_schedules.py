"""Subscription schedules: made from a subscription, executed by its clock, released, canceled."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver, Shop
from tests.sandbox.test_billing_cycle import invoices, period, subscribed


def planned(shop: Shop, subscription: stripe.Subscription, price: stripe.Price, **last: Any) -> Any:
    """A schedule under which `price` follows when the period ends."""
    schedules = shop.client.v1.subscription_schedules
    schedule = schedules.create({"from_subscription": subscription.id})
    assert (schedule.status, schedule.end_behavior, len(schedule.phases)) == ("active", "release", 1)
    start, end = period(subscription)
    assert (schedule.phases[0].start_date, schedule.phases[0].end_date) == (start, end)
    return schedules.update(
        schedule.id,
        {
            "end_behavior": "release",
            "phases": [
                {"items": [{"price": shop.business.id}], "start_date": start, "end_date": end},
                {"items": [{"price": price.id}], "duration": {"interval": "month"}, **last},
            ],
        },
    )


def test_what_was_planned_begins_with_the_next_period_and_goes_on_without_the_schedule(
    shop: Shop, receiver: Receiver
) -> None:
    clock, subscription = subscribed(shop, shop.business)
    schedule = planned(shop, subscription, shop.monthly, proration_behavior="none")
    held = shop.client.v1.subscriptions.retrieve(subscription.id, {"expand": ["schedule"]})
    assert held.schedule.id == schedule.id and held["items"].data[0].price.id == shop.business.id
    assert shop.client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2900
    end = period(subscription)[1]
    shop.advance(clock.id, end + 3700)
    now = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert now["items"].data[0].price.id == shop.monthly.id
    assert period(now)[0] == end
    assert [each.total for each in invoices(shop, subscription)] == [29900, 2900]
    assert invoices(shop, subscription)[-1].billing_reason == "subscription_cycle"
    shop.advance(clock.id, period(now)[1] + 3700)
    ended = shop.client.v1.subscription_schedules.retrieve(schedule.id)
    assert (ended.status, ended.released_subscription, ended.subscription) == (
        "released",
        subscription.id,
        None,
    )
    assert shop.client.v1.subscriptions.retrieve(subscription.id).schedule is None
    assert [each.total for each in invoices(shop, subscription)] == [29900, 2900, 2900]
    of_a_schedule = ("created", "updated", "updated", "released")
    receiver.wait_for(*(f"subscription_schedule.{each}" for each in of_a_schedule), id=schedule.id)
    assert len(receiver.types(id=schedule.id)) == len(of_a_schedule)


def test_a_shorter_interval_begins_at_the_end_of_the_year(shop: Shop) -> None:
    clock, subscription = subscribed(shop, shop.yearly)
    schedules = shop.client.v1.subscription_schedules
    schedule = schedules.create({"from_subscription": subscription.id})
    start, end = period(subscription)
    schedules.update(
        schedule.id,
        {
            "phases": [
                {"items": [{"price": shop.yearly.id}], "start_date": start, "end_date": end},
                {"items": [{"price": shop.monthly.id}], "duration": {"interval": "month"}},
            ]
        },
    )
    shop.advance(clock.id, end + 3700)
    now = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (period(now)[0], now.billing_cycle_anchor) == (end, end)
    assert [each.total for each in invoices(shop, subscription)] == [29000, 2900]


def test_a_phase_brings_its_card_and_discounts_or_loses_them(shop: Shop) -> None:
    coupon = shop.client.v1.coupons.create({"percent_off": 50, "duration": "forever"})
    for keeps, total in ((True, 1450), (False, 2900)):
        clock, subscription = subscribed(shop, shop.business, discounts=[{"coupon": coupon.id}])
        kept = {"discounts": [{"discount": subscription.discounts[0]}]} if keeps else {}
        planned(shop, subscription, shop.monthly, **kept)
        shop.advance(clock.id, period(subscription)[1] + 3700)
        assert [each.total for each in invoices(shop, subscription)] == [14950, total]


def test_a_released_schedule_changes_nothing_and_cannot_be_released_again(shop: Shop) -> None:
    clock, subscription = subscribed(shop, shop.business)
    schedule = planned(shop, subscription, shop.monthly)
    schedules = shop.client.v1.subscription_schedules
    assert schedules.release(schedule.id).status == "released"
    with pytest.raises(stripe.InvalidRequestError, match="`released` status"):
        schedules.release(schedule.id)
    shop.advance(clock.id, period(subscription)[1] + 3700)
    assert [each.total for each in invoices(shop, subscription)] == [29900, 29900]


def test_a_schedule_ends_with_its_subscription_and_the_other_way_round(
    shop: Shop, receiver: Receiver
) -> None:
    _, subscription = subscribed(shop, shop.business)
    schedule = planned(shop, subscription, shop.monthly)
    shop.client.v1.subscriptions.cancel(subscription.id)
    receiver.wait("subscription_schedule.canceled", id=schedule.id)
    assert shop.client.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"
    _, other = subscribed(shop, shop.business)
    schedule = planned(shop, other, shop.monthly)
    assert shop.client.v1.subscription_schedules.cancel(schedule.id, {"prorate": False}).status == "canceled"
    assert shop.client.v1.subscriptions.retrieve(other.id).status == "canceled"


def test_the_last_phase_may_cancel(shop: Shop) -> None:
    clock, subscription = subscribed(shop, shop.business)
    schedules = shop.client.v1.subscription_schedules
    schedule = schedules.create({"from_subscription": subscription.id})
    schedules.update(schedule.id, {"end_behavior": "cancel"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client.v1.invoices.create_preview({"subscription": subscription.id})
    assert refused.value.code == "invoice_upcoming_none"
    shop.advance(clock.id, period(subscription)[1] + 3700)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert schedules.retrieve(schedule.id).status == "completed"


def test_what_a_schedule_decides_is_not_changed_past_it(shop: Shop) -> None:
    _, subscription = subscribed(shop, shop.business)
    schedule = planned(shop, subscription, shop.monthly)
    update = shop.client.v1.subscriptions.update
    with pytest.raises(
        stripe.InvalidRequestError, match=f"managed by the subscription schedule `{schedule.id}`"
    ):
        update(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        update(
            subscription.id, {"items": [{"id": subscription["items"].data[0].id, "price": shop.monthly.id}]}
        )
    assert refused.value.code == "sandbox_unsupported"
    assert update(subscription.id, {"metadata": {"a": "b"}}).metadata["a"] == "b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_date": 5}, "start date of the current phase"),
        ({"end_date": 5}, "must end after it starts"),
        ({"items": []}, "items"),
        ({"end_date": None}, "`end_date` or `duration`"),
    ],
)
def test_phases_are_checked(shop: Shop, change: dict[str, Any], message: str) -> None:
    _, subscription = subscribed(shop, shop.business)
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    start, end = period(subscription)
    phase = {"items": [{"price": shop.business.id}], "start_date": start, "end_date": end} | change
    phase = {name: value for name, value in phase.items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError, match=message):
        shop.client.v1.subscription_schedules.update(schedule.id, {"phases": [phase]})


def test_a_subscription_has_one_schedule(shop: Shop) -> None:
    _, subscription = subscribed(shop, shop.business)
    schedules = shop.client.v1.subscription_schedules
    schedule = schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        schedules.create({"from_subscription": subscription.id})
    found = schedules.list({"customer": subscription.customer})
    assert [each.id for each in found.data] == [schedule.id]
