"""Changes in the middle of a period: credit for unused time, charge for the rest, and restarts of the billing cycle."""

from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import catalog, ids, invoicing, lines, moment, shapes, subscriptions
from superagent.sandbox.stripe.events import emit


def invoice_item(
    *, customer_id: str, amount: int, currency: str, quantity: int = 1, **values: Any
) -> dict[str, Any]:
    """Add an invoice item that waits for the customer's next invoice; emit `invoiceitem.created`."""
    now = moment.now(customer_id)
    unit = values.pop("unit_amount_decimal", None)
    item = store.add(
        shapes.build(
            "invoiceitem",
            **(
                {
                    "id": ids.new("ii"),
                    "amount": amount,
                    "currency": currency,
                    "customer": customer_id,
                    "date": now,
                    "discountable": True,
                    "discounts": [],
                    "net_amount": amount,
                    "period": {"start": now, "end": now},
                    "pricing": {
                        "price_details": None,
                        "type": "price_details",
                        "unit_amount_decimal": unit if unit is not None else _unit(amount, quantity),
                    },
                    "proration": False,
                    "quantity": quantity,
                    "quantity_decimal": str(quantity),
                    "tax_rates": [],
                    "test_clock": moment.clock_of(customer_id),
                }
                | values
            ),
        )
    )
    emit("invoiceitem.created", item)
    return item


def _unit(amount: int, quantity: int) -> str:
    return str(amount // quantity) if quantity and amount % quantity == 0 else str(amount / (quantity or 1))


def _part(
    subscription: dict[str, Any], item: dict[str, Any], amount: int, span: tuple[int, int], text: str
) -> dict[str, Any]:
    price = item["price"]
    name = catalog.product(price["product"])["name"]
    count = f"{item['quantity']} × " if item["quantity"] != 1 else ""
    return invoice_item(
        customer_id=subscription["customer"],
        amount=amount,
        currency=price["currency"],
        description=f"{text} {count}{name} after {moment.date(span[0])}",
        discountable=False,
        parent={
            "subscription_details": {"subscription": subscription["id"], "subscription_item": item["id"]},
            "type": "subscription_details",
        },
        period={"start": span[0], "end": span[1]},
        pricing=lines.pricing(price),
        proration=True,
        quantity=item["quantity"],
        proration_details={"credited_items": None, "discount_amounts": []},
    )


def share(amount: int, left: int, whole: int) -> int:
    """Returns the part of `amount` that falls on `left` of `whole` seconds, rounded half up."""
    return (2 * amount * left + whole) // (2 * whole) if whole > 0 else 0


def credit(subscription: dict[str, Any], before: list[dict[str, Any]], moment_of_change: int) -> None:
    """Give back the unused time of items as they were."""
    for item in before:
        start, end = item["current_period_start"], item["current_period_end"]
        amount = share(paid_amount(subscription, item), end - moment_of_change, end - start)
        if amount:
            _part(subscription, item, -amount, (moment_of_change, end), "Unused time on")


def charge(subscription: dict[str, Any], after: list[dict[str, Any]], moment_of_change: int) -> None:
    """Bill the rest of the period for items as they are now."""
    for item in after:
        start, end = item["current_period_start"], item["current_period_end"]
        amount = share(catalog.amount(item["price"], item["quantity"]), end - moment_of_change, end - start)
        if amount:
            _part(subscription, item, amount, (moment_of_change, end), "Remaining time on")


def paid_amount(subscription: dict[str, Any], item: dict[str, Any]) -> int:
    """Returns what the customer really paid for this item's period: its price less the line's discount."""
    for invoice in store.each("invoice"):
        if invoicing.subscription_of(invoice) != subscription["id"] or invoice["status"] == "void":
            continue
        for line in invoice["lines"]["data"]:
            details = (line["parent"] or {}).get("subscription_item_details") or {}
            same = details.get("subscription_item") == item["id"] and not details.get("proration")
            if (
                same
                and line["period"]["start"] == item["current_period_start"]
                and ((line["pricing"] or {}).get("price_details") or {}).get("price") == item["price"]["id"]
                and line["quantity"] == item["quantity"]
            ):
                return line["amount"] - sum(part["amount"] for part in line["discount_amounts"])
    return catalog.amount(item["price"], item["quantity"])


def restarts_cycle(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> bool:
    """Returns whether a change begins a new period: another interval, or from free to paid."""
    if not before or not after:
        return False
    old, new = before[0]["price"]["recurring"], after[0]["price"]["recurring"]
    other = (old["interval"], old["interval_count"]) != (new["interval"], new["interval_count"])
    was_free = all(catalog.amount(item["price"], item["quantity"]) == 0 for item in before)
    is_paid = any(catalog.amount(item["price"], item["quantity"]) for item in after)
    return other or (was_free and is_paid)


def changed_items(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the old and the new form of the items whose price or quantity changed."""

    def terms(item: dict[str, Any]) -> tuple[str, str, int]:
        return item["id"], item["price"]["id"], item["quantity"]

    old, new = {terms(item) for item in before}, {terms(item) for item in after}
    return [i for i in before if terms(i) not in new], [i for i in after if terms(i) not in old]


def settle(
    subscription_id: str, before: list[dict[str, Any]], *, behavior: str, at: int, restart: bool, trial: bool
) -> dict[str, Any] | None:
    """Invoice a change of items. Returns the draft invoice if one is due at once."""
    subscription = store.edit(subscription_id)
    after = subscriptions.items(subscription)
    if trial:
        return None
    if restart:
        if behavior != "none":
            credit(subscription, before, at)
        now = moment.now(subscription["customer"])
        subscription["billing_cycle_anchor"] = now
        following = moment.following(now, subscriptions.recurring(subscription), now)
        subscriptions.set_period(subscription, now, following)
        return subscriptions.bill(subscription_id, "subscription_update")
    old, new = changed_items(before, after)
    if behavior == "none" or not (old or new):
        return None
    credit(subscription, old, at)
    charge(subscription, new, at)
    if behavior != "always_invoice":
        return None
    return subscriptions.bill(subscription_id, "subscription_update", only_waiting=True)
