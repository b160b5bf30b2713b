"""Changes of plan as a customer makes them, and what they leave behind."""

from typing import Any

from billing.models import Payment
from billing.selling import cancellations, changes, subscriptions
from billing.stripe import client
from metering.models import Quota, UsagePeriod
from tests.billing.conftest import Customer


def change(customer: Customer, plan: str, interval: str = "month", **more: Any) -> changes.Preview:
    done = subscriptions.change_plan(
        organization=customer.organization,
        user=customer.user,
        plan=plan,
        interval=interval,
        now=customer.now,
        **more,
    )
    customer.settle()
    return done


def preview(customer: Customer, plan: str, interval: str = "month") -> changes.Preview:
    return subscriptions.preview_plan(
        organization=customer.organization, plan=plan, interval=interval, now=customer.now
    )


def resume(customer: Customer) -> None:
    assert customer.subscription is not None
    cancellations.resume(subscription=customer.subscription, now=customer.now)
    customer.settle()


def quota(customer: Customer, meter: str = "ai_tokens") -> Quota:
    return Quota.objects.filter(organization=customer.organization, meter__slug=meter).latest("period__start")


def months_of(customer: Customer) -> list[Any]:
    found = UsagePeriod.objects.filter(organization=customer.organization).order_by("start")
    return [start.replace(microsecond=0) for start in found.values_list("start", flat=True)]


def paid(customer: Customer) -> list[int]:
    """What was charged, payment by payment."""
    payments = Payment.objects.filter(organization=customer.organization, status="succeeded")
    return list(payments.order_by("created_at", "id").values_list("amount", flat=True))


def at_stripe(customer: Customer) -> dict[str, Any]:
    assert customer.subscription is not None
    return client.call("subscriptions.retrieve", customer.subscription.stripe_id)
