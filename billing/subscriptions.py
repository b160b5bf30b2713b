"""Subscriptions: what a change would cost, and the change; cancel and resume. All of it calls Stripe."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from accounts import audit
from accounts.models import Organization, User
from billing import buyers, fence, gateway, plans
from billing.models import Invoice, Plan, Price, Subscription
from billing.projection import invoices, subscriptions
from billing.projection.reading import Json, identifier, moment
from superagent.foundation import tenancy
from superagent.foundation.problems import Refusal

STALE_AFTER = timedelta(minutes=10)


class NoSubscription(Refusal):
    status = HTTPStatus.CONFLICT
    code = "no_subscription"
    title = "There is no paid plan to change"

    def __init__(self) -> None:
        super().__init__("Choose a plan and pay for it by billing/create-checkout-session first.")


class StalePreview(Refusal):
    status = HTTPStatus.CONFLICT
    code = "price_changed"
    title = "The amount is not the one of the preview any more"


class Ended(Refusal):
    status = HTTPStatus.CONFLICT
    code = "subscription_ended"
    title = "This subscription has ended"


@dataclass(frozen=True, slots=True)
class PreviewLine:
    description: str
    amount: int
    currency: str
    is_proration: bool
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change costs: due at once, and at the next renewal.

    `credit` is what stays of this change for later invoices, `credit_used` what earlier credit pays of it.
    """

    plan: Plan
    price: Price
    is_upgrade: bool
    starts_period: bool
    amount_due: int
    credit: int
    credit_used: int
    currency: str
    lines: tuple[PreviewLine, ...]
    effective_at: datetime
    renews_at: datetime
    renewal_amount: int


def preview(*, organization: Organization, plan: str, interval: str, now: datetime) -> Preview:
    """What `change` at `effective_at` will do, by Stripe's own arithmetic.

    Raises NoSubscription, plans.AlreadyOnPlan, Invalid, gateway.Unavailable.
    """
    subscription, target, price = _change(organization, plan, interval)
    return _preview(subscription, target, price, now)


def change(
    *,
    organization: Organization,
    user: User | None,
    plan: str,
    interval: str,
    previewed_at: datetime | None = None,
    max_amount_due: int | None = None,
    now: datetime,
) -> Preview:
    """Change the paid plan now: more is charged at once, less is credited. Answers what was done.

    A change to another interval or to a lower plan begins a new period now, which closes the usage period under the
    terms that it had. `previewed_at` repeats the moment of a preview that is at most ten minutes old, so that its
    amounts hold and a repetition is the same change; above `max_amount_due` it raises StalePreview.

    Raises as `preview` does, and gateway.Declined (nothing is changed then), gateway.ChargingDisabled.
    """
    gateway.require_charging()
    buyers.require_verified(organization=organization, user=user)
    subscription, target, price = _change(organization, plan, interval)
    if (done := _done_before(subscription, target, price)) is not None:
        return done
    at = previewed_at if previewed_at is not None and now - STALE_AFTER <= previewed_at <= now else now
    shown = _preview(subscription, target, price, at)
    if max_amount_due is not None and shown.amount_due > max_amount_due:
        raise StalePreview(
            "Look at the new preview, then confirm its amount.",
            amount_due=shown.amount_due,
            currency=shown.currency,
        )
    number = fence.draw()
    answer = gateway.call(
        "subscriptions.update",
        subscription.stripe_id,
        key=_key_of_change(subscription, price, shown.effective_at),
        params=_parameters(subscription, price, shown.effective_at)
        | {"payment_behavior": "error_if_incomplete", "cancel_at_period_end": False},
    )
    _apply_change(subscription, target, price, answer, number)
    return shown


def _done_before(subscription: Subscription, target: Plan, price: Price) -> Preview | None:
    """What the change came to, if Stripe did it, but its answer and its webhook have not reached us."""
    number = fence.draw()
    found = gateway.call("subscriptions.retrieve", subscription.stripe_id)
    if identifier(found["items"]["data"][0]["price"]) != price.stripe_id or not found.get("latest_invoice"):
        return None
    invoice = gateway.call("invoices.retrieve", identifier(found["latest_invoice"]))
    shown = _shown(invoice, subscription, target, price, moment(invoice["created"]))
    _apply_change(subscription, target, price, found, number)
    return shown


def _apply_change(subscription: Subscription, target: Plan, price: Price, answer: Json, number: int) -> None:
    with tenancy.system("apply a change of plan"):
        _record("subscription.changed", subscription, {"plan": target.slug, "interval": price.interval})
        subscriptions.apply(answer, number)
        if answer.get("latest_invoice"):
            _refresh_invoice(answer)


def cancel(
    *, subscription: Subscription, at_period_end: bool = True, reason: str = "", now: datetime
) -> Subscription:
    """End the subscription, with its period or at once (nothing is paid back). Idempotent. Raises Ended."""
    if subscription.has_ended:
        raise Ended(f"It ended on {subscription.ended_at or now:%Y-%m-%d}.")
    details = {"cancellation_details": {"comment": reason[:300]}} if reason else {}
    number = fence.draw()
    if at_period_end:
        answer = gateway.call(
            "subscriptions.update", subscription.stripe_id, params={"cancel_at_period_end": True} | details
        )
    else:
        answer = gateway.call(
            "subscriptions.cancel",
            subscription.stripe_id,
            key=f"cancel:{subscription.stripe_id}",
            params={"invoice_now": False, "prorate": False} | details,
        )
    return _applied("subscription.canceled", subscription, answer, number, {"at_period_end": at_period_end})


def resume(*, subscription: Subscription, now: datetime) -> Subscription:
    """Take back a cancellation that has not come into force. Idempotent. Raises Ended."""
    if subscription.has_ended:
        raise Ended("It cannot be resumed: buy it again.")
    number = fence.draw()
    answer = gateway.call(
        "subscriptions.update", subscription.stripe_id, params={"cancel_at_period_end": False}
    )
    return _applied("subscription.resumed", subscription, answer, number, {})


def next_invoice(subscription: Subscription) -> Json:
    """Stripe's preview of the renewal, as Stripe says it. Raises gateway.Unavailable."""
    return gateway.call("invoices.create_preview", params={"subscription": subscription.stripe_id})


def _change(organization: Organization, plan: str, interval: str) -> tuple[Subscription, Plan, Price]:
    subscription = plans.subscription_of(organization)
    if subscription is None or subscription.plan is None:
        raise NoSubscription
    target = plans.named(plan)
    price = plans.price_of(target, interval)
    if price.pk == subscription.price_id:
        raise plans.AlreadyOnPlan("Choose another plan or interval.")
    if price.unit_amount == 0:
        raise plans.AlreadyOnPlan(
            "To go back to the free plan, cancel the paid one: it stays until its period ends."
        )
    return subscription, target, price


def _key_of_change(subscription: Subscription, price: Price, at: datetime) -> str:
    """The same for a repetition. Time may stand still (a rehearsal), but each change has made an invoice."""
    made = Invoice.objects.filter(subscription=subscription).count()
    return f"change:{subscription.stripe_id}:{price.pk}:{int(at.timestamp())}:{made}"


def _parameters(subscription: Subscription, price: Price, at: datetime) -> dict[str, Any]:
    """The same for the preview and for the change, so that the one says what the other does."""
    parameters: dict[str, Any] = {
        "items": [{"id": subscription.stripe_item_id, "price": price.stripe_id}],
        "proration_behavior": "always_invoice",
        "proration_date": int(at.timestamp()),
    }
    if _starts_period(subscription, price):
        parameters["billing_cycle_anchor"] = "now"
    return parameters


def _starts_period(subscription: Subscription, price: Price) -> bool:
    """A downgrade and a change of interval begin a new period."""
    assert subscription.plan is not None and price.plan is not None  # _change saw to it
    return price.plan.rank < subscription.plan.rank or price.interval != subscription.interval


def _preview(subscription: Subscription, target: Plan, price: Price, at: datetime) -> Preview:
    invoice = gateway.call(
        "invoices.create_preview",
        params={
            "subscription": subscription.stripe_id,
            "subscription_details": _parameters(subscription, price, at),
        },
    )
    return _shown(invoice, subscription, target, price, at)


def _shown(invoice: Json, subscription: Subscription, target: Plan, price: Price, at: datetime) -> Preview:
    """The invoice of a change, to come or made."""
    assert subscription.plan is not None  # _change saw to it
    starts_period = _starts_period(subscription, price)
    lines = tuple(_line(line) for line in invoice["lines"]["data"])
    # Not of the credit: what is left of a year is longer than the month that begins.
    new_end = max((line.period_end for line in lines if not line.is_proration), default=at)
    return Preview(
        plan=target,
        price=price,
        is_upgrade=plans.is_upgrade(current=subscription.plan, target=target),
        starts_period=starts_period,
        amount_due=invoice["amount_due"],
        credit=max(0, -invoice["total"]),
        credit_used=max(0, invoice["total"] - invoice["amount_due"]),
        currency=invoice["currency"],
        lines=lines,
        effective_at=at.replace(microsecond=0),
        renews_at=new_end if starts_period else subscription.current_period_end,
        renewal_amount=price.unit_amount,
    )


def _line(line: Json) -> PreviewLine:
    return PreviewLine(
        description=line.get("description") or "",
        amount=line["amount"],
        currency=line["currency"],
        is_proration=invoices.is_proration(line),
        period_start=moment(line["period"]["start"]),
        period_end=moment(line["period"]["end"]),
    )


def _applied(
    action: str, subscription: Subscription, answer: Json, number: int, detail: dict[str, Any]
) -> Subscription:
    with tenancy.system("apply a change of a subscription"):
        _record(action, subscription, detail)
        subscriptions.apply(answer, number)
        return Subscription.objects.select_related("plan__product", "product", "price").get(
            pk=subscription.pk
        )


def _record(action: str, subscription: Subscription, detail: dict[str, Any]) -> None:
    audit.record(
        action=action,
        organization=subscription.organization,
        target=subscription,
        label=subscription.product.name,
        detail=detail,
    )


def _refresh_invoice(answer: Json) -> None:
    """Show the invoice of the change at once; if Stripe is away now, its webhook brings it."""
    latest = answer["latest_invoice"]
    try:
        invoices.refresh(latest if isinstance(latest, str) else latest["id"])
    except gateway.Unavailable:
        return
