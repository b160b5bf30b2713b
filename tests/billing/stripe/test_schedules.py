"""Subscription schedules: reused, released and repeated without an error."""

from datetime import timedelta

import pytest

from billing.stripe import client, schedules
from tests.billing.changing import change
from tests.billing.conftest import Customer


def test_a_schedule_that_came_to_its_end_does_not_stand_in_the_way(customer: Customer) -> None:
    """Stripe keeps it for the first period of what was planned: it is released when something changes."""
    customer.buy("enterprise", "month")
    customer.start_test_clock()
    change(customer, "pro")
    customer.advance(customer.subscription.current_period_end + timedelta(days=1))
    assert customer.subscription.schedule_id
    assert change(customer, "enterprise").at_once
    assert customer.account.plan.slug == "enterprise" and not customer.subscription.schedule_id


def test_a_schedule_left_by_a_killed_process_is_used(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    left = client.call(
        "subscription_schedules.create", params={"from_subscription": customer.subscription.stripe_id}
    )
    customer.settle()
    assert (customer.subscription.schedule_id, customer.subscription.pending_price) == (left["id"], None)
    change(customer, "pro")
    assert customer.subscription.schedule_id == left["id"]
    assert customer.subscription.pending_price.plan.slug == "pro"


def test_a_lost_answer_of_a_planned_change_is_made_good(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    customer.sandbox.fault("error_500", path="/v1/subscription_schedules/", method="POST", times=3)
    with pytest.raises(client.Unavailable):
        change(customer, "pro")
    customer.settle()
    assert customer.subscription.pending_price is None
    change(customer, "pro")
    assert customer.subscription.pending_price.plan.slug == "pro"


def test_releasing_what_was_released_is_no_error(customer: Customer) -> None:
    customer.buy("enterprise", "month")
    change(customer, "pro")
    schedule = customer.subscription.schedule_id
    for _ in range(2):
        schedules.release(schedule)
    customer.settle()
    assert customer.subscription.pending_price is None
