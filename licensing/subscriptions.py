"""What a change of a license's subscription means for the license. Facts come from billing; the rules are here."""

from datetime import datetime

from billing.models import OrderItem, Product, Subscription
from licensing import licenses, policies
from licensing.models import License

_Status = Subscription.Status


def issue_for(*, item: OrderItem, now: datetime) -> License | None:
    """The license that a paid order item buys, or None if it buys something else; once for each item."""
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
        follow(subscription=subscription, previous_status=None, now=now)
    return license_


def follow(*, subscription: Subscription, previous_status: str | None, now: datetime) -> None:
    """Make the license say what its subscription says. Repeatable, and in any order: only the present state counts."""
    license_ = License.objects.filter(order_item_id=subscription.order_item_id or None).first()
    if license_ is None or subscription.order_item_id is None:
        return
    licenses.change_policy(license_id=license_.pk, policy=policies.of_product(subscription.product.slug))
    if subscription.status in (_Status.ACTIVE, _Status.TRIALING):
        ends_at = subscription.cancel_at or subscription.current_period_end
        licenses.renew(license_id=license_.pk, renews_at=ends_at, is_ending=subscription.is_canceling)
    elif subscription.status == _Status.PAST_DUE:
        licenses.dun(license_id=license_.pk, since=subscription.past_due_since or now)
    elif subscription.status in (_Status.UNPAID, _Status.PAUSED, _Status.INCOMPLETE):
        licenses.suspend_for_payment(license_id=license_.pk)
    elif subscription.has_ended:
        licenses.end(license_id=license_.pk, at=_paid_until(subscription, previous_status, now), now=now)


def _paid_until(subscription: Subscription, previous_status: str | None, now: datetime) -> datetime:
    """An ended subscription's license lasts as long as was paid for: nothing, when it ended because nobody paid."""
    unpaid = previous_status in (_Status.PAST_DUE, _Status.UNPAID, _Status.INCOMPLETE)
    if unpaid or subscription.past_due_since is not None or subscription.status == _Status.INCOMPLETE_EXPIRED:
        return subscription.ended_at or now
    return subscription.current_period_end
