"""Keeps licenses in line with their subscriptions: issuing, renewal, grace, end. Called by `receivers`."""

from datetime import datetime
from uuid import UUID

import structlog

from billing.catalog import pricing
from billing.models import Invoice, OrderItem, Payment, Price, Product, Subscription
from licensing import licenses, moderation, policies
from licensing.announcements import announce
from licensing.models import License
from superagent.foundation import outbox, retries

ISSUE = "licensing.issue"

log = structlog.get_logger(__name__)

_Status = Subscription.Status


def issue_for(*, item: OrderItem, now: datetime) -> License | None:
    """Issue the license of a paid order item, once for each item. Returns None if the item is not a license.

    Raises policies.NoPolicy.
    """
    if item.product.kind != Product.Kind.LICENSE:
        return None
    policy = policies.of_product(item.product.slug)
    subscription = Subscription.objects.filter(order_item=item).first()
    license_ = licenses.issue(
        organization=item.organization,
        policy=policy,
        order_item_id=item.pk,
        renews_at=subscription.current_period_end if subscription else None,
        now=now,
    )
    if subscription is not None:
        sync(subscription=subscription, previous_status=None, now=now)
    return license_


def issue_when_paid(*, item: OrderItem, now: datetime) -> None:
    """As `issue_for`, but a missing policy does not fail: the payment is kept and the license issued later."""
    try:
        issue_for(item=item, now=now)
    except policies.NoPolicy as error:
        log.error("license_not_issued", order_item=str(item.pk), error=str(error), alarm=True)
        outbox.enqueue(
            topic=ISSUE,
            payload={"order_item": str(item.pk)},
            dedupe_key=f"issue_license:{item.pk}",
            organization_id=item.organization_id,
        )


def issue_late(*, order_item_id: UUID) -> None:
    """Issue a license that was paid without a policy. Raises retries.Retryable until staff have created the policy."""
    item = OrderItem.objects.select_related("product", "organization").get(pk=order_item_id)
    try:
        issue_for(item=item, now=item.paid_at or item.created_at)
    except policies.NoPolicy as error:
        raise retries.Retryable(str(error)) from error


def sync(*, subscription: Subscription, previous_status: str | None, now: datetime) -> None:
    """Bring the license in line with its subscription. Idempotent, in any order: only the present state counts."""
    license_ = _license_of(subscription)
    if license_ is None:
        return
    _sync_policy(license_, subscription)
    if subscription.status in (_Status.ACTIVE, _Status.TRIALING):
        ends_at = subscription.cancel_at or subscription.current_period_end
        licenses.renew(
            license_id=license_.pk, renews_at=ends_at, is_ending=subscription.is_canceling, now=now
        )
    elif subscription.status == _Status.PAST_DUE:
        licenses.start_payment_grace(
            license_id=license_.pk, since=subscription.past_due_since or now, now=now
        )
    elif subscription.status in (_Status.UNPAID, _Status.PAUSED):
        licenses.suspend_for_payment(license_id=license_.pk, now=now)
    elif subscription.status == _Status.INCOMPLETE:
        licenses.await_payment(license_id=license_.pk)
    elif subscription.has_ended:
        licenses.end(license_id=license_.pk, at=_paid_until(subscription, previous_status, now), now=now)


def tell_of_coming(*, subscription: Subscription, previous: Price | None) -> None:
    """Announce a scheduled change of tier, or that the scheduled one (`previous`) was canceled.

    Canceling the subscription drops it too, and has its own announcement.
    """
    license_, coming = _license_of(subscription), subscription.pending_price
    if license_ is None or not subscription.is_live or subscription.is_canceling or coming == previous:
        return
    if coming is not None:
        detail = {
            "to": coming.product.slug,
            "name": coming.product.name,
            "at": subscription.pending_at.isoformat() if subscription.pending_at else None,
            "price": pricing.per_period(coming),
        }
        announce(license_=license_, action="license.change_planned", detail=detail)
    elif previous != subscription.price:  # else it has taken effect
        detail = {"from": previous.product.slug if previous else None}
        announce(license_=license_, action="license.change_taken_back", detail=detail)


def refunded(*, payment: Payment, now: datetime) -> None:
    """Revoke the license that a fully refunded payment pays for at `now`.

    A refund of a past period, of a change of tier, or of a part is a courtesy and changes nothing.
    """
    invoice = payment.invoice
    if invoice is None or invoice.subscription is None:
        return
    license_ = _license_of(invoice.subscription)
    if license_ is not None and _pays_for(invoice, now):
        moderation.revoke_refunded(license_id=license_.pk)


def _pays_for(invoice: Invoice, now: datetime) -> bool:
    """Returns whether the invoice pays for the current period."""
    return invoice.lines.filter(is_proration=False, amount__gt=0, period_end__gt=now).exists()


def _license_of(subscription: Subscription) -> License | None:
    if subscription.order_item_id is None:
        return None
    return License.objects.filter(order_item_id=subscription.order_item_id).first()


def _sync_policy(license_: License, subscription: Subscription) -> None:
    """Apply the policy of the subscription's product. A product without a policy changes nothing."""
    try:
        policy = policies.of_product(subscription.product.slug)
    except policies.NoPolicy as error:
        log.error("license_policy_missing", license=str(license_.pk), error=str(error), alarm=True)
        return
    licenses.change_policy(license_id=license_.pk, policy=policy)


def _paid_until(subscription: Subscription, previous_status: str | None, now: datetime) -> datetime:
    """Returns when the license ends: with the paid period, or now if the subscription ended unpaid."""
    is_unpaid = (
        previous_status in (_Status.PAST_DUE, _Status.UNPAID, _Status.INCOMPLETE)
        or subscription.past_due_since is not None
        or subscription.status == _Status.INCOMPLETE_EXPIRED
        or subscription.ended_for_nonpayment
    )
    return (subscription.ended_at or now) if is_unpaid else subscription.current_period_end
