"""Stripe's subscription schedules: changes at the end of the paid period, which can be canceled until then.

A schedule has two phases: the current one until the end of the paid period, and the next. Stripe carries it out. To
cancel the change, the schedule is released, and the subscription continues unchanged.
"""

from datetime import datetime

from billing.models import Price, Subscription
from billing.stripe import client
from billing.stripe.reading import Json, identifier, moment

ACTIVE = "active"


def plan(*, fetched: Json, price: Price) -> str:
    """Schedule `price` for the end of the paid period of the (just fetched) subscription. Returns the schedule.

    Calls Stripe. Idempotent: it replaces an earlier schedule. If killed half-way, it leaves a schedule that changes
    nothing.
    """
    schedule = attached(fetched) or _create(fetched["id"])
    client.call(
        "subscription_schedules.update",
        schedule["id"],
        params={
            "end_behavior": "release",
            "proration_behavior": "none",
            "phases": [
                _present(fetched, schedule["current_phase"]["start_date"]),
                _following(fetched, price),
            ],
        },
    )
    return str(schedule["id"])


def _create(subscription_id: str) -> Json:
    try:
        return client.call("subscription_schedules.create", params={"from_subscription": subscription_id})
    except client.Rejected:  # a concurrent request created it: a subscription has only one
        made = attached(client.call("subscriptions.retrieve", subscription_id))
        if made is None:
            raise
        return made


def release(schedule_id: str) -> None:
    """Release the schedule, so that the subscription can be changed directly again. Idempotent. Calls Stripe."""
    try:
        client.call("subscription_schedules.release", schedule_id)
    except client.Rejected:
        if client.call("subscription_schedules.retrieve", schedule_id)["status"] == ACTIVE:
            raise


def attached(fetched: Json) -> Json | None:
    """Returns the subscription's schedule; fetches it if it was not expanded."""
    schedule = fetched.get("schedule")
    if isinstance(schedule, str):
        schedule = client.call("subscription_schedules.retrieve", schedule)
    return schedule if schedule and schedule["status"] == ACTIVE else None


def planned(fetched: Json, schedule: Json | None) -> tuple[str, datetime] | None:
    """Returns the next Stripe price and when it starts; None without a change."""
    if schedule is None or not schedule.get("current_phase"):
        return None
    present = identifier(fetched["items"]["data"][0]["price"])
    for phase in schedule["phases"]:
        price = identifier(phase["items"][0]["price"])
        if phase["start_date"] >= schedule["current_phase"]["end_date"] and price != present:
            return price, moment(phase["start_date"])
    return None


def _present(fetched: Json, start_date: int) -> Json:
    """Returns the current phase unchanged, ending with the paid period."""
    said = _kept(fetched) | {
        "items": [
            {"price": identifier(item["price"]), "quantity": item.get("quantity") or 1}
            for item in fetched["items"]["data"]
        ],
        "start_date": start_date,
        "end_date": fetched["items"]["data"][0]["current_period_end"],
    }
    if fetched["status"] == Subscription.Status.TRIALING:
        said["trial_end"] = fetched["trial_end"]
    return said


def _following(fetched: Json, price: Price) -> Json:
    return _kept(fetched) | {
        "items": [{"price": price.stripe_id, "quantity": 1}],
        "duration": {"interval": price.interval, "interval_count": 1},
        "proration_behavior": "none",
    }


def _kept(fetched: Json) -> Json:
    """Returns what a phase must repeat to keep: the subscription's card and discounts."""
    kept: Json = {}
    if discounts := fetched.get("discounts"):
        kept["discounts"] = [{"discount": identifier(each)} for each in discounts]
    if method := identifier(fetched.get("default_payment_method")):
        kept["default_payment_method"] = method
    return kept
