"""Lines of invoices and the sums over them."""

from decimal import Decimal
from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import catalog, discounts, ids, shapes

UNITS = {"usd": ("$", 2), "eur": ("€", 2), "gbp": ("£", 2), "jpy": ("¥", 0)}


def money(amount: int | Decimal | str, currency: str) -> str:
    """Returns an amount as people read it, such as `$29.00`."""
    sign, places = UNITS.get(currency, (currency.upper() + " ", 2))
    value = Decimal(amount) / (10**places)
    exact = f"{abs(value):,.{places}f}"
    if Decimal(exact.replace(",", "")) != abs(value):
        exact = f"{abs(value).normalize():,f}"
    return ("-" if value < 0 else "") + sign + exact


def interval_text(recurring: dict[str, Any]) -> str:
    """Returns `month`, or `3 months`."""
    count = recurring["interval_count"]
    return recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s"


def pricing(price: dict[str, Any]) -> dict[str, Any]:
    """Returns the pricing of a line that a price made."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def of_subscription_item(
    item: dict[str, Any], subscription: dict[str, Any], start: int, end: int, *, free: bool = False
) -> dict[str, Any]:
    """Returns the line that bills one subscription item for one period."""
    price = item["price"]
    product = catalog.product(price["product"])
    rate = f"{money(price['unit_amount_decimal'], price['currency'])} / {interval_text(price['recurring'])}"
    amount = 0 if free else catalog.amount(price, item["quantity"])
    text = f"{item['quantity']} × {product['name']} (at {rate})"
    return _line(
        amount=amount,
        currency=price["currency"],
        description=f"Trial period for {product['name']}" if free else text,
        discountable=True,
        metadata=dict(item["metadata"]) or dict(subscription["metadata"]),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        period={"start": start, "end": end},
        pricing=pricing(price) | ({"unit_amount_decimal": "0"} if free else {}),
        quantity=item["quantity"],
        subscription=subscription["id"],
    )


def of_invoice_item(item: dict[str, Any]) -> dict[str, Any]:
    """Returns the line that an invoice item becomes."""
    details = (item["parent"] or {}).get("subscription_details") or {}
    subscription, subscription_item = details.get("subscription"), details.get("subscription_item")
    shared = {
        "invoice_item": item["id"],
        "proration": item["proration"],
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if subscription_item:
        parent = {
            "invoice_item_details": None,
            "type": "subscription_item_details",
            "subscription_item_details": shared | {"subscription_item": subscription_item},
        }
    else:
        parent = {
            "invoice_item_details": shared,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return _line(
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        discountable=item["discountable"],
        metadata=dict(item["metadata"]),
        parent=parent,
        period=dict(item["period"]),
        pricing=item["pricing"],
        quantity=item["quantity"],
        subscription=subscription,
        _item=item["id"],
    )


def of_order_item(line: dict[str, Any]) -> dict[str, Any]:
    """Returns the line of a paid one-time Checkout order."""
    return _line(
        amount=line["amount_subtotal"],
        currency=line["currency"],
        description=line["description"],
        discountable=True,
        metadata={},
        parent=None,
        period=line["_period"],
        pricing=pricing(line["price"]),
        quantity=line["quantity"],
        subscription=None,
    )


def _line(**values: Any) -> dict[str, Any]:
    return shapes.build(
        "line_item",
        id=ids.new("il"),
        discount_amounts=[],
        discounts=[],
        subtotal=values["amount"],
        taxes=[],
        quantity_decimal=str(values["quantity"]),
        **values,
    )


def total(invoice: dict[str, Any]) -> None:
    """Compute an unfinished invoice's sums from its lines, discounts and the customer's credit."""
    data = invoice["lines"]["data"]
    for line in data:
        line["discount_amounts"] = []
        line["invoice"] = invoice["id"]
    subtotal = sum(line["amount"] for line in data)
    amounts = [{"amount": _spread(data, name), "discount": name} for name in invoice["discounts"]]
    invoice["total_discount_amounts"] = amounts
    invoice["subtotal"] = invoice["subtotal_excluding_tax"] = subtotal
    whole = subtotal - sum(item["amount"] for item in amounts)
    invoice["total"] = invoice["total_excluding_tax"] = whole
    balance = (store.get(invoice["customer"]) or {"balance": 0})["balance"]
    invoice["starting_balance"] = balance
    invoice["amount_due"] = max(0, whole + balance) if whole > 0 else 0
    invoice["amount_remaining"] = invoice["amount_due"] - invoice["amount_paid"]


def _spread(data: list[dict[str, Any]], discount_id: str) -> int:
    """Distribute a discount over its lines in proportion. Returns the total."""
    fitting = []
    for line in data:
        details = (line["pricing"] or {}).get("price_details") or {}
        if (
            line["discountable"]
            and line["amount"] > 0
            and discounts.applies_to(discount_id, details.get("product"))
        ):
            left = line["amount"] - sum(item["amount"] for item in line["discount_amounts"])
            fitting.append((line, left))
    base = sum(left for _, left in fitting)
    off = rest = discounts.amount_off(discount_id, base)
    for index, (line, left) in enumerate(fitting):
        share = rest if index == len(fitting) - 1 else off * left // base if base else 0
        line["discount_amounts"].append({"amount": share, "discount": discount_id})
        rest -= share
    return off
