"""Stripe Checkout: sessions for a plan or for an order. Results arrive by webhook."""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import Organization, User
from billing.catalog import plans
from billing.customers import stripe_customers
from billing.models import BillingAccount, CheckoutSession, Order, Plan, Price, Subscription
from billing.projection import announcements, checkouts
from billing.selling import debts, orders, purchase_checks
from billing.stripe import client, patience
from superagent.foundation import tenancy
from superagent.foundation.problems import Invalid, Refusal

LATE_AFTER_SECONDS = 5
ASK_AGAIN_SECONDS = 10
ASK_SECONDS = 4.0
SEEN_SECONDS = 24 * 3600


class AlreadySubscribed(Refusal):
    status = HTTPStatus.CONFLICT
    code = "already_subscribed"
    title = "The organization already has a paid plan"


class NothingToPay(Refusal):
    status = HTTPStatus.CONFLICT
    code = "nothing_to_pay"
    title = "This plan is free"


@dataclass(frozen=True, slots=True)
class CheckoutStarted:
    session_id: str
    url: str


def start_plan(
    *,
    organization: Organization,
    user: User | None,
    plan: str,
    interval: str,
    promotion_code: str = "",
    now: datetime,
) -> CheckoutStarted:
    """Open a checkout session for a first paid plan. Returns the open session if there is one for the same plan.

    Calls Stripe: not in a transaction. Raises AlreadySubscribed, NothingToPay, debts.PaymentDue, Invalid (plan,
    interval, promotion_code), people.EmailNotVerified, client.Unavailable, client.ChargingDisabled.
    """
    client.require_charging()
    purchase_checks.require_verified_email(organization=organization, user=user)
    wanted = plans.get_on_sale(plan)
    price = plans.price_of(wanted, interval)
    if price.unit_amount == 0:
        raise NothingToPay("Cancel the paid plan to go back to the free one.")
    debts.require_none(organization)
    if plans.subscription_of(organization) is not None:
        raise AlreadySubscribed("Change the plan instead: its preview says what is due today.")
    customer = stripe_customers.ensure(organization)
    discount = _promotion(promotion_code)
    with tenancy.system("open the payment page of a plan"):
        past = CheckoutSession.objects.filter(organization=organization, plan__isnull=False)
        for session in past.filter(status=CheckoutSession.Status.OPEN):
            if session.price_id == price.pk and not promotion_code and _is_usable(session):
                return CheckoutStarted(session.stripe_id, session.url)
            if close(session) == CheckoutSession.Status.COMPLETE:
                checkouts.refresh(session.stripe_id)  # its webhook has not arrived yet
                raise AlreadySubscribed("You have just paid on a payment page. Check your plan first.")
        account = BillingAccount.objects.get(organization=organization)
        created = client.call(
            "checkout.sessions.create",
            # The number of earlier sessions is part of the key, so a double click creates one session.
            key=f"checkout:{organization.pk}:{price.pk}:{promotion_code}:{past.count()}",
            params=_parameters(customer, price, discount)
            | {"subscription_data": _subscription_data(organization, wanted, account)},
        )
        audit.record(
            action=announcements.CHECKOUT_STARTED,
            organization=organization,
            actor=user,
            label=wanted.name,
            detail={"plan": wanted.slug, "interval": interval},
        )
        return _remember(created, organization=organization, plan=wanted, price=price, now=now)


def start_order(*, order: Order, now: datetime) -> CheckoutStarted:
    """Open a checkout session for an order of one item. Idempotent. Calls Stripe.

    Raises client.Unavailable, client.ChargingDisabled.
    """
    client.require_charging()
    customer = stripe_customers.ensure(order.organization)
    with tenancy.system("open the payment page of an order"):
        session = order.checkout_sessions.order_by("-id").first()
        if session is not None:
            return CheckoutStarted(session.stripe_id, session.url)
        item = order.items.select_related("price").get()
        metadata = orders.metadata_of(item)
        created = client.call(
            "checkout.sessions.create",
            key=f"order:{order.pk}",
            params=_parameters(customer, item.price, None)
            | {
                "metadata": metadata,
                "subscription_data": {"metadata": metadata},
                # The order's page offers to pay or to cancel.
                "cancel_url": settings.PUBLIC_URL + reverse("order", args=[order.pk]),
            },
        )
        return _remember(created, organization=order.organization, order=order, price=item.price, now=now)


def cancel_order(*, order: Order) -> None:
    """Expire the order's checkout session and cancel the order. Idempotent. Calls Stripe.

    Raises orders.NotPending for one that was paid meanwhile or by a saved card, client.Unavailable.
    """
    if order.payment != Order.Payment.CHECKOUT:
        raise orders.NotPending("Its saved card is being charged.")
    with tenancy.system("give up an order"):
        for session in order.checkout_sessions.filter(status=CheckoutSession.Status.OPEN):
            if close(session) == CheckoutSession.Status.COMPLETE:
                checkouts.refresh(session.stripe_id)  # its webhook has not arrived yet
                raise orders.NotPending("It was paid a moment ago.")
        orders.cancel(order=order)


def close(session: CheckoutSession) -> str:
    """Expire a checkout session. Returns its status, which is `complete` if it was paid meanwhile."""
    try:
        answer = client.call("checkout.sessions.expire", session.stripe_id, key=f"expire:{session.stripe_id}")
    except client.StripeObjectMissing:
        answer = {"status": CheckoutSession.Status.EXPIRED}
    except client.Rejected:  # it is no longer open
        answer = client.call("checkout.sessions.retrieve", session.stripe_id)
    if answer["status"] != CheckoutSession.Status.COMPLETE:  # the projection applies what was paid
        CheckoutSession.objects.filter(pk=session.pk, status=CheckoutSession.Status.OPEN).update(
            status=answer["status"]
        )
    return str(answer["status"])


def outcome(*, organization: Organization, session_id: str) -> tuple[CheckoutSession | None, bool]:
    """Returns what the return page shows: the session, and whether the purchase is active. Does not call Stripe."""
    session = (
        CheckoutSession.objects.visible_to(organization)
        .filter(stripe_id=session_id)
        .select_related("plan__product", "order")
        .first()
    )
    if session is None:
        return None, False
    if session.order is not None:
        return session, session.order.status == Order.Status.PAID
    paid = (
        Subscription.objects.visible_to(organization).live().filter(stripe_id=session.stripe_subscription_id)
    )
    return session, bool(session.stripe_subscription_id) and paid.exists()


def ask_if_late(session: CheckoutSession) -> None:
    """Poll Stripe for a session whose webhook is late: after a few seconds first, then less often.

    Applies the result as the webhook would. Calls Stripe, for a few seconds at most; if that fails, the webhook or the
    next poll applies it.
    """
    key = f"checkout-asked:{session.pk}"
    if cache.add(f"{key}:seen", 1, SEEN_SECONDS):
        cache.set(key, 1, LATE_AFTER_SECONDS)
    if not cache.add(key, 1, ASK_AGAIN_SECONDS):
        return
    try:
        with patience.budget(ASK_SECONDS), tenancy.system("a payment page whose webhook is late"):
            checkouts.refresh(session.stripe_id)
    except (client.Unavailable, client.Rejected):
        return


def _promotion(code: str) -> str | None:
    if not code:
        return None
    found = next(
        client.listed("promotion_codes.list", params={"code": code, "active": True, "limit": 1}), None
    )
    if found is None:
        detail = "This code is invalid or has expired. Check the spelling, or remove it."
        raise Invalid.field("/promotion_code", "unknown_promotion_code", detail)
    return str(found["id"])


def _parameters(customer: str, price: Price, discount: str | None) -> dict[str, Any]:
    offer: dict[str, Any] = (
        {"discounts": [{"promotion_code": discount}]} if discount else {"allow_promotion_codes": True}
    )
    return {
        "mode": "subscription",
        "customer": customer,
        "line_items": [{"price": price.stripe_id, "quantity": 1}],
        "success_url": f"{settings.PUBLIC_URL}{reverse('checkout-return')}?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{settings.PUBLIC_URL}{reverse('checkout-canceled')}",
    } | offer


def _subscription_data(organization: Organization, plan: Plan, account: BillingAccount) -> dict[str, Any]:
    data: dict[str, Any] = {"metadata": {"organization": str(organization.pk), "plan": plan.slug}}
    if plan.trial_days and not account.had_trial:
        data["trial_period_days"] = plan.trial_days
    return data


def _is_usable(session: CheckoutSession) -> bool:
    return session.expires_at is None or session.expires_at > timezone.now()


def _remember(
    created: dict[str, Any],
    *,
    organization: Organization,
    price: Price,
    now: datetime,
    plan: Plan | None = None,
    order: Order | None = None,
) -> CheckoutStarted:
    expires_at = created.get("expires_at")
    CheckoutSession.objects.get_or_create(
        stripe_id=created["id"],
        defaults={
            "organization": organization,
            "plan": plan,
            "order": order,
            "price": price,
            "url": created["url"],
            "created_at": now,
            "expires_at": datetime.fromtimestamp(expires_at, UTC) if expires_at else None,
        },
    )
    return CheckoutStarted(created["id"], created["url"])
