"""Canceling and resuming: once, however many ask at the same time, and never what has ended."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.models import AuditEntry
from billing.models import Subscription
from billing.selling import cancellations, subscriptions
from billing.selling.subscription_updates import Ended
from superagent.foundation import tenancy
from tests.billing.changing import at_stripe
from tests.billing.conftest import Customer, Sandbox, make_customer

CALLERS = 5


def recorded(customer: Customer) -> list[str]:
    entries = AuditEntry.objects.filter(organization=customer.organization, target_type="subscription")
    return list(entries.order_by("id").values_list("action", flat=True))


def all_at_once(act: Callable[[], object]) -> None:
    barrier = threading.Barrier(CALLERS)

    def call(_: int) -> None:
        try:
            with tenancy.system("test"):
                barrier.wait()
                act()
        finally:
            connection.close()

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(call, range(CALLERS)))


def test_a_canceled_plan_stays_until_its_period_ends_and_can_be_resumed(customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    canceled = cancellations.cancel(subscription=subscription, reason="Too dear", now=customer.now)
    assert (canceled.status, canceled.cancel_at_period_end) == (Subscription.Status.ACTIVE, True)
    assert canceled.cancellation_reason == "Too dear"
    assert cancellations.cancel(subscription=canceled, now=customer.now).is_canceling
    resumed = cancellations.resume(subscription=canceled, now=customer.now)
    assert not resumed.is_canceling and not at_stripe(customer)["cancel_at_period_end"]
    assert recorded(customer) == ["subscription.started", "subscription.canceled", "subscription.resumed"]


def test_a_plan_that_has_ended_is_neither_canceled_nor_resumed(customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    ended = cancellations.cancel(subscription=subscription, at_period_end=False, now=customer.now)
    assert ended.status == Subscription.Status.CANCELED
    with pytest.raises(Ended, match="It ended on"):
        cancellations.cancel(subscription=ended, now=customer.now)
    with pytest.raises(Ended, match="Buy it again"):
        cancellations.resume(subscription=ended, now=customer.now)


@pytest.mark.django_db(transaction=True)
def test_what_many_ask_for_at_once_is_one_change_and_one_line_in_the_trail(shop: Sandbox) -> None:
    """D10: parallel cancels, resumes and immediate changes each wrote a line."""
    with tenancy.system("test"):
        customer = make_customer(shop)
        bought = customer.buy("pro", "month")
        now = customer.now
    all_at_once(lambda: cancellations.cancel(subscription=bought, now=now))
    with tenancy.system("test"):
        customer.settle()
        canceled = customer.subscription
        assert canceled is not None and canceled.is_canceling
        assert recorded(customer) == ["subscription.started", "subscription.canceled"]
    all_at_once(lambda: cancellations.resume(subscription=canceled, now=now))
    with tenancy.system("test"):
        customer.settle()
        assert recorded(customer)[2:] == ["subscription.resumed"]
    all_at_once(
        lambda: subscriptions.change_plan(
            organization=customer.organization, user=customer.user, plan="enterprise", interval="month",
            previewed_at=now, now=now,
        )
    )  # fmt: skip
    with tenancy.system("test"):
        customer.settle()
        assert recorded(customer)[3:] == ["subscription.changed"]
        changed = customer.subscription
        assert changed is not None
    all_at_once(lambda: cancellations.cancel(subscription=changed, at_period_end=False, now=now))
    with tenancy.system("test"):
        customer.settle()
        assert sorted(recorded(customer)[4:]) == ["subscription.canceled", "subscription.ended"]
