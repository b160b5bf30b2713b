"""Shared by all changes of a subscription: fetch its state at Stripe; apply the response with an audit entry."""

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import AuditEntry
from billing.models import BillingAccount, Price, Subscription
from billing.projection import invoices, subscriptions
from billing.stripe import client, fencing
from billing.stripe.reading import Json, identifier
from superagent.foundation import tenancy
from superagent.foundation.problems import Refusal


class Ended(Refusal):
    status = HTTPStatus.CONFLICT
    code = "subscription_ended"
    title = "This subscription has ended"


def as_stripe_says(subscription: Subscription) -> tuple[Subscription, Json]:
    """Returns the subscription as it is at Stripe now; a webhook may not have arrived yet."""
    token = fencing.next_token()
    fetched = client.call(
        "subscriptions.retrieve", subscription.stripe_id, params={"expand": subscriptions.EXPAND}
    )
    with tenancy.system("the subscription at Stripe"):
        subscriptions.apply(fetched, token)
        return fresh(subscription), fetched


def apply_answer(
    action: str,
    subscription: Subscription,
    answer: Json,
    token: int,
    detail: dict[str, Any],
    *,
    to: Price | None = None,
) -> Subscription:
    """Apply Stripe's response to our change, and record it as `action`."""
    with tenancy.system("apply a change of a subscription"):
        record(action, subscription, detail, to=to)
        subscriptions.apply(answer, token)
        if action == "subscription.changed" and answer.get("latest_invoice"):
            _refresh_invoice(answer)
        return fresh(subscription)


def fresh(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related(
        "organization", "plan__product", "product", "price__plan", "pending_price__product"
    ).get(pk=subscription.pk)


def price_facts(price: Price) -> dict[str, Any]:
    return {"product": price.product.slug, "interval": price.interval} | (
        {"plan": price.plan.slug} if price.plan else {}
    )


def record(
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


def record_once(
    action: str, subscription: Subscription, detail: dict[str, Any], *, to: Price | None = None
) -> None:
    """Record unless the newest entry about the subscription is the same: a retry or a concurrent request.

    A released schedule does not return, so the same entry about another schedule is recorded.
    """
    with tenancy.system("one line for one change"), transaction.atomic():
        BillingAccount.objects.select_for_update().get(organization=subscription.organization_id)
        newest = (
            AuditEntry.objects.filter(target_type="subscription", target_id=str(subscription.pk))
            .order_by("-id")
            .first()
        )
        if newest is None or newest.action != action or not detail.items() <= newest.detail.items():
            record(action, subscription, detail, to=to)


def _refresh_invoice(answer: Json) -> None:
    """Fetch the invoice of the change now; if Stripe is unavailable, the webhook brings it later."""
    with suppress(client.Unavailable):
        invoices.refresh(identifier(answer["latest_invoice"]))
