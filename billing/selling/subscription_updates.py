"""Shared by all changes of a subscription: fetch its state at Stripe; apply the response with an audit entry."""

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import AuditEntry
from billing.models import BillingAccount, Price, Subscription
from billing.projection import announcements, invoices, subscriptions
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
    """Apply Stripe's response to our change, and record it as `action`. Returns the subscription."""
    with tenancy.system("apply a change of a subscription"):
        record_once(action, subscription, detail, to=to)
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


def record_once(
    action: str, subscription: Subscription, detail: dict[str, Any], *, to: Price | None = None
) -> None:
    """Record a change in the audit trail, unless it was recorded last: by a concurrent request, or before a retry.

    A released schedule does not return, so the same entry about another schedule is recorded.
    """
    with tenancy.system("one line for one change"), transaction.atomic():
        BillingAccount.objects.select_for_update().get(organization=subscription.organization_id)
        newest = (
            AuditEntry.objects.filter(target_type="subscription", target_id=str(subscription.pk))
            .exclude(action=announcements.ENDED)  # the projection's, between two that cancel at once
            .order_by("-id")
            .first()
        )
        if newest is not None and newest.action == action and detail.items() <= newest.detail.items():
            return
        names = [subscription.product.name, *([to.product.name] if to is not None else [])]
        audit.record(
            action=action,
            organization=subscription.organization,
            target=subscription,
            label=" → ".join(names),
            detail=detail,
        )


def _refresh_invoice(answer: Json) -> None:
    """Fetch the invoice of the change now; if Stripe is unavailable, the webhook brings it later."""
    with suppress(client.Unavailable):
        invoices.refresh(identifier(answer["latest_invoice"]))
