"""Change subscriptions of API plans and licenses: preview, change, undo.

All of it calls Stripe: never in a transaction.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog

from accounts.models import Organization, User
from billing.catalog import plans
from billing.models import BillingAccount, Invoice, Price, Subscription
from billing.projection import invoices, subscriptions
from billing.selling import changes, debts, purchase_checks
from billing.selling.changes import Preview
from billing.selling.subscription_updates import (
    Ended,
    apply_answer,
    as_stripe_says,
    fresh,
    price_facts,
    record_once,
)
from billing.stripe import client, fencing, schedules
from billing.stripe.reading import Json, identifier, moment
from superagent.foundation import tenancy
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
    title = "The amount differs from the preview"


class Ending(Refusal):
    """It is canceled at the end of its period, so no change can follow."""

    status = HTTPStatus.CONFLICT
    code = "subscription_ending"
    title = "This subscription is canceled"


class ChangePending(Refusal):
    """Another change is scheduled; cancel it before making an immediate one."""

    status = HTTPStatus.CONFLICT
    code = "change_pending"
    title = "Another change is scheduled"


def preview_plan(*, organization: Organization, plan: str, interval: str, now: datetime) -> Preview:
    """Preview `change_plan`. Raises NoSubscription, Invalid, and as `preview` does."""
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
    """Preview `change` at `effective_at`, calculated by Stripe.

    Raises plans.AlreadyOnPlan, Ended, Ending, ChangePending, debts.PaymentDue, client.Unavailable.
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
    """Change a subscription's price. Returns what was done or scheduled.

    Upgrades take effect and are charged at once; downgrades, and shorter intervals, at the end of the paid period,
    until then `take_back` undoes them. `previewed_at` is the time of a preview at most ten minutes old: its amounts
    then hold, and a retry is the same change. An amount above `max_amount_due` raises StalePreview.

    Raises as `preview` does, and client.Declined (nothing is changed then), client.ChargingDisabled.
    """
    client.require_charging()
    purchase_checks.require_verified_email(organization=subscription.organization, user=user)
    former = subscription
    subscription, fetched = as_stripe_says(subscription)
    if subscription.price_id == price.pk and former.price_id != price.pk:
        return _done_before(former, subscription, price, fetched)
    _refuse(subscription, price)
    debts.require_none_at_stripe(subscription.organization)
    if not changes.takes_effect_at_once(current=subscription.price, target=price):
        return _change_later(subscription, price, fetched)
    if subscription.schedule_id:  # nothing is scheduled: _refuse made sure
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
    token = fencing.next_token()
    key = _key_of_change(subscription, price, at)
    answer = client.call(
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
    apply_answer("subscription.changed", subscription, answer, token, price_facts(price), to=price)


def _change_later(subscription: Subscription, price: Price, fetched: Json) -> Preview:
    is_planned = subscription.pending_price_id == price.pk
    schedule = subscription.schedule_id if is_planned else schedules.plan(fetched=fetched, price=price)
    shown = changes.later(subscription, price)
    record_once(
        "subscription.change_planned",
        subscription,
        price_facts(price) | {"effective_at": shown.effective_at.isoformat(), "schedule": schedule},
        to=price,
    )
    with tenancy.system("a change that is coming"):
        subscriptions.refresh(subscription.stripe_id)
    return shown


def take_back(*, subscription: Subscription, now: datetime) -> Subscription:
    """Undo a scheduled change. Idempotent. Raises Ended, debts.PaymentDue."""
    if subscription.has_ended:
        raise Ended("No change is scheduled any more. Buy it again.")
    debts.require_none(subscription.organization)
    if subscription.schedule_id:
        schedules.release(subscription.schedule_id)
        record_once("subscription.change_taken_back", subscription, {"schedule": subscription.schedule_id})
    with tenancy.system("a change that was coming"):
        subscriptions.refresh(subscription.stripe_id)
        return fresh(subscription)


def _done_before(former: Subscription, subscription: Subscription, price: Price, fetched: Json) -> Preview:
    """Returns the result of a change that Stripe has made already: its response was lost, or another request asked."""
    record_once("subscription.changed", former, price_facts(price), to=price)
    latest = identifier(fetched.get("latest_invoice"))
    if not latest or subscription.status == Subscription.Status.TRIALING:
        return changes.in_trial(subscription, price, subscription.current_period_start)
    with tenancy.system("the invoice of a change"):
        invoices.refresh(latest)
    invoice = client.call("invoices.retrieve", latest)
    return changes.of_invoice(invoice, subscription, price, moment(invoice["created"]))


def _choice(organization: Organization, plan: str, interval: str) -> tuple[Subscription, Price]:
    subscription = plans.subscription_of(organization)
    if subscription is None:
        debts.require_none(organization)
        raise NoSubscription
    return subscription, plans.price_of(plans.get_on_sale(plan), interval)


def _refuse(subscription: Subscription, price: Price) -> None:
    if not subscription.is_live:
        debts.require_none(subscription.organization)
        raise Ended("Buy it again.")
    if price.unit_amount == 0:
        raise plans.AlreadyOnPlan(
            "To go back to the free plan, cancel the paid one. It stays until its period ends."
        )
    debts.require_none(subscription.organization)
    if price.pk == subscription.price_id:
        raise plans.AlreadyOnPlan(
            "Cancel the scheduled change with billing/subscription/resume."
            if subscription.pending_price_id
            else "Choose another plan or interval."
        )
    if changes.takes_effect_at_once(current=subscription.price, target=price):
        if subscription.pending_price is not None and subscription.pending_at is not None:
            raise ChangePending(
                f"{subscription.pending_price.product.name} begins on {subscription.pending_at:%Y-%m-%d}. "
                "Cancel that first, then change.",
            )
    elif subscription.is_canceling:
        raise Ending("Resume it first, then schedule the change.")


def _key_of_change(subscription: Subscription, price: Price, at: datetime) -> str:
    """Returns a key that is the same for a retry of the same change.

    Time alone would not do, because it stands still on a test clock; but each change made an invoice, and a declined
    card was replaced.
    """
    made = Invoice.objects.filter(subscription=subscription).count()
    card = BillingAccount.objects.values_list("payment_method_id", flat=True).get(
        organization=subscription.organization_id
    )
    return f"change:{subscription.stripe_id}:{price.pk}:{int(at.timestamp())}:{made}:{card}"


def _parameters(subscription: Subscription, price: Price, at: datetime) -> dict[str, Any]:
    """Returns the parameters shared by preview and change, so that both agree."""
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
    invoice = client.call(
        "invoices.create_preview",
        params={
            "subscription": subscription.stripe_id,
            "subscription_details": _parameters(subscription, price, at),
        },
    )
    return changes.of_invoice(invoice, subscription, price, at)
