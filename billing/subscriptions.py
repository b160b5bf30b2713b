"""Subscriptions, of API plans and of licenses: what a change would cost, the change, its undoing; cancel and resume.

All of it calls Stripe: never in a transaction.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from django.db import transaction

from accounts import audit
from accounts.models import AuditEntry, Organization, User
from billing import buyers, changes, debts, fence, gateway, plans, schedules
from billing.changes import Preview
from billing.models import BillingAccount, Invoice, Price, Subscription
from billing.projection import invoices, subscriptions
from billing.projection.reading import Json, identifier, moment
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from superagent.foundation.problems import Refusal

STALE_AFTER = timedelta(minutes=10)

log = structlog.get_logger(__name__)


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


class Ending(Refusal):
    """It is canceled for the end of its period: what should follow then is nothing."""

    status = HTTPStatus.CONFLICT
    code = "subscription_ending"
    title = "This subscription ends with its period"


class ChangePending(Refusal):
    """Another change waits for the end of the period: a change at once would have to guess what becomes of it."""

    status = HTTPStatus.CONFLICT
    code = "change_pending"
    title = "Another change is coming"


def preview_plan(*, organization: Organization, plan: str, interval: str, now: datetime) -> Preview:
    """What `change_plan` will do. Raises NoSubscription, Invalid, and as `preview` does."""
    subscription, price = _choice(organization, plan, interval)
    return preview(subscription=subscription, price=price, now=now)


def change_plan(
    *,
    organization: Organization,
    user: User | None,
    plan: str,
    interval: str,
    previewed_at: datetime | None = None,
    max_amount_due: int | None = None,
    now: datetime,
) -> Preview:
    """Change the organization's API plan, as `change` does. Raises NoSubscription, Invalid, and as `change` does."""
    subscription, price = _choice(organization, plan, interval)
    return change(
        subscription=subscription,
        price=price,
        user=user,
        previewed_at=previewed_at,
        max_amount_due=max_amount_due,
        now=now,
    )


def preview(*, subscription: Subscription, price: Price, now: datetime) -> Preview:
    """What `change` at `effective_at` will do, by Stripe's own arithmetic.

    Raises plans.AlreadyOnPlan, Ended, Ending, ChangePending, debts.PaymentDue, gateway.Unavailable.
    """
    _refuse(subscription, price)
    return _preview(subscription, price, now)


def change(
    *,
    subscription: Subscription,
    price: Price,
    user: User | None,
    previewed_at: datetime | None = None,
    max_amount_due: int | None = None,
    now: datetime,
) -> Preview:
    """Change what a subscription is for. Answers what was done, or what is coming.

    More takes effect and is charged at once; less, and a shorter interval, when the paid period ends, until when
    `take_back` undoes it. `previewed_at` repeats the moment of a preview that is at most ten minutes old, so that its
    amounts hold and a repetition is the same change; above `max_amount_due` it raises StalePreview.

    Raises as `preview` does, and gateway.Declined (nothing is changed then), gateway.ChargingDisabled.
    """
    gateway.require_charging()
    buyers.require_verified(organization=subscription.organization, user=user)
    former = subscription
    subscription, fetched = _as_stripe_says(subscription)
    if subscription.price_id == price.pk and former.price_id != price.pk:
        return _done_before(subscription, price, fetched)
    _refuse(subscription, price)
    debts.require_none_at_stripe(subscription.organization)
    if not changes.takes_effect_at_once(current=subscription.price, target=price):
        return _change_later(subscription, price, fetched)
    if subscription.schedule_id:  # it has nothing planned: _refuse saw to it
        schedules.release(subscription.schedule_id)
    at = now
    if (
        previewed_at is not None
        and max(now - STALE_AFTER, subscription.current_period_start) <= previewed_at <= now
    ):
        at = previewed_at
    shown = _preview(subscription, price, at)
    if max_amount_due is not None and shown.amount_due > max_amount_due:
        raise StalePreview(
            "Look at the new preview, then confirm its amount.",
            amount_due=shown.amount_due,
            currency=shown.currency,
        )
    _change_now(subscription, price, shown.effective_at)
    return shown


def _change_now(subscription: Subscription, price: Price, at: datetime) -> None:
    number = fence.draw()
    key = _key_of_change(subscription, price, at)
    answer = gateway.call(
        "subscriptions.update",
        subscription.stripe_id,
        key=key,
        params=_parameters(subscription, price, at)
        | {
            "payment_behavior": "error_if_incomplete",
            "cancel_at_period_end": False,
            "metadata": {
                subscriptions.CHANGED_TO: price.stripe_id,
                subscriptions.CHANGED_AT: int(at.timestamp()),
                subscriptions.ACT: key,
            },
            "expand": subscriptions.EXPAND,
        },
    )
    _apply("subscription.changed", subscription, answer, number, _detail(price), to=price)


def _change_later(subscription: Subscription, price: Price, fetched: Json) -> Preview:
    is_planned = subscription.pending_price_id == price.pk
    schedule = subscription.schedule_id if is_planned else schedules.plan(fetched=fetched, price=price)
    shown = changes.later(subscription, price)
    _record_once(
        "subscription.change_planned",
        subscription,
        _detail(price) | {"effective_at": shown.effective_at.isoformat(), "schedule": schedule},
        to=price,
    )
    with tenancy.system("a change that is coming"):
        subscriptions.refresh(subscription.stripe_id)
    return shown


def take_back(*, subscription: Subscription, now: datetime) -> Subscription:
    """Undo a change that is coming. Idempotent. Raises Ended, debts.PaymentDue."""
    if subscription.has_ended:
        raise Ended("Nothing is coming any more: buy it again.")
    debts.require_none(subscription.organization)
    if subscription.schedule_id:
        schedules.release(subscription.schedule_id)
        _record_once("subscription.change_taken_back", subscription, {"schedule": subscription.schedule_id})
    with tenancy.system("a change that was coming"):
        subscriptions.refresh(subscription.stripe_id)
        return _fresh(subscription)


def _done_before(subscription: Subscription, price: Price, fetched: Json) -> Preview:
    """What the change came to: Stripe did it, but its answer and its webhook have not reached us."""
    _record("subscription.changed", subscription, _detail(price), to=price)
    latest = identifier(fetched.get("latest_invoice"))
    if not latest or subscription.status == Subscription.Status.TRIALING:
        return changes.in_trial(subscription, price, subscription.current_period_start)
    with tenancy.system("the invoice of a change"):
        invoices.refresh(latest)
    invoice = gateway.call("invoices.retrieve", latest)
    return changes.of_invoice(invoice, subscription, price, moment(invoice["created"]))


def cancel(
    *, subscription: Subscription, at_period_end: bool = True, reason: str = "", now: datetime
) -> Subscription:
    """End the subscription, with its period or at once (nothing is paid back). Idempotent. Raises Ended.

    A change that was coming is taken back by it.
    """
    if subscription.has_ended:
        raise Ended(f"It ended on {subscription.ended_at or now:%Y-%m-%d}.")
    details = {"cancellation_details": {"comment": reason[:300]}} if reason else {}
    if not at_period_end:
        return _end_now(subscription, details)
    if subscription.schedule_id:
        schedules.release(subscription.schedule_id)
    answer, number = _updated(subscription, {"cancel_at_period_end": True} | details)
    return _apply("subscription.canceled", subscription, answer, number, {"at_period_end": True})


def _end_now(subscription: Subscription, details: Json) -> Subscription:
    number = fence.draw()
    try:
        answer = gateway.call(
            "subscriptions.cancel",
            subscription.stripe_id,
            params={"invoice_now": False, "prorate": False, "expand": subscriptions.EXPAND} | details,
        )
    except gateway.Gone:  # it was done by a call whose answer was lost
        number = fence.draw()
        answer = gateway.call(
            "subscriptions.retrieve", subscription.stripe_id, params={"expand": subscriptions.EXPAND}
        )
    return _apply("subscription.canceled", subscription, answer, number, {"at_period_end": False})


def resume(*, subscription: Subscription, now: datetime) -> Subscription:
    """Take back a cancellation, or a change, that has not come into force. Idempotent.

    Raises Ended, debts.PaymentDue.
    """
    if subscription.has_ended:
        raise Ended("It cannot be resumed: buy it again.")
    if not subscription.is_canceling:
        return take_back(subscription=subscription, now=now)
    debts.require_none(subscription.organization)
    # A date of its own, which staff set at Stripe, is another parameter than the end of the period.
    undo: Json = {"cancel_at_period_end": False} if subscription.cancel_at_period_end else {"cancel_at": ""}
    answer, number = _updated(subscription, undo)
    return _apply("subscription.resumed", subscription, answer, number, {})


def _updated(subscription: Subscription, params: Json) -> tuple[Json, int]:
    """The subscription at Stripe with `params`, and the fence's number. Raises Ended if it has ended there."""
    number = fence.draw()
    act = {"metadata": {subscriptions.ACT: uuid7().hex}}
    expanded = params | act | {"expand": subscriptions.EXPAND}
    try:
        return gateway.call("subscriptions.update", subscription.stripe_id, params=expanded), number
    except gateway.Rejected:
        present, _ = _as_stripe_says(subscription)
        if present.has_ended:  # by another request, or at Stripe, a moment ago
            raise Ended("It has just been ended.") from None
        raise


def next_invoice(subscription: Subscription) -> Json:
    """Stripe's preview of the renewal, as Stripe says it. Raises gateway.Unavailable."""
    return gateway.call("invoices.create_preview", params={"subscription": subscription.stripe_id})


def _choice(organization: Organization, plan: str, interval: str) -> tuple[Subscription, Price]:
    subscription = plans.subscription_of(organization)
    if subscription is None:
        debts.require_none(organization)
        raise NoSubscription
    return subscription, plans.price_of(plans.named(plan), interval)


def _refuse(subscription: Subscription, price: Price) -> None:
    if not subscription.is_live:
        debts.require_none(subscription.organization)
        raise Ended("Buy it again.")
    if price.unit_amount == 0:
        raise plans.AlreadyOnPlan(
            "To go back to the free plan, cancel the paid one: it stays until its period ends."
        )
    debts.require_none(subscription.organization)
    if price.pk == subscription.price_id:
        raise plans.AlreadyOnPlan(
            "Take back the change that is coming by billing/subscription/resume."
            if subscription.pending_price_id
            else "Choose another plan or interval."
        )
    if changes.takes_effect_at_once(current=subscription.price, target=price):
        if subscription.pending_price is not None and subscription.pending_at is not None:
            raise ChangePending(
                f"{subscription.pending_price.product.name} begins on {subscription.pending_at:%Y-%m-%d}. "
                "Take that back first, then change.",
            )
    elif subscription.is_canceling:
        raise Ending("Resume it first, then plan what follows.")


def _as_stripe_says(subscription: Subscription) -> tuple[Subscription, Json]:
    """The subscription as it is at Stripe at this moment: a webhook may be on its way."""
    number = fence.draw()
    fetched = gateway.call(
        "subscriptions.retrieve", subscription.stripe_id, params={"expand": subscriptions.EXPAND}
    )
    with tenancy.system("the subscription at Stripe"):
        subscriptions.apply(fetched, number)
        return _fresh(subscription), fetched


def _key_of_change(subscription: Subscription, price: Price, at: datetime) -> str:
    """The same for a repetition. Time may stand still (a rehearsal), but each change has made an invoice, and a card
    that was declined is replaced.
    """
    made = Invoice.objects.filter(subscription=subscription).count()
    card = BillingAccount.objects.values_list("payment_method_id", flat=True).get(
        organization=subscription.organization_id
    )
    return f"change:{subscription.stripe_id}:{price.pk}:{int(at.timestamp())}:{made}:{card}"


def _parameters(subscription: Subscription, price: Price, at: datetime) -> dict[str, Any]:
    """The same for the preview and for the change, so that the one says what the other does."""
    parameters: dict[str, Any] = {
        "items": [{"id": subscription.stripe_item_id, "price": price.stripe_id}],
        "proration_behavior": "always_invoice",
        "proration_date": int(at.timestamp()),
    }
    if subscription.status == Subscription.Status.TRIALING:
        parameters |= {"proration_behavior": "none"}
        del parameters["proration_date"]
    elif price.interval != subscription.interval:
        parameters["billing_cycle_anchor"] = "now"
    return parameters


def _preview(subscription: Subscription, price: Price, at: datetime) -> Preview:
    if not changes.takes_effect_at_once(current=subscription.price, target=price):
        return changes.later(subscription, price)
    if subscription.status == Subscription.Status.TRIALING:
        return changes.in_trial(subscription, price, at)
    invoice = gateway.call(
        "invoices.create_preview",
        params={
            "subscription": subscription.stripe_id,
            "subscription_details": _parameters(subscription, price, at),
        },
    )
    return changes.of_invoice(invoice, subscription, price, at)


def _apply(
    action: str,
    subscription: Subscription,
    answer: Json,
    number: int,
    detail: dict[str, Any],
    *,
    to: Price | None = None,
) -> Subscription:
    with tenancy.system("apply a change of a subscription"):
        _record(action, subscription, detail, to=to)
        subscriptions.apply(answer, number)
        if action == "subscription.changed" and answer.get("latest_invoice"):
            _refresh_invoice(answer)
        return _fresh(subscription)


def _fresh(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related(
        "organization", "plan__product", "product", "price__plan", "pending_price__product"
    ).get(pk=subscription.pk)


def _detail(price: Price) -> dict[str, Any]:
    return {"product": price.product.slug, "interval": price.interval} | (
        {"plan": price.plan.slug} if price.plan else {}
    )


def _record(
    action: str, subscription: Subscription, detail: dict[str, Any], *, to: Price | None = None
) -> None:
    names = [subscription.product.name, *([to.product.name] if to is not None else [])]
    audit.record(
        action=action,
        organization=subscription.organization,
        target=subscription,
        label=" → ".join(names),
        detail=detail,
    )


def _record_once(
    action: str, subscription: Subscription, detail: dict[str, Any], *, to: Price | None = None
) -> None:
    """Unless the newest line about the subscription says it already: a repetition, or the same asked at the same time.

    A schedule that was released does not come back, so the same words about another one are news.
    """
    with tenancy.system("one line for one change"), transaction.atomic():
        BillingAccount.objects.select_for_update().get(organization=subscription.organization_id)
        newest = (
            AuditEntry.objects.filter(target_type="subscription", target_id=str(subscription.pk))
            .order_by("-id")
            .first()
        )
        if newest is None or newest.action != action or not detail.items() <= newest.detail.items():
            _record(action, subscription, detail, to=to)


def _refresh_invoice(answer: Json) -> None:
    """Show the invoice of the change at once; if Stripe is away now, its webhook brings it."""
    with suppress(gateway.Unavailable):
        invoices.refresh(identifier(answer["latest_invoice"]))
