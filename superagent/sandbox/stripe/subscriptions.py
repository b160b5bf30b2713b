"""The life of a subscription: its periods, renewals, end, and how payments change its status."""

from collections.abc import Callable
from typing import Any

from superagent.sandbox.settings import settings
from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import (
    catalog,
    discounts,
    drafts,
    ids,
    invoicing,
    lines,
    moment,
    payment_methods,
    shapes,
)
from superagent.sandbox.stripe.errors import invalid, missing
from superagent.sandbox.stripe.events import emit, updating

INCOMPLETE_HOURS = 23
# Called with a subscription whose period ends, before the next one begins; and with one that ends, and why.
period_hooks: list[Callable[[dict[str, Any], int], None]] = []
end_hooks: list[Callable[[dict[str, Any], str | None], None]] = []
LIVE = ("active", "trialing", "past_due", "unpaid", "incomplete", "paused")


def get(subscription_id: str | None, *, param: str = "id", status: int = 404) -> dict[str, Any]:
    """Returns a subscription that exists."""
    subscription = store.find("subscription", subscription_id)
    if subscription is None:
        raise missing("subscription", str(subscription_id), param=param, status=status)
    return subscription


def new_item(
    subscription_id: str, price: dict[str, Any], quantity: int | None, period: tuple[int, int], **values: Any
) -> dict[str, Any]:
    """Returns an item of a subscription, which carries the period."""
    return shapes.build(
        "subscription_item",
        **(
            {
                "id": ids.new("si"),
                "created": period[0],
                "current_period_start": period[0],
                "current_period_end": period[1],
                "discounts": [],
                "plan": catalog.plan(price),
                "price": clone(price),
                "subscription": subscription_id,
                "quantity": 1 if quantity is None else quantity,
                "tax_rates": [],
            }
            | values
        ),
    )


def items(subscription: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the items."""
    return subscription["items"]["data"]


def period(subscription: dict[str, Any]) -> tuple[int, int]:
    """Returns the current period; all items share it."""
    first = items(subscription)[0]
    return first["current_period_start"], first["current_period_end"]


def recurring(subscription: dict[str, Any]) -> dict[str, Any]:
    """Returns the billing interval; all items share it."""
    return items(subscription)[0]["price"]["recurring"]


def set_period(subscription: dict[str, Any], start: int, end: int) -> None:
    """Set the period of every item."""
    for item in items(subscription):
        item["current_period_start"], item["current_period_end"] = start, end


def new(
    *,
    customer_id: str,
    prices: list[tuple[dict[str, Any], int | None, dict[str, Any]]],
    trial_end: int | None = None,
    anchor: int | None = None,
    discount_params: list[dict[str, Any]] | str | None = None,
    **values: Any,
) -> dict[str, Any]:
    """Add a subscription, incomplete until its first invoice is paid; emit `customer.subscription.created`."""
    now = moment.now(customer_id)
    check_prices([price for price, _, _ in prices])
    subscription_id = ids.new("sub")
    end = trial_end or anchor or moment.following(now, prices[0][0]["recurring"], now)
    data = [new_item(subscription_id, price, count, (now, end), **extra) for price, count, extra in prices]
    given = {
        "id": subscription_id,
        "billing_cycle_anchor": trial_end or anchor or now,
        "created": now,
        "currency": prices[0][0]["currency"],
        "customer": customer_id,
        "discounts": discounts.redeem(discount_params, customer_id=customer_id, subscription=subscription_id),
        "items": shapes.listing(data, f"/v1/subscription_items?subscription={subscription_id}"),
        "start_date": now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": moment.clock_of(customer_id),
        "trial_end": trial_end,
        "trial_start": now if trial_end else None,
    }
    subscription = store.add(shapes.build("subscription", **(_blank() | given | values)))
    customer = store.edit(customer_id)
    customer["currency"] = customer["currency"] or subscription["currency"]
    emit("customer.subscription.created", subscription)
    return subscription


def _blank() -> dict[str, Any]:
    """Returns what every new subscription has."""
    return {
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "default_tax_rates": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "payment_settings": payment_settings({}),
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }


def payment_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Returns complete payment settings."""
    return {
        "payment_method_options": None,
        "payment_method_types": given.get("payment_method_types") or None,
        "save_default_payment_method": given.get("save_default_payment_method") or "off",
    }


def check_prices(prices: list[dict[str, Any]]) -> None:
    """Refuse prices that cannot share one subscription."""
    for price in prices:
        if price["type"] != "recurring":
            message = (
                "The price specified is set to `type=one_time` but this field only accepts `type=recurring`."
            )
            raise invalid(message, param="items[0][price]")
    if len({price["currency"] for price in prices}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}) > 1:
        raise invalid("The sandbox supports one billing interval per subscription.", param="items")


def pending_items(customer_id: str, subscription_id: str | None, currency: str) -> list[dict[str, Any]]:
    """Returns invoice items that wait for the next invoice of this subscription."""
    found = []
    for item in store.each("invoiceitem"):
        if item["customer"] == customer_id and item["invoice"] is None and item["currency"] == currency:
            owner = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
            if owner in (None, subscription_id):
                found.append(item)
    return found


def take_items(found: list[dict[str, Any]], invoice: dict[str, Any]) -> None:
    """Mark invoice items as part of an invoice."""
    for item in found:
        store.edit(item["id"])["invoice"] = invoice["id"]


def bill(
    subscription_id: str,
    reason: str,
    *,
    free: bool = False,
    only_waiting: bool = False,
    **values: Any,
) -> dict[str, Any]:
    """Draft the invoice of the current period, with what waits for it; it becomes the latest one."""
    subscription = store.edit(subscription_id)
    start, end = period(subscription)
    own = (
        []
        if only_waiting
        else [
            lines.of_subscription_item(item, subscription, start, end, free=free)
            for item in items(subscription)
        ]
    )
    waiting = pending_items(subscription["customer"], subscription_id, subscription["currency"])
    now = moment.now(subscription["customer"])
    applied = discounts.still_valid(subscription["discounts"], now)
    invoice = drafts.draft(
        customer_id=subscription["customer"],
        reason=reason,
        currency=subscription["currency"],
        data=[lines.of_invoice_item(item) for item in waiting] + own,
        subscription=subscription,
        discounts=applied,
        **values,
    )
    take_items(waiting, invoice)
    if not free:
        subscription["discounts"] = drafts.next_discounts(subscription["discounts"], now)
    subscription["latest_invoice"] = invoice["id"]
    if subscription["collection_method"] == "send_invoice":
        invoice["_days_until_due"] = subscription["days_until_due"]
    return invoice


def renew(subscription_id: str) -> None:
    """Begin the next period: the period moves first, the invoice waits as a draft for an hour."""
    subscription = store.edit(subscription_id)
    before = clone(subscription)
    former_start, boundary = period(subscription)
    customer_id = subscription["customer"]
    trial_ended = subscription["status"] == "trialing"
    if trial_ended and payment_methods.default_for(customer_id, subscription) is None:
        behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if behavior == "cancel":
            end(subscription_id, reason=None)
            return
        if behavior == "pause":
            subscription["status"] = "paused"
            emit("customer.subscription.updated", subscription, before)
            emit("customer.subscription.paused", subscription)
            return
    for hook in period_hooks:
        hook(subscription, boundary)
    if subscription["ended_at"] is not None:
        return
    following = moment.following(subscription["billing_cycle_anchor"], recurring(subscription), boundary)
    set_period(subscription, boundary, following)
    if trial_ended:
        subscription["status"] = "active"
    paused = (subscription["pause_collection"] or {}).get("behavior")
    waits = subscription["status"] == "unpaid" or paused
    invoice = bill(
        subscription_id,
        "subscription_cycle",
        period=(former_start, boundary),
        auto_advance=not waits,
    )
    if paused in ("void", "mark_uncollectible"):
        _give_up(invoice["id"], paused)
    emit("customer.subscription.updated", subscription, before)


def _give_up(invoice_id: str, behavior: str) -> None:
    """Finalize the invoice of a paused collection only to void it or to write it off."""
    if invoicing.finalize(invoice_id)["status"] == "open":
        (invoicing.void if behavior == "void" else invoicing.mark_uncollectible)(invoice_id)


def end(subscription_id: str, *, reason: str | None, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """Cancel at once; emit `customer.subscription.deleted`. Items that wait for an invoice keep waiting."""
    subscription = store.edit(subscription_id)
    now = moment.now(subscription["customer"])
    subscription.update(
        status="canceled",
        ended_at=now,
        canceled_at=subscription["canceled_at"] or now,
        cancel_at_period_end=False,
    )
    if subscription["cancellation_details"]["reason"] is None:
        subscription["cancellation_details"]["reason"] = reason
    subscription["cancellation_details"] |= details or {}
    for hook in end_hooks:
        hook(subscription, reason)
    emit("customer.subscription.deleted", subscription)
    for invoice in list(store.each("invoice")):
        mine = invoicing.subscription_of(invoice) == subscription_id
        if mine and invoice["status"] in ("draft", "open") and invoice["auto_advance"]:
            with updating(invoice["id"], "invoice.updated") as changed:
                changed.update(auto_advance=False, next_payment_attempt=None, automatically_finalizes_at=None)
    return subscription


def expire(subscription_id: str) -> None:
    """Expire a subscription whose first payment was never made."""
    with updating(subscription_id, "customer.subscription.updated") as subscription:
        subscription["status"] = "incomplete_expired"
        subscription["ended_at"] = moment.now(subscription["customer"])
    latest = store.get(subscription["latest_invoice"])
    if latest and latest["status"] == "open":
        invoicing.void(latest["id"])


def warn_of_trial_end(subscription_id: str) -> None:
    """Emit `customer.subscription.trial_will_end`, once."""
    subscription = store.edit(subscription_id)
    subscription["_trial_warned"] = subscription["trial_end"]
    emit("customer.subscription.trial_will_end", subscription)


def on_paid(invoice: dict[str, Any]) -> None:
    """Bring the subscription to active when its latest invoice is paid."""
    subscription = store.get(invoicing.subscription_of(invoice))
    if subscription is None or subscription["status"] not in ("incomplete", "past_due", "unpaid"):
        return
    if subscription["latest_invoice"] == invoice["id"]:
        with updating(subscription["id"], "customer.subscription.updated") as changed:
            changed["status"] = "active"


def on_failed(invoice: dict[str, Any]) -> None:
    """Apply a failed payment: past due first; after the last retry, the configured outcome."""
    subscription = store.get(invoicing.subscription_of(invoice))
    if subscription is None or subscription["status"] not in ("active", "past_due"):
        return
    waits = (
        invoice["next_payment_attempt"] is not None
        or (store.get(invoice["_intent"]) or {})["status"] == "requires_action"
    )
    if not waits and settings.dunning_outcome == "cancel":
        end(subscription["id"], reason="payment_failed")
        return
    with updating(subscription["id"], "customer.subscription.updated") as changed:
        changed["status"] = "unpaid" if not waits and settings.dunning_outcome == "unpaid" else "past_due"


def start(
    subscription_id: str,
    method: dict[str, Any] | None = None,
    *,
    off_session: bool = False,
    authenticated: bool = False,
    at_checkout: bool = False,
    charge: bool = True,
) -> dict[str, Any]:
    """Bill and charge the first period at once; a trial's first invoice is for 0."""
    subscription = get(subscription_id)
    trial = subscription["status"] == "trialing"
    invoice = bill(subscription_id, "subscription_create", free=trial)
    if subscription["collection_method"] == "send_invoice":
        store.edit(subscription_id)["status"] = "trialing" if trial else "active"
        return invoice
    invoice = invoicing.finalize(invoice["id"])
    if invoice["status"] == "open" and charge:
        invoice = invoicing.pay(
            invoice["id"],
            method,
            off_session=off_session,
            authenticated=authenticated,
            at_checkout=at_checkout,
        )
    return invoice


invoicing.paid_hooks.append(on_paid)
invoicing.failed_hooks.append(on_failed)
